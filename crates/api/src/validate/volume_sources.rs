//! Where a volume's content comes from.
//!
//! Sources are looked at in a fixed order, and of two that are given it is the later in this order that is blamed,
//! whatever the order in the manifest.

use super::pod::Of;
use super::references::{self, FILE_FIELDS};
use super::{Found, claims, disks, projected};
use crate::core::{DownwardAPIVolumeFile, KeyToPath, Volume};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

/// Characters of the name of a CSI driver.
const MAX_DRIVER: usize = 63;

type Check = fn(&mut Found, &Path, &Volume);

/// A source: the name the API server prints, the field's real name, whether it is given, and its rules.
struct Source {
    printed: &'static str,
    field: &'static str,
    given: fn(&Volume) -> bool,
    check: Check,
}

macro_rules! source {
    ($field:literal, $member:ident, $check:expr) => {
        source!($field as $field, $member, $check)
    };
    ($printed:literal as $field:literal, $member:ident, $check:expr) => {
        Source {
            printed: $printed,
            field: $field,
            given: |volume| volume.$member.is_some(),
            check: $check,
        }
    };
}

const SOURCES: &[Source] = &[
    source!("emptyDir", empty_dir, empty_dir),
    source!("hostPath", host_path, host_path),
    source!("gitRepo", git_repo, git_repo),
    source!("gcePersistentDisk", gce_persistent_disk, disks::gce),
    source!("awsElasticBlockStore", aws_elastic_block_store, disks::aws),
    source!("secret", secret, secret),
    source!("nfs", nfs, nfs),
    source!("iscsi", iscsi, disks::iscsi),
    source!("glusterfs", glusterfs, disks::glusterfs),
    source!("persistentVolumeClaim", persistent_volume_claim, claim),
    source!("rbd", rbd, disks::rbd),
    source!("cinder", cinder, disks::cinder),
    source!("cephfs", cephfs, disks::cephfs),
    source!("flocker", flocker, disks::flocker),
    // The API server's spelling.
    source!("downwarAPI" as "downwardAPI", downward_api, downward_api),
    source!("fc", fc, disks::fibre_channel),
    source!("flexVolume", flex_volume, disks::flex),
    source!("configMap", config_map, config_map),
    source!("azureFile", azure_file, disks::azure_file),
    source!("vsphereVolume", vsphere_volume, disks::vsphere),
    source!(
        "photonPersistentDisk",
        photon_persistent_disk,
        disks::photon
    ),
    source!("portworxVolume", portworx_volume, disks::portworx),
    source!("azureDisk", azure_disk, disks::azure_disk),
    source!("storageos", storageos, disks::storageos),
    source!("projected", projected, projected::projected),
    source!("scaleIO", scale_io, disks::scale_io),
    source!("csi", csi, csi),
    source!("ephemeral", ephemeral, claims::ephemeral),
    source!("image", image, image),
    source!("quobyte", quobyte, disks::quobyte),
];

pub(super) fn sources(found: &mut Found, path: &Path, volume: &Volume, of: Of) {
    let mut given = 0;
    for source in SOURCES {
        if !(source.given)(volume) {
            continue;
        }
        given += 1;
        if given > 1 {
            found.add(
                Diagnostic::forbidden(
                    &path.field(source.printed),
                    "may not specify more than 1 volume type",
                )
                .located_at(path.field(source.field)),
            );
        } else {
            (source.check)(found, &path.field(source.field), volume);
        }
    }
    if of == Of::Pod
        && let Some(image) = &volume.image
        && given == 1
    {
        let reference = image.reference.as_deref().unwrap_or_default();
        required(found, &path.field("image.reference"), reference);
    }
    if given == 0 {
        found.add(Diagnostic::required(path, "must specify a volume type"));
    }
}

fn required(found: &mut Found, path: &Path, text: &str) {
    if text.is_empty() {
        found.add(Diagnostic::required(path, ""));
    }
}

fn empty_dir(found: &mut Found, path: &Path, volume: &Volume) {
    let limit = volume
        .empty_dir
        .as_ref()
        .and_then(|source| source.size_limit.as_ref());
    if limit.is_some_and(|limit| limit.0.starts_with('-')) {
        let message = "SizeLimit field must be a valid resource quantity";
        found.add(Diagnostic::forbidden(&path.field("sizeLimit"), message));
    }
}

fn host_path(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.host_path else {
        return;
    };
    let at = path.field("path");
    if source.path.is_empty() {
        found.add(Diagnostic::required(&at, ""));
    } else {
        found.no_backsteps(&at, &at, &source.path);
    }
    found.one_of(
        &path.field("type"),
        source.type_.as_deref().unwrap_or_default(),
        &[
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ],
    );
}

fn git_repo(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.git_repo else {
        return;
    };
    required(found, &path.field("repository"), &source.repository);
    let at = path.field("directory");
    found.descending_path(&at, &at, source.directory.as_deref().unwrap_or_default());
}

fn secret(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.secret else { return };
    required(
        found,
        &path.field("secretName"),
        source.secret_name.as_deref().unwrap_or_default(),
    );
    found.file_mode(&path.field("defaultMode"), source.default_mode);
    items(found, &path.field("items"), source.items.as_deref());
}

fn config_map(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.config_map else {
        return;
    };
    required(found, &path.field("name"), &source.name);
    found.file_mode(&path.field("defaultMode"), source.default_mode);
    items(found, &path.field("items"), source.items.as_deref());
}

/// Which keys become which files.
pub(super) fn items(found: &mut Found, path: &Path, items: Option<&[KeyToPath]>) {
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = path.index(index);
        required(found, &path.field("key"), &item.key);
        required(found, &path.field("path"), &item.path);
        found.projected_path(&path.field("path"), &path.field("path"), &item.path);
        found.file_mode(&path.field("mode"), item.mode);
    }
}

fn nfs(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.nfs else { return };
    required(found, &path.field("server"), &source.server);
    required(found, &path.field("path"), &source.path);
    if !source.path.starts_with('/') {
        let message = "must be an absolute path";
        found.add(Diagnostic::invalid(
            &path.field("path"),
            &source.path,
            message,
        ));
    }
}

fn claim(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.persistent_volume_claim else {
        return;
    };
    required(found, &path.field("claimName"), &source.claim_name);
}

fn csi(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.csi else { return };
    let at = path.field("driver");
    required(found, &at, &source.driver);
    if source.driver.len() > MAX_DRIVER {
        found.add(Diagnostic::too_long(&at, MAX_DRIVER));
    }
    if !source.driver.is_empty() {
        // The case of a driver's name does not matter.
        for message in names::dns_subdomain(&source.driver.to_lowercase()) {
            found.add(Diagnostic::invalid(&at, &source.driver, &message));
        }
    }
    if let Some(secret) = &source.node_publish_secret_ref {
        required(
            found,
            &path.field("nodePublishSecretRef.name"),
            &secret.name,
        );
    }
}

fn image(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.image else { return };
    found.one_of(
        &path.field("pullPolicy"),
        source.pull_policy.as_deref().unwrap_or_default(),
        &["Always", "IfNotPresent", "Never"],
    );
}

fn downward_api(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.downward_api else {
        return;
    };
    found.file_mode(&path.field("defaultMode"), source.default_mode);
    for (index, file) in source.items.iter().flatten().enumerate() {
        downward_file(found, path, &path.field("items").index(index), file);
    }
}

/// `path` is what the API server prints, which names no item; `own` is the item.
pub(super) fn downward_file(
    found: &mut Found,
    path: &Path,
    own: &Path,
    file: &DownwardAPIVolumeFile,
) {
    let mut inner = Found::default();
    required(&mut inner, &path.field("path"), &file.path);
    inner.projected_path(&path.field("path"), &own.field("path"), &file.path);
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), other) => {
            references::field_ref(&mut inner, &path.field("fieldRef"), field, FILE_FIELDS);
            if other.is_some() {
                let message = "fieldRef and resourceFieldRef can not be specified simultaneously";
                inner.add(Diagnostic::invalid(path, "resource", message));
            }
        }
        (None, Some(resource)) => {
            references::resource_field_ref(
                &mut inner,
                &path.field("resourceFieldRef"),
                resource,
                true,
            );
        }
        (None, None) => {
            let message = "one of fieldRef and resourceFieldRef is required";
            inner.add(Diagnostic::required(path, message));
        }
    }
    inner.file_mode(&path.field("mode"), file.mode);
    let depth = path.steps().len();
    found.0.extend(inner.0.into_iter().map(|diagnostic| {
        let rest = diagnostic.path.steps().iter().skip(depth).cloned();
        let location = rest.fold(own.clone(), |path, step| path.with(step));
        diagnostic.located_at(location)
    }));
}
