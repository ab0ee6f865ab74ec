//! A machine in its scripted world, and the log of what came of it.

use std::fmt::Write as _;

use podyard_lifecycle::{
    Accepted, Condition, Hook, HookResult, Observation, PodMachine, Request, kubernetes_time,
};

use super::pod::TestPod;
use super::shorthand::{self, Fact};
use super::world::{Fault, World};
use super::{Clocks, Millis, millis};

pub(crate) struct Play {
    world: World,
    clocks: Clocks,
    machine: Option<PodMachine>,
    /// Every status it showed, without repetitions.
    pub(crate) shown: Vec<Vec<Fact>>,
    /// Every Event, as `app: Normal Killing: Stopping container app`.
    pub(crate) said: Vec<String>,
    pub(crate) log: String,
    turns: usize,
}

/// A scenario with more turns than this goes in circles.
const MOST_TURNS: usize = 2_000;

impl Play {
    pub(crate) fn new(pod: TestPod) -> Self {
        Self {
            world: World::new(pod),
            clocks: Clocks::default(),
            machine: None,
            shown: Vec::new(),
            said: Vec::new(),
            log: String::new(),
            turns: 0,
        }
    }

    /// Everything that happens before this moment, one turn for each thing.
    pub(crate) fn pass_until(&mut self, end: Millis) {
        while let Some(at) = self.next().filter(|at| *at < end) {
            self.happen(at);
        }
        self.world.at = end;
    }

    fn next(&self) -> Option<Millis> {
        let machine = self.machine.as_ref();
        let due = machine.and_then(PodMachine::next_deadline);
        let due = due.map(|due| self.clocks.millis(due));
        [self.world.next(), due].into_iter().flatten().min()
    }

    fn happen(&mut self, at: Millis) {
        self.world.at = self.world.at.max(at);
        let said = self.world.say();
        self.turn(said.as_slice(), &[]);
    }

    fn create(&mut self, found: &[Observation]) {
        let pod = &self.world.pod;
        let now = self.clocks.now(self.world.at);
        self.machine = Some(PodMachine::new(&pod.pod, pod.settings.clone(), now));
        self.turn(found, &[]);
    }

    /// What somebody does, or what befalls the world. See `scenarios.rs` for the list.
    pub(crate) fn input(&mut self, words: &[&str]) {
        let rest = |from: usize| words[from..].join(" ");
        match *words {
            ["create"] => self.create(&[]),
            ["create", "rejected", reason, ..] => {
                let (reason, message) = (reason.into(), rest(3));
                self.create(&[Observation::Rejected { reason, message }]);
            }
            ["delete"] => self.ask(Request::Delete {
                grace_seconds: None,
            }),
            ["delete", grace] => {
                let grace_seconds = Some(grace.parse().expect("seconds"));
                self.ask(Request::Delete { grace_seconds });
            }
            ["kill"] => self.ask(Request::Kill),
            ["retry"] => self.ask(Request::Retry { container: None }),
            ["retry", name] => {
                let container = Some(self.world.index(name));
                self.ask(Request::Retry { container });
            }
            ["update", ..] => {
                for word in &words[1..] {
                    self.world.pod.change(word);
                }
                self.update();
            }
            ["debug", ..] => {
                self.world.pod.add_ephemeral(words[1..].iter().copied());
                self.update();
            }
            ["condition", kind, "gone"] => {
                let kind = kind.into();
                self.ask(Request::RemoveCondition { kind });
            }
            ["condition", word, ..] => {
                let (kind, status) = word.split_once('=').expect("type=status");
                let message = (words.len() > 3).then(|| rest(3));
                let condition = Condition {
                    kind: kind.into(),
                    status: status.into(),
                    reason: words.get(2).map(|reason| reason.to_string()),
                    message,
                    since: None,
                };
                self.ask(Request::SetCondition { condition });
            }
            ["exit", name, how, ..] => {
                self.world.end(name, how, &message(&rest(3)));
            }
            ["sandbox", "dies", attempt] => {
                let attempt = attempt.parse().expect("a number");
                self.world.announce(Observation::SandboxDied { attempt });
            }
            ["sandbox", "ready", attempt] => {
                let attempt = attempt.parse().expect("a number");
                let pod_ips = vec!["10.88.9.9".to_owned()];
                self.world
                    .announce(Observation::SandboxReady { attempt, pod_ips });
            }
            ["sandbox", "stopped", attempt] => {
                let attempt = attempt.parse().expect("a number");
                self.world.announce(Observation::SandboxStopped { attempt });
            }
            ["image", name, "late", time, ..] => {
                let fault = Fault::FailsLate(millis(time), rest(4));
                self.world.faults.insert(format!("image {name}"), fault);
            }
            ["storage", "over", ..] => {
                let message = rest(2);
                self.world
                    .announce(Observation::StorageExceeded { message });
            }
            ["objects", "change"] => self.world.announce(Observation::ObjectsChanged),
            ["warn", reason, ..] => {
                let (reason, message) = (reason.into(), rest(2));
                let warned = Observation::Warned { reason, message };
                self.world.announce(warned);
            }
            ["remains", name, attempt, "vanish"] => {
                let container = self.world.index(name);
                let attempt = attempt.parse().expect("a number");
                let vanished = Observation::ContainerRemoved { container, attempt };
                self.world.announce(vanished);
            }
            ["hook", name, attempt, which, how] => {
                let container = self.world.index(name);
                let attempt = attempt.parse().expect("a number");
                let hook = match which {
                    "PostStart" => Hook::PostStart,
                    "PreStop" => Hook::PreStop,
                    _ => panic!("{which} is no hook"),
                };
                let result = match how {
                    "ok" => HookResult::Succeeded,
                    _ => HookResult::Failed {
                        message: how.into(),
                    },
                };
                self.world.announce(Observation::HookFinished {
                    container,
                    attempt,
                    hook,
                    result,
                });
            }
            ["reboot"] => {
                self.world.forget_everything();
                self.clocks = Clocks::booted_at(self.world.at);
                self.turn(&[Observation::HostRebooted], &[]);
            }
            ["image" | "start" | "volume" | "sandbox", name, "ok"] => {
                self.world.faults.remove(&format!("{} {name}", words[0]));
            }
            ["image" | "start" | "volume" | "sandbox", name, "fails", ..] => {
                let key = format!("{} {name}", words[0]);
                self.world.faults.insert(key, Fault::Fails(rest(3)));
            }
            [
                "image" | "start" | "volume" | "sandbox",
                name,
                "takes",
                time,
            ] => {
                let key = format!("{} {name}", words[0]);
                self.world.faults.insert(key, Fault::Takes(millis(time)));
            }
            ["set", name, word] => {
                let (key, value) = word.split_once('=').expect("key=value");
                let index = self.world.index(name);
                let words = &mut self.world.pod.containers[index.position()].world;
                words.insert(key.to_owned(), value.to_owned());
            }
            ["show", pointer] => self.show(pointer),
            ["tell", what] => self.tell(what),
            ["wait"] => self.turn(&[], &[]),
            ["end"] => self.end(),
            _ => panic!("{words:?} is no input"),
        }
    }

    /// One value of the status, by its JSON pointer.
    fn show(&mut self, pointer: &str) {
        let status = self.machine().status();
        let status = serde_json::to_value(status).expect("it can be printed");
        let value = status.pointer(pointer);
        let text = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        self.write("show", &text);
    }

    /// What the machine tells beside its status.
    fn tell(&mut self, what: &str) {
        let machine = self.machine();
        let text = match what {
            "next-try" => machine.next_try().map(|(container, at)| {
                let name = machine.container_name(container);
                assert_eq!(machine.container_index(name), Some(container));
                format!("{name} at {}", seconds(self.clocks.millis(at)))
            }),
            "deletion" => machine.deletion().map(|(at, grace)| {
                let at = kubernetes_time(at).0;
                format!("asked for at {at}, with {grace} s")
            }),
            "end" => machine
                .is_terminating()
                .then(|| match machine.is_finished() {
                    true => "finished".to_owned(),
                    false => "on its way".to_owned(),
                }),
            _ => panic!("nobody can tell {what}"),
        };
        self.write("tell", text.as_deref().unwrap_or("nothing"));
    }

    /// What happens at this moment is still told, and then where it stands.
    fn end(&mut self) {
        let end = self.world.at;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.happen(at);
        }
        let machine = self.machine();
        let next = machine.next_deadline();
        let next = next.map(|next| seconds(self.clocks.millis(next)));
        let text = match (machine.end(), next) {
            (Some(end), None) => {
                assert_eq!(machine.pending_actions(), [], "unanswered at the end");
                format!("over, {end:?}")
            }
            (None, Some(next)) => format!("not over, and will look again at {next}"),
            (None, None) => "not over".to_owned(),
            (Some(end), Some(next)) => panic!("{end:?} with a deadline at {next}"),
        };
        self.write("is", &text);
    }

    /// The pod is what it has become, with the next generation.
    fn update(&mut self) {
        let pod = Box::new(self.world.pod.next_generation());
        self.ask(Request::Update { pod });
    }

    fn ask(&mut self, request: Request) {
        self.turn(&[], &[request]);
    }

    fn machine(&self) -> &PodMachine {
        self.machine.as_ref().expect("the pod was created")
    }

    fn turn(&mut self, observations: &[Observation], requests: &[Request]) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "it goes in circles");
        let now = self.clocks.now(self.world.at);
        let mut machine = self.machine.take().expect("the pod was created");
        for observation in observations {
            machine.observe(now, observation);
        }
        let mut refusals = Vec::new();
        for request in requests {
            match machine.request(now, request) {
                Ok(Accepted::Done) => {}
                Ok(Accepted::AlreadySo) => refusals.push("it is so already".to_owned()),
                Err(refusal) => refusals.push(format!("refused: {refusal:?}")),
            }
        }
        machine.advance(now);
        for refusal in refusals {
            self.write("ask", &refusal);
        }
        while let Some(event) = machine.next_event() {
            let path = event.field_path.unwrap_or_default();
            let name = path.split(['{', '}']).nth(1).unwrap_or_default();
            let about = if name.is_empty() { "" } else { ": " };
            let (kind, reason, message) = (event.kind, event.reason, event.message);
            let text = format!("{name}{about}{kind:?} {reason}: {message}");
            // Every healthy start has these three; they would only hide the others.
            let is_usual = matches!(reason.as_str(), "Created" | "Started")
                || reason == "Pulled" && message.contains("already present");
            if !is_usual {
                self.write("say", &text);
            }
            self.said.push(text);
        }
        let after = shorthand::facts(&machine.status());
        let before = self.shown.last().map_or(&[][..], Vec::as_slice);
        let changes = shorthand::changes(before, &after);
        if !changes.is_empty() {
            self.write("see", &changes);
            self.shown.push(after);
        }
        while let Some(action) = machine.next_action() {
            if let Some(text) = self.world.act(&action) {
                self.write("do", &text);
            }
        }
        if let Some(due) = machine.next_deadline() {
            assert!(due > now.since_boot, "the deadline does not lie ahead");
        }
        self.machine = Some(restored(&machine));
    }

    fn write(&mut self, kind: &str, text: &str) {
        let at = seconds(self.world.at);
        let _ = writeln!(self.log, "    {at:<6} {kind:<4} {text}");
    }
}

/// The machine as a supervisor finds it that takes over after every single turn.
fn restored(machine: &PodMachine) -> PodMachine {
    let text = serde_json::to_string(machine).expect("a machine can be saved");
    let restored = serde_json::from_str(&text).expect("a saved machine can be read");
    assert_eq!(*machine, restored, "something was lost in the snapshot");
    restored
}

/// A termination message: `a line\n`, or `é*5000`.
fn message(text: &str) -> String {
    match text.split_once('*') {
        Some((part, count)) => part.repeat(count.parse().expect("a count")),
        None => text.replace("\\n", "\n"),
    }
}

/// `1.5`
fn seconds(at: Millis) -> String {
    let text = format!("{}.{:03}", at / 1000, at % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
