//! The pod's conditions (section 8.3). Kept is what cannot be computed again: since when. Reasons and messages are made when they are shown.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use k8s_openapi::api::core::v1::PodCondition;
use serde::{Deserialize, Serialize};

use crate::machine::{PodMachine, SandboxState, Stage};
use crate::phase::{Phase, Shown};
use crate::plan::Kind;
use crate::reset::ResetCause;
use crate::time::kubernetes_time;
use crate::{Accepted, Condition, ContainerIndex, Refusal, Timestamp, limits};

/// The types that the kubelet answers for. What anybody else says of them it would put right at once.
const OWN: [&str; 8] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "AllContainersRestarting",
    "PodResizePending",
    "PodResizeInProgress",
];

/// A condition's status and since when it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    is_true: bool,
    at: Timestamp,
}

impl Since {
    fn set(&mut self, is_true: bool, at: Timestamp) {
        if self.is_true != is_true {
            *self = Self { is_true, at };
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    ready_to_start: Since,
    initialized: Since,
    ready: Since,
    containers_ready: Since,
    scheduled: Since,
    restarting: Since,
}

impl Conditions {
    pub(crate) fn new(at: Timestamp) -> Self {
        let no = Since { is_true: false, at };
        Self {
            ready_to_start: no,
            initialized: no,
            ready: no,
            containers_ready: no,
            scheduled: Since { is_true: true, at },
            restarting: no,
        }
    }
}

/// Whether the kubelet itself answers for conditions of this type.
#[must_use]
pub fn is_own_condition(kind: &str) -> bool {
    OWN.contains(&kind)
}

/// A condition of somebody else's, and since when it is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Foreign {
    condition: Condition,
    at: Timestamp,
}

impl PodMachine {
    pub(crate) fn set_condition(&mut self, condition: &Condition) -> Result<Accepted, Refusal> {
        if is_own_condition(&condition.kind) {
            return Err(Refusal::OwnCondition);
        }
        let now = self.now.wall;
        let mut all = self.foreign.iter_mut();
        let Some(known) = all.find(|known| known.condition.kind == condition.kind) else {
            if self.foreign.len() >= limits::FOREIGN_CONDITIONS {
                return Err(Refusal::TooManyConditions);
            }
            self.foreign.push(Foreign {
                condition: condition.clone(),
                at: condition.since.unwrap_or(now),
            });
            return Ok(Accepted::Done);
        };
        let is_other = known.condition.status != condition.status;
        let at = match condition.since {
            Some(since) => since,
            None if is_other => now,
            None => known.at,
        };
        let condition = condition.clone();
        let next = Foreign { condition, at };
        if *known == next {
            return Ok(Accepted::AlreadySo);
        }
        *known = next;
        Ok(Accepted::Done)
    }

    pub(crate) fn remove_condition(&mut self, kind: &str) -> Result<Accepted, Refusal> {
        if is_own_condition(kind) {
            return Err(Refusal::OwnCondition);
        }
        let before = self.foreign.len();
        self.foreign.retain(|known| known.condition.kind != kind);
        if self.foreign.len() < before {
            Ok(Accepted::Done)
        } else {
            Err(Refusal::NoSuchCondition)
        }
    }

    pub(crate) fn update_conditions(&mut self) {
        let at = self.now.wall;
        let containers_ready = !self.computed_phase.is_final()
            && self
                .plan
                .all()
                .all(|index| !self.counts_for_ready(index) || self.is_ready(index));
        let initialized = self.conditions.initialized.is_true
            || self.computed_phase == Phase::Succeeded
            || self.plan.inits().all(|entry| self.is_complete(entry))
            || self
                .plan
                .apps()
                .any(|app| self.container(app).missing.is_none() && !self.is_waiting(app));
        let restarting = self.is_restarting_all();
        let is_sandbox_ready = self.sandbox.state == SandboxState::Ready;
        let mut gates = self.plan.readiness_gates.iter();
        let gates_open = gates.all(|gate| self.foreign_status(gate) == Some("True"));
        let conditions = &mut self.conditions;
        conditions.ready_to_start.set(is_sandbox_ready, at);
        conditions.initialized.set(initialized, at);
        conditions.ready.set(containers_ready && gates_open, at);
        conditions.containers_ready.set(containers_ready, at);
        conditions.restarting.set(restarting, at);
    }

    /// As the API shows them, in its order.
    pub(crate) fn shown_conditions(&self) -> Vec<PodCondition> {
        let kept = &self.conditions;
        let end_reason = match self.computed_phase {
            Phase::Succeeded => Some("PodCompleted"),
            Phase::Failed => Some("PodFailed"),
            Phase::Pending | Phase::Running => None,
        };
        let generation = self.plan.generation;
        let mut list = Vec::with_capacity(self.foreign.len() + 6);
        list.extend(
            self.foreign
                .iter()
                .map(|Foreign { condition, at }| PodCondition {
                    type_: condition.kind.clone(),
                    status: condition.status.clone(),
                    last_transition_time: Some(kubernetes_time(*at)),
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                    ..PodCondition::default()
                }),
        );
        let mut add = |name: &str, since: Since, why: Why| {
            list.push(PodCondition {
                type_: name.to_owned(),
                status: if since.is_true { "True" } else { "False" }.to_owned(),
                observed_generation: generation.filter(|_| name != "AllContainersRestarting"),
                last_transition_time: Some(kubernetes_time(since.at)),
                reason: why.reason.map(ToOwned::to_owned),
                message: why.message.map(Cow::into_owned),
                ..PodCondition::default()
            });
        };
        add(
            "PodReadyToStartContainers",
            kept.ready_to_start,
            Why::default(),
        );
        add("Initialized", kept.initialized, self.why_initialized());
        let why_containers_ready = self.why_containers_ready(end_reason);
        let why_ready = match kept.containers_ready.is_true {
            true => self.why_gates(),
            false => why_containers_ready.clone(),
        };
        add("Ready", kept.ready, why_ready);
        add(
            "ContainersReady",
            kept.containers_ready,
            why_containers_ready,
        );
        add("PodScheduled", kept.scheduled, Why::default());
        if self.plan.has_restart_all_rule {
            let why = match kept.restarting.is_true {
                true => Why::new(
                    "RestartAllContainersStarted",
                    "container exited with restart policy rule".into(),
                ),
                false => Why {
                    reason: end_reason,
                    message: None,
                },
            };
            add("AllContainersRestarting", kept.restarting, why);
        }
        list
    }

    fn why_initialized(&self) -> Why {
        if self.conditions.initialized.is_true {
            let reason = (self.computed_phase == Phase::Succeeded).then_some("PodCompleted");
            return Why {
                reason,
                message: None,
            };
        }
        let incomplete = self.plan.inits().filter(|entry| !self.is_complete(*entry));
        let names = self.names(incomplete);
        Why::new(
            "ContainersNotInitialized",
            format!("containers with incomplete status: {names}"),
        )
    }

    fn why_containers_ready(&self, end_reason: Option<&'static str>) -> Why {
        if end_reason.is_some() || self.conditions.containers_ready.is_true {
            return Why {
                reason: end_reason,
                message: None,
            };
        }
        let unready = self
            .plan
            .all()
            .filter(|index| self.counts_for_ready(*index) && !self.is_ready(*index));
        let names = self.names(unready);
        Why::new(
            "ContainersNotReady",
            format!("containers with unready status: {names}"),
        )
    }

    fn why_gates(&self) -> Why {
        let gates = self.plan.readiness_gates.iter();
        let closed: Vec<_> = gates
            .filter_map(|gate| match self.foreign_status(gate) {
                Some("True") => None,
                Some(status) => Some(format!(
                    "the status of pod readiness gate {gate:?} is not \"True\", but {status}"
                )),
                None => Some(format!(
                    "corresponding condition of pod readiness gate {gate:?} does not exist."
                )),
            })
            .collect();
        if closed.is_empty() {
            return Why::default();
        }
        Why::new("ReadinessGatesNotReady", closed.join(", "))
    }

    /// The status of somebody else's condition.
    fn foreign_status(&self, kind: &str) -> Option<&str> {
        let known = self.foreign.iter();
        let mut known = known.filter(|known| known.condition.kind == kind);
        Some(known.next()?.condition.status.as_str())
    }

    /// An init container that succeeded, a sidecar that is started.
    fn is_complete(&self, entry: ContainerIndex) -> bool {
        match (self.container_plan(entry).kind, self.shown(entry)) {
            (Kind::Sidecar, _) => self.is_started(entry),
            (_, Shown::Terminated { ended, .. }) => ended.succeeded(),
            _ => false,
        }
    }

    fn is_waiting(&self, index: ContainerIndex) -> bool {
        matches!(self.shown(index), Shown::Waiting { .. })
    }

    fn counts_for_ready(&self, index: ContainerIndex) -> bool {
        matches!(self.container_plan(index).kind, Kind::Sidecar | Kind::App)
    }

    fn is_restarting_all(&self) -> bool {
        matches!(&self.stage, Stage::Resetting(reset) if reset.cause == ResetCause::Rule)
    }

    /// `[a b]`, in the order of the spec.
    fn names(&self, indices: impl Iterator<Item = ContainerIndex>) -> String {
        let names: Vec<_> = indices
            .map(|index| self.container_plan(index).name.as_str())
            .collect();
        format!("[{}]", names.join(" "))
    }
}

/// Reason and message of a condition.
#[derive(Clone, Debug, Default)]
struct Why {
    reason: Option<&'static str>,
    message: Option<Cow<'static, str>>,
}

impl Why {
    fn new(reason: &'static str, message: String) -> Self {
        Self {
            reason: Some(reason),
            message: Some(message.into()),
        }
    }
}
