//! What may never happen. The rules know only what was told to the machine and what it told the world, not how it decides.

use podyard_lifecycle::{
    Action, Attempt, ContainerIndex, End, Exit, Hook, HookResult, Observation, Phase, PodMachine,
    ProbeKind, ProbeOutcome, Request, StartStage, StopSignal,
};

use crate::support::Millis;
use crate::support::pod::TestPod;
use crate::world::World;

/// A rule that was broken, in words.
pub(crate) type Broken = String;

pub(crate) struct Rules {
    containers: Vec<Track>,
    grace: Millis,
    /// Nothing may start any more, and when the grace is over.
    ending: Option<Millis>,
    /// The sandbox was lost, and when the grace of that is over.
    rebuilding: Option<Millis>,
    is_kill: bool,
    phase: Phase,
    last_sandbox: Option<u32>,
    sandbox_stands: bool,
    volumes_touched: bool,
    volumes_removed: bool,
}

/// What is known of one container since its sandbox, or the last restart of all, began.
#[derive(Clone, Debug)]
struct Track {
    kind: Kind,
    has_startup_probe: bool,
    has_post_start: bool,
    /// Of the newest instance; gone when it is removed.
    record: Option<Record>,
    /// Every attempt up to here was used.
    used: Option<Attempt>,
    /// The instance whose start has no answer yet.
    starting: Option<Attempt>,
    /// A sidecar was started, so that what is behind it might begin.
    opened: bool,
}

impl Track {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            has_startup_probe: false,
            has_post_start: false,
            record: None,
            used: None,
            starting: None,
            opened: false,
        }
    }
}

#[derive(Clone, Debug)]
struct Record {
    attempt: Attempt,
    is_live: bool,
    succeeded: bool,
    stopped_at: Option<Millis>,
    /// It was being stopped for a reason of its own when the pod began to end, and does not wait for its turn.
    is_ahead: bool,
    ran: [bool; 2],
    asked: [bool; 3],
    /// How many rounds of each probe there were.
    rounds: [u32; 3],
    is_started: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Init,
    Sidecar,
    App,
    /// Added to look into the pod.
    Ephemeral,
}

macro_rules! check {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

impl Rules {
    pub(crate) fn new(pod: &TestPod) -> Self {
        let spec = pod.pod.spec.as_ref();
        let inits = spec.and_then(|spec| spec.init_containers.as_deref());
        let apps = spec.map(|spec| spec.containers.as_slice());
        let all = inits
            .unwrap_or_default()
            .iter()
            .chain(apps.unwrap_or_default());
        let containers = all
            .zip(&pod.containers)
            .map(|(object, known)| Track {
                has_startup_probe: object.startup_probe.is_some(),
                has_post_start: object
                    .lifecycle
                    .as_ref()
                    .is_some_and(|lifecycle| lifecycle.post_start.is_some()),
                ..Track::new(match (known.is_sidecar, known.is_init) {
                    (true, _) => Kind::Sidecar,
                    (false, true) => Kind::Init,
                    (false, false) => Kind::App,
                })
            })
            .collect();
        let grace = spec.and_then(|spec| spec.termination_grace_period_seconds);
        Self {
            containers,
            grace: grace.unwrap_or(30).unsigned_abs() * 1000,
            ending: None,
            rebuilding: None,
            is_kill: false,
            phase: Phase::Pending,
            last_sandbox: None,
            sandbox_stands: false,
            volumes_touched: false,
            volumes_removed: false,
        }
    }

    fn track(&mut self, index: ContainerIndex) -> &mut Track {
        &mut self.containers[index.position()]
    }

    /// The newest instance, if it is this one and runs.
    fn live(&mut self, index: ContainerIndex, attempt: Attempt) -> Option<&mut Record> {
        let record = self.containers.get_mut(index.position())?.record.as_mut()?;
        (record.attempt == attempt && record.is_live).then_some(record)
    }

    fn answers_start(&mut self, index: ContainerIndex, attempt: Attempt) -> bool {
        let track = self.containers.get_mut(index.position());
        track.is_some_and(|track| track.starting.take_if(|it| *it == attempt).is_some())
    }

    fn is_live(&self, position: usize) -> bool {
        let record = self.containers[position].record.as_ref();
        record.is_some_and(|record| record.is_live)
    }

    fn positions(&self, kind: Kind) -> impl DoubleEndedIterator<Item = usize> {
        let all = self.containers.iter().enumerate();
        all.filter(move |(_, track)| track.kind == kind)
            .map(|(position, _)| position)
    }

    fn is_app_live(&self) -> bool {
        self.positions(Kind::App).any(|app| self.is_live(app))
    }

    pub(crate) fn hear(&mut self, at: Millis, request: &Request) {
        let grace = match request {
            Request::Delete {
                grace_seconds: None,
            } => self.grace,
            Request::Delete {
                grace_seconds: Some(seconds),
            } if *seconds < 0 => 1,
            Request::Delete {
                grace_seconds: Some(seconds),
            } => seconds.unsigned_abs() * 1000,
            Request::Kill => {
                self.is_kill = true;
                0
            }
            Request::Update { pod } => {
                let spec = pod.spec.as_ref();
                let ephemerals = spec.and_then(|spec| spec.ephemeral_containers.as_ref());
                let known = self.positions(Kind::Ephemeral).count();
                let more = ephemerals.map_or(0, Vec::len) - known;
                let more = std::iter::repeat_with(|| Track::new(Kind::Ephemeral)).take(more);
                self.containers.extend(more);
                return;
            }
            Request::Retry { .. }
            | Request::SetCondition { .. }
            | Request::RemoveCondition { .. } => return,
        };
        let until = at + grace.max(1000);
        self.ending = Some(self.ending.map_or(until, |known| known.min(until)));
    }

    /// A fact that the machine was told. Old news change nothing here either.
    pub(crate) fn see(&mut self, at: Millis, observation: &Observation) {
        match observation {
            Observation::SandboxReady { .. } => {
                self.sandbox_stands = true;
                self.rebuilding = None;
            }
            Observation::SandboxDied { attempt } | Observation::SandboxStopped { attempt }
                if self.last_sandbox == Some(*attempt) =>
            {
                self.sandbox_stands = false;
                self.rebuilding = Some(at + self.grace);
            }
            Observation::ContainerStarted {
                container, attempt, ..
            } if self.answers_start(*container, *attempt) => {
                // While the pod ends, no hook is run any more.
                let is_ending = self.ending.is_some();
                let track = self.track(*container);
                let is_started = !track.has_startup_probe && (!track.has_post_start || is_ending);
                track.record = Some(Record {
                    attempt: *attempt,
                    is_live: true,
                    succeeded: false,
                    stopped_at: None,
                    is_ahead: false,
                    ran: [false; 2],
                    asked: [false; 3],
                    rounds: [0; 3],
                    is_started,
                });
                track.opened |= is_started;
            }
            Observation::ContainerNotStarted {
                container,
                attempt,
                stage,
                ..
            } if self.answers_start(*container, *attempt) && *stage == StartStage::Start => {
                self.track(*container).record = Some(Record {
                    attempt: *attempt,
                    is_live: false,
                    succeeded: false,
                    stopped_at: None,
                    is_ahead: false,
                    ran: [false; 2],
                    asked: [false; 3],
                    rounds: [0; 3],
                    is_started: false,
                });
            }
            Observation::ContainerExited {
                container,
                attempt,
                exit,
                ..
            } => {
                if let Some(record) = self.live(*container, *attempt) {
                    record.is_live = false;
                    record.succeeded = *exit == Exit::Code(0);
                }
            }
            Observation::HookFinished {
                container,
                attempt,
                hook: Hook::PostStart,
                result,
            } => {
                let waits_for_probe = self.track(*container).has_startup_probe;
                if *result != HookResult::Cancelled
                    && let HookResult::Failed { .. } = result
                {
                    return;
                }
                if let Some(record) = self.live(*container, *attempt)
                    && !waits_for_probe
                {
                    record.is_started = true;
                    self.track(*container).opened = true;
                }
            }
            Observation::ProbeFinished {
                container,
                attempt,
                kind,
                outcome,
                ..
            } => {
                let is_good = matches!(outcome, ProbeOutcome::Success { .. });
                if let Some(record) = self.live(*container, *attempt) {
                    record.asked[*kind as usize] = false;
                    if *kind == ProbeKind::Startup && is_good {
                        record.is_started = true;
                        self.track(*container).opened = true;
                    }
                }
            }
            Observation::StorageExceeded { .. } => {
                let until = at + self.grace.min(1000);
                self.ending.get_or_insert(until);
            }
            Observation::HostRebooted => {
                self.sandbox_stands = false;
                for track in &mut self.containers {
                    track.starting = None;
                    if let Some(record) = &mut track.record {
                        record.is_live = false;
                    }
                }
            }
            _ => {}
        }
    }

    /// The machine has made up its mind to end the pod, before what it tells in the same turn.
    pub(crate) fn note_ending(&mut self, at: Millis) {
        let until = at + self.grace;
        self.ending.get_or_insert(until);
    }

    /// An instruction.
    pub(crate) fn check_action(&mut self, at: Millis, action: &Action) -> Result<(), Broken> {
        let is_ending = self.ending.is_some();
        match *action {
            Action::PrepareVolumes => {
                check!(!is_ending, "volumes are prepared while the pod ends");
                (self.volumes_touched, self.volumes_removed) = (true, false);
            }
            Action::RemoveVolumes => {
                check!(is_ending, "volumes are removed from a living pod");
                check!(
                    !self.is_anything_live(),
                    "volumes are removed from running containers"
                );
                check!(
                    !self.sandbox_stands,
                    "volumes are removed before the sandbox"
                );
                self.volumes_removed = true;
            }
            Action::CreateSandbox { attempt } => {
                check!(!is_ending, "a sandbox is made while the pod ends");
                check!(!self.sandbox_stands, "there is a sandbox already");
                check!(
                    self.last_sandbox.is_none_or(|last| attempt > last),
                    "sandbox {attempt} again"
                );
                self.last_sandbox = Some(attempt);
            }
            Action::StopSandbox { attempt } => {
                check!(
                    self.last_sandbox == Some(attempt),
                    "sandbox {attempt} is old"
                );
                check!(
                    !self.is_anything_live(),
                    "the sandbox is stopped around containers"
                );
            }
            Action::EnsureImage { container, attempt } => {
                check!(!is_ending, "an image is pulled while the pod ends");
                let used = &mut self.track(container).used;
                check!(
                    used.is_none_or(|used| attempt > used),
                    "attempt {attempt} again"
                );
                *used = Some(attempt);
            }
            Action::StartContainer {
                container, attempt, ..
            } => self.check_start(container, attempt)?,
            Action::SignalContainer {
                container,
                attempt,
                signal,
            } => self.check_signal(at, container, attempt, signal)?,
            Action::RemoveContainer {
                container, attempt, ..
            } => {
                check!(
                    self.live(container, attempt).is_none(),
                    "a running instance is removed"
                );
                let track = self.track(container);
                if track
                    .record
                    .as_ref()
                    .is_some_and(|record| record.attempt == attempt)
                {
                    check!(
                        is_ending || track.kind != Kind::Ephemeral,
                        "an ephemeral container is removed from a living pod"
                    );
                    (track.record, track.opened) = (None, false);
                }
            }
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                check!(
                    !(is_ending && hook == Hook::PostStart),
                    "postStart while the pod ends"
                );
                let record = self.live(container, attempt);
                let record = record.ok_or("a hook in what does not run")?;
                let ran = &mut record.ran[hook as usize];
                check!(!*ran, "{hook:?} a second time");
                *ran = true;
                record.is_ahead = hook == Hook::PreStop && !is_ending;
            }
            Action::Probe {
                container,
                attempt,
                kind,
                round,
            } => {
                let is_app = self.track(container).kind == Kind::App;
                check!(
                    !is_ending || !is_app || kind == ProbeKind::Readiness,
                    "{kind:?} of an app is asked while the pod ends"
                );
                let record = self.live(container, attempt);
                let record = record.ok_or("a probe of what does not run")?;
                check!(
                    record.is_started != (kind == ProbeKind::Startup),
                    "{kind:?} probe at the wrong time"
                );
                check!(
                    !record.asked[kind as usize],
                    "{kind:?} is asked twice at once"
                );
                record.asked[kind as usize] = true;
                let rounds = &mut record.rounds[kind as usize];
                check!(round == *rounds, "round {round} instead of {rounds}");
                *rounds += 1;
            }
            Action::CancelImage { .. } | Action::CancelHook { .. } => {}
        }
        Ok(())
    }

    /// The gates of sections 1.4 and 1.5.
    fn check_start(&mut self, index: ContainerIndex, attempt: Attempt) -> Result<(), Broken> {
        check!(self.ending.is_none(), "a start while the pod ends");
        check!(self.sandbox_stands, "a start without a sandbox");
        let position = index.position();
        let track = &self.containers[position];
        check!(
            track.used == Some(attempt),
            "a start of attempt {attempt} without its image"
        );
        check!(
            !self.is_live(position),
            "a second instance beside the first"
        );
        let is_complete = |entry: usize| {
            let track = &self.containers[entry];
            match track.kind {
                Kind::Init => track.record.as_ref().is_some_and(|record| record.succeeded),
                Kind::Sidecar => track.opened,
                Kind::App | Kind::Ephemeral => true,
            }
        };
        let is_app_live = self.is_app_live();
        let mut behind = position + 1..self.containers.len();
        let is_later = is_app_live
            || behind.any(|entry| {
                let track = &self.containers[entry];
                matches!(track.kind, Kind::Init | Kind::Sidecar) && track.record.is_some()
            });
        let are_complete = (0..position).all(is_complete);
        match track.kind {
            Kind::Ephemeral => {
                let is_new = track.record.is_none();
                check!(is_new, "an ephemeral container a second time");
            }
            Kind::Init => {
                let is_done = track.record.as_ref().is_some_and(|record| record.succeeded);
                check!(!is_done, "an init container that had succeeded runs again");
                check!(!is_later, "an init container after what is behind it");
                check!(are_complete, "an init container before its turn");
                let mut inits = self.positions(Kind::Init);
                check!(
                    !inits.any(|other| self.is_live(other)),
                    "two init containers at once"
                );
            }
            Kind::Sidecar => {
                let is_restart = track.record.is_some();
                check!(
                    is_restart || is_later || are_complete,
                    "a sidecar before its turn"
                );
            }
            Kind::App => {
                check!(
                    is_app_live || are_complete,
                    "an app before its init containers are done"
                );
                let last_init = self
                    .positions(Kind::App)
                    .next()
                    .and_then(|first| first.checked_sub(1));
                if let Some(last) = last_init
                    && self.containers[last].kind == Kind::Sidecar
                    && !is_app_live
                {
                    let record = self.containers[last].record.as_ref();
                    let is_up = record.is_some_and(|record| record.is_live && record.is_started);
                    check!(is_up, "an app without the last sidecar");
                }
            }
        }
        self.track(index).starting = Some(attempt);
        Ok(())
    }

    fn check_signal(
        &mut self,
        at: Millis,
        index: ContainerIndex,
        attempt: Attempt,
        signal: StopSignal,
    ) -> Result<(), Broken> {
        let is_app_live = self.is_app_live();
        let mut behind = self
            .positions(Kind::Sidecar)
            .filter(|other| *other > index.position());
        let is_later_live = behind.any(|other| self.is_live(other));
        drop(behind);
        let grace_over = [self.ending, self.rebuilding].into_iter().flatten().min();
        let is_ending = self.ending.is_some();
        let is_kill = self.is_kill;
        let kind = self.track(index).kind;
        check!(
            kind != Kind::Ephemeral || is_ending || self.rebuilding.is_some(),
            "an ephemeral container is stopped in a living pod"
        );
        let record = self.live(index, attempt);
        let record = record.ok_or("a signal to what does not run")?;
        match signal {
            StopSignal::Stop => {
                check!(record.stopped_at.is_none(), "a second stop signal");
                record.stopped_at = Some(at);
                let is_in_order = kind != Kind::Sidecar || !(is_app_live || is_later_live);
                check!(
                    !is_ending || is_in_order || record.is_ahead || grace_over <= Some(at),
                    "a sidecar is stopped before its turn"
                );
            }
            StopSignal::Kill if is_kill => {}
            StopSignal::Kill => {
                let stopped = record.stopped_at.ok_or("SIGKILL without a stop signal")?;
                check!(at >= stopped + 2000, "SIGKILL too early");
            }
        }
        Ok(())
    }

    fn is_anything_live(&self) -> bool {
        (0..self.containers.len()).any(|position| self.is_live(position))
    }

    /// What must hold after every turn.
    pub(crate) fn check_turn(&mut self, machine: &PodMachine, world: &World) -> Result<(), Broken> {
        let deadline = machine.next_deadline();
        check!(
            deadline.is_none_or(|deadline| deadline > world.now().since_boot),
            "the deadline does not lie ahead"
        );
        let phase = machine.phase();
        check!(
            !self.phase.is_final() || phase == self.phase,
            "the phase left {:?}",
            self.phase
        );
        self.phase = phase;
        check!(
            !phase.is_final() || !self.is_anything_live(),
            "a final phase beside running containers"
        );
        if let Some(end) = machine.end() {
            check!(deadline.is_none(), "a deadline after the end");
            check!(!self.sandbox_stands, "the sandbox outlives the pod");
            check!(
                !self.volumes_touched || self.volumes_removed,
                "the volumes outlive the pod"
            );
            if end == End::Deleted {
                let left = self.containers.iter().any(|track| track.record.is_some());
                check!(!left, "something is left of a deleted pod");
            }
        }
        Ok(())
    }
}
