//! After a restart of the supervisor: which of the last one's containers run, and how those ended that do not.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::rc::Rc;

use podyard_lifecycle::{Action, ContainerIndex, Observation, StartStage, Timestamp};
use podyard_linux::{LaunchRecord, Process};

use super::super::World;
use super::super::logs::{self, LogPump};
use super::super::streams::Terminal;
use super::{LiveContainer, Over, clear, keeper_knows, launch_is_over, report_end, see_exit};
use crate::clock;
use crate::record::{self, InstanceRecord};

/// Takes over the instances of the last supervisor: those that live are watched again, those that died are reported.
pub(in super::super) fn adopt(world: &Rc<World>, pending: &[Action]) {
    let Ok(entries) = std::fs::read_dir(world.dirs.run.join("containers")) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(instance) = record::read::<InstanceRecord>(&entry.path().join("record.json"))
        else {
            clear_unrecorded(world, &entry.file_name().to_string_lossy());
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

/// One that was made and not started: its child has ended with the last supervisor, and a start makes another one.
fn clear_unrecorded(world: &World, directory: &str) {
    let Some((name, attempt)) = directory.rsplit_once('.') else {
        return;
    };
    if let (Some(container), Ok(attempt)) = (world.container_index(name), attempt.parse()) {
        clear(world, container, attempt);
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
    let process = Process::adopt(instance.process).ok().flatten();
    let started_at = Timestamp {
        seconds: instance.started_at.0,
        nanoseconds: instance.started_at.1,
    };
    if is_pending {
        let launch =
            File::open(run.join("launch")).map(|file| podyard_linux::read_launch_record(&file));
        let launch = match launch {
            // The barrier closed with the last supervisor; the start is begun again from nothing. So it is when nobody can tell.
            Ok(Ok(LaunchRecord::NotStarted)) | Ok(Err(_)) | Err(_) => return,
            Ok(Ok(launch)) => launch,
        };
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
    let cgroup = cgroup.map(Rc::new);
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
        None => {
            // The keeper may know how it ended.
            let (status, at) = match keeper_knows(world, instance.process) {
                Some((status, at)) => (Some(status), at),
                None => (None, clock::wall()),
            };
            let terminal = Terminal::adopt(world, &instance.container, attempt);
            let over = Over {
                key: (container, attempt),
                restart_count: instance.restart_count,
                cgroup,
                pump,
                terminal: terminal.ok().flatten(),
                live: None,
            };
            report_end(world, over, status, at);
        }
    }
}
