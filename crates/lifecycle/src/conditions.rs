//! The pod's conditions, in the kubelet's order and words (section 8.3). Kept, because a transition time must survive.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::container::Record;
use crate::machine::{PodMachine, Sandbox};
use crate::phase::{Phase, View};
use crate::plan::Kind;
use crate::reset::ResetMode;
use crate::{ContainerIndex, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    pub(crate) name: String,
    pub(crate) is_true: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
}

/// All of them, and the phase that was shown last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) list: Vec<Condition>,
    phase: Option<Phase>,
}

impl Conditions {
    /// The phase that was shown last.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.unwrap_or(Phase::Pending)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.list
            .iter()
            .any(|condition| condition.name == name && condition.is_true)
    }

    fn set(&mut self, at: Timestamp, name: &str, verdict: Verdict) {
        let Verdict {
            is_true,
            reason,
            message,
        } = verdict;
        match self
            .list
            .iter_mut()
            .find(|condition| condition.name == name)
        {
            Some(condition) => {
                if condition.is_true != is_true {
                    condition.since = at;
                }
                (condition.is_true, condition.reason, condition.message) =
                    (is_true, reason, message);
            }
            None => self.list.push(Condition {
                name: name.to_owned(),
                is_true,
                reason,
                message,
                since: at,
            }),
        }
    }
}

#[derive(Clone, Debug)]
struct Verdict {
    is_true: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn truth(is_true: bool) -> Self {
        Self {
            is_true,
            reason: String::new(),
            message: String::new(),
        }
    }

    fn no(reason: &str, message: String) -> Self {
        Self {
            is_true: false,
            reason: reason.to_owned(),
            message,
        }
    }
}

impl PodMachine {
    /// Called at the end of every turn.
    pub(crate) fn refresh_conditions(&mut self) {
        let at = self.last_now.wall;
        let phase = self.phase();
        let ready_to_start = Verdict::truth(self.sandbox == Sandbox::Ready);
        let initialized = self.initialized(phase);
        let containers_ready = self.containers_ready(phase);
        let ready = self.ready(&containers_ready);
        let shown = self.shown_phase();
        let restarting = self
            .plan
            .has_restart_all_rule()
            .then(|| self.restarting(phase));
        let conditions = &mut self.conditions;
        conditions.set(at, "PodReadyToStartContainers", ready_to_start);
        conditions.set(at, "Initialized", initialized);
        conditions.set(at, "Ready", ready);
        conditions.set(at, "ContainersReady", containers_ready);
        conditions.set(at, "PodScheduled", Verdict::truth(true));
        if let Some(restarting) = restarting {
            conditions.set(at, "AllContainersRestarting", restarting);
        }
        conditions.phase = Some(shown);
    }

    fn names(&self, wanted: impl Iterator<Item = ContainerIndex>) -> String {
        let names: Vec<&str> = wanted
            .map(|index| self.plan.get(index).name.as_str())
            .collect();
        format!("[{}]", names.join(" "))
    }

    fn initialized(&self, phase: Phase) -> Verdict {
        if phase == Phase::Succeeded {
            return Verdict {
                is_true: true,
                reason: "PodCompleted".to_owned(),
                message: String::new(),
            };
        }
        let app_came = self
            .plan
            .app_indices()
            .any(|index| matches!(self.view(index), View::Running | View::Terminated(_)));
        let incomplete: Vec<_> = self
            .plan
            .init_indices()
            .filter(
                |index| match (self.plan.get(*index).kind, self.view(*index)) {
                    (Kind::Sidecar, View::Running) => false,
                    (Kind::Init, View::Terminated(ended)) => !ended.succeeded(),
                    _ => true,
                },
            )
            .collect();
        if incomplete.is_empty() || app_came || self.conditions.is_true("Initialized") {
            return Verdict::truth(true);
        }
        let names = self.names(incomplete.into_iter());
        Verdict::no(
            "ContainersNotInitialized",
            format!("containers with incomplete status: {names}"),
        )
    }

    /// Without a readiness probe a container is ready when it runs.
    pub(crate) fn is_ready(&self, container: ContainerIndex) -> bool {
        matches!(self.state(container).record, Record::Running { .. })
    }

    fn containers_ready(&self, phase: Phase) -> Verdict {
        match phase {
            Phase::Succeeded => return Verdict::no("PodCompleted", String::new()),
            Phase::Failed => return Verdict::no("PodFailed", String::new()),
            Phase::Pending | Phase::Running => {}
        }
        let mut unready = self
            .plan
            .indices()
            .filter(|index| self.plan.get(*index).kind != Kind::Init && !self.is_ready(*index))
            .peekable();
        if unready.peek().is_none() {
            return Verdict::truth(true);
        }
        let names = self.names(unready);
        Verdict::no(
            "ContainersNotReady",
            format!("containers with unready status: {names}"),
        )
    }

    /// Nobody but a cluster sets the conditions that readiness gates name, so with a gate a pod is never Ready here.
    fn ready(&self, containers_ready: &Verdict) -> Verdict {
        if !containers_ready.is_true {
            return containers_ready.clone();
        }
        let missing: Vec<String> = self
            .plan
            .readiness_gates
            .iter()
            .map(|gate| {
                format!("corresponding condition of pod readiness gate {gate:?} does not exist.")
            })
            .collect();
        if missing.is_empty() {
            Verdict::truth(true)
        } else {
            Verdict::no("ReadinessGatesNotReady", missing.join(", "))
        }
    }

    fn restarting(&self, phase: Phase) -> Verdict {
        match phase {
            Phase::Succeeded => Verdict::no("PodCompleted", String::new()),
            Phase::Failed => Verdict::no("PodFailed", String::new()),
            Phase::Pending | Phase::Running
                if self
                    .reset
                    .as_ref()
                    .is_some_and(|reset| reset.mode == ResetMode::AllContainers) =>
            {
                Verdict {
                    is_true: true,
                    reason: "RestartAllContainersStarted".to_owned(),
                    message: "container exited with restart policy rule".to_owned(),
                }
            }
            Phase::Pending | Phase::Running => Verdict::truth(false),
        }
    }
}
