//! Facts: what has happened in the world. An observation about an instance that the machine no longer expects is ignored, so a driver may
//! report what it found after a crash without knowing what was already known.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Attempt, ContainerIndex, Hook, ProbeKind, Timestamp};

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// Every used volume is set up.
    VolumesReady,
    /// One could not be.
    VolumesFailed {
        /// Name of the volume.
        volume: String,
        /// Why.
        message: String,
    },
    /// The volumes are gone.
    VolumesRemoved,
    /// Namespaces and network stand.
    SandboxReady {
        /// Which sandbox.
        attempt: u32,
        /// The pod's addresses, the primary one first.
        pod_ips: Vec<String>,
    },
    /// They could not be made; nothing of them remains.
    SandboxFailed {
        /// Which sandbox.
        attempt: u32,
        /// Why.
        message: String,
    },
    /// The sandbox is gone although nobody asked for it.
    SandboxDied {
        /// Which sandbox.
        attempt: u32,
    },
    /// The sandbox is gone, as asked.
    SandboxStopped {
        /// Which sandbox.
        attempt: u32,
    },
    /// A pull has begun for this instance.
    ImagePulling {
        /// For which container.
        container: ContainerIndex,
        /// For which instance.
        attempt: Attempt,
    },
    /// The image is there.
    ImageReady {
        /// For which container.
        container: ContainerIndex,
        /// For which instance.
        attempt: Attempt,
        /// What is known of it.
        image: ImageFacts,
    },
    /// It is not.
    ImageFailed {
        /// For which container.
        container: ContainerIndex,
        /// For which instance.
        attempt: Attempt,
        /// The kind of failure, which is the reason in the status.
        reason: ImageFailure,
        /// Why.
        message: String,
    },
    /// The instance's program runs.
    ContainerStarted {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// `podyard://` and 64 hexadecimal digits.
        container_id: String,
        /// When it was started.
        at: Timestamp,
    },
    /// It does not.
    ContainerNotStarted {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// How far it came.
        stage: StartStage,
        /// Why.
        message: String,
        /// Set when an instance came to be ([`StartStage::Start`]).
        container_id: Option<String>,
        /// When it failed.
        at: Timestamp,
    },
    /// The instance has ended.
    ContainerExited {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// How.
        exit: Exit,
        /// When.
        at: Timestamp,
        /// Its termination message, at most 4096 bytes.
        message: Option<String>,
    },
    /// What was left of the instance is gone.
    ContainerRemoved {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
    },
    /// A hook has ended.
    HookFinished {
        /// In which container.
        container: ContainerIndex,
        /// In which instance.
        attempt: Attempt,
        /// Which handler.
        hook: Hook,
        /// How.
        result: HookResult,
    },
    /// A probe round has ended.
    ProbeFinished {
        /// Which container.
        container: ContainerIndex,
        /// Which instance.
        attempt: Attempt,
        /// Which of its probes.
        kind: ProbeKind,
        /// Which round.
        round: u32,
        /// How.
        outcome: ProbeOutcome,
    },
    /// The pod uses more local storage than it may (section 7.6).
    StorageExceeded {
        /// The kubelet's text, which says whose limit it is.
        message: String,
    },
    /// This machine does not take the pod: found before anything of it was made.
    Rejected {
        /// The kubelet's word for it, `SysctlForbidden` and the like.
        reason: String,
        /// Why.
        message: String,
    },
    /// Some object that the pod names (ConfigMap, Secret, claim) is there now, or says something else than before.
    ObjectsChanged,
    /// Something that people should know of the pod and that changes nothing about it: told as an Event.
    Warned {
        /// The kubelet's word for it where it has one.
        reason: String,
        /// What there is to know.
        message: String,
    },
    /// The machine was started anew: no sandbox, no container and no mount of before exists, and `since_boot` began again.
    HostRebooted,
}

/// How an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The kernel killed a process of it for want of memory.
    OomKilled {
        /// The code of the main process: 128 + n if a signal ended it.
        code: i32,
    },
    /// It is gone and nothing is known.
    Lost,
}

impl Exit {
    /// The code that Kubernetes shows: 128 + n for signal n.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) | Self::OomKilled { code } => code,
            Self::Signal(signal) => 128 + signal,
            Self::Lost => 137,
        }
    }
}

/// An image as the status and the Events show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Full name, `docker.io/library/busybox:latest`.
    pub name: String,
    /// `imageID`: a digest reference, or the digest of the configuration.
    pub id: String,
    /// Set when it was pulled for this instance.
    pub pulled: Option<PullFacts>,
}

/// A pull that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullFacts {
    /// The pull itself.
    pub took: Duration,
    /// With the wait for other pulls.
    pub including_waiting: Duration,
    /// Size of the image.
    pub bytes: u64,
}

/// Why there is no image; the names are the kubelet's reasons (section 8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageFailure {
    /// The pull failed.
    ErrImagePull,
    /// The policy is `Never` and the image is absent.
    ErrImageNeverPull,
    /// The reference cannot be parsed.
    InvalidImageName,
    /// The store could not be read.
    ImageInspectError,
    /// The registry cannot be reached.
    RegistryUnavailable,
    /// The image's signature does not fit the policy.
    SignatureValidationFailed,
    /// `CancelImage` was obeyed.
    Cancelled,
}

impl ImageFailure {
    /// The reason as Kubernetes spells it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ErrImagePull => "ErrImagePull",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::InvalidImageName => "InvalidImageName",
            Self::ImageInspectError => "ImageInspectError",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::SignatureValidationFailed => "SignatureValidationFailed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// How far a start came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStage {
    /// The configuration could not be put together: `CreateContainerConfigError`, no instance came to be.
    Config,
    /// The instance could not be created: `CreateContainerError`, none came to be.
    Create,
    /// It was created and its program could not be run: it counts as an instance that exited with 128, `StartError`.
    Start,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookResult {
    /// It did its work.
    Succeeded,
    /// It did not.
    Failed {
        /// The kubelet's text (section 6), shown in the status of a container whose postStart failed.
        message: String,
    },
    /// `CancelHook` was obeyed, or the container ended first.
    Cancelled,
}

/// How a probe round ended (section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeOutcome {
    /// As it should.
    Success {
        /// Something to tell nevertheless, such as a redirect that was not followed.
        warning: Option<String>,
    },
    /// Not as it should.
    Failure {
        /// What the Event says.
        output: String,
    },
    /// The probe itself could not be made: the round does not count.
    Error {
        /// What the Event says.
        message: String,
    },
}
