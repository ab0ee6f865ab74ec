//! The program of a sandbox: holds its namespaces by existing, and reaps when it is pid 1.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;

use crate::sys::{privileges, signals};

/// Keeps the sandbox's namespaces until `SIGTERM` or `SIGINT`. Never returns.
///
/// To be called first thing in `main` when the arguments of [`SandboxPlan::program`](crate::SandboxPlan::program) are seen,
/// while the process has a single thread. It leaves the host's root directory and gives up all privileges first, and ends
/// with code 1 when it cannot.
pub fn pause() -> ! {
    match confine() {
        Ok(()) => sleep(),
        Err(_) => signals::exit_now(1),
    }
}

/// Leaves the host's root directory for that of the sandbox, then every privilege.
fn confine() -> Result<(), Errno> {
    privileges::set_dumpable(false)?;
    privileges::set_name(c"pause")?;
    // Joining the mount namespace one is in anyway moves root and working directory to its root.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::open(c"/proc/self/ns/mnt", flags, Mode::empty())?;
    let kind = Some(LinkNameSpaceType::Mount);
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&own), kind)?;
    drop(own);
    privileges::set_no_new_privileges()?;
    privileges::clear_ambient()?;
    privileges::set_capabilities(0, 0, 0)
}

fn sleep() -> ! {
    signals::block_all();
    loop {
        match signals::wait() {
            Ok(libc::SIGTERM | libc::SIGINT) => signals::exit_now(0),
            Ok(libc::SIGCHLD) => reap_all(),
            Ok(_) | Err(_) => {}
        }
    }
}

/// With a pid namespace shared by the pod, orphans of all containers end up here.
fn reap_all() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}
