//! Manifest texts and places in them. Reading files is the caller's business.

use std::fmt;
use std::sync::Arc;

/// One manifest text and the name to show for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file name, or `<stdin>`.
    pub name: String,
    /// The whole text, as read.
    pub text: String,
}

impl Source {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// A range of bytes in a [`Source`].
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    source: Arc<Source>,
    start: usize,
    end: usize,
}

impl Span {
    /// The bytes `start..end` of `source`, moved to the nearest character boundaries inside the text.
    #[must_use]
    pub fn new(source: Arc<Source>, start: usize, end: usize) -> Self {
        let boundary = |at: usize| source.text.floor_char_boundary(at);
        let start = boundary(start);
        let end = boundary(end).max(start);
        Self { source, start, end }
    }

    /// The source this lies in.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// First byte.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// One past the last byte.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// The text itself.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source
            .text
            .get(self.start..self.end)
            .unwrap_or_default()
    }

    /// Line and column of the first character, both from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let mut column = before[line_start..].chars().count() + 1;
        if line_start == 0 && before.starts_with('\u{feff}') {
            column -= 1;
        }
        (
            before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column,
        )
    }

    /// The line on which this starts, without its line break.
    #[must_use]
    pub fn line(&self) -> &str {
        let text = &self.source.text;
        let start = text[..self.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        text[start..end]
            .trim_end_matches('\r')
            .trim_start_matches('\u{feff}')
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(formatter, "{}:{line}:{column}", self.source.name)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
