//! A template and what a controller adds to it: a name, labels, and for some kinds a host name, claims or variables.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};

use super::Workload;
use crate::core::{
    EnvVar, EnvVarSource, ObjectFieldSelector, PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource, Pod, PodSpec, PodTemplateSpec, Volume,
};
use crate::meta::ObjectMeta;
use crate::{defaults, names};

const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const JOB_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The pod `index` of a workload, as the API server would store it.
pub(super) fn pod(workload: &Workload, index: usize, random: u64) -> Pod {
    if let Workload::CronJob(cron) = workload {
        let job = Workload::Job(Box::new(job_of_cron(cron, 0)));
        return pod(&job, index, random);
    }
    let none = PodTemplateSpec::default();
    let template = workload.template().unwrap_or(&none);
    let name = text(workload.metadata().name.as_ref());
    let suffix = names::name_suffix(random);
    let mut pod = from_template(template, workload.metadata());
    match workload {
        Workload::Deployment(_) => {
            let hash = hash(template);
            label(&mut pod, "pod-template-hash", &hash);
            pod.metadata.name = Some(names::generated(&format!("{name}-{hash}-"), &suffix));
        }
        Workload::ReplicaSet(_) | Workload::DaemonSet(_) => {
            pod.metadata.name = Some(names::generated(&format!("{name}-"), &suffix));
        }
        Workload::StatefulSet(set) => ordinal(&mut pod, set, index),
        Workload::Job(job) => of_job(&mut pod, job, index, &suffix),
        Workload::CronJob(_) => {}
    }
    defaults::apply(&mut pod, &suffix);
    pod
}

fn from_template(template: &PodTemplateSpec, owner: &ObjectMeta) -> Pod {
    let metadata = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: None,
            generate_name: None,
            namespace: owner.namespace.clone(),
            ..metadata
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Name and number; the name is the host name too, and the claim templates become volumes.
fn ordinal(pod: &mut Pod, set: &StatefulSet, index: usize) {
    let name = ordinal_name(set, index);
    let ordinal = name.rsplit('-').next().unwrap_or_default().to_owned();
    label(pod, "statefulset.kubernetes.io/pod-name", &name);
    label(pod, "apps.kubernetes.io/pod-index", &ordinal);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name.clone());
    let set_spec = set.spec.as_ref();
    spec.subdomain = set_spec.and_then(|set| set.service_name.clone());
    let own: Vec<Volume> = claims(set, index)
        .iter()
        .map(|claim| claim_volume(set, &name, claim))
        .collect();
    add_volumes(spec, own);
    pod.metadata.name = Some(name);
}

/// Volumes of a claim template stand before those of the same name in the pod's template.
pub(crate) fn add_volumes(spec: &mut PodSpec, own: Vec<Volume>) {
    if own.is_empty() {
        return;
    }
    let names: BTreeSet<&str> = own.iter().map(|volume| volume.name.as_str()).collect();
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| !names.contains(volume.name.as_str()));
    drop(names);
    volumes.extend(own);
}

fn ordinal_name(set: &StatefulSet, index: usize) -> String {
    let start = set
        .spec
        .as_ref()
        .and_then(|spec| spec.ordinals.as_ref())
        .and_then(|ordinals| ordinals.start)
        .unwrap_or_default();
    let ordinal = i64::from(start) + i64::try_from(index).unwrap_or(i64::MAX);
    format!("{}-{ordinal}", text(set.metadata.name.as_ref()))
}

/// The claims of one pod, named after template and pod.
pub(super) fn claims(set: &StatefulSet, index: usize) -> Vec<PersistentVolumeClaim> {
    let pod = ordinal_name(set, index);
    let templates = set
        .spec
        .iter()
        .flat_map(|spec| spec.volume_claim_templates.iter().flatten());
    templates
        .map(|template| {
            let mut claim = template.clone();
            let name = format!("{}-{pod}", text(template.metadata.name.as_ref()));
            claim.metadata.name = Some(name);
            claim.metadata.namespace.clone_from(&set.metadata.namespace);
            claim.status = None;
            let labels = set
                .spec
                .as_ref()
                .and_then(|spec| spec.selector.match_labels.clone());
            claim
                .metadata
                .labels
                .get_or_insert_default()
                .extend(labels.into_iter().flatten());
            defaults::persistent_volume_claim(&mut claim);
            claim
        })
        .collect()
}

fn claim_volume(set: &StatefulSet, pod: &str, claim: &PersistentVolumeClaim) -> Volume {
    let claim_name = text(claim.metadata.name.as_ref());
    let template = claim_name.strip_suffix(&format!("-{pod}"));
    debug_assert!(template.is_some(), "a claim of {:?}", set.metadata.name);
    Volume {
        name: template.unwrap_or(claim_name).to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

fn of_job(pod: &mut Pod, job: &Job, index: usize, suffix: &str) {
    let name = text(job.metadata.name.as_ref());
    label(pod, JOB_NAME, name);
    label(pod, "job-name", name);
    let indexed = job
        .spec
        .as_ref()
        .is_some_and(|spec| spec.completion_mode.as_deref() == Some("Indexed"));
    if !indexed {
        pod.metadata.name = Some(names::generated(&format!("{name}-"), suffix));
        return;
    }
    let number = index.to_string();
    label(pod, JOB_INDEX, &number);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(JOB_INDEX.to_owned(), number);
    pod.metadata.name = Some(names::generated(&format!("{name}-{index}-"), suffix));
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{name}-{index}"));
    index_variable(spec);
}

/// Every container of an Indexed Job learns its number, unless it has a variable of that name already.
fn index_variable(spec: &mut PodSpec) {
    let variable = EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{JOB_INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    };
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        let env = container.env.get_or_insert_default();
        if env.iter().all(|other| other.name != variable.name) {
            env.push(variable.clone());
        }
    }
}

/// The job of a CronJob for one minute.
pub(super) fn job_of_cron(cron: &CronJob, minute: i64) -> Job {
    let template = &cron.spec.job_template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let name = text(cron.metadata.name.as_ref());
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{minute}")),
            namespace: cron.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

fn label(pod: &mut Pod, key: &str, value: &str) {
    let labels: &mut BTreeMap<String, String> = pod.metadata.labels.get_or_insert_default();
    labels.insert(key.to_owned(), value.to_owned());
}

/// A short name for the content of a template, which changes when the template does. (FNV-1a of its JSON, in the letters
/// that generated names use; a cluster hashes its own form of the object and gets another value.)
pub(super) fn hash(template: &PodTemplateSpec) -> String {
    let json = serde_json::to_string(template).unwrap_or_default();
    let hash = json.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    names::safe_encoded(&hash.to_string())
}

fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}
