//! Containers: created and started by the launcher, awaited through a pidfd, adopted after a restart.
//!
//! ```text
//! directories, pipes ─▶ spawn ─▶ record written ─▶ barrier opened ─▶ running ─▶ exited ─▶ (removed)
//!                                     │                 │
//!            a supervisor that dies before opening the barrier leaves a child that ends without having run anything;
//!            one that dies later leaves a launch record that says how far it came
//! ```

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::rc::Rc;

use podyard_image::Image;
use podyard_lifecycle::{
    Action, Attempt, ContainerIndex, Exit, Observation, StartStage, StopSignal, Timestamp,
};
use podyard_linux::{Cgroup, Launch, LaunchRecord, Process, Stdio, WaitStatus};

use super::launch_plan::Persona;
use super::logs::{self, LogPump};
use super::streams::{self, Terminal};
use super::{World, launch_plan};
use crate::clock;
use crate::keeper;
use crate::limits;
use crate::lock;
use crate::pull::chain;
use crate::ready;
use crate::record::{self, InstanceRecord};
use crate::rotation;

/// A container instance that was created and is not known to have ended.
pub(crate) struct LiveContainer {
    pub(crate) attempt: Attempt,
    pub(crate) restart_count: u32,
    pub(crate) process: Process,
    stop_signal: i32,
    pub(crate) cgroup: Option<Cgroup>,
    pump: Rc<LogPump>,
    terminal: OnceCell<Rc<Terminal>>,
    /// Put together at the first exec; it does not change while the instance lives.
    persona: OnceCell<Rc<Persona>>,
}

/// A start that failed: how far it came and why.
pub(super) struct NotStarted {
    pub(super) stage: StartStage,
    pub(super) message: String,
}

impl NotStarted {
    pub(super) fn config(message: impl Into<String>) -> Self {
        Self {
            stage: StartStage::Config,
            message: message.into(),
        }
    }

    pub(super) fn create(message: impl Into<String>) -> Self {
        Self {
            stage: StartStage::Create,
            message: message.into(),
        }
    }
}

pub(super) fn start(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    restart_count: u32,
) {
    let container_id = new_container_id();
    match create(world, container, attempt, restart_count, &container_id) {
        Ok((live, launch)) => {
            let live = Rc::new(live);
            world
                .live
                .containers
                .borrow_mut()
                .insert(container, Rc::clone(&live));
            tokio::task::spawn_local(see_through(
                Rc::clone(world),
                container,
                live,
                launch,
                container_id,
            ));
        }
        Err(NotStarted { stage, message }) => {
            clear(world, container, attempt);
            let at = clock::wall();
            let container_id = (stage == StartStage::Start).then_some(container_id);
            world.report(Observation::ContainerNotStarted {
                container,
                attempt,
                stage,
                message,
                container_id,
                at,
            });
        }
    }
}

/// Everything up to the open barrier.
fn create(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    restart_count: u32,
    container_id: &str,
) -> Result<(LiveContainer, Launch), NotStarted> {
    let name = world.container_name(container).to_owned();
    let run = world.dirs.container_run(&name, attempt);
    let data = world.dirs.container_data(&name, attempt);
    // An earlier try of this very start may have left something.
    clear(world, container, attempt);
    let image = world
        .image_of(container, attempt)
        .ok_or_else(|| NotStarted::create("the image is gone"))?;

    let io = |what: &'static str| {
        move |error: std::io::Error| NotStarted::create(format!("{what}: {error}"))
    };
    std::fs::create_dir_all(&run).map_err(io("cannot create the container's directory"))?;
    std::fs::create_dir_all(data.join("upper"))
        .map_err(io("cannot create the container's directory"))?;
    std::fs::create_dir_all(data.join("work"))
        .map_err(io("cannot create the container's directory"))?;

    let config = launch_plan::config(world, container, &image, &data)?;
    let [stdout, stderr] = logs::make_pipes(
        &run,
        config.persona.identity.uid,
        config.persona.identity.gid,
    )
    .map_err(io("cannot make the output pipes"))?;
    let log = world.log_path(&name, restart_count);
    world
        .live
        .log_names
        .borrow_mut()
        .insert((container, attempt), restart_count);
    let pump = LogPump::open(&run, &log, world.logs_grew.clone())
        .map_err(io("cannot open the container's log"))?;
    // Whatever happens to this process from here on, the pipes keep what is in them.
    world.keeper.hold(
        &logs::keeper_key(&name, attempt),
        &[stdout.as_fd(), stderr.as_fd()],
    );
    let launch_record = OpenOptions::new()
        .create(true)
        .append(true)
        .open(run.join("launch"))
        .map_err(io("cannot create the launch record"))?;
    // The child has this lock from its birth until it executes its program or ends, also when this process is killed before it has
    // written down who the child is.
    lock::take(&launch_record).map_err(io("cannot lock the launch record"))?;
    let cgroup = world.container_cgroup(&name, attempt, &config.resources)?;

    let sandbox = world
        .live
        .sandbox
        .borrow()
        .clone()
        .ok_or_else(|| NotStarted::create("the pod has no sandbox"))?;
    let stop_signal = config.stop_signal;
    let spec = world.container(container);
    let has_terminal = spec.is_some_and(|spec| spec.tty == Some(true));
    let stdio = match spec {
        Some(spec) if !has_terminal => Stdio::Files {
            stdin: streams::input(world, spec, attempt, &run)
                .map_err(io("cannot open the standard input"))?,
            stdout,
            stderr,
        },
        _ => Stdio::Terminal { size: None },
    };
    let launch = launch_plan::spawn(
        world,
        &sandbox,
        config,
        cgroup.as_ref(),
        stdio,
        launch_record.into(),
    )
    .map_err(|error| NotStarted::create(chain(&error)))?;
    let mut launch = launch;
    let process = launch
        .process
        .try_clone()
        .map_err(io("cannot hold the container's process"))?;

    let started = clock::wall();
    let instance = InstanceRecord {
        version: record::version(),
        container: name,
        attempt,
        restart_count,
        process: process.id(),
        container_id: container_id.to_owned(),
        stop_signal,
        started_at: (started.seconds, started.nanoseconds),
    };
    // Written before anything of the container's own can run: from here on its exit cannot go unnoticed.
    save(&run, &instance).map_err(io("cannot write the container's record"))?;
    // Its terminal must be out of danger before anything is printed on it.
    if !has_terminal {
        launch.start().map_err(io("cannot start the container"))?;
    }
    pump.start();
    Ok((
        LiveContainer {
            attempt,
            restart_count,
            process,
            stop_signal,
            cgroup,
            pump,
            terminal: OnceCell::new(),
            persona: OnceCell::new(),
        },
        launch,
    ))
}

fn save(run: &Path, instance: &InstanceRecord) -> std::io::Result<()> {
    crate::atomic::write(&run.join("record.json"), &serde_json::to_vec(instance)?)
}

/// Waits for the start to succeed or fail, then for the end.
async fn see_through(
    world: Rc<World>,
    container: ContainerIndex,
    live: Rc<LiveContainer>,
    mut launch: Launch,
    container_id: String,
) {
    let attempt = live.attempt;
    let take_terminal = |launch: &mut Launch| {
        let Some(master) = launch.take_terminal() else {
            return Ok(());
        };
        let name = world.container_name(container);
        let terminal = Terminal::start(&world, name, attempt, master)?;
        let _ = live.terminal.set(terminal);
        launch.start()
    };
    match super::exec::launched(&mut launch, take_terminal).await {
        Ok(()) => {
            drop(launch);
            let at = clock::wall();
            world.report(Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            });
            see_exit(world, container, live).await;
        }
        Err(message) => {
            drop(launch);
            let _ = ready::readable(&live.process).await;
            let _ = live.process.reap();
            live.pump.finish();
            forget(&world, container, &live);
            let at = clock::wall();
            let stage = StartStage::Start;
            let container_id = Some(container_id);
            world.report(Observation::ContainerNotStarted {
                container,
                attempt,
                stage,
                message,
                container_id,
                at,
            });
        }
    }
}

/// Waits for the end of a running instance and reports it.
async fn see_exit(world: Rc<World>, container: ContainerIndex, live: Rc<LiveContainer>) {
    let _ = ready::readable(&live.process).await;
    let at = clock::wall();
    let status = exit_status(&world, &live.process).await;
    report_exit(&world, container, &live, status, at);
}

/// How an ended process ended. Of one that is not our child, but was the last supervisor's, the keeper is the parent: it sees the end at
/// the same moment as we do, and needs another one to write it down.
async fn exit_status(world: &World, process: &Process) -> Option<WaitStatus> {
    let patience = tokio::time::Instant::now() + limits::KEEPER_PATIENCE;
    loop {
        let status = process
            .peek_exit()
            .or_else(|| keeper_knows(world, process))
            .or_else(|| process.exit_info());
        if status.is_some() || tokio::time::Instant::now() >= patience {
            return status;
        }
        tokio::time::sleep(limits::KEEPER_PAUSE).await;
    }
}

fn keeper_knows(world: &World, process: &Process) -> Option<WaitStatus> {
    let id = process.id();
    let record = keeper::recorded_exit(&world.dirs.exits(), id.pid, id.start_time)?;
    let signaled = |signal| WaitStatus::Signaled {
        signal,
        core_dumped: false,
    };
    match record.code {
        Some(code) => Some(WaitStatus::Exited(code)),
        None => record.signal.map(signaled),
    }
}

fn report_exit(
    world: &Rc<World>,
    container: ContainerIndex,
    live: &Rc<LiveContainer>,
    status: Option<WaitStatus>,
    at: Timestamp,
) {
    // Whatever it forked into the background goes with it.
    let ran_out_of_memory = live.cgroup.as_ref().is_some_and(|cgroup| {
        let _ = cgroup.kill_all();
        cgroup.oom_kills().is_ok_and(|kills| kills > 0)
    });
    if let Some(terminal) = live.terminal.get() {
        terminal.finish(&live.pump);
    }
    live.pump.finish();
    let exit = match status {
        Some(status) if ran_out_of_memory => Exit::OomKilled {
            code: status.code(),
        },
        Some(WaitStatus::Exited(code)) => Exit::Code(code),
        Some(WaitStatus::Signaled { signal, .. }) => Exit::Signal(signal),
        None => Exit::Lost,
    };
    let message = termination_message(world, container, live, exit);
    let attempt = live.attempt;
    // Reaped and cleared away only after the journal has it.
    let clear = {
        let (world, live) = (Rc::clone(world), Rc::clone(live));
        Box::new(move || {
            let _ = live.process.reap();
            forget(&world, container, &live);
        })
    };
    world
        .live
        .ended
        .borrow_mut()
        .insert((container, attempt), clear);
    world.report(Observation::ContainerExited {
        container,
        attempt,
        exit,
        at,
        message,
    });
}

/// `pod-lifecycle.md` section 8.8.
fn termination_message(
    world: &World,
    container: ContainerIndex,
    live: &LiveContainer,
    exit: Exit,
) -> Option<String> {
    let spec = world.container(container)?;
    let file = world
        .dirs
        .container_data(&spec.name, live.attempt)
        .join("termination-log");
    let text = last_bytes(&file, limits::TERMINATION_MESSAGE_BYTES).unwrap_or_default();
    if !text.is_empty() {
        return Some(text);
    }
    let falls_back = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError")
        && exit.code() != 0;
    let log = world.log_path(&spec.name, live.restart_count);
    falls_back
        .then(|| {
            crate::logs::tail(
                &log,
                limits::FALLBACK_LOG_RECORDS,
                limits::FALLBACK_LOG_BYTES,
            )
        })
        .filter(|text| !text.is_empty())
}

fn last_bytes(path: &Path, bytes: u64) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The instance is over: its cgroup and its volatile files go, its writable layer stays until it is removed.
fn forget(world: &World, container: ContainerIndex, live: &LiveContainer) {
    let name = world.container_name(container);
    if let Some(cgroup) = &live.cgroup
        && let Err(error) = cgroup.remove(limits::CGROUP_PATIENCE)
    {
        world.complain(&format!("cannot remove the cgroup of {name}: {error}"));
    }
    streams::release(world, name, live.attempt);
    let _ = std::fs::remove_dir_all(world.dirs.container_run(name, live.attempt));
    let mut containers = world.live.containers.borrow_mut();
    if containers
        .get(&container)
        .is_some_and(|known| known.attempt == live.attempt)
    {
        containers.remove(&container);
    }
}

/// Waits for the child of an interrupted start: it executes its program if it was told to, and ends at the barrier if it was not. Only then
/// does its launch record tell which, and only then can its files go.
fn launch_is_over(run: &Path) -> bool {
    File::open(run.join("launch")).map_or(true, |record| {
        lock::wait_until_free(&record, limits::LAUNCH_PATIENCE)
    })
}

/// Removes what an interrupted start left.
fn clear(world: &World, container: ContainerIndex, attempt: Attempt) {
    let name = world.container_name(container);
    let run = world.dirs.container_run(name, attempt);
    let data = world.dirs.container_data(name, attempt);
    // A clean-up may itself have been interrupted.
    if !run.exists() && !data.exists() {
        return;
    }
    if let Some(instance) = record::read::<InstanceRecord>(&run.join("record.json"))
        && let Ok(Some(process)) = Process::adopt(instance.process)
    {
        let _ = process.signal(rustix::process::Signal::KILL.as_raw());
        let _ = process.wait_exited(None);
        let _ = process.reap();
    }
    world.remove_container_cgroup(name, attempt);
    if !launch_is_over(&run) {
        world.complain(&format!("an interrupted start of {name} does not end"));
    }
    streams::release(world, name, attempt);
    // An overlay that was mounted once cannot be mounted again (its work directory says `volatile`).
    let _ = std::fs::remove_dir_all(data);
    let _ = std::fs::remove_dir_all(run);
}

pub(super) fn signal(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    signal: StopSignal,
) {
    let live = world.live.containers.borrow().get(&container).cloned();
    let Some(live) = live.filter(|live| live.attempt == attempt) else {
        return;
    };
    match signal {
        // The answer is the exit; a process that is gone already has reported it.
        StopSignal::Stop => {
            let _ = live.process.signal(live.stop_signal);
        }
        StopSignal::Kill => {
            let _ = live.process.signal(rustix::process::Signal::KILL.as_raw());
            if let Some(cgroup) = &live.cgroup {
                let _ = cgroup.kill_all();
            }
        }
    }
}

pub(super) fn remove(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    keep_log: bool,
) {
    let name = world.container_name(container).to_owned();
    let _ = std::fs::remove_dir_all(world.dirs.container_data(&name, attempt));
    if !keep_log
        && let Some(restart_count) = world
            .live
            .log_names
            .borrow_mut()
            .remove(&(container, attempt))
    {
        rotation::remove(&world.log_path(&name, restart_count));
    }
    world.live.images.borrow_mut().remove(&(container, attempt));
    world.report(Observation::ContainerRemoved { container, attempt });
}

/// Takes over the instances of the last supervisor: those that live are watched again, those that died are reported.
pub(super) fn adopt(world: &Rc<World>, pending: &[Action]) {
    let Ok(entries) = std::fs::read_dir(world.dirs.run.join("containers")) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(instance) = record::read::<InstanceRecord>(&entry.path().join("record.json"))
        else {
            continue;
        };
        let Some(container) = world.container_index(&instance.container) else {
            continue;
        };
        let is_pending = pending.iter().any(|action| {
            matches!(action, Action::StartContainer { container: c, attempt: a, .. } if *c == container && *a == instance.attempt)
        });
        adopt_one(world, container, &instance, &entry.path(), is_pending);
    }
}

fn adopt_one(
    world: &Rc<World>,
    container: ContainerIndex,
    instance: &InstanceRecord,
    run: &Path,
    is_pending: bool,
) {
    let attempt = instance.attempt;
    if is_pending {
        launch_is_over(run);
    }
    let launch =
        File::open(run.join("launch")).map(|file| podyard_linux::read_launch_record(&file));
    let process = Process::adopt(instance.process).ok().flatten();
    let Ok(Ok(launch)) = launch else { return };
    if is_pending && matches!(launch, LaunchRecord::NotStarted) {
        // The barrier closed with the last supervisor; the start is begun again from nothing.
        return;
    }
    let started_at = Timestamp {
        seconds: instance.started_at.0,
        nanoseconds: instance.started_at.1,
    };
    if is_pending {
        let container_id = instance.container_id.clone();
        if let LaunchRecord::Failed(error) = &launch {
            clear(world, container, attempt);
            world.live.adopted.borrow_mut().insert((container, attempt));
            world.report(Observation::ContainerNotStarted {
                container,
                attempt,
                stage: StartStage::Start,
                message: error.oci_text(),
                container_id: Some(container_id),
                at: started_at,
            });
            return;
        }
        world.live.adopted.borrow_mut().insert((container, attempt));
        world.report(Observation::ContainerStarted {
            container,
            attempt,
            container_id,
            at: started_at,
        });
    }
    let log = world.log_path(&instance.container, instance.restart_count);
    let pump = match LogPump::open(run, &log, world.logs_grew.clone()) {
        Ok(pump) => pump,
        Err(error) => {
            world.complain(&format!(
                "cannot read the output of {}: {error}",
                instance.container
            ));
            return;
        }
    };
    // This keeper may be another one than the last supervisor's.
    if let Ok([stdout, stderr]) = logs::open_pipes(run) {
        let key = logs::keeper_key(&instance.container, attempt);
        world.keeper.hold(&key, &[stdout.as_fd(), stderr.as_fd()]);
    }
    world
        .live
        .log_names
        .borrow_mut()
        .insert((container, attempt), instance.restart_count);
    let cgroup = world.open_container_cgroup(&instance.container, attempt);
    match process {
        Some(process) => {
            let live = Rc::new(LiveContainer {
                attempt,
                restart_count: instance.restart_count,
                process,
                stop_signal: instance.stop_signal,
                cgroup,
                pump: Rc::clone(&pump),
                terminal: OnceCell::new(),
                persona: OnceCell::new(),
            });
            match Terminal::adopt(world, &instance.container, attempt) {
                Ok(Some(terminal)) => drop(live.terminal.set(terminal)),
                Ok(None) => {}
                Err(error) => world.complain(&format!(
                    "cannot take over the terminal of {}: {error}",
                    instance.container
                )),
            }
            world
                .live
                .containers
                .borrow_mut()
                .insert(container, Rc::clone(&live));
            pump.start();
            tokio::task::spawn_local(see_exit(Rc::clone(world), container, live));
        }
        None => report_lost(world, container, instance, cgroup, &pump),
    }
}

/// The process is gone: the keeper may know how it ended.
fn report_lost(
    world: &Rc<World>,
    container: ContainerIndex,
    instance: &InstanceRecord,
    cgroup: Option<Cgroup>,
    pump: &LogPump,
) {
    let known = keeper::recorded_exit(
        &world.dirs.exits(),
        instance.process.pid,
        instance.process.start_time,
    );
    let out_of_memory = cgroup
        .as_ref()
        .is_some_and(|cgroup| cgroup.oom_kills().is_ok_and(|kills| kills > 0));
    let (exit, at) = match known {
        Some(record) => {
            let exit = match (record.code, record.signal) {
                (Some(code), _) if out_of_memory => Exit::OomKilled { code },
                (None, Some(signal)) if out_of_memory => Exit::OomKilled { code: 128 + signal },
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Lost,
            };
            (
                exit,
                Timestamp {
                    seconds: record.at.0,
                    nanoseconds: record.at.1,
                },
            )
        }
        None => (Exit::Lost, clock::wall()),
    };
    if let Ok(Some(terminal)) = Terminal::adopt(world, &instance.container, instance.attempt) {
        terminal.finish(pump);
    }
    pump.finish();
    let attempt = instance.attempt;
    let file = world
        .dirs
        .container_data(&instance.container, attempt)
        .join("termination-log");
    let message = last_bytes(&file, limits::TERMINATION_MESSAGE_BYTES)
        .ok()
        .filter(|text| !text.is_empty());
    if let Some(cgroup) = cgroup {
        let _ = cgroup.kill_all();
        let _ = cgroup.remove(limits::CGROUP_PATIENCE);
    }
    let run = world.dirs.container_run(&instance.container, attempt);
    let clear = {
        let (world, name) = (Rc::clone(world), instance.container.clone());
        Box::new(move || {
            streams::release(&world, &name, attempt);
            let _ = std::fs::remove_dir_all(run);
        })
    };
    world
        .live
        .ended
        .borrow_mut()
        .insert((container, attempt), clear);
    world.report(Observation::ContainerExited {
        container,
        attempt,
        exit,
        at,
        message,
    });
}

impl LiveContainer {
    /// Everything it printed is in its log.
    pub(crate) fn is_done(&self) -> bool {
        self.pump.is_done()
    }

    pub(crate) fn drain_log(&self) {
        self.pump.drain();
    }

    pub(super) fn rotate_log(&self) -> std::io::Result<()> {
        self.pump.rotate()
    }

    /// Who further processes of it are, and what is in their environment.
    pub(super) fn persona(
        &self,
        world: &World,
        index: ContainerIndex,
    ) -> Result<Rc<Persona>, String> {
        if let Some(persona) = self.persona.get() {
            return Ok(Rc::clone(persona));
        }
        let container = world.container(index).ok_or("no such container")?;
        let image = world
            .image_of(index, self.attempt)
            .ok_or("the container's image is gone")?;
        let persona =
            launch_plan::persona(world, container, &image).map_err(|error| error.message)?;
        Ok(Rc::clone(self.persona.get_or_init(|| Rc::new(persona))))
    }
}

impl World {
    pub(super) fn image_of(
        &self,
        container: ContainerIndex,
        attempt: Attempt,
    ) -> Option<Rc<Image>> {
        if let Some(image) = self.live.images.borrow().get(&(container, attempt)) {
            return Some(Rc::clone(image));
        }
        // After a restart of the supervisor: it was found before, and its lease has kept it.
        let reference =
            podyard_image::Reference::parse(self.container(container)?.image.as_deref()?).ok()?;
        self.store.lookup(&reference).ok()?.map(Rc::new)
    }
}

/// 64 hexadecimal digits, as container runtimes name containers.
fn new_container_id() -> String {
    let mut bytes = [0_u8; 32];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("podyard://{hex}")
}
