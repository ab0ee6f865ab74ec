//! The root filesystem of a container: an overlay made for it alone, seen by nobody else.
//!
//! The overlay is created detached by the child, in its own process, while it still sees the host's paths; it is attached
//! only inside the container's mount namespace and goes away with it. The host's mount table never shows it, and a crash
//! leaves nothing to unmount.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::idmap::UserNamespace;
use crate::mounts::attach;
use crate::process::LaunchError;
use crate::process::stage::{Failure, InStage, Stage};
use crate::sys::{self, mount::MountAttr};

/// Layers overlayfs takes at most; more give `EINVAL` from the kernel.
pub const LAYER_LIMIT: usize = 500;

/// Where a container's root filesystem comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    /// An overlay of read-only layers and a directory for writes.
    Overlay {
        /// Unpacked layers, lowest first; at least one, at most [`LAYER_LIMIT`].
        layers: Vec<PathBuf>,
        /// Receives what is written. Must be empty, on a filesystem overlayfs accepts, and never be used again after a crash
        /// of the machine: the overlay is `volatile`, its syncs do nothing.
        upper: PathBuf,
        /// An empty directory on the filesystem of `upper`, for overlayfs itself.
        work: PathBuf,
    },
    /// One directory, writable in place, shared with whoever else uses it.
    Directory(PathBuf),
}

/// A [`Rootfs`] as the child needs it.
#[derive(Debug)]
pub(crate) enum PreparedRootfs {
    Overlay {
        layers: Vec<CString>,
        upper: CString,
        work: CString,
        /// Who is root inside, when that is not the machine's.
        owner: Option<(u32, u32)>,
    },
    Directory(CString),
}

impl Rootfs {
    /// C strings, layers uppermost first as the kernel wants them.
    pub(crate) fn prepare(
        &self,
        users: Option<&UserNamespace>,
    ) -> Result<PreparedRootfs, LaunchError> {
        let text = |path: &PathBuf| {
            CString::new(path.as_os_str().as_bytes()).map_err(|_| LaunchError::Path {
                path: path.clone(),
                what: "holds a NUL byte",
            })
        };
        Ok(match self {
            Self::Overlay {
                layers,
                upper,
                work,
            } => PreparedRootfs::Overlay {
                layers: layers.iter().rev().map(text).collect::<Result<_, _>>()?,
                upper: text(upper)?,
                work: text(work)?,
                owner: users.map(|users| (users.first_uid, users.first_gid)),
            },
            Self::Directory(path) => PreparedRootfs::Directory(text(path)?),
        })
    }
}

/// Makes the root filesystem, detached. Runs in the child, with the host's root still its own.
///
/// With a user namespace the kernel translates the owners of what others see as well: of the layers, or of the directory. What
/// is written into an overlay is for this container alone, and has the machine's numbers of its users.
pub(crate) fn open<'p>(
    rootfs: &'p PreparedRootfs,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Failure<'p>> {
    match rootfs {
        PreparedRootfs::Overlay {
            layers,
            upper,
            work,
            owner,
        } => overlay(layers, upper, work, user_namespace.zip(*owner)),
        PreparedRootfs::Directory(path) => {
            tree(path, true, user_namespace).on(Stage::Rootfs, 0, path)
        }
    }
}

/// A detached mount of a directory, with owners as a user namespace knows them.
fn tree(
    path: &CStr,
    recursive: bool,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Errno> {
    let tree = attach::clone_tree(CWD, path, recursive)?;
    let private = MountAttr {
        propagation: libc::MS_PRIVATE,
        ..MountAttr::default()
    };
    sys::mount::set_attributes(tree.as_fd(), c"", recursive, &private)?;
    if let Some(users) = user_namespace {
        sys::mount::translate_owners(tree.as_fd(), users)?;
    }
    Ok(tree)
}

fn overlay<'p>(
    layers: &'p [CString],
    upper: &'p CStr,
    work: &'p CStr,
    users: Option<(BorrowedFd<'_>, (u32, u32))>,
) -> Result<OwnedFd, Failure<'p>> {
    let fs =
        rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).during(Stage::Rootfs)?;
    rustix::mount::fsconfig_set_string(&fs, c"source", c"overlay").during(Stage::Rootfs)?;
    for (position, layer) in layers.iter().enumerate() {
        let set = || match users {
            None => set_directory(&fs, c"lowerdir+", layer),
            Some((user_namespace, _)) => {
                let tree = tree(layer, false, Some(user_namespace))?;
                rustix::mount::fsconfig_set_fd(&fs, c"lowerdir+", &tree)?;
                // A detached mount lasts as long as its descriptor, and is looked for when the overlay is made. It is closed
                // with everything else, before the program is looked for.
                let _ = tree.into_raw_fd();
                Ok(())
            }
        };
        set().on(Stage::Rootfs, position, layer)?;
    }
    if let Some((_, (uid, gid))) = users {
        // It becomes the root directory.
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chown(upper, Some(uid), Some(gid)).on(Stage::Rootfs, layers.len(), upper)?;
    }
    set_directory(&fs, c"upperdir", upper).on(Stage::Rootfs, layers.len(), upper)?;
    set_directory(&fs, c"workdir", work).on(Stage::Rootfs, layers.len(), work)?;
    rustix::mount::fsconfig_set_flag(&fs, c"volatile").during(Stage::Rootfs)?;
    rustix::mount::fsconfig_create(&fs).on(Stage::Rootfs, layers.len(), upper)?;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .during(Stage::Rootfs)
}

/// Gives overlayfs a directory. fsconfig(2) takes strings of at most 255 bytes, so a longer path goes by way of a
/// descriptor's name.
fn set_directory(fs: &OwnedFd, key: &CStr, path: &CStr) -> Result<(), Errno> {
    const STRING_LIMIT: usize = 255;
    if path.count_bytes() <= STRING_LIMIT {
        return rustix::mount::fsconfig_set_string(fs, key, path);
    }
    let directory = rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::process::fchdir(&directory)?;
    rustix::mount::fsconfig_set_string(fs, key, c".")
}
