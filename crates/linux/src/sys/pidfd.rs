//! What can be asked about a process through its pidfd.
#![expect(unsafe_code, reason = "PIDFD_GET_INFO and waitid(2) fill structures")]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The beginning of `struct pidfd_info` (64 bytes, version 0).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` for the 64-byte structure.
const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B_u32 as libc::Ioctl;

/// The raw wait status of a process that has been reaped by whoever is its parent.
///
/// `None` while it lives, while it is an unreaped zombie, and on kernels before 6.15, which do not keep it.
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the request encodes the size of `info`, and the kernel writes at most that many bytes to it.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// Asks whether a child has exited, without waiting: `(si_code, si_status)` if so.
pub(crate) fn wait_child(pidfd: BorrowedFd<'_>, reap: bool) -> Result<Option<(i32, i32)>, Errno> {
    let mut options = libc::WEXITED | libc::WNOHANG;
    if !reap {
        options |= libc::WNOWAIT;
    }
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| Errno::BADF)?;
    // SAFETY: siginfo_t is plain data; zeroes are valid, and the kernel fills it. Only fields that are valid for
    // SIGCHLD are read, after checking that one was delivered.
    unsafe {
        let mut info: libc::siginfo_t = MaybeUninit::zeroed().assume_init();
        let result = libc::waitid(libc::P_PIDFD, id, &raw mut info, options);
        super::check(libc::c_long::from(result))?;
        Ok((info.si_signo == libc::SIGCHLD).then(|| (info.si_code, info.si_status())))
    }
}

/// Sends a signal by number; real-time signals included, 0 only checks.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo asks for the one kill(2) would send.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            none,
            0_u32,
        )
    };
    super::check(result).map(drop)
}
