//! What becomes of each field of a Pod here: honoured, accepted with a line that says what it means on one machine, or
//! refused. Never silently ignored.
//!
//! The [`table`] is the only place that says so. What is loaded is held against it, and `docs/compatibility.md` is written
//! from it. A row stands for a field and all that is below it, unless a longer row says more.

use crate::decode::Document;
use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::limits::MAX_PROBLEMS;
use crate::path::Path;
use crate::tree::{Node, Value};

mod containers;
mod objects;
mod pod;
mod volumes;

/// One statement about one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// `spec.hostname`, `container.ports[].hostPort`, `spec.overhead{}`; `container` stands for each entry of
    /// `spec.containers` and `spec.initContainers`. `[hugepages-*]` are some keys of a map.
    pub path: &'static str,
    /// The values it holds for.
    pub values: Values,
    /// What becomes of it.
    pub status: Status,
}

/// For which values of its field a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// All of them.
    Any,
    /// These.
    Only(&'static [&'static str]),
    /// All but these, which ask for nothing.
    But(&'static [&'static str]),
    /// Any, but the rules of Kubernetes have refused it already.
    Refused,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does what it does in Kubernetes.
    Honoured,
    /// Accepted; the text says what it means on one machine.
    Remark(&'static str),
    /// Accepted, but the pod will not be quite what its author wanted.
    Warning(&'static str),
    /// The pod is not run, because it would not be what its author wanted.
    Refused(&'static str),
}

impl Status {
    /// The word for it in the table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Remark(_) => "remark",
            Self::Warning(_) => "warning",
            Self::Refused(_) => "refused",
        }
    }

    /// What is said about it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Honoured => "",
            Self::Remark(text) | Self::Warning(text) | Self::Refused(text) => text,
        }
    }
}

const fn honoured(path: &'static str) -> Row {
    row(path, Values::Any, Status::Honoured)
}

const fn row(path: &'static str, values: Values, status: Status) -> Row {
    Row {
        path,
        values,
        status,
    }
}

/// Every row, metadata first, in the order of the documentation.
pub fn table() -> impl Iterator<Item = &'static Row> {
    pod::METADATA
        .iter()
        .chain(pod::SPEC)
        .chain(pod::SECURITY)
        .chain(containers::CONTAINER)
        .chain(containers::SECURITY)
        .chain(volumes::VOLUMES)
}

/// The rows of every kind but Pod, besides [`metadata_table`]. The fields of a template are a pod's, and in [`table`].
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static [Row])> {
    objects::KINDS.iter().copied()
}

/// The rows for what all kinds but Pod have.
pub fn metadata_table() -> impl Iterator<Item = &'static Row> {
    objects::METADATA.iter()
}

/// What the table says about the pod, or the template of one, that stands at `base` of the document.
#[must_use]
pub fn check(document: &Document, base: &Path) -> Vec<Diagnostic> {
    rows(document, base, table())
}

/// What is to be said about an object of another kind, without its template.
#[must_use]
pub fn check_object(document: &Document, kind: &str) -> Vec<Diagnostic> {
    let own = kinds().filter(|(name, _)| *name == kind);
    let own = own.flat_map(|(_, rows)| rows);
    let mut found = rows(document, &Path::root(), metadata_table().chain(own));
    if kind == "CronJob" {
        let of_job = objects::JOB
            .iter()
            .filter(|row| row.path.starts_with("spec"));
        found.extend(rows(document, &Path::fields("spec.jobTemplate"), of_job));
    }
    found
}

fn rows(
    document: &Document,
    base: &Path,
    table: impl Iterator<Item = &'static Row>,
) -> Vec<Diagnostic> {
    let Some(root) = document.root.at(base) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for row in table.filter(|row| row.status != Status::Honoured) {
        if found.len() > MAX_PROBLEMS {
            break;
        }
        for pattern in patterns(row.path) {
            let mut places = Vec::new();
            search(root, &pattern, &Path::root(), &mut places);
            for (path, node) in places.into_iter().take(MAX_PROBLEMS) {
                if asks_for_something(node) && row.values.hold(node) {
                    found.push(document.place(diagnostic(row, &base.join(&path))));
                }
            }
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(crate::Span::start));
    found
}

fn diagnostic(row: &Row, path: &Path) -> Diagnostic {
    let (severity, kind) = match row.status {
        Status::Refused(_) => (Severity::Error, Kind::NotSupportedYet),
        Status::Warning(_) => (Severity::Warning, Kind::Notice),
        Status::Honoured | Status::Remark(_) => (Severity::Remark, Kind::Notice),
    };
    let message = format!("{path}: {}", row.status.text());
    Diagnostic::new(severity, kind, path.clone(), message)
}

/// `null`, an empty list and an empty map are the same as nothing at all.
fn asks_for_something(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        _ => true,
    }
}

impl Values {
    fn hold(self, node: &Node) -> bool {
        let is_one_of = |values: &[&str]| match &node.value {
            Value::Bool(value) => values.contains(&if *value { "true" } else { "false" }),
            Value::Number(text) | Value::String(text) => values.contains(&text.as_str()),
            _ => false,
        };
        match self {
            Self::Any => true,
            Self::Only(values) => is_one_of(values),
            Self::But(values) => !is_one_of(values),
            Self::Refused => false,
        }
    }
}

/// The real paths that a row's path stands for.
#[must_use]
pub fn patterns(path: &str) -> Vec<String> {
    match path.strip_prefix("container") {
        Some(rest) => vec![
            format!("spec.containers[]{rest}"),
            format!("spec.initContainers[]{rest}"),
        ],
        None => vec![path.to_owned()],
    }
}

/// All values at `pattern` below `node`.
fn search<'n>(node: &'n Node, pattern: &str, path: &Path, places: &mut Vec<(Path, &'n Node)>) {
    let (segment, rest) = match pattern.split_once('.') {
        // A dot inside brackets belongs to a key.
        Some((segment, _)) if segment.contains('[') && !segment.contains(']') => {
            match pattern.split_once("].") {
                Some((segment, rest)) => (&pattern[..=segment.len()], Some(rest)),
                None => (pattern, None),
            }
        }
        Some((segment, rest)) => (segment, Some(rest)),
        None => (pattern, None),
    };
    let name_end = segment.find(['[', '{']).unwrap_or(segment.len());
    let (name, suffix) = segment.split_at(name_end);
    let Some(inner) = node.get(name) else { return };
    let path = path.field(name);
    let mut go_on = |node: &'n Node, path: Path| match rest {
        Some(rest) => search(node, rest, &path, places),
        None => places.push((path, node)),
    };
    match (suffix, &inner.value) {
        ("", _) => go_on(inner, path),
        ("[]", Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                go_on(item, path.index(index));
            }
        }
        (keys, Value::Map(entries)) => {
            let glob = keys.trim_start_matches('[').trim_end_matches(']');
            for entry in entries {
                if glob == "{}" || fits(&entry.key, glob) {
                    go_on(&entry.node, path.key(&entry.key));
                }
            }
        }
        _ => {}
    }
}

/// Whether `text` is what `glob`, with at most one `*`, describes.
fn fits(text: &str, glob: &str) -> bool {
    match glob.split_once('*') {
        None => text == glob,
        Some((before, after)) => text
            .strip_prefix(before)
            .is_some_and(|rest| rest.contains(after) && (after == "/" || rest.ends_with(after))),
    }
}
