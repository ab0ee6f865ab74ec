//! What can go wrong with a pull, in words that a user understands.

use std::error::Error;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ingest::IsDiskFull;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::store::StoreError;
use crate::unpack::LayerError;

/// Why an image could not be pulled. Of layers that were not complete nothing remains.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry does not have it.
    #[error("image `{image}` not found: {detail}")]
    NotFound {
        /// The image asked for.
        image: String,
        /// The registry's words, such as `manifest unknown`.
        detail: String,
    },
    /// The registry wants credentials, or others. Some say so also of what does not exist.
    #[error("not allowed to pull `{image}`: {detail}")]
    Unauthorized {
        /// The image asked for.
        image: String,
        /// The registry's words.
        detail: String,
    },
    /// No connection, or none that lasted.
    #[error("registry `{registry}` cannot be reached")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The registry wants us to come back later.
    #[error("registry `{registry}` refuses more requests for now: {detail}")]
    RateLimited {
        /// Host and port.
        registry: String,
        /// The registry's words.
        detail: String,
    },
    /// The registry answered with something else.
    #[error("registry `{registry}` answered with status {status}: {detail}")]
    Registry {
        /// Host and port.
        registry: String,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        detail: String,
    },
    /// What arrived is not what the digest says.
    #[error("{what} has digest {actual} instead of {expected}: it was tampered with or damaged")]
    Tampered {
        /// `manifest`, `configuration`, `layer`.
        what: &'static str,
        /// The digest it was asked for by.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// No variant for this platform.
    #[error("image `{image}` is not available for {wanted}, only for {available}")]
    WrongPlatform {
        /// The image asked for.
        image: String,
        /// The platform asked for.
        wanted: Platform,
        /// What there is.
        available: String,
    },
    /// A manifest that cannot be used.
    #[error("the manifest of `{image}` cannot be used")]
    Manifest {
        /// The image asked for.
        image: String,
        /// Why.
        source: ManifestError,
    },
    /// A configuration that cannot be used.
    #[error("the configuration of `{image}` cannot be used: {detail}")]
    Config {
        /// The image asked for.
        image: String,
        /// Why.
        detail: String,
    },
    /// A layer that cannot be unpacked.
    #[error("layer {layer} cannot be unpacked")]
    Layer {
        /// Which layer.
        layer: Digest,
        /// Why.
        source: LayerError,
    },
    /// The store's file system is full, or would be.
    #[error("not enough disk space below `{}`", path.display())]
    DiskFull {
        /// The directory being written to.
        path: PathBuf,
    },
    /// More than a limit of [`crate::limits`] allows.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The options make no sense.
    #[error("{0}")]
    Options(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kinds of [`PullError`], to be passed between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PullErrorKind {
    /// Not in the registry.
    NotFound,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// No connection.
    Unreachable,
    /// Too many requests.
    RateLimited,
    /// Another answer of the registry.
    Registry,
    /// A digest did not match.
    Tampered,
    /// No variant for this platform.
    WrongPlatform,
    /// The image itself cannot be used.
    InvalidImage,
    /// No space left.
    DiskFull,
    /// Beyond a limit.
    TooLarge,
    /// Wrong options.
    Options,
    /// The store failed.
    Store,
}

impl PullError {
    /// The kind of error, to decide by.
    #[must_use]
    pub fn kind(&self) -> PullErrorKind {
        match self {
            Self::NotFound { .. } => PullErrorKind::NotFound,
            Self::Unauthorized { .. } => PullErrorKind::Unauthorized,
            Self::Unreachable { .. } => PullErrorKind::Unreachable,
            Self::RateLimited { .. } => PullErrorKind::RateLimited,
            Self::Registry { .. } => PullErrorKind::Registry,
            Self::Tampered { .. } => PullErrorKind::Tampered,
            Self::WrongPlatform { .. } => PullErrorKind::WrongPlatform,
            Self::Manifest { .. } | Self::Config { .. } | Self::Layer { .. } => {
                PullErrorKind::InvalidImage
            }
            Self::DiskFull { .. } => PullErrorKind::DiskFull,
            Self::TooLarge(_) => PullErrorKind::TooLarge,
            Self::Options(_) => PullErrorKind::Options,
            Self::Store(error) if error.is_disk_full() => PullErrorKind::DiskFull,
            Self::Store(_) => PullErrorKind::Store,
        }
    }

    /// What became of a layer, told as what became of the pull.
    pub(super) fn from_layer(layer: &Digest, registry: &str, error: LayerError) -> Self {
        match error {
            LayerError::Source(source) => Self::Unreachable {
                registry: registry.to_owned(),
                source: source.into(),
            },
            LayerError::Tampered { expected, actual } => Self::Tampered {
                what: "layer",
                expected,
                actual,
            },
            LayerError::DiskFull { path } => Self::DiskFull { path },
            LayerError::TooLarge(what) => Self::TooLarge(what),
            source => Self::Layer {
                layer: layer.clone(),
                source,
            },
        }
    }
}

impl IsDiskFull for PullError {
    fn is_disk_full(&self) -> bool {
        self.kind() == PullErrorKind::DiskFull
    }
}
