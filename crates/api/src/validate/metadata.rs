//! Name, namespace, labels, annotations and the rest of `metadata`.

use std::collections::BTreeMap;

use super::Found;
use crate::diagnostic::Diagnostic;
use crate::meta::{ObjectMeta, OwnerReference};
use crate::names;
use crate::path::Path;

/// Keys and values of all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn metadata(found: &mut Found, path: &Path, metadata: &ObjectMeta) {
    let name = metadata.name.as_deref().unwrap_or_default();
    let generate_name = metadata.generate_name.as_deref().unwrap_or_default();
    if !generate_name.is_empty() {
        found.each(
            &path.field("generateName"),
            generate_name,
            names::dns_subdomain_prefix(generate_name),
        );
    }
    if name.is_empty() {
        found.add(
            Diagnostic::required(&path.field("name"), "name or generateName is required")
                .located_at(path.clone()),
        );
    } else {
        found.subdomain(&path.field("name"), name);
    }
    found.label(
        &path.field("namespace"),
        metadata.namespace.as_deref().unwrap_or_default(),
    );
    if let Some(generation) = metadata.generation.filter(|generation| *generation < 0) {
        found.number(
            &path.field("generation"),
            generation,
            super::common::NOT_NEGATIVE,
        );
    }
    labels(found, &path.field("labels"), metadata.labels.as_ref());
    annotations(
        found,
        &path.field("annotations"),
        metadata.annotations.as_ref(),
    );
    for owner in metadata.owner_references.iter().flatten() {
        owner_reference(found, &path.field("ownerReferences"), owner);
    }
    for (index, finalizer) in metadata.finalizers.iter().flatten().enumerate() {
        self::finalizer(found, &path.field("finalizers").index(index), finalizer);
    }
}

/// Also node selectors and the labels of selectors. The path of an error never names the key.
pub(super) fn labels(found: &mut Found, path: &Path, labels: Option<&BTreeMap<String, String>>) {
    for (key, value) in labels.into_iter().flatten() {
        let at = path.key(key);
        for message in names::qualified_name(key) {
            let diagnostic = Diagnostic::invalid(path, key, &message);
            found.add(diagnostic.located_at(at.clone()).at_key());
        }
        for message in names::label_value(value) {
            found.add(Diagnostic::invalid(path, value, &message).located_at(at.clone()));
        }
    }
}

pub(super) fn annotations(
    found: &mut Found,
    path: &Path,
    annotations: Option<&BTreeMap<String, String>>,
) {
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        for message in names::qualified_name(&key.to_lowercase()) {
            let diagnostic = Diagnostic::invalid(path, key, &message);
            found.add(diagnostic.located_at(path.key(key)).at_key());
        }
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        found.add(Diagnostic::too_long(path, MAX_ANNOTATIONS));
    }
}

fn owner_reference(found: &mut Found, path: &Path, owner: &OwnerReference) {
    let version = owner.api_version.rsplit('/').next().unwrap_or_default();
    if version.is_empty() {
        found.each(
            &path.field("apiVersion"),
            &owner.api_version,
            vec!["version must not be empty".to_owned()],
        );
    }
    for (field, text) in [
        ("kind", &owner.kind),
        ("name", &owner.name),
        ("uid", &owner.uid),
    ] {
        if text.is_empty() {
            found.each(
                &path.field(field),
                text,
                vec!["must not be empty".to_owned()],
            );
        }
    }
}

fn finalizer(found: &mut Found, path: &Path, text: &str) {
    found.each(path, text, names::qualified_name(text));
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    if !text.contains('/') && !standard.contains(&text) {
        let message = "name is neither a standard finalizer name nor is it fully qualified";
        found.each(path, text, vec![message.to_owned()]);
    }
}
