//! One thing to say about a manifest: what, at which field, where in the text, and what to try.
//!
//! The texts of field errors are those of the API server, letter for letter, so that whoever knows them from a cluster
//! (or searches the web for them) recognises them. How a diagnostic is laid out on a terminal is in `render`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::go::quote;
use crate::limits;
use crate::path::Path;
use crate::source::{Source, Span};

/// Whether the manifest can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something does not do what it seems to.
    Warning,
    /// It can; something means little or another thing on one machine.
    Remark,
}

/// What kind of problem. The first eight are the error types of the API server's field errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Required value`
    Required,
    /// `Invalid value`
    Invalid,
    /// `Unsupported value`
    Unsupported,
    /// `Duplicate value`
    Duplicate,
    /// `Not found`
    NotFound,
    /// `Forbidden`
    Forbidden,
    /// `Too long`
    TooLong,
    /// `Too many`
    TooMany,
    /// The text is neither YAML nor JSON, or says something neither of them can.
    Syntax,
    /// A value of the wrong type: a number where a string must stand.
    Type,
    /// A field that Kubernetes does not have at this place.
    UnknownField,
    /// A key that a map holds twice.
    DuplicateKey,
    /// A kind, or a version of a kind, that is not known here.
    UnknownKind,
    /// Valid in Kubernetes, and not done by this version of podyard.
    NotSupportedYet,
    /// Accepted, with a consequence worth knowing.
    Notice,
}

/// One problem or notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What kind of problem.
    pub kind: Kind,
    /// The field, as the API server names it (some of its names are misspelt).
    pub path: Path,
    /// The whole message, path included.
    pub message: String,
    /// The API server's message, where ours differs from it.
    pub server_message: Option<String>,
    /// Where to look for the span when it is not `path`.
    pub(crate) location: Option<Path>,
    /// Whether the key is wrong and not its value.
    pub(crate) at_key: bool,
    /// Whether the text around it must not be shown, because it is secret.
    pub(crate) is_secret: bool,
    /// Which text set the field, when the object came from a text.
    pub span: Option<Span>,
    /// What to try.
    pub hint: Option<String>,
    /// The object it is about; none when the text is none.
    pub object: Option<ObjectName>,
}

/// Which object a diagnostic is about. Printed as messages name it: `Pod "web"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// `v1`, `apps/v1` …
    pub api_version: String,
    /// `Pod` …
    pub kind: String,
    /// `metadata.name`, or what stands for it until it is made up.
    pub name: String,
}

impl ObjectName {
    /// `apps` of `apps/v1`; empty for the core kinds.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// `v1` of `apps/v1`.
    #[must_use]
    pub fn version(&self) -> &str {
        let version = self.api_version.rsplit('/').next();
        version.unwrap_or_default()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, quote(&self.name))
    }
}

impl Diagnostic {
    /// A diagnostic whose message stands alone.
    pub fn new(severity: Severity, kind: Kind, path: Path, message: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            path,
            message: message.into(),
            server_message: None,
            location: None,
            at_key: false,
            is_secret: false,
            span: None,
            hint: None,
            object: None,
        }
    }

    fn field(kind: Kind, path: &Path, rest: &str, detail: &str) -> Self {
        let separator = if detail.is_empty() { "" } else { ": " };
        let message = format!("{path}: {rest}{separator}{detail}");
        Self::new(Severity::Error, kind, path.clone(), message)
    }

    /// `path: Required value: detail`
    #[must_use]
    pub fn required(path: &Path, detail: &str) -> Self {
        Self::field(Kind::Required, path, "Required value", detail)
    }

    /// `path: Invalid value: "text": detail`
    #[must_use]
    pub fn invalid(path: &Path, text: &str, detail: &str) -> Self {
        Self::invalid_json(path, &quote(text), detail)
    }

    /// `path: Invalid value: value: detail`, with the value as it is to be printed.
    #[must_use]
    pub fn invalid_json(path: &Path, value: &str, detail: &str) -> Self {
        Self::field(
            Kind::Invalid,
            path,
            &format!("Invalid value: {value}"),
            detail,
        )
    }

    /// `path: Invalid value: detail`, of the few that print no value.
    #[must_use]
    pub fn invalid_without_value(path: &Path, detail: &str) -> Self {
        Self::field(Kind::Invalid, path, "Invalid value", detail)
    }

    /// `path: Unsupported value: value: supported values: "A", "B"`, with the value as it is to be printed.
    #[must_use]
    pub fn unsupported_json(path: &Path, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        Self::field(
            Kind::Unsupported,
            path,
            &format!("Unsupported value: {value}"),
            &format!("supported values: {}", list.join(", ")),
        )
    }

    /// `path: Unsupported value: "text": supported values: "A", "B"`, with the values in the order given.
    #[must_use]
    pub fn unsupported(path: &Path, text: &str, supported: &[&str]) -> Self {
        let mut diagnostic = Self::unsupported_json(path, &quote(text), supported);
        diagnostic.hint = crate::suggest::nearest(text, supported.iter().copied())
            .map(|value| format!("did you mean `{value}`?"));
        diagnostic
    }

    /// `path: Duplicate value: "text"`
    #[must_use]
    pub fn duplicate(path: &Path, text: &str) -> Self {
        Self::duplicate_json(path, &quote(text))
    }

    /// `path: Duplicate value: value`, with the value as it is to be printed.
    #[must_use]
    pub fn duplicate_json(path: &Path, value: &str) -> Self {
        Self::field(
            Kind::Duplicate,
            path,
            &format!("Duplicate value: {value}"),
            "",
        )
    }

    /// `path: Not found: "text": detail`
    #[must_use]
    pub fn not_found(path: &Path, text: &str, detail: &str) -> Self {
        Self::field(
            Kind::NotFound,
            path,
            &format!("Not found: {}", quote(text)),
            detail,
        )
    }

    /// `path: Forbidden: detail`
    #[must_use]
    pub fn forbidden(path: &Path, detail: &str) -> Self {
        Self::field(Kind::Forbidden, path, "Forbidden", detail)
    }

    /// `path: Too long: may not be more than N bytes`
    #[must_use]
    pub fn too_long(path: &Path, bytes: usize) -> Self {
        let detail = format!("may not be more than {bytes} bytes");
        Self::field(Kind::TooLong, path, "Too long", &detail)
    }

    /// `path: Too many: 21: must have at most 20 items`
    #[must_use]
    pub fn too_many(path: &Path, count: usize, most: usize) -> Self {
        let detail = format!("must have at most {most} items");
        Self::field(Kind::TooMany, path, &format!("Too many: {count}"), &detail)
    }

    /// A warning about `path`.
    #[must_use]
    pub fn notice(path: &Path, message: &str) -> Self {
        Self::new(
            Severity::Warning,
            Kind::Notice,
            path.clone(),
            format!("{path}: {message}"),
        )
    }

    /// A remark about `path`.
    #[must_use]
    pub fn remark(path: &Path, message: &str) -> Self {
        Self {
            severity: Severity::Remark,
            ..Self::notice(path, message)
        }
    }

    /// With something to try.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the field that is meant, where the API server prints another path.
    #[must_use]
    pub fn located_at(mut self, path: Path) -> Self {
        self.location = Some(path);
        self
    }

    /// A source that is not looked at, because of its size.
    pub(crate) fn too_large(name: &str) -> Self {
        let message = format!(
            "larger than {} MiB; no manifest is",
            limits::MAX_SOURCE_BYTES >> 20
        );
        let mut diagnostic = Self::new(Severity::Error, Kind::Syntax, Path::root(), message);
        // The text itself is not kept for this.
        diagnostic.span = Some(Span::new(Arc::new(Source::new(name, "")), 0, 0));
        diagnostic
    }

    /// The same about a field of something that stands at `base`.
    #[must_use]
    pub(crate) fn under(mut self, base: &Path) -> Self {
        let body = self.body().to_owned();
        self.path = base.join(&self.path);
        self.location = self.location.map(|path| base.join(&path));
        self.message = format!("{}: {body}", self.path);
        self
    }

    /// The message without the field's path.
    #[must_use]
    pub fn body(&self) -> &str {
        self.message
            .strip_prefix(&self.path.to_string())
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(&self.message)
    }

    /// Pointing at the key, because that is what is wrong.
    #[must_use]
    pub(crate) fn at_key(mut self) -> Self {
        self.at_key = true;
        self
    }

    /// The API server's text: for a field error what it prints after `is invalid: `, for a decoding error the line
    /// after `cannot be handled as a Pod: `.
    #[must_use]
    pub fn server_message(&self) -> &str {
        self.server_message.as_deref().unwrap_or(&self.message)
    }

    /// Whether this stops the manifest from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.span {
            Some(span) => write!(formatter, "{span}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

/// Everything that is wrong with the manifests, in the order of objects and, within one, of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }

    /// Without repeats of the same message about the same object, as the API server prints them.
    #[must_use]
    pub fn without_repeats(mut self) -> Self {
        let mut seen = BTreeSet::new();
        self.0.retain(|diagnostic| {
            let place = diagnostic
                .span
                .as_ref()
                .map(|span| (span.source().name.clone(), span.start()));
            seen.insert((diagnostic.object.clone(), diagnostic.message.clone(), place))
        });
        self
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            diagnostic.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
