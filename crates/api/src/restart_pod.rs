//! podyard's own annotation: what happens when an init container fails.
//!
//! By default that container alone is tried again, as the kubelet does it. With `restart-pod` everything is stopped and
//! initialisation begins again from the first container. Kubernetes 1.36 can express the same with restart rules, so that a
//! manifest printed with them behaves alike in a cluster.

use std::collections::BTreeMap;

use crate::core::{ContainerRestartRule, ContainerRestartRuleOnExitCodes, Pod};
use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::qos::is_sidecar;
use crate::suggest;

/// The annotation, `retry-container` or `restart-pod`.
pub const ANNOTATION: &str = "podyard.dev/on-init-failure";

/// Annotations that podyard reads begin with this.
const PREFIX: &str = "podyard.dev/";

const VALUES: &[&str] = &["restart-pod", "retry-container"];

/// What is wrong with the annotations that are meant for podyard.
pub(crate) fn check(pod: &Pod) -> Vec<Diagnostic> {
    let path = Path::fields("metadata.annotations");
    let own = annotations(pod)
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(PREFIX));
    own.filter_map(|(key, value)| {
        let at = path.key(key);
        if key == ANNOTATION {
            let known = VALUES.contains(&value.as_str());
            return (!known).then(|| Diagnostic::unsupported(&at, value, VALUES));
        }
        let mut diagnostic = Diagnostic::notice(&at, "podyard knows no such annotation").at_key();
        diagnostic.hint = suggest::nearest(key, [ANNOTATION].into_iter())
            .map(|known| format!("did you mean `{known}`?"));
        Some(diagnostic)
    })
    .collect()
}

fn annotations(pod: &Pod) -> Option<&BTreeMap<String, String>> {
    pod.metadata.annotations.as_ref()
}

/// Whether the pod's annotation asks for the whole pod to be restarted.
#[must_use]
pub fn is_asked_for(pod: &Pod) -> bool {
    annotations(pod)
        .and_then(|all| all.get(ANNOTATION))
        .map(String::as_str)
        == Some("restart-pod")
}

/// The same pod in Kubernetes' own terms: each init container gets a rule that a failure restarts all containers. A pod that
/// is never restarted stays as it is.
#[must_use]
pub fn as_rules(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(ANNOTATION);
    }
    let Some(spec) = &mut pod.spec else {
        return pod;
    };
    if spec.restart_policy.as_deref() == Some("Never") {
        return pod;
    }
    let rule = ContainerRestartRule {
        action: "RestartAllContainers".to_owned(),
        exit_codes: Some(ContainerRestartRuleOnExitCodes {
            operator: "NotIn".to_owned(),
            values: Some(vec![0]),
        }),
    };
    for container in spec.init_containers.iter_mut().flatten() {
        // Rules need a policy, and the ones that a container has already come first.
        if !is_sidecar(container) && container.restart_policy.as_deref() != Some("Never") {
            container
                .restart_policy
                .get_or_insert_with(|| "OnFailure".to_owned());
            let rules = container.restart_policy_rules.get_or_insert_default();
            rules.push(rule.clone());
        }
    }
    pod
}
