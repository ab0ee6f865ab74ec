//! Mounting, in the child: detached mounts are made from sources, then moved to their places.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::prepare::{PreparedMount, PreparedSource};
use super::target::{self, Make};
use crate::process::stage::{Failure, InStage, Stage};
use crate::sys::mount::{self, MountAttr};

/// Detached mounts of the sources that have to be opened while the host's paths are visible; the parent provides the memory,
/// one slot per [`slots`].
pub(crate) type Sources = Vec<Option<OwnedFd>>;

/// How many slots these mounts need.
pub(crate) fn slots(mounts: &[PreparedMount<'_>]) -> usize {
    mounts.iter().map(slots_of).sum()
}

fn slots_of(mount: &PreparedMount<'_>) -> usize {
    match &mount.source {
        PreparedSource::Path { .. } | PreparedSource::Fd { .. } => 1,
        PreparedSource::Cgroup { directories, .. } => directories.len(),
        PreparedSource::FileSystem { early: true, .. } => 1,
        PreparedSource::Dev { bound: true, .. } => DEVICES.len(),
        _ => 0,
    }
}

/// Makes detached mounts of all sources of the host. Runs in the child before it leaves the host's mount namespace: a mount
/// can only be copied by somebody in its own namespace.
///
/// With a user namespace (the pod's own) the owners of what is bound are translated, and what its root may not make is made.
pub(crate) fn open_sources<'p>(
    mounts: &'p [PreparedMount<'_>],
    user_namespace: Option<BorrowedFd<'_>>,
    sources: &mut Sources,
) -> Result<(), Failure<'p>> {
    let translate = |tree: &OwnedFd| {
        user_namespace.map_or(Ok(()), |users| mount::translate_owners(tree.as_fd(), users))
    };
    let mut slot = 0;
    for (place, mount) in mounts.iter().enumerate() {
        match &mount.source {
            PreparedSource::Path { path, recursive } => {
                let tree = clone_tree(CWD, path, *recursive).on(Stage::MountSource, place, path)?;
                translate(&tree).on(Stage::MountSource, place, path)?;
                keep(sources, slot, tree);
            }
            PreparedSource::Fd { fd, recursive } => {
                let tree = clone_tree(*fd, c"", *recursive).on(
                    Stage::MountSource,
                    place,
                    &mount.target.path,
                )?;
                translate(&tree).on(Stage::MountSource, place, &mount.target.path)?;
                keep(sources, slot, tree);
            }
            PreparedSource::FileSystem {
                kind,
                options,
                attributes,
                early: true,
                ..
            } => {
                let tree = file_system(kind, options, *attributes);
                keep(
                    sources,
                    slot,
                    tree.on(Stage::Mount, place, &mount.target.path)?,
                );
            }
            PreparedSource::Dev { bound: true, .. } => {
                for (offset, (_, path, major, minor)) in DEVICES.into_iter().enumerate() {
                    let node = || {
                        let tree = clone_tree(CWD, path, false)?;
                        check_device(tree.as_fd(), major, minor)?;
                        Ok(tree)
                    };
                    keep(
                        sources,
                        slot + offset,
                        node().on(Stage::Device, place, path)?,
                    );
                }
            }
            PreparedSource::Cgroup { directories, .. } => {
                for (offset, (_, directory)) in directories.iter().enumerate() {
                    let tree = clone_tree(*directory, c"", false).on(
                        Stage::MountSource,
                        place,
                        &mount.target.path,
                    )?;
                    keep(sources, slot + offset, tree);
                }
            }
            _ => {}
        }
        slot += slots_of(mount);
    }
    Ok(())
}

fn keep(sources: &mut Sources, slot: usize, tree: OwnedFd) {
    if let Some(place) = sources.get_mut(slot) {
        *place = Some(tree);
    }
}

/// Mounts everything below `root`, in order. `toolbox` is the root of the sandbox's mount namespace.
pub(crate) fn attach_all<'p>(
    root: BorrowedFd<'_>,
    toolbox: BorrowedFd<'_>,
    mounts: &'p [PreparedMount<'_>],
    sources: &mut Sources,
) -> Result<(), Failure<'p>> {
    let mut slot = 0;
    for (place, mount) in mounts.iter().enumerate() {
        let count = slots_of(mount);
        let sources = sources.get_mut(slot..slot + count).unwrap_or(&mut []);
        slot += count;
        let subject = &mount.target.path;
        let tree = match &mount.source {
            PreparedSource::Path { .. } | PreparedSource::Fd { .. } => {
                let tree = sources
                    .first_mut()
                    .and_then(Option::take)
                    .ok_or(Errno::BADF);
                let tree = tree.on(Stage::Mount, place, subject)?;
                set_attributes(&tree, mount).on(Stage::Mount, place, subject)?;
                tree
            }
            PreparedSource::FileSystem {
                kind,
                options,
                attributes,
                early,
                model,
            } => {
                let made = if *early {
                    sources
                        .first_mut()
                        .and_then(Option::take)
                        .ok_or(Errno::BADF)
                } else if let Some(copy) = model.and_then(|model| copy(model, *attributes).ok()) {
                    Ok(copy)
                } else {
                    file_system(kind, options, *attributes)
                };
                made.on(Stage::Mount, place, subject)?
            }
            PreparedSource::Dev { attributes, bound } => {
                dev(*attributes, *bound).map_err(|failure| with_detail(failure, place))?
            }
            PreparedSource::Cgroup {
                directories,
                attributes,
            } => {
                let attributes = u64::from(*attributes);
                cgroup(root, toolbox, mount, directories, attributes, sources).on(
                    Stage::Mount,
                    place,
                    subject,
                )?;
                continue;
            }
            PreparedSource::SandboxShm => {
                let tree = clone_tree(toolbox, c"shm", false).on(Stage::Mount, place, subject)?;
                set_attributes(&tree, mount).on(Stage::Mount, place, subject)?;
                tree
            }
        };
        let make = kind_of(&tree).on(Stage::Mount, place, subject)?;
        let place_fd =
            target::resolve(root, &mount.target, make).on(Stage::MountTarget, place, subject)?;
        move_onto(&tree, &place_fd)
            .map_err(|errno| misfit(errno, make, &place_fd))
            .on(Stage::Mount, place, subject)?;
        if let PreparedSource::Dev { bound: true, .. } = &mount.source {
            attach_devices(&tree, sources).map_err(|failure| with_detail(failure, place))?;
        }
    }
    Ok(())
}

/// Mounts the machine's nodes on the files that [`dev`] has made for them.
fn attach_devices<'p>(dev: &OwnedFd, sources: &mut [Option<OwnedFd>]) -> Result<(), Failure<'p>> {
    for ((name, ..), node) in DEVICES.into_iter().zip(sources) {
        let mut attach = || {
            let node = node.take().ok_or(Errno::BADF)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            rustix::mount::move_mount(&node, c"", dev, name, flags)
        };
        attach().on(Stage::Device, 0, name)?;
    }
    Ok(())
}

/// Makes sure that a mount shows this device and nothing else.
pub(crate) fn check_device(node: BorrowedFd<'_>, major: u32, minor: u32) -> Result<(), Errno> {
    let status = rustix::fs::fstat(node)?;
    let is_device = FileType::from_raw_mode(status.st_mode).is_char_device();
    if is_device && status.st_rdev == rustix::fs::makedev(major, minor) {
        Ok(())
    } else {
        Err(Errno::NODEV)
    }
}

/// Makes an empty file, for something to be mounted on.
pub(crate) fn empty_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o666)).map(drop)
}

/// move_mount(2) tells a directory that should go onto a file, or the reverse, from other misuse no better than by `EINVAL`.
fn misfit(errno: Errno, source: Make, place: &OwnedFd) -> Errno {
    match (errno, source, kind_of(place)) {
        (Errno::INVAL, Make::Directory, Ok(Make::File)) => Errno::NOTDIR,
        (Errno::INVAL, Make::File, Ok(Make::Directory)) => Errno::ISDIR,
        _ => errno,
    }
}

const fn with_detail(mut failure: Failure<'_>, place: usize) -> Failure<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "a plan has few mounts")]
    {
        failure.detail = place as u32;
    }
    failure
}

/// A detached copy of the mount that `path` (relative to `directory`, or `directory` itself when empty) is on, showing `path`.
pub(crate) fn clone_tree(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(directory, path, flags)
}

/// Attaches a detached mount where `place` is.
pub(crate) fn move_onto(tree: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", place, c"", flags)
}

/// A copy of a shared mount stays in its peer group until told otherwise, so propagation is always set, on all of it.
fn set_attributes(tree: &OwnedFd, mount: &PreparedMount<'_>) -> Result<(), Errno> {
    let attributes = &mount.attributes;
    if mount.recursive || attributes.set | attributes.clear == 0 {
        return mount::set_attributes(tree.as_fd(), c"", true, attributes);
    }
    let propagation = MountAttr {
        propagation: attributes.propagation,
        ..MountAttr::default()
    };
    mount::set_attributes(tree.as_fd(), c"", true, &propagation)?;
    let own = MountAttr {
        propagation: 0,
        ..*attributes
    };
    mount::set_attributes(tree.as_fd(), c"", false, &own)
}

/// Directories are mounted on directories, everything else on files.
fn kind_of(tree: &OwnedFd) -> Result<Make, Errno> {
    let mode = rustix::fs::fstat(tree)?.st_mode;
    let directory = FileType::from_raw_mode(mode).is_dir();
    Ok(if directory {
        Make::Directory
    } else {
        Make::File
    })
}

/// A file system that is mounted nowhere, once more.
fn copy(model: BorrowedFd<'_>, attributes: u32) -> Result<OwnedFd, Errno> {
    let tree = clone_tree(model, c"", false)?;
    let own = MountAttr {
        set: attributes.into(),
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    mount::set_attributes(tree.as_fd(), c"", false, &own)?;
    Ok(tree)
}

/// A new file system, detached.
pub(crate) fn file_system(
    kind: &CStr,
    options: &[(CString, Option<CString>)],
    attributes: u32,
) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What the mount table shows as the device, by custom.
    rustix::mount::fsconfig_set_string(&fs, c"source", kind)?;
    for (key, value) in options {
        match value {
            Some(value) => {
                rustix::mount::fsconfig_set_string(&fs, key.as_c_str(), value.as_c_str())?;
            }
            None => rustix::mount::fsconfig_set_flag(&fs, key.as_c_str())?,
        }
    }
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes);
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A tmpfs made with the given options, for the launcher's own use. `source` is what the mount table shows as the device.
pub(crate) fn tmpfs(
    source: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, c"source", source)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "attribute flags are below 2^32"
    )]
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Name, path on the machine, major and minor number of the device nodes every container gets.
const DEVICES: [(&CStr, &CStr, u32, u32); 6] = [
    (c"null", c"/dev/null", 1, 3),
    (c"zero", c"/dev/zero", 1, 5),
    (c"full", c"/dev/full", 1, 7),
    (c"random", c"/dev/random", 1, 8),
    (c"urandom", c"/dev/urandom", 1, 9),
    (c"tty", c"/dev/tty", 5, 0),
];

/// The links every container gets.
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];

/// `/dev`: filled while it is detached, so no path of the container is involved.
fn dev<'p>(attributes: u32, bound: bool) -> Result<OwnedFd, Failure<'p>> {
    let tree = tmpfs(
        c"tmpfs",
        &[(c"mode", c"755"), (c"size", c"65536k")],
        u64::from(attributes),
    )
    .during(Stage::Mount)?;
    for (name, _, major, minor) in DEVICES {
        if bound {
            empty_file(tree.as_fd(), name).on(Stage::Device, 0, name)?;
            continue;
        }
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(
            &tree,
            name,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            device,
        )
        .on(Stage::Device, 0, name)?;
    }
    for (name, destination) in LINKS {
        rustix::fs::symlinkat(destination, &tree, name).on(Stage::Device, 0, name)?;
    }
    Ok(tree)
}

/// The container's own cgroup directories. On v2 there is one; on v1 an empty directory holds one per controller.
fn cgroup(
    root: BorrowedFd<'_>,
    toolbox: BorrowedFd<'_>,
    mount: &PreparedMount<'_>,
    directories: &[(Option<CString>, BorrowedFd<'_>)],
    attributes: u64,
    sources: &mut [Option<OwnedFd>],
) -> Result<(), Errno> {
    let own = MountAttr {
        set: attributes,
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    if let [(None, _)] = directories {
        let tree = sources
            .first_mut()
            .and_then(Option::take)
            .ok_or(Errno::BADF)?;
        mount::set_attributes(tree.as_fd(), c"", false, &own)?;
        let place = target::resolve(root, &mount.target, Make::Directory)?;
        return move_onto(&tree, &place);
    }
    let names = directories
        .iter()
        .map(|(name, _)| name.as_deref().unwrap_or(UNIFIED));
    let shared = match attributes & mount::RDONLY {
        0 => None,
        _ => cgroup_holder_of_sandbox(toolbox, names.clone(), &own)?,
    };
    let is_shared = shared.is_some();
    let holder = match shared {
        Some(holder) => holder,
        None => {
            let options = [(c"mode", c"755"), (c"size", c"64k")];
            let holder = tmpfs(c"cgroup", &options, attributes & !mount::RDONLY)?;
            make_places(holder.as_fd(), names.clone())?;
            holder
        }
    };
    let place = target::resolve(root, &mount.target, Make::Directory)?;
    move_onto(&holder, &place)?;
    for (name, source) in names.zip(sources) {
        let tree = source.take().ok_or(Errno::BADF)?;
        mount::set_attributes(tree.as_fd(), c"", false, &own)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, c"", &holder, name, flags)?;
    }
    if attributes & mount::RDONLY != 0 && !is_shared {
        let read_only = MountAttr {
            set: mount::RDONLY,
            ..MountAttr::default()
        };
        mount::set_attributes(holder.as_fd(), c"", false, &read_only)?;
    }
    Ok(())
}

/// Where the v2 hierarchy is shown beside those of v1.
const UNIFIED: &CStr = c"unified";

/// The name of the directory in the sandbox's root that has one for each v1 controller: a file system for each container is dear.
pub(crate) const CGROUP_HOLDER: &CStr = c"cgroup";

/// Makes the places that cgroup directories are mounted on.
pub(crate) fn make_places<'n>(
    holder: BorrowedFd<'_>,
    names: impl Iterator<Item = &'n CStr>,
) -> Result<(), Errno> {
    for name in names {
        rustix::fs::mkdirat(holder, name, Mode::from_raw_mode(0o555))?;
    }
    Ok(())
}

/// A mount of the sandbox's directory of such places. `None` if one of these is not in it, as of a controller that few containers ask for.
fn cgroup_holder_of_sandbox<'n>(
    toolbox: BorrowedFd<'_>,
    mut names: impl Iterator<Item = &'n CStr>,
    attributes: &MountAttr,
) -> Result<Option<OwnedFd>, Errno> {
    let holder = match clone_tree(toolbox, CGROUP_HOLDER, false) {
        Ok(holder) => holder,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let is_there =
        |name: &CStr| rustix::fs::statat(&holder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if !names.all(is_there) {
        return Ok(None);
    }
    mount::set_attributes(holder.as_fd(), c"", false, attributes)?;
    Ok(Some(holder))
}

/// Hides paths: files under `/dev/null`, directories under an empty read-only one. Both come from the sandbox, whose
/// creation has verified them.
pub(crate) fn mask<'p>(
    root: BorrowedFd<'_>,
    toolbox: BorrowedFd<'_>,
    paths: &'p [Cow<'static, CStr>],
) -> Result<(), Failure<'p>> {
    for (place, path) in paths.iter().enumerate() {
        let hide = || -> Result<(), Errno> {
            let Some(found) = target::existing(root, path)? else {
                return Ok(());
            };
            let cover = match kind_of(&found)? {
                Make::Directory => c"empty",
                Make::File => c"null",
            };
            move_onto(&clone_tree(toolbox, cover, false)?, &found)
        };
        hide().on(Stage::MaskPath, place, path)?;
    }
    Ok(())
}

/// Makes paths read-only with everything below them.
pub(crate) fn make_read_only<'p>(
    root: BorrowedFd<'_>,
    paths: &'p [Cow<'static, CStr>],
) -> Result<(), Failure<'p>> {
    let attributes = MountAttr {
        set: mount::RDONLY,
        ..MountAttr::default()
    };
    for (place, path) in paths.iter().enumerate() {
        let protect = || -> Result<(), Errno> {
            let Some(found) = target::existing(root, path)? else {
                return Ok(());
            };
            let tree = clone_tree(found.as_fd(), c"", true)?;
            mount::set_attributes(tree.as_fd(), c"", true, &attributes)?;
            move_onto(&tree, &found)
        };
        protect().on(Stage::ReadonlyPath, place, path)?;
    }
    Ok(())
}
