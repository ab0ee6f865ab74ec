//! The quality-of-service class of a pod (`pod-api.md` section 7.3).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::core::{PodSpec, ResourceRequirements};

/// `Guaranteed`, `Burstable` or `BestEffort`.
#[must_use]
pub fn qos_class(spec: &PodSpec) -> &'static str {
    if let Some(pod_level) = &spec.resources {
        return class(&[Some(pod_level)]);
    }
    let all: Vec<Option<&ResourceRequirements>> = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|container| container.resources.as_ref())
        .collect();
    class(&all)
}

fn class(all: &[Option<&ResourceRequirements>]) -> &'static str {
    let none = BTreeMap::new();
    let mut any = false;
    let mut guaranteed = true;
    for resources in all {
        let requests = resources.and_then(|resources| resources.requests.as_ref()).unwrap_or(&none);
        let limits = resources.and_then(|resources| resources.limits.as_ref()).unwrap_or(&none);
        for name in ["cpu", "memory"] {
            let limit = limits.get(name).filter(|quantity| !is_zero(quantity));
            let request = requests.get(name).filter(|quantity| !is_zero(quantity)).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.map(value) == limit.map(value);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn is_zero(quantity: &Quantity) -> bool {
    value(quantity) == Some(0)
}

/// In thousandths, which tells any two quantities that the API accepts for these resources apart.
fn value(quantity: &Quantity) -> Option<i128> {
    crate::quantity::milli(&quantity.0).ok()
}
