//! One look at the pod and the steps that follow from it: the kubelet's sync (section 0), driven by events instead of a ticker.

use alloc::format;

use crate::container::Owed;
use crate::decide::{Kill, KillCause, SandboxLoss};
use crate::ending::EndingCause;
use crate::event::EventKind::Normal;
use crate::machine::{PodMachine, Sandbox, SandboxState, Stage, Volumes};
use crate::reset::ResetCause;
use crate::stop::StopOrder;
use crate::time::Moment;
use crate::{Action, ContainerIndex, OnInitFailure, ProbeKind, limits};

impl PodMachine {
    /// Returns whether something changed that calls for another look before the world is asked again.
    pub(crate) fn step(&mut self) -> bool {
        let now = self.now.moment();
        if self
            .active_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.exceed_deadline();
            return true;
        }
        self.drive_stops();
        match &self.stage {
            Stage::Living => self.live(),
            Stage::Rebuilding => self.rebuild(),
            Stage::Resetting(_) => self.reset(),
            Stage::Pausing { until } if *until <= now => {
                self.begin_round();
                true
            }
            Stage::Pausing { .. } => {
                // Who looks into the pod does not wait with it.
                self.forget_wakes();
                if self.sandbox.state == SandboxState::Ready {
                    let ephemerals = self.ephemerals_to_start();
                    self.drive_starts(&ephemerals);
                }
                false
            }
            Stage::Ending(_) => {
                self.end_in_order();
                false
            }
        }
    }

    fn forget_wakes(&mut self) {
        for container in &mut self.containers {
            container.wake = None;
        }
    }

    fn live(&mut self) -> bool {
        self.forget_wakes();
        self.update_phase();
        if self.computed_phase.is_final() {
            self.begin_ending(EndingCause::Finished);
            return true;
        }
        if !self.are_volumes_ready() {
            return false;
        }
        let triggers = self.reset_triggers();
        if !triggers.is_empty() {
            self.begin_reset(ResetCause::Rule, &triggers);
            return true;
        }
        match self.sandbox.state {
            SandboxState::Ready => self.look_at_containers(),
            SandboxState::Lost => {
                self.lose_sandbox();
                true
            }
            SandboxState::Absent => {
                self.create_sandbox(0);
                false
            }
            SandboxState::Failed { retry_at } if retry_at > self.now.moment() => false,
            SandboxState::Failed { .. } | SandboxState::Stopped => {
                self.create_sandbox(self.sandbox.attempt + 1);
                false
            }
            SandboxState::Creating | SandboxState::Stopping => false,
        }
    }

    fn look_at_containers(&mut self) -> bool {
        let decision = self.decide();
        if decision.end {
            self.begin_ending(EndingCause::Finished);
            return true;
        }
        if let Some(failed) = decision.failed_init
            && self.settings.on_init_failure == OnInitFailure::RestartPod
        {
            self.begin_reset(ResetCause::InitFailure { failed }, &[failed]);
            return true;
        }
        for kill in &decision.kills {
            self.kill_one(*kill);
        }
        self.drive_starts(&decision.starts)
    }

    /// The kill messages of section 1.5.
    fn kill_one(&mut self, kill: Kill) {
        let Kill {
            container,
            cause,
            then_start,
        } = kill;
        if self
            .container(container)
            .running()
            .is_none_or(|running| running.stop.is_some())
        {
            return;
        }
        let plan = self.container_plan(container);
        let (what, probe) = match cause {
            KillCause::Definition => ("definition changed", None),
            KillCause::Probe(ProbeKind::Startup) => {
                ("failed startup probe", plan.probe(ProbeKind::Startup))
            }
            KillCause::Probe(_) => ("failed liveness probe", plan.probe(ProbeKind::Liveness)),
        };
        let name = &plan.name;
        let message = if container.position() < self.plan.init_count {
            format!("Init container {name} {what}")
        } else if then_start {
            format!("Container {name} {what}, will be restarted")
        } else {
            format!("Container {name} {what}")
        };
        let own_grace = probe.and_then(|probe| probe.grace);
        let grace = own_grace.unwrap_or(self.plan.grace);
        let until = self.now.moment().plus(grace);
        let order = StopOrder {
            until,
            with_pre_stop: true,
            in_order: false,
            then_start,
        };
        self.stop(container, &message, order);
    }

    fn are_volumes_ready(&mut self) -> bool {
        let delay = match self.volumes {
            Volumes::Ready => return true,
            Volumes::Absent | Volumes::Unmounted => limits::VOLUME_RETRY_INITIAL,
            Volumes::Failed { retry_at, delay } if retry_at <= self.now.moment() => delay,
            _ => return false,
        };
        self.volumes = Volumes::Preparing { delay };
        self.begin(Action::PrepareVolumes);
        false
    }

    fn create_sandbox(&mut self, attempt: u32) {
        self.sandbox = Sandbox {
            attempt,
            state: SandboxState::Creating,
        };
        self.begin(Action::CreateSandbox { attempt });
    }

    /// Section 1.2.
    fn lose_sandbox(&mut self) {
        match self.decide_sandbox_loss() {
            SandboxLoss::End => {
                self.begin_ending(EndingCause::Finished);
                return;
            }
            SandboxLoss::Initialise => {}
            SandboxLoss::Start(apps) => {
                for app in apps {
                    let container = self.container_mut(app);
                    let since = match container.ended() {
                        Some(ended) => Some(ended.finished),
                        None => container.finished_before(),
                    };
                    container.owed = Some(Owed { since });
                }
            }
        }
        let message = "Pod sandbox changed, it will be killed and re-created.";
        self.pod_event(Normal, "SandboxChanged", message);
        self.stage = Stage::Rebuilding;
        let until = self.now.moment().plus(self.plan.grace);
        self.stop_all(until);
    }

    /// Everything in the lost sandbox is stopped, then it is cleared away; init containers leave no record, app containers do (1.2).
    fn rebuild(&mut self) -> bool {
        self.cancel_start();
        let until = self.now.moment().plus(self.plan.grace);
        self.stop_all(until);
        if self.is_anything_alive() {
            return false;
        }
        match self.sandbox.state {
            SandboxState::Stopping => return false,
            SandboxState::Stopped => {}
            _ => {
                self.stop_sandbox();
                return false;
            }
        }
        for entry in self.plan.inits() {
            self.remove_remains(entry, false);
            let container = self.container_mut(entry);
            if let Some(ended) = container.take_ended() {
                container.previous = Some(ended);
            }
            container.waiting = None;
        }
        self.stage = Stage::Living;
        true
    }

    pub(crate) fn stop_sandbox(&mut self) {
        self.sandbox.state = SandboxState::Stopping;
        self.begin(Action::StopSandbox {
            attempt: self.sandbox.attempt,
        });
    }

    /// Tells to remove what the container's instances left.
    pub(crate) fn remove_remains(&mut self, container: ContainerIndex, keep_logs: bool) {
        for attempt in core::mem::take(&mut self.container_mut(container).remains) {
            self.begin(Action::RemoveContainer {
                container,
                attempt,
                keep_logs,
            });
        }
    }

    /// Some instance runs or may be running. A final phase is not told before this is false.
    pub(crate) fn is_anything_alive(&self) -> bool {
        self.starting.is_some()
            || self
                .plan
                .all()
                .any(|index| self.container(index).is_running())
    }

    fn wakes(&self) -> impl Iterator<Item = Moment> + '_ {
        self.containers
            .iter()
            .filter_map(|container| container.wake)
    }

    /// The next moment at which time alone changes something.
    pub(crate) fn earliest_deadline(&self) -> Option<Moment> {
        let now = self.now.moment();
        let mut earliest = Moment::NEVER;
        // What is due and still stands waits for something else than time.
        let mut add = |at: Moment| {
            if at > now {
                earliest = earliest.min(at);
            }
        };
        match &self.stage {
            Stage::Ending(ending) if ending.is_over => return None,
            Stage::Pausing { until } => {
                add(*until);
                self.wakes().for_each(&mut add);
            }
            Stage::Living => {
                if let Volumes::Failed { retry_at, .. } = self.volumes {
                    add(retry_at);
                }
                if let SandboxState::Failed { retry_at } = self.sandbox.state {
                    add(retry_at);
                }
                self.wakes().for_each(&mut add);
            }
            Stage::Rebuilding | Stage::Resetting(_) | Stage::Ending(_) => {}
        }
        self.active_deadline().into_iter().for_each(&mut add);
        for container in &self.containers {
            if let Some(stop) = container
                .running()
                .and_then(|running| running.stop.as_ref())
            {
                stop.deadline().into_iter().for_each(&mut add);
            }
        }
        self.probe_deadline().into_iter().for_each(&mut add);
        (earliest < Moment::NEVER).then_some(earliest)
    }
}
