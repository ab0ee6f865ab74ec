//! A manifest as a tree in which every key and every value knows its place in the text.
//!
//! The tree is kept beside the decoded object, so that whatever is said about a field later (a type error, a rule it
//! breaks, an event at run time) can point at the line that set it.

use crate::path::{Path, Step};

/// Bytes `start..end` of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Range {
    /// How many bytes.
    #[must_use]
    pub fn length(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the byte `at` is one of them.
    #[must_use]
    pub fn holds(self, at: usize) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// A value and where it stands. A value copied by an alias has the place of its anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where.
    pub range: Range,
    /// What.
    pub value: Value,
}

/// What JSON can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, nothing.
    Null,
    /// A boolean; in YAML also `yes`, `on`, `n` …
    Bool(bool),
    /// A number, as JSON would print it.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key stands.
    pub key_range: Range,
    /// The value.
    pub node: Node,
}

impl Value {
    /// The word JSON and Go's errors use.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

impl Node {
    /// The entry of a map.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a map's key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The place of `path`, or of the longest part of it that exists (the container of a missing `image`).
    ///
    /// Scalars are their own place; for a map or list, which may be long, it is the key that introduces it.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Range {
        let mut node = self;
        let mut range = self.first_line();
        for step in path.steps() {
            match (step, &node.value) {
                (Step::Field(name) | Step::Key(name), Value::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *name) else {
                        break;
                    };
                    node = &entry.node;
                    range = match node.value {
                        Value::Map(_) | Value::List(_) | Value::Null => entry.key_range,
                        _ => node.range,
                    };
                }
                (Step::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    node = item;
                    range = item.first_line();
                }
                _ => break,
            }
        }
        range
    }

    /// The place of the last key of `path`, or what [`Self::locate`] finds.
    #[must_use]
    pub fn locate_key(&self, path: &Path) -> Range {
        let parent = path.parent();
        let key = match path.steps().last() {
            Some(Step::Field(name) | Step::Key(name)) => self
                .at(&parent)
                .and_then(|node| node.entry(name))
                .map(|entry| entry.key_range),
            _ => None,
        };
        key.unwrap_or_else(|| self.locate(path))
    }

    /// The value at `path`.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.steps()
            .iter()
            .try_fold(self, |node, step| match (step, &node.value) {
                (Step::Field(name) | Step::Key(name), _) => node.get(name),
                (Step::Index(index), Value::List(items)) => items.get(*index),
                _ => None,
            })
    }

    /// A part of this value that fits on one line: its first entry, for maps and lists.
    fn first_line(&self) -> Range {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.range, |entry| Range {
                start: entry.key_range.start,
                end: entry.node.first_line().end.max(entry.key_range.end),
            }),
            Value::List(items) => items.first().map_or(self.range, Self::first_line),
            _ => self.range,
        }
    }
}
