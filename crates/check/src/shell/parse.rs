//! The parser: one pass over the characters, one function for each rule of the grammar. Words are in `word`.

use super::word::{is_name, unknown};
use super::{Command, Item, Join, Kind, List, Operator, Part, Redirect, Unreadable, Word};

/// Nesting beyond this is no script that a person wrote; it keeps the recursion off the end of the stack.
const MAX_DEPTH: usize = 50;
/// A longer script is a program, and not what the checks are about.
const MAX_LENGTH: usize = 64 * 1024;

pub(super) type Parsed<T> = Result<T, Unreadable>;

/// Reads a script.
pub(crate) fn parse(text: &str) -> Parsed<List> {
    if text.len() > MAX_LENGTH {
        return Err(Unreadable);
    }
    let mut parser = Parser {
        rest: text,
        here: Vec::new(),
        depth: 0,
    };
    let list = parser.list(&[])?;
    if parser.rest.is_empty() {
        Ok(list)
    } else {
        Err(Unreadable)
    }
}

pub(super) struct Parser<'t> {
    pub(super) rest: &'t str,
    /// Delimiters of here-documents whose text begins on the next line, and whether tabs in front of them count.
    pub(super) here: Vec<(String, bool)>,
    depth: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn skip(&mut self, bytes: usize) -> &'t str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        skipped
    }

    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.skip(token.len());
        }
        found
    }

    /// Blanks, continued lines and a comment.
    fn blanks(&mut self) {
        loop {
            let trimmed = self.rest.trim_start_matches([' ', '\t', '\r']);
            self.skip(self.rest.len() - trimmed.len());
            if self.take("\\\n") || self.take("\\\r\n") {
                continue;
            }
            if self.rest.starts_with('#') {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(end);
            }
            return;
        }
    }

    /// A line break and the here-documents that follow it.
    fn line_break(&mut self) -> bool {
        if !self.take("\n") {
            return false;
        }
        for (delimiter, strip) in std::mem::take(&mut self.here) {
            loop {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let line = self.skip(end).trim_end_matches('\r');
                let line = if strip {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                let is_last = !self.take("\n");
                if line == delimiter || is_last {
                    break;
                }
            }
        }
        true
    }

    fn line_breaks(&mut self) {
        loop {
            self.blanks();
            if !self.line_break() {
                return;
            }
        }
    }

    /// The reserved or plain word that comes next, without taking it.
    fn word_ahead(&self) -> &'t str {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ";&|()<>\"'`$\\".contains(c))
            .unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    fn reserved(&mut self, word: &str) -> bool {
        let found = self.word_ahead() == word;
        if found {
            self.skip(word.len());
        }
        found
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        self.line_breaks();
        if self.reserved(word) {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }

    /// Commands up to one of `ends`, a closing parenthesis, `;;` or the end of the text, none of which is taken.
    pub(super) fn list(&mut self, ends: &[&str]) -> Parsed<List> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Unreadable);
        }
        let mut items = Vec::new();
        let mut join = Join::Then;
        loop {
            self.line_breaks();
            let at_end = self.rest.is_empty()
                || self.rest.starts_with(')')
                || self.rest.starts_with(";;")
                || ends.contains(&self.word_ahead());
            if at_end {
                if join != Join::Then {
                    return Err(Unreadable);
                }
                self.depth -= 1;
                return Ok(items);
            }
            let mut item = self.pipeline()?;
            item.join = join;
            join = Join::Then;
            self.blanks();
            if self.take("&&") {
                join = Join::And;
            } else if self.take("||") {
                join = Join::Or;
            } else if self.take("&") {
                item.background = true;
            } else if !self.rest.starts_with(";;") {
                let has_end = self.take(";")
                    || self.rest.is_empty()
                    || self.rest.starts_with([')', '\n'])
                    || ends.contains(&self.word_ahead());
                if !has_end {
                    return Err(Unreadable);
                }
            }
            items.push(item);
        }
    }

    fn pipeline(&mut self) -> Parsed<Item> {
        let mut item = Item {
            join: Join::Then,
            negated: false,
            pipeline: Vec::new(),
            background: false,
        };
        while self.reserved("!") {
            item.negated = !item.negated;
            self.blanks();
        }
        if self.reserved("time") {
            self.blanks();
        }
        loop {
            item.pipeline.push(self.command()?);
            self.blanks();
            let is_pipe = self.rest.starts_with('|') && !self.rest.starts_with("||");
            if !is_pipe {
                return Ok(item);
            }
            self.skip(1);
            self.take("&");
            self.line_breaks();
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let kind = if self.rest.starts_with("((") {
            let words = vec![self.arithmetic()?];
            Kind::Condition(words)
        } else if self.take("(") {
            let list = self.list(&[])?;
            self.expect_token(")")?;
            Kind::Subshell(list)
        } else {
            match self.word_ahead() {
                "{" => {
                    self.skip(1);
                    let list = self.list(&["}"])?;
                    self.expect("}")?;
                    Kind::Group(list)
                }
                "while" | "until" => self.conditional_loop()?,
                "for" | "select" => self.for_loop()?,
                "if" => self.branches()?,
                "case" => self.case()?,
                "[[" => self.bash_condition()?,
                "function" => {
                    self.skip("function".len());
                    self.blanks();
                    let name = self.name()?;
                    self.blanks();
                    if self.take("(") {
                        self.blanks();
                        self.expect_token(")")?;
                    }
                    self.function(name)?
                }
                word => {
                    let rest = self.rest[word.len()..].trim_start_matches([' ', '\t']);
                    match rest.strip_prefix('(').map(str::trim_start) {
                        Some(rest) if !word.is_empty() && rest.starts_with(')') => {
                            let name = self.name()?;
                            self.skip(self.rest.len() - rest.len() + 1);
                            self.function(name)?
                        }
                        _ => return self.simple(),
                    }
                }
            }
        };
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Command { kind, redirects }),
            }
        }
    }

    pub(super) fn expect_token(&mut self, token: &str) -> Parsed<()> {
        self.line_breaks();
        if self.take(token) {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }

    fn name(&mut self) -> Parsed<String> {
        let name = self.word_ahead();
        if name.is_empty() {
            return Err(Unreadable);
        }
        Ok(self.skip(name.len()).to_owned())
    }

    fn function(&mut self, name: String) -> Parsed<Kind> {
        self.line_breaks();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Unreadable);
        }
        let body = Box::new(self.command()?);
        self.depth -= 1;
        Ok(Kind::Function { name, body })
    }

    fn conditional_loop(&mut self) -> Parsed<Kind> {
        let until = self.reserved("until");
        if !until {
            self.expect("while")?;
        }
        let condition = self.list(&["do"])?;
        let body = self.do_group()?;
        Ok(Kind::Loop {
            until,
            condition,
            body,
        })
    }

    fn do_group(&mut self) -> Parsed<List> {
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(body)
    }

    fn for_loop(&mut self) -> Parsed<Kind> {
        let keyword = self.name()?;
        debug_assert!(keyword == "for" || keyword == "select");
        self.blanks();
        let mut words = Vec::new();
        let name = if self.rest.starts_with("((") {
            words.push(self.arithmetic()?);
            String::new()
        } else {
            let name = self.name()?;
            self.line_breaks();
            if self.reserved("in") {
                loop {
                    self.blanks();
                    if self.rest.is_empty() || self.rest.starts_with([';', '\n']) {
                        break;
                    }
                    words.push(self.word()?);
                }
            }
            name
        };
        self.blanks();
        self.take(";");
        let body = self.do_group()?;
        Ok(Kind::For { name, words, body })
    }

    fn branches(&mut self) -> Parsed<Kind> {
        self.expect("if")?;
        let mut conditions = self.list(&["then"])?;
        self.expect("then")?;
        let mut branches = vec![self.list(&["elif", "else", "fi"])?];
        loop {
            if self.reserved("elif") {
                conditions.extend(self.list(&["then"])?);
                self.expect("then")?;
                branches.push(self.list(&["elif", "else", "fi"])?);
            } else if self.reserved("else") {
                branches.push(self.list(&["fi"])?);
            } else {
                self.expect("fi")?;
                return Ok(Kind::Branches {
                    conditions,
                    branches,
                });
            }
        }
    }

    fn case(&mut self) -> Parsed<Kind> {
        self.expect("case")?;
        self.blanks();
        self.word()?;
        self.expect("in")?;
        let mut branches = Vec::new();
        loop {
            self.line_breaks();
            if self.reserved("esac") {
                return Ok(Kind::Branches {
                    conditions: Vec::new(),
                    branches,
                });
            }
            self.take("(");
            loop {
                self.blanks();
                self.word()?;
                self.blanks();
                if !self.take("|") {
                    break;
                }
            }
            self.expect_token(")")?;
            branches.push(self.list(&["esac"])?);
            if self.take(";;&") || self.take(";;") {
                continue;
            }
            self.expect("esac")?;
            return Ok(Kind::Branches {
                conditions: Vec::new(),
                branches,
            });
        }
    }

    /// `[[ … ]]`, whose operators are words here.
    fn bash_condition(&mut self) -> Parsed<Kind> {
        self.skip(2);
        let mut words = Vec::new();
        loop {
            self.line_breaks();
            if self.reserved("]]") {
                return Ok(Kind::Condition(words));
            }
            if self.rest.is_empty() {
                return Err(Unreadable);
            }
            if self.take("=~") {
                // A regular expression, in which brackets and dollars mean other things.
                self.blanks();
                let end = self
                    .rest
                    .find(char::is_whitespace)
                    .unwrap_or(self.rest.len());
                self.skip(end);
                continue;
            }
            let operator = ["&&", "||", "<", ">", "(", ")", "|", ";"];
            if !operator.iter().any(|operator| self.take(operator)) {
                words.push(self.word()?);
            }
        }
    }

    /// `(( … ))`, as something unknown.
    fn arithmetic(&mut self) -> Parsed<Word> {
        self.skip(2);
        self.balanced_arithmetic()?;
        Ok(Word {
            parts: vec![Part::Unknown],
        })
    }

    pub(super) fn balanced_arithmetic(&mut self) -> Parsed<()> {
        let mut open = 0_usize;
        loop {
            if open == 0 && self.take("))") {
                return Ok(());
            }
            match self.peek() {
                Some('(') => open += 1,
                Some(')') => open = open.checked_sub(1).ok_or(Unreadable)?,
                None => return Err(Unreadable),
                Some(_) => {}
            }
            let width = self.peek().map_or(0, char::len_utf8);
            self.skip(width);
        }
    }

    fn simple(&mut self) -> Parsed<Command> {
        let mut assignments = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            if self.rest.is_empty() || self.rest.starts_with(['\n', ';', '&', '|', ')']) {
                break;
            }
            if words.is_empty()
                && let Some(assignment) = self.assignment()?
            {
                assignments.push(assignment);
                continue;
            }
            if self.rest.starts_with('(') {
                return Err(Unreadable);
            }
            words.push(self.word()?);
        }
        if assignments.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(Unreadable);
        }
        Ok(Command {
            kind: Kind::Simple { assignments, words },
            redirects,
        })
    }

    fn assignment(&mut self) -> Parsed<Option<(String, Word)>> {
        let length = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(length);
        let is_addition = after.starts_with("+=");
        if !is_name(name) || !(after.starts_with('=') || is_addition) {
            return Ok(None);
        }
        self.skip(length + 1 + usize::from(is_addition));
        // An array, or an addition to what is unknown here.
        if self.take("(") {
            loop {
                self.line_breaks();
                if self.take(")") {
                    break;
                }
                if self.rest.is_empty() {
                    return Err(Unreadable);
                }
                self.word()?;
            }
            return Ok(Some((name.to_owned(), unknown())));
        }
        let at_end = self.rest.is_empty()
            || self
                .rest
                .starts_with([' ', '\t', '\r', '\n', ';', '&', '|', ')']);
        let value = if at_end {
            Word::default()
        } else {
            self.word()?
        };
        let value = if is_addition { unknown() } else { value };
        Ok(Some((name.to_owned(), value)))
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let digits = self.rest.len()
            - self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        let operators = [
            ("&>>", Operator::Append),
            ("&>", Operator::Write),
            ("<<<", Operator::Here),
            ("<<-", Operator::Here),
            ("<<", Operator::Here),
            ("<>", Operator::ReadWrite),
            ("<&", Operator::Duplicate),
            (">>", Operator::Append),
            (">|", Operator::Write),
            (">&", Operator::Duplicate),
            ("<", Operator::Read),
            (">", Operator::Write),
        ];
        let after = &self.rest[digits..];
        let Some((token, operator)) = operators
            .into_iter()
            .find(|(token, _)| after.starts_with(token))
        else {
            return Ok(None);
        };
        let is_substitution = after.starts_with("<(") || after.starts_with(">(");
        if is_substitution || (digits > 0 && token.starts_with('&')) {
            return Ok(None);
        }
        let descriptor = self.skip(digits).parse().ok();
        self.skip(token.len());
        self.blanks();
        let target = self.word()?;
        let mut operator = operator;
        if token == "<<" || token == "<<-" {
            // The delimiter is never expanded.
            let delimiter = target.literal().ok_or(Unreadable)?.to_owned();
            self.here.push((delimiter, token == "<<-"));
        } else if token == ">&" {
            // `>& file` of bash writes both streams into it.
            let is_descriptor = target.literal().is_none_or(|target| {
                target
                    .chars()
                    .all(|character| character.is_ascii_digit() || character == '-')
            });
            if !is_descriptor {
                operator = Operator::Write;
            }
        }
        Ok(Some(Redirect {
            descriptor,
            operator,
            target,
        }))
    }
}
