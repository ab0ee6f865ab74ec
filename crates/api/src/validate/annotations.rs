//! Annotations of a Pod that mean something to a node, and those that once did and are still checked.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use crate::core::{AppArmorProfile, Container, PodSpec};
use crate::diagnostic::Diagnostic;
use crate::path::Path;

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

type Annotations = BTreeMap<String, String>;

pub(super) fn annotations(found: &mut Found, annotations: Option<&Annotations>, spec: &PodSpec) {
    let path = Path::fields("metadata.annotations");
    for (key, value) in annotations.into_iter().flatten() {
        if key == MIRROR && spec.node_name.as_deref().unwrap_or_default().is_empty() {
            let message = "must set spec.nodeName if mirror pod annotation is set";
            found.add(Diagnostic::invalid(&path.key(key), value, message));
        }
        if key == DELETION_COST && !is_cost(value) {
            found.add(Diagnostic::invalid(
                &path.key(key),
                value,
                "must be a 32bit integer",
            ));
        }
    }
    for (key, value) in annotations.into_iter().flatten() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(found, &path, key, value);
        }
    }
    let names: BTreeSet<&str> = containers(spec)
        .map(|(_, container)| container.name.as_str())
        .collect();
    for (key, value) in annotations.into_iter().flatten() {
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            app_armor(found, &path.key(key), container, value, &names);
        }
    }
}

/// Digits with an optional minus; neither a plus sign nor leading zeros.
fn is_cost(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    value.is_empty() || (plain && value.parse::<i32>().is_ok())
}

fn seccomp(found: &mut Found, path: &Path, key: &str, value: &str) {
    // The API server takes the key for a field here.
    let printed = path.field_named(key);
    if matches!(value, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match value.strip_prefix("localhost/") {
        Some(profile) => found.descending_path(&printed, &path.key(key), profile),
        None => found.add(
            Diagnostic::invalid(&printed, value, "must be a valid seccomp profile")
                .located_at(path.key(key)),
        ),
    }
}

fn app_armor(found: &mut Found, path: &Path, container: &str, value: &str, names: &BTreeSet<&str>) {
    if !names.contains(container) {
        found.add(Diagnostic::invalid(path, container, "container not found"));
    }
    if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
        let detail = format!("invalid AppArmor profile name: {}", crate::go::quote(value));
        found.add(Diagnostic::invalid(path, value, &detail));
    }
}

/// The annotation and the field must ask for the same.
pub(super) fn app_armor_match(
    found: &mut Found,
    annotations: Option<&Annotations>,
    spec: &PodSpec,
) {
    for (path, container) in containers(spec) {
        let key = format!("{APP_ARMOR}{}", container.name);
        let Some(annotation) = annotations.and_then(|all| all.get(&key)) else {
            continue;
        };
        let field = container
            .security_context
            .as_ref()
            .and_then(|security| security.app_armor_profile.as_ref());
        if let Some(profile) = field {
            let path = path.field("securityContext.appArmorProfile");
            if let Some((field, message)) = mismatch(profile, annotation) {
                found.add(Diagnostic::forbidden(&path.field(field), message));
            }
        }
    }
}

fn mismatch(profile: &AppArmorProfile, annotation: &str) -> Option<(&'static str, &'static str)> {
    const TYPE: (&str, &str) = ("type", "apparmor type in annotation and field must match");
    const NAME: (&str, &str) = (
        "localhostProfile",
        "apparmor profile in annotation and field must match",
    );
    match profile.type_.as_str() {
        "Unconfined" => (annotation != "unconfined").then_some(TYPE),
        "RuntimeDefault" => (annotation != "runtime/default").then_some(TYPE),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            None => Some(TYPE),
            name => (name != profile.localhost_profile.as_deref()).then_some(NAME),
        },
        _ => None,
    }
}

/// All containers with their paths, init containers first.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = (Path, &Container)> {
    let listed = |field: &'static str| {
        let path = Path::fields("spec").field(field);
        move |(index, container)| (path.index(index), container)
    };
    let init = spec.init_containers.iter().flatten().enumerate();
    init.map(listed("initContainers"))
        .chain(spec.containers.iter().enumerate().map(listed("containers")))
}
