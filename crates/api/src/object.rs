//! The kinds of objects a manifest may hold.

use crate::core::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use crate::meta::ObjectMeta;
use crate::workloads::Workload;

/// One decoded object. More kinds become further variants, with a row each in the table of known kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `v1` `Pod`
    Pod(Box<Pod>),
    /// `v1` `ConfigMap`
    ConfigMap(Box<ConfigMap>),
    /// `v1` `Secret`
    Secret(Box<Secret>),
    /// `v1` `PersistentVolumeClaim`
    PersistentVolumeClaim(Box<PersistentVolumeClaim>),
    /// `v1` `Service`
    Service(Box<Service>),
    /// A kind that pods are made of.
    Workload(Workload),
}

impl Object {
    /// `kind`
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pod(_) => "Pod",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Secret(_) => "Secret",
            Self::PersistentVolumeClaim(_) => "PersistentVolumeClaim",
            Self::Service(_) => "Service",
            Self::Workload(workload) => workload.kind(),
        }
    }

    /// The object's name, namespace, labels and so on.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Pod(pod) => &pod.metadata,
            Self::ConfigMap(map) => &map.metadata,
            Self::Secret(secret) => &secret.metadata,
            Self::PersistentVolumeClaim(claim) => &claim.metadata,
            Self::Service(service) => &service.metadata,
            Self::Workload(workload) => workload.metadata(),
        }
    }
}
