//! When a Job may be over before all of its indexes have succeeded.

use k8s_openapi::api::batch::v1::{JobSpec, SuccessPolicy, SuccessPolicyRule};

use super::Found;
use crate::diagnostic::Diagnostic;
use crate::go::json_string;
use crate::path::Path;
use crate::workloads::indexes::{how_many, indexes};

const MAX_RULES: usize = 20;
const MAX_BYTES: usize = 64 * 1024;

pub(super) fn success_policy(
    found: &mut Found,
    path: &Path,
    spec: &JobSpec,
    policy: &SuccessPolicy,
) {
    if spec.completion_mode.as_deref() != Some("Indexed") {
        let message = "requires indexed completion mode";
        found.add(Diagnostic::invalid_json(path, &printed(policy), message));
        return;
    }
    let path = path.field("rules");
    if policy.rules.is_empty() {
        let message = "at least one rules must be specified when the successPolicy is specified";
        found.add(Diagnostic::required(&path, message));
    }
    if policy.rules.len() > MAX_RULES {
        found.add(Diagnostic::too_many(&path, policy.rules.len(), MAX_RULES));
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        self::rule(found, &path.index(index), spec, rule);
    }
}

fn rule(found: &mut Found, path: &Path, spec: &JobSpec, rule: &SuccessPolicyRule) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let message = "at least one of succeededCount or succeededIndexes must be specified";
        found.add(Diagnostic::required(path, message));
    }
    // Without completions, that they are missing is error enough.
    let completions = spec.completions.unwrap_or(i32::MAX);
    let mut listed = 0;
    if let Some(text) = &rule.succeeded_indexes {
        let path = path.field("succeededIndexes");
        if text.len() > MAX_BYTES {
            found.add(Diagnostic::too_long(&path, MAX_BYTES));
        }
        match indexes(text, completions) {
            Ok(ranges) => listed = how_many(&ranges),
            Err(error) => {
                let message = format!("error parsing succeededIndexes: {error}");
                found.add(Diagnostic::invalid(&path, text, &message));
            }
        }
    }
    if let Some(count) = rule.succeeded_count {
        let path = path.field("succeededCount");
        found.not_negative(&path, Some(count));
        if count > completions {
            let message = format!(
                "must be less than or equal to {completions} (the number of specified completions)"
            );
            found.number(&path, count, &message);
        }
        if rule.succeeded_indexes.is_some() && i64::from(count) > listed {
            let message = format!(
                "must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes field)"
            );
            found.number(&path, count, &message);
        }
    }
}

/// The policy as the API server prints it.
fn printed(policy: &SuccessPolicy) -> String {
    if policy.rules.is_empty() {
        return r#"{"Rules":null}"#.to_owned();
    }
    let rules: Vec<String> = policy
        .rules
        .iter()
        .map(|rule| {
            let null = || "null".to_owned();
            let indexes = rule
                .succeeded_indexes
                .as_deref()
                .map_or_else(null, json_string);
            let count = rule
                .succeeded_count
                .map_or_else(null, |count| count.to_string());
            format!(r#"{{"SucceededIndexes":{indexes},"SucceededCount":{count}}}"#)
        })
        .collect();
    format!(r#"{{"Rules":[{}]}}"#, rules.join(","))
}
