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

/// A pod, as lines, and its turns.
pub(crate) struct Record {
    pub(crate) lines: Vec<String>,
    pub(crate) turns: Vec<Turn>,
}

impl Record {
    /// Writes `pod-17.jsonl` and, beside it, `pod-17.txt` with the pod.
    pub(crate) fn write(&self, seed: u64) -> std::io::Result<PathBuf> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pod-{seed}.jsonl"));
        std::fs::write(path.with_extension("txt"), self.lines.join("\n") + "\n")?;
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for turn in &self.turns {
            serde_json::to_writer(&mut file, turn)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        Ok(path)
    }

    pub(crate) fn read(path: &Path) -> std::io::Result<Self> {
        let pod = std::fs::read_to_string(path.with_extension("txt"))?;
        let turns = std::fs::read_to_string(path)?;
        let turns: Result<_, _> = turns.lines().map(serde_json::from_str).collect();
        Ok(Self {
            lines: pod.lines().map(ToOwned::to_owned).collect(),
            turns: turns?,
        })
    }
}
