//! The pod's record: what was accepted, written once, before anything else happens; and the small files about what runs.

use std::path::Path;

use podyard_api::core::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use podyard_lifecycle::Settings;
use podyard_linux::ProcessId;
use podyard_linux::network::PodNetwork;
use serde::{Deserialize, Serialize};

/// Version of every file in this module.
const VERSION: u32 = 1;

/// How a pod is to be run, beside its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// For the lifecycle core.
    pub settings: Settings,
    /// Containers without a `seccompProfile` run without a filter.
    #[serde(default)]
    pub seccomp_unconfined: bool,
    /// Sysctls beside the safe ones that pods may set, `net.*` and the like.
    #[serde(default)]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Processes and threads that the pod may have.
    #[serde(default)]
    pub pod_max_pids: Option<u64>,
    /// Memory requests are guaranteed, as with the kubelet's feature gate `MemoryQoS`.
    #[serde(default)]
    pub memory_qos: bool,
    /// The boot it was accepted in.
    pub boot_id: String,
}

/// The accepted pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    version: u32,
    /// Defaulted and validated, with UID and creation time.
    pub pod: Pod,
    /// What its containers may refer to.
    #[serde(default)]
    pub config_maps: Vec<ConfigMap>,
    /// Likewise.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Likewise.
    #[serde(default)]
    pub claims: Vec<PersistentVolumeClaim>,
    /// Beside the manifest.
    pub options: RunOptions,
}

impl PodRecord {
    /// A record of this version.
    #[must_use]
    pub fn new(
        pod: Pod,
        config_maps: Vec<ConfigMap>,
        secrets: Vec<Secret>,
        claims: Vec<PersistentVolumeClaim>,
        options: RunOptions,
    ) -> Self {
        Self {
            version: VERSION,
            pod,
            config_maps,
            secrets,
            claims,
            options,
        }
    }
}

/// Who holds the pod's namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) version: u32,
    pub(crate) attempt: u32,
    pub(crate) process: ProcessId,
    pub(crate) network: Option<PodNetwork>,
    pub(crate) pod_ips: Vec<String>,
}

/// A container instance that was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    pub(crate) version: u32,
    pub(crate) container: String,
    pub(crate) attempt: u32,
    pub(crate) restart_count: u32,
    pub(crate) process: ProcessId,
    pub(crate) container_id: String,
    pub(crate) stop_signal: i32,
    /// Seconds and nanoseconds of its start.
    pub(crate) started_at: (i64, u32),
}

pub(crate) const fn version() -> u32 {
    VERSION
}

/// Reads a JSON file; `None` when there is none, or one of another version or torn by a crash.
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = std::fs::read(path).ok()?;
    // Looked at first: what another version means by the rest is not known.
    let Versioned { version } = serde_json::from_slice(&text).ok()?;
    (version == VERSION)
        .then(|| serde_json::from_slice(&text).ok())
        .flatten()
}
