//! Directories that have nothing to do with each other, kept apart on the disk.
//!
//! ext4 puts what is in a directory near it, and looks there for a free inode past every one that was freed a short while ago: without a journal
//! it goes by those of the last minute one by one. So pods that follow each other must not be in one place. Asked to keep directories apart
//! (`T` in chattr(1)), it chooses where the fewest directories are, and once many pods run, that is where the last pod has just gone. What
//! chooses here is the pod's name, which ends in random digits: each ending has a directory of its own in a place of its own, in which new
//! directories are made before they are moved to where they belong. A move leaves them where they are on the disk.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

/// Beside the directory of the directories that are kept apart.
const NAME: &str = "spread";
/// Digits at the end of a name that choose a place: 256 places.
const DIGITS: usize = 2;

/// Makes the directory `path` with its missing parents, which get `parents`, away from others of its parent if the file system can do that.
///
/// # Errors
///
/// When it cannot be made, or exists.
pub(crate) fn make(path: &Path, mode: u32, parents: u32) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.mode(mode);
    let make_parents = || {
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(parents)
            .create(parent)
    };
    if make_away(path, &builder)? {
        return Ok(());
    }
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_parents()?;
            // The first directory has a place of its own, too.
            if make_away(path, &builder)? {
                return Ok(());
            }
            builder.create(path)
        }
        made => made,
    }
}

/// Makes the directory in the place of its name and moves it; false if there is no such place.
fn make_away(path: &Path, builder: &fs::DirBuilder) -> io::Result<bool> {
    let (Some(parent), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Ok(false);
    };
    let ending = name.len().checked_sub(DIGITS).and_then(|at| name.get(at..));
    let Some(ending) = ending.filter(|ending| ending.bytes().all(|byte| byte.is_ascii_hexdigit()))
    else {
        return Ok(false);
    };
    let place = parent.with_file_name(NAME).join(ending);
    let away = place.join(name);
    if builder.create(&away).is_err()
        && (make_place(&place).is_err() || builder.create(&away).is_err())
    {
        return Ok(false);
    }
    // Onto nothing: an empty directory would be replaced.
    let moved = match path.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(&away, path),
    };
    match moved {
        Ok(()) => Ok(true),
        Err(error) => {
            let _ = fs::remove_dir(&away);
            match error.kind() {
                ErrorKind::AlreadyExists => Err(error),
                // On another file system, or its parent is missing.
                _ => Ok(false),
            }
        }
    }
}

/// Makes one of the places, in a directory whose directories are kept apart.
fn make_place(place: &Path) -> io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.mode(0o700);
    let all = place.parent().unwrap_or(place);
    match private.create(all) {
        Ok(()) => {
            let kept_apart = keep_apart(all);
            if kept_apart.is_err() {
                // Nothing is gained here, as in a file system without a disk.
                let _ = fs::remove_dir(all);
            }
            kept_apart?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    match private.create(place) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn keep_apart(path: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    let known = rustix::fs::ioctl_getflags(&directory)?;
    Ok(rustix::fs::ioctl_setflags(
        &directory,
        known | IFlags::TOPDIR,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn directories_are_where_they_belong_and_as_they_were_asked_for() {
        let root = std::env::temp_dir().join(format!("podyard-spread-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let mode = |path: &Path| {
            let metadata = path.metadata().expect("it is there");
            metadata.permissions().mode() & 0o777
        };
        for name in ["0a", "one-5f", "two-5f", "no digits", "x"] {
            let path = root.join("lib/pods").join(name);
            make(&path, 0o700, 0o755).expect(name);
            assert_eq!(mode(&path), 0o700, "{name}");
            let again = make(&path, 0o700, 0o755).expect_err("it exists").kind();
            assert_eq!(again, ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(mode(&root.join("lib/pods")), 0o755);
        // Where they were made, nothing is left.
        let places = fs::read_dir(root.join("lib").join(NAME));
        for place in places.into_iter().flatten() {
            let left = fs::read_dir(place.expect("a place").path()).expect("a directory");
            assert_eq!(left.count(), 0);
        }
        fs::remove_dir_all(&root).expect("own directory");
    }
}
