//! Facts into state. Whatever is about an instance that is not expected any more is ignored: a driver that was restored after a crash may
//! report what was known already.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::container::{Ended, Instance, Record, Waiting};
use crate::event::EventKind::{Normal, Warning};
use crate::machine::{ImageBackoff, PodMachine, Sandbox, Volumes};
use crate::observation::{Exit, ImageFacts, ImageFailure, StartStage};
use crate::plan::Kind;
use crate::time::go_duration;
use crate::{Action, Attempt, ContainerIndex, Now, Observation, Timestamp, limits};

impl PodMachine {
    pub(crate) fn note(&mut self, now: Now, observation: &Observation) {
        match observation {
            Observation::VolumesReady => {
                if self.answered(|action| *action == Action::PrepareVolumes) {
                    self.volumes = Volumes::Ready;
                    self.volume_delay = limits::VOLUME_RETRY_INITIAL;
                }
            }
            Observation::VolumesFailed { volume, message } => {
                self.volumes_failed(now, volume, message)
            }
            Observation::VolumesRemoved => {
                if self.answered(|action| *action == Action::RemoveVolumes) {
                    self.volumes = Volumes::Removed;
                }
            }
            Observation::SandboxReady { attempt, pod_ips } => {
                if self.answered(|action| *action == Action::CreateSandbox { attempt: *attempt }) {
                    self.sandbox = Sandbox::Ready;
                    self.pod_ips.clone_from(pod_ips);
                }
            }
            Observation::SandboxFailed { attempt, message } => {
                if self.answered(|action| *action == Action::CreateSandbox { attempt: *attempt }) {
                    let retry_at = now.since_boot + self.settings.scaled(limits::ERROR_RETRY);
                    self.sandbox = Sandbox::Failed { retry_at };
                    let text = format!("Failed to create pod sandbox: {message}");
                    self.pod_event(Warning, "FailedCreatePodSandBox", text);
                }
            }
            Observation::SandboxDied { attempt } => {
                if *attempt == self.sandbox_attempt && self.sandbox == Sandbox::Ready {
                    self.sandbox = Sandbox::Lost;
                }
            }
            Observation::SandboxStopped { attempt } => {
                if self.answered(|action| *action == Action::StopSandbox { attempt: *attempt }) {
                    self.sandbox = Sandbox::Stopped;
                }
            }
            Observation::ImagePulling { container, attempt } => {
                self.image_pulling(*container, *attempt)
            }
            Observation::ImageReady {
                container,
                attempt,
                image,
            } => self.image_ready(*container, *attempt, image),
            Observation::ImageFailed {
                container,
                attempt,
                reason,
                message,
            } => {
                self.image_failed(now, *container, *attempt, *reason, message);
            }
            Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            } => {
                self.started(*container, *attempt, container_id, *at);
            }
            Observation::ContainerNotStarted {
                container,
                attempt,
                stage,
                message,
                container_id,
                at,
            } => {
                self.not_started(
                    now,
                    *container,
                    *attempt,
                    *stage,
                    message,
                    container_id.as_deref(),
                    *at,
                );
            }
            Observation::ContainerExited {
                container,
                attempt,
                exit,
                at,
                message,
            } => {
                self.exited(now, *container, *attempt, *exit, *at, message.as_deref());
            }
            Observation::ContainerRemoved { container, attempt } => {
                self.removed(*container, *attempt)
            }
            Observation::HookFinished { .. } | Observation::ProbeFinished { .. } => {}
            Observation::HostRebooted => self.rebooted(now),
        }
    }

    fn volumes_failed(&mut self, now: Now, volume: &str, message: &str) {
        if !self.answered(|action| *action == Action::PrepareVolumes) {
            return;
        }
        let delay = self.settings.scaled(self.volume_delay);
        self.volumes = Volumes::Failed {
            retry_at: now.since_boot + delay.max(Duration::from_millis(1)),
        };
        self.volume_delay = (self.volume_delay * 2).min(limits::VOLUME_RETRY_MAX);
        self.pod_event(
            Warning,
            "FailedMount",
            format!("MountVolume.SetUp failed for volume {volume:?} : {message}"),
        );
    }

    fn is_known(&self, container: ContainerIndex) -> bool {
        container.position() < self.containers.len()
    }

    fn image_pulling(&mut self, container: ContainerIndex, attempt: Attempt) {
        if !self.is_known(container) {
            return;
        }
        let image = self.plan.get(container).image.clone();
        if let Record::Image {
            instance, pulling, ..
        } = &mut self.state_mut(container).record
            && instance.attempt == attempt
            && !*pulling
        {
            *pulling = true;
            self.event(
                container,
                Normal,
                "Pulling",
                format!("Pulling image {image:?}"),
            );
        }
    }

    fn image_ready(&mut self, container: ContainerIndex, attempt: Attempt, facts: &ImageFacts) {
        if !self.answered(|action| *action == Action::EnsureImage { container, attempt }) {
            return;
        }
        let image = self.plan.get(container).image.clone();
        self.image_backoffs.retain(|entry| entry.image != image);
        let Record::Image { instance, .. } = &self.state(container).record else {
            return;
        };
        let mut instance = instance.clone();
        instance.image = Some((facts.name.clone(), facts.id.clone()));
        let text = match &facts.pulled {
            Some(pulled) => format!(
                "Successfully pulled image {image:?} in {} ({} including waiting). Image size: {} bytes.",
                go_duration(pulled.took),
                go_duration(pulled.including_waiting),
                pulled.bytes
            ),
            None => format!(
                "Container image {image:?} already present on machine and can be accessed by the pod"
            ),
        };
        self.event(container, Normal, "Pulled", text);
        if self.ending.is_some() || self.reset.is_some() {
            // Nothing starts any more; the instance never came to be.
            self.give_up_start(container);
            return;
        }
        let restart_count = instance.restart_count;
        self.state_mut(container).record = Record::Starting { instance };
        self.begin(Action::StartContainer {
            container,
            attempt,
            restart_count,
        });
    }

    fn image_failed(
        &mut self,
        now: Now,
        container: ContainerIndex,
        attempt: Attempt,
        reason: ImageFailure,
        message: &str,
    ) {
        if !self.answered(|action| *action == Action::EnsureImage { container, attempt }) {
            return;
        }
        self.give_up_start(container);
        if reason == ImageFailure::Cancelled {
            return;
        }
        let image = self.plan.get(container).image.clone();
        match reason {
            ImageFailure::ErrImageNeverPull => {
                self.event(container, Warning, "ErrImageNeverPull", message)
            }
            ImageFailure::InvalidImageName | ImageFailure::ImageInspectError => {
                self.event(container, Warning, "InspectFailed", message);
            }
            _ => self.event(
                container,
                Warning,
                "Failed",
                format!("Failed to pull image {image:?}: {message}"),
            ),
        }
        self.event(
            container,
            Warning,
            "Failed",
            format!("Error: {}", reason.reason()),
        );
        let retry_at = if matches!(
            reason,
            ImageFailure::ErrImagePull | ImageFailure::RegistryUnavailable
        ) {
            self.note_failed_pull(now, &image, reason, message)
        } else {
            now.since_boot + self.settings.scaled(limits::ERROR_RETRY)
        };
        let state = self.state_mut(container);
        state.waiting = Some(Waiting {
            reason: reason.reason().to_owned(),
            message: Some(message.to_owned()),
        });
        state.not_before = Some(retry_at);
    }

    /// The back-off counts from the failed pull (section 4.4), the first wait being ten seconds.
    fn note_failed_pull(
        &mut self,
        now: Now,
        image: &str,
        reason: ImageFailure,
        message: &str,
    ) -> Duration {
        let settings = self.settings.clone();
        let position = self
            .image_backoffs
            .iter()
            .position(|entry| entry.image == image)
            .unwrap_or_else(|| {
                self.image_backoffs.push(ImageBackoff {
                    image: image.to_owned(),
                    backoff: crate::backoff::Backoff::default(),
                    until: Duration::ZERO,
                    last_error: String::new(),
                });
                self.image_backoffs.len() - 1
            });
        let entry = &mut self.image_backoffs[position];
        entry
            .backoff
            .next(now.since_boot, now.since_boot, &settings);
        entry.until = now.since_boot + entry.backoff.delay(now.since_boot).unwrap_or_default();
        entry.last_error = format!("{}: {message}", reason.reason());
        entry.until
    }

    fn started(&mut self, container: ContainerIndex, attempt: Attempt, id: &str, at: Timestamp) {
        if !self.answered(is_start_of(container, attempt)) {
            return;
        }
        let Some(instance) = self.take_starting(container, id, at) else {
            return;
        };
        self.came_to_be(container, &instance);
        let state = self.state_mut(container);
        state.waiting = None;
        state.not_before = None;
        state.record = Record::Running {
            instance,
            stopping: None,
        };
        self.event(container, Normal, "Created", "Container created");
        self.event(container, Normal, "Started", "Container started");
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one observation")]
    fn not_started(
        &mut self,
        now: Now,
        container: ContainerIndex,
        attempt: Attempt,
        stage: StartStage,
        message: &str,
        id: Option<&str>,
        at: Timestamp,
    ) {
        if !self.answered(is_start_of(container, attempt)) {
            return;
        }
        if stage == StartStage::Start {
            let Some(mut instance) = self.take_starting(container, id.unwrap_or_default(), at)
            else {
                return;
            };
            instance.started_at = Timestamp::default();
            self.came_to_be(container, &instance);
            self.event(container, Normal, "Created", "Container created");
            let ended = Ended {
                instance,
                code: 128,
                reason: "StartError".to_owned(),
                message: Some(message.to_owned()),
                finished_at: at,
                finished: now.since_boot,
                exit: None,
            };
            let state = self.state_mut(container);
            state.record = Record::Exited(ended);
            state.waiting = Some(waiting("RunContainerError", message));
            state.not_before = None;
        } else {
            self.give_up_start(container);
            let reason = if stage == StartStage::Config {
                "CreateContainerConfigError"
            } else {
                "CreateContainerError"
            };
            let retry_at = now.since_boot + self.settings.scaled(limits::ERROR_RETRY);
            let state = self.state_mut(container);
            state.waiting = Some(waiting(reason, message));
            state.not_before = Some(retry_at);
        }
        self.event(container, Warning, "Failed", format!("Error: {message}"));
    }

    fn take_starting(
        &mut self,
        container: ContainerIndex,
        id: &str,
        at: Timestamp,
    ) -> Option<Instance> {
        let Record::Starting { instance } = &self.state(container).record else {
            return None;
        };
        let mut instance = instance.clone();
        instance.container_id = Some(id.to_owned());
        instance.started_at = at;
        Some(instance)
    }

    /// A new instance exists: the one before becomes `lastState`, and the one before that is forgotten with its log.
    fn came_to_be(&mut self, container: ContainerIndex, instance: &Instance) {
        self.any_record = true;
        let is_app = self.plan.get(container).kind == Kind::App;
        self.app_ran_in_sandbox |= is_app;
        let state = self.state_mut(container);
        state.ran_in_sandbox = true;
        state.next_restart_count = instance.restart_count + 1;
        state.shown_restart_count = state.shown_restart_count.max(instance.restart_count);
        if let Some(replaced) = state.replaced.take() {
            if let Some(older) = state.last.replace(replaced)
                && !core::mem::take(&mut state.last_is_removed)
            {
                let attempt = older.instance.attempt;
                self.begin(Action::RemoveContainer {
                    container,
                    attempt,
                    keep_logs: false,
                });
            }
        }
    }

    /// A start that led to no instance: what was before is the newest again.
    pub(crate) fn give_up_start(&mut self, container: ContainerIndex) {
        let state = self.state_mut(container);
        if state.is_starting() {
            state.record = state.replaced.take().map_or(Record::None, Record::Exited);
        }
    }

    fn exited(
        &mut self,
        now: Now,
        container: ContainerIndex,
        attempt: Attempt,
        exit: Exit,
        at: Timestamp,
        message: Option<&str>,
    ) {
        if !self.is_known(container) {
            return;
        }
        let Record::Running { instance, .. } = &self.state(container).record else {
            return;
        };
        if instance.attempt != attempt {
            return;
        }
        let (reason, own_message) = match exit {
            Exit::Code(0) => ("Completed", None),
            Exit::Code(_) | Exit::Signal(_) => ("Error", None),
            Exit::OomKilled { .. } => ("OOMKilled", None),
            Exit::Lost => (
                "ContainerStatusUnknown",
                Some("The container could not be located when the pod was terminated"),
            ),
        };
        let budget = limits::TERMINATION_MESSAGES_BYTES / self.containers.len().max(1);
        let message = message
            .or(own_message)
            .filter(|text| !text.is_empty())
            .map(|text| first_bytes(text, budget).to_owned());
        // The kubelet measures from `finishedAt`; an exit that was noticed late is that much older on the clock of deadlines.
        let finished = now.since_boot.saturating_sub(now.wall.since(at));
        let ended = Ended {
            instance: instance.clone(),
            code: exit.code(),
            reason: reason.to_owned(),
            message,
            finished_at: at,
            finished,
            exit: Some(exit),
        };
        self.state_mut(container).record = Record::Exited(ended);
    }

    fn removed(&mut self, container: ContainerIndex, attempt: Attempt) {
        let is_it = |action: &Action| matches!(action, Action::RemoveContainer { container: c, attempt: a, .. } if *c == container && *a == attempt);
        if !self.answered(is_it) {
            return;
        }
        if let Record::Removing(ended) = &self.state(container).record
            && ended.instance.attempt == attempt
        {
            let ended = ended.clone();
            self.record_removed(container, ended);
        }
    }

    /// Everything of before is gone; deadlines are carried over by wall time.
    fn rebooted(&mut self, now: Now) {
        for container in self.plan.indices() {
            self.give_up_start(container);
            if let Record::Running { instance, .. } = &self.state(container).record {
                let attempt = instance.attempt;
                self.exited(now, container, attempt, Exit::Lost, now.wall, None);
            }
            if let Record::Removing(ended) = &self.state(container).record {
                let ended = ended.clone();
                self.record_removed(container, ended);
            }
        }
        self.drop_pending();
        if !matches!(self.sandbox, Sandbox::Absent | Sandbox::Stopped) {
            self.sandbox = Sandbox::Lost;
        }
        if self.volumes != Volumes::Removed {
            self.volumes = Volumes::Absent;
        }
    }
}

fn is_start_of(container: ContainerIndex, attempt: Attempt) -> impl Fn(&Action) -> bool {
    move |action| matches!(action, Action::StartContainer { container: c, attempt: a, .. } if *c == container && *a == attempt)
}

pub(crate) fn waiting(reason: &str, message: &str) -> Waiting {
    Waiting {
        reason: reason.to_owned(),
        message: (!message.is_empty()).then(|| message.to_owned()),
    }
}

/// The first `budget` bytes, not cutting a character.
fn first_bytes(text: &str, budget: usize) -> &str {
    let mut end = budget.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
