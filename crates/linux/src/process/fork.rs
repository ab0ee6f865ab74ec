//! A child that goes on as a copy of its parent, with the language runtime, unlike those of `spawn.rs`.
#![expect(unsafe_code, reason = "fork(2) returns twice")]
#![expect(
    clippy::exit,
    reason = "the copy must not come back to what the caller was doing"
)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;

use super::init;

/// Makes a child of this process that does `child` and exits with the code it gives. It has `keep` and standard input, output and error, and
/// no other descriptor; it has the caller's memory, which both share until one of them writes to it, and its signal handlers. Gives its
/// number.
///
/// What is cheap about it: nothing is loaded, linked or initialised anew. What is dangerous about it: locks of other threads. So there must
/// be none.
///
/// # Errors
/// When this process has several threads, or the kernel refuses another one.
pub fn fork(keep: OwnedFd, child: impl FnOnce(OwnedFd) -> i32) -> io::Result<i32> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other(
            "a process with several threads cannot be copied",
        ));
    }
    // SAFETY: there is no other thread, whose locks would be held for ever in the copy.
    match unsafe { libc::fork() } {
        0 => {
            // Descriptors that the caller's variables own are closed here, and nobody comes back to those variables.
            let code = match init::close_all_but(&[keep.as_raw_fd()]) {
                Ok(()) => std::panic::catch_unwind(AssertUnwindSafe(|| child(keep))),
                Err(_) => Ok(init::SETUP_FAILED),
            };
            std::process::exit(code.unwrap_or(init::SETUP_FAILED))
        }
        pid if pid > 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}
