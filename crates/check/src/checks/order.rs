//! What an init container needs, and whether it can be there at that time.

use super::{Report, snippet};
use crate::catalog::Check;
use crate::effects::{How, is_within};
use crate::facts::{ContainerFacts, Facts, Role, is_empty_dir};
use crate::finding::Severity;
use crate::trace::{Arg, Run};

const LOCAL: &[&str] = &["localhost", "127.0.0.1", "[::1]", "::1"];

/// A command that asks a port of the own pod.
struct Question<'a> {
    run: &'a Run,
    port: u16,
    /// It asks again and again.
    repeats: bool,
}

/// The ports of the own pod that a container asks.
fn questions<'a>(container: &'a ContainerFacts<'_>) -> Vec<Question<'a>> {
    let mut found = Vec::new();
    for (run, effects) in container.steps() {
        if effects.is_closed && !effects.asks_network {
            continue;
        }
        for port in local_ports(run) {
            let patient = run.arguments().iter().any(|argument| {
                let text = argument.0.as_str();
                text.starts_with("--retry")
                    || text.starts_with("--wait")
                    || text.starts_with("-wait")
            });
            let program = run.program();
            found.push(Question {
                run,
                port,
                repeats: patient
                    || !run.context.loops.is_empty()
                    || program.contains("wait")
                    || program == "dockerize",
            });
        }
    }
    // A program of its own knows by itself how to wait.
    if container.trace.is_none() {
        found.clear();
    }
    found
}

fn local_ports(run: &Run) -> Vec<u16> {
    let mut ports = Vec::new();
    let arguments = run.arguments();
    for (index, argument) in arguments.iter().enumerate() {
        let text = argument.0.as_str();
        for host in LOCAL {
            let Some(at) = text.find(host) else { continue };
            let before = &text[..at];
            let starts = before.is_empty() || before.ends_with(['/', '@', '=', ',', ' ', '(']);
            let after = &text[at + host.len()..];
            if !starts {
                continue;
            }
            if let Some(port) = after.strip_prefix(':') {
                ports.extend(leading_port(port));
            } else if after.is_empty() || after.starts_with('/') {
                let next = arguments.get(index + 1).and_then(Arg::exact);
                let by_option = port_option(arguments);
                let by_scheme = match before {
                    "http://" => Some(80),
                    "https://" => Some(443),
                    _ => None,
                };
                ports.extend(
                    by_option
                        .or_else(|| next.and_then(|next| next.parse().ok()))
                        .or(by_scheme)
                        .or_else(|| default_port(run.program())),
                );
            }
        }
    }
    ports.dedup();
    ports
}

fn leading_port(text: &str) -> Option<u16> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// `-p 5432`, `--port=5432`
fn port_option(arguments: &[Arg]) -> Option<u16> {
    arguments.iter().enumerate().find_map(|(index, argument)| {
        let text = argument.exact()?;
        if let Some(port) = text.strip_prefix("--port=") {
            return port.parse().ok();
        }
        if matches!(text, "-p" | "-P" | "--port") {
            return arguments.get(index + 1)?.exact()?.parse().ok();
        }
        text.strip_prefix("-p")
            .or_else(|| text.strip_prefix("-P"))?
            .parse()
            .ok()
    })
}

fn default_port(program: &str) -> Option<u16> {
    match program {
        "psql" | "pg_isready" => Some(5432),
        "mysql" | "mysqladmin" | "mariadb" | "mariadb-admin" => Some(3306),
        "redis-cli" => Some(6379),
        "mongosh" | "mongo" => Some(27017),
        _ => None,
    }
}

/// Whether a container evidently listens on a port.
fn listens(container: &ContainerFacts<'_>, port: u16) -> bool {
    if container.declared_ports().contains(&port) {
        return true;
    }
    let own = container.software().filter(|_| !container.has_command);
    if own.is_some_and(|software| software.ports.contains(&port)) {
        return true;
    }
    let digits = port.to_string();
    container.argv.iter().enumerate().any(|(index, argument)| {
        let text = argument.0.as_str();
        let is_value = text == digits
            && index > 0
            && container.argv[index - 1]
                .0
                .to_ascii_lowercase()
                .contains('p');
        let is_option = text
            .strip_prefix("--")
            .and_then(|option| option.split_once('='))
            .is_some_and(|(name, value)| {
                (name.contains("port") || name.contains("listen") || name.contains("addr"))
                    && value.rsplit(':').next() == Some(&digits)
            });
        let in_script = text.contains(&format!("-p {digits}"))
            || text.contains(&format!("port {digits}"))
            || text.contains(&format!("listen {digits}"));
        is_value || is_option || in_script
    })
}

/// Whether a container starts a server of its own to talk to.
fn serves_itself(container: &ContainerFacts<'_>) -> bool {
    container.runs().iter().any(|run| {
        run.context.is_background
            || matches!(
                run.program(),
                "pg_ctl"
                    | "pg_ctlcluster"
                    | "service"
                    | "systemctl"
                    | "mysqld_safe"
                    | "start-stop-daemon"
            )
            || run.arguments().iter().any(|argument| {
                matches!(
                    argument.0.as_str(),
                    "--daemonize" | "--fork" | "-D" | "--daemon"
                )
            })
    })
}

pub(crate) static NOT_AWAITED: Check = Check {
    id: "sidecar-not-awaited",
    severity: Severity::Warning,
    title: "An init container talks to a sidecar that may not be listening yet",
    explanation: "The next init container starts as soon as the sidecar's process runs, which is before it listens. Without a \
`startupProbe` (or a `postStart` hook) on the sidecar the first connection may be refused, and whether that happens differs from start \
to start.",
    fix: "Give the sidecar a `startupProbe`: the init containers behind it wait until it has succeeded.",
    run: not_awaited,
};

fn not_awaited(report: &mut Report<'_>) {
    let facts = report.facts;
    for (position, init) in facts.containers.iter().enumerate() {
        if init.role != Role::Init || serves_itself(init) {
            continue;
        }
        let questions = questions(init);
        for (index, question) in questions.iter().enumerate() {
            let asked_before = questions[..index]
                .iter()
                .any(|before| before.port == question.port);
            // A loop, or a first question whose failure is allowed for.
            if question.repeats || asked_before || question.run.context.is_condition {
                continue;
            }
            let sidecar = facts.containers[..position]
                .iter()
                .find(|earlier| earlier.role == Role::Sidecar && listens(earlier, question.port));
            if let Some(sidecar) = sidecar.filter(|sidecar| !sidecar.is_awaited()) {
                let (name, sidecar_name, port) = (init.name(), sidecar.name(), question.port);
                let command = snippet(question.run);
                report.at_word(
                    init,
                    &command,
                    format!("`{name}` asks port {port} of the sidecar `{sidecar_name}`, which may not be listening yet: it has no startupProbe"),
                    format!("give `{sidecar_name}` a `startupProbe` with `tcpSocket: {{port: {port}}}`"),
                );
                report.related(
                    &sidecar.path.field("name"),
                    format!("the sidecar `{sidecar_name}`"),
                );
            }
        }
    }
}

pub(crate) static LATER: Check = Check {
    id: "init-needs-later-container",
    severity: Severity::Error,
    title: "An init container waits for something that only a later container provides",
    explanation: "Containers behind it in the order start when it has ended. When it asks a port of its own Pod on which only one of them \
listens, or waits for a file in an emptyDir that only they can write, it waits for ever or fails each time.",
    fix: "Move the container that provides it in front, as a sidecar (`restartPolicy: Always` in `initContainers`), or let the application wait itself.",
    run: later,
};

fn later(report: &mut Report<'_>) {
    let facts = report.facts;
    let on_host = facts.spec().host_network == Some(true);
    for (position, init) in facts.containers.iter().enumerate() {
        if init.role != Role::Init || serves_itself(init) {
            continue;
        }
        let mut told = Vec::new();
        for question in questions(init) {
            let port = question.port;
            let earlier = facts.containers[..position]
                .iter()
                .any(|earlier| earlier.role == Role::Sidecar && may_listen(earlier, port));
            // A question in front of `||` may be one that is allowed to fail.
            let is_optional =
                question.run.context.is_condition && question.run.context.loops.is_empty();
            if on_host || earlier || is_optional || told.contains(&port) {
                continue;
            }
            let provider = facts.containers[position + 1..]
                .iter()
                .find(|later| later.role != Role::Init && listens(later, port));
            if let Some(provider) = provider {
                told.push(port);
                let (name, provider_name) = (init.name(), provider.name());
                let command = snippet(question.run);
                report.at_word(
                    init,
                    &command,
                    format!("the init container `{name}` asks port {port} of `{provider_name}`, which starts only after it has ended"),
                    format!("make `{provider_name}` a sidecar in front of `{name}`, or let it wait in the application"),
                );
                report.related(
                    &provider.path.field("name"),
                    format!("`{provider_name}` starts later"),
                );
            }
        }
        waits_for_file(report, facts, position, init);
    }
}

/// Whether a sidecar listens there, or does not say where it listens.
fn may_listen(container: &ContainerFacts<'_>, port: u16) -> bool {
    listens(container, port) || container.declared_ports().is_empty()
}

fn waits_for_file(
    report: &mut Report<'_>,
    facts: &Facts<'_>,
    position: usize,
    init: &ContainerFacts<'_>,
) {
    for run in init.runs() {
        let tests = matches!(run.program(), "[" | "test")
            && run.context.is_condition
            && !run.context.loops.is_empty();
        let arguments = run.arguments();
        let file = arguments.windows(2).find_map(|pair| {
            matches!(pair[0].0.as_str(), "-f" | "-e" | "-s" | "-d" | "-S" | "-r")
                .then(|| pair[1].exact())
                .flatten()
        });
        let (true, Some(file)) = (tests, file) else {
            continue;
        };
        let Some(inside) = init.in_volume(file) else {
            continue;
        };
        let name = &inside.mount.name;
        let Some(volume) = facts.volume(name).filter(|volume| is_empty_dir(volume)) else {
            continue;
        };
        let writes_itself = serves_itself(init)
            || !init.is_closed()
            || init.steps().any(|(_, effects)| {
                effects.writes.iter().any(|write| {
                    write.how != How::Mode
                        && (is_within(file, &write.path.path) || is_within(&write.path.path, file))
                })
            });
        let earlier = facts
            .mounting(name)
            .any(|(other, container)| other < position && container.can_write(volume));
        let later = facts
            .mounting(name)
            .find(|(other, container)| *other > position && container.can_write(volume));
        if let (false, false, Some((_, provider))) = (writes_itself, earlier, later) {
            let init_name = init.name();
            let provider_name = provider.name();
            report.at_word(
                init,
                &snippet(run),
                format!("the init container `{init_name}` waits for `{file}`, which only containers after it can write, such as `{provider_name}`"),
                format!("make `{provider_name}` a sidecar in front of `{init_name}`"),
            );
            report.related(
                &provider.path.field("name"),
                format!("`{provider_name}` starts later"),
            );
            return;
        }
    }
}

pub(crate) static NEVER: Check = Check {
    id: "never-with-network-init",
    severity: Severity::Remark,
    title: "An init container depends on the network, and the Pod is never retried",
    explanation: "With `restartPolicy: Never` one refused connection or one name that does not resolve yet fails the whole Pod. Jobs start \
another Pod then; for a Pod alone nobody does.",
    fix: "Use `restartPolicy: OnFailure`, or let the command try again by itself (`curl --retry`, a loop with a limit).",
    run: never,
};

fn never(report: &mut Report<'_>) {
    let facts = report.facts;
    let never = facts.spec().restart_policy.as_deref() == Some("Never");
    if !never || facts.kind != "Pod" {
        return;
    }
    for init in facts
        .containers
        .iter()
        .filter(|container| container.role == Role::Init)
    {
        if init.container.restart_policy.is_some() {
            continue;
        }
        let run = init.steps().find(|(run, effects)| {
            let patient = run.arguments().iter().any(|argument| {
                argument.0.starts_with("--retry")
                    || argument.0.starts_with("--tries")
                    || argument.0 == "-t"
            });
            let context = &run.context;
            effects.asks_network
                && !patient
                && context.loops.is_empty()
                && !context.is_condition
                && !context.is_conditional
                && run.program() != "git"
                || effects.asks_network
                    && run.program() == "git"
                    && run
                        .arguments()
                        .first()
                        .is_some_and(|verb| matches!(verb.0.as_str(), "clone" | "fetch" | "pull"))
        });
        if let Some((run, _)) = run {
            let name = init.name();
            let command = snippet(run);
            report.at_word(
                init,
                &command,
                format!("when `{command}` in `{name}` fails once, the Pod has failed: its restartPolicy is Never"),
                "use `restartPolicy: OnFailure`, or try more than once in the command".to_owned(),
            );
        }
    }
}
