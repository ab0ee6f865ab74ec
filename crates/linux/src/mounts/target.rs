//! Finding, and where needed making, the place of a mount inside the new root. Runs in the child: no heap.
//!
//! Every lookup goes through `openat2` with the new root as its root, so links in the image, absolute ones included, stay
//! inside it, and magic links are refused. What comes back is a descriptor; the path is not used again.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::open_confined;
use super::prepare::Target;

/// Links followed before giving up, as the kernel's own limit.
const LINK_LIMIT: usize = 40;
const PATH_LIMIT: usize = 4096;
/// How often a path is looked up anew: once for each name that is made, and whenever others change it at the same time. More
/// than any path needs, so that nobody who shares a volume can keep a launch from ending.
const ROUND_LIMIT: usize = 10_000;
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// What to make when nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Directory,
    File,
}

/// Opens (`O_PATH`) the place of a mount, making it and its parents when missing.
pub(crate) fn resolve(root: BorrowedFd<'_>, target: &Target, make: Make) -> Result<OwnedFd, Errno> {
    let mut buffer = path_of(target)?;
    let place = walk(root, &mut buffer, target.follow_links, make)?;
    // A link may lead into procfs, where a mount could fake what the kernel says about a process.
    if target.follow_links && !target.in_proc && is_procfs(place.as_fd())? {
        return Err(Errno::PERM);
    }
    Ok(place)
}

fn is_procfs(place: BorrowedFd<'_>) -> Result<bool, Errno> {
    let kind = rustix::fs::fstatfs(place)?.f_type;
    #[expect(
        clippy::useless_conversion,
        reason = "the width of f_type depends on the architecture"
    )]
    Ok(i64::from(kind) == PROC_SUPER_MAGIC)
}

/// Opens (`O_PATH`) the place without making anything.
pub(crate) fn lookup(root: BorrowedFd<'_>, target: &Target) -> Result<OwnedFd, Errno> {
    open(root, text(&path_of(target)?)?, target.follow_links)
}

/// The path relative to the root.
fn path_of(target: &Target) -> Result<[u8; PATH_LIMIT], Errno> {
    let mut buffer = [0_u8; PATH_LIMIT];
    let length = copy(&mut buffer, 0, target.relative.to_bytes())?;
    if length == 0 {
        buffer[0] = b'.';
    }
    Ok(buffer)
}

/// Opens (`O_PATH`) what is at `path` in the root, which must not lead over any link. `None` when nothing is there.
pub(crate) fn existing(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
    match open(root, path, false) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open(root: BorrowedFd<'_>, path: &CStr, follow_links: bool) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT;
    if !follow_links {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    open_confined(root, path, OFlags::PATH, resolve)
}

/// Opens the path in `buffer`, making what is missing on the way and following dangling links to where they point.
fn walk(
    root: BorrowedFd<'_>,
    buffer: &mut [u8; PATH_LIMIT],
    follow_links: bool,
    make: Make,
) -> Result<OwnedFd, Errno> {
    let mut links = 0;
    for _ in 0..ROUND_LIMIT {
        match open(root, text(buffer)?, follow_links) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let Some((parent, start, end)) = first_missing(root, buffer, follow_links)? else {
            // Somebody else has made it.
            continue;
        };
        let parent = parent.as_ref().map_or(root, AsFd::as_fd);
        let name = Name::cut(buffer, start, end)?;
        let make = if is_last(buffer, end) {
            make
        } else {
            Make::Directory
        };
        match create(parent, name.as_c_str(), make) {
            Ok(()) => continue,
            // A link that leads nowhere, or something that appeared meanwhile, as in a volume that others use.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        // There it may be a magic link that was not there a moment ago: its text is no path.
        if is_procfs(parent)? {
            return Err(Errno::LOOP);
        }
        let mut link = [0_u8; PATH_LIMIT];
        match rustix::fs::readlinkat_raw(parent, name.as_c_str(), &mut link[..]) {
            Ok(size) => {
                links += 1;
                if !follow_links || links > LINK_LIMIT || size >= PATH_LIMIT {
                    return Err(Errno::LOOP);
                }
                replace(buffer, start, end, &link[..size])?;
            }
            Err(Errno::NOENT | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::AGAIN)
}

/// Whether no name follows in the path.
fn is_last(buffer: &[u8; PATH_LIMIT], end: usize) -> bool {
    let rest = buffer[end..].iter().take_while(|&&byte| byte != 0);
    rest.into_iter().all(|&byte| byte == b'/')
}

fn create(parent: BorrowedFd<'_>, name: &CStr, make: Make) -> Result<(), Errno> {
    match make {
        Make::Directory => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Make::File => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

/// The directory (`None` for the root) in which a name of the path is missing, and where that name stands. The path as a whole
/// has just been found missing; nothing, if it is there by now.
fn first_missing(
    root: BorrowedFd<'_>,
    buffer: &mut [u8; PATH_LIMIT],
    follow_links: bool,
) -> Result<Option<(Option<OwnedFd>, usize, usize)>, Errno> {
    let mut parent = None;
    let mut start = 0;
    loop {
        while buffer[start] == b'/' {
            start += 1;
        }
        if buffer[start] == 0 {
            return Ok(None);
        }
        let end = start
            + buffer[start..]
                .iter()
                .position(|&b| b == b'/' || b == 0)
                .unwrap_or(0);
        if is_last(buffer, end) {
            return Ok(Some((parent, start, end)));
        }
        let after = std::mem::replace(&mut buffer[end], 0);
        let found = text(buffer).and_then(|prefix| open(root, prefix, follow_links));
        buffer[end] = after;
        match found {
            Ok(directory) => parent = Some(directory),
            Err(Errno::NOENT) => return Ok(Some((parent, start, end))),
            Err(errno) => return Err(errno),
        }
        start = end;
    }
}

/// Puts what a link says in the place of the link's name; an absolute one replaces what stands before it as well.
fn replace(
    buffer: &mut [u8; PATH_LIMIT],
    start: usize,
    end: usize,
    link: &[u8],
) -> Result<(), Errno> {
    let mut result = [0_u8; PATH_LIMIT];
    let mut length = 0;
    if link.first() != Some(&b'/') {
        length = copy(&mut result, length, &buffer[..start])?;
    }
    length = copy(&mut result, length, link)?;
    let rest = buffer[end..]
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(0);
    copy(&mut result, length, &buffer[end..end + rest])?;
    *buffer = result;
    Ok(())
}

/// Copies with room left for the final NUL.
fn copy(buffer: &mut [u8; PATH_LIMIT], at: usize, bytes: &[u8]) -> Result<usize, Errno> {
    let end = at + bytes.len();
    if end >= PATH_LIMIT {
        return Err(Errno::NAMETOOLONG);
    }
    buffer[at..end].copy_from_slice(bytes);
    Ok(end)
}

fn text(buffer: &[u8; PATH_LIMIT]) -> Result<&CStr, Errno> {
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::NAMETOOLONG)
}

/// One name of a path, with a NUL behind it.
struct Name {
    bytes: [u8; 256],
}

impl Name {
    fn cut(buffer: &[u8; PATH_LIMIT], start: usize, end: usize) -> Result<Self, Errno> {
        let name = &buffer[start..end];
        let mut bytes = [0_u8; 256];
        bytes
            .get_mut(..name.len())
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(name);
        if bytes[255] == 0 {
            Ok(Self { bytes })
        } else {
            Err(Errno::NAMETOOLONG)
        }
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
