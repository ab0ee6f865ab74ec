//! Being told about memory kills instead of asking for them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::fs::inotify;
use rustix::fs::{Mode, OFlags};

use super::{CgroupError, Directory, io_error};

/// Readable when a process of the cgroup was killed for lack of memory, or the cgroup is gone.
///
/// It only wakes; [`Cgroup::oom_kills`](super::Cgroup::oom_kills) tells the count.
#[derive(Debug)]
pub struct OomEvents {
    fd: OwnedFd,
}

impl OomEvents {
    /// Takes what made it readable, so that the next wait sleeps.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub fn acknowledge(&self) -> io::Result<()> {
        let mut buffer = [0_u8; 4096];
        match rustix::io::read(&self.fd, &mut buffer) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(super) fn subscribe(directory: &Directory) -> Result<OomEvents, CgroupError> {
    if directory.unified {
        subscribe_v2(directory)
    } else {
        subscribe_v1(directory)
    }
}

/// v2: `memory.events` is modified.
fn subscribe_v2(directory: &Directory) -> Result<OomEvents, CgroupError> {
    let path = directory.path.join("memory.events");
    let watch = || {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, &path, inotify::WatchFlags::MODIFY)?;
        Ok(fd)
    };
    let fd = watch().map_err(|errno| io_error("watch", path.clone(), errno))?;
    Ok(OomEvents { fd })
}

/// v1: an eventfd registered for `memory.oom_control`.
fn subscribe_v1(directory: &Directory) -> Result<OomEvents, CgroupError> {
    let path = directory.path.join("memory.oom_control");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let control = rustix::fs::openat(&directory.fd, "memory.oom_control", flags, Mode::empty())
        .map_err(|errno| io_error("open", path.clone(), errno))?;
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| io_error("watch", path, errno))?;
    let subscription = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
    directory.write("cgroup.event_control", &subscription)?;
    Ok(OomEvents { fd })
}
