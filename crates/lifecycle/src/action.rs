//! Instructions: what a driver shall do. Each is answered by exactly one observation.

use serde::{Deserialize, Serialize};

use crate::{Attempt, ContainerIndex};

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Set up every used volume → `VolumesReady` or `VolumesFailed`.
    PrepareVolumes,
    /// Make the namespaces and the network → `SandboxReady` or `SandboxFailed`.
    CreateSandbox {
        /// Counts the pod's sandboxes from 0.
        attempt: u32,
    },
    /// Stop the sandbox and release its network → `SandboxStopped`.
    StopSandbox {
        /// Which one.
        attempt: u32,
    },
    /// Find the image, pulling it if the policy says so → any number of `ImagePulling`, then `ImageReady` or `ImageFailed`.
    EnsureImage {
        /// For which container.
        container: ContainerIndex,
        /// For which instance.
        attempt: Attempt,
    },
    /// Give up a running `EnsureImage`, which then answers `ImageFailed` with reason `Cancelled`. Has no answer of its own.
    CancelImage {
        /// For which container.
        container: ContainerIndex,
        /// For which instance.
        attempt: Attempt,
    },
    /// Create and start an instance → `ContainerStarted` or `ContainerNotStarted`.
    StartContainer {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// Names its log file, `<restart_count>.log`.
        restart_count: u32,
    },
    /// Send a signal. Answered by the instance's `ContainerExited`, whenever it comes.
    SignalContainer {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// Which signal.
        signal: StopSignal,
    },
    /// Forget an instance that has exited: its root file system and, unless kept, its log → `ContainerRemoved`.
    RemoveContainer {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// Leave the log file where it is: it goes with the pod.
        keep_logs: bool,
    },
    /// Run one of the container's `lifecycle` handlers → `HookFinished`.
    RunHook {
        /// In which container.
        container: ContainerIndex,
        /// In which instance.
        attempt: Attempt,
        /// Which handler.
        hook: Hook,
    },
    /// Give up a running hook, which then answers `HookFinished` with [`crate::HookResult::Cancelled`]. Has no answer of its own.
    CancelHook {
        /// In which container.
        container: ContainerIndex,
        /// In which instance.
        attempt: Attempt,
        /// Which handler.
        hook: Hook,
    },
    /// Probe once, within the probe's own timeout; a handler that cannot be run is tried three times (section 5.2) → `ProbeFinished`.
    Probe {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// Which of its probes.
        kind: ProbeKind,
        /// Counts the rounds of this instance and kind from 0.
        round: u32,
    },
    /// Unmount and delete the pod's volumes → `VolumesRemoved`.
    RemoveVolumes,
}

/// The two ways to stop a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// The image's STOPSIGNAL, else `SIGTERM`.
    Stop,
    /// `SIGKILL`.
    Kill,
}

/// The two handlers of a container's `lifecycle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hook {
    /// Runs beside the container's program from its start; until it is done nothing else of the pod starts.
    PostStart,
    /// Runs before the stop signal.
    PreStop,
}

/// The three probes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Has it started? The other two wait for it.
    Startup,
    /// Must it be replaced?
    Liveness,
    /// Can it serve?
    Readiness,
}
