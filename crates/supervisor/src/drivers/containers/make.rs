//! Makes a container up to the closed barrier, and opens it: nothing of the container's own runs in between.

use std::cell::OnceCell;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use podyard_image::{Digest, Image};
use podyard_lifecycle::{Attempt, ContainerIndex};
use podyard_linux::{Cgroup, Launch, Process, Stdio};

use super::super::launch_plan::{self, Config};
use super::super::logs::{self, LogPump};
use super::super::{World, streams};
use super::{LiveContainer, NotStarted, clear};
use crate::clock;
use crate::limits;
use crate::lock;
use crate::pull::chain;
use crate::record::{self, InstanceRecord};

/// A container that waits for its start.
pub(super) struct Made {
    /// Of the image that it is made from.
    pub(super) image: Digest,
    pub(super) launch: Launch,
    process: Process,
    stop_signal: i32,
    cgroup: Option<Cgroup>,
    has_terminal: bool,
}

/// Everything up to the closed barrier.
pub(super) fn make(
    world: &World,
    container: ContainerIndex,
    attempt: Attempt,
    image: &Image,
) -> Result<Made, NotStarted> {
    let mut parts = Parts::new(world, container, attempt, image)?;
    parts.limit(world)?;
    parts.assemble(world)
}

/// A container of which nothing runs yet, in steps: between two of them its maker can do what is more urgent. Whatever becomes of it,
/// [`clear`] takes away what there is.
pub(super) struct Parts {
    container: ContainerIndex,
    attempt: Attempt,
    image: Digest,
    config: Config,
    run: PathBuf,
    output: [OwnedFd; 2],
    cgroup: Option<Cgroup>,
}

impl Parts {
    /// Its directories, its pipes, and what it is to be.
    pub(super) fn new(
        world: &World,
        container: ContainerIndex,
        attempt: Attempt,
        image: &Image,
    ) -> Result<Self, NotStarted> {
        let name = world.container_name(container);
        let directories = world.dirs.container(name, attempt);
        // An earlier try of this very start may have left something.
        clear(world, container, attempt);
        for directory in directories.each() {
            std::fs::create_dir_all(directory)
                .map_err(io("cannot create the container's directory"))?;
        }
        let config = launch_plan::config(world, container, image, &directories)?;
        let identity = &config.persona.identity;
        let owner = (identity.uid, identity.gid);
        let output = logs::make_pipes(&directories.run, owner, |path, flags| {
            world.open_unseen(path, flags)
        })
        .map_err(io("cannot make the output pipes"))?;
        // Whatever happens to this process from here on, the pipes keep what is in them.
        let descriptors = output.each_ref().map(AsFd::as_fd);
        world
            .keeper
            .hold(&logs::keeper_key(name, attempt), &descriptors);
        Ok(Self {
            container,
            attempt,
            image: image.manifest_digest.clone(),
            config,
            run: directories.run,
            output,
            cgroup: None,
        })
    }

    /// Its cgroup.
    pub(super) fn limit(&mut self, world: &World) -> Result<(), NotStarted> {
        let name = world.container_name(self.container);
        self.cgroup = world.container_cgroup(name, self.attempt, &self.config.resources)?;
        Ok(())
    }

    /// The process, which puts the rest together and waits.
    pub(super) fn assemble(self, world: &World) -> Result<Made, NotStarted> {
        let launch_record = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.run.join("launch"))
            .map_err(io("cannot create the launch record"))?;
        // The child has this lock from its birth until it executes its program or ends, also when this process is killed before it has
        // written down who the child is.
        lock::take(&launch_record).map_err(io("cannot lock the launch record"))?;
        let sandbox = world
            .live
            .sandbox
            .borrow()
            .clone()
            .ok_or_else(|| NotStarted::create("the pod has no sandbox"))?;
        let stop_signal = self.config.stop_signal;
        let spec = world.container(self.container);
        let has_terminal = spec.is_some_and(|spec| spec.tty == Some(true));
        let [stdout, stderr] = self.output;
        let stdio = match spec {
            Some(spec) if !has_terminal => Stdio::Files {
                stdin: streams::input(world, spec, self.attempt, &self.run)
                    .map_err(io("cannot open the standard input"))?,
                stdout,
                stderr,
            },
            _ => Stdio::Terminal { size: None },
        };
        let launch = launch_plan::spawn(
            world,
            &sandbox,
            self.config,
            self.cgroup.as_ref(),
            stdio,
            launch_record.into(),
        )
        .map_err(|error| NotStarted::create(chain(&error)))?;
        let process = launch
            .process
            .try_clone()
            .map_err(io("cannot hold the container's process"))?;
        Ok(Made {
            image: self.image,
            launch,
            process,
            stop_signal,
            cgroup: self.cgroup,
            has_terminal,
        })
    }
}

impl Made {
    /// Opens the barrier, with everything written down before that the next supervisor would need.
    pub(super) fn start(
        mut self,
        world: &World,
        container: ContainerIndex,
        attempt: Attempt,
        restart_count: u32,
        container_id: &str,
    ) -> Result<(LiveContainer, Launch), NotStarted> {
        match self.try_start(world, container, attempt, restart_count, container_id) {
            Ok(live) => Ok((live, self.launch)),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn try_start(
        &mut self,
        world: &World,
        container: ContainerIndex,
        attempt: Attempt,
        restart_count: u32,
        container_id: &str,
    ) -> Result<LiveContainer, NotStarted> {
        let name = world.container_name(container);
        let run = world.dirs.container_run(name, attempt);
        let log = world.log_path(name, restart_count);
        world
            .live
            .log_names
            .borrow_mut()
            .insert((container, attempt), restart_count);
        let pump = LogPump::open(&run, &log, world.logs_grew.clone())
            .map_err(io("cannot open the container's log"))?;
        let started = clock::wall();
        let instance = InstanceRecord {
            version: record::version(),
            container: name.to_owned(),
            attempt,
            restart_count,
            process: self.process.id(),
            container_id: container_id.to_owned(),
            stop_signal: self.stop_signal,
            started_at: (started.seconds, started.nanoseconds),
        };
        // Written before anything of the container's own can run: from here on its exit cannot go unnoticed. One that is torn by a crash
        // tells that nothing has run.
        save(&run, &instance).map_err(io("cannot write the container's record"))?;
        let process = self
            .process
            .try_clone()
            .map_err(io("cannot hold the container's process"))?;
        // Its terminal must be out of danger before anything is printed on it.
        if !self.has_terminal {
            self.launch
                .start()
                .map_err(io("cannot start the container"))?;
        }
        pump.start();
        Ok(LiveContainer {
            attempt,
            restart_count,
            process,
            stop_signal: self.stop_signal,
            cgroup: self.cgroup.take().map(Rc::new),
            pump,
            terminal: OnceCell::new(),
            persona: OnceCell::new(),
        })
    }

    /// Ends the child, which has run nothing. Its files are the caller's to clear away.
    pub(super) fn discard(self) {
        let _ = self.process.signal(rustix::process::Signal::KILL.as_raw());
        // It can be in the midst of a mount that does not answer; it ends by itself once that does.
        let _ = self.process.wait_exited(Some(limits::LAUNCH_PATIENCE));
        let _ = self.process.reap();
    }
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> NotStarted {
    move |error| NotStarted::create(format!("{what}: {error}"))
}

fn save(run: &Path, instance: &InstanceRecord) -> std::io::Result<()> {
    std::fs::write(run.join("record.json"), serde_json::to_vec(instance)?)
}
