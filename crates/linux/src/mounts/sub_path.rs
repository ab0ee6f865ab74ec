//! A path below a volume, opened such that nothing a container does in the volume leads out of it.
//!
//! A container that shares the volume may exchange any part of the path for a link at any moment. So nothing is checked and
//! then used by name: what comes back is a descriptor, made by lookups that the kernel confines to the volume, and it is
//! what gets mounted ([`Mount::bind_fd`](crate::Mount::bind_fd)).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::open_confined;

/// Why a path below a volume cannot be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubPathError {
    /// It is absolute, or has `..` in it.
    #[error("`{}` is not a relative path without `..`", path.display())]
    Malformed {
        /// As given.
        path: PathBuf,
    },
    /// It leads out of the volume, over a link or otherwise.
    #[error("`{}` leads out of the volume", path.display())]
    Outside {
        /// As given.
        path: PathBuf,
    },
    /// A missing directory cannot be made.
    #[error("could not create the directory `{}` in the volume", path.display())]
    Create {
        /// How far the path had been followed.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot be opened.
    #[error("could not open `{}` in the volume", path.display())]
    Open {
        /// How far the path had been followed.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Opens (`O_PATH`) what is at `path` in the volume. What is missing is made as directories with the volume's own permissions.
///
/// Links are followed as long as they stay in the volume; a missing directory is not made behind one that leads nowhere.
///
/// # Errors
/// When the path is malformed, leads out of the volume, or cannot be opened or made.
pub fn open_sub_path(volume: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, SubPathError> {
    let names = names(path)?;
    match open(volume, path, ResolveFlags::BENEATH) {
        Err(Errno::NOENT) => make(volume, path, &names),
        found => found.map_err(|errno| failed(path, path, errno)),
    }
}

fn names(path: &Path) -> Result<Vec<&OsStr>, SubPathError> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err(malformed(path)),
        }
    }
    if names.is_empty() {
        return Err(malformed(path));
    }
    Ok(names)
}

fn malformed(path: &Path) -> SubPathError {
    SubPathError::Malformed {
        path: path.to_owned(),
    }
}

fn failed(path: &Path, so_far: &Path, errno: Errno) -> SubPathError {
    match errno {
        Errno::XDEV => SubPathError::Outside {
            path: path.to_owned(),
        },
        errno => SubPathError::Open {
            path: so_far.to_owned(),
            source: errno.into(),
        },
    }
}

/// Follows the path name by name and makes what is missing.
fn make(volume: BorrowedFd<'_>, path: &Path, names: &[&OsStr]) -> Result<OwnedFd, SubPathError> {
    let mut so_far = PathBuf::new();
    let mut place: Option<OwnedFd> = None;
    for name in names {
        so_far.push(name);
        let parent = place.as_ref().map_or(volume, AsFd::as_fd);
        // From the volume and not from the parent: a link may climb, if it stays inside.
        place = Some(match open(volume, &so_far, ResolveFlags::BENEATH) {
            Err(Errno::NOENT) => {
                make_directory(volume, parent, name).map_err(|errno| SubPathError::Create {
                    path: so_far.clone(),
                    source: errno.into(),
                })?
            }
            found => found.map_err(|errno| failed(path, &so_far, errno))?,
        });
    }
    place.ok_or_else(|| malformed(path))
}

fn make_directory(
    volume: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(volume)?.st_mode);
    let made = match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno),
    };
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = open_confined(parent, Path::new(name), flags, confined)?;
    if made {
        // The caller's umask has had its say.
        rustix::fs::fchmod(&directory, mode)?;
    }
    Ok(directory)
}

fn open(volume: BorrowedFd<'_>, path: &Path, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    open_confined(volume, path, OFlags::PATH, resolve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn volume() -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("volume")).expect("the volume");
        fs::create_dir(directory.path().join("outside")).expect("its neighbour");
        let volume = File::open(directory.path().join("volume")).expect("open");
        (directory, volume)
    }

    #[test]
    fn missing_directories_are_made_with_the_volumes_permissions() {
        let (directory, volume) = volume();
        let path = directory.path().join("volume");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o2777)).expect("mode");
        open_sub_path(volume.as_fd(), Path::new("a/./b")).expect("made");
        for made in ["a", "a/b"] {
            let mode = fs::metadata(path.join(made)).expect("it is there").mode();
            assert_eq!(mode & 0o7777, 0o2777, "{made}");
        }
    }

    #[test]
    fn what_is_there_is_opened_also_behind_links_inside() {
        let (directory, volume) = volume();
        let path = directory.path().join("volume");
        fs::create_dir_all(path.join("a/b")).expect("directories");
        fs::write(path.join("a/b/file"), "").expect("a file");
        symlink("../a/b", path.join("a/up")).expect("a link");
        let opened = open_sub_path(volume.as_fd(), Path::new("a/up/file")).expect("opened");
        let inode = rustix::fs::fstat(&opened).expect("stat").st_ino;
        let expected = fs::metadata(path.join("a/b/file")).expect("stat").ino();
        assert_eq!(inode, expected);
        open_sub_path(volume.as_fd(), Path::new("a/up/new")).expect("made behind the link");
        assert!(path.join("a/b/new").is_dir());
    }

    #[test]
    fn nothing_leads_out() {
        let (directory, volume) = volume();
        let path = directory.path().join("volume");
        symlink("../outside", path.join("relative")).expect("a link");
        symlink(directory.path().join("outside"), path.join("absolute")).expect("a link");
        symlink("missing", path.join("dangling")).expect("a link");
        let check = |sub_path: &str| open_sub_path(volume.as_fd(), Path::new(sub_path));
        for outside in ["relative", "absolute", "relative/new", "absolute/new/er"] {
            let refused = check(outside);
            assert!(
                matches!(refused, Err(SubPathError::Outside { .. })),
                "{outside}: {refused:?}"
            );
        }
        for dangling in ["dangling", "dangling/new"] {
            let refused = check(dangling);
            assert!(
                matches!(refused, Err(SubPathError::Create { .. })),
                "{dangling}: {refused:?}"
            );
        }
        for malformed in ["", ".", "..", "a/../..", "/etc"] {
            let refused = check(malformed);
            assert!(
                matches!(refused, Err(SubPathError::Malformed { .. })),
                "{malformed}: {refused:?}"
            );
        }
        let outside = fs::read_dir(directory.path().join("outside")).expect("list");
        assert_eq!(outside.count(), 0);
        assert!(!path.join("missing").exists());
    }

    #[test]
    fn a_file_on_the_way_is_no_directory() {
        let (directory, volume) = volume();
        fs::write(directory.path().join("volume/file"), "").expect("a file");
        let refused = open_sub_path(volume.as_fd(), Path::new("file/below"));
        match refused {
            Err(SubPathError::Open { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(libc::ENOTDIR));
            }
            other => panic!("{other:?}"),
        }
    }
}
