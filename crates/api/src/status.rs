//! What is wrong with manifests as `v1.Status`, the object with which the API server refuses one.
//!
//! `reason`, `message`, `code` and, of each cause, `reason`, `message` and `field` are letter for letter what it sends. The
//! causes have the file, line and column besides, which it cannot know.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Kind, ObjectName};
use crate::go::quote;

/// One `v1.Status` for each object that is wrong, in the order of the manifests.
#[must_use]
pub fn statuses(diagnostics: &Diagnostics) -> Vec<Value> {
    let errors: Vec<&Diagnostic> = diagnostics
        .0
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .collect();
    errors
        .chunk_by(|one, other| one.object.is_some() && about(one) == about(other))
        .map(status)
        .collect()
}

/// The same as one object: the status, or a `v1.List` of several.
#[must_use]
pub fn print(diagnostics: &Diagnostics) -> Value {
    let mut statuses = statuses(diagnostics);
    if statuses.len() == 1 {
        statuses.remove(0)
    } else {
        json!({"apiVersion": "v1", "kind": "List", "items": statuses})
    }
}

/// The object, and the text it stands in.
fn about(diagnostic: &Diagnostic) -> (Option<&ObjectName>, Option<&str>) {
    let source = diagnostic
        .span
        .as_ref()
        .map(|span| span.source().name.as_str());
    (diagnostic.object.as_ref(), source)
}

/// The status of one object.
fn status(errors: &[&Diagnostic]) -> Value {
    let is = |kind: Kind| errors.iter().any(|error| error.kind == kind);
    let object = errors.first().and_then(|error| error.object.as_ref());
    let (code, reason, message) = match object {
        Some(_) if is(Kind::UnknownKind) => (404, "NotFound", first(errors)),
        Some(object) if errors.iter().any(|error| is_of_decoding(error.kind)) => {
            (400, "BadRequest", undecodable(object, errors))
        }
        Some(object) if !object.kind.is_empty() => (422, "Invalid", invalid(object, errors)),
        _ => (400, "BadRequest", first(errors)),
    };
    let mut details =
        json!({"causes": errors.iter().map(|error| cause(error)).collect::<Vec<_>>()});
    if let Some(object) = object {
        details["name"] = object.name.as_str().into();
        details["kind"] = object.kind.as_str().into();
        if !object.group().is_empty() {
            details["group"] = object.group().into();
        }
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    })
}

fn is_of_decoding(kind: Kind) -> bool {
    matches!(kind, Kind::Type | Kind::UnknownField | Kind::DuplicateKey)
}

fn first(errors: &[&Diagnostic]) -> String {
    errors
        .first()
        .map(|error| error.server_message().to_owned())
        .unwrap_or_default()
}

/// `Pod in version "v1" cannot be handled as a Pod: …`. Of several values of the wrong type the API server notices the
/// first; unknown fields it lists all.
fn undecodable(object: &ObjectName, errors: &[&Diagnostic]) -> String {
    const STRICT: &str = "strict decoding error: ";
    let wrong_type = errors.iter().find(|error| error.kind == Kind::Type);
    let error = match wrong_type {
        Some(error) => error.server_message().to_owned(),
        None => {
            let fields: Vec<&str> = errors
                .iter()
                .filter(|error| is_of_decoding(error.kind))
                .map(|error| error.server_message())
                .map(|message| message.strip_prefix(STRICT).unwrap_or(message))
                .collect();
            format!("{STRICT}{}", fields.join(", "))
        }
    };
    let (kind, version) = (&object.kind, object.version());
    format!(
        "{kind} in version {} cannot be handled as a {kind}: {error}",
        quote(version)
    )
}

/// `Deployment.apps "web" is invalid: …`. What podyard refuses on its own is only said when Kubernetes would say nothing.
fn invalid(object: &ObjectName, errors: &[&Diagnostic]) -> String {
    let is_ours = |error: &&&Diagnostic| error.kind == Kind::NotSupportedYet;
    let only_ours = errors.iter().all(|error| is_ours(&error));
    let mut messages: Vec<&str> = Vec::new();
    for error in errors.iter().filter(|error| only_ours || !is_ours(error)) {
        if !messages.contains(&error.server_message()) {
            messages.push(error.server_message());
        }
    }
    let kind = match object.group() {
        "" => object.kind.clone(),
        group => format!("{}.{group}", object.kind),
    };
    let list = match messages.as_slice() {
        [one] => (*one).to_owned(),
        all => format!("[{}]", all.join(", ")),
    };
    let verdict = if only_ours {
        "is not supported here"
    } else {
        "is invalid"
    };
    format!("{kind} {} {verdict}: {list}", quote(&object.name))
}

fn cause(error: &Diagnostic) -> Value {
    let mut cause = json!({
        "reason": cause_reason(error.kind),
        "message": error.body(),
        "field": error.path.to_string(),
    });
    if let Some(span) = &error.span {
        let (line, column) = span.line_column();
        cause["file"] = span.source().name.as_str().into();
        cause["line"] = line.into();
        cause["column"] = column.into();
    }
    cause
}

fn cause_reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Required => "FieldValueRequired",
        Kind::Invalid => "FieldValueInvalid",
        Kind::Unsupported | Kind::NotSupportedYet => "FieldValueNotSupported",
        Kind::Duplicate | Kind::DuplicateKey => "FieldValueDuplicate",
        Kind::NotFound => "FieldValueNotFound",
        Kind::Forbidden => "FieldValueForbidden",
        Kind::TooLong => "FieldValueTooLong",
        Kind::TooMany => "FieldValueTooMany",
        Kind::Type => "FieldValueTypeInvalid",
        // Not field errors; the API server gives no causes for them.
        Kind::UnknownField => "UnknownField",
        Kind::UnknownKind => "UnknownKind",
        Kind::Syntax | Kind::Notice => "Syntax",
    }
}
