//! What may be changed of a Pod that exists, and what may be added to one that runs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::text;
use super::{Found, pod};
use crate::core::{Container, EphemeralContainer, Pod, PodSpec};
use crate::diagnostic::Diagnostic;
use crate::go::quote;
use crate::path::Path;

/// The end of the sentence is a list of what differs; the API server prints it as Go does, which nothing else can.
const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// More differences than these are not listed.
const MOST_DIFFERENCES: usize = 20;

/// Everything that is wrong with replacing a pod by `new`, which is defaulted.
#[must_use]
pub fn pod_update(old: &Pod, new: &Pod) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata_update(&mut found, old, new);
    pod::metadata_and_spec(&mut found, new);
    let none = PodSpec::default();
    let (before, after) = (
        old.spec.as_ref().unwrap_or(&none),
        new.spec.as_ref().unwrap_or(&none),
    );
    let path = Path::fields("spec");
    let (inits, new_inits) = (
        before.init_containers.as_deref().unwrap_or_default(),
        after.init_containers.as_deref().unwrap_or_default(),
    );
    let apps = path.field("containers");
    if !containers(&mut found, &apps, &before.containers, &after.containers)
        || !containers(&mut found, &path.field("initContainers"), inits, new_inits)
        || !deadline(
            &mut found,
            &path.field("activeDeadlineSeconds"),
            before,
            after,
        )
    {
        return found.0;
    }
    tolerations(&mut found, &path.field("tolerations"), before, after);
    everything_else(&mut found, &path, before, after);
    found.0
}

/// Everything that is wrong with giving a running pod the ephemeral containers that `new` has.
#[must_use]
pub fn ephemeral_containers_update(old: &Pod, new: &Pod) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata_update(&mut found, old, new);
    pod::metadata_and_spec(&mut found, new);
    let path = Path::fields("spec.ephemeralContainers");
    for known in ephemerals(old) {
        let name = quote(&known.name);
        match ephemerals(new).iter().find(|new| new.name == known.name) {
            None => {
                let message = format!("existing ephemeral containers {name} may not be removed\n");
                found.add(Diagnostic::forbidden(&path, &message));
            }
            Some(new) if new != known => {
                let message = format!("existing ephemeral containers {name} may not be changed\n");
                let differences = differences(known, new);
                found.add(Diagnostic::forbidden(&path, &(message + &differences)));
            }
            Some(_) => {}
        }
    }
    found.0
}

fn ephemerals(pod: &Pod) -> &[EphemeralContainer] {
    let spec = pod.spec.as_ref();
    let list = spec.and_then(|spec| spec.ephemeral_containers.as_deref());
    list.unwrap_or_default()
}

/// Who it is does not change.
fn metadata_update(found: &mut Found, old: &Pod, new: &Pod) {
    let path = Path::fields("metadata");
    let (old, new) = (&old.metadata, &new.metadata);
    for (field, old, new) in [
        ("name", &old.name, &new.name),
        ("namespace", &old.namespace, &new.namespace),
        ("uid", &old.uid, &new.uid),
    ] {
        if old != new {
            let (path, new) = (path.field(field), text(new.as_ref()));
            found.add(Diagnostic::invalid(&path, new, "field is immutable"));
        }
    }
}

/// The same containers. Returns whether it makes sense to look further.
fn containers(found: &mut Found, path: &Path, old: &[Container], new: &[Container]) -> bool {
    if old.len() != new.len() {
        let message = "pod updates may not add or remove containers";
        found.add(Diagnostic::forbidden(path, message));
        return false;
    }
    for (index, container) in new.iter().enumerate() {
        let path = path.index(index).field("image");
        let image = text(container.image.as_ref());
        if image.trim() != image {
            let message = "must not have leading or trailing whitespace";
            found.add(Diagnostic::invalid(&path, image, message));
        }
    }
    true
}

/// It can be set, and shortened.
fn deadline(found: &mut Found, path: &Path, old: &PodSpec, new: &PodSpec) -> bool {
    match (old.active_deadline_seconds, new.active_deadline_seconds) {
        (Some(old), Some(new)) if new > old => {
            let message = "must be less than or equal to previous value";
            found.number(path, new, message);
            false
        }
        (Some(_), None) => {
            let message = "must not update from a positive integer to nil value";
            found.add(Diagnostic::invalid_json(path, "null", message));
            true
        }
        _ => true,
    }
}

fn tolerations(found: &mut Found, path: &Path, old: &PodSpec, new: &PodSpec) {
    let same = |old: &crate::core::Toleration, new: &crate::core::Toleration| {
        let mut old = old.clone();
        old.toleration_seconds = new.toleration_seconds;
        old == *new
    };
    let is_kept =
        |old: &crate::core::Toleration| new.tolerations.iter().flatten().any(|new| same(old, new));
    if !old.tolerations.iter().flatten().all(is_kept) {
        let message = "existing toleration can not be modified except its tolerationSeconds";
        found.add(Diagnostic::forbidden(path, message));
    }
}

/// With everything put back that may be another one, nothing must be left.
fn everything_else(found: &mut Found, path: &Path, old: &PodSpec, new: &PodSpec) {
    let mut rest = new.clone();
    let old_inits = old.init_containers.iter().flatten();
    let new_inits = rest.init_containers.iter_mut().flatten();
    for (new, old) in new_inits.zip(old_inits) {
        new.image.clone_from(&old.image);
    }
    for (new, old) in rest.containers.iter_mut().zip(&old.containers) {
        new.image.clone_from(&old.image);
    }
    rest.active_deadline_seconds = old.active_deadline_seconds;
    rest.tolerations.clone_from(&old.tolerations);
    let grace = old.termination_grace_period_seconds;
    if grace.is_some_and(|grace| grace < 0) && rest.termination_grace_period_seconds == Some(1) {
        rest.termination_grace_period_seconds = grace;
    }
    if rest != *old {
        let message = format!("{ONLY}\n{}", differences(old, &rest));
        found.add(Diagnostic::forbidden(path, &message));
    }
}

/// Line by line: the field, what it was, what it would be.
fn differences<T: serde::Serialize>(old: &T, new: &T) -> String {
    let value = |object: &T| serde_json::to_value(object).unwrap_or_default();
    let mut lines = Vec::new();
    differing("", &value(old), &value(new), &mut lines);
    let more = lines.len().saturating_sub(MOST_DIFFERENCES);
    lines.truncate(MOST_DIFFERENCES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn differing(place: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let dot = if place.is_empty() { "" } else { "." };
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or_default()
                };
                differing(
                    &format!("{place}{dot}{key}"),
                    &of(before),
                    &of(after),
                    lines,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (old, new)) in before.iter().zip(after).enumerate() {
                differing(&format!("{place}[{index}]"), old, new, lines);
            }
        }
        _ => lines.push(format!("{place}: {old} -> {new}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(more: Value) -> Pod {
        let mut spec = json!({
            "containers": [{"name": "a", "image": "busybox:1"}],
            "initContainers": [{"name": "i", "image": "busybox:1"}],
        });
        for (key, value) in more.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        let object = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec});
        let mut pod: Pod = serde_json::from_value(object).expect("a pod");
        crate::defaults::apply(&mut pod, "");
        let ephemerals = pod
            .spec
            .as_mut()
            .and_then(|spec| spec.ephemeral_containers.as_mut());
        for container in ephemerals.into_iter().flatten() {
            crate::defaults::ephemeral_container(container);
        }
        pod
    }

    fn messages(found: Vec<Diagnostic>) -> Vec<String> {
        found.into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn what_may_be_changed() {
        let toleration = |key: &str, seconds: Value| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let old = pod(json!({
            "activeDeadlineSeconds": 60,
            "tolerations": [toleration("a", Value::Null)],
        }));
        let mut new = pod(json!({
            "containers": [{"name": "a", "image": "busybox:2"}],
            "initContainers": [{"name": "i", "image": "busybox:3"}],
            "activeDeadlineSeconds": 30,
            "tolerations": [toleration("b", Value::Null), toleration("a", json!(5))],
        }));
        new.metadata.labels = Some([("l".to_owned(), "v".to_owned())].into());
        assert_eq!(messages(pod_update(&old, &new)), Vec::<String>::new());
    }

    #[test]
    fn what_may_not() {
        let old = pod(
            json!({"activeDeadlineSeconds": 60, "tolerations": [{"key": "a", "operator": "Exists"}]}),
        );
        let kept = json!([{"key": "a", "operator": "Exists"}]);
        for (more, expected) in [
            (
                json!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}),
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ),
            (
                json!({"initContainers": []}),
                "spec.initContainers: Forbidden: pod updates may not add or remove containers",
            ),
            (
                json!({"activeDeadlineSeconds": 61}),
                "spec.activeDeadlineSeconds: Invalid value: 61: must be less than or equal to previous value",
            ),
            (
                json!({"activeDeadlineSeconds": 60, "tolerations": []}),
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ),
            (
                json!({"activeDeadlineSeconds": 60, "tolerations": kept, "containers": [{"name": "a", "image": " "}]}),
                "spec.containers[0].image: Invalid value: \" \": must not have leading or trailing whitespace",
            ),
            (
                json!({"activeDeadlineSeconds": 60, "tolerations": kept, "hostname": "h", "restartPolicy": "Never"}),
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
                 `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                 tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n\
                 hostname: null -> \"h\"\nrestartPolicy: \"Always\" -> \"Never\"",
            ),
            (
                json!({"activeDeadlineSeconds": 60, "tolerations": kept, "containers": [{"name": "a", "image": "busybox:1", "command": ["x"]}]}),
                "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n\
                 containers[0].command: null -> [\"x\"]",
            ),
            (
                json!({"tolerations": kept}),
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
            ),
        ] {
            let found = messages(pod_update(&old, &pod(more.clone())));
            assert!(
                found.iter().any(|message| message.contains(expected)),
                "{more}: {found:?}"
            );
        }
        let mut other = old.clone();
        other.metadata.uid = Some("other".to_owned());
        assert_eq!(
            messages(pod_update(&old, &other)),
            ["metadata.uid: Invalid value: \"other\": field is immutable"]
        );
    }

    #[test]
    fn ephemeral_containers_come_and_stay() {
        let with = |list: Value| pod(json!({"ephemeralContainers": list}));
        let check =
            |old: Value, new: Value| messages(ephemeral_containers_update(&with(old), &with(new)));
        let (d, e) = (
            json!({"name": "d", "image": "x:1", "targetContainerName": "a"}),
            json!({"name": "e", "image": "x:1"}),
        );
        assert_eq!(check(json!([]), json!([d])), Vec::<String>::new());
        assert_eq!(check(json!([d]), json!([e, d])), Vec::<String>::new());
        let path = "spec.ephemeralContainers";
        assert_eq!(
            check(json!([d, e]), json!([e])),
            [format!(
                "{path}: Forbidden: existing ephemeral containers \"d\" may not be removed\n"
            )]
        );
        assert_eq!(
            check(json!([e]), json!([{"name": "e", "image": "x:2"}])),
            [format!(
                "{path}: Forbidden: existing ephemeral containers \"e\" may not be changed\nimage: \"x:1\" -> \"x:2\""
            )]
        );
        for (container, expected) in [
            (
                json!({"name": "a", "image": "x:1"}),
                "[0].name: Duplicate value: \"a\"",
            ),
            (
                json!({"name": "d", "image": "x:1", "targetContainerName": "nobody"}),
                "[0].targetContainerName: Not found: \"nobody\"",
            ),
            (
                json!({"name": "d", "image": "x:1", "ports": [{"containerPort": 80}]}),
                "[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (
                json!({"name": "d", "image": "x:1", "resources": {"limits": {"cpu": "1"}}}),
                "[0].resources: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (
                json!({"name": "d", "image": "x:1", "livenessProbe": {"exec": {"command": ["true"]}}}),
                "[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container",
            ),
        ] {
            assert_eq!(
                check(json!([]), json!([container])),
                [format!("{path}{expected}")]
            );
        }
    }
}
