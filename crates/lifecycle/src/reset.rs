//! Starting the pod's containers over in place: sandbox, addresses and volumes stay (section 3.4).
//!
//! Two things ask for it: a `RestartAllContainers` rule, and in restart-pod mode a failed init container. A rule's restart is immediate and
//! the status forgets the real exits, as the kubelet's does; rounds of restart-pod mode wait in between, and the real exits stay visible.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::container::{Cause, Ended, Reason, Waiting};
use crate::machine::{PodMachine, Stage};
use crate::start::StartStep;
use crate::stop::StopOrder;
use crate::{Action, ContainerIndex};

const MESSAGE: &str = "The container is removed because RestartAllContainers in place";

/// A reset under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reset {
    pub(crate) cause: ResetCause,
    /// What is still to be removed, the last one first.
    queue: Vec<ContainerIndex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResetCause {
    Rule,
    InitFailure { failed: ContainerIndex },
}

impl PodMachine {
    /// Those that asked for it go last, so that it is asked for again if this is interrupted; before them app containers, then init
    /// containers and sidecars.
    pub(crate) fn begin_reset(&mut self, cause: ResetCause, triggers: &[ContainerIndex]) {
        let mut queue: Vec<_> = self.plan.members().collect();
        queue.sort_by_key(|index| {
            (
                triggers.contains(index),
                index.position() < self.plan.init_count,
                *index,
            )
        });
        queue.reverse();
        self.stage = Stage::Resetting(Reset { cause, queue });
    }

    /// One container at a time is stopped and removed; its log stays.
    pub(crate) fn reset(&mut self) -> bool {
        self.cancel_start();
        if self
            .starting
            .as_ref()
            .is_some_and(|start| start.step != StartStep::PostStart)
        {
            return false;
        }
        let Stage::Resetting(reset) = &self.stage else {
            return false;
        };
        let (cause, next) = (reset.cause, reset.queue.last().copied());
        let Some(index) = next else {
            self.finish_reset(cause);
            return true;
        };
        let container = self.container(index);
        if container.is_running() {
            // Without preStop, and with the least grace there is.
            let until = self.now.moment();
            let order = StopOrder {
                until,
                with_pre_stop: false,
                in_order: false,
                then_start: false,
            };
            self.stop(index, "killing", order);
            return false;
        }
        if container.record.is_some() {
            self.remove_remains(index, true);
            if self.is_pending(|action| is_removal(action, index)) {
                return false;
            }
            self.forget_record(index, cause);
        }
        if let Stage::Resetting(reset) = &mut self.stage {
            reset.queue.pop();
        }
        true
    }

    fn forget_record(&mut self, index: ContainerIndex, cause: ResetCause) {
        let finished = self.now.moment();
        let container = self.container_mut(index);
        let ended = container.take_ended();
        container.shown_restart_count = container.next_restart_count;
        match cause {
            ResetCause::Rule => {
                container.previous = Some(Ended {
                    cause: Cause::Reset,
                    code: 137,
                    message: Some(MESSAGE.into()),
                    started_at: None,
                    finished_at: None,
                    finished,
                    container_id: None,
                });
                let message = Some(Cow::Borrowed(MESSAGE));
                let reason = Reason::RestartingAllContainers;
                container.waiting = Some(Waiting { reason, message });
            }
            ResetCause::InitFailure { .. } => {
                container.previous = ended;
                container.waiting = None;
            }
        }
    }

    fn finish_reset(&mut self, cause: ResetCause) {
        self.stage = Stage::Living;
        let ResetCause::InitFailure { failed } = cause else {
            return;
        };
        let now = self.now.moment();
        let previous = self.container(failed).previous.as_ref();
        let since = previous.map_or(now, |ended| ended.finished);
        let max = self.settings.max_container_restart_period;
        let delay = self.rounds.raise(since, max);
        let until = since.plus(self.settings.scaled(delay));
        self.show_crash_loop(failed, delay);
        self.stage = Stage::Pausing { until };
    }

    /// The pause is over.
    pub(crate) fn begin_round(&mut self) {
        // The ten minutes of a round that goes well begin with it.
        self.rounds.renew(self.now.moment());
        for container in &mut self.containers {
            container.waiting = None;
        }
        self.stage = Stage::Living;
    }

    /// The container whose failure ended the last round.
    pub(crate) fn waiting_for_round(&self) -> Option<ContainerIndex> {
        let is_it = |index: &ContainerIndex| {
            let waiting = self.container(*index).waiting.as_ref();
            waiting.is_some_and(|waiting| waiting.reason == Reason::CrashLoopBackOff)
        };
        self.plan.all().find(is_it)
    }

    /// With the first new instance, those that still wait wait for their turn like everybody.
    pub(crate) fn forget_resets(&mut self) {
        if !self.plan.has_restart_all_rule {
            return;
        }
        for container in &mut self.containers {
            let reason = container.waiting.as_ref().map(|waiting| waiting.reason);
            if reason == Some(Reason::RestartingAllContainers) {
                container.waiting = None;
            }
        }
    }
}

fn is_removal(action: &Action, of: ContainerIndex) -> bool {
    matches!(action, Action::RemoveContainer { container, .. } if *container == of)
}
