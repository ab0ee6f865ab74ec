//! Text to objects: YAML or JSON to a tree with places, the tree to typed Kubernetes objects.
//!
//! Decoding is as strict as the API server is with kubectl: unknown fields are errors with their path, a number is no
//! string, and several documents, `kind: List`, a byte-order mark and CRLF are all understood. Defaults and rules come
//! later, in `defaults` and `validate`.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Severity};
use crate::limits::MAX_SOURCE_BYTES;
use crate::object::Object;
use crate::path::Path;
use crate::source::{Source, Span};
use crate::tree::{Node, Range, Value};

mod go_types;
mod json;
mod kinds;
mod scalar;
mod typed;
mod yaml;

/// One object of a source: its text as a tree, for looking up places, and what it says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    source: Arc<Source>,
    /// The object; for an item of a list, the item.
    pub root: Node,
    /// `v1`, `apps/v1` …
    pub api_version: String,
    /// `Pod` …
    pub kind: String,
}

impl Document {
    /// The place of `path`, or of the nearest thing around it that the text holds.
    #[must_use]
    pub fn span(&self, path: &Path) -> Span {
        self.span_of(self.root.locate(path))
    }

    /// `kind "name"`, as messages name an object.
    #[must_use]
    pub fn object_name(&self) -> String {
        let name = self
            .root
            .get("metadata")
            .and_then(|metadata| {
                metadata
                    .get("name")
                    .or_else(|| metadata.get("generateName"))
            })
            .and_then(Node::as_str)
            .unwrap_or_default();
        format!("{} {}", self.kind, crate::go::quote(name))
    }

    /// `diagnostic` with its place and the name of the object.
    #[must_use]
    pub fn place(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        if diagnostic.span.is_none() {
            let path = diagnostic.location.as_ref().unwrap_or(&diagnostic.path);
            diagnostic.span = Some(self.span(path));
        }
        if diagnostic.object.is_empty() {
            diagnostic.object = self.object_name();
        }
        diagnostic
    }

    fn span_of(&self, range: Range) -> Span {
        Span::new(Arc::clone(&self.source), range.start, range.end)
    }
}

/// What a source held.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The objects, in the order of the text.
    pub objects: Vec<(Object, Document)>,
    /// What was accepted and is worth knowing.
    pub warnings: Vec<Diagnostic>,
}

/// Every object in `sources`.
///
/// # Errors
///
/// Everything that keeps one of the objects from being decoded. Nothing is returned if anything is wrong.
pub fn decode(sources: &[Source]) -> Result<Decoded, Diagnostics> {
    let mut decoded = Decoded::default();
    let mut problems = Vec::new();
    for source in sources {
        let source = Arc::new(source.clone());
        let documents = match documents(&source, &mut decoded.warnings) {
            Ok(documents) => documents,
            Err(diagnostics) => {
                problems.extend(diagnostics);
                continue;
            }
        };
        for document in documents {
            match kinds::decode(&document) {
                Ok(object) => decoded.objects.push((object, document)),
                Err(diagnostics) => {
                    let mut placed: Vec<Diagnostic> = diagnostics
                        .into_iter()
                        .map(|problem| document.place(problem))
                        .collect();
                    placed.sort_by_key(|problem| problem.span.as_ref().map(Span::start));
                    problems.append(&mut placed);
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(decoded)
    } else {
        problems.append(&mut decoded.warnings);
        Err(Diagnostics(problems))
    }
}

/// The documents of one source, lists taken apart.
fn documents(
    source: &Arc<Source>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let tree = parse(&source.text).map_err(|problem| vec![problem.at(source)])?;
    warnings.extend(tree.warnings.into_iter().map(|warning| {
        let mut diagnostic = warning.at(source);
        diagnostic.severity = Severity::Warning;
        diagnostic
    }));
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for root in tree.documents {
        flatten(source, root, &mut documents, &mut problems);
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}

fn parse(text: &str) -> Result<Tree, Problem> {
    if text.len() > MAX_SOURCE_BYTES {
        let message = format!("the source is larger than {MAX_SOURCE_BYTES} bytes");
        return Err(Problem::new(Kind::Syntax, Range::default(), &message));
    }
    let offset = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    if text[offset..].trim_start().starts_with('{') {
        json::parse(text, offset)
    } else {
        yaml::parse(text, offset)
    }
}

/// `kind: List` and typed lists (`PodList`) become their items, also when nested.
fn flatten(
    source: &Arc<Source>,
    root: Node,
    documents: &mut Vec<Document>,
    problems: &mut Vec<Diagnostic>,
) {
    let text = |key: &str| {
        root.get(key)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let document = Document {
        source: Arc::clone(source),
        api_version: text("apiVersion"),
        kind: text("kind"),
        root,
    };
    if document.kind.ends_with("List")
        && let Some(Value::List(_)) = document.root.get("items").map(|items| &items.value)
        && let Value::Map(entries) = document.root.value
    {
        for entry in entries {
            if let ("items", Value::List(items)) = (entry.key.as_str(), entry.node.value) {
                for item in items {
                    flatten(source, item, documents, problems);
                }
            }
        }
        return;
    }
    match kinds::header(&document) {
        Ok(()) => documents.push(document),
        Err(problem) => problems.push(document.place(*problem)),
    }
}

/// The values of a source.
#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    warnings: Vec<Problem>,
}

/// Something wrong with the text, before there is an object to speak of.
#[derive(Debug)]
struct Problem {
    kind: Kind,
    range: Range,
    message: String,
    server: Option<String>,
    hint: Option<String>,
}

impl Problem {
    fn new(kind: Kind, range: Range, message: &str) -> Self {
        Self {
            kind,
            range,
            message: message.to_owned(),
            server: None,
            hint: None,
        }
    }

    fn server(mut self, text: &str) -> Self {
        self.server = Some(text.to_owned());
        self
    }

    fn hint(mut self, text: &str) -> Self {
        self.hint = Some(text.to_owned());
        self
    }

    fn at(self, source: &Arc<Source>) -> Diagnostic {
        let mut diagnostic =
            Diagnostic::new(Severity::Error, self.kind, Path::root(), self.message);
        diagnostic.server_message = self.server;
        diagnostic.hint = self.hint;
        diagnostic.span = Some(Span::new(
            Arc::clone(source),
            self.range.start,
            self.range.end,
        ));
        diagnostic
    }
}
