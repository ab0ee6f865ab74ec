//! JSON text to trees with places. A source whose first character is `{` is read as JSON, as kubectl does: one object
//! after the other, without separators.

use std::collections::HashSet;

use super::{Problem, Tree};
use crate::diagnostic::Kind;
use crate::go::quote;
use crate::limits::{MAX_DEPTH, MAX_NODES, MAX_PROBLEMS};
use crate::path::{Path, Step};
use crate::tree::{Entry, Node, Range, Value};

/// All values of `text` from byte `offset` on.
pub(super) fn parse(text: &str, offset: usize) -> Result<Tree, Problem> {
    let mut reader = Reader {
        text,
        at: offset,
        depth: 0,
        nodes: 0,
        path: Vec::new(),
        problems: Vec::new(),
    };
    let mut tree = Tree::default();
    loop {
        reader.blanks();
        if reader.peek().is_none() {
            tree.problems = reader.problems;
            return Ok(tree);
        }
        let node = reader.value()?;
        if node.value != Value::Null {
            tree.documents.push(node);
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    nodes: usize,
    /// Where in the value being read `at` is.
    path: Vec<Step>,
    /// Keys that occur twice.
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn problem(&self, context: &str) -> Problem {
        let found = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next());
        let message = match found {
            Some(character) => format!("invalid character {} {context}", go_character(character)),
            None => "unexpected end of JSON input".to_owned(),
        };
        let range = Range {
            start: self.at,
            end: self.at + found.map_or(0, char::len_utf8),
        };
        let offset = self.at + usize::from(found.is_some());
        Problem::new(Kind::Syntax, range, &message)
            .server(&format!("json: offset {offset}: {message}"))
            .hint("the source starts with `{`, so it is read as JSON")
    }

    fn value(&mut self) -> Result<Node, Problem> {
        self.blanks();
        let start = self.at;
        self.nodes += 1;
        if self.nodes > MAX_NODES || self.depth > MAX_DEPTH {
            let message =
                format!("more than {MAX_NODES} values, or nested more than {MAX_DEPTH} deep");
            let range = Range {
                start,
                end: start + 1,
            };
            return Err(Problem::new(Kind::Syntax, range, &message));
        }
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node {
            range: Range {
                start,
                end: self.at,
            },
            value,
        })
    }

    fn word(&mut self) -> Result<Value, Problem> {
        for (word, value) in [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.problem("looking for beginning of value"))
    }

    fn object(&mut self) -> Result<Value, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        self.at += 1;
        self.depth += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Map(entries));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.problem("looking for beginning of object key string"));
            }
            let start = self.at;
            let key = self.string()?;
            let key_range = Range {
                start,
                end: self.at,
            };
            let first = seen.insert(key.clone());
            self.path.push(Step::Field(key.clone()));
            if !first && self.problems.len() < MAX_PROBLEMS {
                let path = Path::from(self.path.clone());
                let message = format!("duplicate field {}", quote(&path.to_string()));
                self.problems.push(
                    Problem::new(Kind::DuplicateKey, key_range, &message)
                        .server(&format!("strict decoding error: {message}"))
                        .hint("remove one of the two; `kubectl apply` would silently use the last"),
                );
            }
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.problem("after object key"));
            }
            self.at += 1;
            let node = self.value()?;
            self.path.pop();
            if first {
                entries.push(Entry {
                    key,
                    key_range,
                    node,
                });
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(Value::Map(entries));
                }
                _ => return Err(self.problem("after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<Value, Problem> {
        let mut items = Vec::new();
        self.at += 1;
        self.depth += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::List(items));
        }
        loop {
            self.path.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.problem("after array element")),
            }
        }
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        if serde_json::from_str::<serde_json::Number>(text).is_err() {
            self.at = start;
            return Err(self.problem("in numeric literal"));
        }
        Ok(Value::Number(text.to_owned()))
    }

    /// Finds the closing quote here and leaves escapes, surrogates and control characters to `serde_json`.
    fn string(&mut self) -> Result<String, Problem> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => {
                    self.at = bytes.len();
                    return Err(self.problem("in string literal"));
                }
            }
        }
        match self
            .text
            .get(start..=end)
            .map(serde_json::from_str::<String>)
        {
            Some(Ok(text)) => {
                self.at = end + 1;
                Ok(text)
            }
            _ => Err(self.problem("in string literal")),
        }
    }
}

/// A character as Go's JSON errors quote it.
fn go_character(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        character => {
            let quoted = quote(&character.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
