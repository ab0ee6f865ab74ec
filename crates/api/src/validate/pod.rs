//! A whole Pod. The order of the checks is the order in which the API server reports.

use super::{
    Found, annotations, claims, containers, metadata, network, operating_system, pod_resources,
    references, scheduling, security, volumes,
};
use crate::core::{Pod, PodSpec, PodTemplateSpec};
use crate::diagnostic::Diagnostic;
use crate::path::{Path, Step};

/// Whether a specification belongs to a Pod or to a template, of which less is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Pod,
    Template,
}

/// Everything that is wrong with a defaulted pod.
#[must_use]
pub fn pod(pod: &Pod) -> Vec<Diagnostic> {
    let mut found = Found::default();
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let path = Path::fields("spec");
    metadata_and_spec(&mut found, pod);
    image_blanks(&mut found, spec);
    if has_ephemeral(spec) {
        found.add(Diagnostic::forbidden(
            &path.field("ephemeralContainers"),
            "cannot be set on create",
        ));
    }
    let gated = spec
        .scheduling_gates
        .as_ref()
        .is_some_and(|gates| !gates.is_empty());
    if gated && !text(spec.node_name.as_ref()).is_empty() {
        let message = "cannot be set until all schedulingGates have been cleared";
        found.add(Diagnostic::forbidden(&path.field("nodeName"), message));
    }
    annotations::app_armor_match(&mut found, pod.metadata.annotations.as_ref(), spec);
    found.0
}

/// What is asked of a pod at any time.
pub(super) fn metadata_and_spec(found: &mut Found, pod: &Pod) {
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    metadata::metadata(found, &Path::fields("metadata"), &pod.metadata);
    annotations::annotations(found, pod.metadata.annotations.as_ref(), spec);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    self::spec(found, &Path::fields("spec"), spec, name, Of::Pod);
}

/// Everything that is wrong with the template of a workload that stands at `base`.
pub(super) fn template(found: &mut Found, base: &Path, template: &PodTemplateSpec) {
    let mut own = Found::default();
    let none = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&none);
    let metadata = template.metadata.as_ref();
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    if let Some(metadata) = metadata {
        // The API server leaves `metadata` out of these paths.
        metadata::labels(&mut own, &Path::fields("labels"), metadata.labels.as_ref());
        metadata::annotations(&mut own, &Path::fields("annotations"), annotations);
        for diagnostic in &mut own.0 {
            let location = diagnostic.location.as_ref().unwrap_or(&diagnostic.path);
            diagnostic.location = Some(Path::fields("metadata").join(location));
        }
    }
    annotations::annotations(&mut own, annotations, spec);
    self::spec(&mut own, &Path::fields("spec"), spec, "", Of::Template);
    annotations::app_armor_match(&mut own, annotations, spec);
    if has_ephemeral(spec) {
        let message = "ephemeral containers not allowed in pod template";
        let path = Path::fields("spec.ephemeralContainers");
        own.add(Diagnostic::forbidden(&path, message));
    }
    found
        .0
        .extend(own.0.into_iter().map(|diagnostic| diagnostic.under(base)));
}

fn has_ephemeral(spec: &PodSpec) -> bool {
    spec.ephemeral_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty())
}

fn spec(found: &mut Found, path: &Path, spec: &PodSpec, pod_name: &str, of: Of) {
    let known = volumes::volumes(found, &path.field("volumes"), spec, pod_name, of);
    let claims = claims::resource_claims(found, &path.field("resourceClaims"), spec);
    let context = containers::Context {
        spec,
        volumes: &known,
        claims: &claims,
    };
    containers::app_containers(found, &path.field("containers"), &context);
    containers::init_containers(found, &path.field("initContainers"), &context);
    containers::ephemeral_containers(found, &path.field("ephemeralContainers"), &context);
    pod_resources::pod_resources(found, &path.field("resources"), spec);
    network::host_network_ports(found, path, spec, of);
    found.one_of(
        &path.field("restartPolicy"),
        text(spec.restart_policy.as_ref()),
        &["Always", "OnFailure", "Never"],
    );
    found.one_of(
        &path.field("dnsPolicy"),
        text(spec.dns_policy.as_ref()),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    metadata::labels(
        found,
        &path.field("nodeSelector"),
        spec.node_selector.as_ref(),
    );
    security::pod(found, path, spec);
    scheduling::affinity(found, &path.field("affinity"), spec);
    network::dns_config(found, &path.field("dnsConfig"), spec);
    scheduling::readiness_gates(found, &path.field("readinessGates"), spec);
    scheduling::scheduling_gates(found, &path.field("schedulingGates"), spec);
    scheduling::topology_spread(found, &path.field("topologySpreadConstraints"), spec);
    security::host_users(found, path, spec);
    network::hostname_override(found, &path.field("hostnameOverride"), spec);
    found.optional_subdomain(
        &path.field("serviceAccountName"),
        spec.service_account_name.as_deref(),
    );
    found.optional_subdomain(&path.field("nodeName"), spec.node_name.as_deref());
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let message = "must be between 1 and 2147483647, inclusive";
        found.number(&path.field("activeDeadlineSeconds"), seconds, message);
    }
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if !text(value.as_ref()).is_empty() {
            found.label(&path.field(field), text(value.as_ref()));
        }
    }
    scheduling::tolerations(found, &path.field("tolerations"), spec);
    network::host_aliases(found, &path.field("hostAliases"), spec);
    found.optional_subdomain(
        &path.field("priorityClassName"),
        spec.priority_class_name.as_deref(),
    );
    if let Some(name) = &spec.runtime_class_name {
        found.subdomain(&path.field("runtimeClassName"), name);
    }
    if let Some(policy) = &spec.preemption_policy {
        found.one_of(
            &path.field("preemptionPolicy"),
            policy,
            &["PreemptLowerPriority", "Never"],
        );
    }
    pod_resources::overhead(found, &path.field("overhead"), spec);
    operating_system::operating_system(found, path, spec);
    references::file_keys(found, spec);
}

/// Blanks around an image are forgiven in templates, where old objects may have them, but not in Pods.
fn image_blanks(found: &mut Found, spec: &PodSpec) {
    let (init, app): (Vec<_>, Vec<_>) = annotations::containers(spec).partition(|(path, _)| {
        path.steps().get(1) == Some(&Step::Field("initContainers".to_owned()))
    });
    // App containers first, for once.
    for (path, container) in app.into_iter().chain(init) {
        let image = text(container.image.as_ref());
        if !image.is_empty() && image.trim() != image {
            let message = "must not have leading or trailing whitespace";
            found.add(Diagnostic::invalid(&path.field("image"), image, message));
        }
    }
}

pub(super) fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}
