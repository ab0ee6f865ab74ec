//! Stopping one instance (section 7.2).
//!
//! ```text
//!  Killing ──▶ PreStop ──▶ Waiting ──▶ Signalled ──▶ Killed        each step leaves when it is done, or when `until` has come;
//!   (Event)    (hook)      (its turn)  (SIGTERM)    (SIGKILL)      an exit ends it at any step
//! ```

use alloc::format;

use serde::{Deserialize, Serialize};

use crate::event::EventKind::{Normal, Warning};
use crate::machine::{PodMachine, is_signal};
use crate::plan::Kind;
use crate::start::{StartStep, is_start};
use crate::time::Moment;
use crate::{Action, Attempt, ContainerIndex, Hook, HookResult, StopSignal, limits};

/// A stop under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    until: Moment,
    in_order: bool,
    /// Another instance follows whatever the exit code will be.
    pub(crate) then_start: bool,
    step: StopStep,
}

/// How an instance is to be stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopOrder {
    /// Where the grace ends.
    pub(crate) until: Moment,
    pub(crate) with_pre_stop: bool,
    /// A sidecar waits for its turn (7.3).
    pub(crate) in_order: bool,
    pub(crate) then_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StopStep {
    PreStop,
    Waiting,
    /// Killed at the end of the grace, but not before `earliest`.
    Signalled {
        earliest: Moment,
    },
    Killed,
}

impl Stop {
    /// When the next step is due. A wait for one's turn also ends with somebody else's exit.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.step {
            StopStep::PreStop | StopStep::Waiting => Some(self.until),
            StopStep::Signalled { earliest } => Some(self.until.max(earliest)),
            StopStep::Killed => None,
        }
    }

    /// The grace can only shrink (7.1).
    pub(crate) fn shorten(&mut self, until: Moment) {
        self.until = self.until.min(until);
    }
}

impl PodMachine {
    /// Begins to stop a running instance, with an Event. One that is being stopped already gets the shorter of the two graces.
    pub(crate) fn stop(&mut self, index: ContainerIndex, message: &str, order: StopOrder) {
        let has_pre_stop = self.container_plan(index).has_pre_stop;
        let container = self.container_mut(index);
        let Some(attempt) = container.live_attempt() else {
            return;
        };
        let Some(running) = container.running_mut() else {
            return;
        };
        if let Some(stop) = &mut running.stop {
            stop.shorten(order.until);
            stop.then_start &= order.then_start;
            return;
        }
        let runs_hook = order.with_pre_stop && has_pre_stop;
        running.stop = Some(Stop {
            until: order.until,
            in_order: order.in_order,
            then_start: order.then_start,
            step: if runs_hook {
                StopStep::PreStop
            } else {
                StopStep::Waiting
            },
        });
        self.event(index, Normal, "Killing", message);
        // The kubelet would wait for it (quirk Q1).
        self.cancel_hook(index, attempt, Hook::PostStart);
        if runs_hook {
            self.begin(Action::RunHook {
                container: index,
                attempt,
                hook: Hook::PreStop,
            });
        }
        self.drive_stop(index);
    }

    /// Stops whatever runs, as at the end of a pod: all at once, sidecars in their order.
    pub(crate) fn stop_all(&mut self, until: Moment) {
        for index in self.plan.all() {
            let running = self.container(index).running();
            if running.is_some_and(|running| running.stop.is_none()) {
                let message = format!("Stopping container {}", self.container_plan(index).name);
                let order = StopOrder {
                    until,
                    with_pre_stop: true,
                    in_order: true,
                    then_start: false,
                };
                self.stop(index, &message, order);
            }
        }
    }

    /// `SIGKILL` to whatever runs and has not got it.
    pub(crate) fn kill_all(&mut self) {
        let until = self.now.moment();
        for index in self.plan.all() {
            let Some(attempt) = self.container(index).live_attempt() else {
                continue;
            };
            let Some(running) = self.container_mut(index).running_mut() else {
                continue;
            };
            let before = running.stop.as_ref().map(|stop| stop.step);
            let step = StopStep::Killed;
            running.stop = Some(Stop {
                until,
                in_order: false,
                then_start: false,
                step,
            });
            match before {
                Some(StopStep::Killed) => continue,
                Some(_) => {}
                None => {
                    let message = format!("Stopping container {}", self.container_plan(index).name);
                    self.event(index, Normal, "Killing", message);
                }
            }
            for hook in [Hook::PostStart, Hook::PreStop] {
                self.cancel_hook(index, attempt, hook);
            }
            self.signal(index, attempt, StopSignal::Kill);
        }
    }

    pub(crate) fn drive_stops(&mut self) {
        // From the last to the first, so that one turn sees a sidecar's successors before itself.
        for index in self.plan.all().rev() {
            self.drive_stop(index);
        }
    }

    /// Takes a stop as many steps further as are due.
    fn drive_stop(&mut self, index: ContainerIndex) {
        let now = self.now.moment();
        let Some(attempt) = self.container(index).live_attempt() else {
            return;
        };
        loop {
            let running = self.container(index).running();
            let Some(stop) = running.and_then(|running| running.stop.as_ref()) else {
                return;
            };
            let is_over = now >= stop.until;
            let next = match stop.step {
                StopStep::PreStop if is_over => {
                    self.cancel_hook(index, attempt, Hook::PreStop);
                    StopStep::Waiting
                }
                StopStep::Waiting if is_over || !stop.in_order || self.is_its_turn(index) => {
                    self.signal(index, attempt, StopSignal::Stop);
                    StopStep::Signalled {
                        earliest: now.plus(limits::MINIMUM_STOP),
                    }
                }
                StopStep::Signalled { earliest } if is_over && now >= earliest => {
                    self.signal(index, attempt, StopSignal::Kill);
                    StopStep::Killed
                }
                _ => return,
            };
            self.set_stop_step(index, next);
        }
    }

    /// Section 7.3: sidecars wait for every app container, and then for every sidecar behind them.
    fn is_its_turn(&self, index: ContainerIndex) -> bool {
        let is_sidecar = |index: ContainerIndex| self.container_plan(index).kind == Kind::Sidecar;
        if !is_sidecar(index) {
            return true;
        }
        let mut sidecars_behind = self
            .plan
            .inits()
            .skip(index.position() + 1)
            .filter(|behind| is_sidecar(*behind));
        !self.plan.apps().any(|app| self.may_be_alive(app))
            && !sidecars_behind.any(|behind| self.may_be_alive(behind))
    }

    /// It runs, or `StartContainer` is out for it.
    fn may_be_alive(&self, index: ContainerIndex) -> bool {
        self.container(index).is_running()
            || self.starting.as_ref().is_some_and(|start| {
                start.container == index && matches!(start.step, StartStep::Create { .. })
            })
    }

    fn set_stop_step(&mut self, index: ContainerIndex, step: StopStep) {
        let running = self.container_mut(index).running_mut();
        if let Some(stop) = running.and_then(|running| running.stop.as_mut()) {
            stop.step = step;
        }
    }

    fn signal(&mut self, container: ContainerIndex, attempt: Attempt, signal: StopSignal) {
        self.begin(Action::SignalContainer {
            container,
            attempt,
            signal,
        });
    }

    /// Tells a hook to end, if it runs and was not told yet.
    pub(crate) fn cancel_hook(&mut self, container: ContainerIndex, attempt: Attempt, hook: Hook) {
        let cancel = Action::CancelHook {
            container,
            attempt,
            hook,
        };
        let run = Action::RunHook {
            container,
            attempt,
            hook,
        };
        if self.is_pending(|action| *action == run) && !self.is_pending(|action| *action == cancel)
        {
            self.begin(cancel);
        }
    }

    /// A failed preStop hook is told, and the stop goes on.
    pub(crate) fn note_pre_stop(
        &mut self,
        index: ContainerIndex,
        attempt: Attempt,
        result: &HookResult,
    ) {
        if !self.container(index).is_live(attempt) {
            return;
        }
        if matches!(result, HookResult::Failed { .. }) {
            self.event(index, Warning, "FailedPreStopHook", "PreStopHook failed");
        }
        let running = self.container(index).running();
        let stop = running.and_then(|running| running.stop.as_ref());
        if stop.is_some_and(|stop| stop.step == StopStep::PreStop) {
            self.set_stop_step(index, StopStep::Waiting);
        }
    }

    /// Nothing more is due about an instance that has ended: its signals are answered, its hooks told to end.
    pub(crate) fn answer_exit(&mut self, index: ContainerIndex, attempt: Attempt) {
        self.answered(|action| is_signal(action, index, attempt));
        self.answered(|action| is_start(action, index, attempt));
        for hook in [Hook::PostStart, Hook::PreStop] {
            self.cancel_hook(index, attempt, hook);
        }
    }
}

pub(crate) fn is_hook(action: &Action, of: ContainerIndex, instance: Attempt, which: Hook) -> bool {
    matches!(action, Action::RunHook { container, attempt, hook } | Action::CancelHook { container, attempt, hook }
        if *container == of && *attempt == instance && *hook == which)
}
