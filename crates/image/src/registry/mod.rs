//! Images from registries: the pull side of the OCI distribution protocol.
//!
//! ```text
//! pull       the order of things: lock, resolve, layers, commit
//! registry   one repository at one endpoint: manifests, blobs, and what their failures mean
//! auth       credentials from files and helpers, and the token exchange
//! transport  HTTP and TLS; nothing above knows which library
//! ```
//!
//! Everything blocks: a pull runs in a process (or thread) of its own. Pushing is left out.

mod auth;
mod blob;
mod client;
mod error;
mod pull;
mod transport;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use auth::{AuthError, AuthFile, Credentials};
pub use error::{PullError, PullErrorKind};

use crate::platform::Platform;
use crate::store::Image;

/// How to pull. The default is anonymous, for this machine's platform, over HTTPS except to this machine itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullOptions {
    /// Tried one after the other, the best fitting first (see [`AuthFile::credentials_for`]). If there are
    /// none the pull is anonymous; if there are some it is not, as with the kubelet.
    pub credentials: Vec<Credentials>,
    /// Which variant of a multi-platform image to take.
    pub platform: Platform,
    /// Speak plain HTTP to registries on this machine (`localhost`, `127.0.0.0/8`, `[::1]`).
    pub insecure_loopback: bool,
    /// Asked before the registry itself, in this order; anonymously. Whatever goes wrong with one, the next is
    /// asked.
    pub mirrors: Vec<Mirror>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// URL of a proxy for all but this machine itself.
    pub proxy: Option<String>,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            credentials: Vec::new(),
            platform: Platform::host(),
            insecure_loopback: true,
            mirrors: Vec::new(),
            ca_file: None,
            proxy: None,
        }
    }
}

/// A registry with copies of another's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The registry it stands in for, such as `docker.io`.
    pub registry: String,
    /// Its base URL, such as `https://mirror.example:5000`. `http://` is taken at its word.
    pub url: String,
}

/// What a pull has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The image, complete.
    pub image: Image,
    /// Whether the name means something else than before the pull. If not, the registry was asked, or did not
    /// have to be (a name with a digest), and nothing was transferred.
    pub changed: bool,
    /// Bytes of layers that were transferred. 0 if all were here already.
    pub transferred_bytes: u64,
}
