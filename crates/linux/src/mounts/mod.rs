//! What is mounted into a container, as data. `prepare.rs` turns it into C strings, `attach.rs` mounts it in the child.
//!
//! Mounts are made by descriptor: sources become detached mounts while the host's paths are visible, targets are resolved
//! inside the new root with `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)` and then only used as descriptors, so nothing
//! a container does concurrently in a shared volume can redirect a mount.

pub(crate) mod attach;
mod confined;
mod points;
pub(crate) mod prepare;
mod propagation;
mod sub_path;
pub(crate) mod target;

pub use confined::open_confined;
pub use points::make_mount_points;
pub use sub_path::{SubPathError, open_sub_path};

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// One mount of a container.
#[derive(Debug)]
pub struct Mount {
    /// Absolute path inside the container; created when missing, as a directory or an empty file like its source.
    pub destination: PathBuf,
    /// What appears there.
    pub source: MountSource,
    /// Whether it can be written to.
    pub access: Access,
    /// What else is (dis)allowed on it.
    pub flags: MountFlags,
    /// What happens to mounts made below it later, on either side.
    pub propagation: Propagation,
}

/// What a mount shows.
#[derive(Debug)]
#[non_exhaustive]
pub enum MountSource {
    /// A file or directory of the host by path. Symbolic links in it are followed on the host.
    Bind {
        /// Absolute path.
        path: PathBuf,
        /// Whether mounts below it come along, as container runtimes do.
        recursive: bool,
    },
    /// The same for a file or directory that has been opened already (`O_PATH` suffices), as for a `subPath`.
    BindFd {
        /// What to show.
        fd: OwnedFd,
        /// Whether mounts below it come along.
        recursive: bool,
    },
    /// A new file system of this type with these options (`None` for options without a value).
    FileSystem {
        /// `proc`, `sysfs`, `tmpfs`, `mqueue`, `devpts`…
        kind: CString,
        /// In the words of the file system; not mount flags.
        options: Vec<(CString, Option<CString>)>,
    },
    /// A tmpfs with the default device nodes and links.
    Dev,
    /// The container's own cgroup directories: one directory on v2, one per controller on v1.
    Cgroup,
    /// The `/dev/shm` all containers of the sandbox share.
    SandboxShm,
}

/// Whether a mount can be written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// As the source allows.
    #[default]
    ReadWrite,
    /// The mount itself is read-only, mounts below it are as they were.
    ReadOnly,
    /// Read-only with everything below it.
    RecursiveReadOnly,
}

/// Restrictions of a mount, added to those its source has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// Set-user-ID bits and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Programs cannot be executed.
    pub noexec: bool,
    /// Every access updates the access time.
    pub strictatime: bool,
}

impl MountFlags {
    const NONE: Self = Self {
        nosuid: false,
        nodev: false,
        noexec: false,
        strictatime: false,
    };
    const NOSUID_NOEXEC: Self = Self {
        nosuid: true,
        noexec: true,
        ..Self::NONE
    };
    const NOSUID_NODEV_NOEXEC: Self = Self {
        nodev: true,
        ..Self::NOSUID_NOEXEC
    };
}

/// What happens to mounts made below a bind mount after it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Nothing (Kubernetes `None`).
    #[default]
    Private,
    /// Mounts of the host appear in the container (`HostToContainer`). The source must be on a shared or slave mount.
    Slave,
    /// In both directions (`Bidirectional`). The source must be on a shared mount of the host.
    Shared,
}

impl Mount {
    /// A recursive, private, writable bind mount: what a volume is unless its mount says more.
    #[must_use]
    pub fn bind(path: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> Self {
        Self::new(
            destination,
            MountSource::Bind {
                path: path.into(),
                recursive: true,
            },
        )
    }

    /// The same for something opened before.
    #[must_use]
    pub fn bind_fd(fd: OwnedFd, destination: impl Into<PathBuf>) -> Self {
        Self::new(
            destination,
            MountSource::BindFd {
                fd,
                recursive: true,
            },
        )
    }

    /// A new file system, options as `("size", "64m")`, an empty value meaning none.
    ///
    /// # Panics
    /// When the type or an option holds a NUL byte.
    #[must_use]
    pub fn file_system(
        kind: &str,
        destination: impl Into<PathBuf>,
        options: &[(&str, &str)],
        flags: MountFlags,
    ) -> Self {
        let text = |text: &str| CString::new(text).expect("options have no NUL bytes");
        let options = options
            .iter()
            .map(|(key, value)| (text(key), (!value.is_empty()).then(|| text(value))))
            .collect();
        let source = MountSource::FileSystem {
            kind: text(kind),
            options,
        };
        Self {
            flags,
            ..Self::new(destination, source)
        }
    }

    /// A tmpfs, nosuid and nodev as for `emptyDir` with `medium: Memory` given to one container.
    #[must_use]
    pub fn tmpfs(destination: impl Into<PathBuf>, size_bytes: Option<u64>, mode: u32) -> Self {
        let mode = format!("{mode:o}");
        let size = size_bytes.map(|size| size.to_string()).unwrap_or_default();
        let mut options = vec![("mode", mode.as_str())];
        if !size.is_empty() {
            options.push(("size", &size));
        }
        let flags = MountFlags {
            nosuid: true,
            nodev: true,
            ..MountFlags::NONE
        };
        Self::file_system("tmpfs", destination, &options, flags)
    }

    /// The pod's `/dev/shm`.
    #[must_use]
    pub fn sandbox_shm() -> Self {
        Self {
            flags: MountFlags::NOSUID_NODEV_NOEXEC,
            ..Self::new("/dev/shm", MountSource::SandboxShm)
        }
    }

    /// The same mount, read-only without what is below it.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            access: Access::ReadOnly,
            ..self
        }
    }

    fn new(destination: impl Into<PathBuf>, source: MountSource) -> Self {
        Self {
            destination: destination.into(),
            source,
            access: Access::ReadWrite,
            flags: MountFlags::NONE,
            propagation: Propagation::Private,
        }
    }

    /// How many names its destination has: sorting by it (stably) puts parents before children, as containerd does.
    #[must_use]
    pub fn depth(&self) -> usize {
        depth(&self.destination)
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The mounts every container gets, in order: `/proc`, `/dev`, `/dev/pts`, `/dev/mqueue`, `/dev/shm`, `/sys` and
/// `/sys/fs/cgroup`, with containerd's options.
///
/// A caller whose own mount has the destination of one of these leaves that one out.
#[must_use]
pub(crate) fn defaults() -> Vec<Mount> {
    let pts = [
        ("newinstance", ""),
        ("ptmxmode", "0666"),
        ("mode", "0620"),
        ("gid", "5"),
    ];
    vec![
        Mount::file_system("proc", "/proc", &[], MountFlags::NOSUID_NODEV_NOEXEC),
        Mount {
            flags: MountFlags {
                nosuid: true,
                strictatime: true,
                ..MountFlags::NONE
            },
            ..Mount::new("/dev", MountSource::Dev)
        },
        Mount::file_system("devpts", "/dev/pts", &pts, MountFlags::NOSUID_NOEXEC),
        Mount::file_system(
            "mqueue",
            "/dev/mqueue",
            &[],
            MountFlags::NOSUID_NODEV_NOEXEC,
        ),
        Mount::sandbox_shm(),
        Mount::file_system("sysfs", "/sys", &[], MountFlags::NOSUID_NODEV_NOEXEC).read_only(),
        Mount {
            access: Access::ReadOnly,
            flags: MountFlags::NOSUID_NODEV_NOEXEC,
            ..Mount::new("/sys/fs/cgroup", MountSource::Cgroup)
        },
    ]
}

/// Paths hidden from every container that is not privileged, as containerd and CRI-O do.
///
/// The `thermal_throttle` directory of each processor belongs to the list as well, when the machine has them.
#[must_use]
pub(crate) fn default_masked_paths() -> Vec<Cow<'static, CStr>> {
    const PATHS: [&CStr; 12] = [
        c"/proc/asound",
        c"/proc/acpi",
        c"/proc/interrupts",
        c"/proc/kcore",
        c"/proc/keys",
        c"/proc/latency_stats",
        c"/proc/timer_list",
        c"/proc/timer_stats",
        c"/proc/sched_debug",
        c"/proc/scsi",
        c"/sys/firmware",
        c"/sys/devices/virtual/powercap",
    ];
    let of_processors = thermal_throttle_paths(Path::new("/sys/devices/system/cpu"));
    let of_processors = of_processors.into_iter().map(Cow::Owned);
    PATHS
        .map(Cow::Borrowed)
        .into_iter()
        .chain(of_processors)
        .collect()
}

/// Paths no container that is not privileged may write to, as containerd and CRI-O do.
#[must_use]
pub(crate) fn default_readonly_paths() -> Vec<Cow<'static, CStr>> {
    const PATHS: [&CStr; 5] = [
        c"/proc/bus",
        c"/proc/fs",
        c"/proc/irq",
        c"/proc/sys",
        c"/proc/sysrq-trigger",
    ];
    PATHS.map(Cow::Borrowed).into()
}

/// `cpu<N>/thermal_throttle` below `directory`, where it exists; cores of one kind have it or not, so the first one tells.
fn thermal_throttle_paths(directory: &Path) -> Vec<CString> {
    if !directory.join("cpu0/thermal_throttle").exists() {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<CString> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("cpu")?;
            number
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(())?;
            let path = directory.join(&name).join("thermal_throttle");
            CString::new(path.to_str()?).ok()
        })
        .collect();
    paths.sort();
    paths
}
