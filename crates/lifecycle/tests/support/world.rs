//! The world around a scripted pod: does what the machine says, and answers.
//!
//! It is a friendly world that answers everything at once, unless the containers' words or the script say otherwise:
//!
//! | Word | Meaning |
//! |---|---|
//! | `.runs=1@0.5,0@2,hang` | how each instance ends by itself and after how long; the last one repeats; without, it stays |
//! | `.term=0@1` | how it ends on the stop signal and after how long; without, it ignores it |
//! | `.poststart=fail@1`, `.prestop=ok@3` | how its hooks end and after how long |
//! | `.startup=3..`, `.liveness=..5`, `.readiness=3..8,13..` | when its probes succeed, in seconds since its start; also `never`, `warning`, `error` |
//!
//! An end is a code, `SIGNAL:n`, `OOM`, `OOM:code` or `LOST`.

use std::collections::BTreeMap;
use std::time::Duration;

use podyard_lifecycle::{
    Action, Attempt, ContainerIndex, Exit, Hook, HookResult, ImageFacts, ImageFailure, Observation,
    ProbeKind, ProbeOutcome, PullFacts, StartStage, StopSignal,
};

use super::pod::{TestContainer, TestPod};
use super::{Millis, millis, wall};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pod: TestPod,
    pub(crate) at: Millis,
    /// What it will say, by time and then in order.
    coming: BTreeMap<(Millis, u64), Observation>,
    number: u64,
    /// What is wrong with the world, by `image busybox:1` and the like.
    pub(crate) faults: BTreeMap<String, Fault>,
    /// Instances that run, and since when.
    live: BTreeMap<(ContainerIndex, Attempt), Millis>,
    /// How many instances of a container there were.
    runs: BTreeMap<ContainerIndex, usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Fails(String),
    Takes(Millis),
    /// Fails after this time, whether or not somebody has given it up meanwhile.
    FailsLate(Millis, String),
}

impl World {
    pub(crate) fn new(pod: TestPod) -> Self {
        Self {
            pod,
            at: 0,
            coming: BTreeMap::new(),
            number: 0,
            faults: BTreeMap::new(),
            live: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// When it will say something next.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.coming.keys().next().map(|(at, _)| *at)
    }

    /// What it has to say now.
    pub(crate) fn say(&mut self) -> Option<Observation> {
        loop {
            let entry = self.coming.first_entry()?;
            if entry.key().0 > self.at {
                return None;
            }
            let said = entry.remove();
            // A process ends once, however many reasons it had.
            if let Observation::ContainerExited {
                container, attempt, ..
            } = &said
                && self.live.remove(&(*container, *attempt)).is_none()
            {
                continue;
            }
            return Some(said);
        }
    }

    /// Everything that ran is gone, and nothing that was begun will be answered.
    pub(crate) fn forget_everything(&mut self) {
        self.coming.clear();
        self.live.clear();
    }

    /// The container of this name.
    pub(crate) fn index(&self, name: &str) -> ContainerIndex {
        let position = self.pod.containers.iter().position(|it| it.name == name);
        let position = position.unwrap_or_else(|| panic!("there is no container {name}"));
        ContainerIndex(u16::try_from(position).expect("few containers"))
    }

    /// The newest instance ends. Says so at once.
    pub(crate) fn end(&mut self, name: &str, how: &str, message: &str) {
        let container = self.index(name);
        let instances = self.live.keys().filter(|(index, _)| *index == container);
        let attempt = instances.map(|(_, attempt)| *attempt).max();
        let attempt = attempt.unwrap_or_else(|| panic!("{name} does not run"));
        let message = (!message.is_empty()).then(|| message.to_owned());
        self.exit_in(0, container, attempt, how, message);
    }

    /// Says something that nobody asked for.
    pub(crate) fn announce(&mut self, observation: Observation) {
        self.soon(0, observation);
    }

    fn soon(&mut self, delay: Millis, observation: Observation) {
        self.number += 1;
        self.coming
            .insert((self.at + delay, self.number), observation);
    }

    fn exit_in(
        &mut self,
        delay: Millis,
        container: ContainerIndex,
        attempt: Attempt,
        how: &str,
        message: Option<String>,
    ) {
        let observation = Observation::ContainerExited {
            container,
            attempt,
            exit: exit(how),
            at: wall(self.at + delay),
            message,
        };
        self.soon(delay, observation);
    }

    fn container(&self, index: ContainerIndex) -> &TestContainer {
        &self.pod.containers[index.position()]
    }

    fn name(&self, index: ContainerIndex, attempt: Attempt) -> String {
        format!("{}#{attempt}", self.container(index).name)
    }

    fn word(&self, index: ContainerIndex, key: &str) -> Option<String> {
        self.container(index).world.get(key).cloned()
    }

    fn fault(&self, what: &str, name: &str) -> Option<Fault> {
        self.faults.get(&format!("{what} {name}")).cloned()
    }

    /// Begins to do what it is told. Returns what people would call it, if it is worth a line.
    pub(crate) fn act(&mut self, action: &Action) -> Option<String> {
        Some(match *action {
            Action::PrepareVolumes => {
                self.prepare_volumes();
                "prepare volumes".into()
            }
            Action::RemoveVolumes => {
                self.soon(0, Observation::VolumesRemoved);
                "remove volumes".into()
            }
            Action::CreateSandbox { attempt } => {
                self.create_sandbox(attempt);
                format!("create sandbox {attempt}")
            }
            Action::StopSandbox { attempt } => {
                self.soon(0, Observation::SandboxStopped { attempt });
                format!("stop sandbox {attempt}")
            }
            Action::EnsureImage { container, attempt } => {
                self.ensure_image(container, attempt);
                return None;
            }
            Action::CancelImage { container, attempt } => {
                self.cancel_image(container, attempt);
                format!("cancel image of {}", self.name(container, attempt))
            }
            Action::StartContainer {
                container,
                attempt,
                restart_count,
            } => {
                self.start(container, attempt);
                format!("start {} rc={restart_count}", self.name(container, attempt))
            }
            Action::SignalContainer {
                container,
                attempt,
                signal,
            } => self.signal(container, attempt, signal),
            Action::RemoveContainer {
                container,
                attempt,
                keep_logs,
            } => {
                self.soon(0, Observation::ContainerRemoved { container, attempt });
                let but = if keep_logs { " but its log" } else { "" };
                format!("remove {}{but}", self.name(container, attempt))
            }
            Action::RunHook {
                container,
                attempt,
                hook,
            } => {
                self.run_hook(container, attempt, hook);
                format!("run {hook:?} of {}", self.name(container, attempt))
            }
            Action::CancelHook {
                container,
                attempt,
                hook,
            } => {
                self.cancel_hook(container, attempt, hook);
                format!("cancel {hook:?} of {}", self.name(container, attempt))
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
                return None;
            }
        })
    }

    fn prepare_volumes(&mut self) {
        let fault = self.faults.iter().find_map(|(what, fault)| {
            let volume = what.strip_prefix("volume ")?;
            Some((volume.to_owned(), fault.clone()))
        });
        match fault {
            Some((volume, Fault::Fails(message))) => {
                self.soon(0, Observation::VolumesFailed { volume, message });
            }
            Some((_, Fault::Takes(time))) => self.soon(time, Observation::VolumesReady),
            Some((_, Fault::FailsLate(..))) | None => self.soon(0, Observation::VolumesReady),
        }
    }

    fn create_sandbox(&mut self, attempt: u32) {
        let pod_ips = vec![format!("10.88.0.{}", attempt + 2)];
        let ready = Observation::SandboxReady { attempt, pod_ips };
        match self.fault("sandbox", "0") {
            Some(Fault::Fails(message)) => {
                self.soon(0, Observation::SandboxFailed { attempt, message });
            }
            Some(Fault::Takes(time)) => self.soon(time, ready),
            Some(Fault::FailsLate(..)) | None => self.soon(0, ready),
        }
    }

    /// A fault that names the failure (`ErrImageNeverPull not present`) has it; any other is a failed pull.
    fn ensure_image(&mut self, container: ContainerIndex, attempt: Attempt) {
        let image = self.container(container).image.clone();
        let pulling = Observation::ImagePulling { container, attempt };
        let mut facts = ImageFacts {
            name: format!("docker.io/library/{image}"),
            id: "sha256:00".into(),
            pulled: None,
        };
        let mut delay = 0;
        let of_container = self.fault("image", &self.container(container).name);
        match of_container.or_else(|| self.fault("image", &image)) {
            None => {}
            Some(Fault::Takes(time)) => {
                self.soon(0, pulling);
                let took = Duration::from_millis(time);
                facts.pulled = Some(PullFacts {
                    took,
                    including_waiting: took,
                    bytes: 1234,
                });
                delay = time;
                if !self.container(container).always_pulls {
                    self.faults.remove(&format!("image {image}"));
                }
            }
            Some(Fault::FailsLate(time, message)) => {
                self.soon(0, pulling);
                let failed = Observation::ImageFailed {
                    container,
                    attempt,
                    reason: ImageFailure::ErrImagePull,
                    message,
                };
                self.soon(time, failed);
                return;
            }
            Some(Fault::Fails(text)) => {
                let (reason, mut message) = image_failure(&text);
                if reason == ImageFailure::ErrImageNeverPull && message.is_empty() {
                    message = format!(
                        "Container image {image:?} is not present with pull policy of Never"
                    );
                }
                let is_pull = !matches!(
                    reason,
                    ImageFailure::ErrImageNeverPull
                        | ImageFailure::InvalidImageName
                        | ImageFailure::ImageInspectError
                );
                if is_pull {
                    self.soon(0, pulling);
                }
                let failed = Observation::ImageFailed {
                    container,
                    attempt,
                    reason,
                    message,
                };
                self.soon(0, failed);
                return;
            }
        }
        let ready = Observation::ImageReady {
            container,
            attempt,
            image: facts,
        };
        self.soon(delay, ready);
    }

    /// The answer comes now, and not when it would have.
    fn cancel_image(&mut self, container: ContainerIndex, attempt: Attempt) {
        let is_on_its_way = self.coming.values().any(|said| {
            matches!(said, Observation::ImageFailed { container: it, attempt: known, .. }
                if *it == container && *known == attempt)
        });
        if is_on_its_way {
            return;
        }
        self.coming.retain(|_, said| {
            !matches!(said, Observation::ImageReady { container: it, attempt: known, .. }
                if *it == container && *known == attempt)
        });
        let failed = Observation::ImageFailed {
            container,
            attempt,
            reason: ImageFailure::Cancelled,
            message: String::new(),
        };
        self.soon(0, failed);
    }

    fn start(&mut self, container: ContainerIndex, attempt: Attempt) {
        let name = self.container(container).name.clone();
        let container_id = format!("podyard://{name}-{attempt}");
        let mut delay = 0;
        match self.fault("start", &name) {
            None | Some(Fault::FailsLate(..)) => {}
            Some(Fault::Takes(time)) => delay = time,
            Some(Fault::Fails(text)) => {
                let (stage, message) = text.split_once(' ').expect("a stage and a message");
                let (stage, container_id) = match stage {
                    "config" => (StartStage::Config, None),
                    "create" => (StartStage::Create, None),
                    "binary" => (StartStage::Start, Some(container_id)),
                    _ => panic!("{stage} is no stage of a start"),
                };
                let failed = Observation::ContainerNotStarted {
                    container,
                    attempt,
                    stage,
                    message: message.to_owned(),
                    container_id,
                    at: wall(self.at),
                };
                self.soon(0, failed);
                return;
            }
        }
        let started = Observation::ContainerStarted {
            container,
            attempt,
            container_id,
            at: wall(self.at + delay),
        };
        self.soon(delay, started);
        self.live.insert((container, attempt), self.at + delay);
        let run = self.runs.entry(container).or_default();
        let number = *run;
        *run += 1;
        let Some(runs) = self.word(container, "runs") else {
            return;
        };
        let runs: Vec<_> = runs.split(',').collect();
        let word = runs[number.min(runs.len() - 1)];
        if word != "hang" {
            let (how, after) = how_and_when(word);
            self.exit_in(delay + after, container, attempt, how, None);
        }
    }

    fn signal(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        signal: StopSignal,
    ) -> String {
        let name = self.name(container, attempt);
        match signal {
            StopSignal::Stop => {
                if let Some(word) = self.word(container, "term") {
                    let (how, after) = how_and_when(&word);
                    self.exit_in(after, container, attempt, how, None);
                }
                format!("stop {name}")
            }
            StopSignal::Kill => {
                self.exit_in(0, container, attempt, "SIGNAL:9", None);
                format!("kill {name}")
            }
        }
    }

    fn run_hook(&mut self, container: ContainerIndex, attempt: Attempt, hook: Hook) {
        let key = match hook {
            Hook::PostStart => "poststart",
            Hook::PreStop => "prestop",
        };
        let word = self.word(container, key).unwrap_or_else(|| "ok".into());
        let (how, after) = how_and_when(&word);
        let result = match how {
            "ok" => HookResult::Succeeded,
            "fail" => HookResult::Failed {
                message: "the hook failed".into(),
            },
            _ => panic!("{how} is no end of a hook"),
        };
        let finished = Observation::HookFinished {
            container,
            attempt,
            hook,
            result,
        };
        self.soon(after, finished);
    }

    fn cancel_hook(&mut self, container: ContainerIndex, attempt: Attempt, hook: Hook) {
        self.coming.retain(|_, said| {
            !matches!(said, Observation::HookFinished { container: it, attempt: known, hook: which, .. }
                if *it == container && *known == attempt && *which == hook)
        });
        let result = HookResult::Cancelled;
        let finished = Observation::HookFinished {
            container,
            attempt,
            hook,
            result,
        };
        self.soon(0, finished);
    }

    fn probe(&self, container: ContainerIndex, attempt: Attempt, kind: ProbeKind) -> ProbeOutcome {
        let key = match kind {
            ProbeKind::Startup => "startup",
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        };
        let since = self.live.get(&(container, attempt)).copied();
        let age = self.at - since.unwrap_or(self.at);
        let word = self.word(container, key).unwrap_or_else(|| "0..".into());
        match word.as_str() {
            "warning" => ProbeOutcome::Success {
                warning: Some("a redirect".into()),
            },
            "error" => ProbeOutcome::Error {
                message: "no such port".into(),
            },
            word if word.split(',').any(|range| holds(range, age)) => {
                ProbeOutcome::Success { warning: None }
            }
            _ => ProbeOutcome::Failure {
                output: "no".into(),
            },
        }
    }
}

/// `1@0.5`: exit code 1 after half a second.
fn how_and_when(word: &str) -> (&str, Millis) {
    match word.split_once('@') {
        Some((how, after)) => (how, millis(after)),
        None => (word, 0),
    }
}

fn exit(how: &str) -> Exit {
    let number = |text: &str| text.parse().expect("a number");
    match how.split_once(':') {
        Some(("SIGNAL", signal)) => Exit::Signal(number(signal)),
        Some(("OOM", code)) => Exit::OomKilled { code: number(code) },
        _ if how == "OOM" => Exit::OomKilled { code: 137 },
        _ if how == "LOST" => Exit::Lost,
        _ => Exit::Code(number(how)),
    }
}

fn image_failure(text: &str) -> (ImageFailure, String) {
    let reasons = [
        ImageFailure::ErrImagePull,
        ImageFailure::ErrImageNeverPull,
        ImageFailure::InvalidImageName,
        ImageFailure::ImageInspectError,
        ImageFailure::RegistryUnavailable,
        ImageFailure::SignatureValidationFailed,
    ];
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match reasons.into_iter().find(|it| it.reason() == word) {
        Some(reason) => (reason, rest.to_owned()),
        None => (ImageFailure::ErrImagePull, text.to_owned()),
    }
}

/// Whether `3..8` holds this many milliseconds; either side may be missing.
fn holds(range: &str, age: Millis) -> bool {
    let Some((from, to)) = range.split_once("..") else {
        assert_eq!(range, "never", "a range has two dots");
        return false;
    };
    (from.is_empty() || age >= millis(from)) && (to.is_empty() || age < millis(to))
}
