//! Jobs and CronJobs.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{
    CronJobSpec, JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};

use super::pod::text;
use super::success::success_policy;
use super::{Found, pod, selectors};
use crate::diagnostic::Diagnostic;
use crate::go::json_map;
use crate::names;
use crate::path::Path;
use crate::workloads::cron;

const MAX_INDEXES: i32 = 100_000;
/// Of an Indexed Job with more indexes than [`MAX_INDEXES`].
const MAX_OF_HIGH: i32 = 10_000;
const MAX_MANAGER: usize = 63;
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_CRON_NAME: usize = 52;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn job(found: &mut Found, path: &Path, spec: &JobSpec, name: &str) {
    // Unless it is written by hand, the selector is made together with the labels and always fits.
    if spec.manual_selector == Some(true) {
        match &spec.selector {
            None => found.add(Diagnostic::required(&path.field("selector"), "")),
            Some(selector) => {
                selectors::label_selector(found, &path.field("selector"), selector);
            }
        }
    }
    job_spec(found, path, spec);
    if let Some(selector) = &spec.selector
        && spec.manual_selector == Some(true)
    {
        let metadata = spec.template.metadata.as_ref();
        let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
        if !selectors::matches(selector, labels) {
            let message = "`selector` does not match template `labels`";
            let path = path.field("template.metadata.labels");
            found.add(Diagnostic::invalid_json(&path, &json_map(labels), message));
        }
    }
    if is_indexed(spec)
        && let Some(last) = spec.completions.filter(|count| *count > 0)
    {
        for message in names::dns_label(&format!("{name}-{}", last - 1)) {
            let message = format!("will not able to create pod with invalid DNS label: {message}");
            found.add(Diagnostic::invalid(
                &Path::fields("metadata.name"),
                name,
                &message,
            ));
        }
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

fn job_spec(found: &mut Found, path: &Path, spec: &JobSpec) {
    found.not_negative(&path.field("parallelism"), spec.parallelism);
    found.not_negative(&path.field("completions"), spec.completions);
    found.not_negative(
        &path.field("activeDeadlineSeconds"),
        spec.active_deadline_seconds,
    );
    found.not_negative(&path.field("backoffLimit"), spec.backoff_limit);
    found.not_negative(
        &path.field("ttlSecondsAfterFinished"),
        spec.ttl_seconds_after_finished,
    );
    found.not_negative(
        &path.field("backoffLimitPerIndex"),
        spec.backoff_limit_per_index,
    );
    if spec.max_failed_indexes.is_some() {
        found.not_negative(&path.field("maxFailedIndexes"), spec.max_failed_indexes);
        if spec.backoff_limit_per_index.is_none() {
            let message = "when maxFailedIndexes is specified";
            found.add(Diagnostic::required(
                &path.field("backoffLimitPerIndex"),
                message,
            ));
        }
    }
    if let Some(manager) = &spec.managed_by {
        managed_by(found, &path.field("managedBy"), manager);
    }
    completion_mode(found, path, spec);
    if let Some(policy) = &spec.pod_failure_policy {
        let path = path.field("podFailurePolicy.rules");
        if policy.rules.len() > MAX_RULES {
            found.add(Diagnostic::too_many(&path, policy.rules.len(), MAX_RULES));
        }
        let containers: BTreeSet<&str> = spec
            .template
            .spec
            .iter()
            .flat_map(|spec| {
                spec.init_containers
                    .iter()
                    .flatten()
                    .chain(&spec.containers)
            })
            .map(|container| container.name.as_str())
            .collect();
        for (index, rule) in policy.rules.iter().enumerate() {
            failure_rule(found, &path.index(index), rule, spec, &containers);
        }
    }
    if let Some(policy) = &spec.success_policy {
        success_policy(found, &path.field("successPolicy"), spec, policy);
    }
    let replacement = text(spec.pod_replacement_policy.as_ref());
    let supported: &[&str] = if spec.pod_failure_policy.is_some() {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    found.one_of(&path.field("podReplacementPolicy"), replacement, supported);
    pod::template(found, &path.field("template"), &spec.template);
    restart_policy(found, path, spec);
}

fn completion_mode(found: &mut Found, path: &Path, spec: &JobSpec) {
    found.one_of(
        &path.field("completionMode"),
        text(spec.completion_mode.as_ref()),
        &["NonIndexed", "Indexed"],
    );
    if is_indexed(spec) {
        if spec.completions.is_none() {
            let message = "when completion mode is Indexed";
            found.add(Diagnostic::required(&path.field("completions"), message));
        }
        indexed_limits(found, path, spec);
        return;
    }
    for (field, number) in [
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ] {
        if let Some(number) = number {
            found.number(
                &path.field(field),
                number,
                "requires indexed completion mode",
            );
        }
    }
}

/// How large an Indexed Job may be.
fn indexed_limits(found: &mut Found, path: &Path, spec: &JobSpec) {
    let parallelism = path.field("parallelism");
    let most_failed = path.field("maxFailedIndexes");
    let most = spec.max_failed_indexes;
    if let Some(count) = spec.parallelism.filter(|count| *count > MAX_INDEXES) {
        let message =
            format!("must be less than or equal to {MAX_INDEXES} when completion mode is Indexed");
        found.number(&parallelism, count, &message);
    }
    if let (Some(most), Some(completions)) = (most, spec.completions)
        && most > completions
    {
        let message = "must be less than or equal to completions";
        found.number(&most_failed, most, message);
    }
    if let Some(most) = most.filter(|most| *most > MAX_INDEXES) {
        let message = format!("must be less than or equal to {MAX_INDEXES}");
        found.number(&most_failed, most, &message);
    }
    let is_high = spec.completions.is_some_and(|count| count > MAX_INDEXES);
    if !is_high || spec.backoff_limit_per_index.is_none() {
        return;
    }
    if most.is_none() {
        let message = format!("must be specified when completions is above {MAX_INDEXES}");
        found.add(Diagnostic::required(&most_failed, &message));
    }
    let message = format!(
        "must be less than or equal to {MAX_OF_HIGH} when completions are above {MAX_INDEXES} and used with backoff limit per index"
    );
    for (path, count) in [(parallelism, spec.parallelism), (most_failed, most)] {
        if let Some(count) = count.filter(|count| *count > MAX_OF_HIGH) {
            found.number(&path, count, &message);
        }
    }
}

fn managed_by(found: &mut Found, path: &Path, name: &str) {
    match name.split_once('/') {
        _ if name.is_empty() => found.add(Diagnostic::required(path, "")),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            for message in names::dns_subdomain(host) {
                found.add(Diagnostic::invalid(path, host, &message));
            }
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(is_plain) {
                let message = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";
                found.add(Diagnostic::invalid(path, rest, message));
            }
        }
        _ => {
            let message = r#"must be a domain-prefixed path (such as "acme.io/foo")"#;
            found.add(Diagnostic::invalid(path, name, message));
        }
    }
    if name.len() > MAX_MANAGER {
        found.add(Diagnostic::too_long(path, MAX_MANAGER));
    }
}

/// A job's pods end some day: Always is refused, and since it is the default, something must be said.
fn restart_policy(found: &mut Found, path: &Path, spec: &JobSpec) {
    let path = path.field("template.spec.restartPolicy");
    let policy = spec
        .template
        .spec
        .as_ref()
        .map_or("", |spec| text(spec.restart_policy.as_ref()));
    match policy {
        "" | "Always" => {
            let message = r#"valid values: "OnFailure", "Never""#;
            found.add(Diagnostic::required(&path, message).with_hint(
                "`restartPolicy: Never` makes a new pod after a failure, `OnFailure` restarts the container",
            ));
        }
        "OnFailure" if spec.pod_failure_policy.is_some() => found.add(Diagnostic::invalid(
            &path,
            policy,
            r#"only "Never" is supported when podFailurePolicy is specified"#,
        )),
        _ => found.one_of(&path, policy, &["OnFailure", "Never"]),
    }
}

fn failure_rule(
    found: &mut Found,
    path: &Path,
    rule: &PodFailurePolicyRule,
    spec: &JobSpec,
    containers: &BTreeSet<&str>,
) {
    let action = path.field("action");
    match rule.action.as_str() {
        "" => found.add(Diagnostic::required(
            &action,
            r#"valid values: ["Count" "FailIndex" "FailJob" "Ignore"]"#,
        )),
        "FailIndex" if spec.backoff_limit_per_index.is_none() => found.add(Diagnostic::invalid(
            &action,
            &rule.action,
            "requires the backoffLimitPerIndex to be set",
        )),
        other => found.one_of(&action, other, ACTIONS),
    }
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(found, &path.field("onExitCodes"), codes, containers);
    }
    let conditions = rule.on_pod_conditions.as_deref().unwrap_or_default();
    for (index, pattern) in conditions.iter().enumerate() {
        let path = path.field("onPodConditions").index(index);
        found.each(
            &path.field("type"),
            &pattern.type_,
            names::qualified_name(&pattern.type_),
        );
        found.one_of(
            &path.field("status"),
            text(pattern.status.as_ref()),
            &["False", "True", "Unknown"],
        );
    }
    let message = match (&rule.on_exit_codes, conditions.is_empty()) {
        (Some(_), false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (None, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    found.add(Diagnostic::invalid_without_value(path, message));
}

fn exit_codes(
    found: &mut Found,
    path: &Path,
    codes: &PodFailurePolicyOnExitCodesRequirement,
    containers: &BTreeSet<&str>,
) {
    match codes.operator.as_str() {
        "" => found.add(Diagnostic::required(
            &path.field("operator"),
            r#"valid values: ["In" "NotIn"]"#,
        )),
        other => found.one_of(&path.field("operator"), other, &["In", "NotIn"]),
    }
    if let Some(name) = &codes.container_name
        && !containers.contains(name.as_str())
    {
        let message = "must be one of the container or initContainer names in the pod template";
        let path = path.field("containerName");
        found.add(Diagnostic::invalid(&path, name, message));
    }
    let values = path.field("values");
    let list: Vec<String> = codes.values.iter().map(i32::to_string).collect();
    let list = format!("[{}]", list.join(","));
    if codes.values.is_empty() {
        found.add(Diagnostic::invalid_json(
            &values,
            "null",
            "at least one value is required",
        ));
    } else if codes.values.len() > MAX_EXIT_CODES {
        found.add(Diagnostic::too_many(
            &values,
            codes.values.len(),
            MAX_EXIT_CODES,
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, code) in codes.values.iter().enumerate() {
        let path = values.index(index);
        if codes.operator == "In" && *code == 0 {
            found.number(&path, code, "must not be 0 for the In operator");
        }
        if !seen.insert(*code) {
            found.add(Diagnostic::duplicate_json(&path, &code.to_string()));
        }
    }
    if !codes.values.is_sorted() {
        found.add(Diagnostic::invalid_json(&values, &list, "must be ordered"));
    }
}

pub(super) fn cron_job(found: &mut Found, path: &Path, spec: &CronJobSpec, name: &str) {
    let at = path.field("schedule");
    if spec.schedule.is_empty() {
        found.add(Diagnostic::required(&at, ""));
    } else if let Err(error) = cron::Schedule::parse(&spec.schedule) {
        found.add(Diagnostic::invalid(&at, &spec.schedule, &error));
    }
    found.not_negative(
        &path.field("startingDeadlineSeconds"),
        spec.starting_deadline_seconds,
    );
    let policy = text(spec.concurrency_policy.as_ref());
    found.one_of(
        &path.field("concurrencyPolicy"),
        policy,
        &["Allow", "Forbid", "Replace"],
    );
    let none = JobSpec::default();
    let template = spec.job_template.spec.as_ref().unwrap_or(&none);
    job_spec(found, &path.field("jobTemplate.spec"), template);
    found.not_negative(
        &path.field("successfulJobsHistoryLimit"),
        spec.successful_jobs_history_limit,
    );
    found.not_negative(
        &path.field("failedJobsHistoryLimit"),
        spec.failed_jobs_history_limit,
    );
    if name.len() > MAX_CRON_NAME {
        let message = format!("must be no more than {MAX_CRON_NAME} characters");
        found.add(Diagnostic::invalid(
            &Path::fields("metadata.name"),
            name,
            &message,
        ));
    }
}
