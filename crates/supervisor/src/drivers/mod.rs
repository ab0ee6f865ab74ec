//! The drivers: they carry out actions and report what happened. None of them decides, none of them makes the loop wait.
//!
//! Everything runs as tasks of one thread; a driver that has to wait awaits a pidfd, a pipe or a child process. Every action ends in
//! exactly one observation.

mod accounts;
mod attach;
mod containers;
mod current_pod;
mod exec;
mod forward;
mod handlers;
mod hooks;
pub(crate) mod housekeeping;
mod images;
mod launch_plan;
pub(crate) mod logs;
mod notices;
mod objects;
mod probes;
mod pull_secrets;
mod sandbox;
mod streams;
pub(crate) mod volumes;
mod world;

use std::rc::Rc;

use podyard_api::core::Pod;
use podyard_lifecycle::{Action, Observation};

use crate::translate::admission;

pub(crate) use attach::AttachSession;
pub(crate) use current_pod::CurrentPod;
pub(crate) use exec::{ExecRequest, ExecSession};
pub(crate) use forward::ForwardSession;
pub use handlers::run_resolve;
pub(crate) use objects::{Objects, follow as follow_objects};
pub use volumes::claims::remove as remove_claim;
pub(crate) use world::{Live, World};

/// Begins one action; never waits.
pub(crate) fn begin(world: &Rc<World>, action: Action) {
    match action {
        Action::PrepareVolumes => {
            let world = Rc::clone(world);
            tokio::task::spawn_local(async move {
                let changes = world.live.object_changes.get();
                world.report(match volumes::set_up(&world).await {
                    Ok(()) => Observation::VolumesReady,
                    Err(error) => Observation::VolumesFailed {
                        volume: error.volume,
                        message: error.message,
                    },
                });
                // What was missing may have come while the others were made: told before the failure, it would end no wait.
                if world.live.object_changes.get() != changes {
                    world.report(Observation::ObjectsChanged);
                }
            });
        }
        Action::RemoveVolumes => {
            // What cannot be removed now is removed with the pod's directory; the pod has ended either way.
            let _ = volumes::remove(world);
            world.report(Observation::VolumesRemoved);
        }
        Action::CreateSandbox { attempt } => sandbox::create(world, attempt),
        Action::StopSandbox { attempt } => sandbox::stop(world, attempt),
        Action::EnsureImage { container, attempt } => images::ensure(world, container, attempt),
        Action::CancelImage { container, attempt } => images::cancel(world, container, attempt),
        Action::StartContainer {
            container,
            attempt,
            restart_count,
        } => {
            containers::start(world, container, attempt, restart_count);
        }
        Action::SignalContainer {
            container,
            attempt,
            signal,
        } => containers::signal(world, container, attempt, signal),
        Action::RemoveContainer {
            container,
            attempt,
            keep_logs,
        } => containers::remove(world, container, attempt, keep_logs),
        Action::RunHook {
            container,
            attempt,
            hook,
        } => hooks::begin(world, container, attempt, hook),
        Action::CancelHook {
            container,
            attempt,
            hook,
        } => hooks::cancel(world, container, attempt, hook),
        Action::Probe {
            container,
            attempt,
            kind,
            round,
        } => probes::begin(world, container, attempt, kind, round),
    }
}

/// Whether this machine takes the pod at all, asked once, before anything of it is made.
///
/// # Errors
///
/// What to report instead.
pub(crate) fn admit(world: &World) -> Result<(), Observation> {
    let admitted = world.with_facts(|facts| admission::check(facts, &world.allowed_sysctls));
    admitted.map_err(|rejection| Observation::Rejected {
        reason: rejection.reason.to_owned(),
        message: rejection.message,
    })
}

/// A supervisor that is not the pod's first one.
pub(crate) fn forgo_ahead(world: &World) {
    containers::forgo_ahead(world);
}

/// After a restart: takes over what runs and answers what the last supervisor left unanswered.
pub(crate) fn recover(world: &Rc<World>, pending: &[Action]) {
    sandbox::adopt(world, pending);
    containers::adopt(world, pending);
    for action in pending {
        let is_answered = matches!(action, Action::StartContainer { container, attempt, .. }
            if world.live.adopted.borrow().contains(&(*container, *attempt)));
        if !is_answered {
            begin(world, action.clone());
        }
    }
}

/// The Pod is another one. What was made for the one of before is made anew when its time has come.
pub(crate) fn change(world: &Rc<World>, pod: &Pod) {
    world.pod.replace(pod);
    containers::discard_ahead(world);
    tokio::task::spawn_local(objects::follow(Rc::clone(world)));
}

/// The journal has these: what was kept until then can go.
pub(crate) fn written_down(world: &Rc<World>, observations: &[Observation]) {
    for observation in observations {
        if let Observation::ContainerExited {
            container, attempt, ..
        } = observation
            && let Some(clear) = world
                .live
                .ended
                .borrow_mut()
                .remove(&(*container, *attempt))
        {
            tokio::task::spawn_local(async move { clear() });
        }
    }
}
