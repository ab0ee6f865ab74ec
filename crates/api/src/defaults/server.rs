//! Fields that are the server's to write. A manifest that was printed by `kubectl get -o yaml` holds them; they describe the
//! pod that was, not the one to be.

use crate::core::Pod;

pub(super) fn reset(pod: &mut Pod) {
    pod.status = None;
    let metadata = &mut pod.metadata;
    metadata.uid = None;
    metadata.resource_version = None;
    metadata.generation = None;
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    metadata.self_link = None;
    metadata.managed_fields = None;
}
