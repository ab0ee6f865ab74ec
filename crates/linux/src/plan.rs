//! What a container is to be: plain data, complete before anything happens.
//!
//! Nothing here knows where the values come from. Defaults are those of containerd's CRI plugin, so that a plan made by
//! [`ContainerPlan::new`] and given `args` is what a plain Kubernetes container gets.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::capabilities::CapabilitySets;
use crate::cgroup::Cgroup;
use crate::lsm::SecurityLabel;
use crate::mounts::{self, Mount};
use crate::process::Process;
use crate::rootfs::Rootfs;
use crate::sandbox::Sandbox;
use crate::seccomp;

/// One container, ready to be spawned.
///
/// The plan only has to live until [`ContainerPlan::spawn`] returns. Descriptors in it stay open until it is dropped:
/// drop it when the ends of pipes matter.
#[derive(Debug)]
pub struct ContainerPlan<'a> {
    /// The pod's namespaces, which the container joins.
    pub sandbox: &'a Sandbox,
    /// The image's layers and where writes go.
    pub rootfs: Rootfs,
    /// Makes the root mount read-only, after mount points and the working directory have been created in it.
    pub readonly_rootfs: bool,
    /// Mounts, made in this order; parents before children. The first ones are the kernel's own file systems.
    pub mounts: Vec<Mount>,
    /// Paths hidden under `/dev/null` (files) or an empty read-only directory; absent ones are skipped.
    pub masked_paths: Vec<Cow<'static, CStr>>,
    /// Paths made read-only, with what is below them; absent ones are skipped.
    pub readonly_paths: Vec<Cow<'static, CStr>>,

    /// Program and arguments. A first word without `/` is looked up in the `PATH` of `env`.
    pub args: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Absolute; created with mode 0755 when missing.
    pub working_dir: CString,
    /// Who runs it.
    pub user: User,
    /// File mode creation mask; 0o022 unless changed.
    pub umask: u32,
    /// Limits to set; all others are the caller's own.
    pub rlimits: Vec<Rlimit>,
    /// Forbids gaining privileges by execve.
    pub no_new_privileges: bool,
    /// Capabilities before execve. Users other than root keep only the ambient ones after it.
    pub capabilities: CapabilitySets,
    /// The compiled filter; `None` means unconfined.
    pub seccomp: Option<Arc<seccomp::Program>>,
    /// AppArmor profile or SELinux context; `None` is what execve gives by itself.
    pub security_label: Option<SecurityLabel>,
    /// Written to `/proc/self/oom_score_adj`; `None` keeps the caller's.
    pub oom_score_adj: Option<OomScoreAdj>,

    /// Which pid namespace it lives in.
    pub pid_namespace: PidNamespace<'a>,
    /// Whether it sees its own cgroup as the root of the hierarchy.
    pub cgroup_namespace: bool,
    /// Where it is accounted and limited.
    pub cgroup: Option<&'a Cgroup>,

    /// Standard input, output and error.
    pub stdio: Stdio,
    /// A regular file opened with `O_APPEND`, in which the child notes how far it got; see
    /// [`read_launch_record`](crate::read_launch_record).
    pub launch_record: Option<OwnedFd>,
}

impl<'a> ContainerPlan<'a> {
    /// A plan with containerd's defaults: mounts, masked and read-only paths, capabilities, root, `/`, umask 022, a pid and
    /// a cgroup namespace of its own; no seccomp filter, no cgroup, no environment.
    #[must_use]
    pub fn new(sandbox: &'a Sandbox, rootfs: Rootfs, args: Vec<CString>, stdio: Stdio) -> Self {
        Self {
            sandbox,
            rootfs,
            readonly_rootfs: false,
            mounts: mounts::defaults(),
            masked_paths: mounts::default_masked_paths(),
            readonly_paths: mounts::default_readonly_paths(),
            args,
            env: Vec::new(),
            working_dir: c"/".to_owned(),
            user: User::default(),
            umask: 0o022,
            rlimits: Vec::new(),
            no_new_privileges: false,
            capabilities: CapabilitySets::containerd_default(),
            seccomp: None,
            security_label: None,
            oom_score_adj: None,
            pid_namespace: PidNamespace::New,
            cgroup_namespace: true,
            cgroup: None,
            stdio,
            launch_record: None,
        }
    }
}

/// User and groups of a process, as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups; none are inherited.
    pub additional_gids: Vec<u32>,
}

/// One resource limit. `u64::MAX` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*` of the kernel.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// How eagerly the kernel's out-of-memory killer picks this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomScoreAdj {
    /// −1000 (never) to 1000 (first).
    pub value: i16,
    /// Whether a refusal fails the launch. Lowering the value below the caller's own needs `CAP_SYS_RESOURCE`; without
    /// `required` the container then keeps the caller's value, as rootless runtimes do.
    pub required: bool,
}

/// Which pid namespace a container lives in.
#[derive(Debug, Clone, Copy, Default)]
pub enum PidNamespace<'a> {
    /// Its own; its first process is pid 1.
    #[default]
    New,
    /// The sandbox's (`shareProcessNamespace`). With a sandbox that has none of its own this is the host's.
    Sandbox,
    /// The one of the caller (`hostPID`).
    Host,
    /// The one of another container's process (a debug container with a target).
    Of(&'a Process),
}

/// Where standard input, output and error go.
#[derive(Debug)]
pub enum Stdio {
    /// Three descriptors, duplicated onto 0, 1 and 2. For a user other than root the launcher makes the container's user
    /// the owner of pipes among them, so that `/dev/stdout` can be opened again.
    Files {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new terminal in the container's own devpts; its master side comes with
    /// [`Launch::take_terminal`](crate::Launch::take_terminal).
    Terminal {
        /// Columns and rows to begin with.
        size: Option<(u16, u16)>,
    },
}
