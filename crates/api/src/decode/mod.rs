//! Text to objects: YAML or JSON to a tree with places, the tree to typed Kubernetes objects.
//!
//! Decoding is as strict as the API server is with kubectl: unknown fields are errors with their path, a number is no
//! string, and several documents, `kind: List`, a byte-order mark and CRLF are all understood. Defaults and rules come
//! later, in `defaults` and `validate`.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Kind, ObjectName, Severity};
use crate::limits::{MAX_OBJECT_BYTES, MAX_SOURCE_BYTES};
use crate::object::Object;
use crate::path::{Path, Step};
use crate::source::{Source, Span};
use crate::tree::{Node, Range, Value};

mod explain;
mod go_time;
mod go_types;
mod json;
mod kinds;
mod scalar;
mod typed;
mod yaml;

/// Fields that get their value from another one when the text leaves them out.
const FILLED_IN: &[(&str, &str)] = &[
    ("requests", "limits"),
    ("hostPort", "containerPort"),
    ("data", "stringData"),
];

/// One object of a source: its text as a tree, for looking up places, and what it says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    source: Arc<Source>,
    /// The object; for an item of a list, the item.
    pub root: Arc<Node>,
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

    /// What the document says it is.
    #[must_use]
    pub fn object_name(&self) -> ObjectName {
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
        ObjectName {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: name.to_owned(),
        }
    }

    /// `diagnostic` with its place and the name of the object.
    #[must_use]
    pub fn place(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let path = diagnostic.location.as_ref().unwrap_or(&diagnostic.path);
        let path = self.written(path);
        diagnostic.is_secret = self.is_secret(&path);
        if diagnostic.span.is_none() {
            let range = if diagnostic.at_key || diagnostic.is_secret {
                self.root.locate_key(&path)
            } else {
                self.root.locate(&path)
            };
            diagnostic.span = Some(self.span_of(range));
        }
        diagnostic.object.get_or_insert_with(|| self.object_name());
        diagnostic
    }

    /// Where the text sets the field `path`, which may have been filled in from another one.
    fn written(&self, path: &Path) -> Path {
        if self.root.at(path).is_some() {
            return path.clone();
        }
        for (filled_in, from) in FILLED_IN {
            let steps = path.steps().iter().map(|step| match step {
                Step::Field(name) if name == filled_in => Step::Field((*from).to_owned()),
                step => step.clone(),
            });
            let source = Path::from(steps.collect::<Vec<_>>());
            if self.root.at(&source).is_some() {
                return source;
            }
        }
        path.clone()
    }

    /// Whether what stands at `path` is for nobody to read.
    fn is_secret(&self, path: &Path) -> bool {
        self.kind == "Secret"
            && matches!(path.steps().first(), Some(Step::Field(name)) if name == "data" || name == "stringData")
    }

    /// All of them with their places, in the order of the text.
    fn in_order(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut placed: Vec<Diagnostic> = diagnostics
            .into_iter()
            .map(|problem| self.place(problem))
            .collect();
        placed.sort_by_key(|problem| problem.span.as_ref().map(Span::start));
        placed
    }

    fn text_of(&self, range: Range) -> &str {
        let text = &self.source.text;
        text.get(range.start..range.end).unwrap_or_default()
    }

    fn span_of(&self, range: Range) -> Span {
        Span::new(Arc::clone(&self.source), range.start, range.end)
    }
}

/// One thing that a source holds.
#[derive(Clone, Debug)]
pub enum Item {
    /// An object that could be read.
    Object(Box<Object>, Document),
    /// What keeps an object, or the whole text, from being read; or what was accepted and is worth knowing.
    Problems(Vec<Diagnostic>),
}

/// Everything in `sources`, in the order of the texts. An object that is wrong does not hide the others.
#[must_use]
pub fn decode(sources: &[Source]) -> Vec<Item> {
    let mut items = Vec::new();
    for source in sources {
        if source.text.len() > MAX_SOURCE_BYTES {
            items.push(Item::Problems(vec![Diagnostic::too_large(&source.name)]));
            continue;
        }
        let source = Arc::new(source.clone());
        let mut problems = Vec::new();
        let documents = documents(&source, &mut problems);
        items.push(Item::Problems(problems));
        for document in documents {
            items.push(match document {
                Ok(document) => match kinds::decode(&document) {
                    Ok(object) => Item::Object(Box::new(object), document),
                    Err(diagnostics) => Item::Problems(document.in_order(diagnostics)),
                },
                Err(problem) => Item::Problems(vec![problem]),
            });
        }
    }
    items
}

/// The documents of one source, lists taken apart.
fn documents(
    source: &Arc<Source>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Result<Document, Diagnostic>> {
    let tree = match parse(&source.text) {
        Ok(tree) => tree,
        Err(problem) => {
            problems.push(problem.at(source));
            return Vec::new();
        }
    };
    problems.extend(tree.warnings.into_iter().map(|warning| {
        let mut diagnostic = warning.at(source);
        diagnostic.severity = Severity::Warning;
        diagnostic
    }));
    let mut documents = Vec::new();
    for root in tree.documents {
        flatten(source, root, &mut documents);
    }
    for problem in tree.problems {
        let at = problem.range.start;
        let mut diagnostic = problem.at(source);
        diagnostic.object = documents.iter().find_map(|document| match document {
            Ok(document) if document.root.range.holds(at) => Some(document.object_name()),
            _ => None,
        });
        problems.push(diagnostic);
    }
    documents
}

fn parse(text: &str) -> Result<Tree, Problem> {
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
fn flatten(source: &Arc<Source>, root: Node, documents: &mut Vec<Result<Document, Diagnostic>>) {
    let text = |key: &str| {
        root.get(key)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let is_list = matches!(root.get("items"), Some(items) if matches!(items.value, Value::List(_)));
    let root = match root {
        Node {
            value: Value::Map(entries),
            ..
        } if is_list && kind.ends_with("List") => {
            let items = entries.into_iter().find(|entry| entry.key == "items");
            if let Some(Value::List(items)) = items.map(|entry| entry.node.value) {
                for item in items {
                    flatten(source, item, documents);
                }
            }
            return;
        }
        root => root,
    };
    let document = Document {
        source: Arc::clone(source),
        api_version,
        kind,
        root: Arc::new(root),
    };
    documents.push(match kinds::header(&document) {
        Ok(()) if document.root.range.length() > MAX_OBJECT_BYTES => Err(too_large(&document)),
        Ok(()) => Ok(document),
        Err(problem) => Err(document.place(*problem)),
    });
}

/// In the words of the API server, which takes no more in one request.
fn too_large(document: &Document) -> Diagnostic {
    let message = format!("Request entity too large: limit is {MAX_OBJECT_BYTES}");
    document.place(Diagnostic::new(
        Severity::Error,
        Kind::TooLong,
        Path::root(),
        message,
    ))
}

/// The values of a source.
#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    warnings: Vec<Problem>,
    /// What is wrong with it although it could be read: keys that occur twice.
    problems: Vec<Problem>,
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
