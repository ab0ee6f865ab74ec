//! One simulated pod from its creation to its end.

use podyard_lifecycle::{Action, Condition, ContainerIndex, End, Observation, PodMachine, Request};

use crate::journal::Turn;
use crate::random::Random;
use crate::rules::{Broken, Rules};
use crate::spec::random_pod;
use crate::status::StatusRules;
use crate::support::Millis;
use crate::support::pod::TestPod;
use crate::waits::Waits;
use crate::world::World;

/// After so many turns the pod is deleted, and the world becomes a friendly one.
const TURNS: u64 = 250;

/// And so many more have to be enough.
const LAST_TURNS: u64 = 400;

/// How closely a pod is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// The rules about actions, after every turn.
    Usual,
    /// Also the whole status, what is unanswered, snapshots, and a replay of everything. Keeps the turns.
    Every,
}

pub(crate) struct Life {
    pub(crate) lines: Vec<String>,
    pub(crate) pod: TestPod,
    care: Care,
    world: World,
    machine: PodMachine,
    first: Option<PodMachine>,
    rules: Rules,
    status_rules: StatusRules,
    waits: Waits,
    pub(crate) turns: Vec<Turn>,
    pub(crate) turn: u64,
    pub(crate) crashes: u64,
    pub(crate) reboots: u64,
}

impl Life {
    pub(crate) fn new(seed: u64, care: Care) -> Self {
        let mut random = Random::new(seed);
        let lines = random_pod(&mut random);
        let pod = TestPod::parse(lines.iter().map(String::as_str));
        let world = World::new(random);
        let machine = PodMachine::new(&pod.pod, pod.settings.clone(), world.now());
        Self {
            first: (care == Care::Every).then(|| machine.clone()),
            rules: Rules::new(&pod),
            status_rules: StatusRules::new(
                lines.iter().any(|line| line.contains(" gate=")),
                pod.pod.metadata.generation,
            ),
            waits: Waits::new(&pod),
            lines,
            pod,
            care,
            world,
            machine,
            turns: Vec::new(),
            turn: 0,
            crashes: 0,
            reboots: 0,
        }
    }

    /// Lives it to its end.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        self.take_turn(Vec::new(), Vec::new())?;
        while self.machine.end() != Some(End::Deleted) {
            if self.turn > TURNS + LAST_TURNS {
                return Err("it never ends".into());
            }
            if self.turn >= TURNS {
                self.world.is_tame = true;
            }
            if self.machine.end().is_some() && self.turn < TURNS && self.world.random.chance(50) {
                break;
            }
            self.pass_time()?;
            if !self.world.is_tame && self.world.random.one_in(150) {
                self.reboot()?;
                continue;
            }
            let mut observations = Vec::new();
            self.world.collect(&mut observations);
            if self.world.random.one_in(50) {
                observations.extend(self.old_news());
            }
            if self.world.random.one_in(600) {
                let message = "too much".into();
                observations.push(Observation::StorageExceeded { message });
            }
            // Whatever the pod waits for.
            if self.turn.is_multiple_of(16) {
                observations.push(Observation::ObjectsChanged);
            }
            let requests = self.requests(observations.is_empty());
            let is_crash = !self.world.is_tame && self.world.random.one_in(30);
            if is_crash {
                self.crash(observations, requests)?;
            } else {
                self.take_turn(observations, requests)?;
            }
        }
        self.check_replay()
    }

    /// To the next thing that happens, or to the deadline, or a bit less or more.
    fn pass_time(&mut self) -> Result<(), Broken> {
        let due = self.machine.next_deadline();
        let due = due.map(|due| self.world.millis(due));
        let next = [self.world.next(), due].into_iter().flatten().min();
        let Some(next) = next else {
            // Only what stays and what hangs is left, or the pod has ended: somebody has to do something.
            let is_stuck = self.world.unanswered.is_empty()
                && !self.world.is_anything_alive()
                && self.machine.end().is_none();
            if is_stuck {
                return Err("nothing runs, nothing is asked, nothing is waited for".into());
            }
            self.world.at += 1_000;
            return Ok(());
        };
        let random = &mut self.world.random;
        let at = match random.below(20) {
            0 => next.saturating_sub(random.below(3_000)), // Too early.
            1 => next + random.below(3_000),               // Late.
            _ => next,
        };
        self.world.at = self.world.at.max(at);
        if !self.world.is_tame && self.world.random.one_in(200) {
            self.world.jump();
            self.waits.give_up();
        }
        Ok(())
    }

    fn requests(&mut self, is_quiet: bool) -> Vec<Request> {
        let has_nothing_to_do =
            is_quiet && self.world.next().is_none() && self.machine.next_deadline().is_none();
        let random = &mut self.world.random;
        let request = match random.below(500) {
            // Whatever hangs by then is killed.
            _ if self.turn == TURNS + 200 => Request::Kill,
            _ if self.turn == TURNS => Request::Delete {
                grace_seconds: Some(3),
            },
            0 => Request::Delete {
                grace_seconds: None,
            },
            1 => Request::Delete {
                grace_seconds: Some(random.pick(&[-1, 0, 1, 5, 100])),
            },
            2 if random.chance(50) => Request::Kill,
            3..=6 => Request::Retry { container: None },
            7..=10 => Request::Retry {
                container: Some(ContainerIndex(random.pick(&[0, 1, 2, 3, 99]))),
            },
            11..=16 => self.change(),
            17 | 18 => self.condition(),
            _ if has_nothing_to_do && random.chance(30) => Request::Delete {
                grace_seconds: None,
            },
            _ => return Vec::new(),
        };
        vec![request]
    }

    /// Somebody changes the pod.
    fn change(&mut self) -> Request {
        let random = &mut self.world.random;
        let ephemerals = self.machine.ephemeral_count();
        match random.below(10) {
            0 | 1 if ephemerals < 3 => {
                let name = format!("e{}", self.pod.containers.len());
                let image = random.pick(&["image=x:1", "image=y:1"]);
                self.pod.add_ephemeral([name.as_str(), image].into_iter());
            }
            2 => {
                let deadline = random.pick(&["deadline=5", "deadline=600"]);
                self.pod.change(deadline);
            }
            _ => {
                let members = self.pod.containers.len() - self.pod.ephemeral_count();
                let position = usize::try_from(random.below(members as u64)).unwrap_or(0);
                let image = random.pick(&["x:1", "y:1", "w:2", "z:latest"]);
                let word = format!("{}={image}", self.pod.containers[position].name);
                self.pod.change(&word);
            }
        }
        let pod = Box::new(self.pod.next_generation());
        Request::Update { pod }
    }

    /// Somebody sets a condition, or takes one back.
    fn condition(&mut self) -> Request {
        let random = &mut self.world.random;
        let kind = random.pick(&["x/y", "x/y", "other", "Ready"]).to_owned();
        if random.chance(25) {
            return Request::RemoveCondition { kind };
        }
        let condition = Condition {
            kind,
            status: random
                .pick(&["True", "True", "False", "Unknown"])
                .to_owned(),
            reason: None,
            message: None,
            since: None,
        };
        Request::SetCondition { condition }
    }

    /// Something that is long over, or was never asked for.
    fn old_news(&mut self) -> Option<Observation> {
        let random = &mut self.world.random;
        let container = ContainerIndex(random.pick(&[0, 1, 2, 99]));
        let attempt = u32::try_from(random.below(3)).unwrap_or(0);
        let is_unknown = |world: &World| {
            let is_it = |action: &Action| matches!(action, Action::StartContainer { container: it, attempt: of, .. } if (*it, *of) == (container, attempt));
            !world.unanswered.iter().any(|(action, _)| is_it(action))
                && !world
                    .instances
                    .iter()
                    .any(|it| (it.container, it.attempt) == (container, attempt))
        };
        let observation = match random.below(5) {
            0 => Observation::SandboxDied { attempt: 4_000 },
            1 => Observation::SandboxStopped { attempt: 4_000 },
            2 => Observation::ContainerRemoved {
                container: ContainerIndex(99),
                attempt,
            },
            3 if is_unknown(&self.world) => Observation::ContainerExited {
                container,
                attempt,
                exit: podyard_lifecycle::Exit::Code(1),
                at: self.world.now().wall,
                message: None,
            },
            4 if is_unknown(&self.world) => Observation::ContainerStarted {
                container,
                attempt,
                container_id: "podyard://nobody".into(),
                at: self.world.now().wall,
            },
            _ => return None,
        };
        Some(observation)
    }

    fn take_turn(
        &mut self,
        observations: Vec<Observation>,
        requests: Vec<Request>,
    ) -> Result<(), Broken> {
        let actions = self.decide(observations, requests)?;
        for action in &actions {
            self.world.begin(action);
        }
        self.check_answers_due()
    }

    /// The part of a turn that is written down.
    fn decide(
        &mut self,
        observations: Vec<Observation>,
        requests: Vec<Request>,
    ) -> Result<Vec<Action>, Broken> {
        self.turn += 1;
        let mut turn = Turn::new(self.turn, self.world.now());
        (turn.observations, turn.requests) = (observations, requests);
        for observation in &turn.observations {
            self.rules.see(self.world.at, observation);
            self.waits.see(observation);
        }
        for request in &turn.requests {
            if let Request::Update { pod } = request {
                self.status_rules.generation = pod.metadata.generation;
            }
            self.rules.hear(self.world.at, request);
            self.waits.hear(request);
        }
        let mut actions = Vec::new();
        turn.apply(&mut self.machine, |action| actions.push(action), drop);
        if self.care == Care::Every {
            self.turns.push(turn);
        }
        if self.machine.is_terminating() {
            self.rules.note_ending(self.world.at);
        }
        for action in &actions {
            self.rules
                .check_action(self.world.at, action)
                .and_then(|()| self.waits.check(self.world.at, action))
                .map_err(|broken| format!("{broken}: {action:?}"))?;
        }
        self.rules.check_turn(&self.machine, &self.world)?;
        if self.care == Care::Every {
            self.status_rules.check(&self.machine.status())?;
        }
        Ok(actions)
    }

    /// What the world has not answered is what the machine waits for.
    fn check_answers_due(&self) -> Result<(), Broken> {
        if self.care == Care::Usual {
            return Ok(());
        }
        let mut due = self.machine.pending_actions().to_vec();
        for (action, _) in &self.world.unanswered {
            let position = due.iter().position(|known| known == action);
            match (position, action) {
                (Some(position), _) => drop(due.swap_remove(position)),
                // A stop signal that `SIGKILL` has overtaken is answered by the same exit.
                (None, Action::SignalContainer { .. }) => {}
                (None, _) => return Err(format!("nobody waits for {action:?}")),
            }
        }
        let is_signal = |action: &Action| matches!(action, Action::SignalContainer { .. });
        let is_cancel = |action: &Action| {
            matches!(
                action,
                Action::CancelImage { .. } | Action::CancelHook { .. }
            )
        };
        match due
            .iter()
            .find(|action| !is_signal(action) && !is_cancel(action))
        {
            Some(action) => Err(format!("nobody will answer {action:?}")),
            None => Ok(()),
        }
    }

    /// The supervisor is killed, before or after it has written the turn down, or while it begins what it has decided; another one takes
    /// over.
    fn crash(
        &mut self,
        observations: Vec<Observation>,
        requests: Vec<Request>,
    ) -> Result<(), Broken> {
        self.crashes += 1;
        match self.world.random.below(3) {
            0 => {} // Nobody will know of this turn.
            1 => {
                self.decide(observations, requests)?;
            }
            _ => {
                let actions = self.decide(observations, requests)?;
                let begun = self.world.random.below(actions.len() as u64 + 1);
                for action in actions.iter().take(usize::try_from(begun).unwrap_or(0)) {
                    self.world.begin(action);
                }
            }
        }
        if self.care == Care::Every {
            let text = serde_json::to_string(&self.machine).map_err(|error| error.to_string())?;
            let restored = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if self.machine != restored {
                return Err("a snapshot has lost something".into());
            }
            self.machine = restored;
        }
        let found = self.world.take_over(self.machine.pending_actions());
        self.take_turn(found, Vec::new())
    }

    fn reboot(&mut self) -> Result<(), Broken> {
        self.reboots += 1;
        self.world.reboot();
        self.take_turn(vec![Observation::HostRebooted], Vec::new())
    }

    /// The same turns lead to the same machine.
    fn check_replay(&self) -> Result<(), Broken> {
        let Some(first) = &self.first else {
            return Ok(());
        };
        let mut machine = first.clone();
        for turn in &self.turns {
            turn.apply(&mut machine, drop, drop);
        }
        if machine == self.machine {
            Ok(())
        } else {
            Err("a replay comes out differently".into())
        }
    }

    pub(crate) fn at(&self) -> Millis {
        self.world.at
    }
}
