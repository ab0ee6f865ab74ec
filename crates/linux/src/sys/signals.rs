//! Signal dispositions and masks of a process that is about to run somebody else's program.
#![expect(unsafe_code, reason = "sigaction(2) and its relatives take pointers")]

use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The kernel's `struct sigaction`, in its longest form. The first word is the handler.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    words: [u64; 4],
}

const SIGNAL_SET_SIZE: usize = 8;
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;
/// `SIG_IGN`.
const IGNORE: u64 = 1;

/// The signals that this process ignores, bit `n - 1` for signal `n`.
static IGNORED: OnceLock<u64> = OnceLock::new();

/// Notes which signals are ignored, for [`reset_ignored`] in the children made from here on. Looked up once: nobody here begins to ignore
/// one later, and a container is not to wait for 64 questions.
pub(crate) fn note_ignored() {
    IGNORED.get_or_init(|| {
        let is_ignored = |signal: &i32| {
            let mut current = KernelAction::default();
            action(*signal, std::ptr::null(), &raw mut current);
            current.words[0] == IGNORE
        };
        let bits = SIGNALS.filter(is_ignored).map(|signal| 1 << (signal - 1));
        bits.fold(0, std::ops::BitOr::bitor)
    });
}

/// Gives the signals of [`note_ignored`] their default action. Rust programs ignore `SIGPIPE`, and an ignored signal stays so across
/// execve. The handlers of others are gone since the birth of the child.
pub(crate) fn reset_ignored() {
    let ignored = IGNORED.get().copied().unwrap_or(u64::MAX);
    let default = KernelAction::default();
    for signal in SIGNALS.filter(|signal| ignored & 1 << (signal - 1) != 0) {
        action(signal, &raw const default, std::ptr::null_mut());
    }
}

/// Past libc, which keeps two signals to itself that callers may have ignored all the same.
fn action(signal: i32, new: *const KernelAction, old: *mut KernelAction) {
    // SAFETY: both are null or of the kernel's layout; zeroes are SIG_DFL without flags and mask. KILL and STOP are refused with EINVAL,
    // which is what we want for them.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, new, old, SIGNAL_SET_SIZE);
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

/// Blocks every signal of the calling thread, for a program that takes them one by one.
pub(crate) fn block_all() {
    // SAFETY: `set` is initialised by sigfillset before it is read.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigfillset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Ends the process at once, running nothing of the language runtime.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}
