//! Small file operations that the store is built from: atomic writes, locks, and removal of hostile trees.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;

use super::StoreError;

/// Writes a new file of the store; the caller renames it into place.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<File, StoreError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        Ok(file)
    };
    write().map_err(|source| StoreError::io("write", path, source))
}

/// Reads a file of the store; `None` if it does not exist.
///
/// An empty file counts as absent: that is what remains of a new file when power is lost between its rename and
/// the write-back of its content.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) if content.is_empty() => Ok(None),
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::io("read", path, source)),
    }
}

/// Reads at most `limit` bytes; `None` if there is more.
pub(crate) fn read_limited(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    reader.take(limit + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= limit).then_some(content))
}

/// The names in a directory of the store.
pub(super) fn list(path: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    read().map_err(|source| StoreError::io("list", path, source))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|source| StoreError::io("rename to", to, source))
}

/// Removes a file; it may be gone already.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// An advisory lock on a file, held until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
    /// Set for lock files that are removed when they are released.
    transient: Option<PathBuf>,
}

/// Which lock to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockKind {
    Shared,
    Exclusive,
}

impl FileLock {
    /// Takes a lock on a file that stays, waiting for other processes.
    pub(super) fn wait(path: &Path, kind: LockKind) -> Result<Self, StoreError> {
        let operation = match kind {
            LockKind::Shared => FlockOperation::LockShared,
            LockKind::Exclusive => FlockOperation::LockExclusive,
        };
        let file = open_lock_file(path)?;
        lock(&file, operation).map_err(|errno| StoreError::io("lock", path, errno.into()))?;
        Ok(Self {
            _file: file,
            transient: None,
        })
    }

    /// Takes an exclusive lock on a file that is removed again afterwards. `on_wait` is called once if another
    /// process holds it.
    pub(super) fn wait_transient(path: &Path, on_wait: impl FnOnce()) -> Result<Self, StoreError> {
        let mut on_wait = Some(on_wait);
        loop {
            let file = open_lock_file(path)?;
            let failed = |errno: Errno| StoreError::io("lock", path, errno.into());
            match lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    if let Some(on_wait) = on_wait.take() {
                        on_wait();
                    }
                    lock(&file, FlockOperation::LockExclusive).map_err(failed)?;
                }
                Err(errno) => return Err(failed(errno)),
            }
            // The holder before us may have removed the file; then others will lock another one.
            if is_same_file(&file, path) {
                return Ok(Self {
                    _file: file,
                    transient: Some(path.to_owned()),
                });
            }
        }
    }

    /// Takes an exclusive lock on an existing directory if nobody holds it.
    pub(super) fn try_directory(path: &Path) -> Option<Self> {
        let flags = i32::try_from((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits()).ok()?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .ok()?;
        lock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self {
            _file: file,
            transient: None,
        })
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Some(path) = &self.transient {
            // Left behind it would do no harm; the next holder removes it.
            let _ = fs::remove_file(path);
        }
    }
}

fn open_lock_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::io("open lock", path, source))
}

fn lock(file: &File, operation: FlockOperation) -> Result<(), Errno> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Removes a directory with everything below it; it may be gone already.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let remove = || -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = File::open(parent)?;
        remove_tree_at(parent.as_fd(), name)
    };
    match remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Removes whatever stands under `name` in `parent`, following no link.
///
/// Walks by `..` with a constant number of descriptors: a hostile layer can be nested more deeply than a process
/// may have files open, or a stack has room for.
pub(crate) fn remove_tree_at(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut current = open_directory(parent, name)?;
    // Per level: the name of the directory we are in, and the subdirectories still to be removed.
    let mut levels: Vec<(CString, Vec<CString>)> = Vec::new();
    let mut pending = unlink_files(&current)?;
    let mut own_name = CString::new(name.as_bytes())?;
    loop {
        if let Some(child) = pending.pop() {
            let next = match open_directory(current.as_fd(), OsStr::from_bytes(child.as_bytes())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                next => next?,
            };
            let grandchildren = unlink_files(&next)?;
            levels.push((
                std::mem::replace(&mut own_name, child),
                std::mem::replace(&mut pending, grandchildren),
            ));
            current = next;
            continue;
        }
        let Some((parent_name, siblings)) = levels.pop() else {
            unlinkat(parent, own_name.as_c_str(), AtFlags::REMOVEDIR)?;
            return Ok(());
        };
        current = openat(&current, c"..", DIRECTORY, Mode::empty())?;
        unlinkat(&current, own_name.as_c_str(), AtFlags::REMOVEDIR)?;
        own_name = parent_name;
        pending = siblings;
    }
}

/// How a directory is opened, and nothing that a link leads to.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => Ok(directory),
        // Without CAP_DAC_OVERRIDE the owner may have to grant itself access first.
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            Ok(openat(parent, name, DIRECTORY, Mode::empty())?)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Unlinks everything in a directory that is not a directory itself, and returns the names of those.
fn unlink_files(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut directories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) => continue,
                Err(Errno::ISDIR | Errno::PERM) => true,
                Err(errno) => return Err(errno.into()),
            },
            _ => false,
        };
        if is_directory {
            directories.push(name.to_owned());
        } else {
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                // The directory may have been closed to its owner by the image.
                Err(Errno::ACCESS) => {
                    rustix::fs::fchmod(directory, Mode::RWXU)?;
                    unlinkat(directory, name, AtFlags::empty())?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    /// Goal: a tree that is deeper than the number of files a process may open goes away completely.
    #[test]
    fn removes_trees_of_any_depth_and_follows_no_link() {
        let base = std::env::temp_dir().join(format!("podyard-remove-{}", std::process::id()));
        fs::create_dir_all(base.join("tree/side")).unwrap();
        fs::write(base.join("outside"), "kept").unwrap();
        std::os::unix::fs::symlink("../outside", base.join("tree/link")).unwrap();
        let mut current = OwnedFd::from(File::open(base.join("tree")).unwrap());
        for _ in 0..3000 {
            mkdirat(&current, "d", Mode::RWXU).unwrap();
            current = openat(&current, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        remove_tree(&base.join("tree")).unwrap();
        assert!(!base.join("tree").exists());
        assert_eq!(fs::read_to_string(base.join("outside")).unwrap(), "kept");
        remove_tree(&base.join("tree")).unwrap();
        remove_tree(&base).unwrap();
        assert!(!base.exists());
    }
}
