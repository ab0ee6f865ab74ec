//! Disks of networks and clouds. podyard does not attach them, but what is malformed is malformed first.

use super::Found;
use crate::core::{LocalObjectReference, Volume};
use crate::diagnostic::Diagnostic;
use crate::path::Path;

const PARTITION: &str = "must be between 1 and 255, inclusive";
const LUN: &str = "must be between 0 and 255, inclusive";

fn required(found: &mut Found, path: &Path, field: &str, text: &str) {
    if text.is_empty() {
        found.add(Diagnostic::required(&path.field(field), ""));
    }
}

fn required_list(found: &mut Found, path: &Path, field: &str, list: &[String]) {
    if list.is_empty() {
        found.add(Diagnostic::required(&path.field(field), ""));
    }
}

fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}

fn named_secret(found: &mut Found, path: &Path, secret: Option<&LocalObjectReference>) {
    if let Some(secret) = secret {
        required(found, path, "secretRef.name", &secret.name);
    }
}

pub(super) fn gce(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.gce_persistent_disk else {
        return;
    };
    required(found, path, "pdName", &source.pd_name);
    partition(found, path, source.partition);
}

pub(super) fn aws(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.aws_elastic_block_store else {
        return;
    };
    required(found, path, "volumeID", &source.volume_id);
    partition(found, path, source.partition);
}

fn partition(found: &mut Found, path: &Path, partition: Option<i32>) {
    if let Some(number) = partition.filter(|number| !(0..=255).contains(number)) {
        found.number(&path.field("partition"), number, PARTITION);
    }
}

pub(super) fn iscsi(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.iscsi else { return };
    required(found, path, "targetPortal", &source.target_portal);
    let at = path.field("iqn");
    let is_name = ["iqn", "eui", "naa"]
        .iter()
        .any(|kind| source.iqn.starts_with(kind));
    if source.iqn.is_empty() {
        found.add(Diagnostic::required(&at, ""));
    } else if !is_name {
        let message = "must be valid format starting with iqn, eui, or naa";
        found.add(Diagnostic::invalid(&at, &source.iqn, message));
    }
    if !(0..=255).contains(&source.lun) {
        found.number(&path.field("lun"), source.lun, LUN);
    }
    let with_password =
        source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true);
    if with_password && source.secret_ref.is_none() {
        found.add(Diagnostic::required(&path.field("secretRef"), ""));
    }
    if source.secret_ref.is_some() {
        named_secret(found, path, source.secret_ref.as_ref());
    }
}

pub(super) fn glusterfs(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.glusterfs else {
        return;
    };
    required(found, path, "endpoints", &source.endpoints);
    required(found, path, "path", &source.path);
}

pub(super) fn rbd(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.rbd else { return };
    required_list(found, path, "monitors", &source.monitors);
    required(found, path, "image", &source.image);
}

pub(super) fn cinder(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.cinder else { return };
    required(found, path, "volumeID", &source.volume_id);
    named_secret(found, path, source.secret_ref.as_ref());
}

pub(super) fn cephfs(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.cephfs else { return };
    required_list(found, path, "monitors", &source.monitors);
}

pub(super) fn flocker(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.flocker else {
        return;
    };
    let name = text(source.dataset_name.as_ref());
    match (name, text(source.dataset_uuid.as_ref())) {
        ("", "") => found.add(Diagnostic::required(
            path,
            "one of datasetName and datasetUUID is required",
        )),
        ("", _) | (_, "") => {}
        _ => found.add(Diagnostic::invalid(
            path,
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        )),
    }
    if name.contains('/') {
        let at = path.field("datasetName");
        found.add(Diagnostic::invalid(&at, name, "must not contain '/'"));
    }
}

pub(super) fn fibre_channel(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.fc else { return };
    let at = path.field("targetWWNs");
    let names = source.target_wwns.as_deref().unwrap_or_default();
    let worldwide = source.wwids.as_deref().unwrap_or_default();
    if names.is_empty() && worldwide.is_empty() {
        let message = "must specify either targetWWNs or wwids, but not both";
        found.add(Diagnostic::required(&at, message));
    }
    if !names.is_empty() && !worldwide.is_empty() {
        let quoted: Vec<String> = names
            .iter()
            .map(|name| crate::go::json_string(name))
            .collect();
        let value = format!("[{}]", quoted.join(","));
        let message = "targetWWNs and wwids can not be specified simultaneously";
        found.add(Diagnostic::invalid_json(&at, &value, message));
    }
    let at = path.field("lun");
    match source.lun {
        None if !names.is_empty() => found.add(Diagnostic::required(
            &at,
            "lun is required if targetWWNs is specified",
        )),
        Some(lun) if !names.is_empty() && !(0..=255).contains(&lun) => {
            found.number(&at, lun, LUN);
        }
        _ => {}
    }
}

pub(super) fn flex(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.flex_volume else {
        return;
    };
    required(found, path, "driver", &source.driver);
    for key in source.options.iter().flatten().map(|(key, _)| key) {
        let namespace = key.to_lowercase();
        let domain = namespace.split('/').next().unwrap_or_default();
        let is_reserved = ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|own| domain == *own || domain.ends_with(&format!(".{own}")));
        if is_reserved {
            let at = path.field("options").key(key);
            let message = "\"kubernetes.io\" and \"k8s.io\" namespaces are reserved";
            found.add(Diagnostic::invalid(&at, key, message).at_key());
        }
    }
}

pub(super) fn azure_file(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.azure_file else {
        return;
    };
    required(found, path, "secretName", &source.secret_name);
    required(found, path, "shareName", &source.share_name);
}

pub(super) fn azure_disk(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.azure_disk else {
        return;
    };
    required(found, path, "diskName", &source.disk_name);
    required(found, path, "diskURI", &source.disk_uri);
    found.one_of(
        &path.field("cachingMode"),
        text(source.caching_mode.as_ref()),
        &["None", "ReadOnly", "ReadWrite"],
    );
    found.one_of(
        &path.field("kind"),
        text(source.kind.as_ref()),
        &["Dedicated", "Managed", "Shared"],
    );
}

pub(super) fn vsphere(found: &mut Found, path: &Path, volume: &Volume) {
    if let Some(source) = &volume.vsphere_volume {
        required(found, path, "volumePath", &source.volume_path);
    }
}

pub(super) fn photon(found: &mut Found, path: &Path, volume: &Volume) {
    if let Some(source) = &volume.photon_persistent_disk {
        required(found, path, "pdID", &source.pd_id);
    }
}

pub(super) fn portworx(found: &mut Found, path: &Path, volume: &Volume) {
    if let Some(source) = &volume.portworx_volume {
        required(found, path, "volumeID", &source.volume_id);
    }
}

pub(super) fn storageos(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.storageos else {
        return;
    };
    found.required_label(&path.field("volumeName"), text(source.volume_name.as_ref()));
    let namespace = text(source.volume_namespace.as_ref());
    if !namespace.is_empty() {
        found.label(&path.field("volumeNamespace"), namespace);
    }
    named_secret(found, path, source.secret_ref.as_ref());
}

pub(super) fn scale_io(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.scale_io else {
        return;
    };
    required(found, path, "gateway", &source.gateway);
    required(found, path, "system", &source.system);
    required(found, path, "volumeName", text(source.volume_name.as_ref()));
}

pub(super) fn quobyte(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.quobyte else {
        return;
    };
    required(found, path, "registry", &source.registry);
    required(found, path, "volume", &source.volume);
}
