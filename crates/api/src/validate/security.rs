//! Security contexts of pods and containers, and user namespaces.

use std::collections::BTreeSet;

use super::Found;
use super::annotations::containers;
use crate::core::{AppArmorProfile, Container, PodSpec, SeccompProfile, SecurityContext, Sysctl};
use crate::diagnostic::Diagnostic;
use crate::go::json_string;
use crate::names;
use crate::path::Path;

const MAX_APP_ARMOR_NAME: usize = 4095;

pub(super) fn pod(found: &mut Found, spec_path: &Path, spec: &PodSpec) {
    let path = spec_path.field("securityContext");
    let none = crate::core::PodSecurityContext::default();
    let security = spec.security_context.as_ref().unwrap_or(&none);
    found.id(&path.field("fsGroup"), security.fs_group);
    found.id(&path.field("runAsUser"), security.run_as_user);
    found.id(&path.field("runAsGroup"), security.run_as_group);
    for (index, group) in security.supplemental_groups.iter().flatten().enumerate() {
        found.id(&path.field("supplementalGroups").index(index), Some(*group));
    }
    if spec.host_pid == Some(true) && spec.share_process_namespace == Some(true) {
        // The API server keeps this field in the security context.
        let printed = path.field("shareProcessNamespace");
        let message = "ShareProcessNamespace and HostPID cannot both be enabled";
        found.add(
            Diagnostic::invalid_json(&printed, "true", message)
                .located_at(spec_path.field("shareProcessNamespace")),
        );
    }
    sysctls(
        found,
        &path.field("sysctls"),
        spec,
        security.sysctls.as_deref().unwrap_or_default(),
    );
    if let Some(policy) = &security.fs_group_change_policy {
        found.one_of(
            &path.field("fsGroupChangePolicy"),
            policy,
            &["Always", "OnRootMismatch"],
        );
    }
    if let Some(profile) = &security.seccomp_profile {
        seccomp(found, &path.field("seccompProfile"), profile);
    }
    if let Some(profile) = &security.app_armor_profile {
        app_armor(found, &path.field("appArmorProfile"), profile);
    }
    if let Some(policy) = &security.supplemental_groups_policy {
        found.one_of(
            &path.field("supplementalGroupsPolicy"),
            policy,
            &["Merge", "Strict"],
        );
    }
    if let Some(policy) = &security.se_linux_change_policy {
        found.one_of(&path.field("seLinuxChangePolicy"), policy, &["Recursive"]);
    }
}

fn sysctls(found: &mut Found, path: &Path, spec: &PodSpec, sysctls: &[Sysctl]) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(index).field("name");
        let name = sysctl.name.as_str();
        if name.is_empty() {
            found.add(Diagnostic::required(&path, ""));
        } else if !names::is_sysctl(name) {
            let message = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            found.add(Diagnostic::invalid(&path, name, message));
        } else if !seen.insert(name) {
            found.add(Diagnostic::duplicate(&path, name));
        }
        let dotted = name.replace('/', ".");
        if spec.host_network == Some(true) && dotted.starts_with("net.") {
            let message = "may not be specified when 'hostNetwork' is true";
            found.add(Diagnostic::invalid(&path, name, message));
        }
        let of_ipc = dotted == "kernel.sem"
            || ["kernel.shm", "kernel.msg", "fs.mqueue."]
                .iter()
                .any(|prefix| dotted.starts_with(prefix));
        if spec.host_ipc == Some(true) && of_ipc {
            let message = "may not be specified when 'hostIPC' is true";
            found.add(Diagnostic::invalid(&path, name, message));
        }
    }
}

pub(super) fn container(found: &mut Found, path: &Path, container: &Container, spec: &PodSpec) {
    let Some(security) = &container.security_context else {
        return;
    };
    found.id(&path.field("runAsUser"), security.run_as_user);
    found.id(&path.field("runAsGroup"), security.run_as_group);
    if let Some(mount) = &security.proc_mount {
        let at = path.field("procMount");
        found.one_of(&at, mount, &["Default", "Unmasked"]);
        if mount == "Unmasked" && spec.host_users != Some(false) {
            let message = "`hostUsers` must be false to use `Unmasked`";
            found.add(Diagnostic::invalid(&at, mount, message));
        }
    }
    if let Some(profile) = &security.seccomp_profile {
        seccomp(found, &path.field("seccompProfile"), profile);
    }
    if security.allow_privilege_escalation == Some(false) {
        escalation(found, path, security);
    }
    if let Some(profile) = &security.app_armor_profile {
        app_armor(found, &path.field("appArmorProfile"), profile);
    }
}

fn escalation(found: &mut Found, path: &Path, security: &SecurityContext) {
    let at = path.field("allowPrivilegeEscalation");
    let mut refuse = |message: &str| {
        found.add(
            Diagnostic::invalid_json(path, &as_go_json(security), message).located_at(at.clone()),
        );
    };
    if security.privileged == Some(true) {
        refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    let added = security
        .capabilities
        .iter()
        .flat_map(|capabilities| capabilities.add.iter().flatten());
    for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
        refuse(
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        );
    }
}

/// The value as the API server prints it: Go's names of the fields, nothing left out.
fn as_go_json(security: &SecurityContext) -> String {
    fn or_null<T>(value: Option<&T>, print: impl Fn(&T) -> String) -> String {
        value.map_or_else(|| "null".to_owned(), print)
    }
    let list = |items: &Vec<String>| {
        let items: Vec<String> = items.iter().map(|item| json_string(item)).collect();
        format!("[{}]", items.join(","))
    };
    let text = |text: Option<&String>| json_string(text.map_or("", String::as_str));
    let pointer = |text: Option<&String>| or_null(text, |text| json_string(text));
    let fields = [
        (
            "Capabilities",
            or_null(security.capabilities.as_ref(), |capabilities| {
                let (add, drop) = (
                    or_null(capabilities.add.as_ref(), list),
                    or_null(capabilities.drop.as_ref(), list),
                );
                format!(r#"{{"Add":{add},"Drop":{drop}}}"#)
            }),
        ),
        (
            "Privileged",
            or_null(security.privileged.as_ref(), bool::to_string),
        ),
        (
            "SELinuxOptions",
            or_null(security.se_linux_options.as_ref(), |options| {
                format!(
                    r#"{{"User":{},"Role":{},"Type":{},"Level":{}}}"#,
                    text(options.user.as_ref()),
                    text(options.role.as_ref()),
                    text(options.type_.as_ref()),
                    text(options.level.as_ref())
                )
            }),
        ),
        (
            "WindowsOptions",
            or_null(security.windows_options.as_ref(), |options| {
                format!(
                    r#"{{"GMSACredentialSpecName":{},"GMSACredentialSpec":{},"RunAsUserName":{},"HostProcess":{}}}"#,
                    pointer(options.gmsa_credential_spec_name.as_ref()),
                    pointer(options.gmsa_credential_spec.as_ref()),
                    pointer(options.run_as_user_name.as_ref()),
                    or_null(options.host_process.as_ref(), bool::to_string)
                )
            }),
        ),
        (
            "RunAsUser",
            or_null(security.run_as_user.as_ref(), i64::to_string),
        ),
        (
            "RunAsGroup",
            or_null(security.run_as_group.as_ref(), i64::to_string),
        ),
        (
            "RunAsNonRoot",
            or_null(security.run_as_non_root.as_ref(), bool::to_string),
        ),
        (
            "ReadOnlyRootFilesystem",
            or_null(security.read_only_root_filesystem.as_ref(), bool::to_string),
        ),
        (
            "AllowPrivilegeEscalation",
            or_null(
                security.allow_privilege_escalation.as_ref(),
                bool::to_string,
            ),
        ),
        ("ProcMount", pointer(security.proc_mount.as_ref())),
        (
            "SeccompProfile",
            or_null(security.seccomp_profile.as_ref(), |profile| {
                profile_json(&profile.type_, profile.localhost_profile.as_ref())
            }),
        ),
        (
            "AppArmorProfile",
            or_null(security.app_armor_profile.as_ref(), |profile| {
                profile_json(&profile.type_, profile.localhost_profile.as_ref())
            }),
        ),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn profile_json(kind: &str, localhost: Option<&String>) -> String {
    let localhost = localhost.map_or_else(|| "null".to_owned(), |name| json_string(name));
    format!(
        r#"{{"Type":{},"LocalhostProfile":{localhost}}}"#,
        json_string(kind)
    )
}

fn seccomp(found: &mut Found, path: &Path, profile: &SeccompProfile) {
    let at = path.field("type");
    if profile.type_.is_empty() {
        found.add(Diagnostic::required(
            &at,
            "type is required when seccompProfile is set",
        ));
    } else {
        found.one_of(
            &at,
            &profile.type_,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        );
    }
    let at = path.field("localhostProfile");
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("Localhost", None) => found.add(Diagnostic::required(
            &at,
            "must be set when seccomp type is Localhost",
        )),
        ("Localhost", Some(file)) => found.descending_path(&at, &at, file),
        (_, Some(_)) => {
            let value = profile_json(&profile.type_, profile.localhost_profile.as_ref());
            let message = "can only be set when seccomp type is Localhost";
            found.add(Diagnostic::invalid_json(&at, &value, message));
        }
        (_, None) => {}
    }
}

fn app_armor(found: &mut Found, path: &Path, profile: &AppArmorProfile) {
    let at = path.field("localhostProfile");
    let name = profile.localhost_profile.as_deref();
    match profile.type_.as_str() {
        "Localhost" => {
            let needed = Diagnostic::required(&at, "must be set when AppArmor type is Localhost");
            match name {
                None => found.add(needed),
                Some(name) if name.trim() != name => {
                    found.add(Diagnostic::invalid(
                        &at,
                        name,
                        "must not be padded with whitespace",
                    ));
                }
                Some("") => found.add(needed),
                Some(name) if name.len() > MAX_APP_ARMOR_NAME => {
                    found.add(Diagnostic::too_long(&at, MAX_APP_ARMOR_NAME));
                }
                Some(_) => {}
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if let Some(name) = name {
                let message = "can only be set when AppArmor type is Localhost";
                found.add(Diagnostic::invalid(&at, name, message));
            }
        }
        "" => found.add(Diagnostic::required(
            &path.field("type"),
            "type is required when appArmorProfile is set",
        )),
        other => found.add(Diagnostic::unsupported(
            &path.field("type"),
            other,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
}

/// With a user namespace of its own a pod cannot share the host's other namespaces.
pub(super) fn host_users(found: &mut Found, path: &Path, spec: &PodSpec) {
    if spec.host_users != Some(false) {
        return;
    }
    const MESSAGE: &str = "when `hostUsers` is false";
    for (container_path, container) in containers(spec) {
        if container
            .volume_devices
            .as_ref()
            .is_some_and(|devices| !devices.is_empty())
        {
            found.add(Diagnostic::forbidden(
                &container_path.field("volumeDevices"),
                MESSAGE,
            ));
        }
    }
    // The capital letters are the API server's.
    for (printed, field, set) in [
        ("hostNetwork", "hostNetwork", spec.host_network),
        ("HostPID", "hostPID", spec.host_pid),
        ("HostIPC", "hostIPC", spec.host_ipc),
    ] {
        if set == Some(true) {
            found.add(
                Diagnostic::forbidden(&path.field(printed), MESSAGE).located_at(path.field(field)),
            );
        }
    }
}
