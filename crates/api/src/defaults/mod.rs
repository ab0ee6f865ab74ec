//! What the API server fills into a Pod before it looks whether the Pod is valid.
//!
//! Admission plugins of a cluster (service account tokens, default tolerations, priorities) are no defaults and are not
//! imitated.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::core::{
    ConfigMap, Container, EphemeralContainer, PersistentVolumeClaim, Pod, PodSpec, Probe,
    ResourceRequirements, Secret,
};
use crate::{names, quantity};

mod app_armor;
mod empty;
mod gates;
mod image;
mod pod_level;
mod server;
mod volumes;
mod workloads;

pub use server::forget_servers_part;

pub use image::{default_pull_policy, tag_or_digest};
pub use workloads::{service, workload};

/// Fills in everything the manifest left out. `name_suffix` completes a `generateName` and comes from the caller, since
/// nothing here is random. Applying twice changes nothing.
pub fn apply(pod: &mut Pod, name_suffix: &str) {
    let metadata = &mut pod.metadata;
    default_to(&mut metadata.namespace, "default");
    if metadata.name.as_deref().unwrap_or_default().is_empty()
        && let Some(prefix) = metadata.generate_name.as_deref()
        && !prefix.is_empty()
    {
        metadata.name = Some(names::generated(prefix, name_suffix));
    }
    let spec = pod.spec.get_or_insert_default();
    gates::drop_disabled(spec);
    template(spec);
    of_pods_alone(spec);
    empty::metadata(pod);
    app_armor::from_annotations(pod);
    server::reset(pod);
}

/// What a pod's specification gets wherever it stands, in a Pod or in the template of a workload.
pub fn template(spec: &mut PodSpec) {
    empty::spec(spec);
    round_resources(spec);
    default_to(&mut spec.restart_policy, "Always");
    default_to(&mut spec.dns_policy, "ClusterFirst");
    default_to(&mut spec.scheduler_name, "default-scheduler");
    let grace = spec.termination_grace_period_seconds.get_or_insert(30);
    if *grace < 0 {
        *grace = 1;
    }
    spec.security_context.get_or_insert_default();
    service_account(spec);
    for volume in spec.volumes.iter_mut().flatten() {
        volumes::volume(volume);
    }
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        defaults_of_container(container);
    }
}

/// What only a Pod gets, so that it does not show up in the templates of workloads.
fn of_pods_alone(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network == Some(true);
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        requests_from_limits(container.resources.get_or_insert_default());
        for port in container.ports.iter_mut().flatten() {
            if host_network && port.host_port.unwrap_or_default() == 0 {
                port.host_port = Some(port.container_port);
            }
        }
    }
    pod_level::resources(spec);
}

/// `serviceAccount` is the old name of the field; both are kept equal, the new one wins.
fn service_account(spec: &mut PodSpec) {
    let name = spec
        .service_account_name
        .as_ref()
        .filter(|name| !name.is_empty())
        .or(spec.service_account.as_ref())
        .cloned();
    spec.service_account_name.clone_from(&name);
    spec.service_account = name;
}

/// What a container gets that is added to look into a running pod.
pub fn ephemeral_container(container: &mut EphemeralContainer) {
    container.resources.get_or_insert_default();
    pull_policy(&mut container.image_pull_policy, container.image.as_deref());
    default_to(
        &mut container.termination_message_path,
        "/dev/termination-log",
    );
    default_to(&mut container.termination_message_policy, "File");
    for variable in container.env.iter_mut().flatten() {
        if let Some(source) = &mut variable.value_from
            && let Some(field) = &mut source.field_ref
        {
            default_to(&mut field.api_version, "v1");
        }
    }
}

fn pull_policy(policy: &mut Option<String>, image: Option<&str>) {
    if policy.as_deref().unwrap_or_default().is_empty() {
        *policy = Some(default_pull_policy(image.unwrap_or_default()).to_owned());
    }
}

fn defaults_of_container(container: &mut Container) {
    container.resources.get_or_insert_default();
    pull_policy(&mut container.image_pull_policy, container.image.as_deref());
    default_to(
        &mut container.termination_message_path,
        "/dev/termination-log",
    );
    default_to(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        default_to(&mut port.protocol, "TCP");
    }
    for variable in container.env.iter_mut().flatten() {
        if let Some(source) = &mut variable.value_from
            && let Some(field) = &mut source.field_ref
        {
            default_to(&mut field.api_version, "v1");
        }
    }
    for probe in [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ]
    .into_iter()
    .flatten()
    {
        defaults_of_probe(probe);
    }
    if let Some(lifecycle) = &mut container.lifecycle {
        for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop]
            .into_iter()
            .flatten()
        {
            if let Some(http) = &mut handler.http_get {
                default_to(&mut http.path, "/");
                default_to(&mut http.scheme, "HTTP");
            }
        }
    }
}

fn defaults_of_probe(probe: &mut Probe) {
    for (field, value) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or_default() == 0 {
            *field = Some(value);
        }
    }
    if let Some(http) = &mut probe.http_get {
        default_to(&mut http.path, "/");
        default_to(&mut http.scheme, "HTTP");
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

/// A limit without a request is also the request.
fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests
            .entry(name.clone())
            .or_insert_with(|| limit.clone());
    }
}

/// Amounts are stored in thousandths at the finest.
fn round_resources(spec: &mut PodSpec) {
    let containers = spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers);
    for resources in containers
        .map(|container| &mut container.resources)
        .chain([&mut spec.resources])
        .flatten()
    {
        round(&mut resources.limits);
        round(&mut resources.requests);
    }
    round(&mut spec.overhead);
}

fn round(list: &mut Option<BTreeMap<String, Quantity>>) {
    for quantity in list.iter_mut().flat_map(BTreeMap::values_mut) {
        if let Ok(value) = quantity.0.parse::<quantity::Value>() {
            quantity.0 = value.rounded_to_milli().to_string();
        }
    }
}

/// Sets what is absent or empty.
fn default_to(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

/// Defaults of a ConfigMap.
pub fn config_map(map: &mut ConfigMap) {
    default_to(&mut map.metadata.namespace, "default");
}

/// Defaults of a PersistentVolumeClaim.
pub fn persistent_volume_claim(claim: &mut PersistentVolumeClaim) {
    default_to(&mut claim.metadata.namespace, "default");
    volumes::claim(claim.spec.get_or_insert_default());
}

/// Defaults of a Secret; `stringData` is merged over `data`, as on the way into storage.
pub fn secret(secret: &mut Secret) {
    default_to(&mut secret.metadata.namespace, "default");
    default_to(&mut secret.type_, "Opaque");
    if let Some(texts) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(
            texts
                .into_iter()
                .map(|(key, text)| (key, ByteString(text.into_bytes()))),
        );
    }
}
