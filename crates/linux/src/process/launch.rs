//! A launch as its parent sees it: a child that sets itself up, waits at a barrier, and becomes the program.
//!
//! ```text
//! spawn ──▶ setting up ──▶ Ready (waits) ── start() ──▶ Running
//!               │             │                │
//!               └─────────────┴────────────────┴──────▶ Failed(StageError)
//! ```
//!
//! One socket serves nearly all of it: packets come from the child, and its end on either side means that the other is gone. The
//! child's end is closed by execve. The barrier is an eventfd: whoever waits at a socket is woken where its waker is, for the scheduler
//! takes that one to be done, and then shares a processor with a creator that goes on to make the next container.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

use super::stage::{REPORT_LIMIT, ReportKind, StageError, decode_report};
use super::{Process, poll_readable};

/// Why a process could not even be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No program was given.
    #[error("no command was given")]
    NoCommand,
    /// A path of the plan cannot be used.
    #[error("`{}` {what}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An overlay with no layers or too many.
    #[error(
        "the root filesystem has {count} layers, where 1 to {} are possible",
        crate::rootfs::LAYER_LIMIT
    )]
    Layers {
        /// How many.
        count: usize,
    },
    /// The caller's side failed.
    #[error("could not {attempt}")]
    Parent {
        /// What was attempted.
        attempt: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl LaunchError {
    pub(crate) fn parent(attempt: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Parent {
            attempt,
            source: source.into(),
        }
    }
}

/// What a launch has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchEvent {
    /// Everything is set up; the child waits for [`Launch::start`].
    Ready,
    /// The program has been executed.
    Running,
    /// A step failed. The process is ending and has to be reaped.
    Failed(StageError),
}

/// A process on its way to its program.
///
/// **Made early, started late.** A container may be made long before its program may run, such as the next init container while
/// the one before it works. When it is [`LaunchEvent::Ready`], all that takes time is behind it (the wait for cgroup v1
/// above all), and nothing of the container has run: no program, no hook, no interpreter of the image. From then on
///
/// - what others write into its volumes is there when it starts, since volumes are mounts and not copies; so is what is
///   written into a file that is mounted by itself, but not another file that takes its name;
/// - a mount that others make below a volume is there only if its propagation says so, as for a container that runs;
/// - its program, the working directory aside, is looked for when it starts;
/// - it waits in its cgroup, and is ended by whatever ends that;
/// - it ends by itself, with code 125, when its creator is gone.
///
/// Pollable by [`AsFd`]: readable when [`Launch::next`] has something to say. When it is dropped before the barrier was
/// opened, the child ends without having run anything.
#[derive(Debug)]
pub struct Launch {
    /// The process, from the beginning.
    pub process: Process,
    channel: OwnedFd,
    /// Where there is one.
    barrier: Option<OwnedFd>,
    /// What came with a report.
    descriptor: Option<OwnedFd>,
    ready: bool,
    started: bool,
    finished: bool,
}

impl Launch {
    pub(crate) const fn new(process: Process, channel: OwnedFd, barrier: Option<OwnedFd>) -> Self {
        Self {
            process,
            channel,
            barrier,
            descriptor: None,
            ready: false,
            started: false,
            finished: false,
        }
    }

    /// What has happened since the last call, without waiting. `None` when nothing has, and after the last event.
    ///
    /// # Errors
    /// When the channel cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "it does not end, it only has nothing to say for now"
    )]
    pub fn next(&mut self) -> io::Result<Option<LaunchEvent>> {
        while !self.finished {
            let mut packet = [0_u8; REPORT_LIMIT];
            let count = match self.receive(&mut packet) {
                Ok(count) => count,
                Err(Errno::AGAIN) => return Ok(None),
                // The latter is what a child that ends with our byte unread leaves behind. It is told once, before the
                // packets that the child has sent.
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(errno) => return Err(errno.into()),
            };
            match decode_report(&packet[..count]) {
                Some(ReportKind::Ready) => {
                    self.ready = true;
                    return Ok(Some(LaunchEvent::Ready));
                }
                Some(ReportKind::Failed(error)) => {
                    self.finished = true;
                    return Ok(Some(LaunchEvent::Failed(error)));
                }
                Some(ReportKind::Terminal | ReportKind::Started) => {}
                None if count == 0 => {
                    self.finished = true;
                    return Ok(Some(if self.started && self.ready {
                        LaunchEvent::Running
                    } else {
                        LaunchEvent::Failed(StageError::vanished())
                    }));
                }
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the launch channel carried something that is no report",
                    ));
                }
            }
        }
        Ok(None)
    }

    /// Lets the program run as soon as everything is ready. More calls do nothing.
    ///
    /// # Errors
    /// When the barrier cannot be written to. A child that is gone is no error here: [`Launch::next`] tells.
    pub fn start(&mut self) -> io::Result<()> {
        if let (Some(barrier), false) = (&self.barrier, self.started) {
            rustix::io::write(barrier, &1_u64.to_ne_bytes())?;
        }
        self.started = true;
        Ok(())
    }

    /// The master side of the terminal, once, for a plan that asked for one. There from [`LaunchEvent::Ready`] on.
    pub const fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.take_descriptor()
    }

    /// What the child has given away, once.
    pub(crate) const fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// Blocks until the child waits at the barrier.
    ///
    /// # Errors
    /// The step that failed, or the channel's failure, as an I/O error.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        match self.wait()? {
            LaunchEvent::Failed(error) => Err(io::Error::other(error)),
            LaunchEvent::Ready | LaunchEvent::Running => Ok(()),
        }
    }

    /// Opens the barrier and blocks until the program runs.
    ///
    /// # Errors
    /// The step that failed, or the channel's failure, as an I/O error.
    pub fn wait_running(&mut self) -> io::Result<()> {
        self.start()?;
        loop {
            match self.wait()? {
                LaunchEvent::Ready => {}
                LaunchEvent::Running => return Ok(()),
                LaunchEvent::Failed(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Blocks until the set-up is done or has failed; the outer error is the channel's.
    pub(crate) fn wait_set_up(&mut self) -> io::Result<Result<(), StageError>> {
        Ok(match self.wait()? {
            LaunchEvent::Failed(error) => Err(error),
            LaunchEvent::Ready | LaunchEvent::Running => Ok(()),
        })
    }

    /// Blocks until there is an event.
    fn wait(&mut self) -> io::Result<LaunchEvent> {
        loop {
            if let Some(event) = self.next()? {
                return Ok(event);
            }
            if self.finished {
                return Ok(LaunchEvent::Running);
            }
            poll_readable(self.channel.as_fd(), None)?;
        }
    }

    fn receive(&mut self, packet: &mut [u8]) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut content = [io::IoSliceMut::new(packet)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = rustix::net::recvmsg(&self.channel, &mut content, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptor = descriptors.last().or_else(|| self.descriptor.take());
            }
        }
        Ok(received.bytes)
    }
}

impl AsFd for Launch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// The two ends of a launch channel: the parent's and the child's.
pub(crate) fn channel() -> Result<(OwnedFd, OwnedFd), LaunchError> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| LaunchError::parent("make the launch channel", errno))
}

/// What a child waits at until it may begin.
pub(crate) fn barrier() -> Result<OwnedFd, LaunchError> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC)
        .map_err(|errno| LaunchError::parent("make the launch barrier", errno))
}
