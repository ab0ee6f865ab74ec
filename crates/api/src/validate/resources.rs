//! Amounts of resources: names, signs, and requests within limits.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Found;
use super::common::NOT_NEGATIVE;
use crate::core::ResourceRequirements;
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;
use crate::quantity::Value;

/// Names without a domain that Kubernetes knows somewhere, quotas included.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

pub(super) fn container(
    found: &mut Found,
    path: &Path,
    resources: &ResourceRequirements,
    claims: &BTreeSet<String>,
) {
    lists(found, path, resources, container_resource_name);
    resource_claims(found, &path.field("claims"), resources, claims);
}

/// Limits and requests; which names are allowed depends on what they belong to.
pub(super) fn lists(
    found: &mut Found,
    path: &Path,
    resources: &ResourceRequirements,
    check_name: fn(&mut Found, &Path, &str),
) {
    let none = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests = resources.requests.as_ref().unwrap_or(&none);
    for (name, quantity) in limits {
        let path = path.field("limits").key(name);
        check_name(found, &path, name);
        amount(found, &path, name, quantity);
    }
    for (name, quantity) in requests {
        let own = path.field("requests").key(name);
        check_name(found, &own, name);
        amount(found, &own, name, quantity);
        within_limit(found, path, name, quantity, limits.get(name));
        if is_huge_page(name) {
            huge_pages(found, &own, name, quantity);
        }
    }
    let any = |wanted: fn(&str) -> bool| {
        limits
            .keys()
            .chain(requests.keys())
            .any(|name| wanted(name))
    };
    if any(is_huge_page) && !any(|name| matches!(name, "cpu" | "memory")) {
        found.add(Diagnostic::forbidden(
            path,
            "HugePages require cpu or memory",
        ));
    }
}

fn value(quantity: &Quantity) -> Value {
    quantity.0.parse().unwrap_or(Value::ZERO)
}

fn amount(found: &mut Found, path: &Path, name: &str, quantity: &Quantity) {
    let value = value(quantity);
    if value.is_negative() {
        found.add(Diagnostic::invalid(path, &quantity.0, NOT_NEGATIVE));
    }
    if is_extended(name) && !value.is_whole() {
        found.add(Diagnostic::invalid(path, &quantity.0, "must be an integer"));
    }
    if is_huge_page(name) && path.to_string().contains("limits[") {
        huge_pages(found, path, name, quantity);
    }
}

fn within_limit(
    found: &mut Found,
    path: &Path,
    name: &str,
    request: &Quantity,
    limit: Option<&Quantity>,
) {
    let requests = path.field("requests");
    // Pages and devices cannot be promised twice.
    let exact = is_huge_page(name) || !is_native(name);
    match limit {
        None if exact => found.add(
            Diagnostic::required(
                &path.field("limits"),
                "Limit must be set for non overcommitable resources",
            )
            .located_at(requests.key(name)),
        ),
        None => {}
        Some(limit) => {
            let relation = if exact && value(request) != value(limit) {
                "must be equal to"
            } else if value(request) > value(limit) {
                "must be less than or equal to"
            } else {
                return;
            };
            let message = format!("{relation} {name} limit of {}", limit.0);
            found.add(
                Diagnostic::invalid(&requests, &request.0, &message).located_at(requests.key(name)),
            );
        }
    }
}

fn huge_pages(found: &mut Found, path: &Path, name: &str, quantity: &Quantity) {
    let size = name
        .trim_start_matches("hugepages-")
        .parse::<Value>()
        .unwrap_or(Value::ZERO);
    let multiple = size > Value::ZERO && value(quantity).units() % size.units() == 0;
    if !multiple {
        let message = format!("{} is not positive integer multiple of {name}", quantity.0);
        found.add(Diagnostic::invalid(path, &quantity.0, &message));
    }
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Kubernetes' own names: without a domain, or with its domain.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

pub(super) fn container_resource_name(found: &mut Found, path: &Path, name: &str) {
    let mut wrong = |message: &str| {
        found.add(Diagnostic::invalid(path, name, message).at_key());
    };
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        messages.iter().for_each(|message| wrong(message));
        return;
    }
    if name.contains('/') {
        if !is_native(name) && !is_extended(name) {
            wrong("doesn't follow extended resource name standard");
        }
        return;
    }
    if !STANDARD.contains(&name) && !is_huge_page(name) && !name.starts_with("requests.hugepages-")
    {
        wrong("must be a standard resource type or fully qualified");
    }
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
        let mut diagnostic =
            Diagnostic::invalid(path, name, "must be a standard resource for containers").at_key();
        diagnostic.hint =
            crate::suggest::nearest(name, ["cpu", "memory", "ephemeral-storage"].into_iter())
                .map(|name| format!("did you mean `{name}`?"));
        found.add(diagnostic);
    }
}

fn resource_claims(
    found: &mut Found,
    path: &Path,
    resources: &ResourceRequirements,
    known: &BTreeSet<String>,
) {
    let mut seen = BTreeSet::new();
    for (index, claim) in resources.claims.iter().flatten().enumerate() {
        let path = path.index(index);
        if claim.name.is_empty() {
            found.add(Diagnostic::required(&path, ""));
            continue;
        }
        if !seen.insert((claim.name.as_str(), claim.request.as_deref())) {
            found.add(Diagnostic::duplicate(&path, &claim.name));
        }
        if !known.contains(&claim.name) {
            let mut detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                detail.push_str(" which is empty");
            } else {
                let list: Vec<&str> = known.iter().map(String::as_str).collect();
                detail = format!("{detail}: {}", list.join(", "));
            }
            found.add(Diagnostic::not_found(&path, &claim.name, &detail));
        }
    }
}
