//! From a plain plan to running processes: sandboxes, containers, cgroups, mounts, networks.
//!
//! The only crate of the workspace with `unsafe` code, and the only one that enters namespaces. It knows no Kubernetes,
//! has no async runtime, starts no threads and logs nothing: a plan goes in, processes and typed failures come out.
//!
//! ```text
//! SandboxPlan ── Sandbox::create ──▶ Sandbox     a tiny process that keeps the pod's namespaces
//!                                      │
//! ContainerPlan ── spawn ──▶ Launch ───┤         set-up runs in the child; start() opens the barrier
//!                              │       │
//!                              ▼       ▼
//!                           Process (pid, start time, pidfd)  ◀── exec(ExecPlan): one more process inside
//! ```
//!
//! How a container is made: everything that needs memory is prepared in the parent, one `clone3` follows, and the child
//! performs only system calls on what it was handed (`process/init.rs`). `THREATS.md` lists the published escapes this
//! must withstand, and the test that tries each one.
//!
//! Kernel floor: 6.5 (`lowerdir+` of overlayfs), and 6.15 for pods with a user namespace of their own (overlays of detached
//! mounts); everything else is older.

pub mod capabilities;
pub mod cgroup;
mod container;
mod exec;
mod executable;
mod idmap;
pub mod lsm;
mod mounts;
pub mod network;
mod plan;
pub mod process;
mod rootfs;
mod sandbox;
pub mod seccomp;
mod sys;

pub use capabilities::{Capability, CapabilitySet, CapabilitySets};
pub use cgroup::{Cgroup, CgroupRoot, Usage};
pub use exec::ExecPlan;
pub use executable::{protect_own_program, protected_program};
pub use idmap::UserNamespace;
pub use lsm::{SecurityLabel, has_apparmor, has_selinux};
pub use mounts::{
    Access, Mount, MountFlags, MountSource, Propagation, SubPathError, make_mount_points,
    open_confined, open_sub_path,
};
pub use plan::{ContainerPlan, OomScoreAdj, PidNamespace, Rlimit, Stdio, User};
pub use process::{
    Launch, LaunchError, LaunchEvent, LaunchRecord, Process, ProcessId, Stage, StageError,
    WaitStatus, fork, read_launch_record,
};
pub use rootfs::{LAYER_LIMIT, Rootfs};
pub use sandbox::{Namespaces, Sandbox, SandboxError, SandboxNetwork, SandboxPlan};
pub use sys::memory::give_back;
pub use sys::title::set_title;
