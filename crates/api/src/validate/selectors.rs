//! Selectors of labels and of nodes.

use std::collections::BTreeMap;

use super::Found;
use super::metadata::labels;
use crate::core::{NodeSelector, NodeSelectorTerm};
use crate::diagnostic::Diagnostic;
use crate::meta::LabelSelector;
use crate::names;
use crate::path::Path;

pub(super) fn label_selector(found: &mut Found, path: &Path, selector: &LabelSelector) {
    labels(
        found,
        &path.field("matchLabels"),
        selector.match_labels.as_ref(),
    );
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.field("matchExpressions").index(index);
        let values = expression.values.as_deref().unwrap_or_default();
        match expression.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => found.add(Diagnostic::required(
                &path.field("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => found.add(Diagnostic::forbidden(
                &path.field("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => found.add(Diagnostic::invalid(
                &path.field("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        found.each(
            &path.field("key"),
            &expression.key,
            names::qualified_name(&expression.key),
        );
        for (index, value) in values.iter().enumerate() {
            found.each(
                &path.field("values").index(index),
                value,
                names::label_value(value),
            );
        }
    }
}

/// Whether `labels` are what `selector` looks for. An empty selector looks for everything.
pub(super) fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &String| labels.and_then(|labels| labels.get(key));
    let labels_match = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, wanted)| value(key) == Some(wanted));
    labels_match
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|expression| {
                let wanted = expression.values.as_deref().unwrap_or_default();
                let value = value(&expression.key);
                match expression.operator.as_str() {
                    "In" => value.is_some_and(|value| wanted.contains(value)),
                    "NotIn" => value.is_none_or(|value| !wanted.contains(value)),
                    "Exists" => value.is_some(),
                    _ => value.is_none(),
                }
            })
}

pub(super) fn node_selector(found: &mut Found, path: &Path, selector: &NodeSelector) {
    let path = path.field("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        found.add(Diagnostic::required(
            &path,
            "must have at least one node selector term",
        ));
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        node_selector_term(found, &path.index(index), term);
    }
}

pub(super) fn node_selector_term(found: &mut Found, path: &Path, term: &NodeSelectorTerm) {
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.field("matchExpressions").index(index);
        let count = requirement.values.as_ref().map_or(0, Vec::len);
        match requirement.operator.as_str() {
            "In" | "NotIn" if count == 0 => found.add(Diagnostic::required(
                &path.field("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if count > 0 => found.add(Diagnostic::forbidden(
                &path.field("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Gt" | "Lt" if count != 1 => found.add(Diagnostic::required(
                &path.field("values"),
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => found.add(Diagnostic::invalid(
                &path.field("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        found.each(
            &path.field("key"),
            &requirement.key,
            names::qualified_name(&requirement.key),
        );
    }
    for (index, requirement) in term.match_fields.iter().flatten().enumerate() {
        let path = path.field("matchFields").index(index);
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.len() != 1 => found.add(Diagnostic::required(
                &path.field("values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            )),
            "In" | "NotIn" => {}
            other => found.add(Diagnostic::invalid(
                &path.field("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        if requirement.key != "metadata.name" {
            found.add(Diagnostic::invalid(
                &path.field("key"),
                &requirement.key,
                "not a valid field selector key",
            ));
        } else {
            for (index, name) in values.iter().enumerate() {
                found.subdomain(&path.field("values").index(index), name);
            }
        }
    }
}
