//! The machine: one pod, from its volumes to its end.
//!
//! ```text
//!                      ┌───────────────────────── Living ─────────────────────────┐
//!  new ──▶ volumes ──▶ sandbox ──▶ init 0 ──▶ … ──▶ init n ──▶ apps ──────────────┼──▶ Ending ──▶ over
//!             ▲           ▲          ▲                                            │
//!             │           │          └── Resetting (─▶ Pausing) ◀── a rule (3.4), restart-pod mode
//!             │           └───────────── Rebuilding ◀─────────────── sandbox lost (1.2)
//!             └── host rebooted
//! ```
//!
//! This file has the public face and the bookkeeping of instructions and Events. `sync.rs` decides, with the tables of `decide.rs`;
//! `start.rs`, `stop.rs` and `probe.rs` carry single containers through; `observe.rs` takes facts in; `status.rs` shows.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::conditions::{Conditions, Foreign};
use crate::container::Container;
use crate::ending::Ending;
use crate::event::{Event, EventKind};
use crate::image::ImageBackoff;
use crate::phase::Phase;
use crate::plan::{ContainerPlan, PodPlan};
use crate::reset::Reset;
use crate::snapshot::Version;
use crate::start::Start;
use crate::time::Moment;
use crate::{
    Accepted, Action, ContainerIndex, Now, Observation, Refusal, Request, Settings, Timestamp,
};

/// Decides about one pod. Serialized it is its own snapshot; one of another version is refused when read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodMachine {
    version: Version,
    pub(crate) plan: PodPlan,
    pub(crate) settings: Settings,
    /// `status.startTime`.
    pub(crate) start_time: Timestamp,
    /// The same on the clock of deadlines.
    pub(crate) began: Moment,
    /// Where `activeDeadlineSeconds` ends.
    pub(crate) deadline: Option<Moment>,
    /// The time of the last call.
    pub(crate) now: Now,
    pub(crate) stage: Stage,
    pub(crate) volumes: Volumes,
    pub(crate) sandbox: Sandbox,
    /// Of the newest sandbox; shown until another one is ready (quirk Q7).
    pub(crate) pod_ips: Vec<String>,
    pub(crate) containers: Vec<Container>,
    /// Starts are strictly one after the other (1.7).
    pub(crate) starting: Option<Start>,
    /// By [`ContainerPlan::image_slot`].
    pub(crate) images: Vec<ImageBackoff>,
    /// Between rounds of restart-pod mode.
    pub(crate) rounds: Backoff,
    /// By section 8.1. One that was ever final stays.
    pub(crate) computed_phase: Phase,
    /// What people are told: a final phase only once no container can be running.
    pub(crate) published_phase: Phase,
    pub(crate) conditions: Conditions,
    /// Those of others, in the order in which they came.
    pub(crate) foreign: Vec<Foreign>,
    pending: Vec<Action>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    next_deadline: Option<Moment>,
}

/// What the pod is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Goes by the tables of section 1.
    Living,
    /// The sandbox is lost: everything in it is stopped, then there will be another one.
    Rebuilding,
    /// Every container is removed, in order (3.4).
    Resetting(Reset),
    /// Waits for the next round of restart-pod mode.
    Pausing { until: Moment },
    /// On its way out, or there.
    Ending(Ending),
}

/// The pod's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Volumes {
    Absent,
    /// `delay` is what the next failure will wait.
    Preparing {
        delay: Duration,
    },
    Failed {
        retry_at: Moment,
        delay: Duration,
    },
    Ready,
    /// They were set up, or nearly, before the machine was rebooted.
    Unmounted,
    Removing,
    Removed,
}

/// The newest sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) attempt: u32,
    pub(crate) state: SandboxState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SandboxState {
    /// There has not been any.
    Absent,
    Creating,
    /// It could not be made, and nothing of it remains.
    Failed {
        retry_at: Moment,
    },
    Ready,
    /// It died by itself; something of it may remain.
    Lost,
    Stopping,
    Stopped,
}

/// How a pod's story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its phase is final, and what its containers left can be looked at. A later `Delete` leads to [`End::Deleted`].
    Terminal(Phase),
    /// Somebody asked for its deletion, and nothing of it is left.
    Deleted,
}

impl PodMachine {
    /// A machine for a pod that is accepted at `now`: defaulted, validated, with name, namespace and UID.
    #[must_use]
    pub fn new(pod: &Pod, settings: Settings, now: Now) -> Self {
        let plan = PodPlan::new(pod);
        let mut machine = Self {
            version: Version,
            settings,
            start_time: now.wall,
            began: now.moment(),
            deadline: plan
                .active_deadline
                .map(|deadline| now.moment().plus(deadline)),
            now,
            stage: Stage::Living,
            volumes: Volumes::Absent,
            sandbox: Sandbox {
                attempt: 0,
                state: SandboxState::Absent,
            },
            pod_ips: Vec::new(),
            containers: plan
                .containers
                .iter()
                .map(|_| Container::default())
                .collect(),
            starting: None,
            images: plan
                .images
                .iter()
                .map(|_| ImageBackoff::default())
                .collect(),
            rounds: Backoff::default(),
            computed_phase: Phase::Pending,
            published_phase: Phase::Pending,
            conditions: Conditions::new(now.wall),
            foreign: Vec::new(),
            pending: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            next_deadline: Some(now.moment()),
            plan,
        };
        if let Some(factor) = machine.settings.backoff_factor() {
            let message = format!(
                "Back-offs last {factor} of their time (--backoff); a cluster waits in full"
            );
            machine.pod_event(EventKind::Normal, "ShortenedBackOff", message);
        }
        machine.settle();
        machine
    }

    /// Takes note of a fact.
    pub fn observe(&mut self, now: Now, observation: &Observation) {
        self.note(now, observation);
        self.now = now;
    }

    /// Grants or refuses a wish. What follows from it is decided by [`Self::advance`].
    ///
    /// # Errors
    ///
    /// With the reason, when the wish makes no sense now.
    pub fn request(&mut self, now: Now, request: &Request) -> Result<Accepted, Refusal> {
        self.now = now;
        match request {
            Request::Delete { grace_seconds } => Ok(self.delete(*grace_seconds)),
            Request::Kill => Ok(self.kill()),
            Request::Retry { container } => self.retry(*container),
            Request::Update { pod } => self.update(pod),
            Request::SetCondition { condition } => self.set_condition(condition),
            Request::RemoveCondition { kind } => self.remove_condition(kind),
        }
    }

    /// Decides until nothing more follows from what is known.
    pub fn advance(&mut self, now: Now) {
        self.now = now;
        while self.step() {}
        self.drive_probes();
        self.settle();
        self.next_deadline = self.earliest_deadline();
    }

    /// The next instruction, in the order in which they are to be begun.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next Event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::advance`] must be called at the latest, since boot. After `advance` it lies ahead.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.next_deadline.map(Moment::since_boot)
    }

    /// Instructions that were given and have no answer yet, in order. `CancelImage` and `CancelHook` stand here until that which they cancel
    /// is answered.
    #[must_use]
    pub fn pending_actions(&self) -> &[Action] {
        &self.pending
    }

    /// The status as of the last turn. `reason` and `message`, like a final phase, are told only when no container can be running.
    #[must_use]
    pub fn status(&self) -> PodStatus {
        crate::status::pod_status(self)
    }

    /// The name of a container. Empty if there is no such container.
    #[must_use]
    pub fn container_name(&self, container: ContainerIndex) -> &str {
        self.plan
            .containers
            .get(container.position())
            .map_or("", |plan| plan.name.as_str())
    }

    /// The container of this name.
    #[must_use]
    pub fn container_index(&self, name: &str) -> Option<ContainerIndex> {
        self.plan
            .all()
            .find(|index| self.plan.get(*index).name == name)
    }

    /// The phase as people are told it.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.published_phase
    }

    /// Nothing is left to do. A finished pod can still be deleted, and then has a little to do again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.end().is_some()
    }

    /// Whether and how the story ended.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        let ending = self.ending().filter(|ending| ending.is_over)?;
        Some(match ending.deletion {
            Some(_) => End::Deleted,
            None => End::Terminal(self.published_phase),
        })
    }

    /// The pod is being ended, or has ended.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.ending().is_some()
    }

    /// How many ephemeral containers there are: they are the last ones by index.
    #[must_use]
    pub fn ephemeral_count(&self) -> usize {
        self.plan.ephemerals().count()
    }

    /// When the pod's deletion was asked for, and with what grace in seconds.
    #[must_use]
    pub fn deletion(&self) -> Option<(Timestamp, i64)> {
        let deletion = self.ending()?.deletion.as_ref()?;
        Some((deletion.at, deletion.grace_seconds))
    }

    /// The container whose next start is due first among those that wait for a back-off, and when, since boot.
    #[must_use]
    pub fn next_try(&self) -> Option<(ContainerIndex, Duration)> {
        match self.stage {
            Stage::Pausing { until } => Some((self.waiting_for_round()?, until.since_boot())),
            Stage::Living => self
                .plan
                .all()
                .filter_map(|index| Some((index, self.container(index).wake?)))
                .min_by_key(|(_, wake)| *wake)
                .map(|(index, wake)| (index, wake.since_boot())),
            Stage::Rebuilding | Stage::Resetting(_) | Stage::Ending(_) => None,
        }
    }

    pub(crate) fn container(&self, index: ContainerIndex) -> &Container {
        &self.containers[index.position()]
    }

    pub(crate) fn container_mut(&mut self, index: ContainerIndex) -> &mut Container {
        &mut self.containers[index.position()]
    }

    pub(crate) fn container_plan(&self, index: ContainerIndex) -> &ContainerPlan {
        self.plan.get(index)
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        match &self.stage {
            Stage::Ending(ending) => Some(ending),
            _ => None,
        }
    }

    pub(crate) fn ending_mut(&mut self) -> Option<&mut Ending> {
        match &mut self.stage {
            Stage::Ending(ending) => Some(ending),
            _ => None,
        }
    }

    /// Gives an instruction and remembers that an answer is due.
    pub(crate) fn begin(&mut self, action: Action) {
        if let Action::SignalContainer {
            container, attempt, ..
        } = action
        {
            // One exit answers both signals.
            self.answered(|known| is_signal(known, container, attempt));
        }
        self.pending.push(action.clone());
        self.actions.push_back(action);
    }

    /// An answer came. False if none was due: then it is old news.
    pub(crate) fn answered(&mut self, is_answered: impl Fn(&Action) -> bool) -> bool {
        let before = self.pending.len();
        self.pending.retain(|action| !is_answered(action));
        self.pending.len() < before
    }

    pub(crate) fn is_pending(&self, is_it: impl Fn(&Action) -> bool) -> bool {
        self.pending.iter().any(is_it)
    }

    /// Whoever was to answer is gone. What only clears up is begun again.
    pub(crate) fn abandon_pending(&mut self) {
        self.actions.clear();
        self.pending.retain(|action| {
            matches!(
                action,
                Action::RemoveContainer { .. } | Action::RemoveVolumes
            )
        });
        self.actions.extend(self.pending.iter().cloned());
    }

    pub(crate) fn pod_event(&mut self, kind: EventKind, reason: &str, message: impl Into<String>) {
        let event = Event {
            at: self.now.wall,
            kind,
            reason: reason.into(),
            message: message.into(),
            field_path: None,
        };
        self.events.push_back(event);
    }

    pub(crate) fn event(
        &mut self,
        container: ContainerIndex,
        kind: EventKind,
        reason: &str,
        message: impl Into<String>,
    ) {
        let event = Event {
            at: self.now.wall,
            kind,
            reason: reason.into(),
            message: message.into(),
            field_path: Some(self.container_plan(container).field_path.clone()),
        };
        self.events.push_back(event);
    }
}

pub(crate) fn is_signal(action: &Action, of: ContainerIndex, instance: crate::Attempt) -> bool {
    matches!(action, Action::SignalContainer { container, attempt, .. }
        if *container == of && *attempt == instance)
}
