//! The one start that is under way, and what puts starts off (sections 1.7, 4.1 and 6). Its image is the part of `image.rs`.
//!
//! ```text
//!   wanted ──▶ hold? ──▶ crash back-off? ──▶ image back-off? ──▶ EnsureImage ──▶ StartContainer ──▶ (postStart) ──▶ runs
//!                └──────────── wake, reason in the status ◀──────────┴─ failed ─────────┘
//! ```

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::container::{
    BackoffStep, Cause, Ended, ImageName, Life, Reason, Record, Running, Waiting,
};
use crate::event::EventKind::{Normal, Warning};
use crate::machine::PodMachine;
use crate::stop::StopOrder;
use crate::time::{Moment, go_duration};
use crate::{
    Action, Attempt, ContainerIndex, Hook, HookResult, Now, StartStage, Timestamp, limits,
};

/// A start under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) container: ContainerIndex,
    pub(crate) attempt: Attempt,
    /// Of the image that the spec named when it was begun.
    pub(crate) image_slot: usize,
    pub(crate) step: StartStep,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StartStep {
    /// `EnsureImage` is out.
    Image { is_cancelled: bool },
    /// The image is there; the rest follows if the start is still wanted.
    Ready { image: ImageName },
    /// `StartContainer` is out, and cannot be taken back.
    Create {
        image: ImageName,
        restart_count: u32,
    },
    /// It runs, and its postStart hook is about to.
    Started,
    /// So does the hook; or it has failed, and the container is being killed.
    PostStart,
    /// The hook has failed, and the container is about to be killed for it.
    PostStartFailed,
}

impl PodMachine {
    /// Makes the first start of `wanted` that nothing puts off, unless one is under way. Returns whether the records must be looked at again.
    pub(crate) fn drive_starts(&mut self, wanted: &[ContainerIndex]) -> bool {
        self.drive_post_start();
        if let Some(start) = &self.starting
            && (!wanted.contains(&start.container) || self.is_of_other_image(start))
        {
            self.cancel_start();
        }
        let under_way = self.starting.as_ref().map(|start| start.container);
        let (mut first, mut was_put_off) = (None, false);
        for container in wanted
            .iter()
            .copied()
            .filter(|container| under_way != Some(*container))
        {
            let was_owed = self.container(container).owed.is_some();
            if self.may_start(container) {
                first.get_or_insert(container);
            } else {
                was_put_off |= was_owed && self.container(container).owed.is_none();
            }
        }
        if was_put_off {
            // Its exit code counts after all, and perhaps nothing is to be started any more.
            return true;
        }
        if let (None, Some(container)) = (&self.starting, first) {
            self.begin_start(container);
        }
        self.begin_creation();
        false
    }

    /// Begun before the spec named another image.
    fn is_of_other_image(&self, start: &Start) -> bool {
        start.image_slot != self.container_plan(start.container).image_slot
    }

    /// Its image is there, and it is still wanted.
    fn begin_creation(&mut self) {
        let Some(start) = &mut self.starting else {
            return;
        };
        let StartStep::Ready { image } = &mut start.step else {
            return;
        };
        let (container, attempt) = (start.container, start.attempt);
        let restart_count = self.containers[container.position()].next_restart_count;
        start.step = StartStep::Create {
            image: core::mem::take(image),
            restart_count,
        };
        self.begin(Action::StartContainer {
            container,
            attempt,
            restart_count,
        });
    }

    /// Begins the hook of what has just been started, and kills what has just failed in it (section 6).
    fn drive_post_start(&mut self) {
        let Some(start) = &mut self.starting else {
            return;
        };
        let (container, attempt) = (start.container, start.attempt);
        match start.step {
            StartStep::Started => {
                start.step = StartStep::PostStart;
                self.begin(Action::RunHook {
                    container,
                    attempt,
                    hook: Hook::PostStart,
                });
            }
            StartStep::PostStartFailed => {
                start.step = StartStep::PostStart;
                let order = StopOrder {
                    until: self.now.moment().plus(self.plan.grace),
                    with_pre_stop: true,
                    in_order: false,
                    then_start: false,
                };
                self.stop(container, "FailedPostStartHook", order);
            }
            _ => {}
        }
    }

    /// Whether nothing puts the start off. What does is shown in the status and wakes the machine when it is over.
    fn may_start(&mut self, index: ContainerIndex) -> bool {
        let now = self.now.moment();
        let container = self.container_mut(index);
        if let Some(until) = container.hold {
            if until > now {
                container.wake = Some(until);
                return false;
            }
            container.hold = None;
        }
        if let Some(wait) = self.crash_wait(index) {
            let container = self.container_mut(index);
            if container.owed.take().is_none() {
                container.wake = Some(wait.until);
                self.show_crash_loop(index, wait.delay);
            }
            return false;
        }
        if let Some(until) = self.image_wait(index) {
            self.container_mut(index).wake = Some(until);
            self.show_image_backoff(index);
            return false;
        }
        true
    }

    /// Section 4.1. The wait counts from the exit, and there is none before the first restart.
    pub(crate) fn crash_wait(&self, index: ContainerIndex) -> Option<crate::backoff::Wait> {
        let container = self.container(index);
        if container.backoff_step != BackoffStep::Ahead {
            return None;
        }
        let finished = self.last_finished(index)?;
        container
            .backoff
            .wait(finished, self.now.moment(), &self.settings)
    }

    /// The exit that the next start's back-off counts from.
    fn last_finished(&self, index: ContainerIndex) -> Option<Moment> {
        let container = self.container(index);
        match container.owed {
            Some(owed) => owed.since,
            None => container.ended().map(|ended| ended.finished),
        }
    }

    /// Published at once, while the kubelet shows it at its next look (quirk Q2).
    pub(crate) fn show_crash_loop(&mut self, index: ContainerIndex, delay: core::time::Duration) {
        if self.is_shown(index, Reason::CrashLoopBackOff) {
            return;
        }
        let (name, pod) = (&self.container_plan(index).name, &self.plan.full_name);
        let delay = go_duration(delay);
        let shown = format!("back-off {delay} restarting failed container={name} pod={pod}");
        let event = format!("Back-off restarting failed container {name} in pod {pod}");
        self.show(index, Reason::CrashLoopBackOff, shown);
        self.event(index, Warning, "BackOff", event);
    }

    pub(crate) fn is_shown(&self, index: ContainerIndex, reason: Reason) -> bool {
        let waiting = &self.container(index).waiting;
        waiting
            .as_ref()
            .is_some_and(|waiting| waiting.reason == reason)
    }

    pub(crate) fn show(&mut self, index: ContainerIndex, reason: Reason, message: String) {
        let message = (!message.is_empty()).then_some(message.into());
        self.container_mut(index).waiting = Some(Waiting { reason, message });
    }

    fn begin_start(&mut self, index: ContainerIndex) {
        let (now, max) = (
            self.now.moment(),
            self.settings.max_container_restart_period,
        );
        let is_restart = self.container(index).backoff_step != BackoffStep::Behind
            && self.last_finished(index).is_some();
        let container = self.container_mut(index);
        if is_restart {
            container.backoff.raise(now, max);
        }
        container.backoff_step = BackoffStep::Behind;
        let attempt = container.next_attempt;
        container.next_attempt += 1;
        self.starting = Some(Start {
            container: index,
            attempt,
            image_slot: self.container_plan(index).image_slot,
            step: StartStep::Image {
                is_cancelled: false,
            },
        });
        self.begin(Action::EnsureImage {
            container: index,
            attempt,
        });
    }

    /// Takes a start back as far as that is possible: a pull is given up (quirk Q1), a process that is being made is waited for.
    pub(crate) fn cancel_start(&mut self) {
        let Some(start) = &mut self.starting else {
            return;
        };
        let (container, attempt) = (start.container, start.attempt);
        match &mut start.step {
            StartStep::Image { is_cancelled } if !*is_cancelled => {
                *is_cancelled = true;
                self.begin(Action::CancelImage { container, attempt });
            }
            StartStep::Ready { .. } | StartStep::Started | StartStep::PostStartFailed => {
                self.starting = None;
            }
            _ => {}
        }
    }

    /// Whatever puts the next start off does so no more.
    pub(crate) fn lift_back_off(&mut self, index: ContainerIndex) {
        if self.crash_wait(index).is_some() {
            self.container_mut(index).backoff_step = BackoffStep::Lifted;
        }
        let slot = self.container_plan(index).image_slot;
        self.images[slot].lift();
    }

    /// The start that waits for this kind of answer about this instance.
    pub(crate) fn start_of(
        &self,
        container: ContainerIndex,
        attempt: Attempt,
    ) -> Option<&StartStep> {
        let start = self.starting.as_ref()?;
        (start.container == container && start.attempt == attempt).then_some(&start.step)
    }

    pub(crate) fn note_started(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        container_id: &str,
        at: Timestamp,
    ) {
        let since = self.now.moment_of(at);
        let image_slot = self.starting.as_ref().map(|start| start.image_slot);
        let has_hook = self.container_plan(container).has_post_start && self.ending().is_none();
        let running = Running {
            started_at: at,
            since,
            in_post_start: has_hook,
            stop: None,
        };
        if !self.put_on_record(
            container,
            attempt,
            Some(container_id),
            Life::Running(running),
        ) {
            return;
        }
        self.event(container, Normal, "Started", "Container started");
        self.forget_resets();
        self.container_mut(container).probes.begin_instance();
        if has_hook && let Some(image_slot) = image_slot {
            self.starting = Some(Start {
                container,
                attempt,
                image_slot,
                step: StartStep::Started,
            });
        } else {
            self.finish_start(container);
        }
    }

    pub(crate) fn note_not_started(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        stage: StartStage,
        message: &str,
        container_id: Option<&str>,
        at: Timestamp,
    ) {
        let now = self.now;
        let reason = match stage {
            StartStage::Start => {
                let ended = self.start_error(now, message, container_id, at);
                if !self.put_on_record(container, attempt, container_id, Life::Ended(ended)) {
                    return;
                }
                Reason::RunContainerError
            }
            StartStage::Config | StartStage::Create => {
                self.answered(|action| is_start(action, container, attempt));
                if !matches!(
                    self.start_of(container, attempt),
                    Some(StartStep::Create { .. })
                ) {
                    return;
                }
                self.starting = None;
                let hold = now.moment().plus(self.settings.scaled(limits::ERROR_RETRY));
                self.container_mut(container).hold = Some(hold);
                match stage {
                    StartStage::Config => Reason::CreateContainerConfigError,
                    _ => Reason::CreateContainerError,
                }
            }
        };
        self.show(container, reason, message.into());
        self.event(container, Warning, "Failed", format!("Error: {message}"));
    }

    /// An instance came to be. False if it is not the one that was asked for.
    fn put_on_record(
        &mut self,
        index: ContainerIndex,
        attempt: Attempt,
        container_id: Option<&str>,
        life: Life,
    ) -> bool {
        self.answered(|action| is_start(action, index, attempt));
        let Some(start) = &self.starting else {
            return false;
        };
        let StartStep::Create {
            image,
            restart_count,
        } = &start.step
        else {
            return false;
        };
        if (start.container, start.attempt) != (index, attempt) {
            return false;
        }
        let record = Record {
            attempt,
            restart_count: *restart_count,
            sandbox: self.sandbox.attempt,
            container_id: container_id.map(Into::into),
            image_slot: start.image_slot,
            image: image.clone(),
            life,
        };
        self.starting = None;
        let has_ended = matches!(record.life, Life::Ended(_));
        self.container_mut(index).replace(record);
        if has_ended {
            self.container_mut(index).reveal();
        }
        self.event(index, Normal, "Created", "Container created");
        // The kubelet keeps the remains of one instance beside the newest (section 12).
        while self.container(index).remains.len() > 2 {
            let attempt = self.container_mut(index).remains.remove(0);
            self.begin(Action::RemoveContainer {
                container: index,
                attempt,
                keep_logs: false,
            });
        }
        true
    }

    /// An instance whose program could not be run counts as one that exited (section 8.6).
    fn start_error(
        &self,
        now: Now,
        message: &str,
        container_id: Option<&str>,
        at: Timestamp,
    ) -> Ended {
        Ended {
            cause: Cause::StartError,
            code: 128,
            message: self.within_budget(message),
            started_at: Some(Timestamp::default()),
            finished_at: Some(at),
            finished: now.moment_of(at),
            container_id: container_id.map(Into::into),
        }
    }

    /// The start has succeeded; what was remembered of earlier ones is forgotten.
    fn finish_start(&mut self, index: ContainerIndex) {
        let container = self.container_mut(index);
        container.waiting = None;
        container.reveal();
        if let Some(running) = container.running_mut() {
            running.in_post_start = false;
        }
        if self
            .starting
            .as_ref()
            .is_some_and(|start| start.container == index)
        {
            self.starting = None;
        }
        self.begin_probes(index);
    }

    /// Section 6: until the hook is done nobody hears of the container, and if it fails the container is killed.
    pub(crate) fn note_post_start(
        &mut self,
        container: ContainerIndex,
        attempt: Attempt,
        result: &HookResult,
    ) {
        if !matches!(
            self.start_of(container, attempt),
            Some(StartStep::PostStart)
        ) || !self.container(container).is_live(attempt)
        {
            return;
        }
        match result {
            HookResult::Succeeded => self.finish_start(container),
            HookResult::Cancelled => {
                let running = self.container(container).running();
                if running.is_some_and(|running| running.stop.is_none()) {
                    // Nobody here has asked for it: the hook was lost with its driver.
                    self.finish_start(container);
                }
            }
            HookResult::Failed { message } => {
                self.event(
                    container,
                    Warning,
                    "FailedPostStartHook",
                    "PostStartHook failed",
                );
                self.show(container, Reason::PostStartHookError, message.clone());
                self.container_mut(container).reveal();
                if let Some(start) = &mut self.starting {
                    start.step = StartStep::PostStartFailed;
                }
            }
        }
    }
}

pub(crate) fn is_start(action: &Action, of: ContainerIndex, instance: Attempt) -> bool {
    matches!(action, Action::StartContainer { container, attempt, .. }
        if *container == of && *attempt == instance)
}
