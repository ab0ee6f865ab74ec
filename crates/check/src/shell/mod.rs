//! Shell scripts as a tree, as far as reading one tells what it would do.
//!
//! Init containers are mostly small scripts, and what goes wrong with them is written there: the path a script fills, the loop
//! that never ends, the server it starts. The parser knows POSIX shell and what people use of bash. A script that it cannot read
//! is an error and not a guess, so that nothing is said about it.

mod parse;
#[cfg(test)]
mod tests;
mod word;

pub(crate) use parse::parse;

/// Commands one after the other.
pub(crate) type List = Vec<Item>;

/// One command with what stands around it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// How it depends on the one before it.
    pub(crate) join: Join,
    /// Begins with `!`.
    pub(crate) negated: bool,
    /// The commands of a pipeline; usually one.
    pub(crate) pipeline: Vec<Command>,
    /// Ends with `&`.
    pub(crate) background: bool,
}

/// What stands between a command and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// `;`, a line break, `&`, or nothing, because it is the first.
    Then,
    /// `&&`
    And,
    /// `||`
    Or,
}

/// One command of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    pub(crate) redirects: Vec<Redirect>,
}

/// What kind of command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `A=1 program word word`
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    /// `while` and `until`.
    Loop {
        until: bool,
        condition: List,
        body: List,
    },
    /// `for NAME in WORDS`; without `in`, over the script's arguments. The arithmetic form of bash has no name.
    For {
        name: String,
        words: Vec<Word>,
        body: List,
    },
    /// The conditions and branches of an `if`, or the branches of a `case`.
    Branches {
        conditions: List,
        branches: Vec<List>,
    },
    /// `{ … }`
    Group(List),
    /// `( … )`
    Subshell(List),
    /// `name() { … }`
    Function { name: String, body: Box<Command> },
    /// `[[ … ]]` and `(( … ))` of bash: conditions, which change no file.
    Condition(Vec<Word>),
}

/// `> file` and the like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Redirect {
    /// The descriptor in front of it.
    pub(crate) descriptor: Option<u32>,
    pub(crate) operator: Operator,
    pub(crate) target: Word,
}

/// Which way a redirection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `<`
    Read,
    /// `>`, `>|`, `&>`
    Write,
    /// `>>`, `&>>`
    Append,
    /// `<>`
    ReadWrite,
    /// `>&1`, `<&-`
    Duplicate,
    /// `<<END` and `<<<word`
    Here,
}

/// One word, in parts: what it is depends on variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// Text.
    Text(String),
    /// `$NAME`, `${NAME}`
    Variable(String),
    /// `${NAME:-…}`, `${NAME:=…}`: the word if the variable has no value.
    Default(String, Word),
    /// `$(…)`
    Command(List),
    /// `$1`, `$((…))`, `${NAME%…}`, `` `…` ``, a pattern: something that only running it tells.
    Unknown,
}

impl Word {
    /// Its text, when nothing in it depends on running it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// A script that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;
