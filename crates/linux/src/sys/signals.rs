//! Signal dispositions and masks of a process that is about to run somebody else's program, and the wait of `pause`.
#![expect(unsafe_code, reason = "sigaction(2) and its relatives take pointers")]

use std::mem::MaybeUninit;

use rustix::io::Errno;

/// The kernel's `struct sigaction` with nothing but the default action, in its longest form.
#[repr(C)]
struct KernelAction {
    words: [u64; 4],
}

const SIGNAL_SET_SIZE: usize = 8;

/// Gives every signal its default action. Rust programs ignore `SIGPIPE`, and an ignored signal stays so across execve.
///
/// Past libc, which keeps two signals to itself that callers may have ignored all the same.
pub(crate) fn reset_dispositions() {
    let default = KernelAction { words: [0; 4] };
    let none: *mut KernelAction = std::ptr::null_mut();
    for signal in 1..=64 {
        // SAFETY: zeroes are a valid action of the kernel's layout, SIG_DFL without flags and mask; the old one is not asked
        // for. KILL and STOP are refused with EINVAL, which is what we want for them.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                std::ptr::from_ref(&default),
                none,
                SIGNAL_SET_SIZE,
            );
        }
    }
}

/// Unblocks every signal of the calling thread.
pub(crate) fn unblock_all() {
    // SAFETY: `set` is initialised by sigemptyset before it is read.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Blocks every signal of the calling thread, so that [`wait`] can take them.
pub(crate) fn block_all() {
    // SAFETY: `set` is initialised by sigfillset before it is read.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigfillset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Sleeps until a blocked signal arrives and takes it.
pub(crate) fn wait() -> Result<i32, Errno> {
    // SAFETY: `set` is initialised by sigfillset before it is read; no siginfo is asked for.
    let signal = unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigfillset(set.as_mut_ptr());
        libc::sigwaitinfo(set.as_ptr(), std::ptr::null_mut())
    };
    super::check(libc::c_long::from(signal)).map(|_| signal)
}

/// Ends the process at once, running nothing of the language runtime.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}
