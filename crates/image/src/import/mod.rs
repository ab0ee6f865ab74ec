//! Images from archives: OCI image layouts and what `docker save` writes, compressed or not, or an OCI layout
//! in a directory.
//!
//! Only images for the wanted platform are taken. Whatever the archive says about digests is verified.

mod layout;
mod source;

use std::path::{Path, PathBuf};

use crate::config::ConfigDocument;
use crate::digest::Digest;
use crate::ingest::{IsDiskFull, WantedLayer, Worker, make_layers};
use crate::limits::MAX_LAYERS;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::progress::{Counter, LayerSize, Progress};
use crate::reference::Reference;
use crate::store::{
    Image, NewImage, NewName, Origin, Store, StoreError, Transaction, seconds_since_1970,
};
use crate::unpack::{ArchiveError, Expected, LayerError, Unpacked, unpack_layer};
use layout::FoundImage;
use source::Source;

/// What to make of an archive.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The name to give the image instead of those in the archive, which must contain one image only.
    pub name: Option<Reference>,
    /// Which platform's images to take.
    pub platform: Platform,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            name: None,
            platform: Platform::host(),
        }
    }
}

/// Why an archive could not be imported. Nothing half-made remains.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file or directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Not a tar archive, or a damaged one.
    #[error("`{}` is not a usable archive", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// An archive of something else.
    #[error("`{}` is not an image archive: it has neither `index.json` nor `manifest.json`", path.display())]
    NotAnImage {
        /// The archive.
        path: PathBuf,
    },
    /// The archive lacks something that it refers to.
    #[error("the archive has no `{0}`")]
    Missing(String),
    /// A file in the archive is not what its name says.
    #[error(
        "`{name}` in the archive has digest {actual}: the archive was tampered with or damaged"
    )]
    Tampered {
        /// The file.
        name: String,
        /// Its real digest.
        actual: Digest,
    },
    /// A manifest that cannot be used.
    #[error("the manifest of an image in the archive cannot be used")]
    Manifest(#[source] ManifestError),
    /// A document of the archive that cannot be decoded.
    #[error("`{name}` in the archive cannot be decoded")]
    Document {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Manifest and configuration disagree.
    #[error("the image has {layers} layers, but its configuration lists {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// More than a limit of [`crate::limits`] allows.
    #[error("too large: {0}")]
    TooLarge(String),
    /// No image for this platform.
    #[error("the archive has no image for {wanted}, only for {available}")]
    WrongPlatform {
        /// The platform asked for.
        wanted: Platform,
        /// What is there.
        available: String,
    },
    /// The archive does not say what the image is called.
    #[error("the archive does not say the image's name: one has to be given")]
    NoName,
    /// One name for several images.
    #[error("the archive has {0} images: one name cannot be given to all of them")]
    SeveralImages(usize),
    /// A layer could not be unpacked.
    #[error("layer {layer} could not be unpacked")]
    Layer {
        /// Which layer.
        layer: Digest,
        /// Why.
        source: LayerError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IsDiskFull for ImportError {
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Layer {
                source: LayerError::DiskFull { .. },
                ..
            } => true,
            Self::Read { source, .. } => crate::store::is_disk_full(source),
            Self::Store(error) => error.is_disk_full(),
            _ => false,
        }
    }
}

impl ImportError {
    /// Whether the file system of the store is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        IsDiskFull::is_disk_full(self)
    }
}

impl Store {
    /// Brings the images of an archive into the store, and returns them with the names they got.
    ///
    /// `archive` is a file (tar, may be compressed with gzip or zstd) or a directory with an OCI image layout.
    ///
    /// # Errors
    /// See [`ImportError`]. Images that came before the one that failed stay.
    pub fn import(
        &self,
        archive: &Path,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Image>, ImportError> {
        let mut transaction = Transaction::begin(self)?;
        let source = Source::open(archive, transaction.path())?;
        let mut found = layout::find_images(&source, &options.platform)?;
        if let Some(name) = &options.name {
            match &mut found[..] {
                [image] => image.names = vec![name.clone()],
                several => return Err(ImportError::SeveralImages(several.len())),
            }
        }
        if found.iter().any(|image| image.names.is_empty()) {
            return Err(ImportError::NoName);
        }
        let mut imported = Vec::new();
        for image in found {
            imported.push(self.import_image(
                &source,
                &mut transaction,
                image,
                options,
                progress,
            )?);
        }
        Ok(imported)
    }

    fn import_image(
        &self,
        source: &Source,
        transaction: &mut Transaction,
        found: FoundImage,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image, ImportError> {
        let config =
            ConfigDocument::decode(&found.config).map_err(|source| ImportError::Document {
                name: found.config_name.clone(),
                source,
            })?;
        if let Some(available) = config.platform()
            && options.platform.suitability(&available).is_none()
        {
            let available = available.to_string();
            return Err(ImportError::WrongPlatform {
                wanted: options.platform.clone(),
                available,
            });
        }
        if config.diff_ids.len() != found.layers.len() {
            let (layers, diff_ids) = (found.layers.len(), config.diff_ids.len());
            return Err(ImportError::LayerCount { layers, diff_ids });
        }
        if found.layers.len() > MAX_LAYERS {
            return Err(ImportError::TooLarge(format!(
                "the image has more than {MAX_LAYERS} layers"
            )));
        }
        let layers: Vec<WantedLayer> = std::iter::zip(&found.layers, &config.diff_ids)
            .enumerate()
            .map(|(index, (layer, diff_id))| WantedLayer {
                expected: Expected {
                    diff_id: diff_id.clone(),
                    blob: layer.blob.clone(),
                },
                size: source.size(&layer.name).unwrap_or_default(),
                index,
            })
            .collect();
        let sizes = layers.iter().map(|layer| LayerSize {
            layer: layer.label().clone(),
            size: layer.size,
        });
        progress(Progress::Resolved {
            manifest: found.manifest_digest.clone(),
            layers: sizes.collect(),
        });

        let unpack = |layer: &WantedLayer, worker: &Worker<'_>| -> Result<Unpacked, ImportError> {
            let counter = Counter::new(layer.label(), layer.size, worker.report);
            let reader = source.reader(&found.layers[layer.index].name)?;
            unpack_layer(
                source::Counting::new(reader, counter),
                &layer.expected,
                worker.directory,
            )
            .map_err(|source| ImportError::Layer {
                layer: layer.label().clone(),
                source,
            })
        };
        make_layers(transaction, &layers, unpack, progress)?;

        let image_id = Digest::of(&found.config);
        let mut blobs = vec![found.manifest, found.config];
        blobs.extend(found.index);
        let stored_at = seconds_since_1970();
        transaction.commit(NewImage {
            manifest: found.manifest_digest.clone(),
            image_id,
            config: config.config,
            diff_ids: config.diff_ids,
            names: found
                .names
                .iter()
                .map(|name| NewName {
                    reference: name.clone(),
                    implied: false,
                })
                .collect(),
            blobs,
            target: found.target,
            origin: Origin::Imported,
            stored_at,
        })?;
        let image = self.image(&found.manifest_digest)?;
        let image = image.ok_or(StoreError::Gone(found.manifest_digest))?;
        Ok(Image {
            names: found.names,
            stored_at,
            ..image
        })
    }
}
