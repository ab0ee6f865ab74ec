//! What is known of one container: its newest record, the one before, and what its next start has to wait for.
//!
//! ```text
//!             StartContainer answered            ContainerExited
//!   no record ─────────────────────▶ Running ─────────────────────▶ Ended ──┐
//!       ▲                               ▲                             │     │
//!       │ removed: new sandbox, reset   └─────── the next attempt ────┼─────┘
//!       └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! The kubelet also knows records that were created and not started, and records whose state it cannot find out. Here a start is one step
//! that succeeds or fails, and an instance of which nothing is known has ended ([`Cause::Lost`]); the rows of the tables about those two
//! have no counterpart.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::probe::Probes;
use crate::stop::Stop;
use crate::time::Moment;
use crate::{Attempt, Exit, ImageFailure, Timestamp};

/// Everything known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// The newest instance that came to be, unless it was removed.
    pub(crate) record: Option<Record>,
    /// `lastState`.
    pub(crate) previous: Option<Ended>,
    /// Instances whose remains nobody was told to remove, oldest first.
    pub(crate) remains: Vec<Attempt>,
    pub(crate) next_attempt: Attempt,
    /// Count of the next instance; names its log.
    pub(crate) next_restart_count: u32,
    /// Count in the status; it never falls.
    pub(crate) shown_restart_count: u32,
    /// What is remembered of the last start that did not succeed, or is being put off.
    pub(crate) waiting: Option<Waiting>,
    /// No start before this moment: after an error that has no back-off of its own.
    pub(crate) hold: Option<Moment>,
    /// When a start that is put off will be looked at again.
    pub(crate) wake: Option<Moment>,
    pub(crate) backoff: Backoff,
    /// Those of the images that the container had before.
    pub(crate) other_backoffs: Vec<(usize, Backoff)>,
    pub(crate) backoff_step: BackoffStep,
    /// A start that was decided together with the kill before it.
    pub(crate) owed: Option<Owed>,
    /// Set at the end of the pod, if by then nothing was known of the container.
    pub(crate) missing: Option<Ended>,
    pub(crate) probes: Probes,
}

/// An instance that came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) attempt: Attempt,
    pub(crate) restart_count: u32,
    /// The sandbox it was made in.
    pub(crate) sandbox: u32,
    pub(crate) container_id: Option<String>,
    /// Of the image that the spec named then: with another one it is not the container that the spec means any more.
    pub(crate) image_slot: usize,
    pub(crate) image: ImageName,
    pub(crate) life: Life,
}

/// An image as the status names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageName {
    pub(crate) name: String,
    pub(crate) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    Running(Running),
    Ended(Ended),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) started_at: Timestamp,
    pub(crate) since: Moment,
    /// Its postStart hook runs: the kubelet has not told anybody of it yet (section 6).
    pub(crate) in_post_start: bool,
    /// It is being stopped.
    pub(crate) stop: Option<Stop>,
}

/// How an instance ended, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) cause: Cause,
    pub(crate) code: i32,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// The same as `finished_at` on the clock of back-offs.
    pub(crate) finished: Moment,
    pub(crate) container_id: Option<String>,
}

/// The reasons of terminated containers (section 8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Completed,
    Error,
    OomKilled,
    StartError,
    /// Nothing is known of its end.
    Lost,
    /// Removed by RestartAllContainers.
    Reset,
}

impl Cause {
    pub(crate) fn of(exit: Exit) -> Self {
        match exit {
            Exit::Code(0) => Self::Completed,
            Exit::Code(_) | Exit::Signal(_) => Self::Error,
            Exit::OomKilled { .. } => Self::OomKilled,
            Exit::Lost => Self::Lost,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::StartError => "StartError",
            Self::Lost => "ContainerStatusUnknown",
            Self::Reset => "RestartingAllContainers",
        }
    }
}

/// Reason and message of a waiting container (section 8.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) reason: Reason,
    pub(crate) message: Option<Cow<'static, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reason {
    CrashLoopBackOff,
    Image(ImageFailure),
    ImagePullBackOff,
    CreateContainerConfigError,
    CreateContainerError,
    RunContainerError,
    PostStartHookError,
    RestartingAllContainers,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CrashLoopBackOff => "CrashLoopBackOff",
            Self::Image(failure) => failure.reason(),
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::CreateContainerConfigError => "CreateContainerConfigError",
            Self::CreateContainerError => "CreateContainerError",
            Self::RunContainerError => "RunContainerError",
            Self::PostStartHookError => "PostStartHookError",
            Self::RestartingAllContainers => "RestartingAllContainers",
        }
    }
}

/// Where the newest record is with its back-off. A start that fails before it leaves a record is tried again without another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BackoffStep {
    #[default]
    Ahead,
    /// A person wants no wait; the next delay grows nevertheless.
    Lifted,
    Behind,
}

/// A start that was decided together with the kill before it, so that the exit code of that kill is not asked. Its back-off counts from the
/// record before the killed one (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) since: Option<Moment>,
}

impl Ended {
    /// An init container's work is done only by this.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0 && self.cause != Cause::OomKilled
    }
}

impl Container {
    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.record.as_ref()?.life {
            Life::Running(running) => Some(running),
            Life::Ended(_) => None,
        }
    }

    pub(crate) fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.record.as_mut()?.life {
            Life::Running(running) => Some(running),
            Life::Ended(_) => None,
        }
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        match &self.record.as_ref()?.life {
            Life::Ended(ended) => Some(ended),
            Life::Running(_) => None,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// The instance that runs, if it is this one.
    pub(crate) fn is_live(&self, attempt: Attempt) -> bool {
        self.is_running()
            && self
                .record
                .as_ref()
                .is_some_and(|record| record.attempt == attempt)
    }

    pub(crate) fn live_attempt(&self) -> Option<Attempt> {
        self.record
            .as_ref()
            .filter(|_| self.is_running())
            .map(|record| record.attempt)
    }

    /// A new instance came to be. The one before becomes `lastState`.
    pub(crate) fn replace(&mut self, record: Record) {
        self.remains.push(record.attempt);
        self.next_restart_count = record.restart_count + 1;
        self.backoff_step = BackoffStep::Ahead;
        self.hold = None;
        self.owed = None;
        if let Some(Record {
            life: Life::Ended(ended),
            ..
        }) = self.record.replace(record)
        {
            self.previous = Some(ended);
        }
    }

    /// People are told of the newest instance: its postStart hook is over, or it has ended.
    pub(crate) fn reveal(&mut self) {
        if let Some(record) = &self.record {
            self.shown_restart_count = self.shown_restart_count.max(record.restart_count);
        }
    }

    /// Takes the record of an instance that has ended away.
    pub(crate) fn take_ended(&mut self) -> Option<Ended> {
        match self.record.take()?.life {
            Life::Ended(ended) => Some(ended),
            Life::Running(_) => None,
        }
    }

    /// When the record before the newest one ended, if it is still there.
    pub(crate) fn finished_before(&self) -> Option<Moment> {
        self.previous
            .as_ref()
            .filter(|_| self.remains.len() > 1)
            .map(|ended| ended.finished)
    }

    /// Every stored moment that outlives a reboot, for the day the clock begins again. What runs does not, nor does what concerns it alone.
    pub(crate) fn rebase(&mut self, rebase: impl Fn(&mut Moment) + Copy) {
        if let Some(record) = &mut self.record {
            match &mut record.life {
                Life::Running(running) => rebase(&mut running.since),
                Life::Ended(ended) => rebase(&mut ended.finished),
            }
        }
        self.previous
            .iter_mut()
            .for_each(|ended| rebase(&mut ended.finished));
        self.hold.iter_mut().for_each(rebase);
        self.wake.iter_mut().for_each(rebase);
        self.owed
            .iter_mut()
            .filter_map(|owed| owed.since.as_mut())
            .for_each(rebase);
        self.backoff.rebase(rebase);
        for (_, backoff) in &mut self.other_backoffs {
            backoff.rebase(rebase);
        }
    }
}
