//! Mounts and block devices of a container.

use std::collections::BTreeSet;

use super::Found;
use super::common::has_backsteps;
use super::containers::Context;
use super::pod::text;
use crate::core::{Container, VolumeMount};
use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::suggest;

pub(super) fn volume_mounts(
    found: &mut Found,
    path: &Path,
    container: &Container,
    context: &Context<'_>,
) {
    let devices = || container.volume_devices.iter().flatten();
    let device_names: BTreeSet<&str> = devices().map(|device| device.name.as_str()).collect();
    let device_paths: BTreeSet<&str> = devices()
        .map(|device| device.device_path.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let own = path.index(index);
        let name = own.field("name");
        if mount.name.is_empty() {
            found.add(Diagnostic::required(&name, ""));
        }
        if !context.volumes.contains_key(&mount.name) {
            let mut diagnostic = Diagnostic::not_found(&name, &mount.name, "");
            if !found.is_full() {
                diagnostic.hint = missing_volume(&mount.name, context);
            }
            found.add(diagnostic);
        }
        let mount_path = own.field("mountPath");
        if mount.mount_path.is_empty() {
            found.add(Diagnostic::required(&mount_path, ""));
        }
        if !seen.insert(mount.mount_path.as_str()) {
            found.add(Diagnostic::invalid(
                &mount_path,
                &mount.mount_path,
                "must be unique",
            ));
        }
        if device_names.contains(mount.name.as_str()) {
            let message = "must not already exist in volumeDevices";
            found.add(Diagnostic::invalid(&name, &mount.name, message));
        }
        if device_paths.contains(mount.mount_path.as_str()) {
            let message = "must not already exist as a path in volumeDevices";
            found.add(Diagnostic::invalid(&mount_path, &mount.mount_path, message));
        }
        sub_path(found, path, &own, mount);
        propagation(found, path, &own, mount, container);
        recursive_read_only(found, path, &own, mount);
    }
}

fn missing_volume(name: &str, context: &Context<'_>) -> Option<String> {
    if let Some(known) = suggest::nearest(name, context.volumes.keys().map(String::as_str)) {
        return Some(format!("did you mean `{known}`?"));
    }
    let declared = context
        .spec
        .volumes
        .iter()
        .flatten()
        .any(|volume| volume.name == name);
    if name.is_empty() || declared {
        None
    } else {
        Some(format!(
            "declare it: `spec.volumes: [{{name: {name}, emptyDir: {{}}}}]`"
        ))
    }
}

/// The API server leaves the index out of these paths.
fn sub_path(found: &mut Found, path: &Path, own: &Path, mount: &VolumeMount) {
    let sub_path = text(mount.sub_path.as_ref());
    let expression = text(mount.sub_path_expr.as_ref());
    if !sub_path.is_empty() {
        found.descending_path(&path.field("subPath"), &own.field("subPath"), sub_path);
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let message = "subPathExpr and subPath are mutually exclusive";
            found.add(Diagnostic::invalid(
                &own.field("subPathExpr"),
                expression,
                message,
            ));
        }
        found.descending_path(
            &path.field("subPathExpr"),
            &own.field("subPathExpr"),
            expression,
        );
    }
}

fn propagation(
    found: &mut Found,
    path: &Path,
    own: &Path,
    mount: &VolumeMount,
    container: &Container,
) {
    let Some(propagation) = &mount.mount_propagation else {
        return;
    };
    let at = own.field("mountPropagation");
    let path = path.field("mountPropagation");
    let supported = ["Bidirectional", "HostToContainer", "None"];
    if !supported.contains(&propagation.as_str()) {
        found.add(Diagnostic::unsupported(&path, propagation, &supported).located_at(at.clone()));
    }
    let security = container.security_context.as_ref();
    let privileged = security.and_then(|security| security.privileged) == Some(true);
    if propagation == "Bidirectional" && !privileged {
        let message = "Bidirectional mount propagation is available only to privileged containers";
        found.add(Diagnostic::forbidden(&path, message).located_at(at));
    }
}

fn recursive_read_only(found: &mut Found, path: &Path, own: &Path, mount: &VolumeMount) {
    let Some(mode) = &mount.recursive_read_only else {
        return;
    };
    let at = own.field("recursiveReadOnly");
    let path = path.field("recursiveReadOnly");
    match mode.as_str() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if mount.read_only != Some(true) {
                let message = "may only be specified when readOnly is true";
                found.add(Diagnostic::forbidden(&path, message).located_at(at.clone()));
            }
            if !matches!(text(mount.mount_propagation.as_ref()), "" | "None") {
                let message =
                    "may only be specified when mountPropagation is None or not specified";
                found.add(Diagnostic::forbidden(&path, message).located_at(at));
            }
        }
        other => {
            let supported = ["Disabled", "Enabled", "IfPossible"];
            found.add(Diagnostic::unsupported(&path, other, &supported).located_at(at));
        }
    }
}

pub(super) fn volume_devices(
    found: &mut Found,
    path: &Path,
    container: &Container,
    context: &Context<'_>,
) {
    let mounts = || container.volume_mounts.iter().flatten();
    let mount_names: BTreeSet<&str> = mounts().map(|mount| mount.name.as_str()).collect();
    let mount_paths: BTreeSet<&str> = mounts().map(|mount| mount.mount_path.as_str()).collect();
    let mut names = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for (index, device) in container.volume_devices.iter().flatten().enumerate() {
        let name = path.index(index).field("name");
        let device_path = path.index(index).field("devicePath");
        if device.name.is_empty() {
            found.add(Diagnostic::required(&name, ""));
        }
        if names.contains(device.name.as_str()) {
            found.add(Diagnostic::invalid(&name, &device.name, "must be unique"));
        }
        match context.volumes.get(&device.name) {
            None => found.add(Diagnostic::not_found(&name, &device.name, "")),
            Some(volume)
                if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() =>
            {
                let message = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                found.add(Diagnostic::invalid(&name, &device.name, message));
            }
            Some(_) => {}
        }
        if device.device_path.is_empty() {
            found.add(Diagnostic::required(&device_path, ""));
        }
        if paths.contains(device.device_path.as_str()) {
            found.add(Diagnostic::invalid(
                &device_path,
                &device.device_path,
                "must be unique",
            ));
        }
        if has_backsteps(&device.device_path) {
            let message = "can not contain backsteps ('..')";
            found.add(Diagnostic::invalid(
                &device_path,
                &device.device_path,
                message,
            ));
        } else {
            paths.insert(device.device_path.as_str());
        }
        if mount_names.contains(device.name.as_str()) {
            let message = "must not already exist in volumeMounts";
            found.add(Diagnostic::invalid(&name, &device.name, message));
        }
        if mount_paths.contains(device.device_path.as_str()) {
            let message = "must not already exist as a path in volumeMounts";
            found.add(Diagnostic::invalid(
                &device_path,
                &device.device_path,
                message,
            ));
        }
        if !device.name.is_empty() {
            names.insert(device.name.as_str());
        }
    }
}
