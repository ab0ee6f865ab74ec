//! The one deserializer: from the tree with places to the generated Kubernetes types.
//!
//! There is exactly one, because every further one would be instantiated for all types of a Pod and add megabytes.
//! It reads values as the API server's JSON decoder does: `null` leaves the zero value, a number is no string, an unknown
//! field is an error. Unlike that decoder it goes on after a type error, so that all of them are reported at once: the
//! offending value is left out and the object is decoded again.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned};

use self::reader::Reader;
use super::{Document, go_types};
use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::go::quote;
use crate::limits::{MAX_BYTES_OF_PASSES, MAX_PROBLEMS};
use crate::path::{Path, Step};
use crate::suggest;
use crate::tree::Entry;

mod access;
mod reader;

/// `document` as `T`, or everything about it that is of the wrong type or unknown.
pub(super) fn decode<T: DeserializeOwned>(document: &Document) -> Result<T, Vec<Diagnostic>> {
    let mut left_out = HashSet::new();
    let mut problems = Vec::new();
    // Each pass goes through the whole object: a large one gets fewer.
    let most = (MAX_BYTES_OF_PASSES / document.root.range.length().max(1)).clamp(5, MAX_PROBLEMS);
    loop {
        let context = Context::new(&left_out, document);
        let result = T::deserialize(Reader {
            node: &document.root,
            context: &context,
        });
        let unknown = context.unknown.into_inner();
        let error = match result {
            Ok(object) if problems.is_empty() && unknown.is_empty() => return Ok(object),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let again = error.is_some_and(|error| {
            let node = error.node;
            problems.push(error.into_diagnostic());
            problems.len() < most && node.is_some_and(|node| left_out.insert(node))
        });
        if !again {
            problems.extend(unknown);
            problems.truncate(MAX_PROBLEMS);
            return Err(problems);
        }
    }
}

/// What is known while one object is being read.
struct Context<'a> {
    /// Values found to be wrong in an earlier pass, by address.
    left_out: &'a HashSet<usize>,
    document: &'a Document,
    unknown: RefCell<Vec<Diagnostic>>,
    stack: RefCell<Vec<Level>>,
}

/// One step down, and the struct it was taken in.
struct Level {
    step: Step,
    of: Option<&'static str>,
}

impl<'a> Context<'a> {
    fn new(left_out: &'a HashSet<usize>, document: &'a Document) -> Self {
        Self {
            left_out,
            document,
            unknown: RefCell::default(),
            stack: RefCell::default(),
        }
    }
}

impl Context<'_> {
    fn path(&self) -> Path {
        let stack = self.stack.borrow();
        Path::from(
            stack
                .iter()
                .map(|level| level.step.clone())
                .collect::<Vec<_>>(),
        )
    }

    /// The innermost struct and field, for the table of Go types.
    fn field(&self) -> Option<(&'static str, String)> {
        let stack = self.stack.borrow();
        stack
            .iter()
            .rev()
            .find_map(|level| match (&level.step, level.of) {
                (Step::Field(name), Some(of)) => Some((of, name.clone())),
                _ => None,
            })
    }

    /// `Go struct field EnvVar.spec.containers.env.value`, as Go's decoder names a field: the innermost struct, then
    /// the path without indexes and keys but with the names of inlined structs.
    fn go_field(&self) -> String {
        let stack = self.stack.borrow();
        let mut out = String::new();
        for level in stack.iter() {
            if let Step::Field(name) = &level.step {
                out.push('.');
                if let Some(inlined) = level.of.and_then(|of| go_types::inlined(of, name)) {
                    out.push_str(inlined);
                    out.push('.');
                }
                out.push_str(name);
            }
        }
        let innermost = stack
            .iter()
            .rev()
            .find_map(|level| level.of)
            .unwrap_or_default();
        format!("Go struct field {innermost}{out}")
    }

    fn within<T>(&self, step: Step, of: Option<&'static str>, read: impl FnOnce() -> T) -> T {
        self.stack.borrow_mut().push(Level { step, of });
        let result = read();
        self.stack.borrow_mut().pop();
        result
    }
}

/// Why a value cannot be what it has to be.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    server: Option<String>,
    hint: Option<String>,
    path: Option<Path>,
    node: Option<usize>,
}

impl Error {
    fn into_diagnostic(self) -> Diagnostic {
        let path = self.path.unwrap_or_default();
        let message = format!("{path}: {}", self.message);
        let mut diagnostic = Diagnostic::new(Severity::Error, Kind::Type, path, message);
        diagnostic.server_message = Some(self.server.unwrap_or(self.message));
        diagnostic.hint = self.hint;
        diagnostic
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            server: None,
            hint: None,
            path: None,
            node: None,
        }
    }
}

impl Context<'_> {
    fn unknown_field(&self, entry: &Entry, of: &str, fields: &[&'static str]) {
        if self.unknown.borrow().len() >= MAX_PROBLEMS {
            return;
        }
        let path = self.path().field_named(&entry.key);
        let message = format!("unknown field {}", quote(&path.to_string()));
        let mut diagnostic =
            Diagnostic::new(Severity::Error, Kind::UnknownField, path, message).at_key();
        diagnostic.server_message = Some(format!("strict decoding error: {}", diagnostic.message));
        diagnostic.hint = go_types::misplaced(of, &entry.key)
            .map(str::to_owned)
            .or_else(|| {
                suggest::nearest(&entry.key, fields.iter().copied())
                    .map(|field| format!("did you mean `{field}`?"))
            });
        self.unknown.borrow_mut().push(diagnostic);
    }
}
