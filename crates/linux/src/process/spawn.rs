//! `clone3`, once per process, and the short detour through another pid namespace it sometimes takes.
#![expect(unsafe_code, reason = "clone3(2) returns twice")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;

use crate::sys;

/// How to make a process.
#[derive(Debug, Default)]
pub(crate) struct Birth<'a> {
    /// New namespaces, `CLONE_NEW*`.
    pub(crate) new_namespaces: u64,
    /// The v2 cgroup to be born into.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The pid namespace to be born into: a namespace descriptor or a pidfd.
    pub(crate) pid_namespace: Option<BorrowedFd<'a>>,
}

/// `struct clone_args` up to the field `cgroup`.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child that runs `child` and exits with the code it returns, should it return. Gives its number and pidfd.
///
/// The child has a copy of the caller's memory, in which locks may be held by threads that do not exist there: `child` must
/// only make system calls on memory prepared before, and must not allocate, lock, log or panic. Handlers of signals are
/// gone from its birth on.
///
/// # Errors
/// When the kernel refuses the process or a pid namespace.
pub(crate) fn spawn(birth: &Birth<'_>, child: impl FnOnce() -> i32) -> io::Result<(i32, OwnedFd)> {
    let Some(pid_namespace) = birth.pid_namespace else {
        return clone(birth, child);
    };
    // What is entered here counts for the caller's next children only, and is undone before anything else happens.
    let own = rustix::fs::open(
        c"/proc/thread-self/ns/pid",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::thread::move_into_link_name_space(pid_namespace, Some(LinkNameSpaceType::ProcessID))?;
    let born = clone(birth, child);
    let back =
        rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID));
    if let (Ok((_, pidfd)), Err(_)) = (&born, back) {
        // The caller gets an error, so nobody would ever look after this child.
        let _ = sys::pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
    }
    back?;
    born
}

fn clone(birth: &Birth<'_>, child: impl FnOnce() -> i32) -> io::Result<(i32, OwnedFd)> {
    sys::signals::note_ignored();
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArguments {
        flags: birth.new_namespaces | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    if let Some(cgroup) = birth.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(0);
    }
    // SAFETY: without CLONE_VM the child gets its own copy of the memory, so this is fork(2) with more options: it
    // returns once in each process, each with its own stack. The arguments outlive the call and `pidfd` is written
    // in the parent only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<CloneArguments>(),
        )
    };
    match result {
        0 => {
            let code = child();
            sys::signals::exit_now(code)
        }
        pid if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok((i32::try_from(pid).unwrap_or(i32::MAX), pidfd))
        }
        _ => Err(io::Error::last_os_error()),
    }
}
