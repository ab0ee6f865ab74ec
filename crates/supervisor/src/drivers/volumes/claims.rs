//! `persistentVolumeClaim` and `ephemeral`: directories of this machine (`pod-api.md` section 5.7).
//!
//! A claim's directory is made when a pod first mounts it and stays when the pod is gone; who deletes the claim deletes it
//! ([`remove`]). A claim of the pod's own is below the pod's directory and goes with it. Sizes are not enforced.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use podyard_api::core::{PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume};

use super::super::World;
use super::{fs_group, make_once};
use crate::kept;
use crate::roots::Roots;

pub(super) async fn set_up(
    world: &World,
    source: &PersistentVolumeClaimVolumeSource,
    path: &Path,
) -> Result<(), String> {
    let name = &source.claim_name;
    let objects = Rc::clone(&world.live.objects.borrow());
    let claim = objects
        .claim(name)
        .filter(|_| kept::is_plain(name))
        .ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    check(claim.spec.as_ref())?;
    if let Some(parent) = path.parent() {
        // Directories in it are everybody's; the way to them is not.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| format!("mkdir {}: {error}", parent.display()))?;
    }
    make_once(path, None)?;
    if source.read_only == Some(true) {
        return Ok(());
    }
    give(world, path).await
}

/// The claim that the pod brings along.
pub(super) async fn set_up_own(world: &World, volume: &Volume, path: &Path) -> Result<(), String> {
    let source = volume.ephemeral.as_ref();
    let template = source.and_then(|source| source.volume_claim_template.as_ref());
    check(template.map(|template| &template.spec))?;
    make_once(path, None)?;
    give(world, path).await
}

async fn give(world: &World, path: &Path) -> Result<(), String> {
    match fs_group::of(world.spec()) {
        Some(group) => fs_group::give(path, group, fs_group::trusts_root(world.spec())).await,
        None => Ok(()),
    }
}

/// What a directory cannot be.
fn check(spec: Option<&PersistentVolumeClaimSpec>) -> Result<(), String> {
    let Some(spec) = spec else { return Ok(()) };
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err("volumeMode Block is not provided on this machine: use Filesystem".to_owned());
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Err("claims are not filled from a data source on this machine".to_owned());
    }
    Ok(())
}

pub(super) fn directory(world: &World, claim: &str) -> PathBuf {
    let namespace = world.with_facts(|facts| facts.namespace().to_owned());
    world.roots.volumes().join(namespace).join(claim)
}

/// Deletes the data of a claim. The claim must be of no use to any pod.
///
/// # Errors
///
/// When there is data and it cannot be deleted.
pub fn remove(roots: &Roots, namespace: &str, claim: &str) -> io::Result<()> {
    if !kept::is_plain(namespace) || !kept::is_plain(claim) {
        return Ok(());
    }
    match std::fs::remove_dir_all(roots.volumes().join(namespace).join(claim)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
