//! Probes and lifecycle hooks, of app containers and sidecars.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Found;
use super::common::NOT_NEGATIVE;
use super::pod::text;
use crate::core::{
    Container, ExecAction, GRPCAction, HTTPGetAction, PodSpec, Probe, SleepAction, TCPSocketAction,
};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

pub(super) fn lifecycle_and_probes(
    found: &mut Found,
    path: &Path,
    container: &Container,
    spec: &PodSpec,
) {
    if let Some(lifecycle) = &container.lifecycle {
        let path = path.field("lifecycle");
        for (field, handler) in [
            ("postStart", &lifecycle.post_start),
            ("preStop", &lifecycle.pre_stop),
        ] {
            if let Some(handler) = handler {
                let handlers = Handlers {
                    exec: handler.exec.as_ref(),
                    http_get: handler.http_get.as_ref(),
                    tcp_socket: handler.tcp_socket.as_ref(),
                    grpc: None,
                    sleep: handler.sleep.as_ref(),
                };
                check_handlers(found, &path.field(field), &handlers, spec);
            }
        }
    }
    if let Some(probe) = &container.liveness_probe {
        succeeds_once(found, &path.field("livenessProbe"), probe, spec);
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.field("readinessProbe");
        check_probe(found, &path, probe, spec);
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let message = "must not be set for readinessProbes";
            found.number(
                &path.field("terminationGracePeriodSeconds"),
                seconds,
                message,
            );
        }
    }
    if let Some(probe) = &container.startup_probe {
        succeeds_once(found, &path.field("startupProbe"), probe, spec);
    }
}

fn succeeds_once(found: &mut Found, path: &Path, probe: &Probe, spec: &PodSpec) {
    check_probe(found, path, probe, spec);
    if let Some(threshold) = probe.success_threshold.filter(|threshold| *threshold != 1) {
        found.number(&path.field("successThreshold"), threshold, "must be 1");
    }
}

fn check_probe(found: &mut Found, path: &Path, probe: &Probe, spec: &PodSpec) {
    let handlers = Handlers {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    check_handlers(found, path, &handlers, spec);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            found.number(&path.field(field), value, NOT_NEGATIVE);
        }
    }
    if let Some(seconds) = probe
        .termination_grace_period_seconds
        .filter(|seconds| *seconds <= 0)
    {
        found.number(
            &path.field("terminationGracePeriodSeconds"),
            seconds,
            "must be greater than 0",
        );
    }
}

/// What a probe or hook does; exactly one.
struct Handlers<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

fn check_handlers(found: &mut Found, path: &Path, handlers: &Handlers<'_>, spec: &PodSpec) {
    let mut given = 0;
    let mut first = |found: &mut Found, field: &str| {
        given += 1;
        if given > 1 {
            let message = "may not specify more than 1 handler type";
            found.add(Diagnostic::forbidden(&path.field(field), message));
        }
        given == 1
    };
    if let Some(exec) = handlers.exec
        && first(found, "exec")
        && exec.command.as_ref().is_none_or(Vec::is_empty)
    {
        found.add(Diagnostic::required(&path.field("exec.command"), ""));
    }
    if let Some(http) = handlers.http_get
        && first(found, "httpGet")
    {
        http_get(found, &path.field("httpGet"), http);
    }
    if let Some(tcp) = handlers.tcp_socket
        && first(found, "tcpSocket")
    {
        port(found, &path.field("tcpSocket.port"), &tcp.port);
    }
    if let Some(grpc) = handlers.grpc
        && first(found, "grpc")
    {
        found.port_number(&path.field("grpc.port"), grpc.port);
    }
    if let Some(sleep) = handlers.sleep
        && first(found, "sleep")
    {
        let grace = spec.termination_grace_period_seconds.unwrap_or(30);
        if !(0..=grace).contains(&sleep.seconds) {
            let message = format!(
                "must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            );
            found.number(&path.field("sleep"), sleep.seconds, &message);
        }
    }
    if given == 0 {
        found.add(Diagnostic::required(path, "must specify a handler type"));
    }
}

fn http_get(found: &mut Found, path: &Path, http: &HTTPGetAction) {
    if text(http.path.as_ref()).is_empty() {
        found.add(Diagnostic::required(&path.field("path"), ""));
    }
    port(found, &path.field("port"), &http.port);
    found.one_of(
        &path.field("scheme"),
        text(http.scheme.as_ref()),
        &["HTTP", "HTTPS"],
    );
    for (index, header) in http.http_headers.iter().flatten().enumerate() {
        let path = path.field("httpHeaders");
        for message in names::http_header(&header.name) {
            let diagnostic = Diagnostic::invalid(&path, &header.name, &message);
            found.add(diagnostic.located_at(path.index(index).field("name")));
        }
    }
}

/// A number, or the name of one of the container's ports; whether that port exists shows at run time.
fn port(found: &mut Found, path: &Path, port: &IntOrString) {
    match port {
        IntOrString::Int(number) => found.port_number(path, *number),
        IntOrString::String(name) => {
            for message in names::port_name(name) {
                let mut diagnostic = Diagnostic::invalid(path, name, &message);
                if name.parse::<u16>().is_ok() {
                    diagnostic.hint =
                        Some(format!("a port number is written without quotes: {name}"));
                }
                found.add(diagnostic);
            }
        }
    }
}
