//! Valid, and probably not meant: what the API server warns about, and what will fail when the pod runs.
//!
//! The warnings that the API server has too are in its words.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::core::{Container, Pod, PodSpec, Probe, VolumeMount};
use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::go::quote;
use crate::names;
use crate::path::Path;
use crate::quantity::Value;

/// Everything worth saying about a valid, defaulted pod. `grace_seconds` is the grace period as it was written.
#[must_use]
pub(crate) fn pod(pod: &Pod, grace_seconds: Option<i64>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let path = Path::fields("spec");
    of_name(&mut found, pod);
    if grace_seconds.is_some_and(|seconds| seconds < 0) {
        let message = "must be >= 0; negative values are invalid and will be treated as 1";
        let at = path.field("terminationGracePeriodSeconds");
        found.push(Diagnostic::notice(&at, message));
    }
    for (index, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            let at = path.field("imagePullSecrets").index(index).field("name");
            found.push(Diagnostic::notice(&at, r#"invalid empty name """#));
        }
    }
    unused_volumes(&mut found, &path, spec);
    for (list, containers) in [
        (
            "initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
        ("containers", &spec.containers),
    ] {
        for (index, container) in containers.iter().enumerate() {
            of_container(&mut found, &path.field(list).index(index), container, spec);
        }
    }
    found
}

fn of_name(found: &mut Vec<Diagnostic>, pod: &Pod) {
    let hostname_is_given = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.hostname.is_some() || spec.hostname_override.is_some());
    let messages = names::dns_label(pod.metadata.name.as_deref().unwrap_or_default());
    if !messages.is_empty() && !hostname_is_given {
        let message = format!(
            "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
            messages.join(" ")
        );
        found.push(Diagnostic::notice(&Path::fields("metadata.name"), &message));
    }
}

/// The kubelet makes only the volumes that a container asks for.
fn unused_volumes(found: &mut Vec<Diagnostic>, path: &Path, spec: &PodSpec) {
    let containers = || {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    };
    let mounts = containers().flat_map(|container| container.volume_mounts.iter().flatten());
    let devices = containers().flat_map(|container| container.volume_devices.iter().flatten());
    let used: BTreeSet<&str> = mounts
        .map(|mount| mount.name.as_str())
        .chain(devices.map(|device| device.name.as_str()))
        .collect();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        if !used.contains(volume.name.as_str()) {
            let at = path.field("volumes").index(index);
            let message = "no container mounts it, so it is not made";
            found.push(Diagnostic::remark(&at, message));
        }
    }
}

fn of_container(found: &mut Vec<Diagnostic>, path: &Path, container: &Container, spec: &PodSpec) {
    image(found, path, container);
    ports(found, path, container);
    variables(found, path, container);
    let resources = container.resources.clone().unwrap_or_default();
    for (list, amounts) in [
        ("requests", resources.requests),
        ("limits", resources.limits),
    ] {
        for (name, amount) in amounts.into_iter().flatten() {
            let whole = amount
                .0
                .parse::<Value>()
                .is_ok_and(|value| value.is_whole());
            if matches!(name.as_str(), "memory" | "ephemeral-storage") && !whole {
                let message = format!(
                    "fractional byte value {} is invalid, must be an integer",
                    quote(&amount.0)
                );
                let at = path.field("resources").field(list).key(&name);
                found.push(Diagnostic::notice(&at, &message));
            }
        }
    }
    mounts(
        found,
        path,
        container.volume_mounts.as_deref().unwrap_or_default(),
    );
    for (field, probe) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            named_port(found, &path.field(field), probe, container);
        }
    }
    for (index, rule) in container.restart_policy_rules.iter().flatten().enumerate() {
        if let Some(codes) = &rule.exit_codes
            && codes.values.as_ref().is_none_or(Vec::is_empty)
        {
            let always = codes.operator == "NotIn";
            let at = path
                .field("restartPolicyRules")
                .index(index)
                .field("exitCodes.values");
            let message = if always {
                "empty, so this rule fits every exit code"
            } else {
                "empty, so this rule fits no exit code"
            };
            found.push(Diagnostic::notice(&at, message));
        }
    }
    user(found, path, container, spec);
}

fn image(found: &mut Vec<Diagnostic>, path: &Path, container: &Container) {
    let image = container.image.as_deref().unwrap_or_default();
    // What stands in front of the first slash may be a registry, whose name has no case.
    let repository = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) => rest,
        _ => image,
    };
    let name_end = repository
        .rfind([':', '@'])
        .filter(|end| !repository[*end..].contains('/'));
    let name = &repository[..name_end.unwrap_or(repository.len())];
    if name.chars().any(char::is_uppercase) {
        let message =
            "invalid reference format: repository name must be lowercase; the pull will fail";
        found.push(Diagnostic::notice(&path.field("image"), message));
    }
}

fn ports(found: &mut Vec<Diagnostic>, path: &Path, container: &Container) {
    let mut seen = BTreeMap::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let own = path.field("ports").index(index);
        let key = (
            port.protocol.as_deref(),
            port.host_ip.as_deref(),
            port.host_port,
            port.container_port,
        );
        if let Some(first) = seen.get(&key) {
            let message = format!("duplicate port definition with {first}");
            found.push(Diagnostic::notice(&own, &message));
        } else {
            seen.insert(key, own);
        }
    }
}

/// The ports of the machine that each of `replicas` pods like this one would want to have.
pub(crate) fn shared_ports(pod: &Pod, replicas: usize) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for (index, container) in containers.enumerate().filter(|_| replicas > 1) {
        let path = Path::fields("spec.containers").index(index).field("ports");
        for (index, port) in container.ports.iter().flatten().enumerate() {
            if let Some(number) = port.host_port.filter(|number| *number != 0) {
                let at = path.index(index).field("hostPort");
                let message = format!(
                    "{at}: port {number} of the machine cannot be given to {replicas} pods; a cluster would need as many nodes"
                );
                found.push(Diagnostic::new(
                    Severity::Error,
                    Kind::NotSupportedYet,
                    at,
                    message,
                ));
            }
        }
    }
    found
}

fn variables(found: &mut Vec<Diagnostic>, path: &Path, container: &Container) {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let value = variable.value.as_deref().unwrap_or_default();
        // `A: $(A)more` is meant to build on the earlier one.
        let builds_on_it = value.contains(&format!("$({})", variable.name));
        if values.insert(&variable.name, value).is_some() && !builds_on_it {
            let message = format!(
                "hides previous definition of {}, which may be dropped when using apply",
                quote(&variable.name)
            );
            let at = path.field("env").index(index);
            found.push(Diagnostic::notice(&at, &message));
        }
    }
}

/// Kubernetes compares mount paths as text; the kernel does not.
fn mounts(found: &mut Vec<Diagnostic>, path: &Path, mounts: &[VolumeMount]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, mount) in mounts.iter().enumerate() {
        let parts: Vec<&str> = mount
            .mount_path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let own = path.field("volumeMounts").index(index).field("mountPath");
        if !mount.mount_path.starts_with('/') {
            let message = "relative to the root directory of the container";
            found.push(Diagnostic::remark(&own, message));
        }
        if let Some(first) = seen.insert(parts.join("/"), index) {
            let message = format!(
                "covers the mount {}",
                path.field("volumeMounts").index(first)
            );
            found.push(Diagnostic::notice(&own, &message));
        }
    }
}

/// The name of a port is looked up among the ports of its own container.
fn named_port(found: &mut Vec<Diagnostic>, path: &Path, probe: &Probe, container: &Container) {
    let ports = [
        (
            "httpGet.port",
            probe.http_get.as_ref().map(|action| &action.port),
        ),
        (
            "tcpSocket.port",
            probe.tcp_socket.as_ref().map(|action| &action.port),
        ),
    ];
    for (field, port) in ports {
        let Some(IntOrString::String(name)) = port else {
            continue;
        };
        let known = container
            .ports
            .iter()
            .flatten()
            .any(|port| port.name.as_ref() == Some(name));
        if !known {
            let message = format!(
                "no port of this container has the name {}: the probe fails",
                quote(name)
            );
            found.push(Diagnostic::notice(&path.field(field), &message));
        }
    }
}

fn user(found: &mut Vec<Diagnostic>, path: &Path, container: &Container, spec: &PodSpec) {
    let own = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or_else(|| pod.and_then(|pod| pod.run_as_non_root));
    let own_user = own.and_then(|own| own.run_as_user);
    let user = own_user.or_else(|| pod.and_then(|pod| pod.run_as_user));
    if non_root == Some(true) && user == Some(0) {
        let at = if own_user.is_some() {
            path.field("securityContext.runAsUser")
        } else {
            Path::fields("spec.securityContext.runAsUser")
        };
        let message = "0 breaks `runAsNonRoot: true`: the container will not be started";
        found.push(Diagnostic::notice(&at, message));
    }
}
