//! Which container of the pod.

use serde::{Deserialize, Serialize};

/// Position of a container in the pod: `spec.initContainers` first, then `spec.containers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerIndex(pub u16);

impl ContainerIndex {
    /// For indexing.
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self.0)
    }

    /// From a position in the flattened list. A pod object cannot hold more containers than fit.
    pub(crate) fn at(position: usize) -> Self {
        Self(u16::try_from(position).unwrap_or(u16::MAX))
    }
}
