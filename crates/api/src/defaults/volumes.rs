//! Defaults of volumes.

use crate::core::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, ObjectFieldSelector, PersistentVolumeClaimSpec,
    Volume,
};

use super::{default_pull_policy, default_to, round};

/// 0644, for files from ConfigMaps, Secrets and the downward API.
const FILE_MODE: i32 = 0o644;

pub(super) fn volume(volume: &mut Volume) {
    if !has_source(volume) {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(config_map) = &mut volume.config_map {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        files(downward.items.as_deref_mut());
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(downward) = &mut source.downward_api {
                files(downward.items.as_deref_mut());
            }
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(3600);
            }
        }
    }
    if let Some(template) = volume
        .ephemeral
        .as_mut()
        .and_then(|ephemeral| ephemeral.volume_claim_template.as_mut())
    {
        claim(&mut template.spec);
    }
    if let Some(image) = &mut volume.image
        && image.pull_policy.as_deref().unwrap_or_default().is_empty()
    {
        let reference = image.reference.as_deref().unwrap_or_default();
        image.pull_policy = Some(default_pull_policy(reference).to_owned());
    }
    old_disks(volume);
}

pub(super) fn claim(spec: &mut PersistentVolumeClaimSpec) {
    default_to(&mut spec.volume_mode, "Filesystem");
    if let Some(resources) = &mut spec.resources {
        round(&mut resources.requests);
        round(&mut resources.limits);
    }
}

fn files(items: Option<&mut [DownwardAPIVolumeFile]>) {
    for item in items.into_iter().flatten() {
        if let Some(ObjectFieldSelector { api_version, .. }) = &mut item.field_ref {
            default_to(api_version, "v1");
        }
    }
}

/// Network and cloud disks, which podyard does not run but prints as the API server would.
fn old_disks(volume: &mut Volume) {
    if let Some(iscsi) = &mut volume.iscsi {
        default_to(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        default_to(&mut rbd.pool, "rbd");
        default_to(&mut rbd.user, "admin");
        default_to(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        default_to(&mut disk.caching_mode, "ReadWrite");
        default_to(&mut disk.kind, "Shared");
        default_to(&mut disk.fs_type, "ext4");
        disk.read_only.get_or_insert(false);
    }
    if let Some(scale_io) = &mut volume.scale_io {
        default_to(&mut scale_io.storage_mode, "ThinProvisioned");
        default_to(&mut scale_io.fs_type, "xfs");
    }
}

/// Whether any of the sources is given.
fn has_source(volume: &Volume) -> bool {
    let without_name = Volume {
        name: String::new(),
        ..volume.clone()
    };
    without_name != Volume::default()
}
