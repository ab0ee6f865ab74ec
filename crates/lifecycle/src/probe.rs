//! Probes (section 5): when a round is due, and what its result changes.
//!
//! The kubelet's rounds go by a ticker that began with the pod; here they begin with the instance, which is never later. Counters belong to
//! the container and survive its instances, as the kubelet's do. Making a probe, with its timeout and retries, is the driver's part.

use alloc::format;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::EventKind::Warning;
use crate::machine::PodMachine;
use crate::plan::Kind;
use crate::time::Moment;
use crate::{Action, Attempt, ContainerIndex, ProbeKind, ProbeOutcome};

const KINDS: [ProbeKind; 3] = [
    ProbeKind::Startup,
    ProbeKind::Liveness,
    ProbeKind::Readiness,
];

/// What probes say of a container's newest instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probes {
    /// Its startup probe has succeeded, or it has none.
    pub(crate) is_started: bool,
    /// Its readiness probe has succeeded, or it has none.
    pub(crate) is_ready: bool,
    /// The probe that wants it to be killed.
    pub(crate) failed: Option<ProbeKind>,
    /// By [`ProbeKind`].
    workers: [Worker; 3],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Worker {
    /// When the next round is due; on hold without.
    due: Option<Moment>,
    /// The round that has no answer yet.
    asked: Option<u32>,
    next_round: u32,
    last: Option<bool>,
    /// How often in a row the last result came.
    run: u32,
}

impl Worker {
    /// On hold until there is a new instance; that also ends the run (5.2).
    fn hold(&mut self) {
        self.due = None;
        self.run = 0;
    }
}

impl Probes {
    /// A new instance: results are forgotten, runs are not.
    pub(crate) fn begin_instance(&mut self) {
        (self.is_started, self.is_ready, self.failed) = (false, false, None);
        for worker in &mut self.workers {
            (worker.due, worker.asked, worker.next_round) = (None, None, 0);
        }
    }

    fn worker(&mut self, kind: ProbeKind) -> &mut Worker {
        &mut self.workers[kind as usize]
    }
}

impl PodMachine {
    /// It runs, its postStart hook is done, and its startup probe has succeeded.
    pub(crate) fn is_started(&self, index: ContainerIndex) -> bool {
        let container = self.container(index);
        container
            .running()
            .is_some_and(|running| !running.in_post_start)
            && container.probes.is_started
    }

    pub(crate) fn is_ready(&self, index: ContainerIndex) -> bool {
        self.is_started(index) && self.container(index).probes.is_ready
    }

    /// The instance runs and its hook is done.
    pub(crate) fn begin_probes(&mut self, index: ContainerIndex) {
        match self.delay_of(index, ProbeKind::Startup) {
            Some(delay) => self.schedule(index, ProbeKind::Startup, delay),
            None => self.note_startup(index),
        }
    }

    /// Liveness and readiness are asked from now on.
    fn note_startup(&mut self, index: ContainerIndex) {
        self.container_mut(index).probes.is_started = true;
        if let Some(delay) = self.delay_of(index, ProbeKind::Liveness) {
            self.schedule(index, ProbeKind::Liveness, delay);
        }
        match self.delay_of(index, ProbeKind::Readiness) {
            Some(delay) => self.schedule(index, ProbeKind::Readiness, delay),
            None => self.container_mut(index).probes.is_ready = true,
        }
    }

    fn delay_of(&self, index: ContainerIndex, kind: ProbeKind) -> Option<Duration> {
        self.container_plan(index)
            .probe(kind)
            .map(|probe| probe.initial_delay)
    }

    /// The delay counts from the start of the instance.
    fn schedule(&mut self, index: ContainerIndex, kind: ProbeKind, delay: Duration) {
        let Some(since) = self.container(index).running().map(|running| running.since) else {
            return;
        };
        let due = since.plus(delay).max(self.now.moment());
        self.container_mut(index).probes.worker(kind).due = Some(due);
    }

    /// Begins the rounds that are due.
    pub(crate) fn drive_probes(&mut self) {
        if !self.plan.has_probes {
            return;
        }
        let now = self.now.moment();
        for index in self.plan.all() {
            let Some(attempt) = self.container(index).live_attempt() else {
                continue;
            };
            for kind in KINDS {
                if self.due(index, kind).is_none_or(|due| due > now) {
                    continue;
                }
                let period = self
                    .container_plan(index)
                    .probe(kind)
                    .map(|probe| probe.period);
                let worker = self.container_mut(index).probes.worker(kind);
                let round = worker.next_round;
                worker.next_round += 1;
                worker.asked = Some(round);
                worker.due = period.map(|period| now.plus(period));
                self.begin(Action::Probe {
                    container: index,
                    attempt,
                    kind,
                    round,
                });
            }
        }
    }

    /// When the next round of this probe is to begin.
    fn due(&self, index: ContainerIndex, kind: ProbeKind) -> Option<Moment> {
        // While the pod ends, app containers are asked about readiness alone (5.5).
        let is_over = self.ending().is_some()
            && kind != ProbeKind::Readiness
            && self.container_plan(index).kind == Kind::App;
        let worker = &self.container(index).probes.workers[kind as usize];
        worker.due.filter(|_| worker.asked.is_none() && !is_over)
    }

    pub(crate) fn probe_deadline(&self) -> Option<Moment> {
        if !self.plan.has_probes {
            return None;
        }
        let running = self
            .plan
            .all()
            .filter(|index| self.container(*index).is_running());
        running
            .flat_map(|index| KINDS.map(|kind| self.due(index, kind)))
            .flatten()
            .min()
    }

    pub(crate) fn note_probe(
        &mut self,
        index: ContainerIndex,
        attempt: Attempt,
        kind: ProbeKind,
        round: u32,
        outcome: &ProbeOutcome,
    ) {
        let action = Action::Probe {
            container: index,
            attempt,
            kind,
            round,
        };
        self.answered(|known| *known == action);
        if !self.container(index).is_live(attempt) {
            return;
        }
        let worker = self.container_mut(index).probes.worker(kind);
        if worker.asked != Some(round) {
            return;
        }
        worker.asked = None;
        let is_success = match outcome {
            ProbeOutcome::Success { warning } => {
                if let Some(warning) = warning {
                    let message = format!("{kind:?} probe warning: {warning}");
                    self.event(index, Warning, "ProbeWarning", message);
                }
                true
            }
            ProbeOutcome::Failure { output } => {
                let message = format!("{kind:?} probe failed: {output}");
                self.event(index, Warning, "Unhealthy", message);
                false
            }
            ProbeOutcome::Error { message } => {
                let message =
                    format!("{kind:?} probe errored and resulted in unknown state: {message}");
                self.event(index, Warning, "Unhealthy", message);
                return;
            }
        };
        let Some(plan) = self.container_plan(index).probe(kind) else {
            return;
        };
        let threshold = if is_success {
            plan.success_threshold
        } else {
            plan.failure_threshold
        };
        let probes = &mut self.container_mut(index).probes;
        let worker = probes.worker(kind);
        worker.run = if worker.last == Some(is_success) {
            worker.run + 1
        } else {
            1
        };
        worker.last = Some(is_success);
        if worker.run < threshold {
            return;
        }
        match (kind, is_success) {
            (ProbeKind::Readiness, _) => probes.is_ready = is_success,
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup, true) => {
                worker.hold();
                self.note_startup(index);
            }
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                worker.hold();
                probes.failed = Some(kind);
            }
        }
    }
}
