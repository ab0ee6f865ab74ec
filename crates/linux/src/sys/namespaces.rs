//! Joining and leaving namespaces, and closing what must not go along.
#![expect(
    unsafe_code,
    reason = "unshare(2) and close_range(2) have no safe wrapper"
)]

use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

/// Joins the namespaces of the kinds `kinds` of the process behind `pidfd`, all or none.
///
/// Joining a pid namespace changes only where the caller's next children are born.
pub(crate) fn join(pidfd: BorrowedFd<'_>, kinds: ThreadNameSpaceType) -> Result<(), Errno> {
    rustix::thread::move_into_thread_name_spaces(pidfd, kinds)
}

/// Gives the caller new namespaces of the kinds `kinds`.
///
/// Callers pass only `CLONE_NEW*` flags other than user namespaces.
pub(crate) fn unshare(kinds: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: what makes unshare unsafe is `CLONE_FILES`, which would break I/O safety of other threads; no caller in this
    // crate passes it.
    unsafe { rustix::thread::unshare_unsafe(kinds) }
}

/// Closes the descriptors `first..=last`.
///
/// Only for a child that is about to replace its program: owners of closed descriptors must not be used again.
pub(crate) fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed. The caller upholds that nothing still owns the closed descriptors: the launcher's child
    // never returns and lists every descriptor it goes on using.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
    super::check(result).map(drop)
}

/// Makes `target` refer to what `source` refers to, without close-on-exec.
pub(crate) fn duplicate_onto(source: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    // SAFETY: no memory is passed; `target` is one of 0, 1, 2 in a child that has given up what they referred to.
    let result = unsafe { libc::dup2(source.as_raw_fd(), target) };
    super::check(libc::c_long::from(result)).map(drop)
}

/// Writes the working directory into `buffer` and returns its length without the final NUL.
///
/// A directory outside the root comes back as a path that does not begin with `/`.
pub(crate) fn working_directory(buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    let length = super::check(result)?;
    Ok(usize::try_from(length).unwrap_or(1).saturating_sub(1))
}
