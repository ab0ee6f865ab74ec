//! The system calls `rustix` does not offer, or not in the form the launcher needs, one safe function each.
//!
//! Everything here is async-signal-safe: no allocation, no locks, no `errno`-dependent libc machinery beyond reading it.
//! With `process/spawn.rs` and `process/init.rs` these are the only files that may contain `unsafe`.

pub(crate) mod bpf;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namespaces;
pub(crate) mod pidfd;
pub(crate) mod privileges;
pub(crate) mod signals;
pub(crate) mod title;

use rustix::io::Errno;

/// The result of a raw system call as `rustix` would give it.
fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

/// `errno` of the calling thread.
pub(crate) fn last_errno() -> Errno {
    // `last_os_error` only reads `errno`; it does not allocate.
    let raw = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO);
    Errno::from_raw_os_error(raw)
}
