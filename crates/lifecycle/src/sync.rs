//! Which container starts next: the decision tables of sections 1.2, 1.4 and 1.5.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use crate::container::{Instance, Record, Stopping, Waiting};
use crate::event::EventKind::{Normal, Warning};
use crate::machine::{PodMachine, Sandbox};
use crate::observe::waiting;
use crate::plan::{Kind, RestartPolicy};
use crate::reset::ResetMode;
use crate::restart::{AfterExit, after};
use crate::termination::EndReason;
use crate::time::go_duration;
use crate::{Accepted, Action, ContainerIndex, Now, Refusal, StopSignal, Timestamp};

impl PodMachine {
    /// One step while the sandbox stands.
    pub(crate) fn step_containers(&mut self, now: Now) -> bool {
        if let Some((mode, triggers)) = self.reset_needed() {
            self.begin_reset(mode, triggers);
            return true;
        }
        match self.round_not_before {
            Some(at) if at > now.since_boot => return false,
            Some(_) => {
                self.round_not_before = None;
                return true;
            }
            None => {}
        }
        // Strictly one after the other (section 1.7): whatever is on its way comes first.
        if self
            .containers
            .iter()
            .any(crate::container::ContainerState::is_starting)
        {
            return false;
        }
        let (mut candidates, initialised) = self.init_starts();
        if initialised {
            candidates.extend(
                self.plan
                    .app_indices()
                    .filter(|index| self.app_wants_start(*index)),
            );
        }
        for container in candidates {
            if self.may_start(container, now) {
                self.start(container);
                return true;
            }
            if self.plan.get(container).kind == Kind::Init {
                // A failing init start ends the sync; a sidecar's or an app's does not hold up the others.
                return false;
            }
        }
        false
    }

    /// Section 1.4: which entries of `initContainers` are to be started, in spec order, and whether initialisation is complete.
    fn init_starts(&self) -> (Vec<ContainerIndex>, bool) {
        if self.plan.init_count == 0 {
            return (Vec::new(), true);
        }
        let mut initialised = self
            .plan
            .app_indices()
            .any(|index| self.state(index).is_alive());
        let mut later = initialised;
        let mut starts = Vec::new();
        for index in self.plan.init_indices().rev() {
            let state = self.state(index);
            let is_last = index.position() + 1 == self.plan.init_count;
            let next = ContainerIndex::at(index.position() + 1);
            match (self.plan.get(index).kind, &state.record) {
                (Kind::Init | Kind::App, Record::None) => continue,
                (Kind::Init | Kind::App, _) if later => {}
                (Kind::Init | Kind::App, Record::Exited(ended)) => {
                    if ended.succeeded() {
                        if is_last {
                            initialised = true
                        } else {
                            starts.push(next)
                        }
                    } else if after(self.plan.get(index), ended) != AfterExit::Leave {
                        starts.push(index);
                    }
                }
                (Kind::Init | Kind::App, _) => {}
                (Kind::Sidecar, Record::None) => {
                    if later {
                        starts.push(index);
                    }
                    continue;
                }
                (Kind::Sidecar, Record::Running { .. }) => {
                    if is_last {
                        initialised = true;
                    } else if !later {
                        starts.push(next);
                    }
                }
                (Kind::Sidecar, Record::Exited(_)) => starts.push(index),
                (Kind::Sidecar, _) => {}
            }
            later = true;
        }
        if !later {
            starts.push(ContainerIndex::at(0));
        }
        starts.sort_unstable();
        starts.dedup();
        (starts, initialised)
    }

    /// Section 1.5, A1 to A4.
    fn app_wants_start(&self, index: ContainerIndex) -> bool {
        match &self.state(index).record {
            Record::None => true,
            Record::Exited(ended) => after(self.plan.get(index), ended) == AfterExit::Restart,
            _ => false,
        }
    }

    /// Whether no back-off holds the start up; if one does, the wait is noted (sections 4.1 and 4.4).
    fn may_start(&mut self, container: ContainerIndex, now: Now) -> bool {
        if let Some(at) = self.state(container).not_before {
            if at > now.since_boot {
                return false;
            }
            self.state_mut(container).not_before = None;
            return true;
        }
        if let Some(ended) = self.state(container).exited() {
            let finished = ended.finished;
            if let Some(delay) = self.state(container).backoff.delay(finished)
                && finished + delay > now.since_boot
            {
                self.wait_for_restart(container, finished + delay, delay);
                return false;
            }
        }
        let image = &self.plan.get(container).image;
        if let Some(entry) = self
            .image_backoffs
            .iter()
            .find(|entry| entry.image == *image && entry.until > now.since_boot)
        {
            let until = entry.until;
            let message = format!("Back-off pulling image {image:?}: {}", entry.last_error);
            let state = self.state_mut(container);
            state.not_before = Some(until);
            state.waiting = Some(Waiting {
                reason: "ImagePullBackOff".to_owned(),
                message: Some(message),
            });
            return false;
        }
        true
    }

    /// `CrashLoopBackOff` is published at once (quirk Q2).
    pub(crate) fn wait_for_restart(
        &mut self,
        container: ContainerIndex,
        until: Duration,
        delay: Duration,
    ) {
        let name = self.plan.get(container).name.clone();
        let pod = self.plan.full_name.clone();
        let text = format!(
            "back-off {} restarting failed container={name} pod={pod}",
            go_duration(delay)
        );
        let state = self.state_mut(container);
        state.not_before = Some(until);
        state.waiting = Some(waiting("CrashLoopBackOff", &text));
        self.event(
            container,
            Warning,
            "BackOff",
            format!("Back-off restarting failed container {name} in pod {pod}"),
        );
    }

    fn start(&mut self, container: ContainerIndex) {
        let now = self.last_now.since_boot;
        let settings = self.settings.clone();
        let state = self.state_mut(container);
        if let Record::Exited(ended) = &state.record {
            let ended = ended.clone();
            state.backoff.next(ended.finished, now, &settings);
            state.replaced = Some(ended);
        }
        let attempt = state.next_attempt;
        state.next_attempt += 1;
        let restart_count = state.next_restart_count;
        let instance = Instance {
            attempt,
            restart_count,
            container_id: None,
            image: None,
            started_at: Timestamp::default(),
        };
        state.record = Record::Image {
            instance,
            pulling: false,
            cancelled: false,
        };
        self.begin(Action::EnsureImage { container, attempt });
    }

    /// The earliest moment at which a container that waits may start, and at which a failed pull turns into a back-off to look at.
    pub(crate) fn wait_until(&self) -> Option<Duration> {
        if self.sandbox != Sandbox::Ready || self.reset.is_some() || self.round_not_before.is_some()
        {
            return None;
        }
        if self
            .containers
            .iter()
            .any(crate::container::ContainerState::is_starting)
        {
            return None;
        }
        let now = self.last_now.since_boot;
        self.containers
            .iter()
            .filter_map(|state| state.not_before)
            .filter(|at| *at > now)
            .min()
    }

    /// Section 1.2: the sandbox is gone by itself.
    pub(crate) fn step_lost_sandbox(&mut self, now: Now) -> bool {
        if self
            .containers
            .iter()
            .any(crate::container::ContainerState::is_alive)
        {
            return self.stop_all(now, self.plan.grace);
        }
        if self.plan.policy == RestartPolicy::Never && self.any_record {
            self.begin_ending(now, EndReason::SandboxLost);
            return true;
        }
        self.pod_event(
            Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
        self.sandbox = Sandbox::Stopping;
        self.begin(Action::StopSandbox {
            attempt: self.sandbox_attempt,
        });
        true
    }

    /// The lost sandbox is cleared away: a new one, and all init containers again. App records stay.
    pub(crate) fn renew_sandbox(&mut self) {
        self.reset = None;
        self.app_ran_in_sandbox = false;
        for index in self.plan.indices() {
            let is_init = index.position() < self.plan.init_count;
            let state = self.state_mut(index);
            state.ran_in_sandbox = false;
            if is_init && let Record::Exited(ended) = &state.record {
                let ended = ended.clone();
                let attempt = ended.instance.attempt;
                state.shown_restart_count = state
                    .shown_restart_count
                    .max(ended.instance.restart_count + 1);
                let older = state.last.replace(ended).filter(|_| !state.last_is_removed);
                state.last_is_removed = true;
                state.record = Record::None;
                state.not_before = None;
                self.begin(Action::RemoveContainer {
                    container: index,
                    attempt,
                    keep_logs: false,
                });
                if let Some(older) = older {
                    let attempt = older.instance.attempt;
                    self.begin(Action::RemoveContainer {
                        container: index,
                        attempt,
                        keep_logs: false,
                    });
                }
            }
        }
        self.sandbox_attempt += 1;
        self.sandbox = Sandbox::Absent;
    }

    /// Stops whatever lives, without order; true when something was told to.
    pub(crate) fn stop_all(&mut self, now: Now, grace: Duration) -> bool {
        let mut changed = false;
        for index in self.plan.indices() {
            changed |= self.cancel_start(index);
            changed |= self.stop(index, now, grace);
        }
        changed
    }

    /// Tells a pull to end. A start that is under way is waited for.
    pub(crate) fn cancel_start(&mut self, container: ContainerIndex) -> bool {
        if let Record::Image {
            instance,
            cancelled,
            ..
        } = &mut self.state_mut(container).record
            && !*cancelled
        {
            *cancelled = true;
            let attempt = instance.attempt;
            self.begin(Action::CancelImage { container, attempt });
            return true;
        }
        false
    }

    /// Sends the stop signal to a running instance that has none yet; `SIGKILL` follows after `grace`, but never before two seconds.
    pub(crate) fn stop(&mut self, container: ContainerIndex, now: Now, grace: Duration) -> bool {
        if let Record::Running { instance, stopping } = &mut self.state_mut(container).record
            && stopping.is_none()
        {
            let kill_at = now.since_boot + grace.max(crate::limits::MINIMUM_STOP);
            *stopping = Some(Stopping::Signalled { kill_at });
            let attempt = instance.attempt;
            self.begin(Action::SignalContainer {
                container,
                attempt,
                signal: StopSignal::Stop,
            });
            return true;
        }
        false
    }

    /// `SIGKILL` for whoever had its grace.
    pub(crate) fn kill_overdue(&mut self, now: Now) -> bool {
        let mut changed = false;
        for index in self.plan.indices() {
            if let Record::Running { instance, stopping } = &mut self.state_mut(index).record
                && let Some(Stopping::Signalled { kill_at }) = *stopping
                && kill_at <= now.since_boot
            {
                *stopping = Some(Stopping::Killed);
                let attempt = instance.attempt;
                self.begin(Action::SignalContainer {
                    container: index,
                    attempt,
                    signal: StopSignal::Kill,
                });
                changed = true;
            }
        }
        changed
    }

    /// `podyard retry`: ends waits now; delays and counts stay.
    pub(crate) fn retry(
        &mut self,
        now: Now,
        only: Option<ContainerIndex>,
    ) -> Result<Accepted, Refusal> {
        if self.ending.is_some() {
            return Err(Refusal::Terminating);
        }
        if only.is_some_and(|index| index.position() >= self.containers.len()) {
            return Err(Refusal::NoSuchContainer);
        }
        let mut any = false;
        for index in self
            .plan
            .indices()
            .filter(|index| only.is_none_or(|only| only == *index))
        {
            if let Some(at) = &mut self.state_mut(index).not_before
                && *at > now.since_boot
            {
                *at = now.since_boot;
                any = true;
                let image = self.plan.get(index).image.clone();
                for entry in self
                    .image_backoffs
                    .iter_mut()
                    .filter(|entry| entry.image == image)
                {
                    entry.until = entry.until.min(now.since_boot);
                }
            }
        }
        if self.round_not_before.is_some_and(|at| at > now.since_boot) {
            self.round_not_before = Some(now.since_boot);
            any = true;
        }
        if any {
            Ok(Accepted::Done)
        } else {
            Err(Refusal::NothingWaiting)
        }
    }

    /// What asks for a reset of all containers: section 3.4, or a failed init container in restart-pod mode.
    fn reset_needed(&self) -> Option<(ResetMode, Vec<ContainerIndex>)> {
        let triggers: Vec<_> = self
            .plan
            .indices()
            .filter(|index| {
                let state = self.state(*index);
                matches!(&state.record, Record::Exited(ended) if after(self.plan.get(*index), ended) == AfterExit::RestartAll)
            })
            .collect();
        if !triggers.is_empty() {
            return Some((ResetMode::AllContainers, triggers));
        }
        if self.settings.on_init_failure == crate::OnInitFailure::RetryContainer {
            return None;
        }
        let failed = self.plan.init_indices().find(|index| {
            let plan = self.plan.get(*index);
            plan.kind == Kind::Init
                && matches!(&self.state(*index).record, Record::Exited(ended)
                    if !ended.succeeded() && after(plan, ended) == AfterExit::Restart)
        })?;
        Some((ResetMode::RestartPod, [failed].into()))
    }
}
