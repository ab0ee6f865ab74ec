//! References from a container to pod fields, resources, ConfigMaps, Secrets and files.

use std::collections::BTreeMap;

use super::Found;
use super::annotations::containers;
use super::common::has_backsteps;
use crate::core::{FileKeySelector, ObjectFieldSelector, PodSpec, ResourceFieldSelector};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;
use crate::quantity;

/// What an environment variable may take from its pod.
pub(super) const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What a file may take from its pod.
pub(super) const FILE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Fields that have a name in the downward API, though not everywhere.
const OTHER_FIELDS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase"];

/// The name and subscript of `metadata.labels['app']`.
fn subscript(field_path: &str) -> Option<(&str, &str)> {
    let (path, key) = field_path.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}

pub(super) fn field_ref(
    found: &mut Found,
    path: &Path,
    selector: &ObjectFieldSelector,
    allowed: &[&str],
) {
    let field_path = selector.field_path.as_str();
    let version = selector.api_version.as_deref().unwrap_or_default();
    let at = path.field("fieldPath");
    if version.is_empty() {
        found.add(Diagnostic::required(&path.field("apiVersion"), ""));
        return;
    }
    if field_path.is_empty() {
        found.add(Diagnostic::required(&at, ""));
        return;
    }
    let broken = |reason: String| {
        Diagnostic::invalid(
            &at,
            field_path,
            &format!("error converting fieldPath: {reason}"),
        )
    };
    if version != "v1" {
        found.add(broken(format!("unsupported pod version: {version}")));
        return;
    }
    if let Some((base, key)) = subscript(field_path) {
        let messages = match base {
            "metadata.labels" => names::qualified_name(key),
            "metadata.annotations" => names::qualified_name(&key.to_lowercase()),
            _ => {
                found.add(broken(format!(
                    "field label does not support subscript: {field_path}"
                )));
                return;
            }
        };
        for message in messages {
            found.add(Diagnostic::invalid(path, key, &message).located_at(at.clone()));
        }
        return;
    }
    // `spec.host` is what `spec.nodeName` was called long ago.
    let field = if field_path == "spec.host" {
        "spec.nodeName"
    } else {
        field_path
    };
    let known = ENV_FIELDS.contains(&field)
        || FILE_FIELDS.contains(&field)
        || OTHER_FIELDS.contains(&field);
    if !known {
        let mut diagnostic = broken(format!("field label not supported: {field_path}"));
        diagnostic.hint = crate::suggest::nearest(field, allowed.iter().copied())
            .map(|field| format!("did you mean `{field}`?"));
        found.add(diagnostic);
    } else if !allowed.contains(&field) {
        found.add(Diagnostic::unsupported(&at, field, allowed));
    }
}

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const CPU_DIVISORS: &[&str] = &["1m", "1"];
const BYTE_DIVISORS: &[&str] = &[
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
];

/// A volume has no container of its own and must name one.
pub(super) fn resource_field_ref(
    found: &mut Found,
    path: &Path,
    selector: &ResourceFieldSelector,
    in_volume: bool,
) {
    let resource = selector.resource.as_str();
    let huge_pages =
        resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume
        && selector
            .container_name
            .as_deref()
            .unwrap_or_default()
            .is_empty()
    {
        found.add(Diagnostic::required(&path.field("containerName"), ""));
    } else if resource.is_empty() {
        found.add(Diagnostic::required(&path.field("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !huge_pages {
        found.add(Diagnostic::unsupported(
            &path.field("resource"),
            resource,
            RESOURCES,
        ));
    }
    divisor(found, &path.field("divisor"), selector);
}

fn divisor(found: &mut Found, path: &Path, selector: &ResourceFieldSelector) {
    let Some(divisor) = &selector.divisor else {
        return;
    };
    let value = divisor.0.parse::<quantity::Value>();
    if value.is_ok_and(quantity::Value::is_zero) {
        return;
    }
    let resource = selector.resource.as_str();
    let (allowed, listed, what) = match resource.split_once('.').map_or("", |(_, name)| name) {
        "cpu" => (CPU_DIVISORS, "1m and 1".to_owned(), "cpu"),
        "memory" => (BYTE_DIVISORS, BYTE_DIVISORS.join(", "), "memory"),
        "ephemeral-storage" => (
            BYTE_DIVISORS,
            BYTE_DIVISORS.join(", "),
            "local ephemeral storage",
        ),
        name if name.starts_with("hugepages-") => {
            (BYTE_DIVISORS, BYTE_DIVISORS.join(", "), "hugepages")
        }
        _ => return,
    };
    if !allowed.contains(&divisor.0.as_str()) {
        let message =
            format!("only divisor's values {listed} are supported with the {what} resource");
        found.add(Diagnostic::invalid(path, resource, &message));
    }
}

/// A key of a ConfigMap or Secret.
pub(super) fn key_ref(found: &mut Found, path: &Path, name: &str, key: &str) {
    found.subdomain(&path.field("name"), name);
    if key.is_empty() {
        found.add(Diagnostic::required(&path.field("key"), ""));
    } else {
        found.each(&path.field("key"), key, names::config_key(key));
    }
}

/// A whole ConfigMap or Secret.
pub(super) fn object_ref(found: &mut Found, path: &Path, name: &str) {
    if name.is_empty() {
        found.add(Diagnostic::required(&path.field("name"), ""));
    } else {
        found.subdomain(&path.field("name"), name);
    }
}

pub(super) fn file_key_ref(found: &mut Found, path: &Path, selector: &FileKeySelector) {
    if selector.key.is_empty() {
        found.add(Diagnostic::required(&path.field("key"), ""));
    } else {
        found.each(
            &path.field("key"),
            &selector.key,
            names::env_name(&selector.key),
        );
    }
    found.required_label(&path.field("volumeName"), &selector.volume_name);
    let at = path.field("path");
    if selector.path.is_empty() {
        found.add(Diagnostic::required(&at, ""));
    } else if has_backsteps(&selector.path) {
        found.add(Diagnostic::invalid(
            &at,
            &selector.path,
            "must not contain '..'",
        ));
    }
}

/// The volumes that `fileKeyRef`s read from, looked at once everything else is known.
pub(super) fn file_keys(found: &mut Found, spec: &PodSpec) {
    let volumes: BTreeMap<&str, bool> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| (volume.name.as_str(), volume.empty_dir.is_some()))
        .collect();
    for (path, container) in containers(spec) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(selector) = variable
                .value_from
                .as_ref()
                .and_then(|source| source.file_key_ref.as_ref())
            else {
                continue;
            };
            let path = path
                .field("env")
                .index(index)
                .field("valueFrom.fileKeyRef.volumeName");
            let name = selector.volume_name.as_str();
            match volumes.get(name) {
                None => found.add(Diagnostic::not_found(&path, name, "")),
                Some(false) => found.add(Diagnostic::invalid(
                    &path,
                    name,
                    "referenced volume must be of type emptyDir",
                )),
                Some(true) => {}
            }
        }
    }
}
