//! Images of many layers, joined into one directory of hard links: mounting one directory costs the same however the image was built, while
//! overlayfs looks into each layer for each name of a path, and for each mount anew.
//!
//! A joined directory is a layer like others, made of them and beside them: it takes no space but for its directories, the layers stay what
//! other images share, and without it (none was made, or the file system allows no more links) they are mounted as they are.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod,
    fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, futimens, linkat, mkdirat,
    openat, statat,
};
use rustix::io::Errno;

use super::files::{self, DIRECTORY};
use super::records::ImageRecord;
use crate::digest::Digest;
use crate::unpack::attributes::{OPAQUE, is_wanted};

/// Images with more layers than these are joined. Fewer cost less than the links.
const MOST: usize = 16;

impl ImageRecord {
    /// What the joined layers of this image go by among the layers, if it has so many.
    pub(super) fn joined(&self) -> Option<Digest> {
        let layers: Vec<_> = self.layers_for_overlay().collect();
        (layers.len() > MOST).then(|| {
            let mut text = String::from("joined\n");
            for layer in layers {
                text.push_str(layer.diff_id.hex());
                text.push('\n');
            }
            Digest::of(text.as_bytes())
        })
    }
}

/// Makes in `target`, which does not exist yet, what an overlay of these layers (lowest first) would show.
pub(super) fn join<'p>(layers: impl Iterator<Item = &'p Path>, target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    let target = openat(CWD, target, DIRECTORY, Mode::empty())?;
    for layer in layers {
        let layer = openat(CWD, layer, DIRECTORY, Mode::empty())?;
        lay_over(layer.as_fd(), target.as_fd())?;
    }
    Ok(())
}

/// Puts the content of a directory of a layer, and what it is itself, over the same directory of those below.
fn lay_over(layer: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(layer)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let status = statat(layer, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind == FileType::Directory {
            let upper = openat(layer, name, DIRECTORY, Mode::empty())?;
            if is_opaque(upper.as_fd())? || !is_directory(target, name)? {
                remove(target, name)?;
                mkdirat(target, name, Mode::RWXU)?;
            }
            let lower = openat(target, name, DIRECTORY, Mode::empty())?;
            lay_over(upper.as_fd(), lower.as_fd())?;
        } else {
            remove(target, name)?;
            let is_whiteout = kind == FileType::CharacterDevice && status.st_rdev == 0;
            if !is_whiteout {
                linkat(layer, name, target, name, AtFlags::empty())?;
            }
        }
    }
    // After its content, which has changed its times.
    copy_attributes(layer, target)
}

fn is_directory(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match files::remove_tree_at(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn is_opaque(directory: BorrowedFd<'_>) -> io::Result<bool> {
    for name in OPAQUE {
        let mut value = [0_u8; 1];
        match fgetxattr(directory, name, &mut value[..]) {
            Ok(1) if value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}

/// Owner, mode, times and extended attributes, but for those that only overlayfs reads. The order matters: a change of owner clears bits of
/// the mode.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let status: Stat = fstat(from)?;
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchown(to, Some(uid), Some(gid))?;
    fchmod(to, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    // The last layer's directory says everything about it.
    for name in attributes(to)? {
        fremovexattr(to, name.as_os_str())?;
    }
    for name in attributes(from)? {
        let mut value = vec![0_u8; fgetxattr(from, name.as_os_str(), &mut [] as &mut [u8])?];
        let length = fgetxattr(from, name.as_os_str(), &mut value[..])?;
        fsetxattr(to, name.as_os_str(), &value[..length], XattrFlags::empty())?;
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: status.st_atime,
            tv_nsec: status.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: status.st_mtime_nsec as _,
        },
    };
    Ok(futimens(to, &times)?)
}

/// The names of a directory's own attributes: file capabilities and users' ones, as layers have them.
fn attributes(directory: BorrowedFd<'_>) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = match flistxattr(directory, &mut [] as &mut [u8]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => vec![0_u8; length],
        Err(errno) => return Err(errno.into()),
    };
    let length = flistxattr(directory, &mut names[..])?;
    let names = names[..length].split(|&byte| byte == 0);
    Ok(names
        .filter(|name| is_wanted(name))
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect())
}
