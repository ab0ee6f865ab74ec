//! `mount_setattr(2)`: the one call of the new mount interface that `rustix` lacks.
#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// What to change on a mount; the layout of `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub(crate) clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0 to leave propagation alone.
    pub(crate) propagation: u64,
    /// File descriptor of a user namespace for an idmapped mount.
    pub(crate) userns_fd: u64,
}

pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
pub(crate) const ATIME_MASK: u64 = 0x70;
pub(crate) const STRICTATIME: u64 = 0x20;
const IDMAP: u64 = 0x10_0000;

/// Changes the attributes of the mount at `path` relative to `dir`; an empty path means `dir` itself.
pub(crate) fn set_attributes(
    dir: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    attributes: &MountAttr,
) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: `path` is NUL-terminated and `attributes` has the kernel's layout and the size that is passed; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    super::check(result).map(drop)
}

/// Makes a detached mount show and take owners by their numbers in a user namespace. Mounts below it stay as they are.
pub(crate) fn translate_owners(tree: BorrowedFd<'_>, users: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = MountAttr {
        set: IDMAP,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(|_| Errno::BADF)?,
        ..MountAttr::default()
    };
    set_attributes(tree, c"", false, &attributes)
}
