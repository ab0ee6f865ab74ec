//! Pods for tests, in the words of a test: `pod("Running", [init("i", exited(0)), app("a", running())])`.

use crate::objects::core::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus,
};
use crate::objects::jiff::Timestamp;
use crate::objects::meta::{ObjectMeta, Time};

/// When every sample pod was created and every container of it started, in Unix seconds.
pub(crate) const START: i64 = 1_000_000;

pub(crate) fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("in range"))
}

/// A container with its place in the pod.
pub(crate) struct Sample {
    is_init: bool,
    spec: Container,
    status: ContainerStatus,
}

pub(crate) fn app(name: &str, mut status: ContainerStatus) -> Sample {
    // Only an init container is ready by having ended well.
    let has_ended = status
        .state
        .as_ref()
        .is_some_and(|state| state.terminated.is_some());
    status.ready &= !has_ended;
    sample(false, name, status)
}

pub(crate) fn init(name: &str, status: ContainerStatus) -> Sample {
    sample(true, name, status)
}

pub(crate) fn sidecar(name: &str, status: ContainerStatus) -> Sample {
    let mut sample = sample(true, name, status);
    sample.spec.restart_policy = Some("Always".to_owned());
    sample
}

fn sample(is_init: bool, name: &str, mut status: ContainerStatus) -> Sample {
    status.name = name.to_owned();
    status.image = "busybox:latest".to_owned();
    let spec = Container {
        name: name.to_owned(),
        image: Some("busybox:latest".to_owned()),
        ..Container::default()
    };
    Sample {
        is_init,
        spec,
        status,
    }
}

/// A pod `web` in `default` with these containers.
pub(crate) fn pod(phase: &str, containers: impl IntoIterator<Item = Sample>) -> Pod {
    let mut spec = PodSpec::default();
    let mut status = PodStatus {
        phase: Some(phase.to_owned()),
        start_time: Some(time(START)),
        ..PodStatus::default()
    };
    for sample in containers {
        if sample.is_init {
            spec.init_containers
                .get_or_insert_default()
                .push(sample.spec);
            status
                .init_container_statuses
                .get_or_insert_default()
                .push(sample.status);
        } else {
            spec.containers.push(sample.spec);
            status
                .container_statuses
                .get_or_insert_default()
                .push(sample.status);
        }
    }
    let metadata = ObjectMeta {
        name: Some("web".to_owned()),
        namespace: Some("default".to_owned()),
        creation_timestamp: Some(time(START)),
        ..ObjectMeta::default()
    };
    Pod {
        metadata,
        spec: Some(spec),
        status: Some(status),
    }
}

pub(crate) fn running() -> ContainerStatus {
    let running = ContainerStateRunning {
        started_at: Some(time(START)),
    };
    let state = ContainerState {
        running: Some(running),
        ..ContainerState::default()
    };
    ContainerStatus {
        state: Some(state),
        ready: true,
        started: Some(true),
        ..ContainerStatus::default()
    }
}

pub(crate) fn waiting(reason: &str) -> ContainerStatus {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: None,
    };
    let state = ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    };
    ContainerStatus {
        state: Some(state),
        started: Some(false),
        ..ContainerStatus::default()
    }
}

pub(crate) fn exited(code: i32) -> ContainerStatus {
    let state = ContainerState {
        terminated: Some(end(code, START + 1)),
        ..ContainerState::default()
    };
    ContainerStatus {
        state: Some(state),
        ready: code == 0,
        started: Some(false),
        ..ContainerStatus::default()
    }
}

fn end(code: i32, finished_at: i64) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: code,
        reason: Some(if code == 0 { "Completed" } else { "Error" }.to_owned()),
        started_at: Some(time(START)),
        finished_at: Some(time(finished_at)),
        ..ContainerStateTerminated::default()
    }
}

/// Changes to a container's status.
pub(crate) trait StatusExt: Sized {
    fn restarted(self, times: i32) -> Self;
    fn unstarted(self) -> Self;
    fn unready(self) -> Self;
    fn because(self, reason: &str) -> Self;
    fn saying(self, message: &str) -> Self;
    fn last_ended_at(self, second: i64) -> Self;
}

impl StatusExt for ContainerStatus {
    fn restarted(mut self, times: i32) -> Self {
        self.restart_count = times;
        self
    }

    fn unstarted(mut self) -> Self {
        (self.started, self.ready) = (Some(false), false);
        self
    }

    fn unready(mut self) -> Self {
        self.ready = false;
        self
    }

    fn because(mut self, reason: &str) -> Self {
        let terminated = self
            .state
            .as_mut()
            .and_then(|state| state.terminated.as_mut())
            .expect("an exited container");
        terminated.reason = Some(reason.to_owned());
        self
    }

    fn saying(mut self, message: &str) -> Self {
        let waiting = self
            .state
            .as_mut()
            .and_then(|state| state.waiting.as_mut())
            .expect("a waiting container");
        waiting.message = Some(message.to_owned());
        self
    }

    fn last_ended_at(mut self, second: i64) -> Self {
        self.last_state = Some(ContainerState {
            terminated: Some(end(1, second)),
            ..ContainerState::default()
        });
        self
    }
}

/// Changes to the pod.
pub(crate) trait PodChanges: Sized {
    fn ready(self) -> Self;
    fn initialized(self) -> Self;
    fn deleting(self) -> Self;
    fn because(self, reason: &str) -> Self;
}

impl PodChanges for Pod {
    fn ready(self) -> Self {
        with_condition(with_condition(self, "ContainersReady"), "Ready")
    }

    fn initialized(self) -> Self {
        with_condition(self, "Initialized")
    }

    fn deleting(mut self) -> Self {
        self.metadata.deletion_timestamp = Some(time(START + 10));
        self
    }

    fn because(mut self, reason: &str) -> Self {
        self.status.get_or_insert_default().reason = Some(reason.to_owned());
        self
    }
}

fn with_condition(mut pod: Pod, kind: &str) -> Pod {
    let condition = PodCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        ..PodCondition::default()
    };
    pod.status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default()
        .push(condition);
    pod
}
