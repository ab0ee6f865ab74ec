//! What the parser that Kubernetes uses takes and the one here refuses, though people write it: `\'` inside double quotes, and
//! lines indented with tabs inside `{ }` and `[ ]`, as in JSON that somebody has pasted.
//!
//! The text is then changed, without moving anything, and read again. What was put in is taken out of the values.

use std::borrow::Cow;

/// Why a text could not be read, if Kubernetes could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text in double quotes that begins here holds an escape that is none.
    UnknownEscape(usize),
    /// A tab indents a line inside a flow collection, here or after it.
    TabInFlow(usize),
}

/// A text and what has been changed in it.
pub(super) struct Readable<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) stand_in: Option<StandIn>,
}

impl<'t> Readable<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            stand_in: None,
        }
    }

    /// Changes what the parser does not take. Returns whether there is something to try again.
    pub(super) fn relax(&mut self, fault: Fault) -> bool {
        let changed = match fault {
            Fault::UnknownEscape(start) => {
                let stand_in = self.stand_in.or_else(|| StandIn::for_text(&self.text));
                self.stand_in = stand_in;
                stand_in.and_then(|stand_in| stand_in.put_in(&self.text, start))
            }
            Fault::TabInFlow(at) => blanks_for_tabs(&self.text, at),
        };
        match changed {
            Some(text) => {
                self.text = Cow::Owned(text);
                true
            }
            None => false,
        }
    }
}

/// `text` with blanks for the tabs at the beginning of lines, from the line of `at` or the next on and as long as lines begin
/// with a tab. Outside of flow collections no line can begin with a tab, not even in a block text.
fn blanks_for_tabs(text: &str, at: usize) -> Option<String> {
    let mut out = text.as_bytes().to_vec();
    let mut line = text.get(..at)?.rfind('\n').map_or(0, |found| found + 1);
    if out.get(line) != Some(&b'\t') {
        line = text.get(at..)?.find("\n\t")? + at + 1;
    }
    let mut changed = false;
    while out.get(line) == Some(&b'\t') {
        let mut place = line;
        while matches!(out.get(place), Some(b'\t' | b' ')) {
            out[place] = b' ';
            place += 1;
        }
        changed = true;
        let Some(end) = text[place..].find('\n') else {
            break;
        };
        line = place + end + 1;
    }
    changed.then(|| String::from_utf8(out).ok()).flatten()
}

/// Escapes of two bytes that hardly anyone uses: the letter, the character it stands for, and how that can be written too.
const STAND_INS: [(char, char, [&str; 3]); 3] = [
    ('a', '\u{7}', ["\\x07", "\\u0007", "\\U00000007"]),
    ('v', '\u{b}', ["\\x0b", "\\u000b", "\\U0000000b"]),
    ('f', '\u{c}', ["\\x0c", "\\u000c", "\\U0000000c"]),
];

/// What stands in for a quote in a text that has been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StandIn {
    letter: char,
    character: char,
}

impl StandIn {
    /// One that means nothing else in `text`.
    fn for_text(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        STAND_INS
            .into_iter()
            .find(|(letter, _, others)| {
                !text.contains(&format!("\\{letter}"))
                    && !others
                        .iter()
                        .any(|other| lower.contains(&other.to_ascii_lowercase()))
            })
            .map(|(letter, character, _)| Self { letter, character })
    }

    /// `text` with every `\'` replaced in the double-quoted text that begins at `start`; nothing if there is none.
    fn put_in(self, text: &str, start: usize) -> Option<String> {
        let mut out = text.as_bytes().to_vec();
        let mut at = start + 1;
        let mut changed = false;
        while let Some(byte) = out.get(at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    if out.get(at + 1) == Some(&b'\'') {
                        out[at + 1] = u8::try_from(self.letter).ok()?;
                        changed = true;
                    }
                    at += 2;
                }
                _ => at += 1,
            }
        }
        changed.then(|| String::from_utf8(out).ok()).flatten()
    }

    /// The text of a double-quoted scalar as it was meant.
    pub(super) fn take_out(self, text: &str) -> String {
        text.replace(self.character, "'")
    }
}
