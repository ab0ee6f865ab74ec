//! Commands and variables that are not what they look like.

use std::collections::BTreeSet;

use podyard_api::Path;

use super::Report;
use crate::catalog::Check;
use crate::facts::{ContainerFacts, Piece, pieces};
use crate::finding::Severity;
use crate::trace::script_index;

pub(crate) static LITERAL: Check = Check {
    id: "literal-variable",
    severity: Severity::Warning,
    title: "`$(NAME)` that Kubernetes does not replace, because the container has no such variable",
    explanation: "In `command`, `args` and the values of `env`, Kubernetes replaces `$(NAME)` by a variable of the same container; a value of \
`env` sees only those above it. Any other name stays as it is written: the program gets the text `$(NAME)`, and in a shell script the \
shell runs a command NAME. Variables of the image (`PATH`, `HOME`) and of the shell (`HOSTNAME`) do not count. Containers that take \
variables from a ConfigMap or Secret which is not in the same files are left out, and so are the variables of Services.",
    fix: "Define the variable, above its use. In a shell script write `$NAME`. Write `$$(NAME)` when the text is meant.",
    run: literal,
};

fn literal(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in &facts.containers {
        if !container.environment.is_complete {
            continue;
        }
        let own = container.container;
        let variables = own.env.as_deref().unwrap_or_default();
        let defined: BTreeSet<&str> = container
            .environment
            .variables
            .keys()
            .map(String::as_str)
            .collect();
        let lists = [("command", &own.command), ("args", &own.args)];
        for (field, list) in lists {
            for (index, text) in list.iter().flatten().enumerate() {
                // What stands in a here-document may be for another program.
                if text.contains("<<") {
                    continue;
                }
                let path = container.path.field(field).index(index);
                for name in references(text) {
                    if !defined.contains(name) {
                        tell_literal(
                            report,
                            container,
                            path.clone(),
                            name,
                            "has no such variable",
                        );
                    }
                }
            }
        }
        let mut above: BTreeSet<&str> = defined
            .iter()
            .copied()
            .filter(|name| !variables.iter().any(|variable| variable.name == *name))
            .collect();
        for (index, variable) in variables.iter().enumerate() {
            let path = container.path.field("env").index(index).field("value");
            for name in references(variable.value.as_deref().unwrap_or_default()) {
                if above.contains(name) {
                    continue;
                }
                let why = if name == variable.name {
                    "defines it only here"
                } else if defined.contains(name) {
                    "defines it only further down"
                } else {
                    "has no such variable"
                };
                tell_literal(report, container, path.clone(), name, why);
            }
            above.insert(&variable.name);
        }
    }
}

fn tell_literal(
    report: &mut Report<'_>,
    container: &ContainerFacts<'_>,
    path: Path,
    name: &str,
    why: &str,
) {
    let fix = match why {
        "has no such variable" if name == "HOSTNAME" || name == "POD_NAME" => {
            format!("add `{name}` to `env`, from `fieldRef: metadata.name`")
        }
        "has no such variable" => {
            format!("define `{name}` in `env`, or write `$$({name})` if the text is meant")
        }
        _ => format!("move `{name}` above the variables that use it"),
    };
    let word = format!("$({name})");
    let message = format!(
        "`{word}` stays as it is written: `{}` {why}",
        container.name()
    );
    if path.steps().len() == 5 {
        // A word of the command, possibly in a long script.
        report.at_word(container, &word, message, fix);
    } else {
        report.at(path, message, fix);
    }
}

/// The names of `$(NAME)` that can only be meant as variables; `$(date)` is a command of the shell.
fn references(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Reference(name) if looks_like_variable(name) => Some(name),
        _ => None,
    })
}

fn looks_like_variable(name: &str) -> bool {
    let is_upper = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // The kubelet makes these for every Service.
    let of_service = name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_");
    is_upper && name.len() > 1 && !of_service
}

pub(crate) static NO_SHELL: Check = Check {
    id: "variable-without-shell",
    severity: Severity::Warning,
    title: "`$NAME` in a command without a shell, which nobody replaces",
    explanation: "A command runs as it stands, without a shell: `[\"echo\", \"$NAME\"]` prints `$NAME`. Kubernetes replaces `$(NAME)`, with \
parentheses. Reported for variables that the container has, and for programs that are known not to replace them themselves.",
    fix: "Write `$(NAME)`, or run the command in a shell: `[\"sh\", \"-c\", \"echo $NAME\"]`.",
    run: no_shell,
};

/// Programs that take their arguments as they are.
const PLAIN_PROGRAMS: &[&str] = &[
    "echo",
    "printf",
    "curl",
    "wget",
    "psql",
    "mysql",
    "redis-cli",
    "nc",
    "cp",
    "mv",
    "cat",
    "mkdir",
    "touch",
    "chown",
    "chmod",
    "ls",
    "test",
    "git",
    "pg_isready",
    "nslookup",
    "ping",
    "sleep",
    "tar",
    "kubectl",
];

fn no_shell(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in &facts.containers {
        if script_index(&container.argv).is_some() || !container.has_command {
            continue;
        }
        let own = container.container;
        let words = own.command.iter().chain(&own.args).flatten();
        let program = container.runs().first().map_or("", |run| run.program());
        if !PLAIN_PROGRAMS.contains(&program) {
            continue;
        }
        let names: Vec<&String> = container.environment.variables.keys().collect();
        for word in words {
            let found = names.iter().find_map(|name| {
                [format!("${{{name}}}"), format!("${name}")]
                    .into_iter()
                    .find(|reference| is_reference(word, reference))
                    .map(|reference| (*name, reference))
            });
            if let Some((name, reference)) = found {
                report.at_word(
                    container,
                    &reference,
                    format!("`{program}` in `{}` gets the text `{reference}`: there is no shell to replace it", container.name()),
                    format!("write `$({name})`, which Kubernetes replaces"),
                );
                break;
            }
        }
    }
}

/// Whether a word holds the reference, and not one to a longer name or an escaped one.
fn is_reference(word: &str, reference: &str) -> bool {
    word.match_indices(reference).any(|(at, _)| {
        let escaped = word[..at].ends_with(['$', '\\']);
        let longer = word[at + reference.len()..]
            .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        !escaped && (!longer || reference.ends_with('}'))
    })
}

pub(crate) static ONE_WORD: Check = Check {
    id: "command-is-one-word",
    severity: Severity::Error,
    title: "A whole command line is one word of `command`",
    explanation: "`command` is a list of words. `[\"python app.py\"]` looks for a program whose name has a blank in it, and the container fails \
with \"no such file or directory\".",
    fix: "Write each word as an entry of its own, or run the line in a shell: `[\"sh\", \"-c\", \"…\"]`.",
    run: one_word,
};

fn one_word(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in &facts.containers {
        let Some(program) = container.container.command.iter().flatten().next() else {
            continue;
        };
        let mut words = program.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            continue;
        };
        // A path may have blanks in it.
        if program.starts_with('/') && second.contains('/') && !program.contains(" -") {
            continue;
        }
        let shown: String = program.chars().take(40).collect();
        report.at(
            container.path.field("command").index(0),
            format!("`{}` has one word `{shown}` as its program, blanks included: there is no such file", container.name()),
            format!("make `{first}` and what follows it entries of their own"),
        );
    }
}

pub(crate) static IGNORED: Check = Check {
    id: "shell-ignores-words",
    severity: Severity::Warning,
    title: "Words after the script of `sh -c`, which the script does not use",
    explanation: "`sh -c` runs one word. What follows it are the script's arguments `$0`, `$1` and so on: `[\"sh\", \"-c\", \"echo\", \"hi\"]` \
prints an empty line.",
    fix: "Put the whole command line into the one word after `-c`, or leave the shell out.",
    run: ignored,
};

fn ignored(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in &facts.containers {
        let argv = &container.argv;
        let Some(index) = script_index(argv) else {
            continue;
        };
        let extra = &argv[index + 1..];
        // One word alone is a name for messages.
        let is_name = extra.len() == 1
            && !extra[0].0.contains(char::is_whitespace)
            && !argv[index].0.trim().is_empty()
            && matches!(
                extra[0].0.as_str(),
                "--" | "-" | "_" | "sh" | "bash" | "ash" | "/bin/sh" | "/bin/bash"
            );
        let script = &argv[index].0;
        let uses = script.contains("$@")
            || script.contains("$*")
            || script.contains("$#")
            || script.contains("shift")
            || script.contains("getopts")
            || (0..=9).any(|digit| {
                script.contains(&format!("${digit}")) || script.contains(&format!("${{{digit}"))
            })
            || script.contains("${@")
            || script.contains("${*");
        if extra.is_empty() || is_name || uses {
            continue;
        }
        let word = extra[0].0.clone();
        let shown: String = word.chars().take(40).collect();
        report.at_word(
            container,
            &word,
            format!("the shell in `{}` runs only the word after `-c`; `{shown}` is an argument that the script does not use", container.name()),
            "make the whole command line one word after `-c`".to_owned(),
        );
    }
}
