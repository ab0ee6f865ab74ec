//! The sandbox of a pod: one tiny process that keeps the namespaces all its containers share.
//!
//! ```text
//! parent                                   child
//! clone3(NEWNET NEWIPC NEWUTS NEWNS …) ──▶ private mounts; a tmpfs of its own as root, holding
//!                                            /shm    the pod's /dev/shm, 64 MiB
//!                                            /empty  what masked directories show
//!                                            /null   what masked files show
//!                                            /pause  its program
//!                                          host name, sysctls
//! namespace descriptors  ◀── ready ─────── cgroups, privileges given up, then exec of `/pause`
//! ```
//!
//! **The small mount namespace** is what containers start from: copying a mount namespace costs time per mount in it, so
//! they copy this one, with a handful of mounts, and not the host's with perhaps thousands. It also means that no mount of
//! the host is ever present in a container's mount namespace, not even for a moment.
//!
//! **`/dev/shm`** lives in that namespace, so it lasts exactly as long as the sandbox process and survives every supervisor.
//! [`MountSource::SandboxShm`](crate::MountSource::SandboxShm) mounts it into a container.
//!
//! **The program** is a file of the sandbox's own root (`pause.rs`), so nothing that reaches `/proc/<pid>/exe` finds anything of
//! the host's there. Until it is executed the child holds all capabilities or is not dumpable, which keeps containers that share
//! its pid namespace from looking into it.

mod create;
mod pause;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::cgroup::Cgroup;
use crate::idmap::UserNamespace;
use crate::plan::OomScoreAdj;
use crate::process::{Process, ProcessId, StageError};

/// What a sandbox is to be.
#[derive(Debug)]
pub struct SandboxPlan<'a> {
    /// Host name of the pod, at most 64 bytes; ignored without a UTS namespace of its own.
    pub hostname: String,
    /// NIS domain name, if any.
    pub domainname: Option<String>,
    /// Network namespace.
    pub network: SandboxNetwork,
    /// Whether the pod has an IPC namespace of its own (not `hostIPC`).
    pub new_ipc: bool,
    /// Whether the pod has a UTS namespace of its own (not `hostNetwork`).
    pub new_uts: bool,
    /// Whether all containers share one pid namespace, in which the sandbox process is pid 1 and reaps.
    pub share_process_namespace: bool,
    /// A user namespace of its own (`hostUsers: false`); the pod then has namespaces of its own of all other kinds as well,
    /// and needs Linux 6.15.
    pub user_namespace: Option<UserNamespace>,
    /// Names with dots or slashes, and values written as they are. Only those of namespaces that the sandbox does not share
    /// with the machine are taken.
    pub sysctls: Vec<(String, String)>,
    /// What stands behind `/pause` in process lists; containers that share its pid namespace see it, too.
    pub arguments: Vec<CString>,
    /// Where the sandbox process is accounted.
    pub cgroup: Option<&'a Cgroup>,
    /// Where containers show their cgroups below `/sys/fs/cgroup`, from [`CgroupRoot::shown_names`](crate::CgroupRoot::shown_names). One
    /// that shows others needs a file system of its own for that, which is dear.
    pub cgroup_names: Vec<CString>,
    /// As for containers.
    pub oom_score_adj: Option<OomScoreAdj>,
}

/// The network of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxNetwork {
    /// A new namespace with nothing but a loopback interface that is down.
    New,
    /// The caller's.
    Host,
}

/// The namespaces of a sandbox, each by descriptor.
#[derive(Debug)]
pub struct Namespaces {
    /// Network.
    pub net: OwnedFd,
    /// Inter-process communication.
    pub ipc: OwnedFd,
    /// Host name.
    pub uts: OwnedFd,
    /// Mounts: the small one containers start from.
    pub mnt: OwnedFd,
    /// Processes, when the sandbox has its own (`shareProcessNamespace`).
    pub pid: Option<OwnedFd>,
    /// Users, when the sandbox has its own (`hostUsers: false`).
    pub user: Option<OwnedFd>,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    process: Process,
    namespaces: Namespaces,
    users: Option<UserNamespace>,
    /// A sysfs of its network namespace as a mount that is nowhere, to be copied by containers. Each could make one, but for that the kernel
    /// looks through those of all pods. Only the sandbox's maker has it, and before Linux 6.15 it cannot be copied.
    sysfs: Option<OwnedFd>,
}

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The plan cannot be carried out by anybody.
    #[error("the sandbox plan holds {what}, which the kernel cannot take")]
    Plan {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A sysctl that cannot be set for the pod alone.
    #[error("sysctl `{name}` {why}")]
    Sysctl {
        /// Its name, as given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The caller's side failed.
    #[error("could not {attempt} for the sandbox")]
    Parent {
        /// What was attempted.
        attempt: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A step of the set-up failed; nothing is left of the sandbox.
    #[error("the sandbox could not be set up")]
    Stage(#[source] StageError),
}

impl Namespaces {
    /// Those of a process, by its number: the caller has to know that it has not been reaped.
    fn of(pid: i32) -> io::Result<Self> {
        let open = |kind: &str| -> io::Result<OwnedFd> {
            let path = format!("/proc/{pid}/ns/{kind}");
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
        };
        let pid = open("pid")?;
        let own = rustix::fs::stat("/proc/self/ns/pid")?;
        let shared = rustix::fs::fstat(&pid)?.st_ino != own.st_ino;
        Ok(Self {
            net: open("net")?,
            ipc: open("ipc")?,
            uts: open("uts")?,
            mnt: open("mnt")?,
            pid: shared.then_some(pid),
            user: None,
        })
    }
}

impl Sandbox {
    /// The process that keeps the namespaces.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Its users, when they are not the machine's.
    #[must_use]
    pub const fn users(&self) -> Option<&UserNamespace> {
        self.users.as_ref()
    }

    pub(crate) fn sysfs(&self) -> Option<BorrowedFd<'_>> {
        self.sysfs.as_ref().map(AsFd::as_fd)
    }

    /// Its namespaces.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Finds a sandbox again after a restart of the caller. `None` when its process is gone.
    ///
    /// # Errors
    /// When `/proc` cannot be read for another reason than absence.
    pub fn adopt(id: ProcessId) -> io::Result<Option<Self>> {
        let Some(process) = Process::adopt(id)? else {
            return Ok(None);
        };
        match Self::of(process.try_clone()?) {
            Ok(sandbox) => Ok(Some(sandbox)),
            // A zombie has no namespaces any more.
            Err(_) if process.wait_exited(Some(std::time::Duration::ZERO))? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Sandbox {
    /// A sandbox by its process, which the caller knows not to have been reaped.
    fn of(process: Process) -> io::Result<Self> {
        let mut namespaces = Namespaces::of(process.pid())?;
        let users = UserNamespace::of(process.pid())?;
        if users.is_some() {
            let path = format!("/proc/{}/ns/user", process.pid());
            namespaces.user = Some(std::fs::File::open(path)?.into());
        }
        Ok(Self {
            process,
            namespaces,
            users,
            sysfs: None,
        })
    }
}

impl AsFd for Sandbox {
    /// The pidfd of the sandbox process: readable once it has exited.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}
