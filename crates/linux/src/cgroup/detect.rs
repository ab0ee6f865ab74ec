//! Which cgroup hierarchies the machine has, told from a directory.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags};

use super::{CgroupError, Resources};

/// Where hierarchies are mounted by every init system and container engine.
const CONVENTION: &str = "/sys/fs/cgroup";

/// What a hierarchy can limit, as far as containers need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Pids,
    Devices,
    Hugetlb,
}

impl Controller {
    const ALL: [Self; 7] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Pids,
        Self::Devices,
        Self::Hugetlb,
    ];

    /// The kernel's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Devices => "devices",
            Self::Hugetlb => "hugetlb",
        }
    }
}

/// One mounted hierarchy.
#[derive(Debug)]
pub(super) struct Hierarchy {
    pub(super) controllers: Vec<Controller>,
    pub(super) unified: bool,
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
}

/// The name of the directory below `/sys/fs/cgroup` that shows cgroups with these v1 controllers.
pub(super) fn shown_name(controllers: &[Controller]) -> String {
    let names: Vec<_> = controllers.iter().map(|c| c.name()).collect();
    names.join(",")
}

/// How the machine is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One hierarchy per controller.
    V1,
    /// v1 for the controllers, with a v2 hierarchy beside them.
    Hybrid,
    /// One unified hierarchy.
    V2,
    /// None.
    Absent,
}

/// The hierarchies of this machine.
#[derive(Debug)]
pub struct CgroupRoot {
    layout: Layout,
    hierarchies: Vec<Hierarchy>,
}

impl CgroupRoot {
    /// Looks at the conventional place, `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// When there is no hierarchy or it cannot be read.
    pub fn detect() -> Result<Self, CgroupError> {
        Self::detect_in(Path::new(CONVENTION))
    }

    /// The same for another directory.
    ///
    /// # Errors
    /// When there is no hierarchy in it or it cannot be read.
    pub fn detect_in(directory: &Path) -> Result<Self, CgroupError> {
        if let Some(unified) = unified(directory)? {
            return Ok(Self {
                layout: Layout::V2,
                hierarchies: vec![unified],
            });
        }
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut identities = Vec::new();
        for controller in Controller::ALL {
            let path = directory.join(controller.name());
            let Ok(fd) = open(&path) else {
                continue;
            };
            // Controllers mounted together are links to one directory, such as `cpu` to `cpu,cpuacct`.
            let identity = rustix::fs::fstat(&fd)
                .map(|status| (status.st_dev, status.st_ino))
                .map_err(|errno| super::io_error("look at", path.clone(), errno))?;
            if let Some(known) = identities.iter().position(|known| *known == identity) {
                hierarchies[known].controllers.push(controller);
            } else if rustix::fs::accessat(&fd, "cgroup.procs", Access::EXISTS, AtFlags::empty())
                .is_ok()
            {
                identities.push(identity);
                hierarchies.push(Hierarchy {
                    controllers: vec![controller],
                    unified: false,
                    path,
                    fd,
                });
            }
        }
        if hierarchies.is_empty() {
            return Err(CgroupError::NoHierarchy {
                path: directory.to_owned(),
            });
        }
        // A controller is in one hierarchy only: those still with v1 are not to be had in the other.
        let Some(unified) = unified(&directory.join("unified"))? else {
            return Ok(Self {
                layout: Layout::V1,
                hierarchies,
            });
        };
        hierarchies.push(unified);
        Ok(Self {
            layout: Layout::Hybrid,
            hierarchies,
        })
    }

    /// For a machine without any: cgroups made of it limit and track nothing, and say so.
    #[must_use]
    pub const fn absent() -> Self {
        Self {
            layout: Layout::Absent,
            hierarchies: Vec::new(),
        }
    }

    /// How the machine is set up.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The names that containers with usual resources show their cgroups at, below `/sys/fs/cgroup`. None on v2, which has one directory.
    #[must_use]
    pub fn shown_names(&self) -> Vec<CString> {
        let usual = Resources::default();
        let v1 = self.hierarchies.iter().filter(|one| !one.unified);
        v1.filter(|one| one.controllers.iter().any(|&c| usual.needs(c)))
            .filter_map(|one| CString::new(shown_name(&one.controllers)).ok())
            .collect()
    }

    pub(super) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }
}

/// Those of ours in a list of the kernel's.
pub(super) fn controllers(list: &str) -> Vec<Controller> {
    let listed = |controller: &Controller| {
        list.split_ascii_whitespace()
            .any(|name| name == controller.name())
    };
    Controller::ALL.into_iter().filter(listed).collect()
}

fn unified(path: &Path) -> Result<Option<Hierarchy>, CgroupError> {
    let file = path.join("cgroup.controllers");
    let available = match std::fs::read_to_string(&file) {
        Ok(available) => available,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CgroupError::Io {
                attempt: "read",
                path: file,
                source,
            });
        }
    };
    Ok(Some(Hierarchy {
        controllers: controllers(&available),
        unified: true,
        path: path.to_owned(),
        fd: open(path)?,
    }))
}

fn open(path: &Path) -> Result<OwnedFd, CgroupError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| super::io_error("open", path.to_owned(), errno))
}
