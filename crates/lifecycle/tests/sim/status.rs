//! What must hold for every status, whatever happened.

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

use crate::rules::Broken;

/// What was seen before, for what may only grow.
#[derive(Default)]
pub(crate) struct StatusRules {
    restart_counts: Vec<i32>,
    was_initialized: bool,
    start_time: Option<String>,
    /// The pod has a readiness gate, `x/y`.
    is_gated: bool,
    /// The generation that was accepted last.
    pub(crate) generation: Option<i64>,
}

impl StatusRules {
    pub(crate) fn new(is_gated: bool, generation: Option<i64>) -> Self {
        Self {
            is_gated,
            generation,
            ..Self::default()
        }
    }

    pub(crate) fn check(&mut self, status: &PodStatus) -> Result<(), Broken> {
        let inits = status
            .init_container_statuses
            .as_deref()
            .unwrap_or_default();
        let apps = status.container_statuses.as_deref().unwrap_or_default();
        let all = || inits.iter().chain(apps);
        let ephemerals = status.ephemeral_container_statuses.iter().flatten();
        for container in all().chain(ephemerals) {
            container_is_sound(container)?;
        }
        if status.observed_generation != self.generation {
            return Err("another generation is told than the one of now".into());
        }
        if !apps.is_sorted_by_key(|container| &container.name) {
            return Err("apps are not in the order of their names".into());
        }
        let counts: Vec<_> = all().map(|container| container.restart_count).collect();
        if self
            .restart_counts
            .iter()
            .zip(&counts)
            .any(|(before, now)| now < before)
        {
            return Err("a restart count fell".into());
        }
        self.restart_counts = counts;

        let start_time = status.start_time.as_ref().map(|time| time.0.to_string());
        if self.start_time.is_some() && self.start_time != start_time {
            return Err("startTime changed".into());
        }
        self.start_time = start_time;
        self.check_conditions(status, inits, apps)
    }

    fn check_conditions(
        &mut self,
        status: &PodStatus,
        inits: &[ContainerStatus],
        apps: &[ContainerStatus],
    ) -> Result<(), Broken> {
        let is_true = |name: &str| {
            let conditions = status.conditions.as_deref().unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition.type_ == name && condition.status == "True")
        };
        let (ready, containers_ready) = (is_true("Ready"), is_true("ContainersReady"));
        if ready && self.is_gated && !is_true("x/y") {
            return Err("Ready behind a closed gate".into());
        }
        if ready && !containers_ready {
            return Err("Ready without ContainersReady".into());
        }
        let phase = status.phase.as_deref().unwrap_or_default();
        let is_final = matches!(phase, "Succeeded" | "Failed");
        if containers_ready && (is_final || apps.iter().any(|app| !app.ready)) {
            return Err("ContainersReady with what is not ready".into());
        }
        let initialized = is_true("Initialized");
        if self.was_initialized && !initialized {
            return Err("Initialized was taken back".into());
        }
        self.was_initialized = initialized;
        let is_running = |container: &ContainerStatus| {
            let state = container.state.as_ref();
            state.is_some_and(|state| state.running.is_some())
        };
        if !initialized && apps.iter().any(is_running) {
            return Err("an app runs in a pod that is not initialized".into());
        }
        if is_final && inits.iter().chain(apps).any(is_running) {
            return Err("something runs in a pod that has ended".into());
        }
        if is_final && is_true("PodReadyToStartContainers") {
            return Err("a pod that has ended could start containers".into());
        }
        let failed = |app: &ContainerStatus| {
            let ended = app
                .state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            ended.is_none_or(|ended| ended.exit_code != 0)
        };
        if phase == "Succeeded" && apps.iter().any(failed) {
            return Err("Succeeded with an app that has not".into());
        }
        let is_reason_told = status.reason.is_some();
        if is_reason_told && phase != "Failed" {
            return Err("a reason without a failure".into());
        }
        Ok(())
    }
}

/// Exactly one state, and flags that fit it.
fn container_is_sound(container: &ContainerStatus) -> Result<(), Broken> {
    let name = &container.name;
    let state = container.state.clone().unwrap_or_default();
    let states = [
        state.waiting.is_some(),
        state.running.is_some(),
        state.terminated.is_some(),
    ];
    if states.iter().filter(|is_it| **is_it).count() != 1 {
        return Err(format!("{name} has not exactly one state"));
    }
    let has_succeeded = state
        .terminated
        .as_ref()
        .is_some_and(|ended| ended.exit_code == 0);
    let is_running = state.running.is_some();
    if container.started == Some(true) && !is_running {
        return Err(format!("{name} is started and does not run"));
    }
    if container.ready && !(is_running && container.started == Some(true)) && !has_succeeded {
        return Err(format!("{name} is ready and should not be"));
    }
    let last = container.last_state.clone().unwrap_or_default();
    if last.waiting.is_some() || last.running.is_some() {
        return Err(format!("the last state of {name} is no end"));
    }
    if is_running && container.container_id.is_none() {
        return Err(format!("{name} runs without an id"));
    }
    Ok(())
}
