//! Rows for app containers, init containers and sidecars.

use super::Status::{Refused, Remark, Warning};
use super::Values::{Any, But, Only};
use super::{Row, honoured, row};

const ALWAYS_FAILS: &str = "Kubernetes accepts such a hook, and it always fails";

pub(super) const CONTAINER: &[Row] = &[
    honoured("container.name"),
    honoured("container.image"),
    row(
        "container.imagePullPolicy",
        Only(&["Always"]),
        Remark("an image that was imported came from no registry, and none is asked about it"),
    ),
    honoured("container.command"),
    honoured("container.args"),
    honoured("container.workingDir"),
    honoured("container.env"),
    honoured("container.envFrom"),
    honoured("container.ports"),
    row(
        "spec.initContainers[].ports[].hostPort",
        But(&["0"]),
        Remark("as in Kubernetes, ports of init containers and sidecars are not published"),
    ),
    honoured("container.resources.limits"),
    honoured("container.resources.requests"),
    row(
        "container.resources.limits[*/*]",
        Any,
        Warning(
            "there are no device plugins: nothing is given for it, as on a node that does not know the resource",
        ),
    ),
    row(
        "container.resources.claims",
        Any,
        Refused("there are no drivers here that could give devices"),
    ),
    row(
        "container.resizePolicy",
        Any,
        Remark("containers are not resized while they run"),
    ),
    honoured("container.restartPolicy"),
    honoured("container.restartPolicyRules"),
    honoured("container.volumeMounts"),
    row(
        "container.volumeDevices",
        Any,
        Refused("block devices are not given to containers by this version"),
    ),
    honoured("container.livenessProbe"),
    honoured("container.readinessProbe"),
    honoured("container.startupProbe"),
    honoured("container.lifecycle.postStart"),
    row(
        "container.lifecycle.postStart.tcpSocket",
        Any,
        Warning(ALWAYS_FAILS),
    ),
    honoured("container.lifecycle.preStop"),
    row(
        "container.lifecycle.preStop.tcpSocket",
        Any,
        Warning(ALWAYS_FAILS),
    ),
    row(
        "container.lifecycle.stopSignal",
        Any,
        Remark(
            "belongs to a feature that is off in Kubernetes 1.36, and is dropped as there: the image's stop signal counts",
        ),
    ),
    honoured("container.terminationMessagePath"),
    honoured("container.terminationMessagePolicy"),
    honoured("container.stdin"),
    honoured("container.stdinOnce"),
    honoured("container.tty"),
];

pub(super) const SECURITY: &[Row] = &[
    honoured("container.securityContext.privileged"),
    honoured("container.securityContext.capabilities"),
    honoured("container.securityContext.allowPrivilegeEscalation"),
    honoured("container.securityContext.readOnlyRootFilesystem"),
    honoured("container.securityContext.runAsUser"),
    honoured("container.securityContext.runAsGroup"),
    honoured("container.securityContext.runAsNonRoot"),
    honoured("container.securityContext.procMount"),
    honoured("container.securityContext.seccompProfile"),
    row(
        "container.securityContext.seccompProfile.localhostProfile",
        Any,
        Remark("a file below `seccomp` in podyard's state directory, `/var/lib/podyard/seccomp`"),
    ),
    honoured("container.securityContext.appArmorProfile"),
    row(
        "container.securityContext.appArmorProfile.type",
        Only(&["RuntimeDefault"]),
        Warning(
            "podyard brings no default profile, so the pod is rejected: name one that is loaded, with type `Localhost`",
        ),
    ),
    row(
        "container.securityContext.seLinuxOptions",
        Any,
        Remark("set where the kernel runs SELinux; the files of volumes are not relabelled"),
    ),
    row(
        "container.securityContext.windowsOptions",
        Any,
        Remark("for Windows; Linux does not look at it"),
    ),
];
