//! What a node decides for its pods, as opposed to what the Pod itself says.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;

/// What to do when an init container has failed and may be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnInitFailure {
    /// Start that container again, as the kubelet does.
    #[default]
    RetryContainer,
    /// Stop and remove every container and start again from the first init container; the volumes stay.
    RestartPod,
}

/// Settings of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// After the failure of an init container that may be tried again.
    pub on_init_failure: OnInitFailure,
    /// Scales every wait before a retry, in parts per thousand: 1000 waits exactly as long as the messages say. The kubelet waits up to half
    /// as long again; tests wait shorter.
    pub backoff_per_mille: u32,
    /// The longest wait between two starts of a container, from 1 s to 300 s (the kubelet's `crashLoopBackOff.maxContainerRestartPeriod`).
    pub max_container_restart_period: Duration,
    /// Addresses of the node, for `hostIP` and `hostIPs`.
    pub host_ips: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_init_failure: OnInitFailure::RetryContainer,
            backoff_per_mille: 1000,
            max_container_restart_period: limits::CRASH_BACKOFF_MAX,
            host_ips: Vec::new(),
        }
    }
}

impl Settings {
    /// What every back-off is multiplied by, if it is not waited in full. Whoever is told of a wait is to be told of this.
    #[must_use]
    pub fn backoff_factor(&self) -> Option<f64> {
        (self.backoff_per_mille != 1000).then(|| f64::from(self.backoff_per_mille) / 1000.0)
    }

    /// A nominal wait as it is really waited.
    pub(crate) fn scaled(&self, nominal: Duration) -> Duration {
        nominal.saturating_mul(self.backoff_per_mille) / 1000
    }
}
