//! The end of a pod (section 7): everything is stopped, within one grace period; then the sandbox, then the volumes; of a deleted pod, then
//! everything else.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::container::{Cause, Ended};
use crate::event::EventKind::{Normal, Warning};
use crate::machine::{PodMachine, SandboxState, Stage, Volumes};
use crate::phase::Phase;
use crate::plan::Kind;
use crate::time::Moment;
use crate::{Accepted, Action, ContainerIndex, OnInitFailure, Timestamp, limits};

const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";
const MISSING_MESSAGE: &str = "The container could not be located when the pod was terminated";

/// An end under way, or over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) cause: EndingCause,
    /// Where the grace ends.
    until: Moment,
    /// No grace at all.
    is_kill: bool,
    pub(crate) deletion: Option<Deletion>,
    /// No container can be running any more: the statuses are final.
    pub(crate) is_settled: bool,
    pub(crate) is_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndingCause {
    /// No work is left, or none that can be done.
    Finished,
    /// `activeDeadlineSeconds` is over.
    Deadline,
    /// It used more local storage than it may; the text says which limit it was.
    Evicted(String),
    /// This machine does not take it.
    Rejected { reason: String, message: String },
    /// Somebody asked for it.
    Deleted,
}

impl EndingCause {
    /// `status.reason` and `status.message` of a pod that failed for this, if its containers alone do not tell.
    pub(crate) fn reason(&self) -> Option<(&str, &str)> {
        match self {
            Self::Deadline => Some(("DeadlineExceeded", DEADLINE_MESSAGE)),
            Self::Evicted(message) => Some(("Evicted", message)),
            Self::Rejected { reason, message } => Some((reason, message)),
            Self::Finished | Self::Deleted => None,
        }
    }
}

/// A wish for deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) at: Timestamp,
    pub(crate) grace_seconds: i64,
}

impl Ending {
    pub(crate) fn rebase(&mut self, rebase: impl Fn(&mut Moment)) {
        rebase(&mut self.until);
    }
}

impl PodMachine {
    /// `activeDeadlineSeconds` can fail a pod until its phase is final, also one that ends already.
    pub(crate) fn active_deadline(&self) -> Option<Moment> {
        let has_failed = self
            .ending()
            .is_some_and(|ending| ending.cause.reason().is_some());
        self.deadline
            .filter(|_| !has_failed && !self.computed_phase.is_final())
    }

    pub(crate) fn exceed_deadline(&mut self) {
        self.pod_event(Normal, "DeadlineExceeded", DEADLINE_MESSAGE);
        match self.ending_mut() {
            Some(ending) => ending.cause = EndingCause::Deadline,
            None => self.begin_ending(EndingCause::Deadline),
        }
    }

    /// Local storage is over its limit (7.6). A pod that ends already is let go as it goes.
    pub(crate) fn evict(&mut self, message: &str) {
        if self.ending().is_some() {
            return;
        }
        self.pod_event(Warning, "Evicted", message);
        self.begin_ending(EndingCause::Evicted(message.to_string()));
        let until = self.now.moment().plus(limits::EVICTION_GRACE);
        if let Some(ending) = self.ending_mut() {
            ending.until = ending.until.min(until);
        }
    }

    /// Nothing of the pod is made, and it is not tried again. A rejection that comes later is none.
    pub(crate) fn reject(&mut self, reason: &str, message: &str) {
        let is_untouched = self.volumes == Volumes::Absent;
        if self.ending().is_some() || !is_untouched {
            return;
        }
        self.pod_event(Warning, reason, message);
        self.begin_ending(EndingCause::Rejected {
            reason: reason.to_string(),
            message: format!("Pod was rejected: {message}"),
        });
    }

    /// From here on nothing starts.
    pub(crate) fn begin_ending(&mut self, cause: EndingCause) {
        let until = self.now.moment().plus(self.plan.grace);
        self.stage = Stage::Ending(Ending {
            cause,
            until,
            is_kill: false,
            deletion: None,
            is_settled: false,
            is_over: false,
        });
        for container in &mut self.containers {
            (container.hold, container.wake, container.owed) = (None, None, None);
            // From now on a container in its postStart hook is shown as it is.
            container.reveal();
        }
    }

    /// A later wish can only shorten the grace. Unlike the kubelet's, a stop under way is shortened with it: whoever asks twice means it
    /// (case I17).
    pub(crate) fn delete(&mut self, grace_seconds: Option<i64>) -> Accepted {
        let now = self.now;
        let own_seconds = i64::try_from(self.plan.grace.as_secs()).unwrap_or(i64::MAX);
        let grace_seconds = match grace_seconds.unwrap_or(own_seconds) {
            negative if negative < 0 => 1,
            seconds => seconds,
        };
        // Also without any grace the kubelet gives at least a second (7.1).
        let grace = core::time::Duration::from_secs(grace_seconds.unsigned_abs().max(1));
        let until = now.moment().plus(grace);
        let deletion = Deletion {
            at: now.wall,
            grace_seconds,
        };
        let Some(ending) = self.ending_mut() else {
            self.begin_ending(EndingCause::Deleted);
            if let Some(ending) = self.ending_mut() {
                ending.until = until;
                ending.deletion = Some(deletion);
            }
            return Accepted::Done;
        };
        let is_shorter = until < ending.until && !ending.is_over;
        ending.until = ending.until.min(until);
        let is_first = ending.deletion.is_none();
        if is_first || is_shorter {
            ending.deletion = Some(deletion);
            // A pod that had ended still has to be cleared away.
            ending.is_over &= !is_first;
        }
        for container in &mut self.containers {
            if let Some(stop) = container
                .running_mut()
                .and_then(|running| running.stop.as_mut())
            {
                stop.shorten(until);
            }
        }
        if is_first || is_shorter {
            Accepted::Done
        } else {
            Accepted::AlreadySo
        }
    }

    /// Deletion without any grace.
    pub(crate) fn kill(&mut self) -> Accepted {
        self.delete(Some(0));
        let Some(ending) = self.ending_mut() else {
            return Accepted::AlreadySo;
        };
        let was_so = core::mem::replace(&mut ending.is_kill, true);
        if was_so {
            Accepted::AlreadySo
        } else {
            Accepted::Done
        }
    }

    /// One step of the way out.
    pub(crate) fn end_in_order(&mut self) {
        let Some(ending) = self.ending().filter(|ending| !ending.is_over) else {
            return;
        };
        let (until, is_kill) = (ending.until, ending.is_kill);
        let (is_settled, is_deleted) = (ending.is_settled, ending.deletion.is_some());
        self.cancel_start();
        if is_kill {
            self.kill_all();
        } else {
            self.stop_all(until);
        }
        if self.is_anything_alive() {
            return;
        }
        if !is_settled {
            self.settle_containers();
        }
        if !self.is_sandbox_cleared() || !self.are_volumes_cleared() {
            return;
        }
        if is_deleted {
            for index in self.plan.all() {
                self.remove_remains(index, false);
            }
        }
        let has_unanswered = self.is_pending(|_| true);
        if let Some(ending) = self.ending_mut() {
            ending.is_over = !has_unanswered;
        }
    }

    /// Has it stopped, if that is still to be done.
    fn is_sandbox_cleared(&mut self) -> bool {
        match self.sandbox.state {
            SandboxState::Absent | SandboxState::Failed { .. } | SandboxState::Stopped => true,
            SandboxState::Creating | SandboxState::Stopping => false,
            SandboxState::Ready | SandboxState::Lost => {
                self.stop_sandbox();
                false
            }
        }
    }

    /// Has them removed, if that is still to be done.
    fn are_volumes_cleared(&mut self) -> bool {
        match self.volumes {
            Volumes::Absent | Volumes::Removed => true,
            Volumes::Preparing { .. } | Volumes::Removing => false,
            Volumes::Ready | Volumes::Unmounted | Volumes::Failed { .. } => {
                self.volumes = Volumes::Removing;
                self.begin(Action::RemoveVolumes);
                false
            }
        }
    }

    /// Section 7.4: of a container that should have run and of which nothing is known, that is what the status says.
    fn settle_containers(&mut self) {
        if let Some(ending) = self.ending_mut() {
            ending.is_settled = true;
        }
        let has_run = |machine: &Self, index: ContainerIndex| {
            let container = machine.container(index);
            container.record.is_some() || container.previous.is_some()
        };
        let was_initialised = self.plan.apps().any(|app| has_run(self, app))
            || self
                .plan
                .last_init()
                .is_none_or(|last| self.has_done_its_part(last));
        // Trailing entries that never ran stay as they are, but never the first one.
        let last_run = self.plan.inits().rev().find(|entry| has_run(self, *entry));
        let inits = self
            .plan
            .inits()
            .take_while(|entry| *entry <= last_run.unwrap_or_default());
        let apps = self.plan.apps().filter(|_| was_initialised);
        let unknown = Ended {
            cause: Cause::Lost,
            code: 137,
            message: Some(MISSING_MESSAGE.to_string()),
            started_at: None,
            finished_at: None,
            finished: self.now.moment(),
            container_id: None,
        };
        let knows_more = self.settings.on_init_failure == OnInitFailure::RestartPod;
        for index in inits.chain(apps) {
            let container = self.container_mut(index);
            if container.record.is_none() {
                // What a round of restart-pod mode removed has ended as it did.
                let known = container.previous.clone().filter(|_| knows_more);
                container.missing = Some(known.unwrap_or_else(|| unknown.clone()));
            }
        }
        self.update_phase();
        if !self.computed_phase.is_final() {
            self.computed_phase = Phase::Failed;
        }
    }

    /// An init container that ever succeeded. Of a sidecar the kubelet wants to see that it is started, and by now it has ended.
    fn has_done_its_part(&self, index: ContainerIndex) -> bool {
        let container = self.container(index);
        let ends = [container.ended(), container.previous.as_ref()];
        self.container_plan(index).kind != Kind::Sidecar
            && ends.into_iter().flatten().any(Ended::succeeded)
    }

    /// What a message may take of the pod's budget (8.8), cut at a character.
    pub(crate) fn within_budget(&self, message: &str) -> Option<alloc::string::String> {
        let share = limits::TERMINATION_MESSAGES_BYTES / self.containers.len().max(1);
        let mut end = share.min(message.len());
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message.get(..end).unwrap_or(message);
        (!message.is_empty()).then(|| message.to_string())
    }
}
