//! `spec.os` and the fields that the other operating system does not have.

use super::Found;
use super::annotations::containers;
use crate::core::PodSpec;
use crate::diagnostic::Diagnostic;
use crate::path::Path;

pub(super) fn operating_system(found: &mut Found, path: &Path, spec: &PodSpec) {
    let Some(os) = &spec.os else {
        return;
    };
    let at = path.field("os");
    match os.name.as_str() {
        "" => found.add(Diagnostic::required(&at.field("name"), "")),
        "linux" => linux(found, path, spec),
        "windows" => windows(found, path, spec),
        other => found.add(
            Diagnostic::unsupported(&at, other, &["linux", "windows"]).located_at(at.field("name")),
        ),
    }
}

fn linux(found: &mut Found, path: &Path, spec: &PodSpec) {
    let message = "windows options cannot be set for a linux pod";
    if spec
        .security_context
        .as_ref()
        .is_some_and(|security| security.windows_options.is_some())
    {
        found.add(Diagnostic::forbidden(
            &path.field("securityContext.windowsOptions"),
            message,
        ));
    }
    for (path, container) in containers(spec) {
        if container
            .security_context
            .as_ref()
            .is_some_and(|security| security.windows_options.is_some())
        {
            found.add(Diagnostic::forbidden(
                &path.field("securityContext.windowsOptions"),
                message,
            ));
        }
    }
}

fn windows(found: &mut Found, path: &Path, spec: &PodSpec) {
    let mut refuse = |path: &Path, field: &str, set: bool| {
        if set {
            found.add(Diagnostic::forbidden(
                &path.field(field),
                "cannot be set for a windows pod",
            ));
        }
    };
    let none = crate::core::PodSecurityContext::default();
    let security = spec.security_context.as_ref().unwrap_or(&none);
    let at = path.field("securityContext");
    let has_sysctls = security.sysctls.iter().flatten().next().is_some();
    for (path, field, set) in [
        (&at, "appArmorProfile", security.app_armor_profile.is_some()),
        (&at, "seLinuxOptions", security.se_linux_options.is_some()),
        (path, "hostUsers", spec.host_users.is_some()),
        (path, "hostPID", spec.host_pid == Some(true)),
        (path, "hostIPC", spec.host_ipc == Some(true)),
        (&at, "seccompProfile", security.seccomp_profile.is_some()),
        (&at, "fsGroup", security.fs_group.is_some()),
        (
            &at,
            "fsGroupChangePolicy",
            security.fs_group_change_policy.is_some(),
        ),
        (&at, "sysctls", has_sysctls),
        (
            path,
            "shareProcessNamespace",
            spec.share_process_namespace.is_some(),
        ),
        (&at, "runAsUser", security.run_as_user.is_some()),
        (&at, "runAsGroup", security.run_as_group.is_some()),
        (
            &at,
            "supplementalGroups",
            security.supplemental_groups.is_some(),
        ),
        (
            &at,
            "supplementalGroupsPolicy",
            security.supplemental_groups_policy.is_some(),
        ),
        (
            &at,
            "seLinuxChangePolicy",
            security.se_linux_change_policy.is_some(),
        ),
    ] {
        refuse(path, field, set);
    }
    for (path, container) in containers(spec) {
        let Some(security) = &container.security_context else {
            continue;
        };
        let at = path.field("securityContext");
        for (field, set) in [
            ("appArmorProfile", security.app_armor_profile.is_some()),
            ("seLinuxOptions", security.se_linux_options.is_some()),
            ("seccompProfile", security.seccomp_profile.is_some()),
            ("capabilities", security.capabilities.is_some()),
            (
                "readOnlyRootFilesystem",
                security.read_only_root_filesystem.is_some(),
            ),
            ("privileged", security.privileged.is_some()),
            (
                "allowPrivilegeEscalation",
                security.allow_privilege_escalation.is_some(),
            ),
            ("procMount", security.proc_mount.is_some()),
            ("runAsUser", security.run_as_user.is_some()),
            ("runAsGroup", security.run_as_group.is_some()),
        ] {
            refuse(&at, field, set);
        }
    }
}
