//! Words: quotes, variables, substitutions, patterns.

use super::parse::{Parsed, Parser, parse};
use super::{Part, Unreadable, Word};

impl<'t> Parser<'t> {
    pub(super) fn word(&mut self) -> Parsed<Word> {
        let mut word = Word::default();
        let mut is_first = true;
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | ')' => break,
                '<' | '>' if self.rest[1..].starts_with('(') => {
                    // A process substitution: what runs in it is of no interest, but it has to be read to find its end.
                    self.skip(2);
                    self.list(&[])?;
                    self.expect_token(")")?;
                    word.parts.push(Part::Unknown);
                }
                '<' | '>' => break,
                '(' => return Err(Unreadable),
                '\'' => {
                    self.skip(1);
                    let end = self.rest.find('\'').ok_or(Unreadable)?;
                    push_text(&mut word, self.skip(end));
                    self.skip(1);
                }
                '"' => {
                    self.skip(1);
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.skip(1);
                    match self.peek() {
                        None => return Err(Unreadable),
                        Some('\n') => {
                            self.skip(1);
                        }
                        Some(escaped) => push_text(&mut word, self.skip(escaped.len_utf8())),
                    }
                }
                '$' => self.dollar(&mut word)?,
                '`' => self.backquoted(&mut word)?,
                '*' | '?' | '[' => {
                    self.skip(1);
                    // `[` alone is a command, and `?` in a URL is what it looks like when no file fits it.
                    let is_command = character == '['
                        && is_first
                        && (self.rest.is_empty() || self.rest.starts_with([' ', '\t']));
                    if is_command {
                        push_text(&mut word, "[");
                    } else {
                        word.parts.push(Part::Unknown);
                    }
                }
                '~' if is_first => {
                    self.skip(1);
                    word.parts.push(Part::Unknown);
                }
                _ => {
                    let end = self
                        .rest
                        .find(|c: char| c.is_whitespace() || ";&|()<>\"'`$\\*?[".contains(c))
                        .unwrap_or(self.rest.len());
                    push_text(&mut word, self.skip(end));
                }
            }
            is_first = false;
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Parsed<()> {
        // An empty text is a part too: `""` is a word.
        push_text(word, "");
        loop {
            match self.peek().ok_or(Unreadable)? {
                '"' => {
                    self.skip(1);
                    return Ok(());
                }
                '\\' => {
                    self.skip(1);
                    let escaped = self.peek().ok_or(Unreadable)?;
                    if !"$`\"\\\n".contains(escaped) {
                        push_text(word, "\\");
                    }
                    let text = self.skip(escaped.len_utf8());
                    if escaped != '\n' {
                        push_text(word, text);
                    }
                }
                '$' => self.dollar(word)?,
                '`' => self.backquoted(word)?,
                _ => {
                    let end = self.rest.find(['"', '\\', '$', '`']).ok_or(Unreadable)?;
                    push_text(word, self.skip(end));
                }
            }
        }
    }

    fn backquoted(&mut self, word: &mut Word) -> Parsed<()> {
        self.skip(1);
        let mut escaped = false;
        let end = self
            .rest
            .find(|character: char| {
                let ends = character == '`' && !escaped;
                escaped = character == '\\' && !escaped;
                ends
            })
            .ok_or(Unreadable)?;
        let inside = self.skip(end);
        self.skip(1);
        // With escapes in it, it would have to be unescaped first; that is rare and old.
        match parse(inside) {
            Ok(list) if !inside.contains('\\') => word.parts.push(Part::Command(list)),
            _ => word.parts.push(Part::Unknown),
        }
        Ok(())
    }

    fn dollar(&mut self, word: &mut Word) -> Parsed<()> {
        self.skip(1);
        if self.rest.starts_with("((") {
            let before = self.rest;
            self.skip(2);
            if self.balanced_arithmetic().is_ok() {
                word.parts.push(Part::Unknown);
                return Ok(());
            }
            // `$((` may also begin a command substitution with a subshell in it.
            self.rest = before;
        }
        if self.take("(") {
            let here = std::mem::take(&mut self.here);
            let list = self.list(&[])?;
            self.expect_token(")")?;
            self.here = here;
            word.parts.push(Part::Command(list));
        } else if self.take("{") {
            let part = self.braced()?;
            word.parts.push(part);
        } else if self.rest.starts_with(['\'', '"']) {
            // `$'…'` of bash: an escaped text, and `$"…"`, a translated one.
            let quote = self.skip(1);
            let end = self.rest.find(quote).ok_or(Unreadable)?;
            self.skip(end + 1);
            word.parts.push(Part::Unknown);
        } else {
            let length = self
                .rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(self.rest.len());
            let name = &self.rest[..length];
            if is_name(name) {
                self.skip(length);
                word.parts.push(Part::Variable(name.to_owned()));
            } else if self
                .rest
                .starts_with(|c: char| c.is_ascii_digit() || "@*#?-$!".contains(c))
            {
                self.skip(1);
                word.parts.push(Part::Unknown);
            } else {
                push_text(word, "$");
            }
        }
        Ok(())
    }

    /// After `${`.
    fn braced(&mut self) -> Parsed<Part> {
        let length = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let name = &self.rest[..length];
        if is_name(name) {
            let after = &self.rest[length..];
            if after.starts_with('}') {
                self.skip(length + 1);
                return Ok(Part::Variable(name.to_owned()));
            }
            for operator in [":-", ":=", "-", "="] {
                if after.starts_with(operator) {
                    self.skip(length + operator.len());
                    let mut word = Word::default();
                    let text = self.until_brace()?;
                    if text.contains(['$', '`', '"', '\'', '\\']) {
                        word.parts.push(Part::Unknown);
                    } else {
                        push_text(&mut word, text);
                    }
                    return Ok(Part::Default(name.to_owned(), word));
                }
            }
        }
        self.until_brace()?;
        Ok(Part::Unknown)
    }

    /// Up to the brace that closes, which is taken too.
    fn until_brace(&mut self) -> Parsed<&'t str> {
        let mut open = 0_usize;
        let mut previous = '\0';
        for (at, character) in self.rest.char_indices() {
            match character {
                '{' if previous == '$' => open += 1,
                '}' if previous != '\\' => match open.checked_sub(1) {
                    Some(fewer) => open = fewer,
                    None => {
                        let inside = self.skip(at);
                        self.skip(1);
                        return Ok(inside);
                    }
                },
                _ => {}
            }
            previous = character;
        }
        Err(Unreadable)
    }
}

pub(super) fn unknown() -> Word {
    Word {
        parts: vec![Part::Unknown],
    }
}

fn push_text(word: &mut Word, text: &str) {
    match word.parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => word.parts.push(Part::Text(text.to_owned())),
    }
}

/// Whether this can name a variable.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
