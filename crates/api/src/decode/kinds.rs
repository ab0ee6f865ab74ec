//! Which kinds are known, and what is said about the others.

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde::de::DeserializeOwned;

use super::{Document, typed};
use crate::core::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::go::quote;
use crate::object::Object;
use crate::path::Path;
use crate::suggest;
use crate::tree::{Node, Value};
use crate::workloads::Workload;

type Decoder = fn(&Document) -> Result<Object, Vec<Diagnostic>>;

macro_rules! workload {
    ($kind:ident) => {
        ($kind::API_VERSION, $kind::KIND, |document| {
            typed(document).map(|object| Object::Workload(Workload::$kind(Box::new(object))))
        })
    };
}

/// Every kind that can be read. A new kind is a row here and a variant of [`Object`].
const KNOWN: &[(&str, &str, Decoder)] = &[
    (Pod::API_VERSION, Pod::KIND, |document| {
        typed(document).map(|pod| Object::Pod(Box::new(pod)))
    }),
    (ConfigMap::API_VERSION, ConfigMap::KIND, |document| {
        typed(document).map(|map| Object::ConfigMap(Box::new(map)))
    }),
    (Secret::API_VERSION, Secret::KIND, |document| {
        typed(document).map(|secret| Object::Secret(Box::new(secret)))
    }),
    (
        PersistentVolumeClaim::API_VERSION,
        PersistentVolumeClaim::KIND,
        |document| typed(document).map(|claim| Object::PersistentVolumeClaim(Box::new(claim))),
    ),
    (Service::API_VERSION, Service::KIND, |document| {
        typed(document).map(|service| Object::Service(Box::new(service)))
    }),
    workload!(Deployment),
    workload!(ReplicaSet),
    workload!(StatefulSet),
    workload!(DaemonSet),
    workload!(Job),
    workload!(CronJob),
];

fn typed<T: DeserializeOwned>(document: &Document) -> Result<T, Vec<Diagnostic>> {
    typed::decode(document)
}

pub(super) fn decode(document: &Document) -> Result<Object, Vec<Diagnostic>> {
    match find(document) {
        Some(decoder) => decoder(document),
        None => Err(vec![unknown(document)]),
    }
}

fn find(document: &Document) -> Option<Decoder> {
    KNOWN
        .iter()
        .find(|(api_version, kind, _)| {
            *api_version == document.api_version && *kind == document.kind
        })
        .map(|(_, _, decoder)| *decoder)
}

/// Whether the document is an object at all: a map that says its kind and version.
pub(super) fn header(document: &Document) -> Result<(), Box<Diagnostic>> {
    let problem = |kind: Kind, field: &str, message: &str| {
        let path = if field.is_empty() {
            Path::root()
        } else {
            Path::fields(field)
        };
        Diagnostic::new(Severity::Error, kind, path, message)
    };
    if !matches!(document.root.value, Value::Map(_)) {
        let found = document.root.value.kind();
        let mut diagnostic = problem(
            Kind::Type,
            "",
            &format!(
                "a Kubernetes object is a map with `apiVersion` and `kind`, not {}",
                in_words(&document.root.value)
            ),
        );
        diagnostic.server_message = Some(format!(
            "json: cannot unmarshal {found} into Go value of type unstructured.detector"
        ));
        if found == "array" {
            diagnostic.hint = Some(
                "separate objects with lines of `---`, or put them into `kind: List`".to_owned(),
            );
        }
        return Err(Box::new(diagnostic));
    }
    for (field, text) in [
        ("kind", &document.kind),
        ("apiVersion", &document.api_version),
    ] {
        if !text.is_empty() {
            continue;
        }
        let mut diagnostic = match document.root.get(field) {
            Some(node) if node.as_str().is_none() && node.value != Value::Null => problem(
                Kind::Type,
                field,
                &format!("{field}: must be a string, not {}", in_words(&node.value)),
            ),
            _ => problem(Kind::Required, field, &format!("{field}: Required value")),
        };
        if field == "kind" {
            diagnostic.server_message = Some("Object 'Kind' is missing".to_owned());
        }
        diagnostic.hint = Some(hint(document));
        return Err(Box::new(diagnostic));
    }
    Ok(())
}

fn in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

fn hint(document: &Document) -> String {
    if document.root.get("containers").is_some() {
        return "`containers` belongs under `spec`; a Pod begins with `apiVersion: v1` and `kind: Pod`".to_owned();
    }
    "a Pod begins with `apiVersion: v1` and `kind: Pod`".to_owned()
}

fn unknown(document: &Document) -> Diagnostic {
    let (api_version, kind) = (&document.api_version, &document.kind);
    let known: Vec<String> = KNOWN
        .iter()
        .map(|(api_version, kind, _)| format!("{kind} ({api_version})"))
        .collect();
    let wrong_version = KNOWN.iter().find(|(_, known, _)| known == kind);
    let mut diagnostic = Diagnostic::new(
        Severity::Error,
        Kind::UnknownKind,
        Path::fields(if wrong_version.is_some() {
            "apiVersion"
        } else {
            "kind"
        }),
        format!(
            "kind {} in version {} is not known here",
            quote(kind),
            quote(api_version)
        ),
    );
    let name = document
        .root
        .get("metadata")
        .and_then(|metadata| metadata.get("name"))
        .and_then(Node::as_str)
        .unwrap_or_default();
    diagnostic.server_message = Some(format!(
        "resource mapping not found for name: {} namespace: \"\" from {}: no matches for kind {} in version {}",
        quote(name),
        quote(&document.source.name),
        quote(kind),
        quote(api_version)
    ));
    diagnostic.hint = if let Some((api_version, kind, _)) = wrong_version {
        Some(format!("{kind} has `apiVersion: {api_version}`"))
    } else {
        suggest::nearest(kind, KNOWN.iter().map(|(_, kind, _)| *kind))
            .map(|kind| format!("did you mean `{kind}`?"))
            .or_else(|| {
                Some(format!(
                    "known are {}; `--skip-unknown` passes over the others",
                    known.join(", ")
                ))
            })
    };
    diagnostic
}
