//! The end of a pod (section 7): everything is stopped, in order and within one grace period; then the sandbox, then the volumes.
//!
//! ```text
//! t=0 ─ stop signal to every app and init container ─▶ all gone ─▶ sidecars, last one first ─▶ sandbox ─▶ volumes
//!  └──────────── grace over: SIGKILL to those, stop signal and two seconds to sidecars ─────┘
//! ```

use alloc::format;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::{Record, Stopping};
use crate::event::EventKind::Normal;
use crate::machine::{PodMachine, Sandbox, Volumes};
use crate::phase::Phase;
use crate::plan::Kind;
use crate::restart::{AfterExit, after};
use crate::{Accepted, Action, ContainerIndex, Now, StopSignal, Timestamp, limits};

pub(crate) const DEADLINE_MESSAGE: &str =
    "Pod was active on the node longer than the specified deadline";

/// Why a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndReason {
    /// All app containers are finished for good.
    Done,
    /// An init container is.
    InitFailed,
    /// `activeDeadlineSeconds` is over.
    Deadline,
    /// The sandbox of a pod that is never restarted is gone (table C1).
    SandboxLost,
    /// Somebody asked for it.
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// Nothing of the pod shall remain.
    pub(crate) deleted: bool,
    pub(crate) deletion_time: Timestamp,
    pub(crate) grace: Duration,
    pub(crate) began: Duration,
}

impl PodMachine {
    /// The end that follows from exit codes and policies alone.
    pub(crate) fn natural_end(&self) -> Option<EndReason> {
        if self.reset.is_some() || self.sandbox == Sandbox::Lost {
            return None;
        }
        let left_for_good = |index: ContainerIndex| matches!(&self.state(index).record, Record::Exited(ended) if after(self.plan.get(index), ended) == AfterExit::Leave);
        let init_failed = self.plan.init_indices().any(|index| {
            self.plan.get(index).kind == Kind::Init
                && left_for_good(index)
                && self
                    .state(index)
                    .exited()
                    .is_some_and(|ended| !ended.succeeded())
        });
        if init_failed && !self.app_ran_in_sandbox {
            return Some(EndReason::InitFailed);
        }
        let mut apps = self.plan.app_indices().peekable();
        (apps.peek().is_some() && apps.all(left_for_good)).then_some(EndReason::Done)
    }

    pub(crate) fn begin_ending(&mut self, now: Now, reason: EndReason) {
        self.ending = Some(Ending {
            reason,
            deleted: reason == EndReason::Deleted,
            deletion_time: now.wall,
            grace: self.plan.grace,
            began: now.since_boot,
        });
        self.reset = None;
        for index in self.plan.indices() {
            self.state_mut(index).not_before = None;
            if self.state(index).is_running() {
                let text = format!("Stopping container {}", self.plan.get(index).name);
                self.event(index, Normal, "Killing", text);
            }
        }
    }

    pub(crate) fn end_by_deadline(&mut self, now: Now) {
        self.pod_event(Normal, "DeadlineExceeded", DEADLINE_MESSAGE);
        self.begin_ending(now, EndReason::Deadline);
    }

    /// A second request may shorten the grace of a stop that is under way: the kubelet does not, people expect it (case I17).
    pub(crate) fn delete(&mut self, now: Now, grace_seconds: Option<i64>) -> Accepted {
        let grace = grace_seconds.map(|seconds| {
            Duration::from_secs(if seconds < 0 {
                1
            } else {
                seconds.unsigned_abs()
            })
        });
        let already = self.ending.as_ref().is_some_and(|ending| ending.deleted);
        if self.ending.is_none() {
            self.begin_ending(now, EndReason::Deleted);
        }
        let Some(ending) = &mut self.ending else {
            return Accepted::Done;
        };
        if !ending.deleted {
            ending.deleted = true;
            ending.deletion_time = now.wall;
        }
        let before = ending.grace;
        if let Some(grace) = grace {
            ending.grace = if already {
                ending.grace.min(grace)
            } else {
                grace
            };
        }
        let end = now.since_boot + ending.grace.max(limits::MINIMUM_STOP);
        let is_shorter = ending.grace < before;
        if is_shorter {
            ending.began = ending.began.max(now.since_boot);
            for state in &mut self.containers {
                if let Record::Running {
                    stopping: Some(Stopping::Signalled { kill_at }),
                    ..
                } = &mut state.record
                {
                    *kill_at = (*kill_at).min(end);
                }
            }
        }
        if already && !is_shorter {
            Accepted::AlreadySo
        } else {
            Accepted::Done
        }
    }

    /// No grace at all.
    pub(crate) fn kill(&mut self, now: Now) -> Accepted {
        let accepted = self.delete(now, Some(0));
        for index in self.plan.indices() {
            if let Record::Running { instance, stopping } = &mut self.state_mut(index).record
                && *stopping != Some(Stopping::Killed)
            {
                *stopping = Some(Stopping::Killed);
                let attempt = instance.attempt;
                self.begin(Action::SignalContainer {
                    container: index,
                    attempt,
                    signal: StopSignal::Kill,
                });
            }
        }
        accepted
    }

    pub(crate) fn ending_deadline(&self) -> Option<Duration> {
        let ending = self.ending.as_ref()?;
        let waits = |index: ContainerIndex| {
            matches!(
                self.state(index).record,
                Record::Running { stopping: None, .. }
            )
        };
        let any_sidecar_waits = self.plan.init_indices().any(waits);
        any_sidecar_waits.then_some(ending.began + ending.grace)
    }

    pub(crate) fn step_ending(&mut self, now: Now) -> bool {
        let Some(ending) = &self.ending else {
            return false;
        };
        let end_of_grace = ending.began + ending.grace;
        let grace = end_of_grace.saturating_sub(now.since_boot);
        let mut changed = false;
        for index in self.plan.indices() {
            changed |= self.cancel_start(index);
            if self.plan.get(index).kind != Kind::Sidecar
                || self.may_stop_sidecar(index)
                || end_of_grace <= now.since_boot
            {
                changed |= self.stop(index, now, grace);
            }
        }
        if changed
            || self
                .containers
                .iter()
                .any(|state| state.is_alive() || matches!(state.record, Record::Removing(_)))
        {
            return changed;
        }
        match self.sandbox {
            Sandbox::Ready | Sandbox::Lost => {
                self.settle_phase();
                self.sandbox = Sandbox::Stopping;
                self.begin(Action::StopSandbox {
                    attempt: self.sandbox_attempt,
                });
                return true;
            }
            Sandbox::Creating | Sandbox::Stopping => return false,
            Sandbox::Absent | Sandbox::Failed { .. } | Sandbox::Stopped => {}
        }
        match self.volumes {
            Volumes::Preparing | Volumes::Removing | Volumes::Removed => false,
            Volumes::Absent | Volumes::Failed { .. } | Volumes::Ready => {
                self.settle_phase();
                self.volumes = Volumes::Removing;
                self.begin(Action::RemoveVolumes);
                true
            }
        }
    }

    /// Section 7.3: after every app container, and after the sidecars behind it.
    fn may_stop_sidecar(&self, sidecar: ContainerIndex) -> bool {
        let apps_gone = self
            .plan
            .app_indices()
            .all(|index| !self.state(index).is_alive());
        let mut behind = self
            .plan
            .init_indices()
            .filter(|index| *index > sidecar && self.plan.get(*index).kind == Kind::Sidecar);
        apps_gone && behind.all(|index| !self.state(index).is_alive())
    }

    /// No container is left: the phase is what it will stay (sections 7.4 and 8.1).
    fn settle_phase(&mut self) {
        if self.final_phase.is_some() {
            return;
        }
        let phase = self.phase();
        let is_final = matches!(phase, Phase::Succeeded | Phase::Failed);
        self.final_phase = Some(if is_final { phase } else { Phase::Failed });
    }
}
