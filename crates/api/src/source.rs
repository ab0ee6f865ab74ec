//! Manifest texts and places in them. Reading files is the caller's business.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::limits::MAX_SOURCE_BYTES;
use crate::path::Path;

/// One manifest text and the name to show for it.
#[derive(Clone, Debug)]
pub struct Source {
    /// A file name, or `<stdin>`.
    pub name: String,
    /// The whole text, as read.
    pub text: String,
    /// Where each line begins, once anyone has asked: a thousand problems of a large text all do.
    line_starts: OnceLock<Vec<usize>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text
    }
}

impl Eq for Source {}

impl Source {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            line_starts: OnceLock::new(),
        }
    }

    /// Number of the line that holds byte `at`, from 0, and where that line begins.
    fn line_of(&self, at: usize) -> (usize, usize) {
        let starts = self.line_starts.get_or_init(|| {
            let breaks = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(breaks).collect()
        });
        let line = starts.partition_point(|start| *start <= at).max(1) - 1;
        (line, starts[line])
    }
}

impl Source {
    /// A text that has just been read.
    ///
    /// # Errors
    ///
    /// Where it is no text: manifests are UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Box<Diagnostic>> {
        let name = name.into();
        if bytes.len() > MAX_SOURCE_BYTES {
            return Err(Box::new(Diagnostic::too_large(&name)));
        }
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Ok(Self::new(name, text)),
            Err(error) => error,
        };
        let valid_up_to = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let is_utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut diagnostic = Diagnostic::new(
            Severity::Error,
            Kind::Syntax,
            Path::root(),
            "this is not UTF-8",
        );
        diagnostic.hint = Some(if is_utf_16 {
            "the file is UTF-16: save it as UTF-8".to_owned()
        } else {
            "save the file as UTF-8".to_owned()
        });
        let source = Arc::new(Self::new(name, text));
        diagnostic.span = Some(Span::new(source, valid_up_to, valid_up_to + 1));
        Err(Box::new(diagnostic))
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
        let (line, start) = self.source.line_of(self.start);
        let before = &self.source.text[start..self.start];
        let mut column = before.chars().count() + 1;
        if line == 0 && before.starts_with('\u{feff}') {
            column -= 1;
        }
        (line + 1, column)
    }

    /// The line on which this starts, without its line break.
    #[must_use]
    pub fn line(&self) -> &str {
        let text = &self.source.text;
        let (_, start) = self.source.line_of(self.start);
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
