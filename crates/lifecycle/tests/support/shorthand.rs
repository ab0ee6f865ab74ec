//! A status in shorthand, one fact after the other: `phase=Running; Ready=True; app[R rc=1 ready,started last=T:Error(1)]`.
//!
//! A container's state is `W:reason`, `R` or `T:reason(code)`, with its message if it has one. A condition's reason stands in brackets, with
//! the containers it is about. `ContainersReady` is left out as long as it is as `Ready`.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodCondition, PodStatus};

/// Name and value of a fact.
pub(crate) type Fact = (String, String);

/// One entry per fact, in a fixed order.
pub(crate) fn facts(status: &PodStatus) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("phase", status.phase.clone().unwrap_or_default());
    add("reason", status.reason.clone().unwrap_or_default());
    let mut ready = String::new();
    for condition in status.conditions.iter().flatten() {
        let mut value = condition_value(condition);
        match condition.type_.as_str() {
            "PodScheduled" => continue,
            "Ready" => ready.clone_from(&value),
            "ContainersReady" if value == ready => value = "as Ready".into(),
            _ => {}
        }
        add(&condition.type_, value);
    }
    let inits = status.init_container_statuses.iter().flatten();
    let apps = status.container_statuses.iter().flatten();
    let ephemerals = status.ephemeral_container_statuses.iter().flatten();
    for container in inits.chain(apps).chain(ephemerals) {
        add(&format!("{}[", container.name), container_value(container));
    }
    add("podIP", status.pod_ip.clone().unwrap_or_default());
    facts
}

/// What differs, in shorthand.
pub(crate) fn changes(before: &[Fact], after: &[Fact]) -> String {
    let is_new = |fact: &&Fact| !before.contains(fact);
    let is_worth_it = |fact: &&Fact| {
        let is_nothing = fact.1.is_empty() || fact.1 == "as Ready";
        !(before.is_empty() && is_nothing)
    };
    let changed = after.iter().filter(is_new).filter(is_worth_it);
    let texts: Vec<_> = changed
        .map(|(name, value)| match name.strip_suffix('[') {
            Some(name) => format!("{name}[{value}]"),
            None => format!("{name}={value}"),
        })
        .collect();
    texts.join("; ")
}

fn condition_value(condition: &PodCondition) -> String {
    let Some(reason) = &condition.reason else {
        return condition.status.clone();
    };
    let message = condition.message.as_deref().unwrap_or_default();
    let about = message
        .strip_prefix("containers with unready status: ")
        .or_else(|| message.strip_prefix("containers with incomplete status: "))
        .unwrap_or(message);
    let space = if about.is_empty() { "" } else { " " };
    format!("{}({reason}{space}{about})", condition.status)
}

fn container_value(container: &ContainerStatus) -> String {
    let mut value = container.state.as_ref().map(state).unwrap_or_default();
    if container.restart_count > 0 {
        value += &format!(" rc={}", container.restart_count);
    }
    value += if container.ready { " ready" } else { " !ready" };
    value += match container.started {
        Some(true) => ",started",
        Some(false) => ",!started",
        None => "",
    };
    let last = container.last_state.as_ref().map(state).unwrap_or_default();
    if !last.is_empty() {
        value += &format!(" last={last}");
    }
    value
}

fn state(state: &ContainerState) -> String {
    let with_message = |text: String, message: &Option<String>| match message {
        Some(message) if message.len() > 1000 => {
            let first = message.chars().next().unwrap_or_default();
            format!("{text} msg={first:?}…({} bytes)", message.len())
        }
        Some(message) => format!("{text} msg={message:?}"),
        None => text,
    };
    if let Some(waiting) = &state.waiting {
        let text = format!("W:{}", waiting.reason.as_deref().unwrap_or_default());
        with_message(text, &waiting.message)
    } else if state.running.is_some() {
        "R".to_owned()
    } else if let Some(ended) = &state.terminated {
        let reason = ended.reason.as_deref().unwrap_or_default();
        with_message(format!("T:{reason}({})", ended.exit_code), &ended.message)
    } else {
        String::new()
    }
}
