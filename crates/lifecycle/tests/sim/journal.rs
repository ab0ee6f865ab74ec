//! The turns of a simulated pod, one JSON object a line, as a supervisor's journal has them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use podyard_lifecycle::{Action, Event, Now, Observation, PodMachine, Request};
use serde::{Deserialize, Serialize};

/// One turn. The fields are those of the supervisor's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    v: u32,
    pub(crate) turn: u64,
    pub(crate) now: Now,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) observations: Vec<Observation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<Request>,
}

impl Turn {
    pub(crate) fn new(turn: u64, now: Now) -> Self {
        Self {
            v: 1,
            turn,
            now,
            observations: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Puts the turn through the machine, and gives what came out of it to `actions` and `events`.
    pub(crate) fn apply(
        &self,
        machine: &mut PodMachine,
        mut actions: impl FnMut(Action),
        mut events: impl FnMut(Event),
    ) {
        for observation in &self.observations {
            machine.observe(self.now, observation);
        }
        for request in &self.requests {
            let _ = machine.request(self.now, request);
        }
        machine.advance(self.now);
        while let Some(event) = machine.next_event() {
            events(event);
        }
        while let Some(action) = machine.next_action() {
            actions(action);
        }
    }
}

/// Where the journal of a failing seed is put.
pub(crate) fn path(seed: u64) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pod-{seed}.jsonl"))
}

pub(crate) fn write(path: &Path, turns: &[Turn]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for turn in turns {
        serde_json::to_writer(&mut file, turn)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
