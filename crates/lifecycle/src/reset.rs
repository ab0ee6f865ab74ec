//! All containers are removed and the pod starts again in its place: sandbox, addresses and volumes stay (section 3.4).
//!
//! Two things ask for it: a `RestartAllContainers` rule, and in restart-pod mode an init container that failed. They differ in what the
//! status remembers and in the wait afterwards: a rule's restart is immediate, rounds of restart-pod mode back off.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::container::{Ended, Record};
use crate::event::EventKind::Normal;
use crate::machine::PodMachine;
use crate::{Action, ContainerIndex, Now, limits};

pub(crate) const RESET_REASON: &str = "RestartingAllContainers";
pub(crate) const RESET_MESSAGE: &str =
    "The container is removed because RestartAllContainers in place";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResetMode {
    AllContainers,
    RestartPod,
}

/// A reset under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reset {
    pub(crate) mode: ResetMode,
    /// Who asked for it; removed last, so that the reason is still on record if this is interrupted.
    pub(crate) trigger: ContainerIndex,
    /// What is still to be removed, in order.
    queue: Vec<ContainerIndex>,
}

impl PodMachine {
    pub(crate) fn begin_reset(&mut self, mode: ResetMode, triggers: Vec<ContainerIndex>) {
        let is_init = |index: &ContainerIndex| index.position() < self.plan.init_count;
        let mut queue: Vec<_> = self.plan.indices().collect();
        // Stable: spec order within each of the four groups.
        queue.sort_by_key(|index| (triggers.contains(index), is_init(index)));
        if let Some(trigger) = triggers.first() {
            self.reset = Some(Reset {
                mode,
                trigger: *trigger,
                queue,
            });
        }
    }

    pub(crate) fn reset_trigger(&self) -> Option<ContainerIndex> {
        self.round_trigger
    }

    /// One container at a time is stopped, then removed; its log stays.
    pub(crate) fn step_reset(&mut self, now: Now) -> bool {
        let Some(reset) = &mut self.reset else {
            return false;
        };
        let Some(container) = reset.queue.first().copied() else {
            let (mode, trigger) = (reset.mode, reset.trigger);
            self.reset = None;
            if mode == ResetMode::RestartPod {
                self.wait_for_round(now, trigger);
            }
            return true;
        };
        match &self.state(container).record {
            Record::None => {
                if let Some(reset) = &mut self.reset {
                    reset.queue.remove(0);
                }
                true
            }
            Record::Image { .. } => self.cancel_start(container),
            Record::Running { .. } => {
                let stopped = self.stop(container, now, limits::MINIMUM_STOP);
                if stopped {
                    self.event(container, Normal, "Killing", "killing");
                }
                stopped
            }
            Record::Exited(ended) => {
                let ended = ended.clone();
                let attempt = ended.instance.attempt;
                self.state_mut(container).record = Record::Removing(ended);
                self.begin(Action::RemoveContainer {
                    container,
                    attempt,
                    keep_logs: true,
                });
                true
            }
            Record::Starting { .. } | Record::Removing(_) => false,
        }
    }

    /// The remains of an instance are gone: it becomes `lastState`.
    pub(crate) fn record_removed(&mut self, container: ContainerIndex, mut ended: Ended) {
        if self
            .reset
            .as_ref()
            .is_some_and(|reset| reset.mode == ResetMode::AllContainers)
        {
            ended.code = 137;
            ended.reason = RESET_REASON.to_owned();
            ended.message = Some(RESET_MESSAGE.to_owned());
        }
        let is_rule = self
            .reset
            .as_ref()
            .is_some_and(|reset| reset.mode == ResetMode::AllContainers);
        let state = self.state_mut(container);
        state.shown_restart_count = state
            .shown_restart_count
            .max(ended.instance.restart_count + 1);
        let older = state.last.replace(ended).filter(|_| !state.last_is_removed);
        state.last_is_removed = true;
        state.record = Record::None;
        state.not_before = None;
        state.waiting = is_rule.then(|| crate::observe::waiting(RESET_REASON, RESET_MESSAGE));
        if let Some(older) = older {
            let attempt = older.instance.attempt;
            self.begin(Action::RemoveContainer {
                container,
                attempt,
                keep_logs: true,
            });
        }
    }

    /// Rounds of restart-pod mode wait 10 s, 20 s, 40 s … 300 s from the failure that ended them.
    fn wait_for_round(&mut self, now: Now, trigger: ContainerIndex) {
        let failed = self
            .state(trigger)
            .last
            .as_ref()
            .map_or(now.since_boot, |last| last.finished);
        let settings = self.settings.clone();
        self.round_backoff.next(failed, failed, &settings);
        let delay = self.round_backoff.delay(failed).unwrap_or_default();
        self.wait_for_restart(trigger, failed + delay, delay);
        self.state_mut(trigger).not_before = None;
        self.round_not_before = Some(failed + delay);
        self.round_trigger = Some(trigger);
    }
}
