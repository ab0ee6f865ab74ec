//! Local storage: which limits a pod has, and which one it is over (`pod-lifecycle.md` section 7.6).

use std::collections::BTreeMap;

use podyard_api::core::{PodSpec, Volume};
use podyard_api::quantity::Value;
use podyard_api::{effective_limits, quantity};

const EPHEMERAL: &str = "ephemeral-storage";

/// Bytes in use, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Each emptyDir on disk.
    pub(crate) volumes: BTreeMap<String, u64>,
    /// Each container's writable layer and logs.
    pub(crate) containers: BTreeMap<String, u64>,
}

/// Whether the pod has any limit that must be watched: measuring costs, so it is not done for nothing.
pub(crate) fn is_limited(spec: &PodSpec) -> bool {
    let has_volume_limit = on_disk(spec).any(|volume| size_limit(volume).is_some());
    has_volume_limit || pod_limit(spec).is_some() || container_limits(spec).next().is_some()
}

/// The volumes that are measured.
pub(crate) fn on_disk(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    spec.volumes.iter().flatten().filter(|volume| {
        let source = volume.empty_dir.as_ref();
        source.is_some_and(|source| source.medium.as_deref().unwrap_or_default().is_empty())
    })
}

/// The kubelet's text for the first limit that is exceeded.
pub(crate) fn exceeded(spec: &PodSpec, usage: &Usage) -> Option<String> {
    for volume in on_disk(spec) {
        let Some((limit, text)) = size_limit(volume) else {
            continue;
        };
        if usage
            .volumes
            .get(&volume.name)
            .is_some_and(|used| *used > limit)
        {
            let name = &volume.name;
            return Some(format!(
                "Usage of EmptyDir volume {name:?} exceeds the limit {text:?}. "
            ));
        }
    }
    if let Some(limit) = pod_limit(spec) {
        let total: u64 = usage
            .volumes
            .values()
            .chain(usage.containers.values())
            .sum();
        if total > bytes(limit) {
            return Some(format!(
                "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
            ));
        }
    }
    for (name, limit) in container_limits(spec) {
        if usage
            .containers
            .get(name)
            .is_some_and(|used| *used > bytes(limit))
        {
            return Some(format!(
                "Container {name} exceeded its local ephemeral storage limit \"{limit}\". "
            ));
        }
    }
    None
}

fn size_limit(volume: &Volume) -> Option<(u64, String)> {
    let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
    let value: Value = limit.0.parse().ok()?;
    let limit = quantity::bytes(&limit.0).ok()?;
    (limit > 0).then(|| (limit, value.to_string()))
}

fn pod_limit(spec: &PodSpec) -> Option<Value> {
    effective_limits(spec)
        .get(EPHEMERAL)
        .copied()
        .filter(|limit| !limit.is_zero())
}

/// App containers only.
fn container_limits(spec: &PodSpec) -> impl Iterator<Item = (&str, Value)> {
    spec.containers.iter().filter_map(|container| {
        let limit = container
            .resources
            .as_ref()?
            .limits
            .as_ref()?
            .get(EPHEMERAL)?;
        let limit: Value = limit.0.parse().ok()?;
        (!limit.is_zero()).then_some((container.name.as_str(), limit))
    })
}

fn bytes(value: Value) -> u64 {
    u64::try_from(value.units()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> PodSpec {
        serde_json::from_str(text).expect("a spec")
    }

    fn usage(volume: u64, container: u64) -> Usage {
        Usage {
            volumes: BTreeMap::from([("v".to_owned(), volume)]),
            containers: BTreeMap::from([("a".to_owned(), container)]),
        }
    }

    #[test]
    fn the_three_limits_in_their_order_and_words() {
        let limited = spec(
            r#"{"containers": [{"name": "a", "resources": {"limits": {"ephemeral-storage": "1Mi"}}},
                               {"name": "b", "resources": {"limits": {"ephemeral-storage": "1Mi"}}}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Ki"}}]}"#,
        );
        assert!(is_limited(&limited));
        let mi = 1 << 20;
        for (volume, container, expected) in [
            (mi, mi, None),
            (
                mi + 1,
                3 * mi,
                Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "),
            ),
            (
                mi,
                mi + 1,
                Some(
                    "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
                ),
            ),
            (
                0,
                mi + 1,
                Some("Container a exceeded its local ephemeral storage limit \"1Mi\". "),
            ),
        ] {
            assert_eq!(
                exceeded(&limited, &usage(volume, container)).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn what_has_no_limit_is_not_measured() {
        for text in [
            r#"{"containers": [{"name": "a"}]}"#,
            r#"{"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}"#,
            r#"{"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}"#,
        ] {
            assert!(!is_limited(&spec(text)), "{text}");
        }
    }
}
