//! The parents of directories that have nothing to do with each other.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

/// Makes a directory in which every pod has one of its own, and asks the file system to keep those apart (`T` in chattr(1)).
///
/// ext4 otherwise puts all of them into one block group, and looks there for a free inode past every one that was freed a short while ago.
/// Without a journal it goes by those of the last seconds one by one: after a few hundred pods that is most of what a start takes.
///
/// # Errors
///
/// When the directory cannot be made. A file system that knows no such wish is no error.
pub(crate) fn make_parent(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let _ = rustix::fs::open(path, flags, Mode::empty()).and_then(|directory| {
        let known = rustix::fs::ioctl_getflags(&directory)?;
        if known.contains(IFlags::TOPDIR) {
            return Ok(());
        }
        rustix::fs::ioctl_setflags(&directory, known | IFlags::TOPDIR)
    });
    Ok(())
}
