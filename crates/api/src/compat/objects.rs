//! Rows for the kinds that are not Pods. What stands in a template is a pod's, and has the pod's rows.

use super::Status::{Refused, Remark, Warning};
use super::Values::{Any, But, Only};
use super::volumes::{BLOCK, CLAIM, FILLED};
use super::{Row, honoured, row};

const SERVERS: &str = "written by the API server; not taken over from a manifest";
const FINALIZERS: &str = "nothing waits for finalizers on one machine";
const OWNERS: &str =
    "there are no controllers and no garbage collection: an owner means nothing here";
const LOOKED_AFTER: &str = "looked after for as long as `podyard run` stays in the foreground; after `run -d`, a pod that is gone is not replaced";
const BY_HAND: &str = "nothing here waits for a time: `podyard run` runs the job once, at once";
const ROLLOUT: &str = "there are no rollouts: a changed manifest is run anew";
const NOT_BOUND: &str = "there are no volumes to choose from: each claim is a directory of its own";

/// What all of them have.
pub(super) const METADATA: &[Row] = &[
    honoured("apiVersion"),
    honoured("kind"),
    honoured("metadata.name"),
    honoured("metadata.generateName"),
    honoured("metadata.namespace"),
    honoured("metadata.labels"),
    honoured("metadata.annotations"),
    row("metadata.uid", Any, Remark(SERVERS)),
    row("metadata.resourceVersion", Any, Remark(SERVERS)),
    row("metadata.generation", Any, Remark(SERVERS)),
    row("metadata.creationTimestamp", Any, Remark(SERVERS)),
    row("metadata.deletionTimestamp", Any, Remark(SERVERS)),
    row("metadata.deletionGracePeriodSeconds", Any, Remark(SERVERS)),
    row("metadata.selfLink", Any, Remark(SERVERS)),
    row("metadata.managedFields", Any, Remark(SERVERS)),
    row("metadata.finalizers", Any, Remark(FINALIZERS)),
    row("metadata.ownerReferences", Any, Remark(OWNERS)),
    row("status", Any, Remark(SERVERS)),
];

/// The rows of each kind besides those of its metadata.
pub(super) const KINDS: &[(&str, &[Row])] = &[
    (
        "ConfigMap",
        &[
            honoured("data"),
            honoured("binaryData"),
            honoured("immutable"),
        ],
    ),
    (
        "Secret",
        &[
            honoured("data"),
            honoured("stringData"),
            honoured("type"),
            honoured("immutable"),
        ],
    ),
    (
        "PersistentVolumeClaim",
        &[
            row("spec", Any, Remark(CLAIM)),
            honoured("spec.accessModes"),
            row(
                "spec.accessModes[]",
                Only(&["ReadWriteOncePod"]),
                Warning("any pod of the namespace may mount it, several at once too"),
            ),
            honoured("spec.resources"),
            honoured("spec.volumeMode"),
            row("spec.volumeMode", Only(&["Block"]), Refused(BLOCK)),
            row("spec.storageClassName", Any, Remark(NOT_BOUND)),
            row("spec.volumeAttributesClassName", Any, Remark(NOT_BOUND)),
            row("spec.volumeName", Any, Remark(NOT_BOUND)),
            row("spec.selector", Any, Remark(NOT_BOUND)),
            row("spec.dataSource", Any, Refused(FILLED)),
            row("spec.dataSourceRef", Any, Refused(FILLED)),
        ],
    ),
    (
        "Service",
        &[row(
            "spec",
            Any,
            Warning(
                "not served: there is no cluster DNS and no cluster IP here; a `hostPort` is reached from the machine",
            ),
        )],
    ),
    (
        "Deployment",
        &[
            row("kind", Any, Remark(LOOKED_AFTER)),
            honoured("spec.replicas"),
            honoured("spec.selector"),
            honoured("spec.template"),
            row("spec.strategy", Any, Remark(ROLLOUT)),
            row("spec.minReadySeconds", But(&["0"]), Remark(ROLLOUT)),
            row("spec.progressDeadlineSeconds", Any, Remark(ROLLOUT)),
            row("spec.revisionHistoryLimit", Any, Remark(ROLLOUT)),
            row("spec.paused", Only(&["true"]), Remark(ROLLOUT)),
        ],
    ),
    (
        "ReplicaSet",
        &[
            row("kind", Any, Remark(LOOKED_AFTER)),
            honoured("spec.replicas"),
            honoured("spec.selector"),
            honoured("spec.template"),
            row(
                "spec.minReadySeconds",
                But(&["0"]),
                Remark("nothing waits for a ReplicaSet to be available"),
            ),
        ],
    ),
    (
        "StatefulSet",
        &[
            row("kind", Any, Remark(LOOKED_AFTER)),
            honoured("spec.replicas"),
            honoured("spec.selector"),
            honoured("spec.template"),
            honoured("spec.ordinals"),
            honoured("spec.podManagementPolicy"),
            row(
                "spec.serviceName",
                Any,
                Remark(
                    "stands in each pod's `/etc/hosts`; there is no cluster DNS that other pods could ask",
                ),
            ),
            row("spec.volumeClaimTemplates", Any, Remark(CLAIM)),
            row(
                "spec.volumeClaimTemplates[].spec.volumeMode",
                Only(&["Block"]),
                Refused(BLOCK),
            ),
            row(
                "spec.volumeClaimTemplates[].spec.dataSource",
                Any,
                Refused(FILLED),
            ),
            row(
                "spec.volumeClaimTemplates[].spec.dataSourceRef",
                Any,
                Refused(FILLED),
            ),
            honoured("spec.persistentVolumeClaimRetentionPolicy"),
            row(
                "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
                Only(&["Delete"]),
                Warning("claims stay until they are deleted by name"),
            ),
            row(
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
                Only(&["Delete"]),
                Warning("claims stay until they are deleted by name"),
            ),
            row("spec.updateStrategy", Any, Remark(ROLLOUT)),
            row("spec.minReadySeconds", But(&["0"]), Remark(ROLLOUT)),
            row("spec.revisionHistoryLimit", Any, Remark(ROLLOUT)),
        ],
    ),
    (
        "DaemonSet",
        &[
            row("kind", Any, Remark(LOOKED_AFTER)),
            honoured("spec.selector"),
            honoured("spec.template"),
            row("spec.updateStrategy", Any, Remark(ROLLOUT)),
            row("spec.minReadySeconds", But(&["0"]), Remark(ROLLOUT)),
            row("spec.revisionHistoryLimit", Any, Remark(ROLLOUT)),
        ],
    ),
    ("Job", JOB),
    (
        "CronJob",
        &[
            row("spec.schedule", Any, Warning(BY_HAND)),
            row("spec.timeZone", Any, Remark(BY_HAND)),
            row("spec.suspend", Only(&["true"]), Remark(BY_HAND)),
            row("spec.concurrencyPolicy", Any, Remark(BY_HAND)),
            row("spec.startingDeadlineSeconds", Any, Remark(BY_HAND)),
            row("spec.successfulJobsHistoryLimit", Any, Remark(BY_HAND)),
            row("spec.failedJobsHistoryLimit", Any, Remark(BY_HAND)),
            honoured("spec.jobTemplate"),
        ],
    ),
];

/// Of a Job; those of its `spec` hold for the jobs of a CronJob too.
pub(super) const JOB: &[Row] = &[
    honoured("spec.parallelism"),
    honoured("spec.completions"),
    honoured("spec.completionMode"),
    honoured("spec.backoffLimit"),
    honoured("spec.backoffLimitPerIndex"),
    honoured("spec.maxFailedIndexes"),
    honoured("spec.podFailurePolicy"),
    honoured("spec.activeDeadlineSeconds"),
    row(
        "spec.ttlSecondsAfterFinished",
        But(&["0"]),
        Remark("nothing runs once the job has ended: its pods stay until they are deleted"),
    ),
    honoured("spec.suspend"),
    honoured("spec.template"),
    honoured("spec.successPolicy"),
    row(
        "spec.managedBy",
        But(&["kubernetes.io/job-controller"]),
        Refused("there are no other controllers here"),
    ),
    row(
        "spec.podReplacementPolicy",
        Only(&["TerminatingOrFailed"]),
        Remark("a pod is replaced once it has ended, not when it begins to end"),
    ),
    row(
        "spec.selector",
        Any,
        Remark("a job knows its pods without a selector"),
    ),
    row(
        "spec.manualSelector",
        Only(&["true"]),
        Remark("a job knows its pods without a selector"),
    ),
];
