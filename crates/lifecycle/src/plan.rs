//! The pod as the machine needs it: read once, never looked up again.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};

use crate::ContainerIndex;

/// The three kinds of containers that decide about each other (section 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Init,
    Sidecar,
    App,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuleAction {
    Restart,
    RestartAllContainers,
}

/// One of `restartPolicyRules` (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) action: RuleAction,
    negated: bool,
    codes: Vec<i32>,
}

impl Rule {
    pub(crate) fn matches(&self, code: i32) -> bool {
        self.codes.contains(&code) != self.negated
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The container's own policy, else the pod's.
    pub(crate) policy: RestartPolicy,
    pub(crate) rules: Vec<Rule>,
    pub(crate) image: String,
    pub(crate) field_path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodPlan {
    /// `name_namespace(uid)`.
    pub(crate) full_name: String,
    pub(crate) policy: RestartPolicy,
    pub(crate) containers: Vec<ContainerPlan>,
    /// How many of them are members of `initContainers`.
    pub(crate) init_count: usize,
    pub(crate) grace: Duration,
    pub(crate) active_deadline: Option<Duration>,
    pub(crate) host_network: bool,
    pub(crate) readiness_gates: Vec<String>,
    pub(crate) qos_class: String,
    pub(crate) generation: Option<i64>,
}

impl PodPlan {
    pub(crate) fn new(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let policy =
            RestartPolicy::parse(spec.restart_policy.as_deref()).unwrap_or(RestartPolicy::Always);
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let containers = inits
            .iter()
            .map(|container| container_plan(container, true, policy))
            .chain(
                spec.containers
                    .iter()
                    .map(|container| container_plan(container, false, policy)),
            )
            .collect();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            full_name: format!(
                "{}_{}({})",
                text(&pod.metadata.name),
                text(&pod.metadata.namespace),
                text(&pod.metadata.uid)
            ),
            policy,
            containers,
            init_count: inits.len(),
            grace: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
            active_deadline: spec.active_deadline_seconds.map(seconds),
            host_network: spec.host_network == Some(true),
            readiness_gates: spec
                .readiness_gates
                .iter()
                .flatten()
                .map(|gate| gate.condition_type.clone())
                .collect(),
            qos_class: podyard_api::qos_class(&spec).to_owned(),
            generation: pod.metadata.generation,
        }
    }

    pub(crate) fn get(&self, index: ContainerIndex) -> &ContainerPlan {
        &self.containers[index.position()]
    }

    pub(crate) fn indices(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (0..self.containers.len()).map(ContainerIndex::at)
    }

    pub(crate) fn init_indices(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (0..self.init_count).map(ContainerIndex::at)
    }

    pub(crate) fn app_indices(&self) -> impl DoubleEndedIterator<Item = ContainerIndex> + use<> {
        (self.init_count..self.containers.len()).map(ContainerIndex::at)
    }

    pub(crate) fn has_restart_all_rule(&self) -> bool {
        self.containers.iter().any(|container| {
            container
                .rules
                .iter()
                .any(|rule| rule.action == RuleAction::RestartAllContainers)
        })
    }
}

fn container_plan(
    container: &Container,
    is_init: bool,
    pod_policy: RestartPolicy,
) -> ContainerPlan {
    let own = RestartPolicy::parse(container.restart_policy.as_deref());
    let kind = match (is_init, own) {
        (true, Some(RestartPolicy::Always)) => Kind::Sidecar,
        (true, _) => Kind::Init,
        (false, _) => Kind::App,
    };
    let list = if is_init {
        "initContainers"
    } else {
        "containers"
    };
    ContainerPlan {
        name: container.name.clone(),
        kind,
        policy: own.unwrap_or(pod_policy),
        rules: container
            .restart_policy_rules
            .iter()
            .flatten()
            .filter_map(|rule| {
                let codes = rule.exit_codes.as_ref()?;
                Some(Rule {
                    action: match rule.action.as_str() {
                        "Restart" => RuleAction::Restart,
                        "RestartAllContainers" => RuleAction::RestartAllContainers,
                        _ => return None,
                    },
                    negated: codes.operator == "NotIn",
                    codes: codes.values.clone().unwrap_or_default(),
                })
            })
            .collect(),
        image: container.image.clone().unwrap_or_default(),
        field_path: format!("spec.{list}{{{}}}", container.name),
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
