//! Layers of mount points: directories with nothing but the places of a container's mounts, which most images lack. All containers with the
//! same mounts share one, whichever pod they belong to. What is in it is the caller's matter; here it has a name, and stays for as long as
//! somebody has a lease on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{self, LockKind};
use super::{Store, StoreError};

impl Store {
    /// The layer of this name, made by `make` if there is none, and kept until `owner` releases its leases. `name` must be one that can be
    /// a file's, and say everything about the content.
    ///
    /// It comes into its place when it is complete. `make` is given the place where it is made, in which nothing is yet.
    ///
    /// # Errors
    /// [`StoreError::Owner`] if the owner's name cannot be a file name, and file errors.
    pub fn places(
        &self,
        name: &str,
        owner: &str,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<PathBuf, StoreError> {
        // Of its own for each thread that makes one.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let path = self.places_directory().join(name);
        let _lock = self.lock(LockKind::Shared)?;
        self.lease_places(name, owner)?;
        if path.exists() {
            return Ok(path);
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let new = self
            .places_directory()
            .join(format!(".{}-{serial}", std::process::id()));
        let made = fs::create_dir_all(self.places_directory())
            .and_then(|()| remove(&new))
            .and_then(|()| make(&new))
            .and_then(|()| match fs::rename(&new, &path) {
                // Somebody else was faster, with the same.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => remove(&new),
                renamed => renamed,
            });
        made.map_err(|source| StoreError::io("make", &path, source))?;
        Ok(path)
    }

    /// Names and directories of all of them, and of what was left half made; the caller has the store for itself.
    pub(super) fn all_places(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let directory = self.places_directory();
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let with_path = |name: String| (name.clone(), directory.join(name));
        Ok(files::list(&directory)?
            .into_iter()
            .map(with_path)
            .collect())
    }

    /// Where all of them are. Beside them, what is being made has names that begin with a dot.
    fn places_directory(&self) -> PathBuf {
        self.root.join("places")
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
