//! Lock files: held for as long as their process lives, released by the kernel however it ends.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// Takes the lock, or `None` when somebody else has it. Somebody who only looks ([`is_held`]) has it shared for that moment, and is waited for.
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
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => flock(&file, FlockOperation::Unlock)?,
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        std::thread::yield_now();
    }
}

/// Takes the lock, after whoever has it.
///
/// # Errors
///
/// When the file cannot be made or locked.
pub(crate) fn wait_exclusive(path: &Path) -> std::io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Locks an open file that nobody else can have locked. Whoever inherits the descriptor has the lock too.
///
/// # Errors
///
/// When somebody has, or the file cannot be locked.
pub(crate) fn take(file: &File) -> std::io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Waits until nobody holds the lock; false when that takes too long.
pub(crate) fn wait_until_free(file: &File, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while flock(file, FlockOperation::NonBlockingLockShared).is_err() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Whether `file` is the file of this lock.
///
/// # Errors
///
/// When one of the two cannot be looked at.
pub(crate) fn is_file_of(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let own = file.metadata()?;
    let locks = match std::fs::metadata(path) {
        Ok(locks) => locks,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok((own.dev(), own.ino()) == (locks.dev(), locks.ino()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_does_not_keep_anybody_from_taking_it() {
        let path = std::env::temp_dir().join(format!("podyard-lock-{}", std::process::id()));
        let looker = File::create(&path).expect("temporary file");
        flock(&looker, FlockOperation::LockShared).expect("shared");
        let taker = std::thread::spawn({
            let path = path.clone();
            move || try_exclusive(&path).expect("a file").is_some()
        });
        flock(&looker, FlockOperation::Unlock).expect("unlocked");
        assert!(taker.join().expect("no panic"));
        let held = try_exclusive(&path).expect("a file").expect("free again");
        assert!(is_held(&path));
        assert!(try_exclusive(&path).expect("a file").is_none());
        assert!(is_file_of(&held, &path).expect("files"));
        std::fs::remove_file(&path).expect("own file");
        assert!(!is_file_of(&held, &path).expect("files"));
    }
}
