//! Lock files: held for as long as their process lives, released by the kernel however it ends.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Takes the lock, or `None` when somebody else has it.
///
/// # Errors
///
/// When the file cannot be made or locked for another reason.
pub(crate) fn try_exclusive(path: &Path) -> std::io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether somebody holds the lock. A file that does not exist is not held.
#[must_use]
pub(crate) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(
        flock(&file, FlockOperation::NonBlockingLockShared),
        Err(rustix::io::Errno::WOULDBLOCK)
    )
}
