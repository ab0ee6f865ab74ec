//! Environment variables.

use super::Found;
use super::references::{self, ENV_FIELDS};
use crate::core::{Container, EnvVar};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

const MORE_THAN_ONE: &str = "may not have more than one field specified at a time";

pub(super) fn env(found: &mut Found, path: &Path, container: &Container) {
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let path = path.index(index);
        if variable.name.is_empty() {
            found.add(Diagnostic::required(&path.field("name"), ""));
        } else {
            found.each(
                &path.field("name"),
                &variable.name,
                names::env_name(&variable.name),
            );
        }
        value_from(found, &path.field("valueFrom"), variable);
    }
}

fn value_from(found: &mut Found, path: &Path, variable: &EnvVar) {
    let Some(source) = &variable.value_from else {
        return;
    };
    let mut sources = 0;
    if let Some(selector) = &source.field_ref {
        sources += 1;
        references::field_ref(found, &path.field("fieldRef"), selector, ENV_FIELDS);
    }
    if let Some(selector) = &source.resource_field_ref {
        sources += 1;
        references::resource_field_ref(found, &path.field("resourceFieldRef"), selector, false);
    }
    if let Some(selector) = &source.config_map_key_ref {
        sources += 1;
        references::key_ref(
            found,
            &path.field("configMapKeyRef"),
            &selector.name,
            &selector.key,
        );
    }
    if let Some(selector) = &source.secret_key_ref {
        sources += 1;
        references::key_ref(
            found,
            &path.field("secretKeyRef"),
            &selector.name,
            &selector.key,
        );
    }
    if let Some(selector) = &source.file_key_ref {
        sources += 1;
        references::file_key_ref(found, &path.field("fileKeyRef"), selector);
    }
    if sources == 0 {
        let message = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        found.add(Diagnostic::invalid(path, "", message));
    }
    if variable
        .value
        .as_ref()
        .is_some_and(|value| !value.is_empty())
    {
        if sources > 0 {
            let message = "may not be specified when `value` is not empty";
            found.add(Diagnostic::invalid(path, "", message));
        }
    } else if sources > 1 {
        found.add(Diagnostic::invalid(path, "", MORE_THAN_ONE));
    }
}

pub(super) fn env_from(found: &mut Found, path: &Path, container: &Container) {
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let own = path.index(index);
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            found.each(&own.field("prefix"), prefix, names::env_name(prefix));
        }
        if let Some(reference) = &source.config_map_ref {
            references::object_ref(found, &own.field("configMapRef"), &reference.name);
        }
        if let Some(reference) = &source.secret_ref {
            references::object_ref(found, &own.field("secretRef"), &reference.name);
        }
        let message = match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => "must specify one of: `configMapRef` or `secretRef`",
            (Some(_), Some(_)) => MORE_THAN_ONE,
            _ => continue,
        };
        found.add(Diagnostic::invalid(path, "", message).located_at(own));
    }
}
