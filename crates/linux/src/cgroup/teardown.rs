//! Killing what is in a cgroup, waiting until it is gone, and removing the directories.
//!
//! Waiting is by event: `cgroup.events` on v2 and hybrid machines, the pidfds of the killed on v1. Every wait is bounded.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Cgroup, CgroupError, CgroupRoot, Directory, in_pod, io_error};

impl Cgroup {
    /// Kills every process in it and below it. Does not wait.
    ///
    /// # Errors
    /// When its processes cannot be listed.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(directory) = self.unified() {
            match directory.write_if_present("cgroup.kill", "1") {
                Ok(true) => return Ok(()),
                // Before 5.14, or gone already.
                Ok(false) => {}
                Err(error) => return Err(error),
            }
        }
        self.kill_each().map(drop)
    }

    /// Kills what is left, waits for at most `patience` until it is gone, and removes the directories with all below them.
    ///
    /// A cgroup that is gone already is no error. With an empty cgroup, the usual case, nothing is waited for.
    ///
    /// # Errors
    /// [`CgroupError::Busy`] when processes outlive the patience, as those in uninterruptible sleep do.
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        if self.try_remove()?.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        loop {
            self.kill_all()?;
            self.wait_for_change(deadline)?;
            let Some(busy) = self.try_remove()? else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(CgroupError::Busy {
                    path: busy.path.clone(),
                    waited: patience,
                });
            }
        }
    }

    /// As [`Self::remove`], of a cgroup that nobody has open: usually it is empty, and then it is not looked at first.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_at(root: &CgroupRoot, path: &str, patience: Duration) -> Result<(), CgroupError> {
        super::check_path(path)?;
        let mut is_gone = true;
        for hierarchy in root.hierarchies() {
            if let Some(confined) = in_pod::confined(hierarchy, path) {
                let _ = rustix::fs::unlinkat(&hierarchy.fd, confined, AtFlags::REMOVEDIR);
            }
            let removed = rustix::fs::unlinkat(&hierarchy.fd, path, AtFlags::REMOVEDIR);
            // A hierarchy that is read-only says so also of what it does not have.
            is_gone &= matches!(removed, Ok(()) | Err(Errno::NOENT));
        }
        if is_gone {
            return Ok(());
        }
        Self::open(root, path)?.map_or(Ok(()), |cgroup| cgroup.remove(patience))
    }

    /// Removes a cgroup that has neither processes nor cgroups in it, and leaves another alone.
    pub fn remove_if_empty(root: &CgroupRoot, path: &str) {
        for hierarchy in root.hierarchies() {
            let removed = rustix::fs::unlinkat(&hierarchy.fd, path, AtFlags::REMOVEDIR);
            // What is in use in one hierarchy is so in all of them.
            if matches!(removed, Err(Errno::BUSY | Errno::NOTEMPTY)) {
                return;
            }
        }
    }

    /// Removes every directory. Returns one that still has processes, if any has.
    fn try_remove(&self) -> Result<Option<&Directory>, CgroupError> {
        let mut busy = None;
        for directory in self.own_directories() {
            match remove_tree(&directory.path) {
                Ok(()) => {}
                Err((_, Errno::BUSY)) => busy = Some(directory),
                Err((path, errno)) => return Err(io_error("remove", path, errno)),
            }
        }
        Ok(busy)
    }

    /// Sends SIGKILL to each process by pidfd and returns the pidfds.
    fn kill_each(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        let mut killed = Vec::new();
        for pid in self.pids()? {
            let Some(pid) = Pid::from_raw(pid) else {
                continue;
            };
            // A pid read from cgroup.procs may be somebody else's by the time it is opened only if the process was reaped in
            // between; the start of a new process with that very number within microseconds is what the kernel's
            // sequential numbering rules out.
            let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            if rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
                killed.push(pidfd);
            }
        }
        Ok(killed)
    }

    /// Waits until fewer processes are in it, at most until the deadline.
    fn wait_for_change(&self, deadline: Instant) -> Result<(), CgroupError> {
        if let Some(directory) = self.unified() {
            return wait_until_unpopulated(directory, deadline);
        }
        let killed = self.kill_each()?;
        if killed.is_empty() {
            // Processes that are leaving are no longer listed but still counted for an instant.
            std::thread::yield_now();
        }
        for pidfd in killed {
            if !poll_until(&pidfd, PollFlags::IN, deadline) {
                break;
            }
        }
        Ok(())
    }
}

/// v2 notifies pollers of `cgroup.events` when its content changes.
fn wait_until_unpopulated(directory: &Directory, deadline: Instant) -> Result<(), CgroupError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let events = match rustix::fs::openat(&directory.fd, "cgroup.events", flags, Mode::empty()) {
        Ok(events) => events,
        // Removed already: what is busy is in another hierarchy, and about to leave.
        Err(Errno::NOENT | Errno::NODEV) => {
            std::thread::yield_now();
            return Ok(());
        }
        Err(errno) => {
            return Err(io_error(
                "open",
                directory.path.join("cgroup.events"),
                errno,
            ));
        }
    };
    loop {
        let mut buffer = [0_u8; 256];
        let count = rustix::io::pread(&events, &mut buffer, 0).unwrap_or(0);
        let content = String::from_utf8_lossy(&buffer[..count]);
        if super::keyed_value(&content, "populated") != Some(1) {
            return Ok(());
        }
        if !poll_until(&events, PollFlags::PRI, deadline) {
            return Ok(());
        }
    }
}

/// Waits for an event. False when the deadline came first.
fn poll_until(fd: &impl AsFd, event: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(fd, event)], Some(&timeout)) {
            Ok(0) => return false,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Removes a directory and those below it, deepest first. What is gone already is fine.
fn remove_tree(path: &Path) -> Result<(), (std::path::PathBuf, Errno)> {
    let remove = || rustix::fs::unlinkat(rustix::fs::CWD, path, AtFlags::REMOVEDIR);
    match remove() {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // A cgroup with children answers EBUSY as well.
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err((path.to_owned(), errno)),
    }
    for child in child_directories(path) {
        remove_tree(&child)?;
    }
    if cfg!(test) {
        remove_plain_files(path);
    }
    match remove() {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err((path.to_owned(), errno)),
    }
}

/// In the tests' plain directories control files are files, which keep a directory from being removed.
fn remove_plain_files(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

fn child_directories(path: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The pids listed in `path` and below it. A directory that vanishes meanwhile has none.
pub(super) fn collect_pids(path: &Path, pids: &mut Vec<i32>) -> Result<(), CgroupError> {
    let file = path.join("cgroup.procs");
    match fs::read_to_string(&file) {
        Ok(content) => pids.extend(content.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ENODEV) => {}
        Err(source) => {
            return Err(CgroupError::Io {
                attempt: "read",
                path: file,
                source,
            });
        }
    }
    for child in child_directories(path) {
        collect_pids(&child, pids)?;
    }
    Ok(())
}
