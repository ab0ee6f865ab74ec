//! What never ends, or never ends when it should.

use podyard_api::Path;

use super::{Report, snippet};
use crate::catalog::Check;
use crate::facts::{ContainerFacts, Role};
use crate::finding::Severity;
use crate::trace::{Arg, Run};

/// A sleep of this many seconds is meant for ever.
const FOR_EVER_SECONDS: u64 = 24 * 60 * 60;

/// Why a container does not end by itself.
struct Endless {
    /// As a part of a sentence: "`tail -f` runs until it is stopped".
    because: String,
    /// What to look for in its command.
    word: String,
}

/// What keeps a container from ending.
fn endless(container: &ContainerFacts<'_>) -> Option<Endless> {
    let Some(trace) = &container.trace else {
        let software = container.software()?;
        let is_own = container.argv.is_empty() && !container.has_command;
        return (is_own && software.serves).then(|| Endless {
            because: format!(
                "the image `{}` runs a server ({})",
                container.image(),
                software.title
            ),
            word: String::new(),
        });
    };
    for (index, found) in trace.loops.iter().enumerate() {
        let inside = trace
            .runs
            .iter()
            .filter(|run| run.context.loops.contains(&index));
        let mut leaves = false;
        let mut blocked = false;
        for run in inside {
            leaves |= matches!(run.program(), "break" | "exit" | "return" | "kill") || run.is_exec;
            blocked |=
                run.context.is_background || run.context.has_limit || run.context.is_conditional;
        }
        if found.is_endless && !leaves && !blocked {
            return Some(Endless {
                because: "its `while true` loop has no way out".to_owned(),
                word: "while".to_owned(),
            });
        }
    }
    trace.runs.iter().find_map(|run| {
        let context = &run.context;
        let may_not_run = context.is_conditional
            || context.is_condition
            || context.is_background
            || context.has_limit
            || context.is_piped;
        if may_not_run {
            return None;
        }
        let command = snippet(run);
        if runs_for_ever(run) {
            return Some(Endless {
                because: format!("`{command}` never ends"),
                word: command,
            });
        }
        serves(run).then(|| Endless {
            because: format!("`{command}` is a server and runs until it is stopped"),
            word: command,
        })
    })
}

fn runs_for_ever(run: &Run) -> bool {
    let arguments: Vec<&str> = run.arguments().iter().filter_map(Arg::exact).collect();
    match run.program() {
        "sleep" => arguments.first().is_some_and(|time| {
            let (number, factor) = match time.strip_suffix(['s', 'm', 'h', 'd']) {
                Some(number) => match time.chars().next_back() {
                    Some('m') => (number, 60),
                    Some('h') => (number, 3600),
                    Some('d') => (number, 86400),
                    _ => (number, 1),
                },
                None => (*time, 1),
            };
            let is_long = number
                .parse::<u64>()
                .is_ok_and(|number| number.saturating_mul(factor) >= FOR_EVER_SECONDS);
            is_long || matches!(*time, "infinity" | "inf")
        }),
        "tail" => {
            arguments.iter().any(|argument| {
                let is_short = argument.starts_with('-') && !argument.starts_with("--");
                (is_short && argument.contains(['f', 'F'])) || argument.starts_with("--follow")
            }) && !arguments
                .iter()
                .any(|argument| argument.starts_with("--pid"))
        }
        _ => false,
    }
}

/// Whether the command is a server in the foreground.
fn serves(run: &Run) -> bool {
    let has = |word: &str| run.arguments().iter().any(|argument| argument.0 == word);
    let begins = |start: &str| {
        run.arguments()
            .iter()
            .any(|argument| argument.0.starts_with(start))
    };
    let contains = |text: &str| {
        run.arguments()
            .iter()
            .any(|argument| argument.0.contains(text))
    };
    let asks =
        has("--version") || has("--help") || has("-V") || has("-v") && run.program() != "httpd";
    let first = run.arguments().first().map(|argument| argument.0.as_str());
    !asks
        && match run.program() {
            "nginx" => contains("daemon off") && !has("-t") && !has("-T") && !has("-s"),
            "httpd" => (has("-f") && !has("-t")) || begins("-DFOREGROUND") || has("FOREGROUND"),
            "httpd-foreground" => true,
            "python" | "python3" => has("http.server") || has("SimpleHTTPServer"),
            "redis-server" => !has("--daemonize"),
            "postgres" => !has("--single") && !has("-C") && !has("--boot") && !has("--check"),
            "mysqld" | "mariadbd" => {
                !begins("--initialize") && !has("--bootstrap") && !has("--daemonize")
            }
            "mongod" => !has("--fork") && !has("--shutdown"),
            "sshd" => has("-D"),
            "crond" => has("-f"),
            "kubectl" => matches!(first, Some("proxy" | "port-forward")),
            "caddy" | "catalina.sh" => first == Some("run"),
            "vault" | "minio" => first == Some("server"),
            "gunicorn" | "uvicorn" => true,
            _ => false,
        }
}

pub(crate) static INIT: Check = Check {
    id: "init-never-ends",
    severity: Severity::Error,
    title: "An init container runs something that never ends",
    explanation: "The next container starts when this one has ended with 0. A server, `tail -f`, `sleep infinity` or a loop without a way \
out keeps the Pod in `Init:` for ever.",
    fix: "Make it a sidecar (`restartPolicy: Always` on the init container) if it is to run beside the application, or an app container.",
    run: init,
};

fn init(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in facts
        .containers
        .iter()
        .filter(|container| container.role == Role::Init)
    {
        let Some(endless) = endless(container) else {
            continue;
        };
        let name = container.name();
        let message = format!(
            "the init container `{name}` never ends, and nothing after it starts: {}",
            endless.because
        );
        let fix = format!(
            "with `restartPolicy: Always`, `{name}` is a sidecar and runs beside the others"
        );
        if endless.word.is_empty() {
            report.at(container.path.field("image"), message, fix);
        } else {
            report.at_word(container, &endless.word, message, fix);
        }
    }
}

pub(crate) static WAIT: Check = Check {
    id: "init-wait-without-limit",
    severity: Severity::Remark,
    title: "An init container waits for something, and for as long as it takes",
    explanation: "A loop such as `until nc -z db 5432; do sleep 1; done` never gives up. When what it waits for does not come (a wrong \
name, a missing policy), the Pod hangs in `Init:` without an error, an event or a restart that would tell.",
    fix: "Count the tries and `exit 1`, start the loop with `timeout`, or give the Pod an `activeDeadlineSeconds`.",
    run: wait,
};

fn wait(report: &mut Report<'_>) {
    let facts = report.facts;
    if facts.has_deadline {
        return;
    }
    for container in facts
        .containers
        .iter()
        .filter(|container| container.role == Role::Init)
    {
        let Some(trace) = &container.trace else {
            continue;
        };
        for index in 0..trace.loops.len() {
            let mut waits_for = None;
            let mut is_bounded = false;
            let mut all_limited = true;
            for (run, effects) in container.steps() {
                if run.context.loops.last() != Some(&index) {
                    continue;
                }
                let compares = run.arguments().iter().any(|argument| {
                    matches!(
                        argument.0.as_str(),
                        "-lt" | "-le" | "-gt" | "-ge" | "-eq" | "-ne"
                    )
                });
                let leaves = matches!(run.program(), "break" | "exit" | "return" | "read" | "kill");
                is_bounded |= compares || leaves || run.is_exec;
                // A limit for each try alone is none for the loop.
                all_limited &= run.context.has_limit;
                let tests_file = matches!(run.program(), "[" | "test" | "ls" | "stat");
                if run.context.is_condition && (effects.asks_network || tests_file) {
                    waits_for.get_or_insert_with(|| snippet(run));
                }
            }
            if let (Some(command), false) = (waits_for, is_bounded || all_limited) {
                let name = container.name();
                report.at_word(
                    container,
                    &command,
                    format!("`{name}` waits until `{command}` succeeds, and never gives up"),
                    "count the tries and `exit 1` after some, or set `activeDeadlineSeconds`"
                        .to_owned(),
                );
            }
        }
    }
}

pub(crate) static JOB: Check = Check {
    id: "job-never-ends",
    severity: Severity::Error,
    title: "A Job has a container that never ends, so the Job never completes",
    explanation: "A Job is complete when every app container of its Pod has ended. A proxy, a log shipper or another server among them keeps \
it running after the work is done.",
    fix: "Move the helper to `initContainers` with `restartPolicy: Always`: as a sidecar it is stopped when the others have ended.",
    run: job,
};

fn job(report: &mut Report<'_>) {
    let facts = report.facts;
    if !matches!(facts.kind.as_str(), "Job" | "CronJob") || facts.has_deadline {
        return;
    }
    for container in facts
        .containers
        .iter()
        .filter(|container| container.role == Role::App)
    {
        if let Some(endless) = endless(container) {
            let name = container.name();
            let message = format!(
                "the Job never completes, because `{name}` never ends: {}",
                endless.because
            );
            let fix =
                format!("make `{name}` a sidecar: an init container with `restartPolicy: Always`");
            if endless.word.is_empty() {
                report.at(container.path.field("image"), message, fix);
            } else {
                report.at_word(container, &endless.word, message, fix);
            }
        }
    }
}

pub(crate) static SIGNALS: Check = Check {
    id: "shell-swallows-signals",
    severity: Severity::Warning,
    title: "A shell stands between the kubelet and a server, which is never told to stop",
    explanation: "SIGTERM goes to the first process of the container. When that is a shell which has started the server as a child, in a \
pipeline or with more to do after it, the shell does not pass the signal on: the server learns nothing, and everything is killed when the \
grace period is over. Connections break, and every stop takes `terminationGracePeriodSeconds`.",
    fix: "Make the server the last command and start it with `exec`, or `trap` the signal and pass it on.",
    run: signals,
};

fn signals(report: &mut Report<'_>) {
    let facts = report.facts;
    if facts.spec().share_process_namespace == Some(true) {
        return;
    }
    for container in facts
        .containers
        .iter()
        .filter(|container| container.role != Role::Init)
    {
        let starts_with_shell = container
            .argv
            .first()
            .and_then(Arg::exact)
            .and_then(|program| program.rsplit('/').next())
            .is_some_and(crate::trace::is_shell);
        let handles = container
            .runs()
            .iter()
            .any(|run| matches!(run.program(), "trap" | "wait"));
        if !starts_with_shell || handles {
            continue;
        }
        let swallowed = container.runs().iter().find(|run| {
            let context = &run.context;
            let is_child = !context.is_last || context.is_piped;
            serves(run)
                && is_child
                && !run.is_exec
                && !context.is_background
                && !context.is_condition
                && !context.has_limit
        });
        if let Some(run) = swallowed {
            let command = snippet(run);
            let grace = facts.spec().termination_grace_period_seconds.unwrap_or(30);
            let name = container.name();
            report.at_word(
                container,
                &command,
                format!("`{command}` in `{name}` is never told to stop: the shell that started it takes the signal, and all is killed after {grace} s"),
                "start it last and with `exec`".to_owned(),
            );
            if facts.spec().termination_grace_period_seconds.is_some() {
                report.related(
                    &Path::fields("spec.terminationGracePeriodSeconds"),
                    "how long that takes".to_owned(),
                );
            }
        }
    }
}
