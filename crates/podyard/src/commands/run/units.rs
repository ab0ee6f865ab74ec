//! What one `run` has to bring up: pods, sets of pods that are kept at their number, and jobs with an end.
//!
//! Which pods there are to be is decided in `podyard-api` ([`set::step`], [`job::step`]); here are the times and the words. The session
//! in [`super::foreground`] does what a unit says.

use std::time::{Duration, Instant};

use podyard_api::workloads::{job, set};
use podyard_api::{Diagnostics, ValidPod, ValidWorkload, Workload};
use podyard_supervisor::pods::new_uid;

use crate::manifests::random;
use crate::objects::{Pod, PodExt as _};

/// One object of the manifests that pods come from.
pub(super) enum Unit {
    /// A pod for itself.
    Pod(Box<Pod>),
    /// A Deployment, ReplicaSet, StatefulSet or DaemonSet.
    Set(Owner),
    /// A Job, or one of a CronJob.
    Job(Owner),
}

/// A workload that pods are made of, as an object with a UID.
pub(super) struct Owner {
    workload: ValidWorkload,
    uid: String,
}

/// One pod that a unit has had.
pub(super) struct Member<'a> {
    /// Which of the unit's pods, counted from 0.
    pub(super) index: usize,
    /// As it was seen last.
    pub(super) pod: &'a Pod,
    /// Since when nothing more happens to it.
    pub(super) ended: Option<Instant>,
    /// Whether it was deleted.
    pub(super) is_gone: bool,
}

/// What a unit wants.
pub(super) enum Next {
    /// Pods with these indexes, now.
    Start(Vec<usize>),
    /// Nothing before this moment, if there is one, or before one of its pods changes.
    Wait(Option<Instant>),
    /// Nothing any more. Pods that still run are to be stopped.
    Over(Over),
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Over {
    /// Its pod has ended, as its pod tells.
    Pod,
    /// There was nothing to be done.
    Nothing,
    /// The job is done.
    Complete,
    /// The job has failed.
    Failed {
        reason: &'static str,
        message: String,
    },
}

impl Unit {
    /// The units of the manifests, in the order of pods, then workloads. `minute` counts from 1970 and becomes part of the name of a
    /// CronJob's job.
    pub(super) fn all(
        pods: Vec<ValidPod>,
        workloads: Vec<ValidWorkload>,
        minute: i64,
    ) -> Vec<Self> {
        let pods = pods
            .into_iter()
            .map(|pod| Self::Pod(Box::new(pod.into_pod())));
        let workloads = workloads.into_iter().map(|workload| {
            let job = workload.scheduled_job(minute);
            let workload = job.unwrap_or(workload);
            let uid = new_uid();
            let owner = Owner { workload, uid };
            match owner.workload.workload() {
                Workload::Job(_) => Self::Job(owner),
                _ => Self::Set(owner),
            }
        });
        pods.chain(workloads).collect()
    }

    /// `job/NAME`, for messages.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Pod(pod) => format!("pod/{}", pod.name()),
            Self::Set(owner) | Self::Job(owner) => {
                let kind = owner.workload.workload().kind().to_lowercase();
                format!("{kind}/{}", owner.workload.name())
            }
        }
    }

    /// Whether somebody has to look after it until it ends.
    pub(super) fn is_job(&self) -> bool {
        matches!(self, Self::Job(_))
    }

    /// Why it is a job that starts nothing until somebody changes it.
    pub(super) fn starts_nothing(&self) -> Option<&'static str> {
        let Self::Job(owner) = self else {
            return None;
        };
        let spec = owner.workload.workload().job_spec()?;
        if spec.suspend == Some(true) {
            return Some("`spec.suspend` is true");
        }
        (spec.parallelism == Some(0) && spec.completions != Some(0))
            .then_some("`spec.parallelism` is 0")
    }

    /// Whether its pods are to be removed as soon as it has ended.
    pub(super) fn removes_its_pods(&self) -> bool {
        match self {
            Self::Job(owner) => {
                let spec = owner.workload.workload().job_spec();
                spec.is_some_and(|spec| spec.ttl_seconds_after_finished == Some(0))
            }
            _ => false,
        }
    }

    /// How many pods it has for certain, with names that are known before they are made.
    pub(super) fn fixed_names(&self) -> Vec<(String, String)> {
        let name = |pod: &Pod| (pod.namespace().to_owned(), pod.name().to_owned());
        match self {
            Self::Pod(pod) => vec![name(pod)],
            Self::Set(owner) if owner.workload.has_fixed_names() => (0..owner.workload.replicas())
                .filter_map(|index| Some(name(owner.workload.pod(index, 0).ok()?.pod())))
                .collect(),
            Self::Set(_) | Self::Job(_) => Vec::new(),
        }
    }

    /// Its pods one after the other, each to be started once the one before it is Ready; or all at once.
    pub(super) fn is_ordered(&self) -> bool {
        match self {
            Self::Set(owner) => owner.workload.is_ordered(),
            Self::Pod(_) | Self::Job(_) => false,
        }
    }

    /// How many pods it has at once.
    pub(super) fn replicas(&self) -> usize {
        match self {
            Self::Pod(_) => 1,
            Self::Set(owner) | Self::Job(owner) => owner.workload.replicas(),
        }
    }

    /// The pod of an index, with a name that nobody has yet where a cluster makes one up.
    pub(super) fn pod(&self, index: usize) -> Result<Pod, Diagnostics> {
        match self {
            Self::Pod(pod) => Ok((**pod).clone()),
            Self::Set(owner) | Self::Job(owner) => {
                owner.workload.owned_pod(index, random(), &owner.uid)
            }
        }
    }

    /// The claims that the pod of an index has of its own.
    pub(super) fn claims(&self, index: usize) -> Vec<crate::objects::core::PersistentVolumeClaim> {
        match self {
            Self::Set(owner) => owner.workload.claims(index),
            Self::Pod(_) | Self::Job(_) => Vec::new(),
        }
    }

    /// What it wants, given the pods it has had. `began` is when it did, `per_mille` the part of Kubernetes' back-offs that is waited.
    pub(super) fn next(
        &self,
        members: &[Member<'_>],
        began: Instant,
        now: Instant,
        per_mille: u32,
    ) -> Next {
        match self {
            Self::Pod(_) => match members {
                [] => Next::Start(vec![0]),
                members if members.iter().all(|member| member.ended.is_some()) => {
                    Next::Over(Over::Pod)
                }
                _ => Next::Wait(None),
            },
            Self::Set(owner) => next_of_set(&owner.workload, members, now, per_mille),
            Self::Job(owner) => next_of_job(&owner.workload, members, began, now, per_mille),
        }
    }
}

fn next_of_set(
    workload: &ValidWorkload,
    members: &[Member<'_>],
    now: Instant,
    per_mille: u32,
) -> Next {
    let replicas = workload.replicas();
    if replicas == 0 {
        return Next::Over(Over::Nothing);
    }
    let had: Vec<set::Member<'_>> = members
        .iter()
        .map(|member| set::Member {
            index: member.index,
            pod: member.pod,
            is_gone: member.is_gone,
        })
        .collect();
    let starts = set::step(replicas, workload.is_ordered(), &had);
    let due = starts.into_iter().map(|start| {
        let of_index = members.iter().filter(|member| member.index == start.index);
        let last = of_index.filter_map(|member| member.ended).max();
        (start.index, after(last, start.wait, per_mille))
    });
    start_what_is_due(due.collect(), now)
}

fn next_of_job(
    workload: &ValidWorkload,
    members: &[Member<'_>],
    began: Instant,
    now: Instant,
    per_mille: u32,
) -> Next {
    let Some(spec) = workload.workload().job_spec() else {
        return Next::Over(Over::Nothing);
    };
    // One that somebody deleted has failed, as far as its job is concerned.
    let pods: Vec<(usize, Pod)> = members
        .iter()
        .map(|member| {
            let mut pod = member.pod.clone();
            if member.is_gone && !pod.is_terminal() {
                pod.status.get_or_insert_default().phase = Some("Failed".to_owned());
            }
            (member.index, pod)
        })
        .collect();
    let attempts: Vec<job::Attempt<'_>> = pods
        .iter()
        .map(|(index, pod)| job::Attempt { index: *index, pod })
        .collect();
    let deadline = spec
        .active_deadline_seconds
        .map(|seconds| began + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let wanted = match job::step(spec, &attempts) {
        job::Step::Complete => return Next::Over(Over::Complete),
        job::Step::Failed { reason, message } => {
            return Next::Over(Over::Failed { reason, message });
        }
        _ if deadline.is_some_and(|deadline| deadline <= now) => {
            return Next::Over(Over::Failed {
                reason: "DeadlineExceeded",
                message: "Job was active longer than specified deadline".to_owned(),
            });
        }
        job::Step::Wait => Next::Wait(None),
        job::Step::Start { indexes, wait } => {
            let failed = members.iter().filter(|member| !succeeded(member.pod));
            let last = failed.filter_map(|member| member.ended).max();
            let at = after(last, wait, per_mille);
            start_what_is_due(indexes.into_iter().map(|index| (index, at)).collect(), now)
        }
    };
    match wanted {
        Next::Wait(at) => Next::Wait(at.into_iter().chain(deadline).min()),
        other => other,
    }
}

fn succeeded(pod: &Pod) -> bool {
    pod.phase() == "Succeeded"
}

/// `None`: at once.
fn after(last: Option<Instant>, wait: Duration, per_mille: u32) -> Option<Instant> {
    Some(last? + wait * per_mille / 1000)
}

fn start_what_is_due(starts: Vec<(usize, Option<Instant>)>, now: Instant) -> Next {
    let due: Vec<usize> = starts
        .iter()
        .filter(|(_, at)| at.is_none_or(|at| at <= now))
        .map(|(index, _)| *index)
        .collect();
    if due.is_empty() {
        Next::Wait(starts.into_iter().filter_map(|(_, at)| at).min())
    } else {
        Next::Start(due)
    }
}

#[cfg(test)]
mod tests {
    use podyard_api::{LoadOptions, Source, load};

    use super::*;
    use crate::output::samples::{app, exited, pod, running};

    fn unit(text: &str) -> Unit {
        let source = Source::new("f.yaml", text);
        let objects = load(&[source], &LoadOptions::default()).expect("valid");
        let mut units = Unit::all(objects.pods, objects.workloads, 0);
        units.remove(0)
    }

    fn workload(kind: &str, spec: &str, restart_policy: &str) -> Unit {
        let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
        let selector = if kind == "Job" {
            ""
        } else {
            "selector: {matchLabels: {app: web}}, "
        };
        unit(&format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: web}}\nspec: {{{selector}{spec}, template: {{metadata: {{labels: {{app: web}}}}, \
             spec: {{restartPolicy: {restart_policy}, containers: [{{name: a, image: busybox}}]}}}}}}\n"
        ))
    }

    /// What a unit wants: pods in short, each behind its index, `r` running, `f` failed, `s` succeeded, with the second of its end.
    fn next(unit: &Unit, pods: &str, second: u64) -> String {
        let began = Instant::now();
        let at = |second: u64| began + Duration::from_secs(second);
        let pods: Vec<(usize, Pod, Option<Instant>)> = pods
            .split_whitespace()
            .map(|word| {
                let index: usize = word[..1].parse().expect(word);
                let (phase, state) = match &word[1..2] {
                    "r" => ("Running", running()),
                    "f" => ("Failed", exited(1)),
                    _ => ("Succeeded", exited(0)),
                };
                let ended = word.get(3..).map(|end| at(end.parse().expect(word)));
                (index, pod(phase, [app("a", state)]), ended)
            })
            .collect();
        let members: Vec<Member<'_>> = pods
            .iter()
            .map(|(index, pod, ended)| Member {
                index: *index,
                pod,
                ended: *ended,
                is_gone: false,
            })
            .collect();
        match unit.next(&members, began, at(second), 1000) {
            Next::Start(indexes) => format!("start {indexes:?}"),
            Next::Wait(None) => "wait".to_owned(),
            Next::Wait(Some(until)) => format!("until {}", (until - began).as_secs()),
            Next::Over(Over::Failed { reason, .. }) => reason.to_owned(),
            Next::Over(over) => format!("{over:?}"),
        }
    }

    #[test]
    fn a_failed_pod_of_a_job_is_replaced_after_its_back_off() {
        let job = workload("Job", "backoffLimit: 1", "Never");
        for (pods, second, expected) in [
            ("", 0, "start [0]"),
            ("0r", 1, "wait"),
            ("0f@2", 3, "until 12"),
            ("0f@2", 12, "start [0]"),
            ("0f@2 0f@14", 14, "BackoffLimitExceeded"),
            ("0f@2 0s@14", 14, "Complete"),
        ] {
            assert_eq!(next(&job, pods, second), expected, "{pods}");
        }
    }

    #[test]
    fn a_job_ends_at_its_deadline() {
        let job = workload("Job", "activeDeadlineSeconds: 5", "Never");
        assert_eq!(next(&job, "0r", 4), "until 5");
        assert_eq!(next(&job, "0r", 5), "DeadlineExceeded");
        assert_eq!(next(&job, "0f@2", 3), "until 5");
        assert_eq!(next(&job, "0s@2", 6), "Complete");
    }

    #[test]
    fn a_set_is_kept_at_its_number() {
        let set = workload("Deployment", "replicas: 2", "Always");
        for (pods, second, expected) in [
            ("", 0, "start [0, 1]"),
            ("0r 1r", 0, "wait"),
            ("0r 1f@1", 2, "until 11"),
            ("0r 1f@1", 11, "start [1]"),
        ] {
            assert_eq!(next(&set, pods, second), expected, "{pods}");
        }
        let none = workload("Deployment", "replicas: 0", "Always");
        assert_eq!(next(&none, "", 0), "Nothing");
    }

    #[test]
    fn a_pod_runs_once() {
        let pod = unit(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b}]}",
        );
        assert_eq!(next(&pod, "", 0), "start [0]");
        assert_eq!(next(&pod, "0r", 0), "wait");
        assert_eq!(next(&pod, "0f@1", 9), "Pod");
    }

    #[test]
    fn pods_know_their_owner_and_have_names_of_their_own() {
        let set = workload("Deployment", "replicas: 2", "Always");
        let (one, other) = (set.pod(0).expect("valid"), set.pod(1).expect("valid"));
        assert_ne!(one.name(), other.name());
        let owner = &one.metadata.owner_references.as_ref().expect("an owner")[0];
        assert_eq!(owner.kind, "ReplicaSet");
        assert!(
            one.name().starts_with(&format!("{}-", owner.name)),
            "{}",
            owner.name
        );
        let of_job = workload("Job", "backoffLimit: 1", "Never");
        let job = of_job.pod(0).expect("valid");
        let owner = &job.metadata.owner_references.as_ref().expect("an owner")[0];
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Job", "web"));
        let labels = job.metadata.labels.as_ref().expect("labels");
        assert_eq!(labels["batch.kubernetes.io/controller-uid"], owner.uid);
        for (unit, theirs, others) in [(&set, &one, &job), (&of_job, &job, &one)] {
            let (Unit::Set(owner) | Unit::Job(owner)) = unit else {
                panic!("a workload")
            };
            assert!(owner.workload.owns(theirs));
            assert!(!owner.workload.owns(others));
        }
    }
}
