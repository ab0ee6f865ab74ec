//! `describe pod`: kubectl's layout (`pod-lifecycle.md` section 10.2), with our verdict as its first line.

mod container;
mod volumes;

use std::collections::BTreeMap;

use super::age;
use super::columns::Columns;
use super::escape::one_line;
use crate::objects::{Event, Pod, PodExt as _, PodSpec, PodStatus, Timestamp, moment};

/// The whole description. `verdict` is the sentence of [`super::verdict`].
pub(crate) fn describe(pod: &Pod, events: &[Event], verdict: &str, now: Timestamp) -> String {
    let mut out = Columns::default();
    let no_spec = PodSpec::default();
    let no_status = PodStatus::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    let status = pod.status.as_ref().unwrap_or(&no_status);

    out.line(0, format!("Verdict:\t{verdict}"));
    describe_identity(pod, spec, status, &mut out);
    describe_state(pod, spec, status, now, &mut out);
    if !pod.init_containers().is_empty() {
        container::describe_containers("Init Containers", pod.init_containers(), pod, &mut out);
    }
    container::describe_containers("Containers", pod.app_containers(), pod, &mut out);
    let ephemerals = pod.ephemeral_containers();
    if !ephemerals.is_empty() {
        container::describe_containers("Ephemeral Containers", &ephemerals, pod, &mut out);
    }
    describe_conditions(spec, status, &mut out);
    volumes::describe_volumes(spec.volumes.as_deref().unwrap_or_default(), &mut out);
    out.line(
        0,
        format!(
            "QoS Class:\t{}",
            status.qos_class.as_deref().unwrap_or_default()
        ),
    );
    describe_map("Node-Selectors", spec.node_selector.as_ref(), "=", &mut out);
    describe_tolerations(spec, &mut out);
    describe_events(events, now, &mut out);
    out.render()
}

fn describe_identity(pod: &Pod, spec: &PodSpec, status: &PodStatus, out: &mut Columns) {
    out.line(0, format!("Name:\t{}", pod.name()));
    out.line(0, format!("Namespace:\t{}", pod.namespace()));
    if let Some(priority) = spec.priority {
        out.line(0, format!("Priority:\t{priority}"));
        if let Some(class) = &spec.priority_class_name {
            out.line(0, format!("Priority Class Name:\t{class}"));
        }
    }
    if let Some(class) = &spec.runtime_class_name {
        out.line(0, format!("Runtime Class Name:\t{class}"));
    }
    if let Some(account) = spec
        .service_account_name
        .as_deref()
        .filter(|account| !account.is_empty())
    {
        out.line(0, format!("Service Account:\t{account}"));
    }
    let node = spec.node_name.as_deref().filter(|node| !node.is_empty());
    let node = node.map_or_else(
        || "<none>".to_owned(),
        |node| format!("{node}/{}", status.host_ip.as_deref().unwrap_or_default()),
    );
    out.line(0, format!("Node:\t{node}"));
    if status.start_time.is_some() {
        out.line(
            0,
            format!(
                "Start Time:\t{}",
                container::date(status.start_time.as_ref())
            ),
        );
    }
    describe_map("Labels", pod.metadata.labels.as_ref(), "=", out);
    describe_map("Annotations", pod.metadata.annotations.as_ref(), ": ", out);
}

fn describe_state(
    pod: &Pod,
    spec: &PodSpec,
    status: &PodStatus,
    now: Timestamp,
    out: &mut Columns,
) {
    if pod.is_terminating() && !pod.is_terminal() {
        let since = age::since(moment(pod.metadata.deletion_timestamp.as_ref()), now);
        out.line(0, format!("Status:\tTerminating (lasts {since})"));
        let grace = pod
            .metadata
            .deletion_grace_period_seconds
            .or(spec.termination_grace_period_seconds);
        out.line(
            0,
            format!("Termination Grace Period:\t{}s", grace.unwrap_or(30)),
        );
    } else {
        out.line(0, format!("Status:\t{}", pod.phase()));
    }
    for (label, text) in [("Reason", &status.reason), ("Message", &status.message)] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            out.line(0, format!("{label}:\t{}", one_line(text)));
        }
    }
    if let Some(profile) = spec
        .security_context
        .as_ref()
        .and_then(|context| context.seccomp_profile.as_ref())
    {
        out.line(0, format!("SeccompProfile:\t{}", profile.type_));
        if let Some(path) = &profile.localhost_profile {
            out.line(0, format!("LocalhostProfile:\t{}", one_line(path)));
        }
    }
    out.line(
        0,
        format!("IP:\t{}", status.pod_ip.as_deref().unwrap_or_default()),
    );
    match status.pod_ips.as_deref().unwrap_or_default() {
        [] => out.line(0, "IPs:\t<none>"),
        addresses => {
            out.line(0, "IPs:");
            for address in addresses {
                out.line(1, format!("IP:\t{}", address.ip));
            }
        }
    }
    if let Some(resources) = &spec.resources {
        out.line(0, "Resources:");
        container::describe_resources(resources, out);
    }
}

fn describe_conditions(spec: &PodSpec, status: &PodStatus, out: &mut Columns) {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if let Some(gates) = spec
        .readiness_gates
        .as_deref()
        .filter(|gates| !gates.is_empty())
    {
        out.line(0, "Readiness Gates:");
        out.line(1, "Type\tStatus");
        for gate in gates {
            let found = conditions
                .iter()
                .find(|condition| condition.type_ == gate.condition_type);
            let value = found.map_or("<none>", |condition| condition.status.as_str());
            out.line(1, format!("{} \t{value} ", gate.condition_type));
        }
    }
    if !conditions.is_empty() {
        out.line(0, "Conditions:");
        out.line(1, "Type\tStatus");
        for condition in conditions {
            out.line(1, format!("{} \t{} ", condition.type_, condition.status));
        }
    }
}

/// Labels and the like, one a line.
pub(crate) fn describe_map(
    label: &str,
    map: Option<&BTreeMap<String, String>>,
    separator: &str,
    out: &mut Columns,
) {
    let Some(map) = map.filter(|map| !map.is_empty()) else {
        out.line(0, format!("{label}:\t<none>"));
        return;
    };
    for (index, (key, value)) in map.iter().enumerate() {
        let label = if index == 0 {
            format!("{label}:")
        } else {
            String::new()
        };
        out.line(0, format!("{label}\t{key}{separator}{}", one_line(value)));
    }
}

fn describe_tolerations(spec: &PodSpec, out: &mut Columns) {
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if tolerations.is_empty() {
        out.line(0, "Tolerations:\t<none>");
        return;
    }
    for (index, toleration) in tolerations.iter().enumerate() {
        let mut text = toleration.key.clone().unwrap_or_default();
        if let Some(value) = toleration
            .value
            .as_deref()
            .filter(|value| !value.is_empty())
        {
            text.push_str(&format!("={value}"));
        }
        if let Some(effect) = toleration
            .effect
            .as_deref()
            .filter(|effect| !effect.is_empty())
        {
            text.push_str(&format!(":{effect}"));
        }
        if toleration.operator.as_deref() == Some("Exists") {
            text.push_str(if text.is_empty() {
                "op=Exists"
            } else {
                " op=Exists"
            });
        }
        if let Some(seconds) = toleration.toleration_seconds {
            text.push_str(&format!(" for {seconds}s"));
        }
        let label = if index == 0 { "Tolerations:" } else { "" };
        out.line(0, format!("{label}\t{text}"));
    }
}

fn describe_events(events: &[Event], now: Timestamp, out: &mut Columns) {
    if events.is_empty() {
        out.line(0, "Events:\t<none>");
        return;
    }
    out.line(0, "Events:");
    out.line(1, "Type\tReason\tAge\tFrom\tMessage");
    out.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let from = event
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref())
            .filter(|component| !component.is_empty());
        let path = event
            .involved_object
            .field_path
            .as_deref()
            .filter(|path| !path.is_empty());
        let path = path.map(|path| format!("{path}: ")).unwrap_or_default();
        out.line(
            1,
            format!(
                "{}\t{}\t{}\t{}\t{path}{}",
                event.type_.as_deref().unwrap_or_default(),
                event.reason.as_deref().unwrap_or_default(),
                event_age(event, now),
                from.or(event.reporting_component.as_deref())
                    .unwrap_or_default(),
                one_line(event.message.as_deref().unwrap_or_default().trim()),
            ),
        );
    }
}

/// `2m`, or `10s (x5 over 10m)` for an event that was seen more than once.
pub(crate) fn event_age(event: &Event, now: Timestamp) -> String {
    let first = event
        .event_time
        .as_ref()
        .map(|time| time.0)
        .or_else(|| moment(event.first_timestamp.as_ref()));
    match event.count {
        Some(count) if count > 1 => {
            let last = moment(event.last_timestamp.as_ref());
            format!(
                "{} (x{count} over {})",
                age::since(last, now),
                age::since(first, now)
            )
        }
        _ => age::since(first, now),
    }
}

/// An absent boolean is false, wherever Kubernetes has one.
fn optional(value: Option<bool>) -> bool {
    value.unwrap_or(false)
}

#[cfg(test)]
mod tests;
