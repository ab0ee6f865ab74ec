//! `fsGroup`: the files of a persistent volume belong to a group that every process of the pod has (`pod-api.md` section 5.11).
//!
//! Other pods may use the volume at the same time and exchange files for links while this goes on. So nothing is changed by name: a file is
//! opened without following links, and what was opened is what is changed.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use podyard_api::core::PodSpec;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

/// After so many files everybody else gets a turn.
const AT_ONCE: usize = 256;

const READ_WRITE: u32 = 0o660;
/// In addition, for directories: members may enter, and what they make belongs to the group again.
const DIRECTORY: u32 = 0o2110;

/// The pod's `fsGroup`.
pub(super) fn of(spec: &PodSpec) -> Option<u32> {
    let group = spec.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Whether the whole volume is left alone when its root directory is right (`fsGroupChangePolicy: OnRootMismatch`).
pub(super) fn trusts_root(spec: &PodSpec) -> bool {
    let context = spec.security_context.as_ref();
    let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
    policy == Some("OnRootMismatch")
}

/// Gives the volume to the group. The root directory comes last: until then the work is not done.
pub(super) async fn give(root: &Path, group: u32, trusts_root: bool) -> Result<(), String> {
    let failed = |errno: Errno| {
        let error = std::io::Error::from(errno);
        format!("cannot give {} to group {group}: {error}", root.display())
    };
    let directory = open_directory(CWD, root).map_err(failed)?;
    let own = rustix::fs::fstat(&directory).map_err(failed)?;
    if trusts_root && own.st_gid == group && new_mode(&own) == own.st_mode & 0o7777 {
        return Ok(());
    }
    let mut open = vec![Dir::read_from(&directory).map_err(failed)?];
    let mut count = 0;
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.read() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let parent = directory.fd().map_err(failed)?;
        match give_one(parent, name, group, own.st_dev) {
            Ok(Some(below)) => open.push(Dir::read_from(&below).map_err(failed)?),
            // Somebody else is working there.
            Ok(None) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        count += 1;
        if count % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    change(&directory, &own, group).map_err(failed)
}

/// Returns the directory to go on in, if it is one of this file system.
fn give_one(
    parent: impl AsFd,
    name: &CStr,
    group: u32,
    device: u64,
) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if stat.st_dev != device {
        return Ok(None);
    }
    change(&file, &stat, group)?;
    if !FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Ok(None);
    }
    match open_directory(parent, name) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open_directory(parent: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, path, flags, Mode::empty())
}

fn change(file: impl AsFd, stat: &Stat, group: u32) -> Result<(), Errno> {
    let is_others = stat.st_gid != group;
    if is_others {
        let gid = Some(Gid::from_raw(group));
        rustix::fs::chownat(&file, c"", None, gid, AtFlags::EMPTY_PATH)?;
    }
    if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Ok(());
    }
    let mode = new_mode(stat);
    // A change of the group has taken set-user-ID bits away.
    if is_others || mode != stat.st_mode & 0o7777 {
        // chmod by descriptor works for those opened with O_PATH only by way of their names in procfs.
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

fn new_mode(stat: &Stat) -> u32 {
    let more = if FileType::from_raw_mode(stat.st_mode).is_dir() {
        READ_WRITE | DIRECTORY
    } else {
        READ_WRITE
    };
    stat.st_mode & 0o7777 | more
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    const GROUP: u32 = 2000;

    fn run(root: &Path, trusts_root: bool) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime")
            .block_on(give(root, GROUP, trusts_root))
            .expect("given");
    }

    fn seen(path: &Path) -> (u32, u32) {
        let metadata = fs::symlink_metadata(path).expect("it is there");
        (metadata.gid(), metadata.mode() & 0o7777)
    }

    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn volume(name: &str) -> Option<std::path::PathBuf> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("podyard-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("volume/a/b")).expect("temporary directory");
        fs::write(dir.join("outside"), "").expect("file");
        for (path, mode) in [
            ("outside", 0o600),
            ("volume", 0o755),
            ("volume/a", 0o700),
            ("volume/a/b", 0o755),
        ] {
            fs::set_permissions(dir.join(path), Permissions::from_mode(mode)).expect("chmod");
        }
        Some(dir)
    }

    #[test]
    fn everything_below_is_given_and_nothing_else() {
        let Some(dir) = volume("fs-group") else {
            return;
        };
        let root = dir.join("volume");
        for (name, mode) in [("a/file", 0o600), ("a/b/suid", 0o4755), ("a/open", 0o666)] {
            fs::write(root.join(name), "").expect("file");
            fs::set_permissions(root.join(name), Permissions::from_mode(mode)).expect("chmod");
        }
        symlink("../../outside", root.join("a/link")).expect("link");
        symlink("../..", root.join("a/up")).expect("link");
        run(&root, false);
        for (name, mode) in [
            ("", 0o2775),
            ("a", 0o2770),
            ("a/b", 0o2775),
            ("a/file", 0o660),
            ("a/b/suid", 0o4775),
            ("a/open", 0o666),
        ] {
            assert_eq!(seen(&root.join(name)), (GROUP, mode), "{name:?}");
        }
        assert_eq!(seen(&root.join("a/link")).0, GROUP);
        assert_eq!(seen(&dir.join("outside")), (0, 0o600));
        fs::remove_dir_all(&dir).expect("own directory");
    }

    #[test]
    fn a_root_directory_that_is_right_is_trusted_only_when_asked() {
        let Some(dir) = volume("fs-group-trust") else {
            return;
        };
        let root = dir.join("volume");
        run(&root, true);
        assert_eq!(seen(&root.join("a")), (GROUP, 0o2770));
        fs::write(root.join("later"), "").expect("file");
        fs::set_permissions(root.join("later"), Permissions::from_mode(0o600)).expect("chmod");
        // It got the group from the directory, but not the rights.
        run(&root, true);
        assert_eq!(seen(&root.join("later")), (GROUP, 0o600));
        run(&root, false);
        assert_eq!(seen(&root.join("later")), (GROUP, 0o660));
        fs::remove_dir_all(&dir).expect("own directory");
    }
}
