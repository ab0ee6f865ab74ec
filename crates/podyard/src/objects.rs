//! The Kubernetes objects that this crate prints, and the questions it asks them more than once.

pub(crate) use podyard_api::{core, jiff, meta};

pub(crate) use self::core::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, EnvVar, Event, Pod,
    PodSpec, PodStatus, Probe, ResourceRequirements, Volume, VolumeMount,
};
pub(crate) use self::jiff::Timestamp;
pub(crate) use self::meta::Time;
pub(crate) use podyard_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString as Port;

/// Questions about a whole pod.
pub(crate) trait PodExt {
    /// `metadata.name`, empty if there is none.
    fn name(&self) -> &str;
    /// `metadata.namespace`, `default` if there is none.
    fn namespace(&self) -> &str;
    /// `status.phase`, empty if nothing is known yet.
    fn phase(&self) -> &str;
    /// Whether the phase is one that a pod never leaves.
    fn is_terminal(&self) -> bool;
    /// Whether somebody asked for its deletion.
    fn is_terminating(&self) -> bool;
    /// The containers of `spec.initContainers`, sidecars among them.
    fn init_containers(&self) -> &[Container];
    /// The containers of `spec.containers`.
    fn app_containers(&self) -> &[Container];
    /// What was added to look into the pod.
    fn ephemeral_containers(&self) -> Vec<Container>;
    /// The status of `name`, whatever kind of container it is.
    fn container_status(&self, name: &str) -> Option<&ContainerStatus>;
    /// Whether a condition is there and True.
    fn condition_is_true(&self, kind: &str) -> bool;
}

impl PodExt for Pod {
    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    fn phase(&self) -> &str {
        self.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or_default()
    }

    fn is_terminal(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn init_containers(&self) -> &[Container] {
        self.spec
            .as_ref()
            .and_then(|spec| spec.init_containers.as_deref())
            .unwrap_or_default()
    }

    fn app_containers(&self) -> &[Container] {
        self.spec
            .as_ref()
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default()
    }

    fn ephemeral_containers(&self) -> Vec<Container> {
        let list = self.spec.as_ref();
        let list = list.and_then(|spec| spec.ephemeral_containers.as_ref());
        let list = list.into_iter().flatten();
        list.map(podyard_api::ephemeral_as_container).collect()
    }

    fn container_status(&self, name: &str) -> Option<&ContainerStatus> {
        let status = self.status.as_ref()?;
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists
            .into_iter()
            .flatten()
            .flatten()
            .find(|status| status.name == name)
    }

    fn condition_is_true(&self, kind: &str) -> bool {
        let conditions = self
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    }
}

/// Whether an entry of `spec.initContainers` is a sidecar: a container that runs beside the app containers.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// A state's or a status's `waiting.reason`.
pub(crate) fn waiting_reason(state: Option<&ContainerState>) -> Option<&str> {
    state?
        .waiting
        .as_ref()?
        .reason
        .as_deref()
        .filter(|reason| !reason.is_empty())
}

/// The `terminated` part of a state.
pub(crate) fn terminated(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    state?.terminated.as_ref()
}

/// A Kubernetes time as the moment it stands for.
pub(crate) fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
