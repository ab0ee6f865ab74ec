//! Waiting for what happens elsewhere, without polling: files that change, pods that report.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use podyard_supervisor::PodHandle;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::objects::{Event, Pod, PodExt as _};

/// Tells that something in one of several directories has changed; what it was, is for the caller to look up.
#[derive(Debug)]
pub(crate) struct Changes {
    inotify: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Watches nothing yet. Needs a running event loop.
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "the replacement is unsafe for types that may swap their descriptor; an `OwnedFd` does not"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(Self { inotify })
    }

    /// Watches the entries of a directory as well. What changed before is not told: look after this, not before.
    pub(crate) fn add(&mut self, directory: &Path) -> io::Result<()> {
        let interesting = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        inotify::add_watch(self.inotify.get_ref(), directory, interesting)?;
        Ok(())
    }

    /// Waits for the next change, or several that came together.
    pub(crate) async fn changed(&mut self) {
        loop {
            // An event loop that shuts down reports nothing any more.
            let Ok(mut ready) = self.inotify.readable().await else {
                return std::future::pending().await;
            };
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = Reader::new(self.inotify.get_ref(), &mut buffer);
            let mut any = false;
            while events.next().is_ok() {
                any = true;
            }
            ready.clear_ready();
            if any {
                return;
            }
        }
    }
}

/// Sends every state of a pod until it has ended, over as many supervisors as that takes.
pub(crate) async fn watch_pod(handle: PodHandle, states: mpsc::Sender<Pod>) {
    let mut watch = PodWatch::new(handle);
    while let Some(pod) = watch.next().await {
        if states.send(pod).await.is_err() {
            return;
        }
    }
}

/// The states of one pod, one after the other.
#[derive(Debug)]
pub(crate) struct PodWatch {
    handle: PodHandle,
    lines: Option<podyard_supervisor::Lines>,
    ended: Option<End>,
    with_events: bool,
    events: Option<Vec<Event>>,
}

/// How a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The pod has reached its last phase.
    Terminal,
    /// The pod was deleted.
    Deleted,
}

/// How often a supervisor is looked for again before the pod's files are believed. Each look starts one if need be.
const RECONNECTS: usize = 50;

impl PodWatch {
    /// Connects at the first call of [`Self::next`].
    pub(crate) fn new(handle: PodHandle) -> Self {
        Self {
            handle,
            lines: None,
            ended: None,
            with_events: false,
            events: None,
        }
    }

    /// For a caller of [`Self::events`].
    pub(crate) fn with_events(handle: PodHandle) -> Self {
        Self {
            with_events: true,
            ..Self::new(handle)
        }
    }

    /// All Events of the pod at the state that [`Self::next`] has returned last.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let heard = self.events.take();
        heard.unwrap_or_else(|| self.handle.events().unwrap_or_default())
    }

    /// How it ended, once [`Self::next`] has returned `None`.
    pub(crate) fn end(&self) -> Option<End> {
        self.ended
    }

    /// The next state; `None` when there will be none. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Pod> {
        let mut failures = 0;
        while self.ended.is_none() {
            let Some(lines) = &mut self.lines else {
                match self.handle.client().watch(self.with_events).await {
                    Ok(lines) => self.lines = Some(lines),
                    Err(_) if failures < RECONNECTS => {
                        failures += 1;
                        if let Some(last) = self.find_end() {
                            return last;
                        }
                        // A supervisor is being started, by its keeper or by us; its socket is there before it is.
                        let _ = self.handle.ensure_supervised();
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    Err(_) => return None,
                }
                continue;
            };
            match lines.next().await {
                Ok(Some(event)) => {
                    if event.kind == "DELETED" {
                        self.ended = Some(End::Deleted);
                    }
                    self.events = event.events;
                    return Some(event.object);
                }
                // The pod has ended, or its supervisor has died: the next look will tell.
                Ok(None) | Err(_) => {
                    self.lines = None;
                    if let Some(last) = self.find_end() {
                        return last;
                    }
                }
            }
        }
        None
    }

    /// Whether the files say that it is over; the last state, if it is there.
    fn find_end(&mut self) -> Option<Option<Pod>> {
        if self.handle.has_ended() {
            self.ended = Some(End::Terminal);
            return Some(self.handle.pod().ok().filter(Pod::is_terminal));
        }
        if !self.handle.dirs().record().exists() {
            self.ended = Some(End::Deleted);
            return Some(None);
        }
        None
    }
}
