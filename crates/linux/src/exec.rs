//! One more process in a running container: `kubectl exec`, exec probes and lifecycle hooks.
//!
//! It takes the same way as the container's first process (`process/init.rs`), but joins namespaces where that one makes
//! them. Nothing of the host's is executed on the way, and the process cannot be looked into before its own execve.
//!
//! It is a child of its creator, outside the container's pid namespace, and ends with it. The end of the container's first
//! process is announced only when all others of its pid namespace have been reaped: who waits for it must go on reaping execs.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::capabilities::CapabilitySets;
use crate::cgroup::Cgroup;
use crate::lsm::SecurityLabel;
use crate::plan::{OomScoreAdj, Rlimit, Stdio, User};
use crate::process::Process;
use crate::seccomp;

/// A process to run inside a container.
#[derive(Debug)]
pub struct ExecPlan<'a> {
    /// The container's first process, whose mount, network, IPC, UTS, pid and cgroup namespaces are joined.
    pub into: &'a Process,
    /// Program and arguments. A first word without `/` is looked up in the `PATH` of `env`.
    pub args: Vec<CString>,
    /// The whole environment.
    pub env: Vec<CString>,
    /// Absolute; must exist.
    pub working_dir: CString,
    /// Who runs it.
    pub user: User,
    /// File mode creation mask.
    pub umask: u32,
    /// Limits to set; all others are the caller's own.
    pub rlimits: Vec<Rlimit>,
    /// Forbids gaining privileges by execve.
    pub no_new_privileges: bool,
    /// As the container's.
    pub capabilities: CapabilitySets,
    /// As the container's.
    pub seccomp: Option<Arc<seccomp::Program>>,
    /// As the container's.
    pub security_label: Option<SecurityLabel>,
    /// As the container's.
    pub oom_score_adj: Option<OomScoreAdj>,
    /// The container's.
    pub cgroup: Option<&'a Cgroup>,
    /// Descriptors, or a new terminal in the container's devpts.
    pub stdio: Stdio,
    /// As for containers.
    pub launch_record: Option<OwnedFd>,
}

impl<'a> ExecPlan<'a> {
    /// A plan with the defaults of a container that has been given nothing else.
    #[must_use]
    pub fn new(into: &'a Process, args: Vec<CString>, stdio: Stdio) -> Self {
        Self {
            into,
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
            cgroup: None,
            stdio,
            launch_record: None,
        }
    }
}
