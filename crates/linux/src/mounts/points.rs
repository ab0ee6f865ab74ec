//! A layer with nothing but the places of mounts.
//!
//! A place that an image lacks is made in the container's own directory, each time: a new inode on disk, the dearest part of a
//! launch after the wait for cgroups, and a change that the container did not make. A layer below the image's has them ready:
//! it shows only where the image has nothing, and all containers with the same mounts can share it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Mount, MountSource, open_confined};

/// Makes the places of these mounts in the directory `layer`, which is made as well; what is there already stays.
///
/// To be used as the lowest of [`Rootfs::Overlay`](crate::Rootfs::Overlay)'s layers. Nothing else may be in it, and no
/// container may write to it.
///
/// # Errors
/// When a directory or file cannot be made. A source that does not exist is none: its mount fails by itself.
pub fn make_mount_points(layer: &Path, mounts: &[Mount]) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    if let Some(missing) = refused(rustix::fs::mkdir(layer, mode)) {
        return Err(missing.into());
    }
    let layer = File::open(layer)?;
    for (place, mount) in mounts.iter().enumerate() {
        let is_below = |other: &Mount| mount.destination.starts_with(&other.destination);
        if mounts[..place].iter().any(is_below) {
            continue;
        }
        if let Some(is_directory) = mount.is_directory() {
            make(layer.as_fd(), &mount.destination, is_directory)?;
        }
    }
    Ok(())
}

impl Mount {
    /// Whether the place of this mount is a directory and not a file; `None` when its source is not there.
    #[must_use]
    pub fn is_directory(&self) -> Option<bool> {
        let status = match &self.source {
            MountSource::Bind { path, .. } => rustix::fs::stat(path),
            MountSource::BindFd { fd, .. } => rustix::fs::fstat(fd),
            _ => return Some(true),
        };
        let status = status.ok()?;
        Some(FileType::from_raw_mode(status.st_mode).is_dir())
    }
}

fn make(layer: BorrowedFd<'_>, destination: &Path, is_directory: bool) -> Result<(), Errno> {
    let mut names = destination
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .peekable();
    // One with `..` would lead elsewhere; it is left to the launcher.
    let climbs = |component| component == Component::ParentDir;
    if destination.components().any(climbs) {
        return Ok(());
    }
    let mut parent: Option<OwnedFd> = None;
    while let Some(name) = names.next() {
        let directory = parent.as_ref().map_or(layer, AsFd::as_fd);
        if names.peek().is_some() || is_directory {
            let made = rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755));
            if let Some(errno) = refused(made) {
                return Err(errno);
            }
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let found = open_confined(directory, name, flags, resolve);
            match found {
                Ok(found) => parent = Some(found),
                // Another mount wants a file there: the launcher will say so.
                Err(Errno::NOTDIR) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            let made = rustix::fs::openat(directory, name, flags, mode).map(drop);
            if let Some(errno) = refused(made) {
                return Err(errno);
            }
        }
    }
    Ok(())
}

/// Why something was not made, unless it is there already.
fn refused(made: Result<(), Errno>) -> Option<Errno> {
    made.err().filter(|&errno| errno != Errno::EXIST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn below(directory: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![directory.to_owned()];
        while let Some(next) = left.pop() {
            for entry in std::fs::read_dir(next).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    left.push(path.clone());
                }
                found.push(path.strip_prefix(directory).expect("below").to_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn places_are_of_the_kind_of_their_sources() {
        let directory = tempfile::tempdir().expect("a directory");
        let layer = directory.path().join("layer");
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let mut mounts = super::super::defaults();
        mounts.extend([
            Mount::bind(directory.path(), "/data/deep"),
            Mount::bind(&file, "/etc/hosts"),
            Mount::bind(&file, "/data/deep/inside"),
            Mount::bind("/no/such/source", "/nothing"),
            Mount::bind(directory.path(), "/up/../../outside"),
        ]);
        for _ in 0..2 {
            make_mount_points(&layer, &mounts).expect("made");
            let expected = [
                "data",
                "data/deep",
                "dev",
                "etc",
                "etc/hosts",
                "proc",
                "sys",
            ];
            assert_eq!(below(&layer), expected.map(PathBuf::from));
        }
        assert!(layer.join("etc/hosts").is_file());
        assert_eq!(below(directory.path()).len(), 2 + 7);
    }
}
