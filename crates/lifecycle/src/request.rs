//! Wishes of people, and the three answers they can get.

use alloc::boxed::Box;
use alloc::string::String;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::{ContainerIndex, Timestamp};

/// One wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// End the pod and forget it.
    Delete {
        /// Instead of the pod's own `terminationGracePeriodSeconds`. Negative counts as 1 (section 7.1).
        grace_seconds: Option<i64>,
    },
    /// Do not wait any longer: `SIGKILL` to everything, and forget the pod.
    Kill,
    /// End a back-off now; counts and the next delay stay as they are.
    Retry {
        /// Only this container's wait.
        container: Option<ContainerIndex>,
    },
    /// The Pod is another one from now on: other images, another deadline, more ephemeral containers.
    Update {
        /// All of it, validated as the API server validates updates, with the generation that it has now.
        pod: Box<Pod>,
    },
    /// A condition that somebody else than the kubelet is in charge of, as readiness gates name them.
    SetCondition {
        /// As it is from now on.
        condition: Condition,
    },
    /// The same, gone.
    RemoveCondition {
        /// Its type.
        kind: String,
    },
}

/// A condition of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its type, such as `example.com/load-balancer`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word in camel case.
    pub reason: Option<String>,
    /// A sentence.
    pub message: Option<String>,
    /// Since when; without, since the status last became another one.
    pub since: Option<Timestamp>,
}

/// The wish is or was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accepted {
    /// It will be done now.
    Done,
    /// It was so already.
    AlreadySo,
}

/// The wish is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Nothing is waiting that could be retried.
    NothingWaiting,
    /// The pod is being deleted.
    Terminating,
    /// There is no such container.
    NoSuchContainer,
    /// The Pod has other containers than this one.
    OtherContainers,
    /// The condition is the kubelet's own.
    OwnCondition,
    /// There is no such condition.
    NoSuchCondition,
    /// The Pod has named as many images in its life as it can.
    TooManyImages,
    /// It has as many conditions of others as it can.
    TooManyConditions,
}
