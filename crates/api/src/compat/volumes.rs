//! Rows for volumes. A source that is not made must be refused: an empty directory in its place would be worse.

use super::Status::{Refused, Remark};
use super::Values::{Any, Only};
use super::{Row, honoured, row};

const REMOTE: &str =
    "disks of a network or a cloud are not attached: mount it on the machine and use a `hostPath`";
const DRIVER: &str = "there are no volume drivers here";
pub(super) const CLAIM: &str = "a directory of this machine; its size is not limited";
pub(super) const BLOCK: &str = "block devices are not given to containers by this version";
pub(super) const FILLED: &str = "claims are not filled from a data source: use an init container";
const GATE: &str = "belongs to a feature that is off in Kubernetes 1.36, and is dropped as there";

pub(super) const VOLUMES: &[Row] = &[
    honoured("spec.volumes[].name"),
    honoured("spec.volumes[].emptyDir"),
    honoured("spec.volumes[].emptyDir.medium"),
    honoured("spec.volumes[].emptyDir.sizeLimit"),
    honoured("spec.volumes[].hostPath"),
    honoured("spec.volumes[].configMap"),
    honoured("spec.volumes[].secret"),
    honoured("spec.volumes[].downwardAPI"),
    honoured("spec.volumes[].projected.defaultMode"),
    honoured("spec.volumes[].projected.sources"),
    row(
        "spec.volumes[].projected.sources[].serviceAccountToken",
        Any,
        Refused("there is no API server that could issue a token"),
    ),
    row(
        "spec.volumes[].projected.sources[].clusterTrustBundle",
        Any,
        Remark(GATE),
    ),
    row(
        "spec.volumes[].projected.sources[].podCertificate",
        Any,
        Remark(GATE),
    ),
    row("spec.volumes[].persistentVolumeClaim", Any, Remark(CLAIM)),
    honoured("spec.volumes[].persistentVolumeClaim.readOnly"),
    row("spec.volumes[].ephemeral", Any, Remark(CLAIM)),
    row(
        "spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode",
        Only(&["Block"]),
        Refused(BLOCK),
    ),
    row(
        "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSource",
        Any,
        Refused(FILLED),
    ),
    row(
        "spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef",
        Any,
        Refused(FILLED),
    ),
    honoured("spec.volumes[].image"),
    row(
        "spec.volumes[].gitRepo",
        Any,
        Refused("never mounts in Kubernetes 1.36 either: clone in an init container"),
    ),
    row("spec.volumes[].nfs", Any, Refused(REMOTE)),
    row("spec.volumes[].iscsi", Any, Refused(REMOTE)),
    row("spec.volumes[].fc", Any, Refused(REMOTE)),
    row("spec.volumes[].cephfs", Any, Refused(REMOTE)),
    row("spec.volumes[].rbd", Any, Refused(REMOTE)),
    row("spec.volumes[].glusterfs", Any, Refused(REMOTE)),
    row("spec.volumes[].awsElasticBlockStore", Any, Refused(REMOTE)),
    row("spec.volumes[].azureDisk", Any, Refused(REMOTE)),
    row("spec.volumes[].azureFile", Any, Refused(REMOTE)),
    row("spec.volumes[].cinder", Any, Refused(REMOTE)),
    row("spec.volumes[].gcePersistentDisk", Any, Refused(REMOTE)),
    row("spec.volumes[].vsphereVolume", Any, Refused(REMOTE)),
    row("spec.volumes[].photonPersistentDisk", Any, Refused(REMOTE)),
    row("spec.volumes[].quobyte", Any, Refused(REMOTE)),
    row("spec.volumes[].flocker", Any, Refused(REMOTE)),
    row("spec.volumes[].portworxVolume", Any, Refused(REMOTE)),
    row("spec.volumes[].scaleIO", Any, Refused(REMOTE)),
    row("spec.volumes[].storageos", Any, Refused(REMOTE)),
    row("spec.volumes[].csi", Any, Refused(DRIVER)),
    row("spec.volumes[].flexVolume", Any, Refused(DRIVER)),
];
