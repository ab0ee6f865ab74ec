//! `v1.PodStatus` out of the machine's state (section 8). Decides nothing: [`Shown`] and the phase are computed elsewhere.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;

use k8s_openapi::api::core::v1 as api;

use crate::ContainerIndex;
use crate::container::Ended;
use crate::ending::EndingCause;
use crate::machine::PodMachine;
use crate::phase::{Phase, Shown};
use crate::plan::Kind;
use crate::time::kubernetes_time;

pub(crate) fn pod_status(machine: &PodMachine) -> api::PodStatus {
    let plan = &machine.plan;
    let host_ips = &machine.settings.host_ips;
    let pod_ips = if plan.host_network {
        host_ips
    } else {
        &machine.pod_ips
    };
    let cause = machine.ending().and_then(|ending| ending.cause.reason());
    let cause = cause.filter(|_| machine.published_phase == Phase::Failed);
    // Of a pod that was not taken there is nothing to tell.
    let is_rejected = machine
        .ending()
        .is_some_and(|ending| matches!(ending.cause, EndingCause::Rejected { .. }));
    let statuses = |indices: &mut dyn Iterator<Item = ContainerIndex>| {
        let indices = indices.filter(|_| !is_rejected);
        list(indices.map(|index| container_status(machine, index)))
    };
    api::PodStatus {
        observed_generation: plan.generation,
        phase: Some(machine.published_phase.as_str().to_owned()),
        conditions: Some(machine.shown_conditions()),
        reason: cause.map(|(reason, _)| reason.to_owned()),
        message: cause.map(|(_, message)| message.to_owned()),
        host_ip: host_ips.first().cloned(),
        host_ips: list(host_ips.iter().map(|ip| api::HostIP { ip: ip.clone() })),
        pod_ip: pod_ips.first().cloned(),
        pod_ips: list(pod_ips.iter().map(|ip| api::PodIP { ip: ip.clone() })),
        start_time: Some(kubernetes_time(machine.start_time)),
        init_container_statuses: statuses(&mut plan.inits()),
        container_statuses: statuses(&mut plan.apps_by_name.iter().copied()),
        ephemeral_container_statuses: statuses(&mut plan.ephemerals_by_name.iter().copied()),
        qos_class: Some(plan.qos_class.clone()),
        resources: plan.resources.clone(),
        ..api::PodStatus::default()
    }
}

fn container_status(machine: &PodMachine, index: ContainerIndex) -> api::ContainerStatus {
    let plan = machine.container_plan(index);
    let container = machine.container(index);
    let record = container.record.as_ref();
    let shown = machine.shown(index);
    let (state, last) = match shown {
        Shown::Waiting { why, last } => (waiting(machine, why), last),
        Shown::Running { running, last } => {
            let started_at = Some(kubernetes_time(running.started_at));
            let running = Some(api::ContainerStateRunning { started_at });
            (
                api::ContainerState {
                    running,
                    ..api::ContainerState::default()
                },
                last,
            )
        }
        Shown::Terminated { ended, last } => (terminated(ended), last),
    };
    let is_running = matches!(shown, Shown::Running { .. });
    let (ready, started) = match (plan.kind, shown) {
        (Kind::Init, Shown::Terminated { ended, .. }) => (ended.succeeded(), Some(false)),
        (Kind::Init, _) => (false, Some(is_running)),
        // Nobody asks whether it is ready.
        (Kind::Ephemeral, _) => (false, None),
        _ => (machine.is_ready(index), Some(machine.is_started(index))),
    };
    let requests = plan
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.clone());
    api::ContainerStatus {
        name: plan.name.clone(),
        state: Some(state),
        last_state: Some(last.map(terminated).unwrap_or_default()),
        ready,
        started,
        restart_count: i32::try_from(container.shown_restart_count).unwrap_or(i32::MAX),
        image: record.map_or_else(|| plan.image.clone(), |record| record.image.name.clone()),
        image_id: record
            .map(|record| record.image.id.clone())
            .unwrap_or_default(),
        container_id: record.and_then(|record| record.container_id.clone()),
        resources: plan.resources.clone(),
        allocated_resources: requests,
        volume_mounts: plan.volume_mounts.clone(),
        ..api::ContainerStatus::default()
    }
}

/// Section 8.5. Without a reason of its own it is the container's turn that has not come.
fn waiting(machine: &PodMachine, why: Option<&crate::container::Waiting>) -> api::ContainerState {
    let reason = match why {
        Some(why) => why.reason.as_str(),
        None if machine.plan.init_count > 0 => "PodInitializing",
        None => "ContainerCreating",
    };
    let message = why
        .and_then(|why| why.message.as_ref())
        .map(ToString::to_string);
    let waiting = api::ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message,
    };
    api::ContainerState {
        waiting: Some(waiting),
        ..api::ContainerState::default()
    }
}

fn terminated(ended: &Ended) -> api::ContainerState {
    let terminated = api::ContainerStateTerminated {
        container_id: ended.container_id.clone(),
        exit_code: ended.code,
        reason: Some(ended.cause.as_str().to_owned()),
        message: ended.message.clone(),
        started_at: ended.started_at.map(kubernetes_time),
        finished_at: ended.finished_at.map(kubernetes_time),
        // Never set, as by the kubelet: a signal shows in the exit code.
        signal: None,
    };
    api::ContainerState {
        terminated: Some(terminated),
        ..api::ContainerState::default()
    }
}

/// An empty list is absent.
fn list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}
