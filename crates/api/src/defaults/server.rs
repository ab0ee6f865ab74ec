//! Fields that are the server's to write. A manifest that was printed by `kubectl get -o yaml` holds them; they describe the
//! pod that was, not the one to be.

use crate::meta::ObjectMeta;

use crate::core::Pod;

pub(super) fn reset(pod: &mut Pod) {
    pod.status = None;
    forget_servers_part(&mut pod.metadata);
}

/// Takes away what the API server writes itself: a manifest has no say in it.
pub fn forget_servers_part(metadata: &mut ObjectMeta) {
    metadata.uid = None;
    metadata.resource_version = None;
    metadata.generation = None;
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    metadata.self_link = None;
    metadata.managed_fields = None;
}
