//! Processes by identity: found again after a restart, awaited through a pidfd, never confused with a recycled pid.
//!
//! How they come to be is `spawn.rs` (parent) and `init.rs` (child); what can go wrong on the way is `stage.rs`, and what
//! the parent sees of it is `launch.rs`.

mod fork;
pub(crate) mod init;
mod launch;
pub(crate) mod spawn;
pub(crate) mod stage;

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

pub use fork::fork;
pub use launch::{Launch, LaunchError, LaunchEvent};
pub(crate) use launch::{barrier as launch_barrier, channel as launch_channel};
pub use stage::{LaunchRecord, Stage, StageError, read_launch_record};

use crate::sys::pidfd;

/// Names one process for as long as the machine is up, even when its number is given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number, in the pid namespace of the caller.
    pub pid: i32,
    /// When it started: field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub start_time: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitStatus {
    /// It called exit with this code, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// Its number.
        signal: i32,
        /// Whether memory was dumped.
        core_dumped: bool,
    },
}

impl WaitStatus {
    /// The exit code a shell or a container runtime reports: the code itself, or 128 plus the signal.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled { signal, .. } => 128 + signal,
        }
    }

    /// Decodes the status word of wait(2).
    #[must_use]
    pub const fn from_raw(status: i32) -> Self {
        let signal = status & 0x7f;
        if signal == 0 {
            Self::Exited((status >> 8) & 0xff)
        } else {
            Self::Signaled {
                signal,
                core_dumped: status & 0x80 != 0,
            }
        }
    }

    const fn from_siginfo(code: i32, status: i32) -> Self {
        match code {
            libc::CLD_EXITED => Self::Exited(status & 0xff),
            libc::CLD_DUMPED => Self::Signaled {
                signal: status,
                core_dumped: true,
            },
            _ => Self::Signaled {
                signal: status,
                core_dumped: false,
            },
        }
    }
}

/// A process held by its pidfd.
///
/// The descriptor is pollable: readable means that the process has exited (it may be an unreaped zombie), and a hang-up
/// means that its parent has reaped it. Dropping a `Process` neither ends nor reaps it.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    pidfd: OwnedFd,
}

impl Process {
    /// A process that was just made and cannot have been reaped yet: its start time is read by number.
    pub(crate) fn of_new_child(pid: i32, pidfd: OwnedFd) -> io::Result<Self> {
        let start_time = start_time(pid)?;
        Ok(Self {
            id: ProcessId { pid, start_time },
            pidfd,
        })
    }

    /// Finds a process again. `None` if it is gone, its number belonging to nobody or to somebody else.
    ///
    /// A zombie is still there: it is found, and [`Self::peek_exit`] tells its status to its parent.
    ///
    /// # Errors
    /// When the kernel refuses a pidfd for another reason than absence, or `/proc` cannot be read.
    pub fn adopt(id: ProcessId) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(id.pid) else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // The pidfd pins whoever has the number now; that one's start time decides whether it is ours. Had it died in
        // between, its number might be somebody else's again, whose start time would then differ.
        match start_time(id.pid) {
            Ok(found) if found == id.start_time => Ok(Some(Self { id, pidfd })),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Who it is, for a journal.
    #[must_use]
    pub const fn id(&self) -> ProcessId {
        self.id
    }

    /// Its number in the caller's pid namespace.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.id.pid
    }

    /// Sends a signal, by number.
    ///
    /// # Errors
    /// `ESRCH` when it has been reaped, `EINVAL` for a number that is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        Ok(pidfd::send_signal(self.pidfd.as_fd(), signal)?)
    }

    /// How it ended, without reaping it. Only for the parent; others get `None`.
    #[must_use]
    pub fn peek_exit(&self) -> Option<WaitStatus> {
        self.wait(false).ok().flatten()
    }

    /// How it ended, reaping it; `None` while it runs.
    ///
    /// # Errors
    /// `ECHILD` when it is not (or no longer) a child of the caller.
    pub fn reap(&self) -> io::Result<Option<WaitStatus>> {
        self.wait(true)
    }

    /// How it ended, asked by anybody who held the pidfd before it was reaped.
    ///
    /// The kernel knows from 6.15 on, and only once somebody has reaped it: wait for the hang-up of the pidfd first.
    #[must_use]
    pub fn exit_info(&self) -> Option<WaitStatus> {
        pidfd::exit_status(self.pidfd.as_fd()).map(WaitStatus::from_raw)
    }

    /// A second handle on the same process.
    ///
    /// # Errors
    /// When no descriptor is free.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            id: self.id,
            pidfd: self.pidfd.try_clone()?,
        })
    }

    /// Waits until it has exited, for at most `timeout` (for ever without one). False when time ran out.
    ///
    /// # Errors
    /// When polling fails.
    pub fn wait_exited(&self, timeout: Option<std::time::Duration>) -> io::Result<bool> {
        poll_readable(self.pidfd.as_fd(), timeout)
    }

    fn wait(&self, reap: bool) -> io::Result<Option<WaitStatus>> {
        let ended = pidfd::wait_child(self.pidfd.as_fd(), reap)?;
        Ok(ended.map(|(code, status)| WaitStatus::from_siginfo(code, status)))
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

/// Waits until a descriptor is readable or hung up. False when time ran out.
pub(crate) fn poll_readable(
    fd: BorrowedFd<'_>,
    timeout: Option<std::time::Duration>,
) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Field 22 of `/proc/<pid>/stat`.
fn start_time(pid: i32) -> io::Result<u64> {
    // Longer than the kernel makes it, so that one read gets all of it.
    let mut stat = [0_u8; 2048];
    let length = std::fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
    parse_start_time(&stat[..length]).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`/proc/{pid}/stat` has no start time"),
        )
    })
}

/// The command name may hold anything, blanks and parentheses included: fields are counted from the last `)`.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let fields = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // The field after the name is number 3.
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_hostile_name() {
        let stat = b"7 (a) b 1 (x)) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        assert_eq!(parse_start_time(stat), Some(987_654));
        assert_eq!(parse_start_time(b"7 no name"), None);
        assert_eq!(parse_start_time(b"7 (x) S 1"), None);
    }

    #[test]
    fn raw_status_words_decode() {
        assert_eq!(WaitStatus::from_raw(0x2a00), WaitStatus::Exited(42));
        assert_eq!(
            WaitStatus::from_raw(9),
            WaitStatus::Signaled {
                signal: 9,
                core_dumped: false
            }
        );
        assert_eq!(
            WaitStatus::from_raw(0x8b),
            WaitStatus::Signaled {
                signal: 11,
                core_dumped: true
            }
        );
        assert_eq!(WaitStatus::from_raw(0x8b).code(), 139);
    }

    #[test]
    fn a_process_is_adopted_only_with_the_right_start_time() {
        let me = i32::try_from(std::process::id()).expect("pid fits");
        let start_time = start_time(me).expect("own stat is readable");
        let id = ProcessId {
            pid: me,
            start_time,
        };
        assert!(Process::adopt(id).expect("adopt works").is_some());
        let other = ProcessId {
            start_time: start_time + 1,
            ..id
        };
        assert!(Process::adopt(other).expect("adopt works").is_none());
    }
}
