//! Scenarios: a pod, a timeline of what happens to it, and everything the machine then does, shows and says.
//!
//! Each file in `tests/scenarios/` has a comment (what it shows, and whether a real kubelet was seen doing it), the pod's lines
//! (`support/pod.rs`), and the timeline. A line that begins with `at` is an input; the indented lines below it are what comes of it:
//!
//! ```text
//! at 1.5 exit app 1
//!     1.5  see  app[T:Error(1) !ready,!started]
//!     1.5  do   start app#1 rc=1
//! ```
//!
//! A friendly world answers everything at once, unless the container's words say otherwise: `.runs=1@0.5,0@2,hang` (the code of each
//! instance and how long it takes), `.term=0@1` (what it does on the stop signal; without it ignores it), `.poststart=fail@1`,
//! `.prestop=ok@3`, `.startup=3` (succeeds that long after the start, and never with `never`), likewise `.liveness=until:5`.
//! Inputs: `exit NAME CODE|SIGNAL:n|OOM|LOST`, `delete [GRACE]`, `kill`, `retry [NAME]`, `sandbox dies`, `reboot`, `wait`,
//! `image NAME TEXT…|ok`, `config NAME TEXT…|ok`, `binary NAME TEXT…|ok`, `volume NAME TEXT…|ok`, `sandbox fails TEXT…|ok`,
//! `pull NAME SECONDS` (the image is not there and takes so long), `term NAME WORD`.
//!
//! `PODYARD_UPDATE_SCENARIOS=1` writes what comes of the inputs into the files.

mod support;

use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use podyard_lifecycle::{
    Action, Attempt, ContainerIndex, Exit, Hook, HookResult, ImageFacts, ImageFailure, Observation,
    PodMachine, ProbeKind, ProbeOutcome, PullFacts, Request, StartStage, StopSignal,
};
use support::pod::TestPod;
use support::{Millis, now, shorthand, wall};

#[test]
fn scenarios_come_out_as_written() {
    let update = std::env::var_os("PODYARD_UPDATE_SCENARIOS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut wrong = String::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let header: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        assert!(
            header.iter().any(|line| line.starts_with("# kubelet: ")),
            "{name}: says nothing about the kubelet"
        );
        let played = play(&text);
        if played == text {
            continue;
        }
        if update {
            std::fs::write(&path, played).expect("writable");
        } else {
            let _ = writeln!(wrong, "{name}:\n{}", difference(&text, &played));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn difference(expected: &str, played: &str) -> String {
    let (mut expected, mut played) = (expected.lines(), played.lines());
    let mut text = String::new();
    let mut shown = 0;
    loop {
        match (expected.next(), played.next()) {
            (None, None) => return text,
            (one, other) if one == other => {}
            (one, other) => {
                let _ = writeln!(
                    text,
                    "  - {}\n  + {}",
                    one.unwrap_or(""),
                    other.unwrap_or("")
                );
                shown += 1;
                if shown == 6 {
                    return text + "  …\n";
                }
            }
        }
    }
}

/// The file with what really comes of its inputs.
fn play(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    let mut pod = Vec::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with("at ")) {
        out += line;
        out.push('\n');
        if !line.starts_with('#') && !line.is_empty() {
            pod.push(line);
        }
    }
    let mut play = Play::new(TestPod::parse(pod));
    for line in lines.filter(|line| line.starts_with("at ")) {
        let mut words = line.split_whitespace().skip(1);
        let at = seconds(words.next().expect("a time"));
        play.pass_until(at);
        out += &std::mem::take(&mut play.log);
        out += line;
        out.push('\n');
        play.input(&words.collect::<Vec<_>>());
        out += &std::mem::take(&mut play.log);
    }
    out
}

fn seconds(text: &str) -> Millis {
    let seconds: f64 = text.parse().expect("seconds");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "short and positive"
    )]
    let millis = (seconds * 1000.0).round() as Millis;
    millis
}

/// Something the world will say.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Coming {
    at: Millis,
    /// Keeps the order of what is said at the same time.
    number: u64,
}

struct Play {
    pod: TestPod,
    machine: PodMachine,
    at: Millis,
    coming: BinaryHeap<std::cmp::Reverse<Coming>>,
    said: BTreeMap<u64, Observation>,
    next_number: u64,
    /// What is wrong with the world: `image busybox:1` → text.
    wrong: BTreeMap<String, String>,
    /// Images that have to be pulled first, and how long that takes.
    pulls: BTreeMap<String, Millis>,
    /// Words of containers that were changed on the way.
    words: BTreeMap<String, String>,
    started: BTreeMap<(u16, Attempt), Millis>,
    runs: BTreeMap<u16, usize>,
    shown: Vec<(String, String)>,
    log: String,
}

impl Play {
    fn new(pod: TestPod) -> Self {
        let machine = PodMachine::new(&pod.pod(), pod.settings.clone(), now(0));
        Self {
            machine,
            pod,
            at: 0,
            coming: BinaryHeap::new(),
            said: BTreeMap::new(),
            next_number: 0,
            wrong: BTreeMap::new(),
            pulls: BTreeMap::new(),
            words: BTreeMap::new(),
            started: BTreeMap::new(),
            runs: BTreeMap::new(),
            shown: Vec::new(),
            log: String::new(),
        }
    }

    fn input(&mut self, words: &[&str]) {
        let container = |play: &Self, name: &str| {
            let position = play.pod.containers.iter().position(|it| it.name == name);
            ContainerIndex(u16::try_from(position.expect("a container's name")).expect("few"))
        };
        let rest = |from: usize| words[from..].join(" ");
        match words {
            ["wait"] => self.turn(&[], &[]),
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
                let container = Some(container(self, name));
                self.ask(Request::Retry { container });
            }
            ["reboot"] => self.hear(Observation::HostRebooted),
            ["sandbox", "dies", attempt] => {
                let attempt = attempt.parse().expect("a number");
                self.hear(Observation::SandboxDied { attempt });
            }
            ["exit", name, how] => {
                let container = container(self, name);
                let attempts = self
                    .started
                    .keys()
                    .filter(|(index, _)| *index == container.0);
                let attempt = attempts.map(|(_, attempt)| *attempt).max().expect("it ran");
                self.hear(self.exit(container, attempt, how));
            }
            ["pull", image, time] => {
                self.pulls.insert((*image).to_owned(), seconds(time));
            }
            [
                "image" | "config" | "binary" | "volume" | "sandbox",
                name,
                "ok",
            ] => {
                self.wrong.remove(&format!("{} {name}", words[0]));
            }
            [
                "image" | "config" | "binary" | "volume" | "sandbox",
                name,
                ..,
            ] => {
                self.wrong.insert(format!("{} {name}", words[0]), rest(2));
            }
            ["term", name, word] => {
                self.words
                    .insert(format!("{name}.term"), (*word).to_owned());
            }
            _ => panic!("{words:?} is no input"),
        }
    }

    fn exit(&self, container: ContainerIndex, attempt: Attempt, how: &str) -> Observation {
        let exit = match how.split_once(':') {
            Some(("SIGNAL", signal)) => Exit::Signal(signal.parse().expect("a number")),
            _ if how == "OOM" => Exit::OomKilled { code: 137 },
            _ if how == "LOST" => Exit::Lost,
            _ => Exit::Code(how.parse().expect("a code")),
        };
        let at = wall(self.at);
        Observation::ContainerExited {
            container,
            attempt,
            exit,
            at,
            message: None,
        }
    }

    fn ask(&mut self, request: Request) {
        self.turn(&[], &[request]);
    }

    fn hear(&mut self, observation: Observation) {
        self.turn(&[observation], &[]);
    }

    /// What the world will say after `delay`.
    fn soon(&mut self, delay: Millis, observation: Observation) {
        let number = self.next_number;
        self.next_number += 1;
        self.said.insert(number, observation);
        self.coming.push(std::cmp::Reverse(Coming {
            at: self.at + delay,
            number,
        }));
    }

    /// Everything up to and including a moment, one turn for each thing that happens.
    fn pass_until(&mut self, end: Millis) {
        loop {
            let said = self.coming.peek().map(|next| next.0.at);
            let due = self.machine.next_deadline().map(support::millis);
            let Some(at) = [said, due]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= end)
            else {
                break;
            };
            self.at = self.at.max(at);
            if said == Some(at) {
                let next = self.coming.pop().expect("peeked").0;
                let observation = self.said.remove(&next.number).expect("it was kept");
                // A process says one thing at most once.
                if let Observation::ContainerExited {
                    container, attempt, ..
                } = &observation
                    && self.started.remove(&(container.0, *attempt)).is_none()
                {
                    continue;
                }
                self.hear(observation);
            } else {
                self.turn(&[], &[]);
            }
        }
        self.at = end;
    }

    fn turn(&mut self, observations: &[Observation], requests: &[Request]) {
        let now = now(self.at);
        for observation in observations {
            self.machine.observe(now, observation);
        }
        for request in requests {
            match self.machine.request(now, request) {
                Ok(podyard_lifecycle::Accepted::Done) => {}
                other => self.write("ask", &format!("{other:?}")),
            }
        }
        self.machine.advance(now);
        while let Some(event) = self.machine.next_event() {
            if matches!(event.reason.as_str(), "Created" | "Started") {
                continue;
            }
            if event.reason == "Pulled" && event.message.contains("already present") {
                continue;
            }
            let about = event.field_path.map(|path| {
                path.split('{')
                    .nth(1)
                    .unwrap_or_default()
                    .trim_end_matches('}')
                    .to_owned()
                    + ": "
            });
            let about = about.unwrap_or_default();
            let text = format!(
                "{about}{:?} {}: {}",
                event.kind, event.reason, event.message
            );
            self.write("say", &text);
        }
        let after = shorthand::facts(&self.machine.status());
        let changes = shorthand::changes(&self.shown, &after);
        if !changes.is_empty() {
            self.write("see", &changes);
        }
        self.shown = after;
        while let Some(action) = self.machine.next_action() {
            self.act(action);
        }
    }

    fn write(&mut self, kind: &str, text: &str) {
        #[expect(clippy::cast_precision_loss, reason = "short times")]
        let at = self.at as f64 / 1000.0;
        let _ = writeln!(self.log, "    {at:<6} {kind}  {text}");
    }

    fn name(&self, container: ContainerIndex) -> String {
        self.machine.container_name(container).to_owned()
    }

    fn word(&self, container: ContainerIndex, key: &str) -> Option<String> {
        let it = &self.pod.containers[container.position()];
        let changed = self.words.get(&format!("{}.{key}", it.name));
        changed.or_else(|| it.world.get(key)).cloned()
    }

    /// The world does what it is told, says so in the log, and will answer.
    #[expect(clippy::too_many_lines, reason = "one arm per action")]
    fn act(&mut self, action: Action) {
        match action {
            Action::PrepareVolumes => {
                self.write("do", "volumes");
                let wrong = self
                    .wrong
                    .iter()
                    .find(|(key, _)| key.starts_with("volume "));
                let answer = match wrong {
                    Some((key, text)) => Observation::VolumesFailed {
                        volume: key["volume ".len()..].to_owned(),
                        message: text.clone(),
                    },
                    None => Observation::VolumesReady,
                };
                self.soon(0, answer);
            }
            Action::RemoveVolumes => {
                self.write("do", "remove volumes");
                self.soon(0, Observation::VolumesRemoved);
            }
            Action::CreateSandbox { attempt } => {
                self.write("do", &format!("sandbox {attempt}"));
                let answer = match self.wrong.get("sandbox fails") {
                    Some(text) => Observation::SandboxFailed {
                        attempt,
                        message: text.clone(),
                    },
                    None => {
                        let pod_ips = vec![format!("10.88.0.{}", attempt + 2)];
                        Observation::SandboxReady { attempt, pod_ips }
                    }
                };
                self.soon(0, answer);
            }
            Action::StopSandbox { attempt } => {
                self.write("do", &format!("stop sandbox {attempt}"));
                self.soon(0, Observation::SandboxStopped { attempt });
            }
            Action::EnsureImage { container, attempt } => self.ensure_image(container, attempt),
            Action::CancelImage { container, attempt } => {
                let text = format!("cancel image {}#{attempt}", self.name(container));
                self.write("do", &text);
                // The answer comes now, and not when it would have.
                self.said.retain(|_, said| !matches!(said, Observation::ImageReady { attempt: known, container: it, .. } if it == &container && *known == attempt));
                let said = &self.said;
                self.coming
                    .retain(|coming| said.contains_key(&coming.0.number));
                let (reason, message) = (ImageFailure::Cancelled, String::new());
                self.soon(
                    0,
                    Observation::ImageFailed {
                        container,
                        attempt,
                        reason,
                        message,
                    },
                );
            }
            Action::StartContainer {
                container,
                attempt,
                restart_count,
            } => {
                self.start(container, attempt, restart_count);
            }
            Action::SignalContainer {
                container,
                attempt,
                signal,
            } => {
                let text = match signal {
                    StopSignal::Stop => "stop",
                    StopSignal::Kill => "kill",
                };
                self.write("do", &format!("{text} {}#{attempt}", self.name(container)));
                if signal == StopSignal::Kill {
                    self.soon(0, self.exit(container, attempt, "SIGNAL:9"));
                } else if let Some(word) = self.word(container, "term") {
                    let (code, after) = word.split_once('@').unwrap_or((&word, "0"));
                    let Observation::ContainerExited { exit, .. } =
                        self.exit(container, attempt, code)
                    else {
                        return;
                    };
                    let after = seconds(after);
                    let at = wall(self.at + after);
                    let message = None;
                    self.soon(
                        after,
                        Observation::ContainerExited {
                            container,
                            attempt,
                            exit,
                            at,
                            message,
                        },
                    );
                }
            }
            Action::RemoveContainer {
                container,
                attempt,
                keep_logs,
            } => {
                let logs = if keep_logs { " but its log" } else { "" };
                self.write(
                    "do",
                    &format!("remove {}#{attempt}{logs}", self.name(container)),
                );
                self.soon(0, Observation::ContainerRemoved { container, attempt });
            }
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                self.write(
                    "do",
                    &format!("run {hook:?} {}#{attempt}", self.name(container)),
                );
                let key = if hook == Hook::PostStart {
                    "poststart"
                } else {
                    "prestop"
                };
                let word = self.word(container, key).unwrap_or_else(|| "ok@0".into());
                let (how, after) = word.split_once('@').unwrap_or((&word, "0"));
                let result = match how {
                    "ok" => HookResult::Succeeded,
                    _ => HookResult::Failed {
                        message: "the hook failed".into(),
                    },
                };
                let after = seconds(after);
                self.soon(
                    after,
                    Observation::HookFinished {
                        container,
                        attempt,
                        hook,
                        result,
                    },
                );
            }
            Action::CancelHook {
                container,
                attempt,
                hook,
            } => {
                self.write(
                    "do",
                    &format!("cancel {hook:?} {}#{attempt}", self.name(container)),
                );
                let result = HookResult::Cancelled;
                self.soon(
                    0,
                    Observation::HookFinished {
                        container,
                        attempt,
                        hook,
                        result,
                    },
                );
            }
            Action::Probe {
                container,
                attempt,
                kind,
                round,
            } => {
                let outcome = self.probe(container, attempt, kind);
                let answer = Observation::ProbeFinished {
                    container,
                    attempt,
                    kind,
                    round,
                    outcome,
                };
                self.soon(0, answer);
            }
        }
    }

    fn ensure_image(&mut self, container: ContainerIndex, attempt: Attempt) {
        let list = if self.pod.containers[container.position()].is_init {
            "initContainers"
        } else {
            "containers"
        };
        let spec = self.pod.object["spec"][list].as_array().expect("a list");
        let name = self.name(container);
        let spec = spec
            .iter()
            .find(|spec| spec["name"] == name.as_str())
            .expect("it is there");
        let image = spec["image"].as_str().expect("text").to_owned();
        if let Some(text) = self.wrong.get(&format!("image {image}")).cloned() {
            let (reason, text) = match text.split_once(' ') {
                Some(("never", text)) => (ImageFailure::ErrImageNeverPull, text),
                Some(("name", text)) => (ImageFailure::InvalidImageName, text),
                _ => (ImageFailure::ErrImagePull, text.as_str()),
            };
            if reason == ImageFailure::ErrImagePull {
                self.soon(0, Observation::ImagePulling { container, attempt });
            }
            let message = text.to_owned();
            self.soon(
                0,
                Observation::ImageFailed {
                    container,
                    attempt,
                    reason,
                    message,
                },
            );
            return;
        }
        let mut image_facts = ImageFacts {
            name: format!("docker.io/library/{image}"),
            id: "sha256:00".into(),
            pulled: None,
        };
        let time = self.pulls.remove(&image);
        if let Some(time) = time {
            let took = Duration::from_millis(time);
            image_facts.pulled = Some(PullFacts {
                took,
                including_waiting: took,
                bytes: 1234,
            });
            self.soon(0, Observation::ImagePulling { container, attempt });
        }
        let answer = Observation::ImageReady {
            container,
            attempt,
            image: image_facts,
        };
        self.soon(time.unwrap_or(0), answer);
    }

    fn start(&mut self, container: ContainerIndex, attempt: Attempt, restart_count: u32) {
        let name = self.name(container);
        self.write("do", &format!("start {name}#{attempt} rc={restart_count}"));
        let fault = ["config", "binary"]
            .into_iter()
            .find_map(|kind| Some((kind, self.wrong.get(&format!("{kind} {name}"))?.clone())));
        let at = wall(self.at);
        let container_id = format!("podyard://{name}-{attempt}");
        if let Some((kind, message)) = fault {
            let (stage, container_id) = match kind {
                "config" => (StartStage::Config, None),
                _ => (StartStage::Start, Some(container_id)),
            };
            self.soon(
                0,
                Observation::ContainerNotStarted {
                    container,
                    attempt,
                    stage,
                    message,
                    container_id,
                    at,
                },
            );
            return;
        }
        self.soon(
            0,
            Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            },
        );
        self.started.insert((container.0, attempt), self.at);
        let Some(runs) = self.word(container, "runs") else {
            return;
        };
        let runs: Vec<_> = runs.split(',').collect();
        let run = self.runs.entry(container.0).or_default();
        let word = runs[(*run).min(runs.len() - 1)];
        *run += 1;
        if word == "hang" {
            return;
        }
        let (how, after) = word.split_once('@').unwrap_or((word, "0"));
        let after = seconds(after);
        let Observation::ContainerExited { exit, .. } = self.exit(container, attempt, how) else {
            return;
        };
        let at = wall(self.at + after);
        let exited = Observation::ContainerExited {
            container,
            attempt,
            exit,
            at,
            message: None,
        };
        self.soon(after, exited);
    }

    /// `.startup=3`: succeeds from three seconds on. `.liveness=until:5`: until then.
    fn probe(&self, container: ContainerIndex, attempt: Attempt, kind: ProbeKind) -> ProbeOutcome {
        let key = match kind {
            ProbeKind::Startup => "startup",
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        };
        let runs = self.at
            - self
                .started
                .get(&(container.0, attempt))
                .copied()
                .unwrap_or(self.at);
        let is_good = match self.word(container, key).as_deref() {
            None => true,
            Some("never") => false,
            Some(word) => match word.strip_prefix("until:") {
                Some(end) => runs < seconds(end),
                None => runs >= seconds(word),
            },
        };
        if is_good {
            ProbeOutcome::Success { warning: None }
        } else {
            ProbeOutcome::Failure {
                output: "no".into(),
            }
        }
    }
}
