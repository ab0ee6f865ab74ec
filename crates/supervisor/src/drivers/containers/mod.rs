//! Containers: created and started by the launcher, awaited through a pidfd, adopted after a restart.
//!
//! ```text
//! directories, pipes ─▶ spawn ─▶ record written ─▶ barrier opened ─▶ running ─▶ exited ─▶ (removed)
//! └─────── make.rs ────────┘         │                 │
//!   (ahead.rs: before its time)      │                 │
//!            a supervisor that dies before opening the barrier leaves a child that ends without having run anything;
//!            one that dies later leaves a launch record that says how far it came (adopt.rs)
//! ```

mod adopt;
mod ahead;
mod emptied;
mod make;
mod output;

use std::cell::OnceCell;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use podyard_image::Image;
use podyard_lifecycle::{
    Attempt, ContainerIndex, Exit, Observation, StartStage, StopSignal, Timestamp,
};
use podyard_linux::{Cgroup, Launch, Process, ProcessId, WaitStatus};

use super::launch_plan::Persona;
use super::logs::LogPump;
use super::streams::{self, Terminal};
use super::world::Key;
use super::{World, launch_plan};
use crate::clock;
use crate::keeper;
use crate::limits;
use crate::lock;
use crate::ready;
use crate::record::{self, InstanceRecord};
use crate::rotation;

pub(super) use adopt::adopt;
pub(crate) use ahead::Ahead;
pub(super) use ahead::{discard as discard_ahead, forgo as forgo_ahead, give_up as give_up_ahead};
pub(crate) use emptied::Emptied;
pub(crate) use output::Unwritten;

/// A container instance that was created and is not known to have ended.
pub(crate) struct LiveContainer {
    pub(crate) attempt: Attempt,
    pub(crate) restart_count: u32,
    pub(crate) process: Process,
    stop_signal: i32,
    pub(crate) cgroup: Option<Rc<Cgroup>>,
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
    emptied::stand_back(world);
    let container_id = new_container_id();
    let made = match ahead::take(world, (container, attempt)) {
        Some(made) => Ok(made),
        None => world
            .image_of(container, attempt)
            .ok_or_else(|| NotStarted::create("the image is gone"))
            .and_then(|image| make::make(world, container, attempt, &image)),
    };
    let started =
        made.and_then(|made| made.start(world, container, attempt, restart_count, &container_id));
    match started {
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
            ahead::begin(&world, container);
            see_exit(world, container, live).await;
        }
        Err(message) => {
            drop(launch);
            let _ = ready::readable(&live.process).await;
            let over = live.over(container);
            over.finish_output(&world);
            over.forget(&world);
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
    report_end(&world, live.over(container), status, at);
}

/// How an ended process ended. Of one that is not our child, but was the last supervisor's, the keeper is the parent: it sees the end at
/// the same moment as we do, and needs another one to write it down.
async fn exit_status(world: &World, process: &Process) -> Option<WaitStatus> {
    let patience = tokio::time::Instant::now() + limits::KEEPER_PATIENCE;
    loop {
        let status = process
            .peek_exit()
            .or_else(|| keeper_knows(world, process.id()).map(|(status, _)| status))
            .or_else(|| process.exit_info());
        if status.is_some() || tokio::time::Instant::now() >= patience {
            return status;
        }
        tokio::time::sleep(limits::KEEPER_PAUSE).await;
    }
}

fn keeper_knows(world: &World, process: ProcessId) -> Option<(WaitStatus, Timestamp)> {
    let record = keeper::recorded_exit(&world.dirs.exits(), process.pid, process.start_time)?;
    let signaled = |signal| WaitStatus::Signaled {
        signal,
        core_dumped: false,
    };
    let status = match record.code {
        Some(code) => WaitStatus::Exited(code),
        None => signaled(record.signal?),
    };
    let (seconds, nanoseconds) = record.at;
    let at = Timestamp {
        seconds,
        nanoseconds,
    };
    Some((status, at))
}

/// An instance whose process has ended.
struct Over {
    key: Key,
    restart_count: u32,
    cgroup: Option<Rc<Cgroup>>,
    pump: Rc<LogPump>,
    terminal: Option<Rc<Terminal>>,
    /// What is left to be reaped, of our own child.
    live: Option<Rc<LiveContainer>>,
}

/// Reports the end of an instance. Reaped and cleared away is it only after the journal has that.
fn report_end(world: &Rc<World>, over: Over, status: Option<WaitStatus>, at: Timestamp) {
    let (container, attempt) = over.key;
    let ran_out_of_memory = over.cgroup.as_ref().is_some_and(|cgroup| {
        // Whatever it forked into the background goes with it; in a pid namespace of its own it is gone by now (pid_namespaces(7)), and
        // the machine's cgroup lock need not be waited for.
        if !launch_plan::has_own_pids(world, container) {
            let _ = cgroup.kill_all();
        }
        cgroup.oom_kills().is_ok_and(|kills| kills > 0)
    });
    over.finish_output(world);
    let exit = match status {
        Some(status) if ran_out_of_memory => Exit::OomKilled {
            code: status.code(),
        },
        Some(WaitStatus::Exited(code)) => Exit::Code(code),
        Some(WaitStatus::Signaled { signal, .. }) => Exit::Signal(signal),
        None => Exit::Lost,
    };
    let message = termination_message(world, over.key, over.restart_count, exit);
    let clear = {
        let world = Rc::clone(world);
        Box::new(move || over.forget(&world))
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
    (container, attempt): Key,
    restart_count: u32,
    exit: Exit,
) -> Option<String> {
    let spec = world.container(container)?;
    let file = world
        .dirs
        .container_data(&spec.name, attempt)
        .join("termination-log");
    let text = last_bytes(&file, limits::TERMINATION_MESSAGE_BYTES).unwrap_or_default();
    if !text.is_empty() {
        return Some(text);
    }
    let falls_back = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError")
        && exit.code() != 0;
    let log = world.log_path(&spec.name, restart_count);
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

impl Over {
    /// Its volatile files go, and its cgroup in time; its writable layer stays until it is removed.
    fn forget(&self, world: &Rc<World>) {
        if let Some(live) = &self.live {
            let _ = live.process.reap();
        }
        let (container, attempt) = self.key;
        if self.cgroup.is_some() {
            emptied::remove_in_time(world, self.key);
        }
        remove_volatile(world, self.key);
        let mut containers = world.live.containers.borrow_mut();
        if containers
            .get(&container)
            .is_some_and(|known| known.attempt == attempt)
        {
            containers.remove(&container);
        }
    }

    fn finish_output(&self, world: &Rc<World>) {
        let output = Unwritten {
            restart_count: self.restart_count,
            pump: Rc::clone(&self.pump),
        };
        output.finish(world, self.key, self.terminal.clone());
    }
}

/// The pipes and records of an instance that is over go, unless there is something in the pipes that could not be written yet: then they
/// go once it is.
fn remove_volatile(world: &World, key: Key) {
    if world.live.unwritten.borrow().contains_key(&key) {
        return;
    }
    let (container, attempt) = key;
    let name = world.container_name(container);
    streams::release(world, name, attempt);
    let _ = std::fs::remove_dir_all(world.dirs.container_run(name, attempt));
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
    let directories = world.dirs.container(name, attempt);
    // A clean-up may itself have been interrupted.
    if !directories.each().into_iter().any(Path::exists) {
        return;
    }
    let run = &directories.run;
    if let Some(instance) = record::read::<InstanceRecord>(&run.join("record.json"))
        && let Ok(Some(process)) = Process::adopt(instance.process)
    {
        let _ = process.signal(rustix::process::Signal::KILL.as_raw());
        let _ = process.wait_exited(None);
        let _ = process.reap();
    }
    world.remove_container_cgroup(name, attempt);
    if !launch_is_over(run) {
        world.complain(&format!("an interrupted start of {name} does not end"));
    }
    streams::release(world, name, attempt);
    // An overlay that was mounted once cannot be mounted again (its work directory says `volatile`).
    for directory in directories.each() {
        let _ = std::fs::remove_dir_all(directory);
    }
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
    let directories = world.dirs.container(&name, attempt);
    for directory in [&directories.layer, &directories.data] {
        let _ = std::fs::remove_dir_all(directory);
    }
    if !keep_log
        && let Some(restart_count) = world
            .live
            .log_names
            .borrow_mut()
            .remove(&(container, attempt))
    {
        let unwritten = world.live.unwritten.borrow();
        if let Some(unwritten) = unwritten.get(&(container, attempt)) {
            unwritten.pump.give_up();
        }
        rotation::remove(&world.log_path(&name, restart_count));
    }
    world.live.images.borrow_mut().remove(&(container, attempt));
    world.report(Observation::ContainerRemoved { container, attempt });
}

impl LiveContainer {
    /// Everything it printed is in its log.
    pub(crate) fn is_done(&self) -> bool {
        self.pump.is_done()
    }

    pub(super) fn terminal(&self) -> Option<Rc<Terminal>> {
        self.terminal.get().cloned()
    }

    pub(crate) fn drain_log(&self) {
        // What cannot be written now is tried again by the pump.
        let _ = self.pump.drain();
    }

    fn over(self: &Rc<Self>, container: ContainerIndex) -> Over {
        Over {
            key: (container, self.attempt),
            restart_count: self.restart_count,
            cgroup: self.cgroup.clone(),
            pump: Rc::clone(&self.pump),
            terminal: self.terminal(),
            live: Some(Rc::clone(self)),
        }
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
