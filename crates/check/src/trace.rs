//! What a program does, command by command, with variables filled in as far as they are known.
//!
//! A [`Trace`] is flat: loops, branches and functions have become the [`Context`] of each command. Nothing is executed and no
//! branch is chosen; a value that only running the script would tell is [`UNKNOWN`].

use std::collections::BTreeMap;

use crate::shell::{self, Command, Item, Join, Kind, List, Operator, Part, Redirect, Word};

/// Stands in a word for a piece of it that is not known.
pub(crate) const UNKNOWN: char = '\0';
/// Functions that call each other can make many commands out of few.
const MAX_RUNS: usize = 2000;
/// Functions in functions, and scripts in scripts.
const MAX_CALLS: usize = 8;

/// A word after expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arg(pub(crate) String);

impl Arg {
    /// The text, when all of it is known.
    pub(crate) fn exact(&self) -> Option<&str> {
        (!self.0.contains(UNKNOWN)).then_some(&self.0)
    }

    /// The text up to the first piece that is not known.
    pub(crate) fn known_start(&self) -> &str {
        self.0.split(UNKNOWN).next().unwrap_or_default()
    }
}

/// What stands around a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Context {
    /// The loops it is in, outermost first, as indices into [`Trace::loops`].
    pub(crate) loops: Vec<usize>,
    /// Its exit code decides something, so that failing is no accident.
    pub(crate) is_condition: bool,
    /// It runs only when something before it failed, or in one branch of several.
    pub(crate) is_conditional: bool,
    /// Ends after a time at the latest, because of `timeout`.
    pub(crate) has_limit: bool,
    /// Part of a pipeline with others.
    pub(crate) is_piped: bool,
    /// Nobody waits for it.
    pub(crate) is_background: bool,
    /// The last one of the whole program.
    pub(crate) is_last: bool,
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// The program and its arguments, without what only starts another one (`exec`, `env`, `timeout`).
    pub(crate) argv: Vec<Arg>,
    pub(crate) redirects: Vec<(Option<u32>, Operator, Arg)>,
    /// Where relative paths begin, if known.
    pub(crate) directory: Option<String>,
    pub(crate) context: Context,
    /// Replaces the shell.
    pub(crate) is_exec: bool,
    /// Runs as a user of its own, because of `su-exec` and the like.
    pub(crate) as_other_user: bool,
}

impl Run {
    /// The last component of the program's path; empty when it is not known.
    pub(crate) fn program(&self) -> &str {
        let path = self.argv.first().and_then(Arg::exact).unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// The arguments.
    pub(crate) fn arguments(&self) -> &[Arg] {
        self.argv.get(1..).unwrap_or_default()
    }
}

/// One `while` or `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loop {
    /// The condition is one that never changes: `while true`.
    pub(crate) is_endless: bool,
}

/// Everything a program does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trace {
    pub(crate) runs: Vec<Run>,
    pub(crate) loops: Vec<Loop>,
}

/// What is known before the program starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Environment {
    /// Variables; those with a value that is not known have none.
    pub(crate) variables: BTreeMap<String, Option<String>>,
    /// Whether there are no others but those of the image.
    pub(crate) is_complete: bool,
    /// The working directory.
    pub(crate) directory: Option<String>,
}

/// Follows a program given as words; nothing when it cannot be read.
pub(crate) fn follow(argv: &[Arg], environment: &Environment) -> Option<Trace> {
    let mut walk = Walk {
        trace: Trace::default(),
        environment,
        functions: BTreeMap::new(),
        calls: 0,
    };
    let mut scope = Scope {
        variables: environment.variables.clone(),
        directory: environment.directory.clone(),
    };
    let context = Context {
        is_last: true,
        ..Context::default()
    };
    walk.start(argv.to_vec(), Vec::new(), &mut scope, context)?;
    Some(walk.trace)
}

#[derive(Clone, Debug, PartialEq)]
struct Scope {
    variables: BTreeMap<String, Option<String>>,
    directory: Option<String>,
}

impl Scope {
    /// Keeps what both agree on.
    fn merge(&mut self, other: &Self) {
        for (name, value) in &other.variables {
            if self.variables.get(name) != Some(value) {
                self.variables.insert(name.clone(), None);
            }
        }
        if self.directory != other.directory {
            self.directory = None;
        }
    }
}

struct Walk<'e> {
    trace: Trace,
    environment: &'e Environment,
    functions: BTreeMap<String, Command>,
    calls: usize,
}

impl Walk<'_> {
    fn list(&mut self, list: &List, scope: &mut Scope, context: &Context) -> Option<()> {
        for (index, item) in list.iter().enumerate() {
            let next = list.get(index + 1).map(|next| next.join);
            let mut own = context.clone();
            own.is_last &= next.is_none() && !item.background;
            own.is_background |= item.background;
            own.is_condition |= item.negated || next == Some(Join::Or);
            own.is_conditional |= item.join == Join::Or;
            own.is_piped |= item.pipeline.len() > 1;
            self.item(item, scope, &own)?;
        }
        Some(())
    }

    fn item(&mut self, item: &Item, scope: &mut Scope, context: &Context) -> Option<()> {
        if let [command] = item.pipeline.as_slice() {
            return if item.background || item.join != Join::Then {
                let mut inner = scope.clone();
                self.command(command, &mut inner, context)?;
                if !item.background {
                    scope.merge(&inner);
                }
                Some(())
            } else {
                self.command(command, scope, context)
            };
        }
        for command in &item.pipeline {
            self.command(command, &mut scope.clone(), context)?;
        }
        Some(())
    }

    fn command(&mut self, command: &Command, scope: &mut Scope, context: &Context) -> Option<()> {
        let redirects = self.redirects(&command.redirects, scope, context)?;
        match &command.kind {
            Kind::Simple { assignments, words } => {
                let mut values = Vec::new();
                for (name, word) in assignments {
                    let value = self.word(word, scope, context)?;
                    values.push((name.clone(), value.exact().map(str::to_owned)));
                }
                let mut argv = Vec::new();
                for word in words {
                    argv.push(self.word(word, scope, context)?);
                }
                if argv.is_empty() {
                    scope.variables.extend(values);
                    if !redirects.is_empty() {
                        self.push(
                            Vec::new(),
                            redirects,
                            scope,
                            context.clone(),
                            Start::default(),
                        )?;
                    }
                    return Some(());
                }
                return self.start(argv, redirects, scope, context.clone());
            }
            Kind::Loop {
                until,
                condition,
                body,
            } => {
                let endless = if *until { "false" } else { "true" };
                let is_endless = match condition.as_slice() {
                    [item] if !item.negated && item.pipeline.len() == 1 => {
                        is_constant(&item.pipeline[0], endless)
                    }
                    _ => false,
                };
                self.trace.loops.push(Loop { is_endless });
                let mut inner = scope.clone();
                let mut own = context.clone();
                own.loops.push(self.trace.loops.len() - 1);
                own.is_last = false;
                let mut of_condition = own.clone();
                of_condition.is_condition = true;
                self.list(condition, &mut inner, &of_condition)?;
                self.list(body, &mut inner, &own)?;
                scope.merge(&inner);
            }
            Kind::For { name, words, body } => {
                let mut values = Vec::new();
                for word in words {
                    values.push(self.word(word, scope, context)?);
                }
                let mut inner = scope.clone();
                let value = match values.as_slice() {
                    [value] => value.exact().map(str::to_owned),
                    _ => None,
                };
                inner.variables.insert(name.clone(), value);
                let mut own = context.clone();
                own.is_last = false;
                self.list(body, &mut inner, &own)?;
                scope.merge(&inner);
            }
            Kind::Branches {
                conditions,
                branches,
            } => {
                let mut of_condition = context.clone();
                of_condition.is_condition = true;
                of_condition.is_last = false;
                self.list(conditions, scope, &of_condition)?;
                let mut own = context.clone();
                own.is_conditional = true;
                let before = scope.clone();
                for branch in branches {
                    let mut inner = before.clone();
                    self.list(branch, &mut inner, &own)?;
                    scope.merge(&inner);
                }
            }
            Kind::Group(list) => self.list(list, scope, context)?,
            Kind::Subshell(list) => self.list(list, &mut scope.clone(), context)?,
            Kind::Function { name, body } => {
                self.functions.insert(name.clone(), (**body).clone());
            }
            Kind::Condition(words) => {
                for word in words {
                    self.word(word, scope, context)?;
                }
            }
        }
        if !redirects.is_empty() {
            self.push(
                Vec::new(),
                redirects,
                scope,
                context.clone(),
                Start::default(),
            )?;
        }
        Some(())
    }

    fn redirects(
        &mut self,
        redirects: &[Redirect],
        scope: &mut Scope,
        context: &Context,
    ) -> Option<Vec<(Option<u32>, Operator, Arg)>> {
        let mut out = Vec::new();
        for redirect in redirects {
            let target = self.word(&redirect.target, scope, context)?;
            out.push((redirect.descriptor, redirect.operator, target));
        }
        Some(out)
    }

    /// A command with all its words: a function, a builtin that changes what is known, another script, or a program.
    fn start(
        &mut self,
        argv: Vec<Arg>,
        redirects: Vec<(Option<u32>, Operator, Arg)>,
        scope: &mut Scope,
        context: Context,
    ) -> Option<()> {
        let (argv, start) = unwrap(argv);
        let context = Context {
            has_limit: context.has_limit || start.has_limit,
            ..context
        };
        let name = argv
            .first()
            .and_then(Arg::exact)
            .unwrap_or_default()
            .to_owned();
        if let Some(body) = self.functions.get(&name).cloned() {
            return self.nested(|walk| walk.command(&body, scope, &context));
        }
        if let Some(script) = script_of(&argv) {
            let script = script.exact()?.to_owned();
            let list = shell::parse(&script).ok()?;
            self.nested(|walk| walk.list(&list, &mut scope.clone(), &context))?;
            if !redirects.is_empty() {
                self.push(Vec::new(), redirects, scope, context, Start::default())?;
            }
            return Some(());
        }
        match name.as_str() {
            "cd" => {
                let target = argv.get(1).and_then(Arg::exact);
                scope.directory =
                    target.and_then(|target| absolute(target, scope.directory.as_deref()));
            }
            "export" | "local" | "readonly" | "declare" | "typeset" => {
                for argument in &argv[1..] {
                    if let Some((name, value)) = argument.0.split_once('=') {
                        let value = Arg(value.to_owned()).exact().map(str::to_owned);
                        scope.variables.insert(name.to_owned(), value);
                    }
                }
            }
            "read" | "unset" | "getopts" | "mapfile" | "readarray" => {
                for argument in &argv[1..] {
                    scope.variables.insert(argument.0.clone(), None);
                }
            }
            _ => {}
        }
        self.push(argv, redirects, scope, context, start)
    }

    fn nested(&mut self, walk: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.calls += 1;
        let done = if self.calls > MAX_CALLS {
            None
        } else {
            walk(self)
        };
        self.calls -= 1;
        done
    }

    fn push(
        &mut self,
        argv: Vec<Arg>,
        redirects: Vec<(Option<u32>, Operator, Arg)>,
        scope: &Scope,
        context: Context,
        start: Start,
    ) -> Option<()> {
        if self.trace.runs.len() >= MAX_RUNS {
            return None;
        }
        self.trace.runs.push(Run {
            argv,
            redirects,
            directory: scope.directory.clone(),
            context,
            is_exec: start.is_exec,
            as_other_user: start.as_other_user,
        });
        Some(())
    }

    fn word(&mut self, word: &Word, scope: &mut Scope, context: &Context) -> Option<Arg> {
        let mut text = String::new();
        for part in &word.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Variable(name) => match scope.variables.get(name) {
                    Some(Some(value)) => text.push_str(value),
                    _ => text.push(UNKNOWN),
                },
                Part::Default(name, default) => match scope.variables.get(name) {
                    Some(Some(value)) => text.push_str(value),
                    Some(None) => text.push(UNKNOWN),
                    None if self.environment.is_complete => {
                        let value = self.word(default, scope, context)?;
                        text.push_str(&value.0);
                    }
                    None => text.push(UNKNOWN),
                },
                Part::Command(list) => {
                    let mut own = context.clone();
                    own.is_piped = true;
                    own.is_last = false;
                    self.list(list, &mut scope.clone(), &own)?;
                    text.push(UNKNOWN);
                }
                Part::Unknown => text.push(UNKNOWN),
            }
        }
        Some(Arg(text))
    }
}

fn is_constant(command: &Command, word: &str) -> bool {
    match &command.kind {
        Kind::Simple { assignments, words } if assignments.is_empty() => {
            let texts: Vec<Option<&str>> = words.iter().map(Word::literal).collect();
            match texts.as_slice() {
                [Some(":")] => word == "true",
                [Some(only)] => *only == word,
                [Some("["), Some("1" | "true"), Some("]")] => word == "true",
                _ => false,
            }
        }
        _ => false,
    }
}

/// How a command is started.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    is_exec: bool,
    has_limit: bool,
    as_other_user: bool,
}

/// Takes away what only starts another program.
fn unwrap(mut argv: Vec<Arg>) -> (Vec<Arg>, Start) {
    let mut start = Start::default();
    loop {
        let path = argv.first().and_then(Arg::exact).unwrap_or_default();
        let program = path.rsplit('/').next().unwrap_or_default().to_owned();
        let text = |index: usize| argv.get(index).map(|arg: &Arg| arg.0.as_str());
        let skip = match program.as_str() {
            "exec" | "nohup" | "time" | "setsid" | "tini" | "dumb-init" | "catatonit" | "sudo"
            | "nice" | "ionice" | "stdbuf" | "command" => {
                let mut skip = 1;
                while text(skip).is_some_and(|word| word.starts_with('-')) {
                    // `command -v` only asks.
                    if program == "command" {
                        return (argv, start);
                    }
                    skip += 1;
                }
                skip
            }
            "busybox" | "toybox" => 1,
            "env" => {
                let mut skip = 1;
                while text(skip).is_some_and(|word| word.starts_with('-') || word.contains('=')) {
                    skip += 1;
                }
                skip
            }
            "timeout" => {
                let mut skip = 1;
                while let Some(word) = text(skip).filter(|word| word.starts_with('-')) {
                    skip += if matches!(word, "-s" | "-k" | "--signal" | "--kill-after") {
                        2
                    } else {
                        1
                    };
                }
                skip + 1
            }
            "su-exec" | "gosu" | "chroot" | "setuidgid" => 2,
            _ => return (argv, start),
        };
        // Only the starter itself: `exec > file`, or `env` to print the environment.
        if skip >= argv.len() {
            return (argv, start);
        }
        start.is_exec |= program == "exec";
        start.has_limit |= program == "timeout";
        start.as_other_user |=
            matches!(program.as_str(), "su-exec" | "gosu" | "setuidgid" | "sudo");
        argv.drain(..skip);
    }
}

/// The script of `sh -ec SCRIPT`.
pub(crate) fn script_of(argv: &[Arg]) -> Option<&Arg> {
    argv.get(script_index(argv)?)
}

/// Where in `sh -ec SCRIPT` the script is.
pub(crate) fn script_index(argv: &[Arg]) -> Option<usize> {
    let path = argv.first()?.exact()?;
    let program = path.rsplit('/').next()?;
    if !is_shell(program) {
        return None;
    }
    let mut index = 1;
    let mut is_script = false;
    while let Some(option) = argv.get(index).and_then(Arg::exact) {
        let Some(letters) = option.strip_prefix(['-', '+']) else {
            break;
        };
        if letters.starts_with('-') {
            // `--login` and the like; `--` ends the options.
            index += 1;
            if letters == "-" {
                break;
            }
            continue;
        }
        is_script |= option.starts_with('-') && letters.contains('c');
        index += 1;
        if letters.ends_with('o') {
            index += 1;
        }
    }
    (is_script && index < argv.len()).then_some(index)
}

/// Whether a program is a shell.
pub(crate) fn is_shell(program: &str) -> bool {
    matches!(
        program,
        "sh" | "bash" | "ash" | "dash" | "zsh" | "ksh" | "mksh"
    )
}

/// `path` from the root, without `.` and `..`.
pub(crate) fn absolute(path: &str, directory: Option<&str>) -> Option<String> {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", directory?)
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(script: &str) -> Trace {
        let environment = Environment {
            variables: [
                ("DIR".to_owned(), Some("/data".to_owned())),
                ("SECRET".to_owned(), None),
            ]
            .into(),
            is_complete: true,
            directory: Some("/".to_owned()),
        };
        let argv: Vec<Arg> = ["sh", "-ec", script]
            .iter()
            .map(|word| Arg((*word).to_owned()))
            .collect();
        follow(&argv, &environment).unwrap_or_else(|| panic!("cannot follow {script:?}"))
    }

    fn lines(script: &str) -> Vec<String> {
        trace(script)
            .runs
            .iter()
            .map(|run| {
                let words: Vec<String> = run
                    .argv
                    .iter()
                    .map(|arg| arg.0.replace(UNKNOWN, "?"))
                    .collect();
                words.join(" ")
            })
            .collect()
    }

    #[test]
    fn variables_are_filled_in_as_far_as_they_are_known() {
        assert_eq!(lines("cp $DIR/a $SECRET"), ["cp /data/a ?"]);
        assert_eq!(lines("D=/x; cp a ${D}/b"), ["cp a /x/b"]);
        assert_eq!(lines("if a; then D=/y; fi; b $D"), ["a", "b ?"]);
        assert_eq!(lines("a ${P:-80} ${DIR:-/no}"), ["a 80 /data"]);
        assert_eq!(lines("export E=/e; a $E"), ["export E=/e", "a /e"]);
        assert_eq!(lines("for f in /one; do a $f; done"), ["a /one"]);
        assert_eq!(lines("for f in x y; do a $f; done"), ["a ?"]);
        assert_eq!(lines("a $(b c)"), ["b c", "a ?"]);
    }

    #[test]
    fn what_only_starts_another_program_is_taken_away() {
        assert_eq!(
            lines("exec timeout -s KILL 5 env A=b nginx -g x"),
            ["nginx -g x"]
        );
        assert_eq!(lines("bash -c 'a; b'"), ["a", "b"]);
        assert_eq!(lines("f() { a \"$DIR\"; }; f"), ["a /data"]);
        assert_eq!(lines("command -v a"), ["command -v a"]);
    }

    #[test]
    fn the_context_of_a_command() {
        let trace = trace("a || b; while true; do c; done; d | e; f & g");
        let find = |name: &str| {
            let run = trace.runs.iter().find(|run| run.program() == name);
            run.unwrap_or_else(|| panic!("{name}")).context.clone()
        };
        assert!(find("a").is_condition);
        assert!(find("b").is_conditional);
        assert_eq!(find("c").loops, [0]);
        assert!(trace.loops[0].is_endless);
        assert!(find("d").is_piped && !find("d").is_last);
        assert!(find("f").is_background);
        assert!(find("g").is_last);
    }

    #[test]
    fn functions_that_call_each_other_end() {
        let argv = ["sh", "-c", "f() { f; f; }; f"].map(|word| Arg(word.to_owned()));
        assert_eq!(follow(&argv, &Environment::default()), None);
    }

    #[test]
    fn paths_from_the_root() {
        assert_eq!(absolute("/a/./b/../c/", None).as_deref(), Some("/a/c"));
        assert_eq!(absolute("b", Some("/a")).as_deref(), Some("/a/b"));
        assert_eq!(absolute("b", None), None);
    }
}
