//! Leases: what somebody uses is not collected, even when its name has moved on.
//!
//! The leases of an owner are the lines of one file, which is named by the owner: a manifest, or the name of a layer of mount points
//! (`places.rs`). It survives crashes and reboots; whoever owns it releases it when the last use is over. What of it cannot be read, as
//! after a power cut, counts as a lease on everything: it is too much only until the owner releases it.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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

/// Before the name of a layer of mount points, where a manifest's digest stands otherwise.
const PLACES: &str = "places/";

/// All leases of a store.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// On images, sorted by owner.
    pub(super) images: Vec<Lease>,
    /// Names of layers of mount points.
    places: HashSet<String>,
    /// Whether somebody may use more than the above.
    is_incomplete: bool,
}

impl Leases {
    /// Whether somebody may use this layer of mount points.
    pub(super) fn has_places(&self, name: &str) -> bool {
        self.is_incomplete || self.places.contains(name)
    }
}

impl Store {
    /// Keeps the image from being collected until `owner` releases it. Taking a lease twice is the same as once.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if the image was collected after it was looked up: look it up again;
    /// [`StoreError::Owner`] if the owner's name cannot be a file name; and file errors.
    pub fn lease(&self, image: &Image, owner: &str) -> Result<(), StoreError> {
        let path = self.lease_path(owner)?;
        let _lock = self.lock(LockKind::Shared)?;
        if !self.image_path(&image.manifest_digest).exists() {
            return Err(StoreError::Gone(image.manifest_digest.clone()));
        }
        add_line(path, image.manifest_digest.hex())
    }

    /// The same for a layer of mount points; the caller has the store's lock.
    pub(super) fn lease_places(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        add_line(self.lease_path(owner)?, &format!("{PLACES}{name}"))
    }

    /// Gives up all leases of `owner`. None is no error.
    ///
    /// # Errors
    /// [`StoreError::Owner`], and file errors.
    pub fn release(&self, owner: &str) -> Result<(), StoreError> {
        files::remove_file(&self.lease_path(owner)?)
    }

    /// All leases of images, sorted by owner.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.all_leases().map(|leases| leases.images)
    }

    pub(super) fn all_leases(&self) -> Result<Leases, StoreError> {
        let directory = self.root.join("leases");
        let mut leases = Leases::default();
        for owner in files::list(&directory)? {
            let path = directory.join(&owner);
            let text = match fs::read(&path) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                // Released meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::io("read", &path, source)),
            };
            let lease = |manifest_digest| Lease {
                owner: owner.clone(),
                manifest_digest,
            };
            let mut is_complete = text.ends_with('\n');
            for line in text.lines() {
                if let Some(digest) = Digest::from_hex(line) {
                    leases.images.push(lease(digest));
                } else if let Some(name) = line.strip_prefix(PLACES) {
                    leases.places.insert(name.to_owned());
                } else {
                    is_complete = false;
                }
            }
            if !is_complete {
                leases.is_incomplete = true;
                leases
                    .images
                    .extend(self.image_digests()?.into_iter().map(lease));
            }
        }
        leases.images.sort();
        leases.images.dedup();
        Ok(leases)
    }

    fn lease_path(&self, owner: &str) -> Result<PathBuf, StoreError> {
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

/// Adds a line to the file, unless it has it.
fn add_line(path: PathBuf, line: &str) -> Result<(), StoreError> {
    let add = || {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        if text.lines().any(|known| known == line) && text.ends_with('\n') {
            return Ok(());
        }
        file.write_all(format!("{line}\n").as_bytes())
    };
    add().map_err(|source| StoreError::io("lease", &path, source))
}
