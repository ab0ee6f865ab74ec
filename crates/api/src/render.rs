//! Diagnostics as a person reads them in a terminal.
//!
//! ```text
//! pod.yaml:9:7: error: unknown field "spec.containers[0].comand"
//!   9 |       comand: [sh]
//!     |       ^^^^^^
//! hint: did you mean `command`?
//! ```

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::limits::MAX_SHOWN;

/// Longest piece of a source line that is shown; manifests may hold whole files on one line.
const MAX_LINE: usize = 160;

/// One diagnostic, with a line break at the end.
#[must_use]
pub fn render(diagnostic: &Diagnostic, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    let (word, code) = match diagnostic.severity {
        Severity::Error => ("error:", "1;31"),
        Severity::Warning => ("warning:", "1;33"),
        Severity::Remark => ("remark:", "1;34"),
    };
    let mut out = String::new();
    if let Some(span) = &diagnostic.span {
        let (line, column) = span.line_column();
        let _ = write!(out, "{}:{line}:{column}: ", span.source().name);
    } else if let Some(object) = &diagnostic.object {
        let _ = write!(out, "{object}: ");
    }
    let _ = writeln!(
        out,
        "{} {}",
        paint(code, word),
        shown(&visible(&diagnostic.message))
    );
    if let Some(span) = &diagnostic.span
        && !diagnostic.is_secret
    {
        let (line, column) = span.line_column();
        let number = line.to_string();
        let (shown, skipped) = excerpt(span.line(), column);
        let before: String = span
            .line()
            .chars()
            .skip(skipped)
            .take(column - 1 - skipped)
            .map(|character| if character == '\t' { '\t' } else { ' ' })
            .collect();
        let width = span
            .text()
            .split(['\r', '\n'])
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            .clamp(1, shown.chars().count().saturating_sub(before.len()).max(1));
        let _ = writeln!(out, "  {number} | {}", visible(&shown));
        let _ = writeln!(
            out,
            "  {} | {before}{}",
            " ".repeat(number.len()),
            paint(code, &"^".repeat(width))
        );
    }
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(out, "{} {}", paint("1;36", "hint:"), visible(hint));
    }
    out
}

/// All of them, one after the other.
#[must_use]
pub fn render_all(diagnostics: &Diagnostics, colour: bool) -> String {
    diagnostics
        .0
        .iter()
        .map(|diagnostic| render(diagnostic, colour))
        .collect()
}

/// A message, cut when a value in it is as long as a manifest.
fn shown(message: &str) -> String {
    match message.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{} …", &message[..end]),
        None => message.to_owned(),
    }
}

/// The part of a long line around `column`, and how many characters were left out in front of it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let skipped = if column > MAX_LINE {
        column - MAX_LINE / 2
    } else {
        0
    };
    (line.chars().skip(skipped).take(MAX_LINE).collect(), skipped)
}

/// Manifests may come from anywhere: nothing in them may drive the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() && character != '\t' && character != '\n' {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::path::Path;
    use crate::source::{Source, Span};

    #[test]
    fn place_line_marker_and_hint() {
        let source = Arc::new(Source::new("pod.yaml", "spec:\n  a: über \u{1b}[2J\n"));
        let mut diagnostic =
            Diagnostic::invalid(&Path::fields("spec.a"), "über", "no").with_hint("try b");
        diagnostic.span = Some(Span::new(source, 11, 16));
        assert_eq!(
            render(&diagnostic, false),
            "pod.yaml:2:6: error: spec.a: Invalid value: \"über\": no\n  2 |   a: über \u{fffd}[2J\n    |      ^^^^\nhint: try b\n"
        );
        assert!(render(&diagnostic, true).contains("\u{1b}[1;31merror:\u{1b}[0m"));
    }
}
