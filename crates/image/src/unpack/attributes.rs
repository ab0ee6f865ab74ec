//! Owners, modes, times and extended attributes of unpacked files, and what overlayfs calls a whiteout.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, futimens, mknodat, utimensat,
};
use rustix::io::{self, Errno};

use super::LayerError;
use super::archive::Entry;
use super::path::refused;

/// The attributes of an entry, checked.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    mode: Mode,
    owner: Option<(Uid, Gid)>,
    times: Timestamps,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// `may_chown` is false without root's rights: everything then belongs to the user who unpacks.
    pub(super) fn of(entry: &Entry, may_chown: bool) -> Result<Self, LayerError> {
        let id = |number: u64| {
            // The last number means "leave as it is" to the kernel.
            u32::try_from(number)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| refused(&entry.path, "its owner's number is not one"))
        };
        let owner = (Uid::from_raw(id(entry.uid)?), Gid::from_raw(id(entry.gid)?));
        // What root makes belongs to root already.
        let needs_chown = may_chown && owner != (Uid::ROOT, Gid::ROOT);
        let time = Timespec {
            tv_sec: entry.mtime.0,
            tv_nsec: entry.mtime.1.into(),
        };
        Ok(Self {
            mode: Mode::from_raw_mode(entry.mode & 0o7777),
            owner: needs_chown.then_some(owner),
            times: Timestamps {
                last_access: time,
                last_modification: time,
            },
            xattrs: entry
                .xattrs
                .iter()
                .filter(|(name, _)| is_wanted(name))
                .cloned()
                .collect(),
        })
    }

    /// For directories that an archive uses without listing them.
    pub(super) fn of_implied_directory() -> Self {
        let epoch = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        Self {
            mode: Mode::from_raw_mode(0o755),
            owner: None,
            times: Timestamps {
                last_access: epoch,
                last_modification: epoch,
            },
            xattrs: Vec::new(),
        }
    }

    /// Sets everything on an open file or directory. The order matters: a change of owner clears setuid bits and
    /// file capabilities.
    pub(super) fn apply(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            fchown(file, Some(uid), Some(gid))?;
        }
        fchmod(file, self.mode)?;
        for (name, value) in &self.xattrs {
            match fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
                // Neither the file system's nor the user's limits make an image unusable.
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        futimens(file, &self.times)
    }

    /// Sets what a symbolic link can have: owner and times.
    pub(super) fn apply_to_link(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            chownat(
                parent,
                name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        utimensat(parent, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets everything but extended attributes on a FIFO, which cannot be opened without waiting. The caller has
    /// just made it, and nobody else can reach the directory: it is no symbolic link.
    pub(super) fn apply_to_fifo(&self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            chownat(
                parent,
                name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        rustix::fs::chmodat(parent, name, self.mode, AtFlags::empty())?;
        utimensat(parent, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// File capabilities and users' own attributes. Not overlayfs' attributes: they could point out of the layer
/// (`redirect`, `metacopy`). Not the labels of a security module of another machine.
pub(crate) fn is_wanted(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// Makes the entry that hides a name of lower layers from overlayfs: a character device 0/0.
pub(super) fn make_whiteout(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// What says of a directory that it hides the content that lower layers have for it. Without root's rights overlayfs is mounted with
/// `userxattr`, and reads the second one.
pub(crate) const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Makes a directory hide the content that lower layers have for it.
pub(super) fn make_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    let set = |name| fsetxattr(directory, name, b"y", XattrFlags::empty());
    match set(OPAQUE[0]) {
        Err(Errno::PERM) => set(OPAQUE[1]),
        result => result,
    }
}
