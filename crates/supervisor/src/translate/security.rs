//! The security context as capabilities, flags and a seccomp choice (`pod-api.md` section 6).

use podyard_api::core::Container;
use podyard_linux::{Capability, CapabilitySet, CapabilitySets};

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

/// An unset profile means the runtime's default unless `default_seccomp` says otherwise (design.md section 5).
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
    use podyard_api::core::{Pod, PodSpec};
    use serde_json::{Value, json};

    use super::super::machine::Machine;
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
    fn the_containers_profile_replaces_the_pods() {
        let check = |pod: Value, own: Value, expected: Seccomp| {
            let spec: PodSpec =
                serde_json::from_value(json!({"containers": [], "securityContext": pod}))
                    .expect("a spec");
            let facts = PodFacts {
                pod: &Pod::default(),
                spec: &spec,
                config_maps: &[],
                secrets: &[],
                pod_ips: &[],
                host_ips: &[],
                node_name: "n",
                machine: &Machine::default(),
            };
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
