//! What is wrong with a text that is no YAML, in words that say what to do.
//!
//! A YAML parser notices a mistake where it can no longer go on, often a line after the mistake, and says so in terms of
//! its grammar. The commonest mistakes in manifests are few: here they are recognised and pointed at where they are.

use super::Problem;
use crate::diagnostic::Kind;
use crate::tree::Range;

/// The parser gave up at byte `at` of `text` with the message `parser`, inside the flow collection that `open`s last.
pub(super) fn explain(text: &str, at: usize, parser: &str, open: Option<Range>) -> Problem {
    let mistake = Mistake {
        text,
        at: text.floor_char_boundary(at.min(text.len())),
        parser,
        open,
    };
    mistake
        .tab()
        .or_else(|| mistake.unfinished_quote())
        .or_else(|| mistake.unknown_alias())
        .or_else(|| mistake.open_bracket())
        .or_else(|| mistake.bracket_without_a_beginning())
        .or_else(|| mistake.quoted())
        .or_else(|| mistake.colon())
        .or_else(|| mistake.indentation())
        .or_else(|| mistake.missing_colon())
        .or_else(|| mistake.directive())
        .or_else(|| mistake.template())
        .or_else(|| mistake.reserved_character())
        .unwrap_or_else(|| mistake.at_point(parser))
}

struct Mistake<'t> {
    text: &'t str,
    at: usize,
    parser: &'t str,
    open: Option<Range>,
}

impl<'t> Mistake<'t> {
    fn says(&self, words: &str) -> bool {
        self.parser.contains(words)
    }

    fn problem(&self, start: usize, end: usize, message: &str) -> Problem {
        let end = end.max(start + 1);
        Problem::new(Kind::Syntax, Range { start, end }, message)
    }

    fn at_point(&self, message: &str) -> Problem {
        self.problem(self.at, self.at + 1, message)
    }

    /// Start of the line that holds `at`.
    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |found| found + 1)
    }

    fn line(&self, start: usize) -> &'t str {
        let rest = &self.text[start..];
        rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r')
    }

    /// The last line above `start` that is neither empty nor a comment.
    fn line_above(&self, start: usize) -> Option<(usize, &'t str)> {
        let mut end = start;
        while end > 0 {
            let above = self.line_start(end - 1);
            let line = self.line(above);
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                return Some((above, line));
            }
            end = above;
        }
        None
    }

    fn tab(&self) -> Option<Problem> {
        let here = self.line_start(self.at);
        // Where the parser says so, it may be on one of the lines below, where the text seemed to go on.
        let lines = if self.says(" tab") { 4 } else { 1 };
        let starts = std::iter::successors(Some(here), |start| {
            let end = self.text[*start..].find('\n')?;
            Some(start + end + 1)
        });
        let tab = starts.take(lines).find_map(|start| {
            let line = self.line(start);
            let indentation = line.len() - line.trim_start().len();
            Some(start + line[..indentation].find('\t')?)
        })?;
        Some(
            self.problem(tab, tab + 1, "a tab cannot indent")
                .hint("YAML is indented with blanks only"),
        )
    }

    fn unfinished_quote(&self) -> Option<Problem> {
        self.says("unclosed quote").then(|| {
            self.at_point("the quote that begins here is not closed")
                .hint("inside single quotes, a quote is written twice: 'it''s'; inside double quotes: \\\"")
        })
    }

    fn unknown_alias(&self) -> Option<Problem> {
        if !self.says("unknown anchor") && !self.says("anchor or alias") {
            return None;
        }
        let rest = &self.text[self.at..];
        if self.says("did not find expected alphabetic") {
            let first = rest.chars().next().unwrap_or_default();
            return Some(
                self.at_point(&format!("a name is missing after `{first}`"))
                    .hint(&format!(
                        "a text that begins with `{first}` must be put in quotes"
                    )),
            );
        }
        let length = rest
            .find(|character: char| character.is_whitespace() || ",]}".contains(character))
            .unwrap_or(rest.len());
        let alias = &rest[..length];
        let name = alias.strip_prefix('*').filter(|name| !name.is_empty())?;
        Some(
            self.problem(
                self.at,
                self.at + length,
                &format!("no anchor `&{name}` stands before this alias"),
            )
            .hint(&format!(
                "a text that begins with `*` must be put in quotes: \"{alias}\""
            )),
        )
    }

    fn open_bracket(&self) -> Option<Problem> {
        let open = self.open?;
        let bracket = self.text.get(open.start..=open.start)?;
        let (closing, in_list) = match bracket {
            "{" => ("}", false),
            "[" => ("]", true),
            _ => return None,
        };
        let expected = self.says("did not find expected ','")
            || self.says("invalid indentation in flow")
            || self.says("unclosed bracket")
            || self.says("mapping values are not allowed")
            || self.says("illegal placement of ':'")
            || self.at >= self.text.trim_end().len();
        if !expected {
            return None;
        }
        let on_its_line = self.line_start(open.start) == self.line_start(self.at);
        if on_its_line && self.at < self.text.len() && self.at != open.start {
            let message = format!("`,` or `{closing}` is expected here");
            let mut problem = self.at_point(&message);
            if self.says("mapping values") {
                problem = problem.hint("put a text that holds `: ` in quotes");
            }
            return Some(problem);
        }
        let message = format!("this `{bracket}` is not closed");
        let what = if in_list { "list" } else { "map" };
        Some(
            self.problem(open.start, open.start + 1, &message)
                .hint(&format!(
                    "close the {what} with `{closing}`; inside it, entries are separated by `,`"
                )),
        )
    }

    fn bracket_without_a_beginning(&self) -> Option<Problem> {
        self.says("misplaced bracket").then(|| {
            let bracket = &self.text[self.at..=self.at];
            self.at_point(&format!(
                "nothing that this `{bracket}` could close is open"
            ))
            .hint("put a text that begins with a bracket in quotes")
        })
    }

    fn quoted(&self) -> Option<Problem> {
        if self.says("trailing content after") {
            return Some(
                self.at_point("a quoted text ends at its second quote; nothing can follow it")
                    .hint("put all of the text in quotes"),
            );
        }
        if !self.says("unknown escape character") {
            return None;
        }
        let rest = &self.text[self.at..];
        let backslash = unknown_escape(rest).unwrap_or(0);
        let escape: String = rest[backslash..].chars().take(2).collect();
        Some(
            self.problem(
                self.at + backslash,
                self.at + backslash + escape.len(),
                &format!("`{escape}` means nothing inside double quotes"),
            )
            .hint("write the backslash twice, or use single quotes"),
        )
    }

    fn colon(&self) -> Option<Problem> {
        if !self.says("mapping values are not allowed") {
            return None;
        }
        let start = self.line_start(self.at);
        let line = self.line(start);
        if let Some((above, text)) = self.line_above(start)
            && let Some(colon) = glued_colon(text)
        {
            let word = text.trim_start().trim_start_matches("- ");
            return Some(
                self.problem(
                    above + colon,
                    above + colon + 1,
                    "a blank is missing after the colon",
                )
                .hint(&format!("`{}`", word.replacen(':', ": ", 1))),
            );
        }
        if line[..self.at - start].contains(": ") {
            return Some(
                self.at_point("a second `: ` on one line")
                    .hint("put a text that holds `: ` in quotes"),
            );
        }
        Some(self.at_point("a key cannot stand here").hint(
            "compare the indentation with the line above: that line is a text that goes on here",
        ))
    }

    fn indentation(&self) -> Option<Problem> {
        let message = "this line is indented like nothing above it";
        if self.says("did not find expected key") || self.says("invalid indentation") {
            return Some(
                self.at_point(message)
                    .hint("keys of one map begin in the same column"),
            );
        }
        if self.says("block sequence entries are not allowed") {
            return Some(
                self.at_point("a list cannot begin here")
                    .hint("begin it on the next line, or write `[one, two]`; put a text that begins with `- ` in quotes"),
            );
        }
        self.says("did not find expected '-' indicator").then(|| {
            self.at_point("an entry of the list, beginning with `- `, is expected here")
                .hint("entries of one list begin in the same column")
        })
    }

    fn missing_colon(&self) -> Option<Problem> {
        if !self.says("expected ':'") {
            return None;
        }
        let start = self.line_start(self.at);
        let word = self.text[self.at..]
            .split(['\n', '\r'])
            .next()
            .unwrap_or_default();
        let message = format!("`{word}` is no key: a colon is missing");
        let problem = self.problem(self.at, self.at + word.len(), &message);
        let block = self
            .line_above(start)
            .is_some_and(|(_, line)| line.trim_end().ends_with(['|', '>', '-', '+']));
        Some(if block {
            problem.hint("a block text after `|` or `>` is indented deeper than its key")
        } else {
            problem
        })
    }

    fn template(&self) -> Option<Problem> {
        let start = self.line_start(self.at);
        let braces = self.line(start).find("{{")?;
        Some(
            self.problem(
                start + braces,
                start + braces + 2,
                "this is a template that has not been rendered",
            )
            .hint("render it first, for example with `helm template`"),
        )
    }

    /// kubectl cuts a file at `---`, and then the directive stands alone.
    fn directive(&self) -> Option<Problem> {
        self.says("document start").then(|| {
            self.at_point("a YAML directive cannot stand here")
                .hint("remove the line that begins with `%`; kubectl does not take it either")
        })
    }

    fn reserved_character(&self) -> Option<Problem> {
        let first = self.text[self.at..].chars().next()?;
        if !"@`%".contains(first) {
            return None;
        }
        Some(
            self.at_point(&format!("{first} cannot begin a text"))
                .hint("put the text in quotes"),
        )
    }
}

/// Where in a text in double quotes the first backslash is that escapes nothing.
fn unknown_escape(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            let (_, escaped) = characters.next()?;
            if !"0abt\tnvfre \"/\\N_LPxuU\n\r".contains(escaped) {
                return Some(at);
            }
        }
    }
    None
}

/// Where in a line of the form `name:value` the colon is.
fn glued_colon(line: &str) -> Option<usize> {
    let colon = line.find(':')?;
    let key = line[..colon].trim_start().trim_start_matches("- ");
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    let next = line[colon + 1..].chars().next()?;
    (is_key && !next.is_whitespace() && !line[colon..].contains(": ")).then_some(colon)
}
