//! A container's standard streams beside its output pipes: what it reads, and its terminal (`pod-api.md` section 4.6).
//!
//! ```text
//! attach ─▶ run/stdin (FIFO) ─▶ 0                  stdin: true
//!           /dev/null ────────▶ 0                  otherwise
//! terminal ─▶ its master ─▶ run/stdout (FIFO) ─▶ log     tty: true
//! ```
//!
//! The keeper holds the FIFO and the master as well: nobody's input ends, and no terminal hangs up, because a supervisor has died.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use hyper::body::Bytes;
use podyard_api::core::Container;
use podyard_lifecycle::Attempt;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::World;
use super::logs::{self, LogPump};
use crate::limits;
use crate::ready::{self, Ready};

/// Read at once from a terminal.
const CHUNK: usize = 32 << 10;

/// What the container's descriptor 0 is. With `stdin: true` reads wait for somebody who attaches, and nobody's going ends them.
pub(super) fn input(
    world: &World,
    container: &Container,
    attempt: Attempt,
    run: &Path,
) -> std::io::Result<OwnedFd> {
    if container.stdin != Some(true) {
        return Ok(File::open("/dev/null")?.into());
    }
    let path = run.join("stdin");
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    // For writing as well, so that the container's own end does not wait for a writer and never finds the end.
    let both = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let own = world.open_unseen(&path, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let key = input_key(&container.name, attempt);
    world.keeper.hold(&key, &[both.as_fd()]);
    Ok(own)
}

/// Everything that the keeper holds for an instance can go.
pub(super) fn release(world: &World, container: &str, attempt: Attempt) {
    // Nothing is in them any more.
    world
        .keeper
        .drop_later(logs::keeper_key(container, attempt));
    let index = world.container_index(container);
    let spec = index.and_then(|index| world.container(index));
    if spec.is_none_or(|spec| spec.stdin == Some(true) || spec.tty == Some(true)) {
        world.keeper.drop_held(&input_key(container, attempt));
        world.keeper.drop_held(&terminal_key(container, attempt));
    }
}

/// The writing end of an instance's standard input, for somebody who attaches.
pub(super) fn open_input(
    world: &World,
    container: &str,
    attempt: Attempt,
) -> std::io::Result<Ready> {
    let path = world.dirs.container_run(container, attempt).join("stdin");
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    ready::watch(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Ends an instance's standard input: it reads what was written, and then its end.
pub(super) fn close_input(world: &World, container: &str, attempt: Attempt) {
    let path = world.dirs.container_run(container, attempt).join("stdin");
    let _ = std::fs::remove_file(path);
    world.keeper.drop_held(&input_key(container, attempt));
}

/// Writes all of it, waiting for whoever reads.
pub(super) async fn write_all(to: &Ready, mut data: &[u8]) -> std::io::Result<()> {
    while !data.is_empty() {
        let mut ready = to.writable().await?;
        match rustix::io::write(to.get_ref(), data) {
            Ok(written) => data = &data[written..],
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn input_key(container: &str, attempt: Attempt) -> String {
    format!("in:{container}.{attempt}")
}

fn terminal_key(container: &str, attempt: Attempt) -> String {
    format!("{}{container}.{attempt}", crate::link::TERMINAL)
}

/// The terminal of a running container. What is printed on it goes into the pipe of its standard output, and on like all output.
pub(super) struct Terminal {
    master: Ready,
    output: Ready,
    /// What was read of it and is not yet in the pipe.
    rest: RefCell<Vec<u8>>,
    task: Cell<Option<tokio::task::JoinHandle<()>>>,
    /// The end of what was printed on it.
    recent: RefCell<Vec<u8>>,
    /// Who is attached to it.
    viewers: RefCell<Vec<mpsc::Sender<Bytes>>>,
}

impl Terminal {
    /// Takes a new terminal; from here on it outlives this process.
    pub(super) fn start(
        world: &World,
        container: &str,
        attempt: Attempt,
        master: OwnedFd,
    ) -> std::io::Result<Rc<Self>> {
        let key = terminal_key(container, attempt);
        world.keeper.hold(&key, &[master.as_fd()]);
        Self::relayed(master, &world.dirs.container_run(container, attempt))
    }

    /// Takes over the terminal of the last supervisor, which the keeper has handed back. `None` if the container has none.
    pub(super) fn adopt(
        world: &World,
        container: &str,
        attempt: Attempt,
    ) -> std::io::Result<Option<Rc<Self>>> {
        let key = terminal_key(container, attempt);
        let master = world.live.terminals.borrow_mut().remove(&key);
        let run = world.dirs.container_run(container, attempt);
        master.map(|master| Self::relayed(master, &run)).transpose()
    }

    fn relayed(master: OwnedFd, run: &Path) -> std::io::Result<Rc<Self>> {
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let output = rustix::fs::open(run.join("stdout"), flags, Mode::empty())?;
        let terminal = Rc::new(Self {
            master: ready::watch(master)?,
            output: ready::watch(output)?,
            rest: RefCell::default(),
            task: Cell::new(None),
            recent: RefCell::default(),
            viewers: RefCell::default(),
        });
        terminal.start_relay();
        Ok(terminal)
    }

    fn start_relay(self: &Rc<Self>) {
        let terminal = Rc::clone(self);
        let task = tokio::task::spawn_local(async move { terminal.relay().await });
        self.task.set(Some(task));
    }

    async fn relay(&self) {
        loop {
            while !self.rest.borrow().is_empty() {
                let Ok(mut ready) = self.output.writable().await else {
                    return;
                };
                let mut rest = self.rest.borrow_mut();
                match rustix::io::write(self.output.get_ref(), &rest) {
                    Ok(written) => drop(rest.drain(..written)),
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(_) => return,
                }
            }
            let Ok(mut ready) = self.master.readable().await else {
                return;
            };
            match self.read(&mut self.rest.borrow_mut()) {
                Ok(read) if read > 0 => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                // Its last user is gone.
                _ => return,
            }
        }
    }

    /// Reads into `rest`, which is empty.
    fn read(&self, rest: &mut Vec<u8>) -> Result<usize, Errno> {
        rest.resize(CHUNK, 0);
        let read = rustix::io::read(self.master.get_ref(), &mut *rest);
        rest.truncate(read.unwrap_or(0));
        if !rest.is_empty() {
            self.show(rest);
        }
        read
    }

    /// To those who are attached. Whoever does not read must not stop the container, and goes without.
    fn show(&self, printed: &[u8]) {
        let mut recent = self.recent.borrow_mut();
        recent.extend_from_slice(printed);
        let too_many = recent.len().saturating_sub(limits::TERMINAL_RECENT_BYTES);
        recent.drain(..too_many);
        let mut viewers = self.viewers.borrow_mut();
        viewers.retain(|viewer| viewer.try_send(Bytes::copy_from_slice(printed)).is_ok());
    }

    /// What is printed on it from now on, after the last of what was printed before; ends with the container.
    pub(super) fn view(&self) -> mpsc::Receiver<Bytes> {
        let (viewer, view) = mpsc::channel(limits::ATTACHED_PIECES);
        let recent = Bytes::copy_from_slice(&self.recent.borrow());
        if recent.is_empty() || viewer.try_send(recent).is_ok() {
            self.viewers.borrow_mut().push(viewer);
        }
        view
    }

    /// Keys, as if they were typed on it.
    pub(super) async fn type_in(&self, keys: &[u8]) -> std::io::Result<()> {
        write_all(&self.master, keys).await
    }

    pub(super) fn resize(&self, size: rustix::termios::Winsize) {
        let _ = rustix::termios::tcsetwinsize(self.master.get_ref(), size);
    }

    /// Moves on what is still in the terminal, when no process is left that could print more. Returns false when the pipe behind it is
    /// full and does not get emptier, as on a full disk: the rest follows in the background ([`Self::emptied`]).
    pub(super) fn finish(self: &Rc<Self>, pump: &LogPump) -> bool {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let mut rest = self.rest.borrow_mut();
        loop {
            while !rest.is_empty() {
                match rustix::io::write(self.output.get_ref(), &rest) {
                    Ok(written) => drop(rest.drain(..written)),
                    Err(Errno::AGAIN) if pump.drain().is_ok_and(|moved| moved > 0) => {}
                    Err(Errno::AGAIN) => {
                        drop(rest);
                        self.start_relay();
                        return false;
                    }
                    Err(Errno::INTR) => {}
                    Err(_) => {
                        self.let_viewers_go();
                        return true;
                    }
                }
            }
            match self.read(&mut rest) {
                Ok(read) if read > 0 => {}
                Err(Errno::INTR) => {}
                _ => {
                    self.let_viewers_go();
                    return true;
                }
            }
        }
    }

    /// Waits until everything that was printed on it is in the pipe. To be called after [`Self::finish`] has returned false.
    pub(super) async fn emptied(&self) {
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        self.let_viewers_go();
    }

    /// Nothing more comes for those who are attached.
    fn let_viewers_go(&self) {
        self.viewers.borrow_mut().clear();
    }
}
