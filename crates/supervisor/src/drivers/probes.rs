//! One probe round: the handler, its time, its retries (`pod-lifecycle.md` sections 5.2 and 5.3). When a round is due and what its result
//! changes is the core's part.

use std::rc::Rc;
use std::time::{Duration, Instant};

use podyard_api::core::{Container, Probe};
use podyard_lifecycle::{Attempt, ContainerIndex, Observation, ProbeKind, ProbeOutcome};

use super::World;
use super::handlers::exec::NotEnded;
use super::handlers::{self, exec, grpc, http};
use crate::failed_probes::{self, FailedProbe};
use crate::translate::expand::expand;

/// A handler that cannot be run is tried this often before the round is given up.
const TRIES: usize = 3;
const AGENT: &str = "kube-probe/1.36";

pub(super) fn begin(
    world: &Rc<World>,
    container: ContainerIndex,
    attempt: Attempt,
    kind: ProbeKind,
    round: u32,
) {
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        let began = Instant::now();
        let outcome = run(&world, container, attempt, kind).await;
        note(&world, container, kind, round, &outcome, began.elapsed());
        world.report(Observation::ProbeFinished {
            container,
            attempt,
            kind,
            round,
            outcome,
        });
    });
}

async fn run(
    world: &Rc<World>,
    index: ContainerIndex,
    attempt: Attempt,
    kind: ProbeKind,
) -> ProbeOutcome {
    let error = |message: &str| ProbeOutcome::Error {
        message: message.to_owned(),
    };
    let Some(container) = world.container(index) else {
        return error("no such container");
    };
    let probe = match kind {
        ProbeKind::Startup => &container.startup_probe,
        ProbeKind::Liveness => &container.liveness_probe,
        ProbeKind::Readiness => &container.readiness_probe,
    };
    let Some(probe) = probe else {
        return error("the container has no such probe");
    };
    let mut outcome = error("missing probe handler");
    for _ in 0..TRIES {
        outcome = once(world, (index, attempt), container, probe).await;
        if !matches!(outcome, ProbeOutcome::Error { .. }) {
            break;
        }
    }
    outcome
}

async fn once(
    world: &Rc<World>,
    key: super::world::Key,
    container: &Container,
    probe: &Probe,
) -> ProbeOutcome {
    let seconds = probe
        .timeout_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .unwrap_or(1);
    let limit = Duration::from_secs(seconds);
    let failure = |output: String| ProbeOutcome::Failure { output };
    let error = |message: String| ProbeOutcome::Error { message };
    let success = ProbeOutcome::Success { warning: None };

    if let Some(action) = &probe.exec {
        let command = command_line(container, action.command.as_deref().unwrap_or_default());
        return match exec::run(world, key, &command, Some(limit)).await {
            Ok(ended) if ended.code == 0 => success,
            Ok(ended) => failure(ended.output()),
            Err(NotEnded::TimedOut) => failure(format!(
                "command timed out: {:?} timed out after {}",
                command.join(" "),
                handlers::go_seconds(seconds)
            )),
            Err(NotEnded::NotRun(message)) => error(message),
        };
    }
    if let Some(action) = &probe.http_get {
        let get = match http::Get::new(world, container, action, AGENT) {
            Ok(get) => get,
            Err(message) => return error(message),
        };
        return match get.send(Some(limit)).await {
            Err(text) => failure(text),
            Ok(answer) => match answer.body {
                Err(text) => error(text),
                Ok(body) => http_outcome(answer.status, &body),
            },
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let own_host = action.host.clone().filter(|host| !host.is_empty());
        let Some(host) = own_host.or_else(|| handlers::pod_address(world)) else {
            return error("the pod has no address".to_owned());
        };
        let port = match handlers::port(&action.port, container) {
            Ok(port) => port,
            Err(message) => return error(message),
        };
        return match handlers::connect(&host, port, Some(limit)).await {
            Ok(_) => success,
            Err(text) => failure(text),
        };
    }
    if let Some(action) = &probe.grpc {
        let host = handlers::pod_address(world).unwrap_or_default();
        let service = action.service.as_deref().unwrap_or_default();
        return match u16::try_from(action.port) {
            Ok(port) => match grpc::check(&host, port, service, seconds).await {
                Ok(()) => success,
                Err(text) => failure(text),
            },
            Err(_) => error(format!("invalid port number: {}", action.port)),
        };
    }
    error("missing probe handler".to_owned())
}

fn http_outcome(status: u16, body: &str) -> ProbeOutcome {
    match status {
        200..=299 => ProbeOutcome::Success { warning: None },
        300..=399 => ProbeOutcome::Success {
            warning: Some(format!("Probe terminated redirects, Response body: {body}")),
        },
        _ => ProbeOutcome::Failure {
            output: format!("HTTP probe failed with statuscode: {status}"),
        },
    }
}

/// `$(VAR)` of a probe's command knows the literal variables of its container and no others.
fn command_line(container: &Container, command: &[String]) -> Vec<String> {
    let value = |name: &str| {
        let literal = container.env.iter().flatten().rev();
        let mut named = literal.filter(|variable| variable.name == name);
        named.find_map(|variable| variable.value.as_deref())
    };
    command.iter().map(|word| expand(word, value)).collect()
}

/// Failing rounds are kept with what they said and how long they took.
fn note(
    world: &World,
    container: ContainerIndex,
    kind: ProbeKind,
    round: u32,
    outcome: &ProbeOutcome,
    took: Duration,
) {
    let (counted, output) = match outcome {
        ProbeOutcome::Success { .. } => return,
        ProbeOutcome::Failure { output } => (true, output),
        ProbeOutcome::Error { message } => (false, message),
    };
    let failed = FailedProbe {
        at: crate::cri::rfc3339(crate::clock::wall()),
        container: world.container_name(container).to_owned(),
        kind,
        round,
        took_seconds: took.as_secs_f64(),
        counted,
        output: output.clone(),
    };
    if let Err(error) = failed_probes::append(&world.dirs, &failed) {
        world.complain(&format!(
            "cannot keep the output of a failed probe: {error}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podyard_api::core::{EnvVar, EnvVarSource};

    #[test]
    fn only_literal_variables_expand() {
        let container = Container {
            env: Some(vec![
                EnvVar {
                    name: "A".to_owned(),
                    value: Some("x".to_owned()),
                    value_from: None,
                },
                EnvVar {
                    name: "B".to_owned(),
                    value: None,
                    value_from: Some(EnvVarSource::default()),
                },
            ]),
            ..Container::default()
        };
        let words = ["$(A)", "$(B)", "$$(A)"].map(str::to_owned);
        assert_eq!(command_line(&container, &words), ["x", "$(B)", "$(A)"]);
    }

    #[test]
    fn statuses_of_an_http_probe() {
        for (status, expected) in [
            (200, ProbeOutcome::Success { warning: None }),
            (
                302,
                ProbeOutcome::Success {
                    warning: Some("Probe terminated redirects, Response body: b".to_owned()),
                },
            ),
            (
                404,
                ProbeOutcome::Failure {
                    output: "HTTP probe failed with statuscode: 404".to_owned(),
                },
            ),
        ] {
            assert_eq!(http_outcome(status, "b"), expected);
        }
    }
}
