//! `\'` inside double quotes: no escape of YAML, but of the parser that Kubernetes uses, and people write it.
//!
//! The parser here refuses it. Then it is written as another escape, of the same length so that all places stay right, and
//! put back once the text has been read.

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
    pub(super) fn for_text(text: &str) -> Option<Self> {
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
    pub(super) fn put_in(self, text: &str, start: usize) -> Option<String> {
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
