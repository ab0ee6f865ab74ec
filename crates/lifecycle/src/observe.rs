//! Facts into state. What concerns an instance, a sandbox or a round that is not the expected one any more is old news and changes nothing:
//! after a crash a driver may report what was known already.

use alloc::format;

use crate::container::{Cause, Ended, Life, Owed};
use crate::event::EventKind::Warning;
use crate::machine::{PodMachine, SandboxState, Stage, Volumes};
use crate::stop::is_hook;
use crate::time::Moment;
use crate::{Action, Attempt, ContainerIndex, Exit, Hook, Now, Observation, Timestamp, limits};

const LOST_MESSAGE: &str = "The container could not be located when the pod was deleted.  The container used to be Running";

impl PodMachine {
    pub(crate) fn note(&mut self, now: Now, observation: &Observation) {
        if matches!(observation, Observation::HostRebooted) {
            self.note_reboot(now);
        }
        self.now = now;
        match observation {
            Observation::VolumesReady => {
                if let Volumes::Preparing { .. } = self.volumes {
                    self.volumes = Volumes::Ready;
                }
                self.answered(|action| *action == Action::PrepareVolumes);
            }
            Observation::VolumesFailed { volume, message } => {
                self.note_no_volumes(volume, message);
            }
            Observation::VolumesRemoved => {
                if self.volumes == Volumes::Removing {
                    self.volumes = Volumes::Removed;
                }
                self.answered(|action| *action == Action::RemoveVolumes);
            }
            Observation::SandboxReady { attempt, pod_ips } => {
                if self.is_creating_sandbox(*attempt) {
                    self.sandbox.state = SandboxState::Ready;
                    self.pod_ips.clone_from(pod_ips);
                }
            }
            Observation::SandboxFailed { attempt, message } => {
                if self.is_creating_sandbox(*attempt) {
                    let retry_at = now.moment().plus(self.settings.scaled(limits::ERROR_RETRY));
                    self.sandbox.state = SandboxState::Failed { retry_at };
                    let message = format!("Failed to create pod sandbox: {message}");
                    self.pod_event(Warning, "FailedCreatePodSandBox", message);
                }
            }
            Observation::SandboxDied { attempt } => {
                if self.sandbox.attempt == *attempt && self.sandbox.state == SandboxState::Ready {
                    self.sandbox.state = SandboxState::Lost;
                }
            }
            Observation::SandboxStopped { attempt } => {
                let action = Action::StopSandbox { attempt: *attempt };
                if self.answered(|known| *known == action) && self.sandbox.attempt == *attempt {
                    self.sandbox.state = SandboxState::Stopped;
                }
            }
            Observation::StorageExceeded { message } => self.evict(message),
            Observation::Rejected { reason, message } => self.reject(reason, message),
            Observation::ObjectsChanged => self.look_at_objects_again(),
            Observation::Warned { reason, message } => self.pod_event(Warning, reason, message),
            Observation::HostRebooted => {}
            Observation::ImagePulling { container, .. }
            | Observation::ImageReady { container, .. }
            | Observation::ImageFailed { container, .. }
            | Observation::ContainerStarted { container, .. }
            | Observation::ContainerNotStarted { container, .. }
            | Observation::ContainerExited { container, .. }
            | Observation::ContainerRemoved { container, .. }
            | Observation::HookFinished { container, .. }
            | Observation::ProbeFinished { container, .. } => {
                if container.position() < self.containers.len() {
                    self.note_about_container(observation);
                }
            }
        }
    }

    fn note_about_container(&mut self, observation: &Observation) {
        match observation {
            Observation::ImagePulling { container, attempt } => {
                self.note_pulling(*container, *attempt);
            }
            Observation::ImageReady {
                container,
                attempt,
                image,
            } => {
                self.note_image(*container, *attempt, image);
            }
            Observation::ImageFailed {
                container,
                attempt,
                reason,
                message,
            } => {
                self.note_no_image(*container, *attempt, *reason, message);
            }
            Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            } => {
                self.note_started(*container, *attempt, container_id, *at);
            }
            Observation::ContainerNotStarted {
                container,
                attempt,
                stage,
                message,
                container_id,
                at,
            } => {
                let id = container_id.as_deref();
                self.note_not_started(*container, *attempt, *stage, message, id, *at);
            }
            Observation::ContainerExited {
                container,
                attempt,
                exit,
                at,
                message,
            } => {
                self.note_exit(*container, *attempt, *exit, *at, message.as_deref());
            }
            Observation::ContainerRemoved { container, attempt } => {
                self.answered(|action| is_removal(action, *container, *attempt));
            }
            Observation::HookFinished {
                container,
                attempt,
                hook,
                result,
            } => {
                let was_due = self.answered(|action| is_hook(action, *container, *attempt, *hook));
                match hook {
                    _ if !was_due => {}
                    Hook::PostStart => self.note_post_start(*container, *attempt, result),
                    Hook::PreStop => self.note_pre_stop(*container, *attempt, result),
                }
            }
            Observation::ProbeFinished {
                container,
                attempt,
                kind,
                round,
                outcome,
            } => {
                self.note_probe(*container, *attempt, *kind, *round, outcome);
            }
            _ => {}
        }
    }

    fn note_no_volumes(&mut self, volume: &str, message: &str) {
        if !self.answered(|action| *action == Action::PrepareVolumes) {
            return;
        }
        let Volumes::Preparing { delay } = self.volumes else {
            return;
        };
        let retry_at = self.now.moment().plus(self.settings.scaled(delay));
        let delay = delay.saturating_mul(2).min(limits::VOLUME_RETRY_MAX);
        self.volumes = Volumes::Failed { retry_at, delay };
        let message = format!("MountVolume.SetUp failed for volume {volume:?} : {message}");
        self.pod_event(Warning, "FailedMount", message);
    }

    fn is_creating_sandbox(&mut self, attempt: u32) -> bool {
        self.answered(|action| *action == Action::CreateSandbox { attempt })
            && self.sandbox.attempt == attempt
            && self.sandbox.state == SandboxState::Creating
    }

    fn note_exit(
        &mut self,
        index: ContainerIndex,
        attempt: Attempt,
        exit: Exit,
        at: Timestamp,
        message: Option<&str>,
    ) {
        if !self.container(index).is_live(attempt) {
            return;
        }
        self.answer_exit(index, attempt);
        let message = match exit {
            Exit::Lost => Some(LOST_MESSAGE),
            _ => message,
        };
        let message = message.and_then(|message| self.within_budget(message));
        let now = self.now;
        let container = self.container_mut(index);
        let before = container.finished_before();
        let Some(record) = &mut container.record else {
            return;
        };
        let Life::Running(running) = &record.life else {
            return;
        };
        let then_start = running.stop.as_ref().is_some_and(|stop| stop.then_start);
        // A clock that was set back must not let a back-off begin before the instance did.
        let finished = now.moment_of(at).max(running.since);
        record.life = Life::Ended(Ended {
            cause: Cause::of(exit),
            code: exit.code(),
            message,
            started_at: Some(running.started_at),
            finished_at: Some(at),
            finished,
            container_id: record.container_id.clone(),
        });
        if then_start {
            container.owed = Some(Owed { since: before });
        }
        container.reveal();
        // It has started, so what goes on is its postStart hook at most.
        self.starting.take_if(|start| start.container == index);
    }

    /// Everything that ran is gone, and nothing that was begun will be answered. Moments are carried over by wall time.
    fn note_reboot(&mut self, now: Now) {
        let before = self.now;
        let rebase = |moment: &mut Moment| *moment = moment.rebased(before, now);
        self.rebase(rebase);
        self.now = now;
        if let Some(start) = self.starting.take()
            && !self.container(start.container).is_live(start.attempt)
        {
            // Something of it may be there, and will have to be removed some day.
            self.container_mut(start.container)
                .remains
                .push(start.attempt);
        }
        for index in self.plan.all() {
            if let Some(attempt) = self.container(index).live_attempt() {
                self.note_exit(index, attempt, Exit::Lost, now.wall, None);
            }
        }
        self.abandon_pending();
        let state = &mut self.sandbox.state;
        if matches!(
            state,
            SandboxState::Creating | SandboxState::Ready | SandboxState::Stopping
        ) {
            *state = SandboxState::Lost;
        }
        if matches!(self.volumes, Volumes::Preparing { .. } | Volumes::Ready) {
            self.volumes = Volumes::Unmounted;
        }
    }

    fn rebase(&mut self, rebase: impl Fn(&mut Moment) + Copy) {
        rebase(&mut self.began);
        self.deadline.iter_mut().for_each(rebase);
        self.containers
            .iter_mut()
            .for_each(|container| container.rebase(rebase));
        self.images
            .iter_mut()
            .for_each(|image| image.rebase(rebase));
        self.rounds.rebase(rebase);
        if let Volumes::Failed { retry_at, .. } = &mut self.volumes {
            rebase(retry_at);
        }
        if let SandboxState::Failed { retry_at } = &mut self.sandbox.state {
            rebase(retry_at);
        }
        match &mut self.stage {
            Stage::Pausing { until } => rebase(until),
            Stage::Ending(ending) => ending.rebase(rebase),
            Stage::Living | Stage::Rebuilding | Stage::Resetting(_) => {}
        }
    }
}

fn is_removal(action: &Action, of: ContainerIndex, instance: Attempt) -> bool {
    matches!(action, Action::RemoveContainer { container, attempt, .. }
        if *container == of && *attempt == instance)
}
