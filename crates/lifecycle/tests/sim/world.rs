//! A fake world with a mind of its own: processes end when they like, pulls fail, hooks hang, the sandbox dies, the machine reboots.
//!
//! It knows the truth (what lives, what it was told, what it has not answered), so that the rules (`rules.rs`) can hold the machine to it.
//! Virtual time, in milliseconds; everything comes out of one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use podyard_lifecycle::{
    Action, Attempt, ContainerIndex, Exit, Hook, HookResult, ImageFacts, ImageFailure, Now,
    Observation, ProbeOutcome, PullFacts, StartStage, StopSignal, Timestamp,
};

use crate::random::Random;
use crate::support::{Clocks, Millis, shifted};

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) at: Millis,
    clocks: Clocks,
    /// How far the wall clock was set ahead or back.
    clock_error: i64,
    coming: BinaryHeap<Reverse<Coming>>,
    number: u64,
    /// What it was told and has not answered.
    pub(crate) unanswered: Vec<(Action, u64)>,
    pub(crate) instances: Vec<Instance>,
    /// The newest sandbox that stands.
    pub(crate) sandbox: Option<u32>,
    /// From now on nothing goes wrong any more, and nothing hangs.
    pub(crate) is_tame: bool,
}

/// A process of a container.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) container: ContainerIndex,
    pub(crate) attempt: Attempt,
    pub(crate) life: Life,
}

#[derive(Clone, Debug)]
pub(crate) enum Life {
    Runs,
    /// How and when, as long as it is not written down anywhere.
    Ended(Exit, Timestamp),
}

/// Something that will happen.
#[derive(Debug)]
struct Coming {
    at: Millis,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Answer(Observation),
    Exit(ContainerIndex, Attempt, Exit),
    SandboxDies(u32),
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Coming {}
impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Coming {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            at: 0,
            clocks: Clocks::default(),
            clock_error: 0,
            coming: BinaryHeap::new(),
            number: 0,
            unanswered: Vec::new(),
            instances: Vec::new(),
            sandbox: None,
            is_tame: false,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let mut now = self.clocks.now(self.at);
        now.wall = shifted(now.wall, self.clock_error);
        now
    }

    fn wall(&self) -> Timestamp {
        self.now().wall
    }

    /// A deadline of the machine as virtual time.
    pub(crate) fn millis(&self, since_boot: Duration) -> Millis {
        self.clocks.millis(since_boot)
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.coming.peek().map(|next| next.0.at)
    }

    /// Everything that runs, or is about to.
    pub(crate) fn is_anything_alive(&self) -> bool {
        let runs = |it: &Instance| matches!(it.life, Life::Runs);
        self.instances.iter().any(runs)
    }

    /// What can be observed by now.
    pub(crate) fn collect(&mut self, into: &mut Vec<Observation>) {
        while let Some(next) = self.coming.peek()
            && next.0.at <= self.at
        {
            let Some(Reverse(next)) = self.coming.pop() else {
                return;
            };
            match next.what {
                What::Answer(observation) => {
                    let asked = |(_, number): &(Action, u64)| *number == next.number;
                    let Some(position) = self.unanswered.iter().position(asked) else {
                        continue; // It was cancelled, or forgotten in a crash.
                    };
                    let (action, _) = self.unanswered.swap_remove(position);
                    self.take_effect(&action, &observation);
                    into.push(observation);
                }
                What::Exit(container, attempt, exit) => {
                    let at = self.wall();
                    if self.end(container, attempt, exit, at) {
                        into.push(exited(container, attempt, exit, at));
                    }
                }
                What::SandboxDies(attempt) => {
                    if self.sandbox == Some(attempt) {
                        self.sandbox = None;
                        into.push(Observation::SandboxDied { attempt });
                    }
                }
            }
            if self.random.chance(70) {
                return; // Mostly one thing at a time.
            }
        }
    }

    /// The truth that comes with an answer.
    fn take_effect(&mut self, action: &Action, observation: &Observation) {
        match (action, observation) {
            (
                Action::StartContainer { .. },
                Observation::ContainerStarted {
                    container, attempt, ..
                },
            ) => {
                self.run(*container, *attempt);
            }
            (Action::CreateSandbox { .. }, Observation::SandboxReady { attempt, .. }) => {
                self.sandbox = Some(*attempt);
                if !self.is_tame && self.random.chance(7) {
                    let after = self.random.below(60_000);
                    self.later(after, What::SandboxDies(*attempt));
                }
            }
            (Action::StopSandbox { .. }, _) => self.sandbox = None,
            (Action::CancelImage { .. } | Action::CancelHook { .. }, _) => {}
            (
                Action::RemoveContainer {
                    container, attempt, ..
                },
                _,
            ) => {
                self.instances
                    .retain(|it| it.container != *container || it.attempt != *attempt);
            }
            _ => {}
        }
        // A cancellation is answered by that which it cancels.
        self.unanswered.retain(|(known, _)| match (known, action) {
            (
                Action::CancelImage { container, attempt },
                Action::EnsureImage {
                    container: it,
                    attempt: of,
                },
            ) => (container, attempt) != (it, of),
            (
                Action::CancelHook {
                    container,
                    attempt,
                    hook,
                },
                Action::RunHook {
                    container: it,
                    attempt: of,
                    hook: which,
                },
            ) => (container, attempt, hook) != (it, of, which),
            _ => true,
        });
    }

    /// A process begins. How it will end is up to chance.
    fn run(&mut self, container: ContainerIndex, attempt: Attempt) {
        self.instances.push(Instance {
            container,
            attempt,
            life: Life::Runs,
        });
        if self.is_tame {
            return;
        }
        let after = match self.random.below(16) {
            0..=5 => self.random.below(1_000),
            6..=12 => self.random.below(20_000),
            13 | 14 => self.random.below(900_000),
            _ => return, // It stays.
        };
        let exit = self.random_exit();
        self.later(after, What::Exit(container, attempt, exit));
    }

    fn random_exit(&mut self) -> Exit {
        match self.random.below(20) {
            0..=9 => Exit::Code(0),
            10..=13 => Exit::Code(1),
            14..=15 => Exit::Code(42),
            16 => Exit::Signal(9),
            17 => Exit::OomKilled { code: 137 },
            18 => Exit::OomKilled { code: 0 },
            _ => Exit::Lost,
        }
    }

    fn end(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        exit: Exit,
        at: Timestamp,
    ) -> bool {
        let is_it = |it: &&mut Instance| it.container == container && it.attempt == attempt;
        match self.instances.iter_mut().find(is_it) {
            Some(instance) if matches!(instance.life, Life::Runs) => {
                instance.life = Life::Ended(exit, at);
                true
            }
            _ => false,
        }
    }

    fn later(&mut self, after: Millis, what: What) {
        self.number += 1;
        self.coming.push(Reverse(Coming {
            at: self.at + after,
            number: self.number,
            what,
        }));
    }

    /// Begins to do what it is told.
    pub(crate) fn begin(&mut self, action: &Action) {
        match *action {
            Action::SignalContainer {
                container,
                attempt,
                signal,
            } => self.signal(container, attempt, signal),
            Action::CancelImage { container, attempt } => {
                let failed = Observation::ImageFailed {
                    container,
                    attempt,
                    reason: ImageFailure::Cancelled,
                    message: String::new(),
                };
                self.answer_instead(&Action::EnsureImage { container, attempt }, failed);
                return;
            }
            Action::CancelHook {
                container,
                attempt,
                hook,
            } => {
                let cancelled = hook_finished(container, attempt, hook, HookResult::Cancelled);
                let run = Action::RunHook {
                    container,
                    attempt,
                    hook,
                };
                self.answer_instead(&run, cancelled);
                return;
            }
            _ => {}
        }
        self.number += 1;
        let number = self.number;
        self.unanswered.push((action.clone(), number));
        if let Some((after, answer)) = self.answer_to(action) {
            self.coming.push(Reverse(Coming {
                at: self.at + after,
                number,
                what: What::Answer(answer),
            }));
        }
    }

    /// Answers something that is under way with this and now; mostly, since it may have been on its way.
    fn answer_instead(&mut self, action: &Action, answer: Observation) {
        let Some(entry) = self
            .unanswered
            .iter_mut()
            .find(|(known, _)| known == action)
        else {
            return;
        };
        let is_never_answered = !self.coming.iter().any(|coming| coming.0.number == entry.1);
        if is_never_answered || self.random.chance(80) {
            self.number += 1;
            entry.1 = self.number;
            self.coming.push(Reverse(Coming {
                at: self.at,
                number: self.number,
                what: What::Answer(answer),
            }));
        }
    }

    /// A stop signal is obeyed, or not; `SIGKILL` is.
    fn signal(&mut self, container: ContainerIndex, attempt: Attempt, signal: StopSignal) {
        let (after, exit) = match signal {
            StopSignal::Kill => (self.random.below(50), Exit::Signal(9)),
            StopSignal::Stop if self.random.chance(30) => return,
            StopSignal::Stop => {
                let exit = self
                    .random
                    .pick(&[Exit::Code(0), Exit::Code(143), Exit::Signal(15)]);
                (self.random.below(4_000), exit)
            }
        };
        self.later(after, What::Exit(container, attempt, exit));
    }

    /// What it will say to an instruction, and after how long. Nothing, if it hangs or is answered by an exit.
    fn answer_to(&mut self, action: &Action) -> Option<(Millis, Observation)> {
        let fails = |world: &mut Self, per_cent| !world.is_tame && world.random.chance(per_cent);
        let answer = match *action {
            Action::PrepareVolumes if fails(self, 15) => Observation::VolumesFailed {
                volume: "v".into(),
                message: "not there".into(),
            },
            Action::PrepareVolumes => Observation::VolumesReady,
            Action::RemoveVolumes => Observation::VolumesRemoved,
            Action::CreateSandbox { attempt } if fails(self, 15) => Observation::SandboxFailed {
                attempt,
                message: "no address left".into(),
            },
            Action::CreateSandbox { attempt } => Observation::SandboxReady {
                attempt,
                pod_ips: vec!["10.88.0.2".into()],
            },
            Action::StopSandbox { attempt } => Observation::SandboxStopped { attempt },
            Action::EnsureImage { container, attempt } => {
                return Some(self.image(container, attempt));
            }
            Action::StartContainer {
                container, attempt, ..
            } => self.started_or_not(container, attempt),
            Action::RemoveContainer {
                container, attempt, ..
            } => Observation::ContainerRemoved { container, attempt },
            Action::RunHook { .. } if fails(self, 15) => return None,
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                let result = if fails(self, 25) {
                    HookResult::Failed {
                        message: "it failed".into(),
                    }
                } else {
                    HookResult::Succeeded
                };
                let after = self.random.below(5_000);
                return Some((after, hook_finished(container, attempt, hook, result)));
            }
            Action::Probe {
                container,
                attempt,
                kind,
                round,
            } => Observation::ProbeFinished {
                container,
                attempt,
                kind,
                round,
                outcome: self.probe(),
            },
            Action::SignalContainer { .. }
            | Action::CancelImage { .. }
            | Action::CancelHook { .. } => {
                return None;
            }
        };
        Some((self.random.pick(&[0, 0, 1, 30, 400]), answer))
    }

    fn image(&mut self, container: ContainerIndex, attempt: Attempt) -> (Millis, Observation) {
        let dice = if self.is_tame {
            0
        } else {
            self.random.below(100)
        };
        if dice < 80 {
            let took = Duration::from_millis(self.random.below(20_000));
            let is_pulled = self.random.chance(30);
            let image = ImageFacts {
                name: "docker.io/library/x:1".into(),
                id: "sha256:00".into(),
                pulled: is_pulled.then_some(PullFacts {
                    took,
                    including_waiting: took,
                    bytes: 1,
                }),
            };
            let after = if is_pulled {
                self.random.below(20_000)
            } else {
                0
            };
            let ready = Observation::ImageReady {
                container,
                attempt,
                image,
            };
            return (after, ready);
        }
        let reason = self.random.pick(&[
            ImageFailure::ErrImagePull,
            ImageFailure::ErrImagePull,
            ImageFailure::ErrImageNeverPull,
            ImageFailure::InvalidImageName,
            ImageFailure::ImageInspectError,
            ImageFailure::RegistryUnavailable,
        ]);
        let failed = Observation::ImageFailed {
            container,
            attempt,
            reason,
            message: "no such image".into(),
        };
        (self.random.below(3_000), failed)
    }

    fn started_or_not(&mut self, container: ContainerIndex, attempt: Attempt) -> Observation {
        let at = self.wall();
        let container_id = format!("podyard://{}-{attempt}", container.0);
        if self.is_tame || self.random.chance(92) {
            return Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            };
        }
        let stage = self
            .random
            .pick(&[StartStage::Config, StartStage::Create, StartStage::Start]);
        Observation::ContainerNotStarted {
            container,
            attempt,
            stage,
            message: "it would not".into(),
            container_id: (stage == StartStage::Start).then_some(container_id),
            at,
        }
    }

    fn probe(&mut self) -> ProbeOutcome {
        match self.random.below(20) {
            0..=13 => ProbeOutcome::Success { warning: None },
            14 => ProbeOutcome::Success {
                warning: Some("hm".into()),
            },
            15 => ProbeOutcome::Error {
                message: "no port".into(),
            },
            _ => ProbeOutcome::Failure {
                output: "no".into(),
            },
        }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&mut self) {
        self.clock_error = i64::try_from(self.random.below(40_000_000)).unwrap_or(0) - 20_000_000;
    }

    /// The supervisor is killed and another one takes over: nobody will answer what was under way, and processes live on. Returns what the
    /// new one finds. `pending` is what its machine knows to be under way.
    pub(crate) fn take_over(&mut self, pending: &[Action]) -> Vec<Observation> {
        let mut found = Vec::new();
        self.unanswered.clear();
        if let Some(attempt) = pending_sandbox_stop(pending) {
            // Half-way is as good as not begun.
            self.sandbox = self.sandbox.filter(|standing| *standing != attempt);
        }
        let at = self.wall();
        for action in pending {
            if let Action::StartContainer {
                container, attempt, ..
            } = *action
            {
                let is_it = |it: &Instance| it.container == container && it.attempt == attempt;
                let exists = self.instances.iter().any(is_it);
                if !exists && self.random.chance(50) {
                    self.begin(action);
                    continue;
                }
                if !exists {
                    // It came to be while nobody looked.
                    self.run(container, attempt);
                }
                found.push(Observation::ContainerStarted {
                    container,
                    attempt,
                    container_id: format!("podyard://{}-{attempt}", container.0),
                    at,
                });
            } else {
                self.begin(action);
            }
        }
        for instance in &self.instances {
            if let Life::Ended(exit, at) = instance.life {
                found.push(exited(instance.container, instance.attempt, exit, at));
            }
        }
        found
    }

    /// Nothing of before is there any more, and nobody will answer.
    pub(crate) fn reboot(&mut self) {
        self.at += self.random.below(100_000);
        self.clocks = Clocks::booted_at(self.at);
        self.coming.clear();
        self.unanswered.clear();
        self.instances.clear();
        self.sandbox = None;
    }
}

fn pending_sandbox_stop(pending: &[Action]) -> Option<u32> {
    pending.iter().find_map(|action| match action {
        Action::StopSandbox { attempt } => Some(*attempt),
        _ => None,
    })
}

fn exited(container: ContainerIndex, attempt: Attempt, exit: Exit, at: Timestamp) -> Observation {
    Observation::ContainerExited {
        container,
        attempt,
        exit,
        at,
        message: None,
    }
}

fn hook_finished(
    container: ContainerIndex,
    attempt: Attempt,
    hook: Hook,
    result: HookResult,
) -> Observation {
    Observation::HookFinished {
        container,
        attempt,
        hook,
        result,
    }
}
