//! App, init and ephemeral containers.

use std::collections::{BTreeMap, BTreeSet};

use super::pod::text;
use super::{Found, env, mounts, network, probes, resources, restart, security};
use crate::core::{Container, ContainerPort, EphemeralContainer, PodSpec, Volume};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;
use crate::qos::is_sidecar;

/// What a container may refer to.
pub(super) struct Context<'a> {
    pub(super) spec: &'a PodSpec,
    /// The volumes that are right; a wrong one is not known to mounts.
    pub(super) volumes: &'a BTreeMap<String, &'a Volume>,
    /// Names of `spec.resourceClaims`.
    pub(super) claims: &'a BTreeSet<String>,
}

pub(super) fn app_containers(found: &mut Found, path: &Path, context: &Context<'_>) {
    let containers = &context.spec.containers;
    if containers.is_empty() {
        found.add(Diagnostic::required(path, ""));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        common(found, &path, container, context);
        if !seen.insert(container.name.as_str()) {
            found.add(Diagnostic::duplicate(&path.field("name"), &container.name));
        }
        probes::lifecycle_and_probes(found, &path, container, context.spec);
        restart::container(found, &path, container);
    }
    network::host_port_conflicts(found, path, containers);
}

pub(super) fn init_containers(found: &mut Found, path: &Path, context: &Context<'_>) {
    let mut seen: BTreeSet<&str> = context
        .spec
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    for (index, container) in context.spec.init_containers.iter().flatten().enumerate() {
        let own = path.index(index);
        common(found, &own, container, context);
        restart::container(found, &own, container);
        if !seen.insert(container.name.as_str()) && !container.name.is_empty() {
            found.add(Diagnostic::duplicate(&own.field("name"), &container.name));
        }
        network::host_port_conflicts_of_init(found, path, index, container);
        if is_sidecar(container) {
            probes::lifecycle_and_probes(found, &own, container, context.spec);
        } else {
            without_probes(found, &own, container);
            restart::resize_of_init(found, &own.field("resizePolicy"), container);
        }
    }
}

/// An init container is over before there is anything to probe.
fn without_probes(found: &mut Found, path: &Path, container: &Container) {
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if set {
            let message = "may not be set for init containers without restartPolicy=Always";
            found.add(Diagnostic::forbidden(&path.field(field), message));
        }
    }
}

pub(super) fn ephemeral_containers(found: &mut Found, path: &Path, context: &Context<'_>) {
    let spec = context.spec;
    let others: BTreeSet<&str> = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .map(|container| container.name.as_str())
        .collect();
    let mut seen = others.clone();
    for (index, container) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = path.index(index);
        found.required_label(&path.field("name"), &container.name);
        if text(container.image.as_ref()).is_empty() {
            found.add(Diagnostic::required(&path.field("image"), ""));
        }
        if !seen.insert(container.name.as_str()) {
            found.add(Diagnostic::duplicate(&path.field("name"), &container.name));
        }
        let target = text(container.target_container_name.as_ref());
        if !target.is_empty() && !others.contains(target) {
            found.add(Diagnostic::not_found(
                &path.field("targetContainerName"),
                target,
                "",
            ));
        }
        forbidden_for_ephemeral(found, &path, container);
    }
}

fn forbidden_for_ephemeral(found: &mut Found, path: &Path, container: &EphemeralContainer) {
    let resources = container.resources.as_ref();
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        (
            "ports",
            container
                .ports
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        ),
        (
            "resources",
            resources.is_some_and(|resources| *resources != Default::default()),
        ),
        (
            "resizePolicy",
            container
                .resize_policy
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        ),
        ("restartPolicy", container.restart_policy.is_some()),
        (
            "restartPolicyRules",
            container
                .restart_policy_rules
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        ),
    ] {
        if set {
            let message = "cannot be set for an Ephemeral Container";
            found.add(Diagnostic::forbidden(&path.field(field), message));
        }
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = path.field("volumeMounts").index(index);
        for (field, value) in [
            ("subPath", &mount.sub_path),
            ("subPathExpr", &mount.sub_path_expr),
        ] {
            if !text(value.as_ref()).is_empty() {
                let message = "cannot be set for an Ephemeral Container";
                found.add(Diagnostic::forbidden(&path.field(field), message));
            }
        }
    }
}

/// What app and init containers have in common.
fn common(found: &mut Found, path: &Path, container: &Container, context: &Context<'_>) {
    found.required_label(&path.field("name"), &container.name);
    if text(container.image.as_ref()).is_empty() {
        found.add(Diagnostic::required(&path.field("image"), ""));
    }
    found.one_of(
        &path.field("terminationMessagePolicy"),
        text(container.termination_message_policy.as_ref()),
        &["File", "FallbackToLogsOnError"],
    );
    ports(
        found,
        &path.field("ports"),
        container.ports.as_deref().unwrap_or_default(),
    );
    env::env(found, &path.field("env"), container);
    env::env_from(found, &path.field("envFrom"), container);
    mounts::volume_mounts(found, &path.field("volumeMounts"), container, context);
    mounts::volume_devices(found, &path.field("volumeDevices"), container, context);
    found.one_of(
        &path.field("imagePullPolicy"),
        text(container.image_pull_policy.as_ref()),
        &["Always", "IfNotPresent", "Never"],
    );
    if let Some(resources) = &container.resources {
        resources::container(found, &path.field("resources"), resources, context.claims);
    }
    restart::resize_policy(found, &path.field("resizePolicy"), container, context.spec);
    security::container(
        found,
        &path.field("securityContext"),
        container,
        context.spec,
    );
}

fn ports(found: &mut Found, path: &Path, ports: &[ContainerPort]) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port.name.as_ref());
        if !name.is_empty() {
            let messages = names::port_name(name);
            if !messages.is_empty() {
                found.each(&path.field("name"), name, messages);
            } else if !seen.insert(name) {
                found.add(Diagnostic::duplicate(&path.field("name"), name));
            }
        }
        if port.container_port == 0 {
            found.add(Diagnostic::required(&path.field("containerPort"), ""));
        } else {
            found.port_number(&path.field("containerPort"), port.container_port);
        }
        if let Some(host_port) = port.host_port.filter(|port| *port != 0) {
            found.port_number(&path.field("hostPort"), host_port);
        }
        found.one_of(
            &path.field("protocol"),
            text(port.protocol.as_ref()),
            &["SCTP", "TCP", "UDP"],
        );
    }
}
