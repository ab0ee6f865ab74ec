//! One container: its newest instance, the one before, and what its next start waits for.
//!
//! ```text
//!   none ──▶ image ──▶ starting ──▶ running ──▶ exited ──┐
//!    ▲         │           │                      │      │ next attempt
//!    │         ▼           ▼                      ▼      │
//!    └── failed before an instance was ◀──────────┴──────┘
//! ```

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::observation::Exit;
use crate::{Attempt, Timestamp};

/// An instance that ran, or that should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) attempt: Attempt,
    pub(crate) restart_count: u32,
    pub(crate) container_id: Option<String>,
    /// Image name and id.
    pub(crate) image: Option<(String, String)>,
    pub(crate) started_at: Timestamp,
}

/// An instance that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) instance: Instance,
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) finished_at: Timestamp,
    /// The same moment on the clock of deadlines.
    pub(crate) finished: Duration,
    /// How it ended, when it did by itself.
    pub(crate) exit: Option<Exit>,
}

impl Ended {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0 && self.reason != "OOMKilled"
    }
}

/// How far the signals to a running instance have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stopping {
    /// The stop signal was sent; `SIGKILL` follows at that moment.
    Signalled {
        kill_at: Duration,
    },
    Killed,
}

/// The newest instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// There is none, or it was removed.
    None,
    /// Its image is being looked for. `cancelled` once that was told to stop.
    Image {
        instance: Instance,
        pulling: bool,
        cancelled: bool,
    },
    /// It is being created and started.
    Starting {
        instance: Instance,
    },
    Running {
        instance: Instance,
        stopping: Option<Stopping>,
    },
    Exited(Ended),
    /// It has exited and is being removed.
    Removing(Ended),
}

/// Why no instance is there, or the next one is not yet: reason and message of `state.waiting`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
}

/// Everything known of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerState {
    pub(crate) record: Record,
    /// The newest instance that has ended, while its successor is on its way.
    pub(crate) replaced: Option<Ended>,
    /// `lastState`.
    pub(crate) last: Option<Ended>,
    /// What was left of that instance has been removed already.
    pub(crate) last_is_removed: bool,
    pub(crate) next_attempt: Attempt,
    /// The restart count of the next instance, by the logs that exist (section 1.7).
    pub(crate) next_restart_count: u32,
    /// The count that was shown last; it never falls.
    pub(crate) shown_restart_count: u32,
    /// The start error that is remembered until a start succeeds (section 8.4).
    pub(crate) waiting: Option<Waiting>,
    /// No start before this moment.
    pub(crate) not_before: Option<Duration>,
    pub(crate) backoff: Backoff,
    /// An instance of it ran in the present sandbox: a sidecar that is down does not make the pod pending again (section 8.1).
    pub(crate) ran_in_sandbox: bool,
}

impl ContainerState {
    pub(crate) fn new() -> Self {
        Self {
            record: Record::None,
            replaced: None,
            last: None,
            last_is_removed: false,
            next_attempt: 0,
            next_restart_count: 0,
            shown_restart_count: 0,
            waiting: None,
            not_before: None,
            backoff: Backoff::default(),
            ran_in_sandbox: false,
        }
    }

    /// There is an instance that runs or will: the tables' "Created or Running".
    pub(crate) fn is_alive(&self) -> bool {
        matches!(
            self.record,
            Record::Image { .. } | Record::Starting { .. } | Record::Running { .. }
        )
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.record, Record::Running { .. })
    }

    /// Between the decision to start and the answer.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.record, Record::Image { .. } | Record::Starting { .. })
    }

    pub(crate) fn exited(&self) -> Option<&Ended> {
        match &self.record {
            Record::Exited(ended) | Record::Removing(ended) => Some(ended),
            _ => None,
        }
    }
}
