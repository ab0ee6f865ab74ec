//! The quality-of-service class of a pod and what it asks for altogether.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::core::{Container, PodSpec, ResourceRequirements};
use crate::quantity::Value;

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
    let mut any = false;
    let mut guaranteed = true;
    for resources in all {
        let limits = values(*resources, Field::Limits);
        let requests = values(*resources, Field::Requests);
        for name in ["cpu", "memory"] {
            let limit = limits.get(name).filter(|value| !value.is_zero());
            let request = requests
                .get(name)
                .filter(|value| !value.is_zero())
                .or(limit);
            any |= request.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Which of the two lists of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Requests,
    Limits,
}

/// What the pod asks for: the larger of its running phase and the peak of its init phase, or the pod-level value where
/// one is given, plus overhead.
#[must_use]
pub fn effective_requests(spec: &PodSpec) -> BTreeMap<String, Value> {
    effective(spec, Field::Requests)
}

/// The limits of the pod by the same formula. A container without a limit counts as nothing: whether the pod as a whole
/// is limited is for the caller to see.
#[must_use]
pub fn effective_limits(spec: &PodSpec) -> BTreeMap<String, Value> {
    effective(spec, Field::Limits)
}

fn effective(spec: &PodSpec, field: Field) -> BTreeMap<String, Value> {
    let mut total = effective_of_containers(spec, field);
    total.extend(values(spec.resources.as_ref(), field));
    for (name, overhead) in spec.overhead.iter().flatten() {
        let Ok(overhead) = overhead.0.parse::<Value>() else {
            continue;
        };
        match (field, total.get_mut(name)) {
            (_, Some(value)) if field == Field::Requests || !value.is_zero() => {
                *value = value.plus(overhead)
            }
            (Field::Requests, None) => {
                total.insert(name.clone(), overhead);
            }
            _ => {}
        }
    }
    total
}

pub(crate) fn effective_of_containers(spec: &PodSpec, field: Field) -> BTreeMap<String, Value> {
    let mut sidecars = BTreeMap::new();
    let mut peak = BTreeMap::new();
    for container in spec.init_containers.iter().flatten() {
        let own = values(container.resources.as_ref(), field);
        if is_sidecar(container) {
            add(&mut sidecars, &own);
        } else {
            // Sidecars without this container are counted with the app containers below.
            let mut at_once = own;
            for (name, value) in &mut at_once {
                if let Some(beside) = sidecars.get(name) {
                    *value = beside.plus(*value);
                }
            }
            largest(&mut peak, &at_once);
        }
    }
    let mut total = sidecars;
    for container in &spec.containers {
        add(&mut total, &values(container.resources.as_ref(), field));
    }
    largest(&mut total, &peak);
    total
}

/// Whether an init container is a sidecar: it is started in turn but not waited for to end.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn values(resources: Option<&ResourceRequirements>, field: Field) -> BTreeMap<String, Value> {
    let list: Option<&BTreeMap<String, Quantity>> = resources.and_then(|resources| match field {
        Field::Requests => resources.requests.as_ref(),
        Field::Limits => resources.limits.as_ref(),
    });
    list.into_iter()
        .flatten()
        .filter_map(|(name, quantity)| Some((name.clone(), quantity.0.parse().ok()?)))
        .collect()
}

fn add(total: &mut BTreeMap<String, Value>, more: &BTreeMap<String, Value>) {
    for (name, value) in more {
        let sum = total.get(name).map_or(*value, |so_far| so_far.plus(*value));
        total.insert(name.clone(), sum);
    }
}

fn largest(total: &mut BTreeMap<String, Value>, other: &BTreeMap<String, Value>) {
    for (name, value) in other {
        let larger = total
            .get(name)
            .map_or(*value, |so_far| so_far.or_larger(*value));
        total.insert(name.clone(), larger);
    }
}
