//! What a Job does next, from the pods it has had: start one, wait, or be over.
//!
//! Kubernetes' rules: as many pods at once as `parallelism`, until `completions` of them have succeeded; a failed pod is
//! replaced after a back-off, at most `backoffLimit` times, unless a rule of `podFailurePolicy` says otherwise. With
//! `completionMode: Indexed` each index has to succeed once.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyRule};

use super::indexes::is_met;
use crate::core::{ContainerStatus, Pod};
use crate::jiff::Timestamp;

const SHORTEST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// One pod that the job has had, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Its index, in an Indexed Job; 0 otherwise.
    pub index: usize,
    /// The pod with its status.
    pub pod: &'a Pod,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start pods for these indexes, `wait` after the end of the last failed pod.
    Start {
        /// One entry for each pod; all 0 unless the job is Indexed.
        indexes: Vec<usize>,
        /// How long after the end of the last failed pod.
        wait: Duration,
    },
    /// Nothing, until one of the running pods ends.
    Wait,
    /// The job is done; with a success policy, some of its pods may still run: stop them.
    Complete,
    /// The job has failed: stop what still runs.
    Failed {
        /// `BackoffLimitExceeded`, `PodFailurePolicy`, `MaxFailedIndexesExceeded`, `FailedIndexes`
        reason: &'static str,
        /// As the job's condition says it.
        message: String,
    },
}

/// How many pods a job has at once, at its start.
pub(super) fn at_once(spec: &JobSpec) -> i32 {
    let parallelism = spec.parallelism.unwrap_or(1);
    parallelism.min(spec.completions.unwrap_or(parallelism))
}

/// What to do, given every pod there has been. A suspended job waits.
#[must_use]
pub fn step(spec: &JobSpec, attempts: &[Attempt<'_>]) -> Step {
    let tally = match Tally::of(spec, attempts) {
        Ok(tally) => tally,
        Err(failed) => return failed,
    };
    let limit = usize::try_from(spec.backoff_limit.unwrap_or(6)).unwrap_or(usize::MAX);
    // Pods that try again by themselves count their tries, and may do so as often as pods may be replaced.
    let tries_are_over = tally.restarts > 0 && tally.restarts >= limit;
    if tally.failures > limit || tries_are_over {
        return Step::Failed {
            reason: "BackoffLimitExceeded",
            message: "Job has reached the specified backoff limit".to_owned(),
        };
    }
    if spec.completion_mode.as_deref() == Some("Indexed") {
        indexed(spec, &tally)
    } else {
        counted(spec, &tally)
    }
}

/// What the pods amount to.
#[derive(Default)]
struct Tally {
    succeeded: usize,
    active: usize,
    /// Failures that count.
    failures: usize,
    /// Failures that the next pod waits for: those since the last success, also those that do not count otherwise.
    in_a_row: usize,
    /// How often containers of active pods were started again, if a failed container does not mean a failed pod.
    restarts: usize,
    done: BTreeSet<usize>,
    running: BTreeSet<usize>,
    failed_indexes: BTreeSet<usize>,
}

impl Tally {
    fn of(spec: &JobSpec, attempts: &[Attempt<'_>]) -> Result<Self, Step> {
        let mut tally = Self {
            in_a_row: in_a_row(attempts),
            ..Self::default()
        };
        let mut of_index: Vec<usize> = Vec::new();
        for attempt in attempts {
            let status = attempt.pod.status.as_ref();
            match status.and_then(|status| status.phase.as_deref()) {
                Some("Succeeded") => {
                    tally.succeeded += 1;
                    tally.done.insert(attempt.index);
                }
                Some("Failed") => {
                    match judge(spec, attempt.pod) {
                        Judgement::Ignore => continue,
                        Judgement::FailJob(message) => {
                            return Err(Step::Failed {
                                reason: "PodFailurePolicy",
                                message,
                            });
                        }
                        Judgement::FailIndex => {
                            tally.failed_indexes.insert(attempt.index);
                        }
                        Judgement::Count => {}
                    }
                    tally.failures += 1;
                    of_index.push(attempt.index);
                }
                _ => {
                    tally.active += 1;
                    tally.running.insert(attempt.index);
                    if tries_again(spec) {
                        tally.restarts += restarts(attempt.pod);
                    }
                }
            }
        }
        if let Some(limit) = spec.backoff_limit_per_index {
            let limit = usize::try_from(limit).unwrap_or(0);
            for index in &of_index {
                if of_index.iter().filter(|other| *other == index).count() > limit {
                    tally.failed_indexes.insert(*index);
                }
            }
        }
        Ok(tally)
    }

    fn wait(&self) -> Duration {
        back_off(self.in_a_row)
    }
}

/// How many pods have failed since the last one that succeeded. Times are whole seconds: in the same one, the failure was the later.
fn in_a_row(attempts: &[Attempt<'_>]) -> usize {
    let of_phase = |phase: &'static str| {
        attempts.iter().filter(move |attempt| {
            let status = attempt.pod.status.as_ref();
            status.and_then(|status| status.phase.as_deref()) == Some(phase)
        })
    };
    let last_success = of_phase("Succeeded").filter_map(|one| ended(one.pod)).max();
    let failures = of_phase("Failed");
    failures
        .filter(|one| {
            // One without a time has been taken away, and may be as new as any.
            let ended = ended(one.pod);
            ended.is_none() || ended >= last_success
        })
        .count()
}

/// When its last container ended.
fn ended(pod: &Pod) -> Option<Timestamp> {
    let states = containers(pod).filter_map(|status| status.state.as_ref());
    states
        .filter_map(|state| state.terminated.as_ref()?.finished_at.as_ref())
        .map(|time| time.0)
        .max()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let lists = [&status.init_container_statuses, &status.container_statuses];
        lists.into_iter().flatten().flatten()
    })
}

fn tries_again(spec: &JobSpec) -> bool {
    let template = spec.template.spec.as_ref();
    template.is_some_and(|spec| spec.restart_policy.as_deref() == Some("OnFailure"))
}

fn restarts(pod: &Pod) -> usize {
    containers(pod)
        .map(|status| usize::try_from(status.restart_count).unwrap_or(0))
        .sum()
}

/// 10 s after the first failure, doubling up to 10 minutes.
#[must_use]
pub fn back_off(failures: usize) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32
        .checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX))
        .unwrap_or(u32::MAX);
    SHORTEST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

fn counted(spec: &JobSpec, tally: &Tally) -> Step {
    let count = |number: Option<i32>| number.map(|number| usize::try_from(number).unwrap_or(0));
    let parallelism = count(spec.parallelism).unwrap_or(1);
    let wanted = match count(spec.completions) {
        Some(completions) if tally.succeeded >= completions => return Step::Complete,
        Some(completions) => parallelism.min(completions - tally.succeeded),
        // A work queue: once one pod has succeeded, no more are started.
        None if tally.succeeded > 0 && tally.active == 0 => return Step::Complete,
        None if tally.succeeded > 0 => 0,
        None => parallelism,
    };
    start(spec, tally, vec![0; wanted.saturating_sub(tally.active)])
}

fn indexed(spec: &JobSpec, tally: &Tally) -> Step {
    let completions = usize::try_from(spec.completions.unwrap_or(0)).unwrap_or(0);
    let most = spec
        .max_failed_indexes
        .map(|most| usize::try_from(most).unwrap_or(0));
    if most.is_some_and(|most| tally.failed_indexes.len() > most) {
        return Step::Failed {
            reason: "MaxFailedIndexesExceeded",
            message: "Job has exceeded the specified maximal number of failed indexes".to_owned(),
        };
    }
    let rules = spec.success_policy.iter().flat_map(|policy| &policy.rules);
    if rules.into_iter().any(|rule| is_met(rule, &tally.done)) {
        return Step::Complete;
    }
    let over = |index: &usize| tally.done.contains(index) || tally.failed_indexes.contains(index);
    let left: Vec<usize> = (0..completions).filter(|index| !over(index)).collect();
    if left.is_empty() && tally.active == 0 {
        return if tally.failed_indexes.is_empty() {
            Step::Complete
        } else {
            Step::Failed {
                reason: "FailedIndexes",
                message: "Job has failed indexes".to_owned(),
            }
        };
    }
    let parallelism = usize::try_from(spec.parallelism.unwrap_or(1)).unwrap_or(0);
    let free = parallelism.saturating_sub(tally.active);
    let next = left
        .into_iter()
        .filter(|index| !tally.running.contains(index));
    start(spec, tally, next.take(free).collect())
}

fn start(spec: &JobSpec, tally: &Tally, indexes: Vec<usize>) -> Step {
    if indexes.is_empty() || spec.suspend == Some(true) {
        return Step::Wait;
    }
    Step::Start {
        indexes,
        wait: tally.wait(),
    }
}

/// What a failed pod means.
enum Judgement {
    Count,
    Ignore,
    FailIndex,
    FailJob(String),
}

/// The first rule of the pod failure policy that fits decides.
fn judge(spec: &JobSpec, pod: &Pod) -> Judgement {
    let rules = spec
        .pod_failure_policy
        .iter()
        .flat_map(|policy| &policy.rules);
    for (position, rule) in rules.enumerate() {
        let Some(what) = fits(rule, pod) else {
            continue;
        };
        return match rule.action.as_str() {
            "Ignore" => Judgement::Ignore,
            "FailIndex" => Judgement::FailIndex,
            "FailJob" => {
                Judgement::FailJob(format!("{what} matching FailJob rule at index {position}"))
            }
            _ => Judgement::Count,
        };
    }
    Judgement::Count
}

/// What of the pod the rule looks for, in the words of the job's condition.
fn fits(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let pod_name = format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or("default"),
        pod.metadata.name.as_deref().unwrap_or_default()
    );
    if let Some(codes) = &rule.on_exit_codes {
        let all = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten();
        let fitting = |container: &&ContainerStatus| {
            let wanted = codes.container_name.as_ref();
            let named = wanted.is_none_or(|name| *name == container.name);
            exit_code(container).is_some_and(|code| {
                let listed = codes.values.contains(&code);
                // A success is never a failure to look at.
                named && code != 0 && (listed == (codes.operator == "In"))
            })
        };
        let container = all.into_iter().find(fitting)?;
        let code = exit_code(container)?;
        return Some(format!(
            "Container {} for pod {pod_name} failed with exit code {code}",
            container.name
        ));
    }
    for pattern in rule.on_pod_conditions.iter().flatten() {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        let has = status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == pattern.type_ && condition.status == wanted);
        if has {
            return Some(format!("Pod {pod_name} has condition {}", pattern.type_));
        }
    }
    None
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    let state = container.state.as_ref()?;
    state
        .terminated
        .as_ref()
        .map(|terminated| terminated.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{ContainerState, ContainerStateTerminated, PodStatus};
    use k8s_openapi::api::batch::v1::{SuccessPolicy, SuccessPolicyRule};

    /// Pods in short: `s` succeeded, `f` failed with 1, `k` failed with 42, `r` running; in an Indexed Job each after its
    /// index.
    fn pods(short: &str) -> Vec<(usize, Pod)> {
        short
            .split_whitespace()
            .map(|word| {
                let (index, kind) = word.split_at(word.len() - 1);
                let (phase, code) = match kind {
                    "s" => ("Succeeded", 0),
                    "f" => ("Failed", 1),
                    "k" => ("Failed", 42),
                    _ => ("Running", 0),
                };
                let container = ContainerStatus {
                    name: "c".to_owned(),
                    state: Some(ContainerState {
                        terminated: Some(ContainerStateTerminated {
                            exit_code: code,
                            ..ContainerStateTerminated::default()
                        }),
                        ..ContainerState::default()
                    }),
                    ..ContainerStatus::default()
                };
                let pod = Pod {
                    status: Some(PodStatus {
                        phase: Some(phase.to_owned()),
                        container_statuses: Some(vec![container]),
                        ..PodStatus::default()
                    }),
                    ..Pod::default()
                };
                (index.parse().unwrap_or(0), pod)
            })
            .collect()
    }

    fn next(spec: &JobSpec, short: &str) -> String {
        let pods = pods(short);
        let attempts: Vec<Attempt<'_>> = pods
            .iter()
            .map(|(index, pod)| Attempt { index: *index, pod })
            .collect();
        text(step(spec, &attempts))
    }

    fn text(step: Step) -> String {
        match step {
            Step::Start { indexes, wait } => format!("start {indexes:?} after {}s", wait.as_secs()),
            Step::Wait => "wait".to_owned(),
            Step::Complete => "complete".to_owned(),
            Step::Failed { reason, message } => format!("{reason}: {message}"),
        }
    }

    #[test]
    fn pods_are_started_until_enough_have_succeeded() {
        let spec = JobSpec {
            completions: Some(3),
            parallelism: Some(2),
            backoff_limit: Some(2),
            ..JobSpec::default()
        };
        for (pods, expected) in [
            ("", "start [0, 0] after 0s"),
            ("r r", "wait"),
            ("s r", "start [0] after 0s"),
            ("s s r", "wait"),
            ("s s s", "complete"),
            ("f r", "start [0] after 10s"),
            ("f f s", "start [0, 0] after 20s"),
            (
                "f f f r",
                "BackoffLimitExceeded: Job has reached the specified backoff limit",
            ),
        ] {
            assert_eq!(next(&spec, pods), expected, "{pods}");
        }
        let suspended = JobSpec {
            suspend: Some(true),
            ..spec
        };
        assert_eq!(next(&suspended, ""), "wait");
    }

    #[test]
    fn a_pod_that_tries_again_may_do_so_as_often_as_pods_may_be_replaced() {
        let spec = |restart_policy: &str, limit| JobSpec {
            completions: Some(1),
            backoff_limit: Some(limit),
            template: serde_json::from_value(serde_json::json!({
                "spec": {"restartPolicy": restart_policy, "containers": []},
            }))
            .expect("a template"),
            ..JobSpec::default()
        };
        let exceeded = "BackoffLimitExceeded: Job has reached the specified backoff limit";
        for (policy, limit, restarts, expected) in [
            ("OnFailure", 2, 1, "wait"),
            ("OnFailure", 2, 2, exceeded),
            ("OnFailure", 0, 0, "wait"),
            ("OnFailure", 0, 1, exceeded),
            ("Never", 0, 1, "wait"),
        ] {
            let mut pods = pods("r");
            let status = pods[0].1.status.as_mut().expect("a status");
            status.container_statuses.as_mut().expect("a list")[0].restart_count = restarts;
            let attempts = [Attempt {
                index: 0,
                pod: &pods[0].1,
            }];
            let found = text(step(&spec(policy, limit), &attempts));
            assert_eq!(found, expected, "{policy} {limit} {restarts}");
        }
    }

    #[test]
    fn a_success_ends_a_row_of_failures() {
        let spec = JobSpec {
            completions: Some(3),
            ..JobSpec::default()
        };
        for (short, seconds, expected) in [
            ("f f s", [1, 2, 3], "start [0] after 0s"),
            ("f s f", [1, 2, 3], "start [0] after 10s"),
            ("s f f", [3, 1, 4], "start [0] after 10s"),
            ("f s f", [2, 2, 1], "start [0] after 10s"),
        ] {
            let mut pods = pods(short);
            for ((_, pod), second) in pods.iter_mut().zip(seconds) {
                let time = Timestamp::from_second(second).expect("in range");
                let status = pod.status.as_mut().expect("a status");
                let container = &mut status.container_statuses.as_mut().expect("a list")[0];
                let state = container.state.as_mut().expect("a state");
                let end = state.terminated.as_mut().expect("an end");
                end.finished_at = Some(crate::meta::Time(time));
            }
            let attempts: Vec<Attempt<'_>> = pods
                .iter()
                .map(|(index, pod)| Attempt { index: *index, pod })
                .collect();
            assert_eq!(
                text(step(&spec, &attempts)),
                expected,
                "{short} {seconds:?}"
            );
        }
    }

    #[test]
    fn a_work_queue_ends_with_its_first_success() {
        let spec = JobSpec {
            parallelism: Some(2),
            ..JobSpec::default()
        };
        for (pods, expected) in [
            ("", "start [0, 0] after 0s"),
            ("s r", "wait"),
            ("s s", "complete"),
        ] {
            assert_eq!(next(&spec, pods), expected, "{pods}");
        }
    }

    #[test]
    fn every_index_succeeds_once() {
        let spec = JobSpec {
            completions: Some(3),
            parallelism: Some(2),
            completion_mode: Some("Indexed".to_owned()),
            backoff_limit_per_index: Some(1),
            backoff_limit: Some(i32::MAX),
            max_failed_indexes: Some(1),
            ..JobSpec::default()
        };
        for (pods, expected) in [
            ("", "start [0, 1] after 0s"),
            ("0r 1f", "start [1] after 10s"),
            ("0s 1f 1r", "start [2] after 10s"),
            ("0s 1f 1f 2r", "wait"),
            ("0s 1f 1f 2s", "FailedIndexes: Job has failed indexes"),
            (
                "0f 0f 1f 1f",
                "MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes",
            ),
            ("0s 1s 2s", "complete"),
        ] {
            assert_eq!(next(&spec, pods), expected, "{pods}");
        }
    }

    #[test]
    fn a_success_policy_ends_the_job_early() {
        let rule = |indexes: Option<&str>, count| SuccessPolicyRule {
            succeeded_indexes: indexes.map(str::to_owned),
            succeeded_count: count,
        };
        let with = |rules: Vec<SuccessPolicyRule>| JobSpec {
            completions: Some(4),
            parallelism: Some(4),
            completion_mode: Some("Indexed".to_owned()),
            success_policy: Some(SuccessPolicy { rules }),
            ..JobSpec::default()
        };
        for (rules, pods, expected) in [
            (vec![rule(None, Some(2))], "0s 1r 2r 3r", "wait"),
            (vec![rule(None, Some(2))], "0s 1s 2r 3r", "complete"),
            (vec![rule(Some("0,2-3"), None)], "0s 1r 2s 3r", "wait"),
            (vec![rule(Some("0,2-3"), None)], "0s 1r 2s 3s", "complete"),
            (vec![rule(Some("2-3"), Some(1))], "0s 1s 2r 3r", "wait"),
            (vec![rule(Some("2-3"), Some(1))], "0r 1r 2r 3s", "complete"),
            (
                vec![rule(Some("0"), None), rule(Some("1"), None)],
                "0r 1s 2r 3r",
                "complete",
            ),
        ] {
            assert_eq!(
                next(&with(rules.clone()), pods),
                expected,
                "{rules:?} {pods}"
            );
        }
    }

    #[test]
    fn the_failure_policy_decides_first() {
        let rule = |action: &str, code: i32| PodFailurePolicyRule {
            action: action.to_owned(),
            on_exit_codes: Some(
                k8s_openapi::api::batch::v1::PodFailurePolicyOnExitCodesRequirement {
                    operator: "In".to_owned(),
                    values: vec![code],
                    container_name: None,
                },
            ),
            on_pod_conditions: None,
        };
        let spec = JobSpec {
            completions: Some(1),
            pod_failure_policy: Some(k8s_openapi::api::batch::v1::PodFailurePolicy {
                rules: vec![rule("Ignore", 1), rule("FailJob", 42)],
            }),
            ..JobSpec::default()
        };
        for (pods, expected) in [
            // It does not count, and is waited for all the same.
            ("f f", "start [0] after 20s"),
            (
                "f k",
                "PodFailurePolicy: Container c for pod default/ failed with exit code 42 matching FailJob rule at index 1",
            ),
        ] {
            assert_eq!(next(&spec, pods), expected, "{pods}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        for (failures, seconds) in [(0, 0), (1, 10), (2, 20), (6, 320), (7, 600), (99, 600)] {
            assert_eq!(back_off(failures).as_secs(), seconds);
        }
    }
}
