//! The pod as the decisions need it: read out of the object once. Leaves out what only drivers need (commands, mounts, limits).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use k8s_openapi::api::core::v1 as api;
use serde::{Deserialize, Serialize};

use crate::{ContainerIndex, ProbeKind, limits};

/// The kinds of containers (section 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Runs to its end before anything behind it starts.
    Init,
    /// Is among the init containers and goes on beside what follows.
    Sidecar,
    App,
    /// Added to a pod that runs; started once, and otherwise nobody's business.
    Ephemeral,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text? {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// One of `restartPolicyRules` (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) action: RuleAction,
    /// Operator `NotIn`.
    negated: bool,
    codes: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuleAction {
    Restart,
    RestartAllContainers,
}

impl Rule {
    /// `In []` never matches, `NotIn []` always does.
    pub(crate) fn matches(&self, code: i32) -> bool {
        self.codes.contains(&code) != self.negated
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// When a probe is made and what it takes to change its verdict (section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbePlan {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
    /// The probe's own grace for the kill that it causes.
    pub(crate) grace: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    pub(crate) name: String,
    /// `spec.containers{name}`, where Events point to.
    pub(crate) field_path: String,
    pub(crate) kind: Kind,
    /// The container's own policy, else the pod's.
    pub(crate) policy: RestartPolicy,
    pub(crate) rules: Vec<Rule>,
    /// As the spec has it.
    pub(crate) image: String,
    pub(crate) pull_policy: PullPolicy,
    /// Position of the image in [`PodPlan::images`]. Containers with the same image have the same slot: they share its back-off.
    pub(crate) image_slot: usize,
    pub(crate) has_post_start: bool,
    pub(crate) has_pre_stop: bool,
    startup: Option<ProbePlan>,
    liveness: Option<ProbePlan>,
    readiness: Option<ProbePlan>,
    /// Shown in the status as they are.
    pub(crate) resources: Option<api::ResourceRequirements>,
    pub(crate) volume_mounts: Option<Vec<api::VolumeMountStatus>>,
}

impl ContainerPlan {
    pub(crate) fn probe(&self, kind: ProbeKind) -> Option<&ProbePlan> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PodPlan {
    /// `name_namespace(uid)`, as messages have it.
    pub(crate) full_name: String,
    pub(crate) generation: Option<i64>,
    pub(crate) policy: RestartPolicy,
    pub(crate) grace: Duration,
    pub(crate) active_deadline: Option<Duration>,
    pub(crate) host_network: bool,
    pub(crate) readiness_gates: Vec<String>,
    pub(crate) qos_class: String,
    /// Init containers and sidecars first, ephemeral ones last.
    pub(crate) containers: Vec<ContainerPlan>,
    /// How many of them are members of `initContainers`.
    pub(crate) init_count: usize,
    /// And how many of `containers`.
    pub(crate) app_count: usize,
    /// Every image that the pod names, or has named before it was changed. One that is here has its place for ever.
    pub(crate) images: Vec<String>,
    /// The app containers in the order of their names.
    pub(crate) apps_by_name: Vec<ContainerIndex>,
    pub(crate) ephemerals_by_name: Vec<ContainerIndex>,
    /// Only then there is a condition `AllContainersRestarting`.
    pub(crate) has_restart_all_rule: bool,
    pub(crate) has_probes: bool,
    pub(crate) resources: Option<api::ResourceRequirements>,
}

impl PodPlan {
    pub(crate) fn new(pod: &api::Pod) -> Self {
        Self::after(pod, Vec::new())
    }

    /// The plan of a pod that has named these images before.
    pub(crate) fn after(pod: &api::Pod, mut images: Vec<String>) -> Self {
        let default_spec = api::PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&default_spec);
        let policy =
            RestartPolicy::parse(spec.restart_policy.as_deref()).unwrap_or(RestartPolicy::Always);
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let ephemerals = spec.ephemeral_containers.as_deref().unwrap_or_default();
        let (init_count, app_count) = (inits.len(), spec.containers.len());
        let mut containers: Vec<ContainerPlan> =
            Vec::with_capacity(init_count + app_count + ephemerals.len());
        for (position, container) in inits.iter().chain(&spec.containers).enumerate() {
            let slot = slot_of(container.image.as_deref(), &mut images);
            let is_init = position < init_count;
            containers.push(container_plan(container, is_init, policy, slot));
        }
        for container in ephemerals {
            let slot = slot_of(container.image.as_deref(), &mut images);
            containers.push(ephemeral_plan(container, slot));
        }
        let by_name = |positions: Range<usize>| {
            let mut indices: Vec<_> = positions.map(ContainerIndex::at).collect();
            let name = |index: &ContainerIndex| containers[index.position()].name.as_str();
            indices.sort_by(|a, b| name(a).cmp(name(b)));
            indices
        };
        let apps_by_name = by_name(init_count..init_count + app_count);
        let ephemerals_by_name = by_name(init_count + app_count..containers.len());
        let metadata = &pod.metadata;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (name, namespace) = (text(&metadata.name), text(&metadata.namespace));
        let grace = spec.termination_grace_period_seconds;
        Self {
            full_name: format!("{name}_{namespace}({})", text(&metadata.uid)),
            generation: metadata.generation,
            policy,
            grace: seconds(grace.unwrap_or(limits::DEFAULT_GRACE_SECONDS)),
            active_deadline: spec.active_deadline_seconds.map(seconds),
            host_network: spec.host_network == Some(true),
            readiness_gates: (spec.readiness_gates.iter().flatten())
                .map(|gate| gate.condition_type.clone())
                .collect(),
            qos_class: podyard_api::qos_class(spec).to_owned(),
            init_count,
            app_count,
            images,
            apps_by_name,
            ephemerals_by_name,
            has_restart_all_rule: containers
                .iter()
                .flat_map(|container: &ContainerPlan| &container.rules)
                .any(|rule| rule.action == RuleAction::RestartAllContainers),
            has_probes: containers.iter().any(|container| {
                container.startup.is_some()
                    || container.liveness.is_some()
                    || container.readiness.is_some()
            }),
            containers,
            resources: spec.resources.clone(),
        }
    }

    pub(crate) fn get(&self, container: ContainerIndex) -> &ContainerPlan {
        &self.containers[container.position()]
    }

    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (0..self.containers.len()).map(ContainerIndex::at)
    }

    /// Init containers and sidecars.
    pub(crate) fn inits(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (0..self.init_count).map(ContainerIndex::at)
    }

    pub(crate) fn apps(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (self.init_count..self.init_count + self.app_count).map(ContainerIndex::at)
    }

    /// What a living pod consists of: everything but what was added to look into it.
    pub(crate) fn members(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (0..self.init_count + self.app_count).map(ContainerIndex::at)
    }

    pub(crate) fn ephemerals(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (self.init_count + self.app_count..self.containers.len()).map(ContainerIndex::at)
    }

    pub(crate) fn last_init(&self) -> Option<ContainerIndex> {
        self.init_count.checked_sub(1).map(ContainerIndex::at)
    }
}

/// Where the image is in the list, or is now.
fn slot_of(image: Option<&str>, images: &mut Vec<String>) -> usize {
    let image = image.unwrap_or_default();
    let known = images.iter().position(|known| known == image);
    known.unwrap_or_else(|| {
        images.push(image.to_owned());
        images.len() - 1
    })
}

/// Validation allows it no probes, no hooks, no policy.
fn ephemeral_plan(container: &api::EphemeralContainer, image_slot: usize) -> ContainerPlan {
    let container = podyard_api::ephemeral_as_container(container);
    ContainerPlan {
        kind: Kind::Ephemeral,
        field_path: format!("spec.ephemeralContainers{{{}}}", container.name),
        ..container_plan(&container, false, RestartPolicy::Never, image_slot)
    }
}

fn container_plan(
    container: &api::Container,
    is_init: bool,
    pod_policy: RestartPolicy,
    image_slot: usize,
) -> ContainerPlan {
    let own_policy = RestartPolicy::parse(container.restart_policy.as_deref());
    let kind = match (is_init, own_policy) {
        (true, Some(RestartPolicy::Always)) => Kind::Sidecar,
        (true, _) => Kind::Init,
        (false, _) => Kind::App,
    };
    let list = if is_init {
        "initContainers"
    } else {
        "containers"
    };
    let image = container.image.clone().unwrap_or_default();
    let lifecycle = container.lifecycle.as_ref();
    ContainerPlan {
        name: container.name.clone(),
        field_path: format!("spec.{list}{{{}}}", container.name),
        kind,
        policy: own_policy.unwrap_or(pod_policy),
        rules: container
            .restart_policy_rules
            .iter()
            .flatten()
            .filter_map(rule)
            .collect(),
        pull_policy: pull_policy(container.image_pull_policy.as_deref(), &image),
        image,
        image_slot,
        has_post_start: lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some()),
        has_pre_stop: lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some()),
        startup: container.startup_probe.as_ref().map(probe),
        liveness: container.liveness_probe.as_ref().map(probe),
        readiness: container.readiness_probe.as_ref().map(probe),
        resources: container.resources.clone(),
        volume_mounts: container
            .volume_mounts
            .as_ref()
            .filter(|mounts| !mounts.is_empty())
            .map(|mounts| mounts.iter().map(volume_mount).collect()),
    }
}

/// Validation has refused what cannot be read here.
fn rule(rule: &api::ContainerRestartRule) -> Option<Rule> {
    let action = match rule.action.as_str() {
        "Restart" => RuleAction::Restart,
        "RestartAllContainers" => RuleAction::RestartAllContainers,
        _ => return None,
    };
    let codes = rule.exit_codes.as_ref()?;
    Some(Rule {
        action,
        negated: codes.operator == "NotIn",
        codes: codes.values.clone().unwrap_or_default(),
    })
}

/// Section 4.4: `:latest` or no tag at all means Always.
fn pull_policy(policy: Option<&str>, image: &str) -> PullPolicy {
    match policy {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ => {
            let name = image.rsplit('/').next().unwrap_or_default();
            let is_fixed = name.contains('@') || name.contains(':') && !name.ends_with(":latest");
            if is_fixed {
                PullPolicy::IfNotPresent
            } else {
                PullPolicy::Always
            }
        }
    }
}

fn probe(probe: &api::Probe) -> ProbePlan {
    // A zero counts as unset, as in the API's own defaults.
    let or_default =
        |value: Option<i32>, default: i32| value.filter(|value| *value > 0).unwrap_or(default);
    let count = |value: i32| u32::try_from(value).unwrap_or(1);
    let period = or_default(probe.period_seconds, limits::PROBE_PERIOD_SECONDS);
    ProbePlan {
        initial_delay: seconds(probe.initial_delay_seconds.unwrap_or(0).into()),
        period: seconds(period.into()),
        success_threshold: count(or_default(probe.success_threshold, 1)),
        failure_threshold: count(or_default(
            probe.failure_threshold,
            limits::PROBE_FAILURE_THRESHOLD,
        )),
        grace: probe.termination_grace_period_seconds.map(seconds),
    }
}

/// Section 8.4: `recursiveReadOnly` is shown for read-only mounts alone.
fn volume_mount(mount: &api::VolumeMount) -> api::VolumeMountStatus {
    let read_only = mount.read_only == Some(true);
    let recursive = match mount.recursive_read_only.as_deref() {
        Some("Enabled" | "IfPossible") => "Enabled",
        _ => "Disabled",
    };
    api::VolumeMountStatus {
        mount_path: mount.mount_path.clone(),
        name: mount.name.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| recursive.to_owned()),
        ..api::VolumeMountStatus::default()
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_the_tag_says_when_to_pull() {
        use PullPolicy::{Always, IfNotPresent, Never};
        let digest = "x@sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let cases = [
            (None, "busybox", Always),
            (None, "busybox:latest", Always),
            (None, "busybox:1", IfNotPresent),
            (None, digest, IfNotPresent),
            (None, "localhost:5000/busybox", Always),
            (None, "localhost:5000/busybox:1", IfNotPresent),
            (Some("Always"), "busybox:1", Always),
            (Some("IfNotPresent"), "busybox", IfNotPresent),
            (Some("Never"), "busybox", Never),
        ];
        for (policy, image, expected) in cases {
            assert_eq!(pull_policy(policy, image), expected, "{policy:?} {image}");
        }
    }

    #[test]
    fn a_zero_in_a_probe_is_a_default() {
        let zeros = api::Probe {
            period_seconds: Some(0),
            success_threshold: Some(0),
            failure_threshold: Some(0),
            ..api::Probe::default()
        };
        for unset in [api::Probe::default(), zeros] {
            let plan = probe(&unset);
            assert_eq!(plan.initial_delay, Duration::ZERO);
            assert_eq!(plan.period, Duration::from_secs(10));
            assert_eq!((plan.success_threshold, plan.failure_threshold), (1, 3));
        }
    }
}
