//! The security context as capabilities, flags and a seccomp choice (`pod-api.md` section 6).

use std::ffi::CString;

use podyard_api::core::Container;
use podyard_linux::{Capability, CapabilitySet, CapabilitySets, SecurityLabel};

use super::PodFacts;

/// Which filter a container runs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seccomp {
    RuntimeDefault,
    Unconfined,
    /// A file below the directory of profiles.
    Localhost(String),
}

pub(crate) fn is_privileged(container: &Container) -> bool {
    container
        .security_context
        .as_ref()
        .and_then(|context| context.privileged)
        == Some(true)
}

/// The capabilities of section 6.3, in its order: add ALL, drop ALL, single adds, single drops.
pub(crate) fn capabilities(container: &Container) -> Result<CapabilitySet, String> {
    if is_privileged(container) {
        return Ok(CapabilitySet::available());
    }
    let changes = container
        .security_context
        .as_ref()
        .and_then(|context| context.capabilities.as_ref());
    let added = changes
        .and_then(|changes| changes.add.as_deref())
        .unwrap_or_default();
    let dropped = changes
        .and_then(|changes| changes.drop.as_deref())
        .unwrap_or_default();
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let mut set = if added.iter().any(is_all) {
        CapabilitySet::available()
    } else {
        CapabilitySets::containerd_default().bounding
    };
    if dropped.iter().any(is_all) {
        set = CapabilitySet::default();
    }
    for name in added.iter().filter(|name| !is_all(name)) {
        set.insert(parse(name)?);
    }
    for name in dropped.iter().filter(|name| !is_all(name)) {
        set.remove(parse(name)?);
    }
    Ok(set)
}

fn parse(name: &str) -> Result<Capability, String> {
    name.parse()
        .map_err(|_| format!("unknown capability {name:?} to add or drop"))
}

/// An unset profile means the runtime's default unless `default_seccomp` says otherwise.
pub(crate) fn seccomp(
    container: &Container,
    facts: &PodFacts<'_>,
    default_seccomp: &Seccomp,
) -> Seccomp {
    if is_privileged(container) {
        return Seccomp::Unconfined;
    }
    let own = container
        .security_context
        .as_ref()
        .and_then(|context| context.seccomp_profile.as_ref());
    let pod = facts
        .spec
        .security_context
        .as_ref()
        .and_then(|context| context.seccomp_profile.as_ref());
    let Some(profile) = own.or(pod) else {
        return default_seccomp.clone();
    };
    match profile.type_.as_str() {
        "Unconfined" => Seccomp::Unconfined,
        "Localhost" => Seccomp::Localhost(profile.localhost_profile.clone().unwrap_or_default()),
        _ => Seccomp::RuntimeDefault,
    }
}

/// The label that a container runs under (section 6.8).
///
/// # Errors
///
/// When a profile is asked for that this machine cannot give: nobody runs with less confinement than the manifest says.
pub(crate) fn label(
    container: &Container,
    facts: &PodFacts<'_>,
) -> Result<Option<SecurityLabel>, String> {
    let modules = facts.machine.modules;
    if is_privileged(container) {
        return Ok(None);
    }
    let own = container.security_context.as_ref();
    let pod = facts.spec.security_context.as_ref();
    let profile = own
        .and_then(|own| own.app_armor_profile.as_ref())
        .or_else(|| pod.and_then(|pod| pod.app_armor_profile.as_ref()));
    let text =
        |text: &str| CString::new(text).map_err(|_| "a security label holds a NUL byte".to_owned());
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("Unconfined") => {}
        Some(_) if !modules.apparmor => {
            return Err("Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned());
        }
        Some("Localhost") => {
            let name = profile.and_then(|profile| profile.localhost_profile.as_deref());
            return Ok(Some(SecurityLabel::AppArmor(text(
                name.unwrap_or_default(),
            )?)));
        }
        Some(_) => {
            return Err(
                "Cannot enforce AppArmor: podyard brings no default profile; load one and name it with type Localhost"
                    .to_owned(),
            );
        }
    }
    let options = own
        .and_then(|own| own.se_linux_options.as_ref())
        .or_else(|| pod.and_then(|pod| pod.se_linux_options.as_ref()));
    // Where the kernel has no SELinux the options mean nothing, as in Kubernetes.
    let Some(options) = options.filter(|_| modules.selinux) else {
        return Ok(None);
    };
    let part = |part: &Option<String>, default: &str| {
        part.clone()
            .filter(|part| !part.is_empty())
            .unwrap_or_else(|| default.to_owned())
    };
    let context = format!(
        "{}:{}:{}:{}",
        part(&options.user, "system_u"),
        part(&options.role, "system_r"),
        part(&options.type_, "container_t"),
        part(&options.level, "s0")
    );
    Ok(Some(SecurityLabel::Selinux(text(&context)?)))
}

/// `procMount: Unmasked`, which the API accepts only for pods with users of their own.
pub(crate) fn has_whole_proc(container: &Container) -> bool {
    let context = container.security_context.as_ref();
    context.and_then(|context| context.proc_mount.as_deref()) == Some("Unmasked")
}

/// `allowPrivilegeEscalation: false`; unset means true.
pub(crate) fn no_new_privileges(container: &Container) -> bool {
    container
        .security_context
        .as_ref()
        .and_then(|context| context.allow_privilege_escalation)
        == Some(false)
}

pub(crate) fn readonly_rootfs(container: &Container) -> bool {
    container
        .security_context
        .as_ref()
        .and_then(|context| context.read_only_root_filesystem)
        == Some(true)
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Machine, Modules};
    use podyard_api::core::{Pod, PodSpec};
    use serde_json::{Value, json};

    use super::*;

    fn container(context: Value) -> Container {
        serde_json::from_value(json!({"name": "c", "securityContext": context}))
            .expect("a container")
    }

    #[test]
    fn capabilities_in_the_order_of_the_reference() {
        let default = CapabilitySets::containerd_default().bounding;
        let set = |changes: Value| capabilities(&container(json!({"capabilities": changes})));
        let of = |names: &[&str]| {
            let mut set = CapabilitySet::default();
            for name in names {
                set.insert(name.parse().expect("a capability"));
            }
            set
        };
        let without = |mut set: CapabilitySet, name: &str| {
            set.remove(name.parse().expect("a capability"));
            set
        };
        let with = |mut set: CapabilitySet, name: &str| {
            set.insert(name.parse().expect("a capability"));
            set
        };
        let all = CapabilitySet::available();
        for (changes, expected) in [
            (json!({}), default),
            (json!({"add": ["NET_ADMIN"]}), with(default, "NET_ADMIN")),
            (json!({"drop": ["NET_RAW"]}), without(default, "NET_RAW")),
            (json!({"drop": ["ALL"]}), of(&[])),
            (
                json!({"drop": ["ALL"], "add": ["NET_RAW"]}),
                of(&["NET_RAW"]),
            ),
            (json!({"add": ["ALL"]}), all),
            (
                json!({"add": ["ALL"], "drop": ["NET_RAW"]}),
                without(all, "NET_RAW"),
            ),
            (
                json!({"add": ["KILL"], "drop": ["KILL"]}),
                without(default, "KILL"),
            ),
        ] {
            let shown = changes.to_string();
            assert_eq!(set(changes), Ok(expected), "{shown}");
        }
        assert!(set(json!({"add": ["NO_SUCH"]})).is_err_and(|text| text.contains("NO_SUCH")));
        let privileged = container(json!({"privileged": true, "capabilities": {"drop": ["ALL"]}}));
        assert_eq!(capabilities(&privileged), Ok(all));
    }

    #[test]
    fn labels_are_given_or_refused() {
        let found = |context: Value, apparmor: bool, selinux: bool| {
            let spec = PodSpec::default();
            let pod = Pod::default();
            let machine = Machine {
                modules: Modules { apparmor, selinux },
                ..Machine::default()
            };
            let facts = PodFacts {
                machine: &machine,
                ..PodFacts::alone(&pod, &spec)
            };
            label(&container(context), &facts)
        };
        let profile =
            |kind: &str| json!({"appArmorProfile": {"type": kind, "localhostProfile": "own"}});
        let disabled =
            Err("Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned());
        assert_eq!(found(profile("Localhost"), false, false), disabled);
        assert_eq!(found(profile("RuntimeDefault"), false, false), disabled);
        assert!(found(profile("RuntimeDefault"), true, false).is_err());
        let own = SecurityLabel::AppArmor(c"own".to_owned());
        assert_eq!(found(profile("Localhost"), true, false), Ok(Some(own)));
        assert_eq!(found(profile("Unconfined"), true, false), Ok(None));
        assert_eq!(found(json!({}), true, true), Ok(None));
        let options = json!({"seLinuxOptions": {"level": "s0:c1,c2"}});
        let context = c"system_u:system_r:container_t:s0:c1,c2".to_owned();
        assert_eq!(
            found(options.clone(), false, true),
            Ok(Some(SecurityLabel::Selinux(context)))
        );
        assert_eq!(found(options, false, false), Ok(None));
        let privileged = json!({"privileged": true, "appArmorProfile": {"type": "RuntimeDefault"}});
        assert_eq!(found(privileged, false, false), Ok(None));
    }

    #[test]
    fn the_containers_profile_replaces_the_pods() {
        let check = |pod: Value, own: Value, expected: Seccomp| {
            let spec: PodSpec =
                serde_json::from_value(json!({"containers": [], "securityContext": pod}))
                    .expect("a spec");
            let pod = Pod::default();
            let facts = PodFacts::alone(&pod, &spec);
            let found = seccomp(&container(own), &facts, &Seccomp::RuntimeDefault);
            assert_eq!(found, expected);
        };
        let unconfined = json!({"seccompProfile": {"type": "Unconfined"}});
        let local =
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}});
        check(json!({}), json!({}), Seccomp::RuntimeDefault);
        check(unconfined.clone(), json!({}), Seccomp::Unconfined);
        check(
            unconfined,
            local.clone(),
            Seccomp::Localhost("a/b.json".to_owned()),
        );
        check(
            local,
            json!({"seccompProfile": {"type": "RuntimeDefault"}}),
            Seccomp::RuntimeDefault,
        );
        check(json!({}), json!({"privileged": true}), Seccomp::Unconfined);
    }
}
