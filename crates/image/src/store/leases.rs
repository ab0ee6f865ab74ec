//! Leases: an image that somebody uses is not collected, even when its name has moved on.
//!
//! A lease is an empty file, named by its owner and the image. It survives crashes and reboots; whoever owns
//! it releases it when the last use is over.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::files::{self, LockKind};
use super::{Image, Store, StoreError};
use crate::digest::Digest;
use crate::limits::MAX_OWNER_BYTES;

/// Somebody's use of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// Who uses it, such as a pod's UID.
    pub owner: String,
    /// Which image.
    pub manifest_digest: Digest,
}

impl Store {
    /// Keeps the image from being collected until `owner` releases it. Taking a lease twice is the same as once.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if the image was collected after it was looked up: look it up again;
    /// [`StoreError::Owner`] if the owner's name cannot be a file name; and file errors.
    pub fn lease(&self, image: &Image, owner: &str) -> Result<(), StoreError> {
        let directory = self.lease_directory(owner)?;
        let _lock = self.lock(LockKind::Shared)?;
        if !self.image_path(&image.manifest_digest).exists() {
            return Err(StoreError::Gone(image.manifest_digest.clone()));
        }
        let path = directory.join(image.manifest_digest.hex());
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, ""))
            .map_err(|source| StoreError::io("lease", &path, source))
    }

    /// Gives up all leases of `owner`. None is no error.
    ///
    /// # Errors
    /// [`StoreError::Owner`], and file errors.
    pub fn release(&self, owner: &str) -> Result<(), StoreError> {
        let directory = self.lease_directory(owner)?;
        match fs::remove_dir_all(&directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("release", &directory, source))
            }
            _ => Ok(()),
        }
    }

    /// All leases, sorted by owner.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let directory = self.root.join("leases");
        let mut leases = Vec::new();
        for owner in files::list(&directory)? {
            let images = match files::list(&directory.join(&owner)) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                images => images?,
            };
            leases.extend(images.iter().filter_map(|name| {
                Some(Lease {
                    owner: owner.clone(),
                    manifest_digest: Digest::from_hex(name)?,
                })
            }));
        }
        leases.sort();
        Ok(leases)
    }

    fn lease_directory(&self, owner: &str) -> Result<PathBuf, StoreError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte);
        let usable = !owner.is_empty()
            && owner.len() <= MAX_OWNER_BYTES
            && !owner.starts_with('.')
            && owner.bytes().all(allowed);
        usable
            .then(|| self.root.join("leases").join(owner))
            .ok_or_else(|| StoreError::Owner(owner.to_owned()))
    }
}
