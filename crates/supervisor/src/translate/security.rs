//! The security context as capabilities, flags and a seccomp choice (`pod-api.md` section 6).

use podyard_api::core::Container;
use podyard_linux::{Capability, CapabilitySet, CapabilitySets};

use super::PodFacts;

/// Which filter a container runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seccomp {
    RuntimeDefault,
    Unconfined,
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
    default_seccomp: Seccomp,
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
    match own.or(pod).map(|profile| profile.type_.as_str()) {
        Some("Unconfined") => Seccomp::Unconfined,
        Some(_) => Seccomp::RuntimeDefault,
        None => default_seccomp,
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
