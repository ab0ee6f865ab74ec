//! Defaults of the kinds that hold a pod template, and of Services.

use k8s_openapi::api::apps::v1::{
    DaemonSetSpec, DeploymentSpec, RollingUpdateDaemonSet, RollingUpdateDeployment,
    RollingUpdateStatefulSetStrategy, StatefulSetSpec,
};
use k8s_openapi::api::batch::v1::{CronJobSpec, JobSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{default_to, gates, persistent_volume_claim};
use crate::core::{PodTemplateSpec, Service};
use crate::workloads::Workload;

/// Fills in everything the manifest left out. Applying twice changes nothing.
pub fn workload(workload: &mut Workload) {
    default_to(&mut workload.metadata_mut().namespace, "default");
    match workload {
        Workload::Deployment(object) => deployment(object.spec.get_or_insert_default()),
        Workload::ReplicaSet(object) => {
            let spec = object.spec.get_or_insert_default();
            spec.replicas.get_or_insert(1);
            template(spec.template.get_or_insert_default());
        }
        Workload::StatefulSet(object) => stateful_set(object.spec.get_or_insert_default()),
        Workload::DaemonSet(object) => daemon_set(object.spec.get_or_insert_default()),
        Workload::Job(object) => {
            let spec = object.spec.get_or_insert_default();
            job(spec);
            let labels = spec
                .template
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.labels.clone());
            if object
                .metadata
                .labels
                .as_ref()
                .is_none_or(|labels| labels.is_empty())
            {
                object.metadata.labels = labels;
            }
        }
        Workload::CronJob(object) => cron_job(&mut object.spec),
    }
}

fn template(template: &mut PodTemplateSpec) {
    let spec = template.spec.get_or_insert_default();
    gates::drop_disabled(spec);
    super::template(spec);
}

fn deployment(spec: &mut DeploymentSpec) {
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
    let strategy = spec.strategy.get_or_insert_default();
    default_to(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling: &mut RollingUpdateDeployment = strategy.rolling_update.get_or_insert_default();
        for share in [&mut rolling.max_unavailable, &mut rolling.max_surge] {
            share.get_or_insert_with(|| IntOrString::String("25%".to_owned()));
        }
    }
    template(&mut spec.template);
}

fn stateful_set(spec: &mut StatefulSetSpec) {
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    default_to(&mut spec.pod_management_policy, "OrderedReady");
    let strategy = spec.update_strategy.get_or_insert_default();
    default_to(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling: &mut RollingUpdateStatefulSetStrategy =
            strategy.rolling_update.get_or_insert_default();
        rolling.partition.get_or_insert(0);
    }
    let retention = spec
        .persistent_volume_claim_retention_policy
        .get_or_insert_default();
    default_to(&mut retention.when_deleted, "Retain");
    default_to(&mut retention.when_scaled, "Retain");
    for claim in spec.volume_claim_templates.iter_mut().flatten() {
        persistent_volume_claim(claim);
        claim.metadata.namespace = None;
    }
    template(&mut spec.template);
}

fn daemon_set(spec: &mut DaemonSetSpec) {
    spec.revision_history_limit.get_or_insert(10);
    let strategy = spec.update_strategy.get_or_insert_default();
    default_to(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let rolling: &mut RollingUpdateDaemonSet = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
    template(&mut spec.template);
}

fn job(spec: &mut JobSpec) {
    if spec.parallelism.is_none() && spec.completions.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let tries = if spec.backoff_limit_per_index.is_some() {
        i32::MAX
    } else {
        6
    };
    spec.backoff_limit.get_or_insert(tries);
    default_to(&mut spec.completion_mode, "NonIndexed");
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    let replacement = if spec.pod_failure_policy.is_some() {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default_to(&mut spec.pod_replacement_policy, replacement);
    for rule in spec
        .pod_failure_policy
        .iter_mut()
        .flat_map(|policy| &mut policy.rules)
    {
        for pattern in rule.on_pod_conditions.iter_mut().flatten() {
            default_to(&mut pattern.status, "True");
        }
    }
    template(&mut spec.template);
}

fn cron_job(spec: &mut CronJobSpec) {
    default_to(&mut spec.concurrency_policy, "Allow");
    spec.suspend.get_or_insert(false);
    spec.successful_jobs_history_limit.get_or_insert(3);
    spec.failed_jobs_history_limit.get_or_insert(1);
    job(spec.job_template.spec.get_or_insert_default());
}

/// Defaults of a Service.
pub fn service(service: &mut Service) {
    default_to(&mut service.metadata.namespace, "default");
    let spec = service.spec.get_or_insert_default();
    default_to(&mut spec.session_affinity, "None");
    default_to(&mut spec.type_, "ClusterIP");
    if spec.type_.as_deref() != Some("ExternalName") {
        default_to(&mut spec.internal_traffic_policy, "Cluster");
    }
    for port in spec.ports.iter_mut().flatten() {
        default_to(&mut port.protocol, "TCP");
        let is_absent = match &port.target_port {
            None => true,
            Some(IntOrString::Int(number)) => *number == 0,
            Some(IntOrString::String(name)) => name.is_empty(),
        };
        if is_absent {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
}
