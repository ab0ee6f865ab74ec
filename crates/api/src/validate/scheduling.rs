//! Fields for a scheduler. One machine has nothing to schedule, but a malformed field is malformed everywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::pod::text;
use super::selectors::{label_selector, node_selector, node_selector_term};
use crate::core::{PodAffinityTerm, PodSpec, TopologySpreadConstraint, WeightedPodAffinityTerm};
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_PROBLEMS;
use crate::meta::LabelSelector;
use crate::names;
use crate::path::Path;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(found: &mut Found, path: &Path, spec: &PodSpec) {
    let Some(affinity) = &spec.affinity else {
        return;
    };
    if let Some(node) = &affinity.node_affinity {
        let path = path.field("nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            node_selector(found, &path.field(REQUIRED), selector);
        }
        let preferred = node
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten();
        for (index, term) in preferred.enumerate() {
            let path = path.field(PREFERRED).index(index);
            weight(found, &path, term.weight);
            node_selector_term(found, &path.field("preference"), &term.preference);
        }
    }
    if let Some(pods) = &affinity.pod_affinity {
        pod_terms(
            found,
            &path.field("podAffinity"),
            pods.required_during_scheduling_ignored_during_execution
                .as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution
                .as_deref(),
        );
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        pod_terms(
            found,
            &path.field("podAntiAffinity"),
            pods.required_during_scheduling_ignored_during_execution
                .as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution
                .as_deref(),
        );
    }
}

fn weight(found: &mut Found, path: &Path, weight: i32) {
    if !(1..=100).contains(&weight) {
        found.number(&path.field("weight"), weight, "must be in the range 1-100");
    }
}

fn pod_terms(
    found: &mut Found,
    path: &Path,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) {
    for (index, term) in required.into_iter().flatten().enumerate() {
        pod_term(found, &path.field(REQUIRED).index(index), term);
    }
    for (index, term) in preferred.into_iter().flatten().enumerate() {
        let path = path.field(PREFERRED).index(index);
        weight(found, &path, term.weight);
        pod_term(
            found,
            &path.field("podAffinityTerm"),
            &term.pod_affinity_term,
        );
    }
}

fn pod_term(found: &mut Found, path: &Path, term: &PodAffinityTerm) {
    for (field, selector) in [
        ("labelSelector", &term.label_selector),
        ("namespaceSelector", &term.namespace_selector),
    ] {
        if let Some(selector) = selector {
            label_selector(found, &path.field(field), selector);
        }
    }
    for namespace in term.namespaces.iter().flatten() {
        found.each(
            &path.field("namespace"),
            namespace,
            names::dns_label(namespace),
        );
    }
    for (field, keys) in [
        ("matchLabelKeys", &term.match_label_keys),
        ("mismatchLabelKeys", &term.mismatch_label_keys),
    ] {
        let keys = keys.as_deref().unwrap_or_default();
        label_keys(
            found,
            &path.field(field),
            keys,
            term.label_selector.as_ref(),
        );
    }
    let mismatched = term.mismatch_label_keys.as_deref().unwrap_or_default();
    let mismatched: BTreeMap<&str, usize> = mismatched
        .iter()
        .enumerate()
        .map(|(index, key)| (key.as_str(), index))
        .collect();
    for (index, key) in term.match_label_keys.iter().flatten().enumerate() {
        if let Some(other) = mismatched.get(key.as_str()) {
            let other = path.field("mismatchLabelKeys").index(*other);
            let message = format!("exists in both matchLabelKeys and {other}");
            let at = path.field("matchLabelKeys").index(index);
            found.add(Diagnostic::invalid(&at, key, &message));
        }
    }
    topology_key(found, path, &term.topology_key);
}

/// Keys whose values are taken from the pod's own labels; they add to a selector.
fn label_keys(found: &mut Found, path: &Path, keys: &[String], selector: Option<&LabelSelector>) {
    if !keys.is_empty() && selector.is_none() {
        let message = "must not be specified when labelSelector is not set";
        found.add(Diagnostic::forbidden(path, message));
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        found.each(&path.index(index), key, names::qualified_name(key));
    }
}

fn topology_key(found: &mut Found, path: &Path, key: &str) {
    let at = path.field("topologyKey");
    if key.is_empty() {
        found.add(Diagnostic::required(&at, "can not be empty"));
    }
    found.each(&at, key, names::qualified_name(key));
}

pub(super) fn readiness_gates(found: &mut Found, path: &Path, spec: &PodSpec) {
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path.index(index).field("conditionType");
        found.each(
            &path,
            &gate.condition_type,
            names::qualified_name(&gate.condition_type),
        );
    }
}

pub(super) fn scheduling_gates(found: &mut Found, path: &Path, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (index, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = path.index(index);
        found.each(&path, &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(gate.name.as_str()) {
            found.add(Diagnostic::duplicate(&path, &gate.name));
        }
    }
}

pub(super) fn topology_spread(found: &mut Found, path: &Path, spec: &PodSpec) {
    let constraints = spec
        .topology_spread_constraints
        .as_deref()
        .unwrap_or_default();
    let last_of: BTreeMap<(&str, &str), usize> = constraints
        .iter()
        .enumerate()
        .map(|(index, constraint)| (constraint_key(constraint), index))
        .collect();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        if constraint.max_skew <= 0 {
            found.number(
                &path.field("maxSkew"),
                constraint.max_skew,
                "must be greater than zero",
            );
        }
        topology_key(found, &path, &constraint.topology_key);
        found.one_of(
            &path.field("whenUnsatisfiable"),
            &constraint.when_unsatisfiable,
            &["DoNotSchedule", "ScheduleAnyway"],
        );
        if last_of[&constraint_key(constraint)] > index {
            repeated(found, &path, constraint);
        }
        min_domains(found, &path, constraint);
        for (field, policy) in [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ] {
            if let Some(policy) = policy {
                found.one_of(&path.field(field), policy, &["Honor", "Ignore"]);
            }
        }
        let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
        let selector = constraint.label_selector.as_ref();
        label_keys(found, &path.field("matchLabelKeys"), keys, selector);
        for (index, key) in keys.iter().enumerate() {
            if selector.is_some_and(|selector| selects_by(selector, key)) {
                let message = "exists in both matchLabelKeys and labelSelector";
                let at = path.field("matchLabelKeys").index(index);
                found.add(Diagnostic::invalid(&at, key, message));
            }
        }
        if let Some(selector) = &constraint.label_selector {
            label_selector(found, &path.field("labelSelector"), selector);
        }
    }
}

fn selects_by(selector: &LabelSelector, key: &str) -> bool {
    let labels = selector.match_labels.as_ref();
    let expressions = selector.match_expressions.iter().flatten();
    labels.is_some_and(|labels| labels.contains_key(key))
        || expressions
            .take(MAX_PROBLEMS)
            .any(|expression| expression.key == key)
}

fn constraint_key(constraint: &TopologySpreadConstraint) -> (&str, &str) {
    (&constraint.topology_key, &constraint.when_unsatisfiable)
}

/// Of two equal constraints the first is blamed.
fn repeated(found: &mut Found, path: &Path, constraint: &TopologySpreadConstraint) {
    let (key, action) = constraint_key(constraint);
    let printed = path.field_named("{topologyKey, whenUnsatisfiable}");
    let value = format!("{{{key}, {action}}}");
    found.add(Diagnostic::duplicate(&printed, &value).located_at(path.clone()));
}

fn min_domains(found: &mut Found, path: &Path, constraint: &TopologySpreadConstraint) {
    let Some(domains) = constraint.min_domains else {
        return;
    };
    let at = path.field("minDomains");
    if domains <= 0 {
        found.number(&at, domains, "must be greater than zero");
    }
    if constraint.when_unsatisfiable != "DoNotSchedule" {
        let message = format!(
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
            constraint.when_unsatisfiable
        );
        found.number(&at, domains, &message);
    }
}

pub(super) fn tolerations(found: &mut Found, path: &Path, spec: &PodSpec) {
    for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
        let path = path.index(index);
        let key = text(toleration.key.as_ref());
        let operator = text(toleration.operator.as_ref());
        let effect = text(toleration.effect.as_ref());
        let value = text(toleration.value.as_ref());
        let at = path.field("operator");
        if !key.is_empty() {
            found.each(&path.field("key"), key, names::qualified_name(key));
        } else if operator != "Exists" {
            let message = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            found.add(Diagnostic::invalid(&at, operator, message));
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let message = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            found.add(Diagnostic::invalid(&path.field("effect"), effect, message));
        }
        match operator {
            "" | "Equal" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    let diagnostic = Diagnostic::invalid(&at, value, &messages.join(";"));
                    found.add(diagnostic.located_at(path.field("value")));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => {
                let diagnostic = Diagnostic::invalid(
                    &at,
                    value,
                    "value must be empty when `operator` is 'Exists'",
                );
                found.add(diagnostic.located_at(path.field("value")));
            }
            // Known, but behind a feature gate that is off.
            "Lt" | "Gt" => found.add(Diagnostic::unsupported(
                &at,
                operator,
                &["Equal", "Exists", "Lt", "Gt"],
            )),
            _ => found.add(Diagnostic::unsupported(&at, operator, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            found.one_of(
                &path.field("effect"),
                effect,
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            );
        }
    }
}
