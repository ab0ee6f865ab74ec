//! Restart policies and rules of a single container, and what a resize may restart.

use std::collections::BTreeSet;

use super::Found;
use super::pod::text;
use crate::core::{Container, PodSpec};
use crate::diagnostic::Diagnostic;
use crate::path::Path;

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

pub(super) fn container(found: &mut Found, path: &Path, container: &Container) {
    let rules = container
        .restart_policy_rules
        .as_deref()
        .unwrap_or_default();
    match &container.restart_policy {
        None if rules.is_empty() => {}
        None => found.add(
            Diagnostic::required(
                &path.field("restartPolicy"),
                "must specify restartPolicy when restart rules are used",
            )
            .located_at(path.field("restartPolicyRules")),
        ),
        Some(policy) => found.one_of(
            &path.field("restartPolicy"),
            policy,
            &["Always", "Never", "OnFailure"],
        ),
    }
    let path = path.field("restartPolicyRules");
    if rules.len() > MAX_RULES {
        found.add(Diagnostic::too_many(&path, rules.len(), MAX_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        found.one_of(
            &path.field("action"),
            &rule.action,
            &["Restart", "RestartAllContainers"],
        );
        let path = path.field("exitCodes");
        let Some(exit_codes) = &rule.exit_codes else {
            found.add(Diagnostic::required(&path, "must be specified"));
            continue;
        };
        found.one_of(
            &path.field("operator"),
            &exit_codes.operator,
            &["In", "NotIn"],
        );
        let count = exit_codes.values.as_ref().map_or(0, Vec::len);
        if count > MAX_EXIT_CODES {
            found.add(Diagnostic::too_many(
                &path.field("values"),
                count,
                MAX_EXIT_CODES,
            ));
        }
    }
}

pub(super) fn resize_policy(found: &mut Found, path: &Path, container: &Container, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        if !seen.insert(policy.resource_name.as_str()) {
            found.add(Diagnostic::duplicate(
                &path.index(index),
                &policy.resource_name,
            ));
        }
        for (text, supported) in [
            (&policy.resource_name, ["cpu", "memory"]),
            (&policy.restart_policy, ["NotRequired", "RestartContainer"]),
        ] {
            if text.is_empty() {
                found.add(Diagnostic::required(path, "").located_at(path.index(index)));
            } else if !supported.contains(&text.as_str()) {
                found.add(
                    Diagnostic::unsupported(path, text, &supported).located_at(path.index(index)),
                );
            }
        }
        if text(spec.restart_policy.as_ref()) == "Never" && policy.restart_policy != "NotRequired" {
            let message = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            let diagnostic = Diagnostic::invalid(path, &policy.restart_policy, message);
            found.add(diagnostic.located_at(path.index(index).field("restartPolicy")));
        }
    }
}

pub(super) fn resize_of_init(found: &mut Found, path: &Path, container: &Container) {
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        if policy.restart_policy == "RestartContainer" {
            let message = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            let path = path.index(index).field("restartPolicy");
            found.add(Diagnostic::invalid(&path, &policy.restart_policy, message));
        }
    }
}
