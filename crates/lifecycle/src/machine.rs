//! The machine: one pod, from its volumes to its end.
//!
//! ```text
//!  volumes ─▶ sandbox ─▶ init 0 ─▶ … ─▶ init n ─▶ apps ─▶ (ending) ─▶ sandbox stopped ─▶ volumes removed
//!                ▲           ▲                       │
//!                │           └── reset: all removed ─┤  RestartAllContainers, restart-pod mode (section 3.4)
//!                └────────────── sandbox lost ───────┘  (section 1.2)
//! ```
//!
//! [`PodMachine::advance`] decides what to do next from what is known, as the kubelet's sync does (section 1); nothing else starts anything.
//! At most one container is between "decided" and "started" at any time, so starts are strictly in order.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::backoff::Backoff;
use crate::conditions::Conditions;
use crate::container::{ContainerState, Record};
use crate::event::{Event, EventKind};
use crate::plan::PodPlan;
use crate::reset::Reset;
use crate::termination::Ending;
use crate::{
    Accepted, Action, ContainerIndex, Now, Observation, Refusal, Request, Timestamp, limits,
};

/// The volumes of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Volumes {
    Absent,
    Preparing,
    Failed { retry_at: Duration },
    Ready,
    Removing,
    Removed,
}

/// The newest sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sandbox {
    Absent,
    Creating,
    Failed {
        retry_at: Duration,
    },
    Ready,
    /// It died by itself.
    Lost,
    Stopping,
    Stopped,
}

/// How a pod's story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its phase is final and its containers' remains may be looked at.
    Terminal,
    /// It was deleted: nothing of it shall remain.
    Deleted,
}

/// Decides about one pod. Serialized, it is the snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodMachine {
    pub(crate) plan: PodPlan,
    pub(crate) settings: Settings,
    pub(crate) containers: Vec<ContainerState>,
    pub(crate) volumes: Volumes,
    pub(crate) volume_delay: Duration,
    pub(crate) sandbox: Sandbox,
    pub(crate) sandbox_attempt: u32,
    pub(crate) pod_ips: Vec<String>,
    /// An app container of the present sandbox came to be (section 8.1 rule 2).
    pub(crate) app_ran_in_sandbox: bool,
    /// Some container came to be in any sandbox (table C1).
    pub(crate) any_record: bool,
    /// Per image string: the back-off, when the last pull failed and how (section 4.4).
    pub(crate) image_backoffs: Vec<ImageBackoff>,
    pub(crate) reset: Option<Reset>,
    /// Rounds of restart-pod mode wait like restarts do.
    pub(crate) round_backoff: Backoff,
    pub(crate) round_not_before: Option<Duration>,
    pub(crate) round_trigger: Option<ContainerIndex>,
    pub(crate) ending: Option<Ending>,
    pub(crate) start_time: Timestamp,
    pub(crate) deadline_at: Option<Duration>,
    pub(crate) last_now: Now,
    pub(crate) conditions: Conditions,
    /// A phase that was ever final stays.
    pub(crate) final_phase: Option<crate::phase::Phase>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    /// Begun and not yet answered, in order.
    pending: Vec<Action>,
}

/// The pull back-off of one image, shared by all containers that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageBackoff {
    pub(crate) image: String,
    pub(crate) backoff: Backoff,
    pub(crate) until: Duration,
    pub(crate) last_error: String,
}

impl PodMachine {
    /// A machine for a pod that was accepted at `now`: defaulted, validated, with name, namespace and UID.
    #[must_use]
    pub fn new(pod: &Pod, settings: Settings, now: Now) -> Self {
        let plan = PodPlan::new(pod);
        let deadline_at = plan
            .active_deadline
            .map(|deadline| now.since_boot + deadline);
        let containers = plan
            .containers
            .iter()
            .map(|_| ContainerState::new())
            .collect();
        let mut machine = Self {
            plan,
            settings,
            containers,
            volumes: Volumes::Absent,
            volume_delay: limits::VOLUME_RETRY_INITIAL,
            sandbox: Sandbox::Absent,
            sandbox_attempt: 0,
            pod_ips: Vec::new(),
            app_ran_in_sandbox: false,
            any_record: false,
            image_backoffs: Vec::new(),
            reset: None,
            round_backoff: Backoff::default(),
            round_not_before: None,
            round_trigger: None,
            ending: None,
            start_time: now.wall,
            deadline_at,
            last_now: now,
            conditions: Conditions::default(),
            final_phase: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            pending: Vec::new(),
        };
        machine.refresh_conditions();
        machine
    }

    /// Takes note of a fact.
    pub fn observe(&mut self, now: Now, observation: &Observation) {
        self.last_now = now;
        self.note(now, observation);
    }

    /// Grants or refuses a wish. What follows from it happens in [`Self::advance`].
    ///
    /// # Errors
    ///
    /// With the reason, when the wish makes no sense now.
    pub fn request(&mut self, now: Now, request: &Request) -> Result<Accepted, Refusal> {
        self.last_now = now;
        match request {
            Request::Delete { grace_seconds } => Ok(self.delete(now, *grace_seconds)),
            Request::Kill => Ok(self.kill(now)),
            Request::Retry { container } => self.retry(now, *container),
        }
    }

    /// Decides until nothing more follows.
    pub fn advance(&mut self, now: Now) {
        self.last_now = now;
        // Each step either changes the state for good or does nothing; a pod has few steps that need no answer from the world.
        while self.step(now) {}
        self.refresh_conditions();
        debug_assert!(
            self.next_deadline()
                .is_none_or(|deadline| deadline > now.since_boot)
        );
    }

    /// The next instruction, in the order in which they are to be begun.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next Event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Instructions that were given and are not answered, in order.
    #[must_use]
    pub fn pending_actions(&self) -> Vec<Action> {
        self.pending.clone()
    }

    /// When [`Self::advance`] must be called at the latest, since boot.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.end().is_some() {
            return None;
        }
        let mut earliest: Option<Duration> = None;
        let mut add = |at: Option<Duration>| {
            earliest = match (earliest, at) {
                (Some(earliest), Some(at)) => Some(earliest.min(at)),
                (earliest, at) => earliest.or(at),
            };
        };
        add(self.ending_deadline());
        if self.ending.is_none() {
            add(self.deadline_at);
            if let Volumes::Failed { retry_at } = self.volumes {
                add(Some(retry_at));
            }
            if let Sandbox::Failed { retry_at } = self.sandbox {
                add(Some(retry_at));
            }
            add(self.round_not_before);
            add(self.wait_until());
        }
        for state in &self.containers {
            if let Record::Running {
                stopping: Some(crate::container::Stopping::Signalled { kill_at }),
                ..
            } = &state.record
            {
                add(Some(*kill_at));
            }
        }
        earliest
    }

    /// The status as of the last turn.
    #[must_use]
    pub fn status(&self) -> PodStatus {
        crate::status::pod_status(self)
    }

    /// The name of a container.
    #[must_use]
    pub fn container_name(&self, container: ContainerIndex) -> &str {
        &self.plan.get(container).name
    }

    /// The container of this name.
    #[must_use]
    pub fn container_index(&self, name: &str) -> Option<ContainerIndex> {
        self.plan
            .indices()
            .find(|index| self.plan.get(*index).name == name)
    }

    /// Whether and how the story ended.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        let ending = self.ending.as_ref()?;
        (self.volumes == Volumes::Removed).then_some(if ending.deleted {
            End::Deleted
        } else {
            End::Terminal
        })
    }

    /// Whether the pod is being ended, or has.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.ending.is_some()
    }

    /// When somebody asked for the pod's deletion, and the grace in seconds: `metadata.deletionTimestamp` and its companion.
    #[must_use]
    pub fn deletion(&self) -> Option<(Timestamp, i64)> {
        let ending = self.ending.as_ref().filter(|ending| ending.deleted)?;
        Some((
            ending.deletion_time,
            i64::try_from(ending.grace.as_secs()).unwrap_or(i64::MAX),
        ))
    }

    /// When the next start that is being waited for may be made: container, moment since boot.
    #[must_use]
    pub fn next_try(&self) -> Option<(ContainerIndex, Duration)> {
        if self.ending.is_some() {
            return None;
        }
        let own = self
            .plan
            .indices()
            .filter_map(|index| Some((index, self.state(index).not_before?)))
            .min_by_key(|(_, at)| *at);
        let round = self
            .round_not_before
            .and_then(|at| Some((self.reset_trigger()?, at)));
        own.or(round)
    }

    pub(crate) fn state(&self, container: ContainerIndex) -> &ContainerState {
        &self.containers[container.position()]
    }

    pub(crate) fn state_mut(&mut self, container: ContainerIndex) -> &mut ContainerState {
        &mut self.containers[container.position()]
    }

    /// Gives an instruction and remembers that an answer is due.
    pub(crate) fn begin(&mut self, action: Action) {
        if !matches!(
            action,
            Action::CancelImage { .. } | Action::SignalContainer { .. }
        ) {
            self.pending.push(action.clone());
        }
        self.actions.push_back(action);
    }

    /// An answer came; true if it was due.
    pub(crate) fn answered(&mut self, matches: impl Fn(&Action) -> bool) -> bool {
        let position = self.pending.iter().position(matches);
        position
            .map(|position| self.pending.remove(position))
            .is_some()
    }

    /// Nothing that was begun will be answered.
    pub(crate) fn drop_pending(&mut self) {
        self.pending.clear();
        self.actions.clear();
    }

    pub(crate) fn pod_event(&mut self, kind: EventKind, reason: &str, message: impl Into<String>) {
        let at = self.last_now.wall;
        self.events.push_back(Event {
            at,
            kind,
            reason: reason.into(),
            message: message.into(),
            field_path: None,
        });
    }

    pub(crate) fn event(
        &mut self,
        container: ContainerIndex,
        kind: EventKind,
        reason: &str,
        message: impl Into<String>,
    ) {
        let at = self.last_now.wall;
        let field_path = Some(self.plan.get(container).field_path.clone());
        self.events.push_back(Event {
            at,
            kind,
            reason: reason.into(),
            message: message.into(),
            field_path,
        });
    }

    /// One decision; false when there is nothing to decide until something happens.
    fn step(&mut self, now: Now) -> bool {
        if self.end().is_some() {
            return false;
        }
        if self.kill_overdue(now) {
            return true;
        }
        if self.ending.is_some() {
            return self.step_ending(now);
        }
        if self.deadline_at.is_some_and(|at| at <= now.since_boot) {
            self.end_by_deadline(now);
            return true;
        }
        if let Some(reason) = self.natural_end() {
            self.begin_ending(now, reason);
            return true;
        }
        match self.volumes {
            Volumes::Absent => {
                self.volumes = Volumes::Preparing;
                self.begin(Action::PrepareVolumes);
                return true;
            }
            Volumes::Failed { retry_at } if retry_at <= now.since_boot => {
                self.volumes = Volumes::Absent;
                return true;
            }
            Volumes::Ready => {}
            _ => return false,
        }
        match self.sandbox {
            Sandbox::Absent => {
                self.create_sandbox();
                true
            }
            Sandbox::Stopped => {
                self.renew_sandbox();
                true
            }
            Sandbox::Failed { retry_at } if retry_at <= now.since_boot => {
                self.create_sandbox();
                true
            }
            Sandbox::Lost => self.step_lost_sandbox(now),
            Sandbox::Ready if self.reset.is_some() => self.step_reset(now),
            Sandbox::Ready => self.step_containers(now),
            _ => false,
        }
    }

    fn create_sandbox(&mut self) {
        self.sandbox = Sandbox::Creating;
        let attempt = self.sandbox_attempt;
        self.begin(Action::CreateSandbox { attempt });
    }
}
