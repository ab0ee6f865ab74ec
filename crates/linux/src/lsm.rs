//! AppArmor and SELinux: whether the machine has them, and the label a program gets from them.
//!
//! A label is set for the next execve, over the host's procfs, before anything of the container is in sight. A label that the
//! machine cannot give fails the launch: nobody runs with less confinement than was asked for.

use std::ffi::{CStr, CString};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What confines a program beside capabilities and filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityLabel {
    /// An AppArmor profile that is loaded in the kernel, or `unconfined`.
    AppArmor(CString),
    /// A SELinux context, `user:role:type:level`.
    Selinux(CString),
}

/// Whether the kernel runs with AppArmor.
#[must_use]
pub fn has_apparmor() -> bool {
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|value| value.starts_with(b"Y"))
}

/// Whether the kernel runs with SELinux.
#[must_use]
pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// A label as the child writes it.
#[derive(Debug)]
pub(crate) struct PreparedLabel {
    file: &'static CStr,
    value: CString,
    /// As given, for reports.
    pub(crate) name: CString,
}

impl SecurityLabel {
    pub(crate) fn prepare(&self) -> PreparedLabel {
        match self {
            Self::AppArmor(profile) => PreparedLabel {
                file: c"/proc/self/attr/apparmor/exec",
                value: CString::new([b"exec ", profile.to_bytes()].concat()).unwrap_or_default(),
                name: profile.clone(),
            },
            Self::Selinux(context) => PreparedLabel {
                file: c"/proc/self/attr/exec",
                value: context.clone(),
                name: context.clone(),
            },
        }
    }
}

/// Sets it for the next execve. Runs in the child, with the host's procfs in sight.
pub(crate) fn set(label: &PreparedLabel) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(label.file, flags, Mode::empty())?;
    rustix::io::write(&file, label.value.to_bytes()).map(drop)
}
