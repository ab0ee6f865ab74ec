//! One more process in a running container, with its streams: `podyard exec`.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use podyard_linux::{CapabilitySets, ExecPlan, Launch, LaunchEvent, Process, Stdio};
use rustix::pipe::{PipeFlags, pipe_with};

use super::World;
use super::containers::LiveContainer;
use super::world::Key;
use crate::pull::chain;
use crate::ready::{self, Ready};

/// Read at once from a stream.
const CHUNK: usize = 32 << 10;

/// What is to be run where.
#[derive(Clone, Debug)]
pub(crate) struct ExecRequest {
    /// The first app container unless named.
    pub(crate) container: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
}

/// A running command.
pub(crate) struct ExecSession {
    process: Process,
    launch: RefCell<Option<Launch>>,
    /// Why it was not executed, if that is known already.
    failed: RefCell<Option<String>>,
    stdin: RefCell<Option<Rc<Ready>>>,
    stdout: Option<Rc<Ready>>,
    stderr: Option<Ready>,
    wanted: Streams,
    // Its cgroup and namespaces are the container's.
    _container: Rc<LiveContainer>,
}

/// Which streams of the caller a command is connected to; standard output and error always are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
}

impl ExecSession {
    /// Starts the command of a person's request.
    pub(crate) fn start(world: &Rc<World>, request: &ExecRequest) -> Result<Self, String> {
        let name = match &request.container {
            Some(name) => name.clone(),
            None => world
                .spec()
                .containers
                .first()
                .map(|container| container.name.clone())
                .unwrap_or_default(),
        };
        let index = world
            .container_index(&name)
            .ok_or_else(|| format!("container {name} is not valid for pod {}", world.title()))?;
        let attempt = world
            .live
            .containers
            .borrow()
            .get(&index)
            .map(|live| live.attempt);
        let attempt = attempt.ok_or_else(|| not_running(&name))?;
        let streams = Streams {
            stdin: request.stdin,
            tty: request.tty,
        };
        Self::start_in(world, (index, attempt), &request.command, streams)
    }

    /// Starts a command in one instance of a container.
    pub(crate) fn start_in(
        world: &World,
        (index, attempt): Key,
        command: &[String],
        wanted: Streams,
    ) -> Result<Self, String> {
        let live = world.live.containers.borrow().get(&index).cloned();
        let live = live
            .filter(|live| live.attempt == attempt)
            .ok_or_else(|| not_running(world.container_name(index)))?;
        let persona = live.persona(world, index)?;
        let args = command
            .iter()
            .map(|word| {
                std::ffi::CString::new(word.as_str())
                    .map_err(|_| "the command holds a NUL byte".to_owned())
            })
            .collect::<Result<Vec<_>, _>>()?;

        let (stdio, ours) = streams(wanted)?;
        let mut plan = ExecPlan::new(&live.process, args, stdio);
        plan.user = persona.user();
        plan.oom_score_adj = Some(persona.oom_score_adj());
        plan.seccomp = persona.filter.clone();
        plan.security_label = persona.label.clone();
        plan.capabilities = CapabilitySets::of(persona.capabilities);
        plan.no_new_privileges = persona.no_new_privileges;
        plan.working_dir = persona.working_dir.clone();
        plan.env = persona.env.clone();
        if wanted.tty
            && !plan
                .env
                .iter()
                .any(|entry| entry.to_bytes().starts_with(b"TERM="))
        {
            plan.env.push(c"TERM=xterm".to_owned());
        }
        plan.cgroup = live.cgroup.as_deref();
        let mut launch = plan.spawn().map_err(|error| chain(&error))?;
        let process = launch
            .process
            .try_clone()
            .map_err(|error| error.to_string())?;
        drop(plan);
        launch.start().map_err(|error| error.to_string())?;

        let Ends {
            stdin,
            stdout,
            stderr,
        } = ours;
        Ok(Self {
            process,
            launch: RefCell::new(Some(launch)),
            failed: RefCell::default(),
            stdin: RefCell::new(stdin.map(nonblocking).transpose()?.map(Rc::new)),
            stdout: stdout.map(nonblocking).transpose()?.map(Rc::new),
            stderr: stderr.map(nonblocking).transpose()?,
            wanted,
            _container: live,
        })
    }

    /// Waits for the terminal of a command that is to have one: it is made inside the container, on the way to the command.
    pub(crate) async fn open_terminal(&mut self) -> Result<(), String> {
        let Some(launch) = self.launch.get_mut().as_mut().filter(|_| self.wanted.tty) else {
            return Ok(());
        };
        loop {
            match launch.next().map_err(|error| error.to_string())? {
                Some(LaunchEvent::Failed(error)) => {
                    *self.failed.get_mut() = Some(error.oci_text());
                    return Ok(());
                }
                // It comes with what the child says before it waits at the barrier; more is told to [`Self::wait`].
                Some(LaunchEvent::Ready | LaunchEvent::Running) => break,
                None => ready::readable(&*launch)
                    .await
                    .map_err(|error| format!("cannot watch the start: {error}"))?,
            }
        }
        let terminal = launch
            .take_terminal()
            .ok_or_else(|| "the command has no terminal".to_owned())?;
        let terminal = Rc::new(nonblocking(terminal)?);
        if self.wanted.stdin {
            *self.stdin.get_mut() = Some(Rc::clone(&terminal));
        }
        self.stdout = Some(terminal);
        Ok(())
    }

    /// Writes all of `data`; ends early when the command has closed its input.
    pub(crate) async fn write_stdin(&self, data: &[u8]) -> std::io::Result<()> {
        let stdin = self.stdin.borrow().clone();
        match stdin {
            Some(stdin) => super::streams::write_all(&stdin, data).await,
            None => Ok(()),
        }
    }

    pub(crate) fn close_stdin(&self) {
        self.stdin.borrow_mut().take();
    }

    pub(crate) fn resize(&self, size: rustix::termios::Winsize) {
        if let Some(terminal) = self.stdout.as_ref().filter(|_| self.wanted.tty) {
            let _ = rustix::termios::tcsetwinsize(terminal.get_ref(), size);
        }
    }

    /// The next piece of channel 1 or 2; `None` when nothing more can come.
    pub(crate) async fn read_output(&self, channel: u8) -> Option<Vec<u8>> {
        let stream = if channel == 1 {
            self.stdout.as_deref()?
        } else {
            self.stderr.as_ref()?
        };
        loop {
            let mut ready = stream.readable().await.ok()?;
            let mut chunk = vec![0; CHUNK];
            match rustix::io::read(stream.get_ref(), &mut chunk) {
                Ok(0) => return None,
                Ok(read) => {
                    chunk.truncate(read);
                    return Some(chunk);
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                // A terminal whose last user is gone answers EIO.
                Err(_) => return None,
            }
        }
    }

    /// What is in the pipe of channel 1 or 2 right now, without waiting, until `kept` has `limit` bytes.
    pub(crate) fn take_rest(&self, channel: u8, limit: usize, kept: &mut Vec<u8>) {
        let stream = if channel == 1 {
            self.stdout.as_deref()
        } else {
            self.stderr.as_ref()
        };
        let Some(stream) = stream else { return };
        let mut chunk = vec![0; CHUNK];
        while kept.len() < limit {
            match rustix::io::read(stream.get_ref(), &mut chunk) {
                Ok(read) if read > 0 => {
                    kept.extend_from_slice(&chunk[..read.min(limit - kept.len())]);
                }
                Err(rustix::io::Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Ends the command, not what it started.
    pub(crate) fn kill(&self) {
        let _ = self.process.signal(rustix::process::Signal::KILL.as_raw());
    }

    /// The exit code, or why the command could not be run.
    pub(crate) async fn wait(&self) -> Result<i32, String> {
        let launch = self.launch.borrow_mut().take();
        let failed = self.failed.borrow_mut().take();
        let failed = match (failed, launch) {
            (None, Some(mut launch)) => launched(&mut launch, |_| Ok(())).await.err(),
            (failed, _) => failed,
        };
        ready::readable(&self.process)
            .await
            .map_err(|error| error.to_string())?;
        let status = self.process.reap().map_err(|error| error.to_string())?;
        match (failed, status) {
            (Some(message), _) => Err(message),
            (None, Some(status)) => Ok(status.code()),
            (None, None) => Err("nobody knows how the command ended".to_owned()),
        }
    }
}

fn not_running(container: &str) -> String {
    format!("unable to upgrade connection: container not found ({container:?} is not running)")
}

/// Follows a start to its success or failure; `when_ready` is called when the child waits at the barrier.
pub(super) async fn launched(
    launch: &mut Launch,
    when_ready: impl Fn(&mut Launch) -> std::io::Result<()>,
) -> Result<(), String> {
    loop {
        match launch.next() {
            Ok(Some(LaunchEvent::Running)) => return Ok(()),
            Ok(Some(LaunchEvent::Failed(error))) => return Err(error.oci_text()),
            Ok(Some(LaunchEvent::Ready)) => {
                when_ready(launch)
                    .map_err(|error| format!("cannot go on with the start: {error}"))?;
            }
            Ok(None) => {
                ready::readable(&*launch)
                    .await
                    .map_err(|error| format!("cannot watch the start: {error}"))?;
            }
            Err(error) => return Err(format!("cannot watch the start: {error}")),
        }
    }
}

/// Our ends of the command's streams.
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// Watched by the reactor.
fn nonblocking(fd: OwnedFd) -> Result<Ready, String> {
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(|errno| errno.to_string())?;
    rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)
        .map_err(|errno| errno.to_string())?;
    ready::watch(fd).map_err(|error| error.to_string())
}

fn streams(wanted: Streams) -> Result<(Stdio, Ends), String> {
    if wanted.tty {
        let ends = Ends {
            stdin: None,
            stdout: None,
            stderr: None,
        };
        return Ok((Stdio::Terminal { size: None }, ends));
    }
    let text = |error: std::io::Error| format!("cannot make the command's streams: {error}");
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| text(errno.into()));
    let (stdin, own_stdin) = if wanted.stdin {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        (OwnedFd::from(File::open("/dev/null").map_err(text)?), None)
    };
    let (own_stdout, stdout) = pipe()?;
    let (own_stderr, stderr) = pipe()?;
    let ends = Ends {
        stdin: own_stdin,
        stdout: Some(own_stdout),
        stderr: Some(own_stderr),
    };
    Ok((
        Stdio::Files {
            stdin,
            stdout,
            stderr,
        },
        ends,
    ))
}
