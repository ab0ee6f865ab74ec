//! What `get pods` says about a pod: the READY, STATUS and RESTARTS columns (`pod-lifecycle.md` section 10.1).
//!
//! The rules are kubectl's, quirks included: fingers and scripts that know `Init:CrashLoopBackOff` find it here.

use super::age;
use crate::objects::{
    ContainerStatus, Pod, PodExt as _, Timestamp, is_sidecar, moment, terminated, waiting_reason,
};

/// The columns that need more than copying a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Containers that are ready.
    pub(crate) ready: usize,
    /// Containers that are expected to be: app containers and sidecars.
    pub(crate) total: usize,
    /// `Running`, `Init:1/3`, `CrashLoopBackOff`, `Terminating`, …
    pub(crate) status: String,
    /// Restarts of the containers that count at this point.
    pub(crate) restarts: i32,
    /// When the last of them ended.
    pub(crate) last_restart: Option<Timestamp>,
}

impl Summary {
    /// Computes the columns out of a pod's specification and status.
    pub(crate) fn of(pod: &Pod) -> Self {
        let sidecars = pod
            .init_containers()
            .iter()
            .filter(|container| is_sidecar(container))
            .count();
        let mut summary = Self {
            ready: 0,
            total: pod.app_containers().len() + sidecars,
            status: pod.phase().to_owned(),
            restarts: 0,
            last_restart: None,
        };
        let reason = pod
            .status
            .as_ref()
            .and_then(|status| status.reason.as_deref())
            .filter(|reason| !reason.is_empty());
        if let Some(reason) = reason {
            reason.clone_into(&mut summary.status);
        }
        if summary.status.is_empty() {
            "Unknown".clone_into(&mut summary.status);
        }

        let stopped_at_init = summary.walk_init_containers(pod);
        if !stopped_at_init || pod.condition_is_true("Initialized") {
            summary.walk_app_containers(pod);
        }
        if pod.is_terminating() {
            if reason == Some("NodeLost") {
                "Unknown".clone_into(&mut summary.status);
            } else if !pod.is_terminal() {
                "Terminating".clone_into(&mut summary.status);
            }
        }
        summary
    }

    /// `1/2`.
    pub(crate) fn ready_column(&self) -> String {
        format!("{}/{}", self.ready, self.total)
    }

    /// `3 (5m ago)`.
    pub(crate) fn restarts_column(&self, now: Timestamp) -> String {
        match self.last_restart {
            Some(last) if self.restarts > 0 => {
                format!("{} ({} ago)", self.restarts, age::since(Some(last), now))
            }
            _ => self.restarts.to_string(),
        }
    }

    /// Goes through the init statuses up to the first that is not passed, which then decides STATUS. Says whether there was one.
    fn walk_init_containers(&mut self, pod: &Pod) -> bool {
        let specs = pod.init_containers();
        let statuses = pod
            .status
            .as_ref()
            .and_then(|status| status.init_container_statuses.as_deref())
            .unwrap_or_default();
        let mut of_sidecars = Restarts::default();
        for (index, container) in statuses.iter().enumerate() {
            self.count_restarts(container);
            let is_sidecar = specs
                .iter()
                .any(|spec| spec.name == container.name && is_sidecar(spec));
            if is_sidecar {
                of_sidecars.add(container);
            }
            let state = container.state.as_ref();
            match (terminated(state), waiting_reason(state)) {
                (Some(end), _) if end.exit_code == 0 => continue,
                _ if is_sidecar && container.started == Some(true) => {
                    self.ready += usize::from(container.ready);
                    continue;
                }
                (Some(end), _) => self.status = format!("Init:{}", exit_word(end)),
                (None, Some(reason)) if reason != "PodInitializing" => {
                    self.status = format!("Init:{reason}")
                }
                _ => self.status = format!("Init:{index}/{}", specs.len()),
            }
            // kubectl then counts these restarts only as long as the pod is not initialised.
            if pod.condition_is_true("Initialized") {
                self.take_restarts(of_sidecars);
            }
            return true;
        }
        // Init containers are over: what they needed to get there is history.
        self.take_restarts(of_sidecars);
        false
    }

    fn walk_app_containers(&mut self, pod: &Pod) {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_deref())
            .unwrap_or_default();
        let mut has_running = false;
        let mut error = None;
        // From last to first: the alphabetically first container has the last word.
        for container in statuses.iter().rev() {
            self.count_restarts(container);
            let state = container.state.as_ref();
            if let Some(reason) = waiting_reason(state) {
                reason.clone_into(&mut self.status);
            } else if let Some(end) = terminated(state) {
                self.status = exit_word(end);
                if end.exit_code != 0 {
                    error = Some(self.status.clone());
                }
            } else if container.ready && state.is_some_and(|state| state.running.is_some()) {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" {
            if has_running && pod.condition_is_true("Ready") {
                "Running".clone_into(&mut self.status);
            } else if let Some(error) = error {
                self.status = error;
            } else if has_running {
                "NotReady".clone_into(&mut self.status);
            }
        }
    }

    fn count_restarts(&mut self, container: &ContainerStatus) {
        let mut restarts = Restarts {
            count: self.restarts,
            last: self.last_restart,
        };
        restarts.add(container);
        self.take_restarts(restarts);
    }

    fn take_restarts(&mut self, restarts: Restarts) {
        self.restarts = restarts.count;
        self.last_restart = restarts.last;
    }
}

/// A sum of restarts and when the latest of them began.
#[derive(Debug, Clone, Copy, Default)]
struct Restarts {
    count: i32,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count += container.restart_count;
        let ended = terminated(container.last_state.as_ref())
            .and_then(|end| moment(end.finished_at.as_ref()));
        self.last = self.last.max(ended);
    }
}

/// `Error`, `OOMKilled`, `Signal:9` or `ExitCode:3`.
fn exit_word(end: &crate::objects::ContainerStateTerminated) -> String {
    match (
        end.reason.as_deref().filter(|reason| !reason.is_empty()),
        end.signal,
    ) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        (None, _) => format!("ExitCode:{}", end.exit_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{
        PodChanges as _, StatusExt as _, app, exited, init, pod, running, sidecar, waiting,
    };

    /// `READY STATUS RESTARTS` of a pod.
    fn columns(pod: &Pod) -> String {
        let summary = Summary::of(pod);
        format!(
            "{} {} {}",
            summary.ready_column(),
            summary.status,
            summary.restarts
        )
    }

    fn check(pod: &Pod, expected: &str) {
        assert_eq!(columns(pod), expected);
    }

    #[test]
    fn before_and_during_initialisation() {
        let creating = || waiting("ContainerCreating");
        let initializing = || waiting("PodInitializing");
        check(
            &pod("Pending", [app("a", creating())]),
            "0/1 ContainerCreating 0",
        );
        check(
            &pod(
                "Pending",
                [init("i", initializing()), app("a", initializing())],
            ),
            "0/1 Init:0/1 0",
        );
        check(
            &pod(
                "Pending",
                [
                    init("i", exited(0)),
                    init("j", running()),
                    app("a", initializing()),
                ],
            ),
            "0/1 Init:1/2 0",
        );
        check(
            &pod("Pending", [init("i", exited(3)), app("a", initializing())]),
            "0/1 Init:Error 0",
        );
        let crashing = waiting("CrashLoopBackOff").restarted(4);
        check(
            &pod("Pending", [init("i", crashing), app("a", initializing())]),
            "0/1 Init:CrashLoopBackOff 4",
        );
        check(
            &pod(
                "Pending",
                [init("i", exited(0).restarted(2)), app("a", initializing())],
            ),
            "0/1 PodInitializing 0",
        );
        check(
            &pod(
                "Pending",
                [init("i", exited(1).because("")), app("a", initializing())],
            ),
            "0/1 Init:ExitCode:1 0",
        );
        check(
            &pod(
                "Pending",
                [
                    sidecar("s", running().unstarted()),
                    app("a", initializing()),
                ],
            ),
            "0/2 Init:0/1 0",
        );
        check(
            &pod(
                "Pending",
                [
                    sidecar("s", running()),
                    init("i", running()),
                    app("a", initializing()),
                ],
            ),
            "1/2 Init:1/2 0",
        );
    }

    #[test]
    fn while_it_runs() {
        check(
            &pod("Running", [app("a", running())]).ready(),
            "1/1 Running 0",
        );
        check(
            &pod("Running", [app("a", running().unready())]),
            "0/1 Running 0",
        );
        check(
            &pod("Running", [app("a", exited(0)), app("b", running())]),
            "1/2 NotReady 0",
        );
        check(
            &pod("Running", [app("a", running()), app("b", exited(0))]),
            "1/2 NotReady 0",
        );
        check(
            &pod("Running", [app("a", exited(1)), app("b", running())]),
            "1/2 Error 0",
        );
        check(
            &pod(
                "Running",
                [
                    app("a", exited(0)),
                    app("b", exited(1)),
                    app("c", running()),
                ],
            ),
            "1/3 Error 0",
        );
        check(
            &pod(
                "Running",
                [
                    app("a", waiting("CrashLoopBackOff").restarted(3)),
                    app("b", running()),
                ],
            ),
            "1/2 CrashLoopBackOff 3",
        );
        let crashing = sidecar("s", waiting("CrashLoopBackOff").unstarted().restarted(2));
        check(
            &pod("Running", [crashing, app("a", running())]).initialized(),
            "1/2 Init:CrashLoopBackOff 2",
        );
    }

    #[test]
    fn at_its_end() {
        check(&pod("Succeeded", [app("a", exited(0))]), "0/1 Completed 0");
        check(&pod("Failed", [app("a", exited(137))]), "0/1 Error 0");
        check(
            &pod("Failed", [app("a", exited(137).because("OOMKilled"))]),
            "0/1 OOMKilled 0",
        );
        check(
            &pod("Failed", [app("a", exited(143))]).because("DeadlineExceeded"),
            "0/1 Error 0",
        );
        check(&pod("Failed", []).because("Evicted"), "0/0 Evicted 0");
        check(
            &pod("Running", [app("a", running())]).deleting(),
            "1/1 Terminating 0",
        );
        check(
            &pod("Succeeded", [app("a", exited(0))]).deleting(),
            "0/1 Completed 0",
        );
    }

    #[test]
    fn restarts_say_when_the_last_one_was() {
        let now = Timestamp::from_second(1_000_300).expect("in range");
        let crashed = waiting("CrashLoopBackOff")
            .restarted(3)
            .last_ended_at(1_000_000);
        let summary = Summary::of(&pod("Running", [app("a", crashed)]));
        assert_eq!(summary.restarts_column(now), "3 (5m ago)");
    }
}
