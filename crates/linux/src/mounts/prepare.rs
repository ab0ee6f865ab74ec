//! Mounts as the child needs them: C strings and numbers, made in the parent.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::{Access, Mount, MountFlags, MountSource, Propagation, propagation};
use crate::cgroup::Cgroup;
use crate::process::LaunchError;
use crate::sandbox::Sandbox;
use crate::sys::mount::{self, MountAttr};

/// Files of procfs that may be covered by a mount, as runc allows; everything else below `/proc` could be used to fake the
/// kernel's own interfaces.
pub(crate) const COVERABLE_PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// A [`Mount`], ready for the child.
#[derive(Debug)]
pub(crate) struct PreparedMount<'p> {
    pub(crate) target: Target,
    pub(crate) source: PreparedSource<'p>,
    /// What is changed on the detached mount before it is attached.
    pub(crate) attributes: MountAttr,
    /// Whether the attributes go to the mounts below it as well.
    pub(crate) recursive: bool,
}

/// Where something is mounted.
#[derive(Debug)]
pub(crate) struct Target {
    /// As given; for reports.
    pub(crate) path: CString,
    /// The same from the root on, without a slash before it: `.` is left out and `..` resolved. Empty for the root itself.
    pub(crate) relative: CString,
    /// Whether symbolic links on the way are followed (inside the root) or refused.
    pub(crate) follow_links: bool,
    /// Whether it may be inside procfs.
    pub(crate) in_proc: bool,
}

#[derive(Debug)]
pub(crate) enum PreparedSource<'p> {
    Path {
        path: CString,
        recursive: bool,
    },
    Fd {
        fd: BorrowedFd<'p>,
        recursive: bool,
    },
    FileSystem {
        kind: &'p CStr,
        options: &'p [(CString, Option<CString>)],
        attributes: u32,
        /// Made before the user namespace is joined, whose root may not make it.
        early: bool,
        /// One that can be copied instead of making it.
        model: Option<BorrowedFd<'p>>,
    },
    Dev {
        attributes: u32,
        /// Whether the nodes are the machine's, mounted, since none can be made in a user namespace.
        bound: bool,
    },
    Cgroup {
        directories: Vec<(Option<CString>, BorrowedFd<'p>)>,
        attributes: u32,
    },
    SandboxShm,
}

/// Prepares all mounts of a plan.
pub(crate) fn prepare<'p>(
    mounts: &'p [Mount],
    cgroup: Option<&'p Cgroup>,
    sandbox: &'p Sandbox,
) -> Result<Vec<PreparedMount<'p>>, LaunchError> {
    mounts
        .iter()
        .map(|mount| prepare_one(mount, cgroup, sandbox))
        .collect()
}

fn prepare_one<'p>(
    mount: &'p Mount,
    cgroup: Option<&'p Cgroup>,
    sandbox: &'p Sandbox,
) -> Result<PreparedMount<'p>, LaunchError> {
    let user_namespace = sandbox.users().is_some();
    if mount.propagation != Propagation::Private {
        propagation::check(mount)?;
    }
    let read_only = mount.access != Access::ReadWrite;
    let flags = attribute_flags(mount.flags, read_only);
    let source = match &mount.source {
        MountSource::Bind { path, recursive } => PreparedSource::Path {
            path: text(path.as_os_str()).ok_or_else(|| bad(path))?,
            recursive: *recursive,
        },
        MountSource::BindFd { fd, recursive } => PreparedSource::Fd {
            fd: fd.as_fd(),
            recursive: *recursive,
        },
        MountSource::FileSystem { kind, options } => PreparedSource::FileSystem {
            kind,
            options,
            attributes: low_half(flags),
            early: user_namespace && [c"proc", c"sysfs"].contains(&kind.as_c_str()),
            model: sandbox
                .sysfs()
                .filter(|_| kind.as_c_str() == c"sysfs" && options.is_empty()),
        },
        // It stays writable for the launcher; a read-only one is made so when everything is in it.
        MountSource::Dev => PreparedSource::Dev {
            attributes: low_half(flags & !mount::RDONLY),
            bound: user_namespace,
        },
        MountSource::Cgroup => PreparedSource::Cgroup {
            directories: cgroup
                .map(Cgroup::visible_directories)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(name, fd)| Some((name.map(CString::new).transpose().ok()?, fd)))
                .collect(),
            attributes: low_half(flags),
        },
        MountSource::SandboxShm => PreparedSource::SandboxShm,
    };
    let bind = matches!(
        mount.source,
        MountSource::Bind { .. } | MountSource::BindFd { .. } | MountSource::SandboxShm
    );
    // A mount of the kernel's own goes exactly where it says: a link in the image must not move it elsewhere.
    let follow_links = bind
        || matches!(&mount.source, MountSource::FileSystem { kind, .. } if kind.as_c_str() == c"tmpfs");
    Ok(PreparedMount {
        target: target(&mount.destination, follow_links, bind)?,
        source,
        attributes: MountAttr {
            set: if bind { flags } else { flags & mount::RDONLY },
            clear: if bind && flags & mount::ATIME_MASK != 0 {
                mount::ATIME_MASK
            } else {
                0
            },
            propagation: match mount.propagation {
                Propagation::Private => libc::MS_PRIVATE,
                Propagation::Slave => libc::MS_SLAVE,
                Propagation::Shared => libc::MS_SHARED,
            },
            userns_fd: 0,
        },
        recursive: mount.access == Access::RecursiveReadOnly,
    })
}

/// The working directory: any directory of the container, reached over any links.
pub(crate) fn directory(path: &Path) -> Result<Target, LaunchError> {
    Ok(Target {
        path: text(path.as_os_str()).ok_or_else(|| bad(path))?,
        relative: relative(path)?,
        follow_links: true,
        in_proc: true,
    })
}

/// A place of the launcher's own, on the way to which links are refused.
pub(crate) fn fixed_place(path: &Path) -> Result<Target, LaunchError> {
    Ok(Target {
        follow_links: false,
        ..directory(path)?
    })
}

/// An absolute path as it is from the root on.
fn relative(path: &Path) -> Result<CString, LaunchError> {
    let mut clean = PathBuf::new();
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return Err(LaunchError::Path {
            path: path.to_owned(),
            what: "is not absolute",
        });
    }
    for component in components {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    CString::new(clean.into_os_string().into_vec()).map_err(|_| bad(path))
}

/// Checks a destination and takes it apart.
fn target(path: &Path, follow_links: bool, bind: bool) -> Result<Target, LaunchError> {
    let relative = relative(path)?;
    if relative.is_empty() {
        return Err(LaunchError::Path {
            path: path.to_owned(),
            what: "is the root itself",
        });
    }
    let clean = format!("/{}", relative.to_string_lossy());
    let below_proc = clean.starts_with("/proc/");
    let coverable = COVERABLE_PROC_FILES.contains(&clean.as_str());
    if below_proc && !coverable || bind && clean == "/proc" {
        return Err(LaunchError::Path {
            path: path.to_owned(),
            what: "is inside procfs, where nothing may be mounted",
        });
    }
    Ok(Target {
        path: text(path.as_os_str()).ok_or_else(|| bad(path))?,
        relative,
        follow_links: follow_links && !below_proc,
        in_proc: below_proc,
    })
}

fn attribute_flags(flags: MountFlags, read_only: bool) -> u64 {
    let flag = |on: bool, value: u64| if on { value } else { 0 };
    flag(read_only, mount::RDONLY)
        | flag(flags.nosuid, mount::NOSUID)
        | flag(flags.nodev, mount::NODEV)
        | flag(flags.noexec, mount::NOEXEC)
        | flag(flags.strictatime, mount::STRICTATIME)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "attribute flags are below 2^32"
)]
const fn low_half(flags: u64) -> u32 {
    flags as u32
}

fn text(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

fn bad(path: &Path) -> LaunchError {
    LaunchError::Path {
        path: PathBuf::from(path),
        what: "holds a NUL byte",
    }
}

/// The descriptors of the parent that the child needs for these mounts.
pub(crate) fn descriptors(mounts: &[PreparedMount<'_>]) -> Vec<RawFd> {
    let mut fds = Vec::new();
    for mount in mounts {
        match &mount.source {
            PreparedSource::Fd { fd, .. } => fds.push(fd.as_raw_fd()),
            PreparedSource::FileSystem { model, .. } => {
                fds.extend(model.iter().map(AsRawFd::as_raw_fd));
            }
            PreparedSource::Cgroup { directories, .. } => {
                fds.extend(directories.iter().map(|(_, fd)| fd.as_raw_fd()));
            }
            _ => {}
        }
    }
    fds
}
