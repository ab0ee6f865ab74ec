//! A status as the recordings write it: `phase=Running; Ready=True; app[R rc=1 ready,started last=T:Error(1)]`.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodCondition, PodStatus};

/// One word per fact, in a fixed order.
pub(crate) fn facts(status: &PodStatus) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("phase", status.phase.clone().unwrap_or_default());
    add("reason", status.reason.clone().unwrap_or_default());
    for condition in status
        .conditions
        .iter()
        .flatten()
        .filter(|it| it.type_ != "PodScheduled")
    {
        add(&condition.type_, condition_value(condition));
    }
    let inits = status.init_container_statuses.iter().flatten();
    for container in inits.chain(status.container_statuses.iter().flatten()) {
        add(&format!("{}[", container.name), container_value(container));
    }
    add("podIP", status.pod_ip.clone().unwrap_or_default());
    facts
}

/// What differs, in shorthand.
pub(crate) fn changes(before: &[(String, String)], after: &[(String, String)]) -> String {
    let mut changes = Vec::new();
    for (name, value) in after {
        if before
            .iter()
            .any(|(other, old)| other == name && old == value)
        {
            continue;
        }
        changes.push(match name.strip_suffix('[') {
            Some(name) => format!("{name}[{value}]"),
            None if value.is_empty() && before.is_empty() => continue,
            None => format!("{name}={value}"),
        });
    }
    changes.join("; ")
}

fn condition_value(condition: &PodCondition) -> String {
    match &condition.reason {
        Some(reason) => format!("{}({reason})", condition.status),
        None => condition.status.clone(),
    }
}

fn container_value(container: &ContainerStatus) -> String {
    let mut value = container.state.as_ref().map(state).unwrap_or_default();
    if container.restart_count > 0 {
        value += &format!(" rc={}", container.restart_count);
    }
    value += if container.ready { " ready" } else { " !ready" };
    value += if container.started == Some(true) {
        ",started"
    } else {
        ",!started"
    };
    let last = container.last_state.as_ref().map(state).unwrap_or_default();
    if !last.is_empty() {
        value += &format!(" last={last}");
    }
    value
}

fn state(state: &ContainerState) -> String {
    let with_message = |text: String, message: &Option<String>| match message {
        Some(message) => format!("{text} msg={message:?}"),
        None => text,
    };
    if let Some(waiting) = &state.waiting {
        let text = format!("W:{}", waiting.reason.as_deref().unwrap_or_default());
        with_message(text, &waiting.message)
    } else if state.running.is_some() {
        "R".to_owned()
    } else if let Some(ended) = &state.terminated {
        let text = format!(
            "T:{}({})",
            ended.reason.as_deref().unwrap_or_default(),
            ended.exit_code
        );
        with_message(text, &ended.message)
    } else {
        String::new()
    }
}
