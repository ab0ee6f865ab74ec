//! The store's JSON records: what a name means, and what an image consists of.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Origin, Store, StoreError, files};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::reference::Reference;

/// Version of the layout and of all records in it.
pub(super) const VERSION: u32 = 1;

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub(crate) version: u32,
    pub(crate) name: Reference,
    /// Manifest of the image that was chosen for this platform.
    pub(crate) manifest: Digest,
    /// What the registry or the archive has under the name: the manifest itself or an index above it.
    pub(crate) target: Digest,
    pub(crate) origin: Origin,
    /// A name with a digest that nobody asked for: it came with a tag, and goes with it.
    pub(crate) implied: bool,
    /// Seconds since 1970.
    pub(crate) stored_at: u64,
}

/// What an image consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) version: u32,
    pub(crate) manifest: Digest,
    pub(crate) image_id: Digest,
    /// Lowest first, as the configuration lists them.
    pub(crate) layers: Vec<LayerOfImage>,
    pub(crate) config: ImageConfig,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerOfImage {
    pub(crate) diff_id: Digest,
    /// Bytes of file content, unpacked.
    pub(crate) size_bytes: u64,
    /// Hides everything below it.
    pub(crate) opaque_root: bool,
}

impl ImageRecord {
    /// The layers that a mount needs, lowest first: without repetition, and from the topmost opaque one on.
    ///
    /// Overlayfs refuses a directory that appears twice. Only the topmost appearance decides: it brings again
    /// whatever the lower one brought. Overlayfs also does not look whether a layer's root is opaque.
    pub(crate) fn layers_for_overlay(&self) -> impl Iterator<Item = &LayerOfImage> {
        let lowest = self
            .layers
            .iter()
            .rposition(|layer| layer.opaque_root)
            .unwrap_or(0);
        let mut seen = HashSet::new();
        let mut topmost: Vec<&LayerOfImage> = self.layers[lowest..]
            .iter()
            .rev()
            .filter(|layer| seen.insert(&layer.diff_id))
            .collect();
        topmost.reverse();
        topmost.into_iter()
    }
}

impl Store {
    pub(super) fn name_path(&self, reference: &Reference) -> PathBuf {
        let hash = Digest::of(reference.canonical().to_string().as_bytes());
        self.root.join("names").join(format!("{}.json", hash.hex()))
    }

    pub(super) fn image_path(&self, manifest: &Digest) -> PathBuf {
        self.root
            .join("images")
            .join(format!("{}.json", manifest.hex()))
    }

    pub(crate) fn name_record(
        &self,
        reference: &Reference,
    ) -> Result<Option<NameRecord>, StoreError> {
        read_record(&self.name_path(reference))
    }

    pub(crate) fn image_record(
        &self,
        manifest: &Digest,
    ) -> Result<Option<ImageRecord>, StoreError> {
        read_record(&self.image_path(manifest))
    }

    /// All names, in no order.
    pub(super) fn name_records(&self) -> Result<Vec<NameRecord>, StoreError> {
        let directory = self.root.join("names");
        let mut records = Vec::new();
        for file in files::list(&directory)? {
            records.extend(read_record(&directory.join(file))?);
        }
        Ok(records)
    }

    /// The manifest digests of all images.
    pub(super) fn image_digests(&self) -> Result<Vec<Digest>, StoreError> {
        let files = files::list(&self.root.join("images"))?;
        Ok(files
            .iter()
            .filter_map(|file| Digest::from_hex(file.strip_suffix(".json")?))
            .collect())
    }
}

pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(content) = files::read(path)? else {
        return Ok(None);
    };
    let record = serde_json::from_slice(&content);
    record.map(Some).map_err(|source| StoreError::Record {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn encode(path: &Path, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|source| StoreError::Record {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layers_that_can_be_seen_are_mounted() {
        let layer = |name: &str| LayerOfImage {
            diff_id: Digest::of(name.as_bytes()),
            size_bytes: 1,
            opaque_root: name.starts_with("opaque"),
        };
        for (all, mounted) in [
            (&["a", "b", "a", "c"][..], &["b", "a", "c"][..]),
            (&["a", "opaque", "b"], &["opaque", "b"]),
            (&["opaque", "a", "opaque", "b"], &["opaque", "b"]),
            (&[], &[]),
        ] {
            let record = ImageRecord {
                version: VERSION,
                manifest: Digest::of(b"m"),
                image_id: Digest::of(b"c"),
                layers: all.iter().map(|name| layer(name)).collect(),
                config: ImageConfig::default(),
            };
            let expected: Vec<LayerOfImage> = mounted.iter().map(|name| layer(name)).collect();
            assert!(record.layers_for_overlay().eq(&expected), "{all:?}");
        }
    }
}
