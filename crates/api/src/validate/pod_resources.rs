//! Resources of the pod as a whole, and overhead.

use super::Found;
use super::resources::{container_resource_name, lists};
use crate::core::{PodSpec, ResourceRequirements};
use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::qos::{Field, effective_of_containers};
use crate::quantity::Value;

pub(super) fn pod_resources(found: &mut Found, path: &Path, spec: &PodSpec) {
    let Some(resources) = &spec.resources else {
        return;
    };
    if resources
        .claims
        .as_ref()
        .is_some_and(|claims| !claims.is_empty())
    {
        found.add(Diagnostic::forbidden(
            &path.field("claims"),
            "claims cannot be set for Resources at pod-level",
        ));
    }
    lists(found, path, resources, pod_resource_name);
    let of_containers = effective_of_containers(spec, Field::Requests);
    for (name, needed) in &of_containers {
        if !matches!(name.as_str(), "cpu" | "memory") && !name.starts_with("hugepages-") {
            continue;
        }
        let request = resources
            .requests
            .as_ref()
            .and_then(|requests| requests.get(name));
        let request = request.map_or("0", |request| request.0.as_str());
        if request
            .parse::<Value>()
            .is_ok_and(|request| request < *needed)
        {
            let message = format!(
                "must be greater than or equal to aggregate container requests of {needed}"
            );
            let at = path.field("requests").key(name);
            found.add(Diagnostic::invalid(&at, request, &message));
        }
    }
    container_limits(found, path, spec, resources);
}

/// No container may have more than its pod.
fn container_limits(
    found: &mut Found,
    path: &Path,
    spec: &PodSpec,
    resources: &ResourceRequirements,
) {
    for (index, container) in spec.containers.iter().enumerate() {
        let limits = container
            .resources
            .as_ref()
            .and_then(|resources| resources.limits.as_ref());
        for (name, limit) in limits.into_iter().flatten() {
            let Some(of_pod) = resources
                .limits
                .as_ref()
                .and_then(|limits| limits.get(name))
            else {
                continue;
            };
            let (Ok(own), Ok(most)) = (limit.0.parse::<Value>(), of_pod.0.parse::<Value>()) else {
                continue;
            };
            if own > most {
                let message = format!("must be less than or equal to pod limits of {}", of_pod.0);
                let printed = path
                    .field("containers")
                    .index(index)
                    .key(name)
                    .field("limits");
                let at = Path::fields("spec.containers")
                    .index(index)
                    .field("resources.limits")
                    .key(name);
                found.add(Diagnostic::invalid(&printed, &limit.0, &message).located_at(at));
            }
        }
    }
}

fn pod_resource_name(found: &mut Found, path: &Path, name: &str) {
    if !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
        found.add(Diagnostic::unsupported(
            path,
            name,
            &["cpu", "hugepages-", "memory"],
        ));
    }
}

pub(super) fn overhead(found: &mut Found, path: &Path, spec: &PodSpec) {
    if spec.overhead.is_some() {
        let as_limits = ResourceRequirements {
            limits: spec.overhead.clone(),
            ..ResourceRequirements::default()
        };
        lists(found, path, &as_limits, container_resource_name);
    }
}
