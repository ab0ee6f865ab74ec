//! Copying a tree of files between two directories of which at least one belongs to somebody who may be hostile and changes it meanwhile.
//!
//! - Nothing is reached by a path of more than one name, and no symbolic link is followed: every directory is entered by descriptor.
//! - A file is opened without effect first (`O_PATH`), and read only if it is a regular one: a device or a FIFO is never touched.
//! - A new file is made under a name of its own and moved to its place: what is there already is replaced and never written to.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How deep directories may lie in each other. Each level takes two descriptors.
const DEEPEST: usize = 200;
/// Permissions that are kept.
const PERMISSIONS: u32 = 0o777;

/// How entries are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Who owns what is made; whoever makes it, if None.
    pub(super) owner: Option<Owner>,
    /// Symbolic links are copied as such; otherwise they are left out, since what they lead to may be another thing here.
    pub(super) with_links: bool,
}

/// Who owns what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever owns the original.
    Same,
    /// User and group.
    Ids(u32, u32),
}

/// Why the copy ended early, and at which entry.
#[derive(Debug, thiserror::Error)]
#[error("`{}`", path.display())]
pub(super) struct CopyError {
    path: std::path::PathBuf,
    source: io::Error,
}

/// A copy that goes on.
pub(super) struct Copying<'a> {
    manner: Manner,
    /// Where we are, for messages.
    path: std::path::PathBuf,
    depth: usize,
    /// Told of what is left out.
    left_out: &'a mut dyn FnMut(&std::path::Path, &str),
}

impl<'a> Copying<'a> {
    /// `path` is what messages call the original.
    pub(super) fn new(
        manner: Manner,
        path: std::path::PathBuf,
        left_out: &'a mut dyn FnMut(&std::path::Path, &str),
    ) -> Self {
        Self {
            manner,
            path,
            depth: 0,
            left_out,
        }
    }

    /// Copies what is open as `from` to `name` in `into`.
    pub(super) fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        name: &OsStr,
    ) -> Result<(), CopyError> {
        let stat = rustix::fs::fstat(from).map_err(|errno| self.failed(errno))?;
        let mode = Mode::from_bits_truncate(stat.st_mode & PERMISSIONS);
        let owner = self.manner.owner.map(|owner| match owner {
            Owner::Same => (stat.st_uid, stat.st_gid),
            Owner::Ids(user, group) => (user, group),
        });
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self
                .file(from, into, name, mode, owner)
                .map_err(|error| self.failed(error)),
            FileType::Directory => {
                let made =
                    directory(into, name, mode, owner).map_err(|error| self.failed(error))?;
                self.contents(from, made.as_fd())
            }
            FileType::Symlink if self.manner.with_links => {
                link(from, into, name, owner).map_err(|error| self.failed(error))
            }
            kind => {
                let what = match kind {
                    FileType::Symlink => "a symbolic link",
                    FileType::Fifo => "a FIFO",
                    FileType::Socket => "a socket",
                    FileType::CharacterDevice | FileType::BlockDevice => "a device",
                    _ => "no file",
                };
                (self.left_out)(&self.path, what);
                Ok(())
            }
        }
    }

    /// Copies what is in the directory that is open as `from` into `into`.
    pub(super) fn contents(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
    ) -> Result<(), CopyError> {
        if self.depth == DEEPEST {
            return Err(self.failed(io::Error::other("directories lie too deep in each other")));
        }
        let readable = reopened(from, OFlags::RDONLY | OFlags::DIRECTORY);
        let readable = readable.map_err(|error| self.failed(error))?;
        let mut names: Vec<OsString> = Vec::new();
        for entry in Dir::read_from(&readable).map_err(|errno| self.failed(errno))? {
            let entry = entry.map_err(|errno| self.failed(errno))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        self.depth += 1;
        for name in names {
            self.path.push(&name);
            match rustix::fs::openat(&readable, &name, looked_at(), Mode::empty()) {
                Ok(from) => self.entry(from.as_fd(), into, &name)?,
                // It has just gone.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
            self.path.pop();
        }
        self.depth -= 1;
        Ok(())
    }

    fn file(
        &self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        name: &OsStr,
        mode: Mode,
        owner: Option<(u32, u32)>,
    ) -> io::Result<()> {
        let mut from = File::from(reopened(from, OFlags::RDONLY | OFlags::NOFOLLOW)?);
        let temporary = temporary_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let to = rustix::fs::openat(into, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let mut to = File::from(to);
        let written = io::copy(&mut from, &mut to).and_then(|_| {
            own(to.as_fd(), owner)?;
            rustix::fs::fchmod(&to, mode)?;
            Ok(rustix::fs::renameat(into, &temporary, into, name)?)
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(into, &temporary, AtFlags::empty());
        }
        written
    }

    fn failed(&self, error: impl Into<io::Error>) -> CopyError {
        CopyError {
            path: self.path.clone(),
            source: error.into(),
        }
    }
}

/// How entries are opened to be looked at: without any effect, links as themselves.
pub(super) fn looked_at() -> OFlags {
    OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// The same file, opened to be read.
fn reopened(from: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", from.as_raw_fd());
    // That entry is a link of the kernel's, which has to be followed: what it leads to was looked at.
    let flags = (flags - OFlags::NOFOLLOW) | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Makes a directory, or takes the one that is there; a link to one is not one.
fn directory(
    into: BorrowedFd<'_>,
    name: &OsStr,
    mode: Mode,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    let is_new = match rustix::fs::mkdirat(into, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(into, name, flags, Mode::empty())?;
    if is_new {
        own(made.as_fd(), owner)?;
        rustix::fs::fchmod(&made, mode | Mode::RWXU)?;
    }
    Ok(made)
}

/// Copies a symbolic link as what it says, in place of whatever is no directory.
fn link(
    from: BorrowedFd<'_>,
    into: BorrowedFd<'_>,
    name: &OsStr,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let target = rustix::fs::readlinkat(from, "", Vec::new())?;
    let temporary = temporary_name();
    rustix::fs::symlinkat(&*target, into, &temporary)?;
    let placed = (|| {
        if let Some((user, group)) = owner {
            let (user, group) = ids(user, group);
            rustix::fs::chownat(into, &temporary, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        rustix::fs::renameat(into, &temporary, into, name)
    })();
    if placed.is_err() {
        let _ = rustix::fs::unlinkat(into, &temporary, AtFlags::empty());
    }
    Ok(placed?)
}

fn own(file: BorrowedFd<'_>, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((user, group)) = owner else {
        return Ok(());
    };
    let (user, group) = ids(user, group);
    Ok(rustix::fs::fchown(file, user, group)?)
}

fn ids(user: u32, group: u32) -> (Option<rustix::fs::Uid>, Option<rustix::fs::Gid>) {
    let user = rustix::fs::Uid::from_raw(user);
    (Some(user), Some(rustix::fs::Gid::from_raw(group)))
}

/// A name that nobody can guess.
fn temporary_name() -> String {
    let mut bytes = [0_u8; 8];
    // 8 bytes are never cut short.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!(".podyard-cp-{:016x}", u64::from_ne_bytes(bytes))
}
