//! One sentence about a pod: is it running, and if not, why, and what happens next and when.
//!
//! The status has it all, spread over phases, conditions, states and texts. This puts it in the order in which a person asks.

use super::age;
use super::escape::one_line;
use super::times::Times;
use crate::objects::{
    Container, ContainerStateTerminated, ContainerStatus, Event, Pod, PodExt as _, Timestamp,
    is_sidecar, moment, terminated, waiting_reason,
};

/// The sentence, without a full stop.
pub(crate) fn verdict(pod: &Pod, times: &Times, now: Timestamp) -> String {
    if pod.is_terminating() && !pod.is_terminal() {
        return terminating(pod, now);
    }
    match pod.phase() {
        "Succeeded" => return "succeeded: every container has ended with exit code 0".to_owned(),
        "Failed" => return failed(pod),
        _ => {}
    }
    let clock = Clock { now, times };
    if let Some((index, container, status)) = held_init(pod).or_else(|| first_open_init(pod)) {
        let kind = if is_sidecar(container) {
            "sidecar"
        } else {
            "init container"
        };
        let who = format!(
            "{kind} `{}` ({} of {})",
            container.name,
            index + 1,
            pod.init_containers().len()
        );
        let prefix = if pod.condition_is_true("Initialized") {
            "running, but"
        } else {
            "initialising:"
        };
        return format!("{prefix} {who} {}", clock.init_state(container, status));
    }
    apps(pod, &clock)
}

/// What stands in the way of a pod and is in no container's status: a volume or the network of one of which no container could be tried
/// yet, a probe of one that is not ready. Its last warning says.
pub(crate) fn obstacle(pod: &Pod, events: &[Event]) -> Option<String> {
    let is_unready = pod.phase() == "Running" && !pod.condition_is_true("ContainersReady");
    let is_before_all =
        pod.phase() == "Pending" && !pod.condition_is_true("PodReadyToStartContainers");
    // Of a container only what its probe says: everything else is in its status.
    let is_it = |event: &&Event| {
        let is_of_pod = event.involved_object.field_path.is_none();
        let is_probe = event.reason.as_deref() == Some("Unhealthy");
        event.type_.as_deref() == Some("Warning")
            && ((is_before_all && is_of_pod) || (is_unready && is_probe))
    };
    let last = events
        .iter()
        .filter(is_it)
        .max_by_key(|event| moment(event.last_timestamp.as_ref()))?;
    let text = |text: &Option<String>| one_line(text.as_deref().unwrap_or_default()).into_owned();
    Some(format!("{}: {}", text(&last.reason), text(&last.message)))
}

/// `exit code 3`, `exit code 137 (OOMKilled)`.
pub(crate) fn exit_text(end: &ContainerStateTerminated) -> String {
    match end.reason.as_deref() {
        None | Some("" | "Error" | "Completed") => format!("exit code {}", end.exit_code),
        Some(reason) => format!("exit code {} ({})", end.exit_code, one_line(reason)),
    }
}

struct Clock<'a> {
    now: Timestamp,
    times: &'a Times,
}

impl Clock<'_> {
    fn next(&self, status: &ContainerStatus) -> String {
        let next = self.times.next_try(status, self.now);
        next.map(|text| format!("; {text}")).unwrap_or_default()
    }

    fn init_state(&self, container: &Container, status: Option<&ContainerStatus>) -> String {
        let Some(status) = status else {
            return "has not started yet".to_owned();
        };
        let Some(state) = &status.state else {
            return "has not started yet".to_owned();
        };
        if let Some(running) = &state.running {
            let since = age::since(moment(running.started_at.as_ref()), self.now);
            return if is_sidecar(container) {
                format!("runs since {since}, its startup is not over yet")
            } else {
                format!("has been running for {since}")
            };
        }
        if let Some(end) = &state.terminated {
            return format!("failed with {}", exit_text(end));
        }
        self.waiting(status)
    }

    /// Why a container waits: `failed with exit code 1, 3 times so far; next try in 7s`.
    fn waiting(&self, status: &ContainerStatus) -> String {
        let waiting = status
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref());
        let message = waiting
            .and_then(|waiting| waiting.message.as_deref())
            .unwrap_or_default();
        let last = terminated(status.last_state.as_ref());
        match (waiting_reason(status.state.as_ref()), last) {
            (None | Some("PodInitializing" | "ContainerCreating"), _) => {
                "is being prepared".to_owned()
            }
            (Some("CrashLoopBackOff"), Some(end)) => {
                let times = match status.restart_count {
                    0 => String::new(),
                    restarts => format!(
                        ", after {restarts} restart{}",
                        if restarts == 1 { "" } else { "s" }
                    ),
                };
                let how = if end.exit_code == 0 {
                    "ended"
                } else {
                    "failed"
                };
                format!("{how} with {}{times}{}", exit_text(end), self.next(status))
            }
            (Some(reason), _) if message.is_empty() => {
                format!("waits: {}{}", one_line(reason), self.next(status))
            }
            (Some(reason), _) => format!(
                "waits: {}: {}{}",
                one_line(reason),
                one_line(message),
                self.next(status)
            ),
        }
    }
}

/// The init container for which all others have to wait, too: in restart-pod mode, they begin again together.
fn held_init(pod: &Pod) -> Option<(usize, &Container, Option<&ContainerStatus>)> {
    let mut all = pod.init_containers().iter().enumerate();
    all.find_map(|(index, container)| {
        let status = pod.container_status(&container.name)?;
        let is_held = waiting_reason(status.state.as_ref()) == Some("CrashLoopBackOff");
        is_held.then_some((index, container, Some(status)))
    })
}

/// The first init container that initialisation has not passed, with its place.
pub(crate) fn first_open_init(pod: &Pod) -> Option<(usize, &Container, Option<&ContainerStatus>)> {
    pod.init_containers()
        .iter()
        .enumerate()
        .find_map(|(index, container)| {
            let status = pod.container_status(&container.name);
            let is_over = status.is_some_and(|status| {
                let ended_well =
                    terminated(status.state.as_ref()).is_some_and(|end| end.exit_code == 0);
                if is_sidecar(container) {
                    status.started == Some(true)
                } else {
                    ended_well
                }
            });
            (!is_over).then_some((index, container, status))
        })
}

fn apps(pod: &Pod, clock: &Clock<'_>) -> String {
    let total = pod.app_containers().len()
        + pod
            .init_containers()
            .iter()
            .filter(|entry| is_sidecar(entry))
            .count();
    let mut ready = 0;
    let mut troubles = Vec::new();
    for container in pod
        .init_containers()
        .iter()
        .filter(|entry| is_sidecar(entry))
        .chain(pod.app_containers())
    {
        let Some(status) = pod.container_status(&container.name) else {
            troubles.push(format!(
                "container `{}` has not started yet",
                container.name
            ));
            continue;
        };
        ready += usize::from(status.ready);
        let state = status.state.as_ref();
        if let Some(end) = terminated(state) {
            troubles.push(format!(
                "container `{}` has ended with {}",
                container.name,
                exit_text(end)
            ));
        } else if state.is_none_or(|state| state.running.is_none()) {
            troubles.push(format!(
                "container `{}` {}",
                container.name,
                clock.waiting(status)
            ));
        } else if status.started == Some(false) {
            troubles.push(format!(
                "container `{}` runs, its startup is not over yet",
                container.name
            ));
        } else if !status.ready {
            troubles.push(format!(
                "container `{}` runs, but is not ready",
                container.name
            ));
        }
    }
    let word = if pod.phase() == "Running" {
        "running"
    } else {
        "starting"
    };
    match troubles.as_slice() {
        [] if pod.condition_is_true("Ready") => {
            format!("{word}: {ready} of {total} containers are ready")
        }
        [] => format!("{word}, but not ready: {}", unready_reason(pod)),
        _ => format!(
            "{word}, {ready} of {total} containers are ready: {}",
            troubles.join("; ")
        ),
    }
}

/// Every container is ready and the pod is not: the Ready condition says why.
fn unready_reason(pod: &Pod) -> String {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let message = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .and_then(|condition| condition.message.as_deref());
    message.map_or_else(
        || "no reason is given".to_owned(),
        |message| one_line(message).into_owned(),
    )
}

fn terminating(pod: &Pod, now: Timestamp) -> String {
    let running: Vec<_> = pod
        .init_containers()
        .iter()
        .chain(pod.app_containers())
        .filter(|container| {
            let state = pod
                .container_status(&container.name)
                .and_then(|status| status.state.as_ref());
            state.is_some_and(|state| state.running.is_some())
        })
        .map(|container| format!("`{}`", container.name))
        .collect();
    if running.is_empty() {
        return "terminating: cleaning up".to_owned();
    }
    let left = moment(pod.metadata.deletion_timestamp.as_ref())
        .and_then(|deadline| age::between(now, deadline));
    let limit = left
        .map(|left| format!(", for {} at most", age::human(left)))
        .unwrap_or_default();
    format!(
        "terminating: waiting for {} to stop{limit}",
        running.join(", ")
    )
}

fn failed(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let reason = status
        .and_then(|status| status.reason.as_deref())
        .unwrap_or_default();
    let message = status
        .and_then(|status| status.message.as_deref())
        .unwrap_or_default();
    if !reason.is_empty() {
        return format!("failed: {}: {}", one_line(reason), one_line(message));
    }
    match first_failure(pod) {
        Some((container, end)) => format!(
            "failed: container `{}` ended with {}",
            container.name,
            exit_text(end)
        ),
        None => "failed".to_owned(),
    }
}

/// The first container, init containers first, that ended with another exit code than 0; sidecars never decide.
pub(crate) fn first_failure(pod: &Pod) -> Option<(&Container, &ContainerStateTerminated)> {
    let deciding = pod
        .init_containers()
        .iter()
        .filter(|container| !is_sidecar(container))
        .chain(pod.app_containers());
    deciding
        .filter_map(|container| {
            Some((container, last_end(pod.container_status(&container.name)?)?))
        })
        .find(|(_, end)| end.exit_code != 0)
}

/// How the container ended: now, or at its last attempt if it waits for another one.
fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let state = status.state.as_ref();
    match terminated(state) {
        Some(end) => Some(end),
        None if state.is_some_and(|state| state.running.is_some()) => None,
        None => terminated(status.last_state.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{
        PodChanges as _, START, StatusExt as _, app, exited, init, pod, running, sidecar, waiting,
    };

    fn check(pod: &Pod, expected: &str) {
        let now = Timestamp::from_second(START + 5).expect("in range");
        assert_eq!(verdict(pod, &Times::default(), now), expected);
    }

    #[test]
    fn initialisation_names_the_container_that_everything_waits_for() {
        let later = || waiting("PodInitializing");
        check(
            &pod(
                "Pending",
                [
                    init("i", exited(0)),
                    init("j", running()),
                    app("a", later()),
                ],
            ),
            "initialising: init container `j` (2 of 2) has been running for 5s",
        );
        let crashed = waiting("CrashLoopBackOff")
            .saying("back-off 10s restarting failed container=i pod=web_default(1)")
            .restarted(2)
            .last_ended_at(START + 2);
        check(
            &pod("Pending", [init("i", crashed), app("a", later())]),
            "initialising: init container `i` (1 of 1) failed with exit code 1, after 2 restarts; next try in 7s",
        );
        check(
            &pod(
                "Pending",
                [
                    init("i", waiting("ErrImagePull").saying("no such\nimage")),
                    app("a", later()),
                ],
            ),
            "initialising: init container `i` (1 of 1) waits: ErrImagePull: no such image",
        );
        check(
            &pod(
                "Pending",
                [sidecar("s", running().unstarted()), app("a", later())],
            ),
            "initialising: sidecar `s` (1 of 1) runs since 5s, its startup is not over yet",
        );
    }

    #[test]
    fn running_pods_say_what_is_missing() {
        check(
            &pod("Running", [app("a", running()), app("b", running())]).ready(),
            "running: 2 of 2 containers are ready",
        );
        check(
            &pod("Running", [app("a", running().unready())]),
            "running, 0 of 1 containers are ready: container `a` runs, but is not ready",
        );
        check(
            &pod("Running", [app("a", exited(0)), app("b", running())]),
            "running, 1 of 2 containers are ready: container `a` has ended with exit code 0",
        );
    }

    #[test]
    fn ended_and_ending_pods() {
        check(
            &pod("Succeeded", [app("a", exited(0))]),
            "succeeded: every container has ended with exit code 0",
        );
        check(
            &pod(
                "Failed",
                [
                    init("i", exited(0)),
                    app("a", exited(137).because("OOMKilled")),
                ],
            ),
            "failed: container `a` ended with exit code 137 (OOMKilled)",
        );
        check(
            &pod("Running", [app("a", running()), app("b", exited(0))]).deleting(),
            "terminating: waiting for `a` to stop, for 5s at most",
        );
    }
}
