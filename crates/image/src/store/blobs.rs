//! Small content by digest: manifests, indexes, configurations.
//!
//! They are kept as they came, byte for byte, so that digests stay true and an image can be looked at later.

use std::path::PathBuf;

use super::{Store, StoreError, files};
use crate::digest::Digest;

impl Store {
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// A manifest, index or configuration as it came, or `None` if it is not here or has been damaged on disk.
    ///
    /// # Errors
    /// If the file exists but cannot be read.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let content = files::read(&self.blob_path(digest))?;
        Ok(content.filter(|content| Digest::of(content) == *digest))
    }
}
