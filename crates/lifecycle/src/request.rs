//! Wishes of people, and the three answers they can get.

use serde::{Deserialize, Serialize};

use crate::ContainerIndex;

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}
