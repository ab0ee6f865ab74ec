//! Fields that belong to features which are off in Kubernetes 1.36. The API server drops them without a word; here the table
//! of fields (`compat`) has a remark for each.

use crate::core::{PodSpec, VolumeProjection};

pub(super) fn drop_disabled(spec: &mut PodSpec) {
    // GenericWorkload
    spec.scheduling_group = None;
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        // ContainerStopSignals
        if let Some(lifecycle) = &mut container.lifecycle {
            lifecycle.stop_signal = None;
        }
    }
    for volume in spec.volumes.iter_mut().flatten() {
        let sources = volume
            .projected
            .iter_mut()
            .flat_map(|projected| projected.sources.iter_mut().flatten());
        // ClusterTrustBundleProjection, PodCertificateRequest: the entry stays, without content.
        sources.for_each(drop_projection);
    }
}

fn drop_projection(source: &mut VolumeProjection) {
    source.cluster_trust_bundle = None;
    source.pod_certificate = None;
}
