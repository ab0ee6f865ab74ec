//! Which container of the pod.

use serde::{Deserialize, Serialize};

/// Position of a container in the pod: `spec.initContainers` first, then `spec.containers`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ContainerIndex(pub u16);

impl ContainerIndex {
    /// As an index into a list of all containers.
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self.0)
    }

    /// From an index into that list. No API server accepts an object with more containers than fit.
    pub(crate) fn at(position: usize) -> Self {
        Self(u16::try_from(position).unwrap_or(u16::MAX))
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
