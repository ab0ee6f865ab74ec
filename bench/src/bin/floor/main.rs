//! The floor: what the kernel charges for a chain of default Kubernetes containers, whoever makes them.
//!
//! One process makes one container after the other: directories, cgroups, pipes, `clone3`, the same mounts, masked and read-only
//! paths, capabilities, the same seccomp filter, `pivot_root`, `execve`; waits for its end; removes its cgroups; makes the next.
//! What it does not do is everything that makes a pod of it: manifest, status, journal, restart, probes, a network beyond
//! loopback, logs in more than one piece, and caring about hostile images.
//!
//! ```text
//! podyard-bench-floor DIRECTORY ROOTFS APP OUT NAME…
//!
//!   DIRECTORY  for writable layers and files of its own      APP   the directory of podyard-bench-app, mounted as /bench
//!   ROOTFS     an unpacked image                             OUT   mounted as /out; `stamps` there gets one line a container
//!   NAME       one container each, in this order
//! ```

mod cgroups;
mod child;
mod sys;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use podyard_linux::seccomp::{self, Program};
use podyard_linux::{CapabilitySet, CapabilitySets};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};

use cgroups::{Cgroups, Group};
use child::Plan;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "podyard-bench-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> io::Result<()> {
    let [directory, rootfs, app, out, names @ ..] = arguments else {
        return Err(io::Error::other("DIRECTORY ROOTFS APP OUT NAME…"));
    };
    let pod = Pod::new(directory.into(), rootfs.into(), app.into(), out.into())?;
    for name in names {
        pod.container(name)?;
    }
    Ok(())
}

/// What the containers share.
struct Pod {
    directory: PathBuf,
    rootfs: PathBuf,
    app: PathBuf,
    out: PathBuf,
    cgroups: Cgroups,
    capabilities: CapabilitySet,
    filter: Arc<Program>,
}

impl Pod {
    /// Namespaces, `/dev/shm`, and the files that the kubelet writes.
    fn new(directory: PathBuf, rootfs: PathBuf, app: PathBuf, out: PathBuf) -> io::Result<Self> {
        use nix::mount::MsFlags;
        use nix::sched::CloneFlags;
        let new = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        nix::sched::unshare(new)?;
        let none = None::<&str>;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        rustix::system::sethostname(b"floor")?;
        for name in ["root", "shm", "empty", "etc"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let restricted = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let shm = directory.join("shm");
        nix::mount::mount(
            Some("tmpfs"),
            &shm,
            Some("tmpfs"),
            restricted,
            Some("mode=1777,size=64m"),
        )?;
        fs::write(directory.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        fs::write(directory.join("etc/hostname"), "floor\n")?;
        fs::write(
            directory.join("etc/resolv.conf"),
            fs::read("/etc/resolv.conf").unwrap_or_default(),
        )?;
        let capabilities = CapabilitySets::containerd_default().bounding;
        Ok(Self {
            cgroups: Cgroups::detect()?,
            filter: seccomp::runtime_default(capabilities),
            capabilities,
            directory,
            rootfs,
            app,
            out,
        })
    }

    /// One container from nothing to its end.
    fn container(&self, name: &str) -> io::Result<()> {
        let own = self.directory.join("containers").join(name);
        for part in ["upper", "work"] {
            fs::create_dir_all(own.join(part))?;
        }
        File::create(own.join("termination-log"))?;
        let mut log = File::create(own.join("log"))?;
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let group = self.cgroups.create(name)?;
        let plan = Plan::new(self, &own, name, &group, writer.as_fd(), null.as_fd())?;
        let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID;
        let process = match sys::clone(namespaces, group.birth())? {
            Some(process) => process,
            None => {
                let (step, errno) = plan.become_container();
                let _ = writeln!(io::stderr(), "podyard-bench-floor: {name}: {step}: {errno}");
                sys::end(127)
            }
        };
        drop(plan);
        drop(writer);
        pump(reader, &mut log)?;
        let code = wait(&process)?;
        group.remove()?;
        if code == Some(0) {
            Ok(())
        } else {
            Err(io::Error::other(format!("{name} ended with {code:?}")))
        }
    }
}

/// Takes over what the container writes, until it has closed its output.
fn pump(reader: OwnedFd, log: &mut File) -> io::Result<()> {
    let mut reader = File::from(reader);
    let mut buffer = [0; 16 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            count => log.write_all(&buffer[..count])?,
        }
    }
}

fn wait(process: &OwnedFd) -> Result<Option<i32>, Errno> {
    let status = rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED)?;
    Ok(status.and_then(|status| status.exit_status()))
}

/// Text for the kernel.
fn text(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
