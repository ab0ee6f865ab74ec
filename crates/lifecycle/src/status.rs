//! `v1.PodStatus` out of the machine's state (section 8).

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use k8s_openapi::api::core::v1::{
    ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};

use crate::container::{Ended, Record};
use crate::machine::PodMachine;
use crate::phase::View;
use crate::plan::Kind;
use crate::termination::{DEADLINE_MESSAGE, EndReason};
use crate::time::kubernetes_time;
use crate::{ContainerIndex, Timestamp};

pub(crate) fn pod_status(machine: &PodMachine) -> PodStatus {
    let inits: Vec<_> = machine
        .plan
        .init_indices()
        .map(|index| container_status(machine, index))
        .collect();
    let mut apps: Vec<_> = machine
        .plan
        .app_indices()
        .map(|index| container_status(machine, index))
        .collect();
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    let by_deadline = machine
        .ending
        .as_ref()
        .is_some_and(|ending| ending.reason == EndReason::Deadline);
    let phase = machine.shown_phase();
    let explains = by_deadline && phase == crate::phase::Phase::Failed;
    let pod_ips = if machine.plan.host_network {
        &machine.settings.host_ips
    } else {
        &machine.pod_ips
    };
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason: explains.then(|| "DeadlineExceeded".to_owned()),
        message: explains.then(|| DEADLINE_MESSAGE.to_owned()),
        start_time: Some(kubernetes_time(machine.start_time)),
        observed_generation: machine.plan.generation,
        qos_class: Some(machine.plan.qos_class.clone()),
        host_ip: machine.settings.host_ips.first().cloned(),
        host_ips: list(
            machine
                .settings
                .host_ips
                .iter()
                .map(|ip| HostIP { ip: ip.clone() }),
        ),
        pod_ip: pod_ips.first().cloned(),
        pod_ips: list(pod_ips.iter().map(|ip| PodIP { ip: ip.clone() })),
        conditions: list(machine.conditions.list.iter().map(|condition| {
            PodCondition {
                type_: condition.name.clone(),
                status: if condition.is_true { "True" } else { "False" }.to_owned(),
                reason: text(&condition.reason),
                message: text(&condition.message),
                last_transition_time: Some(kubernetes_time(condition.since)),
                observed_generation: machine
                    .plan
                    .generation
                    .filter(|_| condition.name != "AllContainersRestarting"),
                ..PodCondition::default()
            }
        })),
        init_container_statuses: list(inits.into_iter()),
        container_statuses: list(apps.into_iter()),
        ..PodStatus::default()
    }
}

fn list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

fn container_status(machine: &PodMachine, index: ContainerIndex) -> ContainerStatus {
    let plan = machine.plan.get(index);
    let state = machine.state(index);
    let view = machine.view(index);
    let (shown, last) = match view {
        View::Running => {
            let started = match &state.record {
                Record::Running { instance, .. } => instance.started_at,
                _ => Timestamp::default(),
            };
            let running = ContainerStateRunning {
                started_at: Some(kubernetes_time(started)),
            };
            (
                ApiState {
                    running: Some(running),
                    ..ApiState::default()
                },
                state.last.as_ref(),
            )
        }
        View::Terminated(ended) => (terminated(ended), state.last.as_ref()),
        View::Waiting(ended) => {
            let (reason, message) = match &state.waiting {
                Some(waiting) => (waiting.reason.clone(), waiting.message.clone()),
                None if machine.plan.init_count > 0 => ("PodInitializing".to_owned(), None),
                None => ("ContainerCreating".to_owned(), None),
            };
            let waiting = ContainerStateWaiting {
                reason: Some(reason),
                message,
            };
            (
                ApiState {
                    waiting: Some(waiting),
                    ..ApiState::default()
                },
                ended.or(state.last.as_ref()),
            )
        }
    };
    let instance = match &state.record {
        Record::Running { instance, .. } => Some(instance),
        Record::Exited(ended) | Record::Removing(ended) => Some(&ended.instance),
        Record::None | Record::Image { .. } | Record::Starting { .. } => {
            state.replaced.as_ref().map(|ended| &ended.instance)
        }
    };
    let running = state.is_running();
    let image = instance.and_then(|instance| instance.image.clone());
    ContainerStatus {
        name: plan.name.clone(),
        image: image
            .as_ref()
            .map_or_else(|| plan.image.clone(), |(name, _)| name.clone()),
        image_id: image.map(|(_, id)| id).unwrap_or_default(),
        container_id: instance.and_then(|instance| instance.container_id.clone()),
        state: Some(shown),
        last_state: Some(last.map(terminated).unwrap_or_default()),
        ready: match (plan.kind, view) {
            (Kind::Init, View::Terminated(ended)) => ended.succeeded(),
            (Kind::Init, _) => false,
            _ => machine.is_ready(index),
        },
        started: Some(running),
        restart_count: i32::try_from(state.shown_restart_count).unwrap_or(i32::MAX),
        ..ContainerStatus::default()
    }
}

fn terminated(ended: &Ended) -> ApiState {
    let terminated = ContainerStateTerminated {
        container_id: ended.instance.container_id.clone(),
        exit_code: ended.code,
        reason: Some(ended.reason.clone()),
        message: ended.message.clone(),
        started_at: Some(kubernetes_time(ended.instance.started_at)),
        finished_at: Some(kubernetes_time(ended.finished_at)),
        ..ContainerStateTerminated::default()
    };
    ApiState {
        terminated: Some(terminated),
        ..ApiState::default()
    }
}
