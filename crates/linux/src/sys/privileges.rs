//! Capabilities, identities, resource limits, keyrings and filters of the calling process.
#![expect(
    unsafe_code,
    reason = "these calls must act on the one calling thread, without libc's broadcasting"
)]

use std::ffi::{CStr, c_char};

use rustix::io::Errno;

/// One BPF instruction; the layout of `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a jump's condition holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const Instruction,
}

/// Loads a seccomp filter into the calling thread.
pub(crate) fn load_filter(program: &[Instruction], log: bool) -> Result<(), Errno> {
    let program = FilterProgram {
        length: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        instructions: program.as_ptr(),
    };
    let flags = if log {
        libc::SECCOMP_FILTER_FLAG_LOG
    } else {
        0
    };
    // SAFETY: `program` describes `length` instructions that outlive the call; the kernel copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    super::check(result).map(drop)
}

fn prctl(option: i32, second: u64, third: u64) -> Result<(), Errno> {
    // SAFETY: only options without pointer arguments are passed by the functions below.
    let result = unsafe { libc::syscall(libc::SYS_prctl, option, second, third, 0_u64, 0_u64) };
    super::check(result).map(drop)
}

/// Whether other processes of the same user may look into this one.
pub(crate) fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0)
}

/// No program executed from now on gains privileges by set-user-ID bits or file capabilities.
pub(crate) fn set_no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Whether permitted capabilities survive the change to another user.
pub(crate) fn set_keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0)
}

/// Takes one capability out of the bounding set. Unknown ones give `EINVAL`.
pub(crate) fn drop_from_bounding_set(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0)
}

/// Empties the ambient set.
pub(crate) fn clear_ambient() -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        4, /* PR_CAP_AMBIENT_CLEAR_ALL */
        0,
    )
}

/// Adds one capability to the ambient set; it must be permitted and inheritable.
pub(crate) fn raise_ambient(capability: u32) -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        2, /* PR_CAP_AMBIENT_RAISE */
        u64::from(capability),
    )
}

/// Sets the process's name, at most 15 bytes.
pub(crate) fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: PR_SET_NAME reads a NUL-terminated string.
    let result = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr()) };
    super::check(result).map(drop)
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets the three thread capability sets, as bit masks over capability numbers.
pub(crate) fn set_capabilities(
    effective: u64,
    permitted: u64,
    inheritable: u64,
) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader {
        version: VERSION_3,
        pid: 0,
    };
    let word = |shift: u32| CapabilityWord {
        effective: low_half(effective >> shift),
        permitted: low_half(permitted >> shift),
        inheritable: low_half(inheritable >> shift),
    };
    let words = [word(0), word(32)];
    // SAFETY: header and words have the layout of version 3, which takes two words; the kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_capset,
            std::ptr::from_ref(&header),
            words.as_ptr(),
        )
    };
    super::check(result).map(drop)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is wanted"
)]
const fn low_half(value: u64) -> u32 {
    value as u32
}

/// Sets the supplementary groups of the calling thread.
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `groups.len()` 32-bit group ids.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    super::check(result).map(drop)
}

/// Sets real, effective and saved group of the calling thread.
pub(crate) fn set_gid(gid: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    super::check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user of the calling thread.
pub(crate) fn set_uid(uid: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    super::check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets one resource limit of the calling process; `u64::MAX` means unlimited.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    let none: *mut libc::rlimit64 = std::ptr::null_mut();
    // SAFETY: `limit` has the layout prlimit64 reads; the old value is not asked for.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            std::ptr::from_ref(&limit),
            none,
        )
    };
    super::check(result).map(drop)
}

/// Joins a new, anonymous session keyring, leaving the host's behind. Kernels without keyrings have nothing to leave.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: u64 = 1;
    let anonymous: *const c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) };
    match super::check(result) {
        Err(Errno::NOSYS) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}
