//! Somebody's streams at the first process of a container: `podyard attach`, `podyard debug -it`.
//!
//! With a terminal, what is printed on it from now on, after the last of what was printed before. Without one, the container's log: as it
//! grows, or from its beginning on.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use hyper::body::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::World;
use super::containers::LiveContainer;
use super::streams::{self, Terminal};
use crate::ready::{self, Ready};

/// A running container and what it reads.
pub(crate) struct AttachSession {
    world: Rc<World>,
    live: Rc<LiveContainer>,
    container: String,
    input: RefCell<Option<Rc<Input>>>,
    /// `stdinOnce`: nobody after this one has an input.
    is_only_one: bool,
    output: Mutex<mpsc::Receiver<Bytes>>,
}

enum Input {
    Terminal(Rc<Terminal>),
    Pipe(Ready),
}

impl AttachSession {
    /// Attaches to the instance that runs. `follow` is asked for its log, by its restart count, when it has no terminal.
    pub(crate) fn start(
        world: &Rc<World>,
        container: &str,
        with_input: bool,
        follow: impl FnOnce(u32) -> mpsc::Receiver<Bytes>,
    ) -> Result<Self, String> {
        let not_running = || {
            format!(
                "container {container} not found in pod {} or not running",
                world.title()
            )
        };
        let index = world.container_index(container).ok_or_else(not_running)?;
        let live = world.live.containers.borrow().get(&index).cloned();
        let live = live.ok_or_else(not_running)?;
        let terminal = live.terminal();
        let spec = world.container(index);
        let has_input = spec.as_ref().is_some_and(|spec| spec.stdin == Some(true));
        let is_only_one = spec
            .as_ref()
            .is_some_and(|spec| spec.stdin_once == Some(true));
        let input = match &terminal {
            _ if !with_input || !has_input => None,
            Some(terminal) => Some(Input::Terminal(Rc::clone(terminal))),
            None => match streams::open_input(world, container, live.attempt) {
                Ok(pipe) => Some(Input::Pipe(pipe)),
                // The only one that was to have it has left.
                Err(error) if is_only_one && error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(format!("cannot open the container's input: {error}")),
            },
        };
        let output = match terminal {
            Some(terminal) => terminal.view(),
            None => follow(live.restart_count),
        };
        Ok(Self {
            world: Rc::clone(world),
            live,
            container: container.to_owned(),
            input: RefCell::new(input.map(Rc::new)),
            is_only_one,
            output: Mutex::new(output),
        })
    }

    pub(crate) async fn write_stdin(&self, data: &[u8]) -> std::io::Result<()> {
        let input = self.input.borrow().clone();
        match input.as_deref() {
            None => Ok(()),
            Some(Input::Terminal(terminal)) => terminal.type_in(data).await,
            Some(Input::Pipe(pipe)) => streams::write_all(pipe, data).await,
        }
    }

    /// Nothing more comes from this one; with `stdinOnce`, from nobody. A terminal stays open, as with containerd.
    pub(crate) fn close_stdin(&self) {
        let input = self.input.borrow_mut().take();
        let is_pipe = input.is_some_and(|input| matches!(*input, Input::Pipe(_)));
        if is_pipe && self.is_only_one {
            streams::close_input(&self.world, &self.container, self.live.attempt);
        }
    }

    pub(crate) fn resize(&self, size: rustix::termios::Winsize) {
        if let Some(terminal) = self.live.terminal() {
            terminal.resize(size);
        }
    }

    /// The next piece of output; `None` when the container has ended.
    pub(crate) async fn read_output(&self) -> Option<Vec<u8>> {
        self.output.lock().await.recv().await.map(Vec::from)
    }

    /// Until the container has ended.
    pub(crate) async fn wait(&self) {
        let _ = ready::readable(&self.live.process).await;
    }
}
