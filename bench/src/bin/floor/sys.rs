//! The system calls that rustix does not wrap. All of the floor's `unsafe` code.
#![expect(
    unsafe_code,
    reason = "clone3, seccomp, capset and execve have no safe wrapper; this program has one thread"
)]

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use podyard_linux::seccomp::Instruction;
use rustix::io::Errno;

fn check(result: i64) -> Result<i64, Errno> {
    if result < 0 {
        let code = std::io::Error::last_os_error().raw_os_error();
        Err(Errno::from_raw_os_error(code.unwrap_or(libc::EIO)))
    } else {
        Ok(result)
    }
}

/// `struct clone_args` of the kernel.
#[repr(C, align(8))]
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

/// Makes a process in new namespaces, in a v2 cgroup if one is given. The pidfd in the parent, `None` in the child.
pub(crate) fn clone(
    namespaces: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Option<OwnedFd>, Errno> {
    let mut pidfd = -1_i32;
    let mut flags =
        u64::from(namespaces.cast_unsigned()) | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    let mut arguments = CloneArguments {
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    if let Some(cgroup) = cgroup {
        flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    arguments.flags = flags;
    // SAFETY: the arguments are valid and of the given size. Without CLONE_VM the child has memory of its own, and as this process
    // has one thread, everything in it is in a usable state there.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<CloneArguments>(),
        )
    })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const Instruction,
}

/// Loads a seccomp filter.
pub(crate) fn load_filter(instructions: &[Instruction]) -> Result<(), Errno> {
    let program = FilterProgram {
        length: u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?,
        instructions: instructions.as_ptr(),
    };
    // SAFETY: `program` describes `length` instructions of the kernel's layout that outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&program),
        )
    })
    .map(drop)
}

/// Takes a capability out of the bounding set; `EINVAL` past the last one.
pub(crate) fn drop_bounding(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability))
}

/// Empties the ambient set.
pub(crate) fn clear_ambient() -> Result<(), Errno> {
    const CLEAR_ALL: u64 = 4;
    prctl(libc::PR_CAP_AMBIENT, CLEAR_ALL)
}

/// Nobody may look into this process before its program runs.
pub(crate) fn forbid_dumps() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

fn prctl(option: i32, value: u64) -> Result<(), Errno> {
    // SAFETY: none of the options above takes a pointer.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, value, 0_u64, 0_u64, 0_u64) }).map(drop)
}

/// Effective and permitted capabilities; none inheritable.
pub(crate) fn set_capabilities(set: u64) -> Result<(), Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel takes two halves"
    )]
    let halves = [set as u32, (set >> 32) as u32];
    let header = [0x2008_0522_u32, 0]; // version 3, the calling thread
    let data = [halves[0], halves[0], 0, halves[1], halves[1], 0];
    // SAFETY: version 3 reads a header of two and data of six 32-bit numbers.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// A session keyring of its own.
pub(crate) fn new_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let made = check(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    });
    match made {
        Ok(_) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Closes everything above 2 at execve.
pub(crate) fn close_on_exec() -> Result<(), Errno> {
    const CLOEXEC: u32 = 4;
    // SAFETY: only marks descriptors.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, CLOEXEC) }).map(drop)
}

/// `struct mount_attr` of the kernel.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes a mount read-only.
pub(crate) fn make_read_only(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = MountAttributes {
        set: libc::MOUNT_ATTR_RDONLY,
        ..MountAttributes::default()
    };
    // SAFETY: an empty path means the descriptor itself; the attributes are of the given size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(&attributes),
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Becomes the program; returns only when that failed.
pub(crate) fn execute(arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let strings = strings.iter().map(|string| string.as_ptr());
        strings.chain(std::iter::once(std::ptr::null())).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with NULL and their strings outlive the call.
    unsafe { libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr()) };
    let code = std::io::Error::last_os_error().raw_os_error();
    Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}

/// Ends the child without running anything that belongs to the parent.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}
