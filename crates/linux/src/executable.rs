//! The caller's own program as something that no container can change.
//!
//! Until a container's process executes its program it runs the launcher's, and an image can make it execute that one once
//! more: as `#!/proc/self/exe`. What then runs inside, with libraries of the image, has a link to the host's executable
//! (CVE-2019-5736). Permissions do not help, since it belongs to root. What helps is that the link leads over a mount that
//! is read-only and that nobody can reach to change it.

use std::ffi::{CStr, CString, OsString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;

use crate::mounts::attach;
use crate::process::init;
use crate::sys::{self, mount::MountAttr};

const OWN: &CStr = c"/proc/self/exe";
const SEALS: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// Executes the caller's program anew, with the same arguments and environment, such that no container can write to it.
/// Returns at once when it runs so already; children inherit it, also those that execute `/proc/self/exe`.
///
/// To be called by whoever makes containers, first thing in `main` and before there are other threads: execve ends those.
///
/// # Errors
/// When the program can neither be mounted read-only nor copied into memory, or not be executed from there.
pub fn protect_own_program() -> io::Result<()> {
    if is_protected()? {
        return Ok(());
    }
    let executable = protected_program()?;
    let nul = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let arguments: Vec<CString> = std::env::args_os()
        .map(|argument| CString::new(argument.into_vec()).map_err(nul))
        .collect::<Result<_, _>>()?;
    let environment: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| {
            let variable = [name, OsString::from("="), value].map(OsString::into_vec);
            CString::new(variable.concat()).map_err(nul)
        })
        .collect::<Result<_, _>>()?;
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        let pointers = strings.iter().map(|string| string.as_ptr());
        pointers.chain(std::iter::once(std::ptr::null())).collect()
    };
    let (arguments, environment) = (&arguments, &environment);
    let Err(errno) = init::execute_descriptor(
        executable.as_fd(),
        &pointers(arguments),
        &pointers(environment),
    );
    Err(errno.into())
}

fn is_protected() -> io::Result<bool> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = rustix::fs::fstatvfs(&own)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        restore_name();
        return Ok(true);
    }
    // Only files in memory have seals.
    Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SEALS)))
}

/// Kernels before 6.14 name a process that was executed by descriptor after the descriptor's number.
fn restore_name() {
    let Some(program) = std::env::args_os().next() else {
        return;
    };
    let name = program.as_bytes().rsplit(|&byte| byte == b'/').next();
    if let Ok(name) = CString::new(name.unwrap_or_default()) {
        let _ = sys::privileges::set_name(&name);
    }
}

/// The caller's executable, on a read-only mount that exists nowhere else. One that cannot be mounted, because its file has
/// been replaced meanwhile, is copied into sealed memory. A caller that runs protected is on such a mount (or in such
/// memory) already, and that mount, being nowhere attached, cannot be cloned: it is used as it is.
///
/// # Errors
/// When it can neither be mounted nor copied.
pub fn protected_program() -> io::Result<OwnedFd> {
    if is_protected()? {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        return Ok(rustix::fs::open(OWN, flags, Mode::empty())?);
    }
    let mounted = || {
        let tree = attach::clone_tree(CWD, OWN, false)?;
        let attributes = MountAttr {
            set: sys::mount::RDONLY | sys::mount::NOSUID | sys::mount::NODEV,
            propagation: libc::MS_PRIVATE,
            ..MountAttr::default()
        };
        sys::mount::set_attributes(tree.as_fd(), c"", false, &attributes)?;
        Ok(tree)
    };
    mounted().or_else(|refused: Errno| copy().map_err(|_| refused.into()))
}

fn copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC;
    let mut memory = File::from(rustix::fs::memfd_create(c"podyard", flags)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut memory)?;
    rustix::fs::fcntl_add_seals(&memory, SEALS)?;
    Ok(memory.into())
}
