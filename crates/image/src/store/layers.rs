//! Unpacked layers: one directory per diff id, shared by all images that have the layer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, files, records};
use crate::digest::Digest;

/// What is known about an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) version: u32,
    /// Digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Digest of the archive as it came, compressed or not.
    pub(crate) blob: Digest,
    /// Bytes of file content, unpacked.
    pub(crate) size_bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
    /// Device nodes in the archive, which are never made.
    pub(crate) devices_left_out: u64,
    /// The archive's root is opaque: nothing of lower layers can be seen.
    pub(crate) opaque_root: bool,
    /// It is made of an image's layers (`joined.rs`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_joined: bool,
}

impl LayerRecord {
    pub(crate) const VERSION: u32 = records::VERSION;
}

impl Store {
    pub(super) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// The layer's record, or `None` if the layer is not here. A layer directory is complete if it exists.
    pub(crate) fn layer_record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>, StoreError> {
        records::read_record(&self.layer_path(diff_id).join("layer.json"))
    }

    pub(super) fn layer_digests(&self) -> Result<Vec<Digest>, StoreError> {
        Ok(files::list(&self.root.join("layers"))?
            .iter()
            .filter_map(|name| Digest::from_hex(name))
            .collect())
    }
}
