//! Defaults of `spec.resources`, the resources of the pod as a whole.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::core::PodSpec;
use crate::qos::effective_of_containers;

/// A pod-level limit without a request: the request is what the containers ask for together, or the limit.
pub(super) fn resources(spec: &mut PodSpec) {
    let of_containers = |field| effective_of_containers(spec, field);
    let (requests, limits) = (
        of_containers(crate::qos::Field::Requests),
        of_containers(crate::qos::Field::Limits),
    );
    let Some(resources) = &mut spec.resources else {
        return;
    };
    for (name, limit) in &limits {
        if name.starts_with("hugepages-") {
            let text = Quantity(limit.to_string());
            let of_pod = resources.limits.get_or_insert_with(BTreeMap::new);
            of_pod.entry(name.clone()).or_insert(text);
        }
    }
    let Some(limits) = resources
        .limits
        .as_ref()
        .filter(|limits| !limits.is_empty())
    else {
        return;
    };
    let of_pod = resources.requests.get_or_insert_with(BTreeMap::new);
    for (name, request) in requests {
        if matches!(name.as_str(), "cpu" | "memory") {
            let text = Quantity(request.to_string());
            of_pod.entry(name).or_insert(text);
        }
    }
    for (name, limit) in limits {
        let supported = matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
        if supported {
            of_pod.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}
