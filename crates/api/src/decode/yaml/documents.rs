//! Where one document ends and the next begins, before anything is parsed, as kubectl cuts them.

use crate::decode::Problem;
use crate::diagnostic::Kind;
use crate::tree::Range;

/// Nothing but blank lines and comments.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .all(|line| line.is_empty() || line.starts_with('#'))
}

/// The characters YAML does not allow anywhere.
pub(super) fn not_allowed(character: char) -> bool {
    !matches!(character, '\t' | '\n' | '\r' | '\u{85}' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        || character == '\u{feff}'
}

/// Byte ranges between separator lines, as kubectl cuts them: even inside a block scalar.
pub(super) fn split(text: &str, offset: usize) -> Result<Vec<(usize, usize)>, Problem> {
    let mut parts = Vec::new();
    let mut start = offset;
    let mut at = offset;
    for line in text[offset..].split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let range = Range {
                    start: at,
                    end: at + line.trim_end().len(),
                };
                let message = format!("invalid Yaml document separator: {rest}");
                return Err(Problem::new(Kind::Syntax, range, &message)
                    .hint("put what follows `---` on a line of its own"));
            }
            parts.push((start, at));
            start = at + line.len();
        }
        at += line.len();
    }
    parts.push((start, text.len()));
    Ok(parts)
}
