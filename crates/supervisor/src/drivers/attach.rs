//! Somebody's streams at the first process of a container: `podyard attach`, `podyard debug -it`.
//!
//! With a terminal, what is printed on it from now on, after the last of what was printed before. Without one, the container's log: as it
//! grows, or from its beginning on.

use std::rc::Rc;

use hyper::body::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::World;
use super::containers::LiveContainer;
use super::streams::{self, Terminal};
use crate::ready::{self, Ready};

/// A running container and what it reads.
pub(crate) struct AttachSession {
    live: Rc<LiveContainer>,
    input: Option<Input>,
    output: Mutex<mpsc::Receiver<Bytes>>,
}

enum Input {
    Terminal(Rc<Terminal>),
    Pipe(Ready),
}

impl AttachSession {
    /// Attaches to the instance that runs. `follow` is asked for its log, by its restart count, when it has no terminal.
    pub(crate) fn start(
        world: &World,
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
        let has_input = world
            .container(index)
            .is_some_and(|spec| spec.stdin == Some(true));
        let input = match &terminal {
            _ if !with_input || !has_input => None,
            Some(terminal) => Some(Input::Terminal(Rc::clone(terminal))),
            None => {
                let pipe = streams::open_input(world, container, live.attempt);
                let failed = |error| format!("cannot open the container's input: {error}");
                Some(Input::Pipe(pipe.map_err(failed)?))
            }
        };
        let output = match terminal {
            Some(terminal) => terminal.view(),
            None => follow(live.restart_count),
        };
        Ok(Self {
            live,
            input,
            output: Mutex::new(output),
        })
    }

    pub(crate) async fn write_stdin(&self, data: &[u8]) -> std::io::Result<()> {
        match &self.input {
            None => Ok(()),
            Some(Input::Terminal(terminal)) => terminal.type_in(data).await,
            Some(Input::Pipe(pipe)) => streams::write_all(pipe, data).await,
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
