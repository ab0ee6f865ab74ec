//! What a pod asks for, with the sum that it comes from.

use std::collections::BTreeSet;

use podyard_api::effective_requests;
use podyard_api::quantity::Value;

use crate::objects::core::PodSpec;
use crate::objects::{Container, is_sidecar};

/// One resource.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResourcePlan {
    pub(crate) resource: String,
    pub(crate) total: String,
    /// How the total comes about.
    pub(crate) formula: String,
}

/// A sum with its terms.
#[derive(Default)]
struct Sum {
    value: Option<Value>,
    terms: Vec<String>,
}

impl Sum {
    fn add(&mut self, name: &str, value: Value) {
        self.value = Some(self.value.map_or(value, |sum| sum.plus(value)));
        self.terms.push(format!("{name} {value}"));
    }

    fn text(&self) -> String {
        self.terms.join(" + ")
    }
}

/// The effective requests of the pod.
pub(super) fn resources(spec: &PodSpec) -> Vec<ResourcePlan> {
    let totals = effective_requests(spec);
    let names: BTreeSet<&String> = totals.keys().collect();
    names
        .into_iter()
        .map(|resource| ResourcePlan {
            resource: resource.clone(),
            total: totals[resource].to_string(),
            formula: formula(spec, resource),
        })
        .collect()
}

fn formula(spec: &PodSpec, resource: &str) -> String {
    let overhead = spec
        .overhead
        .as_ref()
        .and_then(|overhead| overhead.get(resource))
        .map(|value| format!(" + overhead {}", value.0))
        .unwrap_or_default();
    let pod_level = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref())
        .and_then(|requests| requests.get(resource));
    if let Some(value) = pod_level {
        return format!("pod level {}{overhead}", value.0);
    }
    let mut sidecars = Sum::default();
    let mut peak: Option<Sum> = None;
    for container in spec.init_containers.iter().flatten() {
        let Some(value) = request(container, resource) else {
            continue;
        };
        if is_sidecar(container) {
            sidecars.add(&container.name, value);
            continue;
        }
        // The sidecars in front of it run beside it.
        let mut own = Sum {
            value: sidecars.value,
            terms: sidecars.terms.clone(),
        };
        own.add(&container.name, value);
        if peak.as_ref().is_none_or(|peak| peak.value < own.value) {
            peak = Some(own);
        }
    }
    let mut running = sidecars;
    for container in &spec.containers {
        if let Some(value) = request(container, resource) {
            running.add(&container.name, value);
        }
    }
    match (running.terms.is_empty(), peak) {
        (true, Some(peak)) => format!("init: {}{overhead}", peak.text()),
        (_, None) => format!("{}{overhead}", running.text()),
        (false, Some(peak)) => format!(
            "the larger of {} (at run time) and {} (during init){overhead}",
            running.text(),
            peak.text()
        ),
    }
}

fn request(container: &Container, resource: &str) -> Option<Value> {
    let requests = container.resources.as_ref()?.requests.as_ref()?;
    requests.get(resource)?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_sum_is_shown_with_its_terms() {
        let container = |name: &str, cpu: &str, policy: Option<&str>| json!({"name": name, "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [
                container("proxy", "100m", Some("Always")),
                container("migrate", "1", None),
                container("late", "50m", Some("Always")),
            ],
            "containers": [container("app", "200m", None), container("web", "300m", None)],
            "overhead": {"cpu": "10m"},
        }))
        .expect("a spec");
        let plans = resources(&spec);
        assert_eq!(plans.len(), 1);
        assert_eq!(plans[0].total, "1110m");
        assert_eq!(
            plans[0].formula,
            "the larger of proxy 100m + late 50m + app 200m + web 300m (at run time) and proxy 100m + migrate 1 (during init) + overhead 10m"
        );
    }
}
