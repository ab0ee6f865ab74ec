//! The root filesystem of a container: an overlay made for it alone, seen by nobody else.
//!
//! The overlay is created detached by the child, in its own process, while it still sees the host's paths; it is attached
//! only inside the container's mount namespace and goes away with it. The host's mount table never shows it, and a crash
//! leaves nothing to unmount.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use crate::process::stage::{Failure, InStage, Stage};
use crate::sys;

/// Layers overlayfs takes at most; more give `EINVAL` from the kernel.
pub(crate) const LAYER_LIMIT: usize = 500;

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
    },
    Directory(CString),
}

impl Rootfs {
    /// C strings, layers uppermost first as the kernel wants them. `None` when a path holds a NUL byte.
    pub(crate) fn prepare(&self) -> Option<PreparedRootfs> {
        let text = |path: &PathBuf| CString::new(path.as_os_str().as_bytes()).ok();
        Some(match self {
            Self::Overlay {
                layers,
                upper,
                work,
            } => PreparedRootfs::Overlay {
                layers: layers.iter().rev().map(text).collect::<Option<_>>()?,
                upper: text(upper)?,
                work: text(work)?,
            },
            Self::Directory(path) => PreparedRootfs::Directory(text(path)?),
        })
    }
}

/// Makes the root filesystem, detached. Runs in the child, with the host's root still its own.
pub(crate) fn open(rootfs: &PreparedRootfs) -> Result<OwnedFd, Failure<'_>> {
    match rootfs {
        PreparedRootfs::Overlay {
            layers,
            upper,
            work,
        } => overlay(layers, upper, work),
        PreparedRootfs::Directory(path) => {
            let tree = rustix::mount::open_tree(
                CWD,
                path.as_c_str(),
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_RECURSIVE,
            )
            .on(Stage::Rootfs, 0, path)?;
            let private = sys::mount::MountAttr {
                propagation: libc::MS_PRIVATE,
                ..sys::mount::MountAttr::default()
            };
            sys::mount::set_attributes(std::os::fd::AsFd::as_fd(&tree), c"", true, &private).on(
                Stage::Rootfs,
                0,
                path,
            )?;
            Ok(tree)
        }
    }
}

fn overlay<'p>(
    layers: &'p [CString],
    upper: &'p CStr,
    work: &'p CStr,
) -> Result<OwnedFd, Failure<'p>> {
    let fs =
        rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).during(Stage::Rootfs)?;
    rustix::mount::fsconfig_set_string(&fs, c"source", c"overlay").during(Stage::Rootfs)?;
    for (position, layer) in layers.iter().enumerate() {
        set_directory(&fs, c"lowerdir+", layer).on(Stage::Rootfs, position, layer)?;
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
