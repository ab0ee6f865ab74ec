//! What the kubelet looks at before it makes anything of a pod (`pod-api.md` section 1.8): a pod that this machine cannot run as it is meant
//! fails at once, and is never tried again. What only a cluster can want (room, taints, affinity) is not looked at.

use super::{PodFacts, containers, security, sysctls};

/// `status.reason` and what comes behind `Pod was rejected: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The first check that fails, in the kubelet's order.
pub(crate) fn check(facts: &PodFacts<'_>, allowed_sysctls: &[String]) -> Result<(), Rejection> {
    let rejected = |reason| move |message: String| Rejection { reason, message };
    sysctls::of_pod(facts.spec, allowed_sysctls).map_err(rejected("SysctlForbidden"))?;
    let labels = facts.pod.metadata.labels.as_ref();
    let os = labels.and_then(|labels| labels.get("kubernetes.io/os"));
    if os.is_some_and(|os| os != "linux") {
        let message =
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Err(rejected("PodOSSelectorNodeLabelDoesNotMatch")(
            message.to_owned(),
        ));
    }
    let os = facts.spec.os.as_ref();
    if os.is_some_and(|os| os.name != "linux") {
        let message = "Failed to admit pod as the OS field doesn't match node OS";
        return Err(rejected("PodOSNotSupported")(message.to_owned()));
    }
    for container in containers(facts.spec) {
        security::label(container, facts).map_err(rejected("AppArmor"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{Pod, PodSpec};
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(metadata: Value, mut spec: Value, expected: Result<(), (&str, &str)>) {
        spec["containers"] = json!([{"name": "c", "securityContext": spec["own"]}]);
        let pod: Pod = serde_json::from_value(json!({"metadata": metadata})).expect("a pod");
        let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
        let facts = PodFacts::alone(&pod, &spec);
        let found = super::check(&facts, &["net.core.*".to_owned()]);
        let found = found
            .as_ref()
            .map_err(|rejection| (rejection.reason, rejection.message.as_str()));
        assert_eq!(found.copied(), expected);
    }

    #[test]
    fn what_this_machine_cannot_run() {
        check(
            json!({"labels": {"kubernetes.io/os": "linux"}}),
            json!({"os": {"name": "linux"}}),
            Ok(()),
        );
        let sysctl =
            |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        check(json!({}), sysctl("net.core.somaxconn"), Ok(()));
        check(
            json!({}),
            sysctl("kernel.msgmax"),
            Err((
                "SysctlForbidden",
                "forbidden sysctl: \"kernel.msgmax\" not allowlisted",
            )),
        );
        check(
            json!({"labels": {"kubernetes.io/os": "windows"}}),
            json!({}),
            Err((
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            )),
        );
        check(
            json!({}),
            json!({"os": {"name": "windows"}}),
            Err((
                "PodOSNotSupported",
                "Failed to admit pod as the OS field doesn't match node OS",
            )),
        );
        check(
            json!({}),
            json!({"own": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
            Err((
                "AppArmor",
                "Cannot enforce AppArmor: AppArmor is not enabled on the host",
            )),
        );
    }
}
