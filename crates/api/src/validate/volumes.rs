//! The volumes of a pod: names, exactly one source each, and which of them mounts may refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::pod::Of;
use super::{Found, volume_sources};
use crate::core::{PodSpec, Volume};
use crate::diagnostic::Diagnostic;
use crate::path::Path;

/// Checks all volumes and returns the ones that are right. A wrong one is unknown to mounts, as in the API server.
pub(super) fn volumes<'a>(
    found: &mut Found,
    path: &Path,
    spec: &'a PodSpec,
    pod_name: &str,
    of: Of,
) -> BTreeMap<String, &'a Volume> {
    let mut known = BTreeMap::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = path.index(index);
        let mut own = Found::default();
        volume_sources::sources(&mut own, &path, volume, of);
        own.required_label(&path.field("name"), &volume.name);
        if known.contains_key(&volume.name) {
            own.add(Diagnostic::duplicate(&path.field("name"), &volume.name));
        }
        if own.0.is_empty() {
            known.insert(volume.name.clone(), volume);
        } else {
            found.0.append(&mut own.0);
        }
    }
    ephemeral_claims(found, path, spec, pod_name);
    known
}

/// A claim that is made for an `ephemeral` volume is that volume's alone.
fn ephemeral_claims(found: &mut Found, path: &Path, spec: &PodSpec, pod_name: &str) {
    let made: BTreeSet<String> = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.ephemeral.is_some())
        .map(|volume| format!("{pod_name}-{}", volume.name))
        .collect();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let Some(claim) = &volume.persistent_volume_claim else {
            continue;
        };
        if made.contains(&claim.claim_name) {
            let message = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.index(index).field("persistentVolumeClaim.claimName");
            found.add(Diagnostic::invalid(&path, &claim.claim_name, message));
        }
    }
}
