//! YAML text to trees, with the meaning Kubernetes gives it.
//!
//! The parser below supplies events and positions; this file supplies what Kubernetes' own reader does with them:
//! documents are split at every line that starts with `---`, keys become strings (`on: x` has the key `true`), merge
//! keys overwrite what stands before them, aliases are copied. Two things are stricter than kubectl, which keeps silent
//! about them: a key that occurs twice is an error, and the size of what aliases may describe is bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag};

use self::map::MapBuilder;
use super::explain::explain;
use super::scalar;
use super::{Problem, Tree};
use crate::diagnostic::Kind;
use crate::go::quote;
use crate::limits::{MAX_DEPTH, MAX_NODES, MAX_PROBLEMS};
use crate::tree::{Node, Range, Value};

mod documents;
mod map;

/// How many bytes of text count as one more node, so that an alias cannot repeat a large text without end.
const BYTES_PER_NODE: usize = 64;

/// The documents of `text` from byte `offset` on. Empty ones are left out.
pub(super) fn parse(text: &str, offset: usize) -> Result<Tree, Problem> {
    let mut tree = Tree::default();
    let mut nodes_left = MAX_NODES;
    for (start, end) in documents::split(text, offset)? {
        if documents::is_blank(&text[start..end]) {
            continue;
        }
        if let Some(at) = text[start..end].find(documents::not_allowed) {
            return Err(Problem::new(
                Kind::Syntax,
                Range {
                    start: start + at,
                    end: start + at + 1,
                },
                "control characters are not allowed",
            )
            .server("error converting YAML to JSON: yaml: control characters are not allowed"));
        }
        let mut builder = Builder {
            events: Parser::new_from_str(&text[start..end]),
            base: start,
            anchors: HashMap::new(),
            nodes_left,
            depth: 0,
            open: Vec::new(),
            text: &text[start..end],
            warnings: Vec::new(),
            problems: Vec::new(),
        };
        builder.documents(&mut tree.documents)?;
        nodes_left = builder.nodes_left;
        tree.warnings.append(&mut builder.warnings);
        tree.problems.append(&mut builder.problems);
    }
    Ok(tree)
}

struct Builder<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// Where the part being read starts in the whole text.
    base: usize,
    /// That part.
    text: &'t str,
    /// The flow collections (`{`, `[`) that are being read, outermost first.
    open: Vec<Range>,
    anchors: HashMap<usize, Anchored>,
    nodes_left: usize,
    depth: usize,
    warnings: Vec<Problem>,
    /// What is wrong without keeping the rest from being read.
    problems: Vec<Problem>,
}

/// A value that aliases may repeat.
struct Anchored {
    node: Node,
    cost: usize,
    height: usize,
}

type Positioned<'t> = (Event<'t>, Range);

impl<'t> Builder<'t> {
    fn documents(&mut self, documents: &mut Vec<Node>) -> Result<(), Problem> {
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::StreamStart | Event::DocumentEnd | Event::DocumentStart(..) => {}
                event => {
                    self.anchors.clear();
                    let node = self.node(event, range)?;
                    if node.value != Value::Null {
                        documents.push(node);
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<Positioned<'t>, Problem> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or(0..0);
                Ok((
                    event,
                    Range {
                        start: self.base + range.start,
                        end: self.base + range.end,
                    },
                ))
            }
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, Range::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, range: Range) -> Result<Node, Problem> {
        let before = self.nodes_left;
        self.spend(1, range)?;
        let anchor = event.anchor_id();
        let node = match event {
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id) else {
                    let message = "an alias inside the value that it names";
                    return Err(Problem::new(Kind::Syntax, range, message));
                };
                if self.depth + anchored.height > MAX_DEPTH {
                    return Err(too_deep(range));
                }
                let node = anchored.node.clone();
                self.spend(anchored.cost, range)?;
                node
            }
            Event::Scalar(text, style, _, tag) => {
                self.spend(text.len() / BYTES_PER_NODE, range)?;
                Node {
                    range,
                    value: self.scalar(text, style, tag.as_deref(), range)?,
                }
            }
            Event::SequenceStart(style, _, _) => {
                self.enter(style, range)?;
                let node = self.list(style, range)?;
                self.leave(style);
                node
            }
            Event::MappingStart(style, _, _) => {
                self.enter(style, range)?;
                let node = self.map(style, range)?;
                self.leave(style);
                node
            }
            _ => {
                return Err(Problem::new(
                    Kind::Syntax,
                    range,
                    "a value is expected here",
                ));
            }
        };
        if let Some(id) = anchor {
            let cost = before - self.nodes_left;
            self.spend(cost, range)?;
            let anchored = Anchored {
                node: node.clone(),
                cost,
                height: height(&node),
            };
            self.anchors.insert(id, anchored);
        }
        Ok(node)
    }

    fn list(&mut self, style: StructureStyle, start: Range) -> Result<Node, Problem> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, range) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let last = items.last().map_or(start.end, |item| item.range.end);
                let range = whole(style, start, last, range);
                return Ok(Node {
                    range,
                    value: Value::List(items),
                });
            }
            items.push(self.node(event, range)?);
        }
    }

    fn map(&mut self, style: StructureStyle, start: Range) -> Result<Node, Problem> {
        let mut map = MapBuilder::default();
        let mut last = start.end;
        loop {
            let (event, key_range) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let range = whole(style, start, last, key_range);
                return Ok(Node {
                    range,
                    value: Value::Map(map.entries),
                });
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, key_range)?;
            let (event, range) = self.next()?;
            let node = self.node(event, range)?;
            last = last.max(range.end).max(node.range.end);
            if merge {
                self.merge(&mut map, node, key_range)?;
            } else {
                let key = self.key(key)?;
                if map.explicit(&key, key_range, node) {
                    self.duplicate(&key, key_range);
                }
            }
        }
    }

    /// `<<: *a` or `<<: [*a, *b]`: earlier maps of the list win over later ones, and all of them win over keys that
    /// stand before the merge key, as in Go's reader.
    fn merge(&mut self, map: &mut MapBuilder, node: Node, at: Range) -> Result<(), Problem> {
        let sources = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for source in sources.into_iter().rev() {
            let Value::Map(entries) = source.value else {
                let message = "map merge requires map or sequence of maps as the value";
                return Err(Problem::new(Kind::Syntax, at, message)
                    .server(&format!("error converting YAML to JSON: yaml: {message}")));
            };
            for entry in entries {
                if let Some(key) = map.merged(entry)
                    && self.warnings.len() < MAX_PROBLEMS
                {
                    let message =
                        format!("the merge key replaces {} written before it", quote(&key));
                    self.warnings.push(
                        Problem::new(Kind::Notice, at, &message)
                            .hint("put `<<` first; keys after it win over what it brings"),
                    );
                }
            }
        }
        Ok(())
    }

    /// Keys are strings in the end: booleans and numbers become their text.
    fn key(&self, node: Node) -> Result<String, Problem> {
        match node.value {
            Value::String(text) | Value::Number(text) => Ok(text),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Null => Err(Problem::new(Kind::Syntax, node.range, "a key is missing here")
                .server("error converting YAML to JSON: unsupported map key of type: %!s(<nil>), key: <nil>")),
            Value::List(_) | Value::Map(_) => {
                Err(Problem::new(Kind::Syntax, node.range, "a key must be a text, not a list or a map")
                    .server("error converting YAML to JSON: yaml: invalid map key")
                    .hint("`{{ … }}` is a template that has not been rendered; quote it if it is meant as text"))
            }
        }
    }

    fn scalar(
        &self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: Range,
    ) -> Result<Value, Problem> {
        let finite = |result: Result<Value, scalar::NotFinite>| {
            result.map_err(|scalar::NotFinite(name)| {
                Problem::new(
                    Kind::Syntax,
                    range,
                    "JSON, and so Kubernetes, has no infinite numbers",
                )
                .server(&format!(
                    "error converting YAML to JSON: json: unsupported value: {name}"
                ))
            })
        };
        let cannot = |what: &str| {
            let message = format!("cannot decode {} as a {what}", quote(&text));
            Err(Problem::new(Kind::Syntax, range, &message))
        };
        match tag.and_then(Tag::core_suffix) {
            Some("str") => Ok(Value::String(text.into_owned())),
            Some("null") => Ok(Value::Null),
            Some(expected @ ("int" | "float" | "bool")) => {
                match (expected, finite(scalar::resolve(&text))?) {
                    ("bool", value @ Value::Bool(_))
                    | ("int" | "float", value @ Value::Number(_)) => Ok(value),
                    _ => cannot(expected),
                }
            }
            _ if tag.is_some() || style != ScalarStyle::Plain => {
                Ok(Value::String(text.into_owned()))
            }
            _ => finite(scalar::resolve(&text)),
        }
    }

    fn spend(&mut self, nodes: usize, range: Range) -> Result<(), Problem> {
        self.nodes_left = self.nodes_left.checked_sub(nodes).ok_or_else(|| {
            let message =
                format!("more than {MAX_NODES} values in one source, counting what aliases repeat");
            Problem::new(Kind::Syntax, range, &message)
                .server("error converting YAML to JSON: yaml: document contains excessive aliasing")
        })?;
        Ok(())
    }

    fn enter(&mut self, style: StructureStyle, range: Range) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_deep(range));
        }
        if style == StructureStyle::Flow {
            self.open.push(range);
        }
        Ok(())
    }

    fn leave(&mut self, style: StructureStyle) {
        self.depth -= 1;
        if style == StructureStyle::Flow {
            self.open.pop();
        }
    }

    fn scan_error(&self, error: &ScanError) -> Problem {
        if error.info().contains("recursion limit") {
            return too_deep(Range {
                start: self.base,
                end: self.base + 1,
            });
        }
        let at = error.marker().byte_offset().unwrap_or(self.text.len());
        let moved = |range: Range, by: usize| Range {
            start: range.start + by,
            end: range.end + by,
        };
        let open = self.open.last().map(|range| Range {
            start: range.start - self.base,
            end: range.end - self.base,
        });
        let mut problem = explain(self.text, at, &error.info(), open);
        problem.range = moved(problem.range, self.base);
        problem
    }

    /// A key that occurs twice. The API server refuses it too when it is sent the YAML itself; kubectl does not notice.
    fn duplicate(&mut self, key: &str, at: Range) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let message = format!("key {} already set in map", quote(key));
        let before = &self.text[..(at.start - self.base).min(self.text.len())];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        self.problems.push(
            Problem::new(Kind::DuplicateKey, at, &message)
                .server(&format!(
                    "strict decoding error: yaml: unmarshal errors:\n  line {line}: {message}"
                ))
                .hint("remove one of the two; `kubectl apply` would silently use the last"),
        );
    }
}

fn too_deep(range: Range) -> Problem {
    let message = format!("maps and lists nested more than {MAX_DEPTH} deep");
    Problem::new(Kind::Syntax, range, &message)
}

/// How many maps and lists stand inside each other here.
fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| height(&entry.node))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}

/// A flow collection ends at its bracket; a block collection at its last value, not at the next token.
fn whole(style: StructureStyle, start: Range, last: usize, end: Range) -> Range {
    Range {
        start: start.start,
        end: if style == StructureStyle::Flow {
            end.end
        } else {
            last
        },
    }
}

#[cfg(test)]
mod tests;
