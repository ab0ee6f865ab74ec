//! A pod's turns once more, through the same machine, for a person to look at: the machine is deterministic, so what it decided then it
//! decides again. Reads a pod's own files, or a journal that was saved elsewhere (the simulation's, or one from a report).

use std::path::Path;

use podyard_api::core::PodStatus;
use podyard_lifecycle::{Action, Event, PodMachine};

use crate::journal::{self, Turn};
use crate::pods::{PodError, PodHandle};
use crate::record::{self, PodRecord};

/// A machine, and the turns that are still to be put through it.
#[derive(Debug)]
pub struct Replay {
    machine: PodMachine,
    turns: std::vec::IntoIter<Turn>,
}

/// One turn, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// What went in.
    pub turn: Turn,
    /// What was decided, in order.
    pub actions: Vec<Action>,
    /// What was told.
    pub events: Vec<Event>,
    /// Where the pod stands after it.
    pub status: PodStatus,
}

impl Replay {
    /// The turns of a pod of this machine, from its beginning or from its last snapshot.
    ///
    /// # Errors
    ///
    /// When its files cannot be read.
    pub fn of_pod(pod: &PodHandle) -> Result<Self, PodError> {
        let turns = pod.turns()?;
        let snapshot = journal::snapshot(pod.dirs())?;
        let (machine, last) = match snapshot {
            Some((machine, last)) => (machine, last),
            None => (first(&pod.record()?, &turns), 0),
        };
        let turns: Vec<Turn> = turns.into_iter().filter(|turn| turn.turn > last).collect();
        Ok(Self {
            machine,
            turns: turns.into_iter(),
        })
    }

    /// The turns of a journal file; the pod's record stands beside it, with the ending `.json` instead of `.jsonl`.
    ///
    /// # Errors
    ///
    /// When one of the two cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, PodError> {
        let turns = journal::read_file(path)?;
        let beside = path.with_extension("json");
        let record = record::read(&beside).ok_or_else(|| PodError::Unreadable {
            path: beside.display().to_string(),
        })?;
        Ok(Self {
            machine: first(&record, &turns),
            turns: turns.into_iter(),
        })
    }

    /// The machine as it stands.
    #[must_use]
    pub fn machine(&self) -> &PodMachine {
        &self.machine
    }
}

impl Iterator for Replay {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let turn = self.turns.next()?;
        let machine = &mut self.machine;
        let mut events = Vec::new();
        journal::put_through(machine, &turn, |event| events.push(event));
        let actions = std::iter::from_fn(|| machine.next_action()).collect();
        Some(Step {
            status: machine.status(),
            turn,
            actions,
            events,
        })
    }
}

fn first(record: &PodRecord, turns: &[Turn]) -> PodMachine {
    let now = turns
        .first()
        .map_or_else(crate::clock::now, |turn| turn.now);
    PodMachine::new(&record.pod, record.options.settings.clone(), now)
}
