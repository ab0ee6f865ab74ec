//! A thread with a mount and a network namespace of its own, in which one runner's commands are started.
//!
//! Whatever a runner leaves behind (bridges, firewall rules, mounts) ends with the arena. Commands inherit the namespaces of the
//! thread that starts them, so nothing is put in front of them that would cost time.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::Result;

type Job = Box<dyn FnOnce() + Send>;

/// Handle of the thread; it ends with its last handle.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    jobs: mpsc::Sender<Job>,
}

impl Arena {
    /// New namespaces; `prepare` runs in them first.
    pub(crate) fn new(prepare: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let prepared = enter().and_then(|()| prepare());
            let is_usable = prepared.is_ok();
            let _ = tell.send(prepared);
            if is_usable {
                inbox.iter().for_each(|job| job());
            }
        });
        told.recv()??;
        Ok(Self { jobs })
    }

    /// Does something in the arena and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = mpsc::channel();
        let job = Box::new(move || drop(answer.send(job())));
        self.jobs.send(job).map_err(|_| "the arena is closed")?;
        Ok(answered.recv()?)
    }

    pub(crate) fn spawn(&self, mut command: Command) -> Result<Child> {
        Ok(self.run(move || command.spawn())??)
    }

    /// A connection from inside; `None` when nobody answers within a few milliseconds.
    pub(crate) fn connect(&self, address: SocketAddr) -> Result<Option<TcpStream>> {
        let limit = Duration::from_millis(20);
        self.run(move || TcpStream::connect_timeout(&address, limit).ok())
    }
}

fn enter() -> Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // sysfs and the loopback interface belong to the network namespace.
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("cannot bring up the loopback interface".into())
    }
}

/// Hides a v2 hierarchy beside v1 controllers, as older runtimes refuse the mixture.
pub(crate) fn hide_mixed_cgroups() -> Result<()> {
    let unified = "/sys/fs/cgroup/unified";
    let controllers =
        std::fs::read_to_string(format!("{unified}/cgroup.controllers")).unwrap_or_default();
    if !controllers.trim().is_empty() {
        nix::mount::umount(unified)?;
    }
    Ok(())
}
