//! The table of fields against the fields that a Pod has, and `docs/compatibility.md` against the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use podyard_api::compat::{self, Row, Status, Values};
use podyard_api::core::{ConfigMap, PersistentVolumeClaim, PodSpec, PodStatus, Secret, Service};
use podyard_api::k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use podyard_api::k8s_openapi::api::batch::v1::{CronJob, Job};
use podyard_api::meta::ObjectMeta;

use crate::{fields, golden};

/// Every field of a Pod as the table names them: containers once, nothing below `ephemeralContainers` and `status`.
fn pod_fields() -> BTreeSet<String> {
    let mut all = BTreeSet::from(["apiVersion", "kind", "status"].map(str::to_owned));
    all.extend(
        fields::of::<ObjectMeta>()
            .into_iter()
            .map(|field| format!("metadata.{field}")),
    );
    for field in fields::of::<PodSpec>() {
        let field = format!("spec.{field}");
        let hidden = field.starts_with("spec.ephemeralContainers[]")
            || field.starts_with("spec.initContainers[]");
        if let Some(rest) = field.strip_prefix("spec.containers[]") {
            all.insert(format!("container{rest}"));
        } else if !hidden {
            all.insert(field);
        }
    }
    all
}

/// Every field of another kind below its `spec`, or beside its metadata; of a template, only that it is there.
fn fields_of(kind: &str) -> BTreeSet<String> {
    let fields = match kind {
        "ConfigMap" => fields::of_object::<ConfigMap>(),
        "Secret" => fields::of_object::<Secret>(),
        "PersistentVolumeClaim" => fields::of_object::<PersistentVolumeClaim>(),
        "Service" => fields::of_object::<Service>(),
        "Deployment" => fields::of_object::<Deployment>(),
        "ReplicaSet" => fields::of_object::<ReplicaSet>(),
        "StatefulSet" => fields::of_object::<StatefulSet>(),
        "DaemonSet" => fields::of_object::<DaemonSet>(),
        "Job" => fields::of_object::<Job>(),
        "CronJob" => fields::of_object::<CronJob>(),
        _ => panic!("{kind} is not known to this test"),
    };
    let hidden = [
        "spec.template.",
        "spec.jobTemplate.",
        "spec.volumeClaimTemplates[]",
        "status.",
    ];
    fields
        .into_iter()
        .filter(|field| hidden.iter().all(|hidden| !field.starts_with(hidden)))
        .collect()
}

/// Whether `field` is the one of the row or below it.
fn is_below(field: &str, row: &str) -> bool {
    field
        .strip_prefix(row)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
}

/// The rows that decide about a field of a Pod: of the longest path that it is below.
fn deciding(field: &str) -> Option<&'static str> {
    deciding_of(compat::table(), field)
}

fn deciding_of(table: impl Iterator<Item = &'static Row>, field: &str) -> Option<&'static str> {
    table
        .map(|row| row.path)
        .filter(|path| is_below(field, path))
        .max_by_key(|path| path.len())
}

#[test]
fn every_field_has_a_row() {
    // Structs whose fields have rows of their own.
    let parents = [
        "metadata",
        "spec",
        "container",
        "spec.securityContext",
        "container.securityContext",
        "container.resources",
        "container.lifecycle",
        "spec.volumes",
        "spec.volumes[].projected",
    ];
    let missing: Vec<String> = pod_fields()
        .into_iter()
        .filter(|field| deciding(field).is_none() && !parents.contains(&field.as_str()))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_row_is_about_a_field() {
    let fields = pod_fields();
    for row in compat::table() {
        let is_key = row.path.ends_with(']') && !row.path.ends_with("[]");
        let path = match row.path.rfind('[') {
            Some(at) if is_key => &row.path[..at],
            _ => row.path,
        };
        let path = path.replace("spec.initContainers[]", "container");
        assert!(fields.contains(&path), "{} is no field of a Pod", row.path);
    }
}

#[test]
fn every_field_of_the_other_kinds_has_a_row() {
    for (kind, rows) in compat::kinds() {
        let table = || compat::metadata_table().chain(rows);
        let missing: Vec<String> = fields_of(kind)
            .into_iter()
            .filter(|field| !["metadata", "spec"].contains(&field.as_str()))
            .filter(|field| deciding_of(table(), field).is_none())
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn every_row_of_the_other_kinds_is_about_a_field() {
    for (kind, rows) in compat::kinds() {
        let mut fields = fields_of(kind);
        if kind == "StatefulSet" {
            fields.extend(fields::of_object::<StatefulSet>());
        }
        for row in rows {
            let path = row.path.trim_end_matches("[]");
            assert!(fields.contains(path), "{path} is no field of a {kind}");
        }
    }
}

#[test]
fn the_status_of_a_pod_is_the_servers() {
    // The walker sees it; the table has one row for all of it.
    assert!(fields::of::<PodStatus>().contains("conditions[].type"));
    assert_eq!(deciding("status"), Some("status"));
}

#[test]
fn the_documentation_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    golden::compare(&path, &documentation());
}

const HEAD: &str = "# Fields of a Pod, and of other kinds\n\n\
This page is written from the table that podyard itself goes by (`crates/api/src/compat`): do not edit it by hand.\n\n\
Every field of a Kubernetes 1.36 Pod is decoded, gets Kubernetes' defaults and is checked by Kubernetes' rules. Then it is\n\n\
- **honoured**: it does what it does in Kubernetes;\n\
- accepted with a **remark**: a line says what it means on one machine;\n\
- accepted with a **warning**: the pod runs, but not quite as its author wanted;\n\
- **refused**: the pod is not run, because it would not be what its author wanted.\n\n\
A line holds for a field and for everything below it that has no line of its own; the fields below are named in the last\n\
column.\n";

const OTHERS: &str = "\n## Other kinds\n\n\
The template of a pod has the lines of a Pod. For a CronJob, those of a Job hold below `spec.jobTemplate`. A kind that is not\n\
here is refused, or passed over with `--skip-unknown`. [Workloads](workloads.md) says what becomes of each. All kinds have:\n\n";

const SECTIONS: &[(&str, &str)] = &[
    ("The object", ""),
    ("The pod", "spec."),
    ("Its security context", "spec.securityContext."),
    ("Volumes", "spec.volumes"),
    (
        "Containers: app containers, init containers, sidecars",
        "container.",
    ),
    ("Their security contexts", "container.securityContext."),
];

/// The section of a path: the one with the longest beginning.
fn section(path: &str) -> usize {
    let path = path.replace("spec.initContainers[]", "container");
    (0..SECTIONS.len())
        .filter(|index| path.starts_with(SECTIONS[*index].1))
        .max_by_key(|index| SECTIONS[*index].1.len())
        .unwrap_or(0)
}

fn documentation() -> String {
    let mut below: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for field in pod_fields() {
        if let Some(path) = deciding(&field)
            && field != path
        {
            let rest = field[path.len()..].trim_start_matches('.').to_owned();
            below.entry(path).or_default().push(rest);
        }
    }
    let mut out = HEAD.to_owned();
    for (index, (title, _)) in SECTIONS.iter().enumerate() {
        let _ = write!(
            out,
            "\n## {title}\n\n| Field | Status | | Fields below |\n|---|---|---|---|\n"
        );
        let mut shown = BTreeSet::new();
        for row in compat::table().filter(|row| section(row.path) == index) {
            let fields = if shown.insert(row.path) {
                below.get(row.path).map(Vec::as_slice).unwrap_or_default()
            } else {
                &[]
            };
            out.push_str(&line(row, fields));
        }
    }
    out.push_str(OTHERS);
    table_without_below(&mut out, compat::metadata_table());
    for (kind, rows) in compat::kinds() {
        let _ = write!(out, "\n### {kind}\n\n");
        table_without_below(&mut out, rows.iter());
    }
    out
}

fn table_without_below(out: &mut String, rows: impl Iterator<Item = &'static Row>) {
    out.push_str("| Field | Status | | Fields below |\n|---|---|---|---|\n");
    rows.for_each(|row| out.push_str(&line(row, &[])));
}

fn line(row: &Row, below: &[String]) -> String {
    let list = |values: &[&str]| {
        let quoted: Vec<String> = values
            .iter()
            .map(|value| {
                if value.is_empty() {
                    "empty".to_owned()
                } else {
                    format!("`{value}`")
                }
            })
            .collect();
        quoted.join(", ")
    };
    let values = match row.values {
        Values::Any | Values::Refused => String::new(),
        Values::Only(values) => format!(" ({})", list(values)),
        Values::But(values) => format!(" (not {})", list(values)),
    };
    let below: Vec<String> = below.iter().map(|field| format!("`{field}`")).collect();
    let status = match row.status {
        Status::Honoured => "honoured".to_owned(),
        other => format!("**{}**", other.word()),
    };
    format!(
        "| `{}`{values} | {status} | {} | {} |\n",
        row.path,
        row.status.text(),
        below.join(" ")
    )
}
