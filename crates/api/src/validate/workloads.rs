//! Deployments, ReplicaSets, StatefulSets and DaemonSets.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec, StatefulSetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::common::NOT_NEGATIVE;
use super::pod::text;
use super::{Found, claims, jobs, metadata, pod, selectors};
use crate::core::{PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume};
use crate::diagnostic::Diagnostic;
use crate::go::{json_map, json_string};
use crate::meta::LabelSelector;
use crate::names;
use crate::path::Path;
use crate::workloads::Workload;
use crate::workloads::pods::add_volumes;

/// Everything that is wrong with a defaulted workload. `has_selector` says whether the manifest has one at all, which an
/// empty one does not tell.
#[must_use]
pub fn workload(workload: &Workload, has_selector: bool) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata::metadata(&mut found, &Path::fields("metadata"), workload.metadata());
    let path = Path::fields("spec");
    match workload {
        Workload::Deployment(object) => {
            let spec = object.spec.clone().unwrap_or_default();
            deployment(&mut found, &path, &spec, has_selector);
        }
        Workload::ReplicaSet(object) => {
            let spec = object.spec.clone().unwrap_or_default();
            replica_set(&mut found, &path, &spec, has_selector);
        }
        Workload::StatefulSet(object) => {
            let spec = object.spec.clone().unwrap_or_default();
            stateful_set(&mut found, &path, &spec, has_selector);
        }
        Workload::DaemonSet(object) => {
            let spec = object.spec.clone().unwrap_or_default();
            daemon_set(&mut found, &path, &spec, has_selector);
        }
        Workload::Job(object) => {
            let spec = object.spec.clone().unwrap_or_default();
            jobs::job(
                &mut found,
                &path,
                &spec,
                text(object.metadata.name.as_ref()),
            );
        }
        Workload::CronJob(object) => {
            jobs::cron_job(
                &mut found,
                &path,
                &object.spec,
                text(object.metadata.name.as_ref()),
            );
        }
    }
    found.0
}

impl Found {
    pub(super) fn not_negative(&mut self, path: &Path, number: Option<impl Into<i64>>) {
        if let Some(number) = number.map(Into::into).filter(|number| *number < 0) {
            self.number(path, number, NOT_NEGATIVE);
        }
    }
}

fn deployment(found: &mut Found, path: &Path, spec: &DeploymentSpec, has_selector: bool) {
    found.not_negative(&path.field("replicas"), spec.replicas);
    selector(found, path, &spec.selector, has_selector, "deployment");
    matches_template(found, path, &spec.selector, has_selector, &spec.template);
    pod::template(found, &path.field("template"), &spec.template);
    always_running(found, path, &spec.template, "ReplicaSet");
    strategy(found, &path.field("strategy"), spec);
    found.not_negative(&path.field("minReadySeconds"), spec.min_ready_seconds);
    found.not_negative(
        &path.field("revisionHistoryLimit"),
        spec.revision_history_limit,
    );
    let at = path.field("progressDeadlineSeconds");
    found.not_negative(&at, spec.progress_deadline_seconds);
    let ready = spec.min_ready_seconds.unwrap_or_default();
    if let Some(deadline) = spec
        .progress_deadline_seconds
        .filter(|deadline| *deadline <= ready)
    {
        let message = format!("must be greater than minReadySeconds ({ready})");
        found.number(&at, deadline, &message);
    }
}

fn strategy(found: &mut Found, path: &Path, spec: &DeploymentSpec) {
    let strategy = spec.strategy.clone().unwrap_or_default();
    let rolling = strategy.rolling_update.as_ref();
    match text(strategy.type_.as_ref()) {
        "Recreate" => {
            if rolling.is_some() {
                let message = "may not be specified when strategy `type` is 'Recreate'";
                found.add(Diagnostic::forbidden(&path.field("rollingUpdate"), message));
            }
        }
        "RollingUpdate" => {
            let path = path.field("rollingUpdate");
            let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
            let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
            share(found, &path.field("maxUnavailable"), unavailable);
            share(found, &path.field("maxSurge"), surge);
            if let (Some(unavailable), Some(0)) = (unavailable, surge.and_then(amount))
                && amount(unavailable) == Some(0)
            {
                let message = "may not be 0 when `maxSurge` is 0";
                let value = printed(unavailable);
                let at = path.field("maxUnavailable");
                found.add(Diagnostic::invalid_json(&at, &value, message));
            }
            at_most_all(found, &path.field("maxUnavailable"), unavailable);
        }
        other => {
            let value = format!(r#"{{"Type":{},"RollingUpdate":null}}"#, json_string(other));
            let supported = ["Recreate", "RollingUpdate"];
            let diagnostic = Diagnostic::unsupported_json(path, &value, &supported);
            found.add(diagnostic.located_at(path.field("type")));
        }
    }
}

/// A number of pods, or a percentage of them.
fn share(found: &mut Found, path: &Path, share: Option<&IntOrString>) {
    match share {
        Some(IntOrString::String(percent)) if !names::is_percent(percent) => {
            let message = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            found.add(Diagnostic::invalid_json(
                path,
                &json_string(percent),
                message,
            ));
        }
        Some(IntOrString::Int(number)) => found.not_negative(path, Some(*number)),
        _ => {}
    }
}

fn at_most_all(found: &mut Found, path: &Path, share: Option<&IntOrString>) {
    if let Some(share @ IntOrString::String(_)) = share
        && amount(share).is_some_and(|percent| percent > 100)
    {
        let message = "must not be greater than 100%";
        found.add(Diagnostic::invalid_json(path, &printed(share), message));
    }
}

/// The number, or the number of percent.
fn amount(share: &IntOrString) -> Option<i64> {
    match share {
        IntOrString::Int(number) => Some(i64::from(*number)),
        IntOrString::String(text) => text.strip_suffix('%')?.parse().ok(),
    }
}

fn printed(share: &IntOrString) -> String {
    match share {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => json_string(text),
    }
}

fn replica_set(found: &mut Found, path: &Path, spec: &ReplicaSetSpec, has_selector: bool) {
    let template = spec.template.clone().unwrap_or_default();
    found.not_negative(&path.field("replicas"), spec.replicas);
    found.not_negative(&path.field("minReadySeconds"), spec.min_ready_seconds);
    selector(found, path, &spec.selector, has_selector, "deployment");
    matches_template(found, path, &spec.selector, has_selector, &template);
    pod::template(found, &path.field("template"), &template);
    always_running(found, path, &template, "ReplicaSet");
}

fn stateful_set(found: &mut Found, path: &Path, spec: &StatefulSetSpec, has_selector: bool) {
    let policy = text(spec.pod_management_policy.as_ref());
    if !matches!(policy, "OrderedReady" | "Parallel") {
        let message = "must be 'OrderedReady' or 'Parallel'";
        found.add(Diagnostic::invalid(
            &path.field("podManagementPolicy"),
            policy,
            message,
        ));
    }
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let at = path.field("updateStrategy");
    match text(strategy.type_.as_ref()) {
        "RollingUpdate" => {
            let rolling = strategy.rolling_update.unwrap_or_default();
            found.not_negative(&at.field("rollingUpdate.partition"), rolling.partition);
        }
        "OnDelete" => {}
        other => {
            let value = format!(r#"{{"Type":{},"RollingUpdate":null}}"#, json_string(other));
            let message = "must be 'RollingUpdate' or 'OnDelete'";
            let diagnostic = Diagnostic::invalid_json(&at, &value, message);
            found.add(diagnostic.located_at(at.field("type")));
        }
    }
    let retention = spec.persistent_volume_claim_retention_policy.clone();
    let retention = retention.unwrap_or_default();
    for (field, policy) in [
        ("whenDeleted", &retention.when_deleted),
        ("whenScaled", &retention.when_scaled),
    ] {
        let at = path
            .field("persistentVolumeClaimRetentionPolicy")
            .field(field);
        found.one_of(&at, text(policy.as_ref()), &["Delete", "Retain"]);
    }
    found.not_negative(&path.field("replicas"), spec.replicas);
    found.not_negative(&path.field("minReadySeconds"), spec.min_ready_seconds);
    if let Some(ordinals) = &spec.ordinals {
        found.not_negative(&path.field("ordinals.start"), ordinals.start);
    }
    selector(found, path, &spec.selector, has_selector, "statefulset");
    matches_template(found, path, &spec.selector, has_selector, &spec.template);
    let with_claims = with_claim_volumes(spec);
    pod::template(found, &path.field("template"), &with_claims);
    always_running(found, path, &spec.template, "StatefulSet");
    if let Some(name) = spec.service_name.as_deref().filter(|name| !name.is_empty()) {
        found.label(&path.field("serviceName"), name);
    }
    for (index, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
        let none = crate::core::PersistentVolumeClaimSpec::default();
        let claim_spec = claim.spec.as_ref().unwrap_or(&none);
        let path = path.field("volumeClaimTemplates").index(index);
        claims::claim(found, &path.field("spec"), claim_spec);
    }
}

/// Mounts may refer to the claim templates as if they were volumes.
fn with_claim_volumes(spec: &StatefulSetSpec) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let claims = spec.volume_claim_templates.iter().flatten();
    let own = claims.map(|claim| {
        let name = claim.metadata.name.clone().unwrap_or_default();
        Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.clone(),
                read_only: None,
            }),
            name,
            ..Volume::default()
        }
    });
    let own = own.collect();
    add_volumes(template.spec.get_or_insert_default(), own);
    template
}

fn daemon_set(found: &mut Found, path: &Path, spec: &DaemonSetSpec, has_selector: bool) {
    if has_selector {
        selectors::label_selector(found, &path.field("selector"), &spec.selector);
    }
    matches_template(found, path, &spec.selector, has_selector, &spec.template);
    if has_selector {
        not_empty(found, path, &spec.selector, "daemonset");
    }
    pod::template(found, &path.field("template"), &spec.template);
    always_running(found, path, &spec.template, "DaemonSet");
    found.not_negative(&path.field("minReadySeconds"), spec.min_ready_seconds);
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let at = path.field("updateStrategy");
    match text(strategy.type_.as_ref()) {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.rolling_update.unwrap_or_default();
            let at = at.field("rollingUpdate");
            share(
                found,
                &at.field("maxUnavailable"),
                rolling.max_unavailable.as_ref(),
            );
            share(found, &at.field("maxSurge"), rolling.max_surge.as_ref());
        }
        other => {
            let value = format!(r#"{{"Type":{},"RollingUpdate":null}}"#, json_string(other));
            let supported = ["OnDelete", "RollingUpdate"];
            let diagnostic = Diagnostic::unsupported_json(&at, &value, &supported);
            found.add(diagnostic.located_at(at.field("type")));
        }
    }
    found.not_negative(
        &path.field("revisionHistoryLimit"),
        spec.revision_history_limit,
    );
}

fn selector(found: &mut Found, path: &Path, selector: &LabelSelector, given: bool, of: &str) {
    if !given {
        found.add(Diagnostic::required(&path.field("selector"), ""));
        return;
    }
    selectors::label_selector(found, &path.field("selector"), selector);
    not_empty(found, path, selector, of);
}

fn not_empty(found: &mut Found, path: &Path, selector: &LabelSelector, of: &str) {
    let labels = selector.match_labels.as_ref().map_or(0, BTreeMap::len);
    let expressions = selector.match_expressions.as_ref().map_or(0, Vec::len);
    if labels + expressions == 0 {
        let message = format!("empty selector is invalid for {of}");
        found.add(Diagnostic::invalid_json(
            &path.field("selector"),
            "{}",
            &message,
        ));
    }
}

/// The pods of a workload must be the ones that it looks for.
fn matches_template(
    found: &mut Found,
    path: &Path,
    selector: &LabelSelector,
    has_selector: bool,
    template: &PodTemplateSpec,
) {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref());
    // A selector that is not there selects nothing; one that is empty selects everything.
    if has_selector && selectors::matches(selector, labels) {
        return;
    }
    let message = "`selector` does not match template `labels`";
    let path = path.field("template.metadata.labels");
    found.add(Diagnostic::invalid_json(&path, &json_map(labels), message));
}

fn always_running(found: &mut Found, path: &Path, template: &PodTemplateSpec, of: &str) {
    let Some(spec) = &template.spec else { return };
    let path = path.field("template.spec");
    found.one_of(
        &path.field("restartPolicy"),
        text(spec.restart_policy.as_ref()),
        &["Always"],
    );
    if spec.active_deadline_seconds.is_some() {
        let message = format!("activeDeadlineSeconds in {of} is not Supported");
        found.add(Diagnostic::forbidden(
            &path.field("activeDeadlineSeconds"),
            &message,
        ));
    }
}
