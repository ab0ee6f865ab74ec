//! Rows for the metadata and the pod as a whole.

use super::Status::{Refused, Remark, Warning};
use super::Values::{Any, But, Only};
use super::{Row, Values, honoured, row};

const SERVERS: &str = "written by the API server; not taken over from a manifest";
const ONE_MACHINE: &str = "there is one machine to choose from";
const OLD_SECCOMP: &str = "without effect since Kubernetes 1.27; use the field `seccompProfile`";
const NO_PREEMPTION: &str = "no pod makes room for another on one machine";

pub(super) const METADATA: &[Row] = &[
    honoured("apiVersion"),
    honoured("kind"),
    honoured("metadata.name"),
    honoured("metadata.generateName"),
    honoured("metadata.namespace"),
    honoured("metadata.labels"),
    row(
        "metadata.labels[kubernetes.io/os]",
        But(&["linux"]),
        Refused(
            "a node refuses a pod with the label of another operating system; podyard runs Linux containers",
        ),
    ),
    honoured("metadata.annotations"),
    row(
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/*]",
        Only(&["runtime/default"]),
        Warning(
            "podyard brings no default profile, so the pod is rejected: name one that is loaded, as `localhost/NAME`",
        ),
    ),
    row(
        "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]",
        Any,
        Warning(OLD_SECCOMP),
    ),
    row(
        "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/*]",
        Any,
        Warning(OLD_SECCOMP),
    ),
    honoured("metadata.annotations[kubernetes.io/ingress-bandwidth]"),
    honoured("metadata.annotations[kubernetes.io/egress-bandwidth]"),
    row("metadata.uid", Any, Remark(SERVERS)),
    row("metadata.resourceVersion", Any, Remark(SERVERS)),
    row("metadata.generation", Any, Remark(SERVERS)),
    row("metadata.creationTimestamp", Any, Remark(SERVERS)),
    row("metadata.deletionTimestamp", Any, Remark(SERVERS)),
    row("metadata.deletionGracePeriodSeconds", Any, Remark(SERVERS)),
    row("metadata.selfLink", Any, Remark(SERVERS)),
    row("metadata.managedFields", Any, Remark(SERVERS)),
    row(
        "metadata.finalizers",
        Any,
        Remark("nothing waits for finalizers on one machine"),
    ),
    row(
        "metadata.ownerReferences",
        Any,
        Remark("there are no controllers and no garbage collection: an owner means nothing here"),
    ),
    row("status", Any, Remark(SERVERS)),
];

pub(super) const SPEC: &[Row] = &[
    honoured("spec.containers"),
    honoured("spec.initContainers"),
    row(
        "spec.ephemeralContainers",
        Values::Refused,
        Refused(
            "Kubernetes does not take them in a manifest either: `podyard debug POD --image=IMAGE` adds one to a running pod",
        ),
    ),
    honoured("spec.restartPolicy"),
    honoured("spec.terminationGracePeriodSeconds"),
    honoured("spec.activeDeadlineSeconds"),
    honoured("spec.hostNetwork"),
    honoured("spec.hostPID"),
    honoured("spec.hostIPC"),
    honoured("spec.hostUsers"),
    honoured("spec.shareProcessNamespace"),
    honoured("spec.hostname"),
    honoured("spec.hostnameOverride"),
    row(
        "spec.subdomain",
        Any,
        Remark("stands in `/etc/hosts`; there is no cluster DNS that other pods could ask"),
    ),
    honoured("spec.setHostnameAsFQDN"),
    honoured("spec.hostAliases"),
    honoured("spec.dnsConfig"),
    honoured("spec.dnsPolicy"),
    row(
        "spec.dnsPolicy",
        Only(&["ClusterFirstWithHostNet"]),
        Remark("there is no cluster DNS: the machine's own resolvers are used"),
    ),
    row(
        "spec.enableServiceLinks",
        But(&["false"]),
        Remark("there are no Services whose variables could be set"),
    ),
    row("spec.affinity", Any, Remark(ONE_MACHINE)),
    row("spec.nodeSelector", Any, Remark(ONE_MACHINE)),
    row(
        "spec.nodeSelector[kubernetes.io/os]",
        But(&["linux"]),
        Warning("asks for another operating system than this machine's"),
    ),
    row("spec.tolerations", Any, Remark(ONE_MACHINE)),
    row("spec.topologySpreadConstraints", Any, Remark(ONE_MACHINE)),
    row(
        "spec.nodeName",
        Any,
        Remark("the pod runs on this machine, whatever its name is"),
    ),
    row(
        "spec.schedulerName",
        But(&["", "default-scheduler"]),
        Remark(ONE_MACHINE),
    ),
    row(
        "spec.schedulingGates",
        Any,
        Refused("a gated pod is never started, and nothing here lifts the gate: remove it"),
    ),
    row(
        "spec.schedulingGroup",
        Any,
        Remark("belongs to a feature that is off in Kubernetes 1.36, and is dropped as there"),
    ),
    row("spec.priority", But(&["0"]), Remark(NO_PREEMPTION)),
    row("spec.priorityClassName", But(&[""]), Remark(NO_PREEMPTION)),
    row("spec.preemptionPolicy", Any, Remark(NO_PREEMPTION)),
    row(
        "spec.readinessGates",
        Any,
        Warning(
            "no controller runs here that would set the condition: `podyard condition POD TYPE=True` does",
        ),
    ),
    row(
        "spec.serviceAccountName",
        But(&["", "default"]),
        Remark("known to the downward API; there is no account behind the name"),
    ),
    row(
        "spec.serviceAccount",
        But(&["", "default"]),
        Remark("the old name of `serviceAccountName`"),
    ),
    row(
        "spec.automountServiceAccountToken",
        But(&["false"]),
        Remark("there is no API server that could issue a token"),
    ),
    honoured("spec.imagePullSecrets"),
    row(
        "spec.runtimeClassName",
        Any,
        Refused(
            "podyard starts containers itself, there is no other runtime to choose; remove the field to run without",
        ),
    ),
    honoured("spec.overhead"),
    honoured("spec.resources"),
    row(
        "spec.resourceClaims",
        Any,
        Refused("there are no drivers here that could give devices"),
    ),
    honoured("spec.os"),
    row(
        "spec.os.name",
        Only(&["windows"]),
        Refused("podyard runs Linux containers"),
    ),
];

pub(super) const SECURITY: &[Row] = &[
    honoured("spec.securityContext.runAsUser"),
    honoured("spec.securityContext.runAsGroup"),
    honoured("spec.securityContext.runAsNonRoot"),
    honoured("spec.securityContext.supplementalGroups"),
    honoured("spec.securityContext.supplementalGroupsPolicy"),
    honoured("spec.securityContext.fsGroup"),
    row(
        "spec.securityContext.fsGroupChangePolicy",
        Any,
        Remark("Kubernetes looks at it for persistent volumes only"),
    ),
    honoured("spec.securityContext.sysctls"),
    honoured("spec.securityContext.seccompProfile"),
    row(
        "spec.securityContext.seccompProfile.localhostProfile",
        Any,
        Remark("a file below `seccomp` in podyard's state directory, `/var/lib/podyard/seccomp`"),
    ),
    honoured("spec.securityContext.appArmorProfile"),
    row(
        "spec.securityContext.appArmorProfile.type",
        Only(&["RuntimeDefault"]),
        Warning(
            "podyard brings no default profile, so the pod is rejected: name one that is loaded, with type `Localhost`",
        ),
    ),
    row(
        "spec.securityContext.seLinuxOptions",
        Any,
        Remark("set where the kernel runs SELinux; the files of volumes are not relabelled"),
    ),
    row(
        "spec.securityContext.seLinuxChangePolicy",
        Any,
        Remark("no volume is labelled for SELinux"),
    ),
    row(
        "spec.securityContext.windowsOptions",
        Any,
        Remark("for Windows; Linux does not look at it"),
    ),
];
