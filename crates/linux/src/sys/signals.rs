//! Signal dispositions and masks of a process that is about to run somebody else's program, and the wait of `pause`.
#![expect(unsafe_code, reason = "sigaction(2) and its relatives take pointers")]

use std::mem::MaybeUninit;

use rustix::io::Errno;

/// Gives every signal its default action. Rust programs ignore `SIGPIPE`, and an ignored signal stays so across execve.
pub(crate) fn reset_dispositions() {
    for signal in 1..=64 {
        // SAFETY: a zeroed `sigaction` is valid and means SIG_DFL without flags. Signals that cannot be changed (KILL,
        // STOP and libc's own two) are refused with EINVAL, which is what we want for them.
        unsafe {
            let action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
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
