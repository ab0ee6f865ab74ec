//! The journal: every turn of the event loop, written before anything it decided is begun.
//!
//! A turn is the time and what was observed and asked. The machine is deterministic, so the turns since a snapshot *are* its state:
//! a new supervisor replays them and stands where the last one stood. One JSON object a line; a last line that was torn by a crash was
//! never acted upon and is cut off. Not synced to the disk: the page cache survives every death but that of the machine, and then
//! the sandbox is gone anyway and the pod starts again from its init containers.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use podyard_api::core::Pod;
use podyard_lifecycle::{Event, Now, Observation, PodMachine, Request};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::events::EventLog;
use crate::roots::PodDirs;

/// Version of the journal and the snapshot; another one is refused, never guessed at.
const VERSION: u32 = 1;

/// One turn of the event loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Format version.
    #[serde(rename = "v")]
    pub version: u32,
    /// Counts turns from the pod's first one; a snapshot says which turn it includes.
    pub turn: u64,
    /// When it took place.
    pub now: Now,
    /// What had happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observation>,
    /// What was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
}

/// What the journal cannot do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is of another version, or damaged before its last line.
    #[error("`{path}` line {line} is not a turn that this version can read")]
    Unreadable {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Snapshot<M> {
    version: u32,
    /// The last turn that is part of it.
    turn: u64,
    machine: M,
    events: EventLog,
    /// The Pod as of that turn. A snapshot of before pods could be changed has none.
    #[serde(default)]
    pod: Option<Pod>,
}

/// A pod's state as the files have it.
pub struct Restored {
    /// The machine, after the last turn.
    pub machine: PodMachine,
    /// The Events so far.
    pub events: EventLog,
    /// The Pod, if it has been changed since it was accepted.
    pub pod: Option<Pod>,
    /// Open for the next turn.
    pub journal: Journal,
    /// Whether there was any turn at all.
    pub is_new: bool,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    bytes: u64,
    turn: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal and brings the machine to where it stood. `first` makes the machine of a pod that has no snapshot.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or says something this version does not understand.
    pub fn restore(
        dirs: &PodDirs,
        first: impl FnOnce(Now) -> PodMachine,
        now: Now,
    ) -> Result<Restored, JournalError> {
        let path = dirs.journal();
        let io = |what, path: &Path| {
            let path = path.display().to_string();
            move |source| JournalError::Io { what, path, source }
        };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("cannot open", &path))?;
        let turns = read_turns(&mut file, &path)?;
        let snapshot = read_snapshot(&dirs.snapshot())?;

        let (mut machine, mut events, mut pod, mut last);
        match snapshot {
            Some(snapshot) => {
                (machine, events) = (snapshot.machine, snapshot.events);
                (pod, last) = (snapshot.pod, snapshot.turn);
            }
            None => {
                machine = first(turns.first().map_or(now, |turn| turn.now));
                (events, pod, last) = (EventLog::default(), None, 0);
            }
        }
        let is_new = last == 0 && turns.is_empty();
        for turn in turns {
            // A snapshot is written before the journal is emptied; a crash in between leaves turns that it already includes.
            if turn.turn <= last {
                continue;
            }
            let changed = apply(&mut machine, &mut events, &turn);
            pod = changed.or(pod);
            // What a replayed turn decided was begun, or is still in `pending_actions`.
            while machine.next_action().is_some() {}
            last = turn.turn;
        }
        let bytes = file
            .seek(SeekFrom::End(0))
            .map_err(io("cannot read", &path))?;
        let journal = Self {
            file,
            bytes,
            turn: last,
            buffer: Vec::new(),
        };
        Ok(Restored {
            machine,
            events,
            pod,
            journal,
            is_new,
        })
    }

    /// Writes one turn down.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the supervisor must not act then.
    pub fn append(
        &mut self,
        now: Now,
        observations: &[Observation],
        requests: &[Request],
    ) -> std::io::Result<()> {
        self.turn += 1;
        let turn = Turn {
            version: VERSION,
            turn: self.turn,
            now,
            observations: observations.to_vec(),
            requests: requests.to_vec(),
        };
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &turn)?;
        self.buffer.push(b'\n');
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Bytes since the last snapshot.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replaces the turns so far by the machine they led to.
    ///
    /// # Errors
    ///
    /// When a file cannot be written. The journal is whole then, only longer.
    pub fn compact(
        &mut self,
        dirs: &PodDirs,
        machine: &PodMachine,
        events: &EventLog,
        pod: &Pod,
    ) -> std::io::Result<()> {
        let snapshot = serde_json::to_vec(&Snapshot {
            version: VERSION,
            turn: self.turn,
            machine,
            events: events.clone(),
            pod: Some(pod.clone()),
        })?;
        atomic::write_durable(&dirs.snapshot(), &snapshot)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.bytes = 0;
        Ok(())
    }
}

/// Puts one turn through the machine, in the order of the contract: facts, wishes, decision; and collects its Events. Returns the Pod, if the
/// turn has changed it.
pub fn apply(machine: &mut PodMachine, events: &mut EventLog, turn: &Turn) -> Option<Pod> {
    put_through(machine, turn, |event| events.add(event))
}

/// The same, with the Events given to whoever asks.
pub(crate) fn put_through(
    machine: &mut PodMachine,
    turn: &Turn,
    mut tell: impl FnMut(Event),
) -> Option<Pod> {
    for observation in &turn.observations {
        machine.observe(turn.now, observation);
    }
    let mut changed = None;
    for request in &turn.requests {
        // The answer was given, or the one who asked is gone.
        let is_granted = machine.request(turn.now, request).is_ok();
        if let (true, Request::Update { pod }) = (is_granted, request) {
            changed = Some(pod.as_ref());
        }
    }
    machine.advance(turn.now);
    while let Some(event) = machine.next_event() {
        tell(event);
    }
    changed.cloned()
}

/// Every turn on record since the last snapshot, for people who want to know what happened.
///
/// # Errors
///
/// As [`Journal::restore`].
pub fn read(dirs: &PodDirs) -> Result<Vec<Turn>, JournalError> {
    read_file(&dirs.journal())
}

/// The whole turns of a journal file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Turn>, JournalError> {
    let mut file = File::open(path).map_err(|source| JournalError::Io {
        what: "cannot open",
        path: path.display().to_string(),
        source,
    })?;
    parse_turns(&mut file, path).map(|(turns, _)| turns)
}

/// The machine of the last snapshot, and the last turn that is part of it.
pub(crate) fn snapshot(dirs: &PodDirs) -> Result<Option<(PodMachine, u64)>, JournalError> {
    let snapshot = read_snapshot(&dirs.snapshot())?;
    Ok(snapshot.map(|snapshot| (snapshot.machine, snapshot.turn)))
}

fn read_turns(file: &mut File, path: &Path) -> Result<Vec<Turn>, JournalError> {
    let (turns, good) = parse_turns(file, path)?;
    let io = |source| JournalError::Io {
        what: "cannot cut the torn end of",
        path: path.display().to_string(),
        source,
    };
    file.set_len(good).map_err(io)?;
    file.seek(SeekFrom::Start(good)).map_err(io)?;
    Ok(turns)
}

/// The whole turns, and how many bytes they take.
fn parse_turns(file: &mut File, path: &Path) -> Result<(Vec<Turn>, u64), JournalError> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)
        .map_err(|source| JournalError::Io {
            what: "cannot read",
            path: path.display().to_string(),
            source,
        })?;
    let mut turns = Vec::new();
    let mut good = 0;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line.last() != Some(&b'\n') {
            break;
        }
        match serde_json::from_slice::<Turn>(line) {
            Ok(turn) if turn.version == VERSION => turns.push(turn),
            Ok(turn) => {
                let source = serde::de::Error::custom(format!(
                    "version {} instead of {VERSION}",
                    turn.version
                ));
                return Err(JournalError::Unreadable {
                    path: path.display().to_string(),
                    line: index + 1,
                    source,
                });
            }
            Err(source) => {
                return Err(JournalError::Unreadable {
                    path: path.display().to_string(),
                    line: index + 1,
                    source,
                });
            }
        }
        good += line.len() as u64;
    }
    Ok((turns, good))
}

fn read_snapshot(path: &Path) -> Result<Option<Snapshot<PodMachine>>, JournalError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(JournalError::Io {
                what: "cannot read",
                path: path.display().to_string(),
                source,
            });
        }
    };
    let unreadable = |source| JournalError::Unreadable {
        path: path.display().to_string(),
        line: 1,
        source,
    };
    let snapshot: Snapshot<PodMachine> = serde_json::from_slice(&text).map_err(unreadable)?;
    if snapshot.version != VERSION {
        return Err(unreadable(serde::de::Error::custom(format!(
            "version {} instead of {VERSION}",
            snapshot.version
        ))));
    }
    Ok(Some(snapshot))
}

#[cfg(test)]
mod tests {
    use podyard_lifecycle::Settings;

    use super::*;

    fn pod(image: &str, generation: i64) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "default", "uid": "u", "generation": generation},
            "spec": {"containers": [{"name": "a", "image": image}]},
        }))
        .expect("a pod")
    }

    /// Whatever of the files there is: turns alone, a snapshot alone, a snapshot and what came after it, a snapshot and turns that it includes.
    #[test]
    fn a_changed_pod_is_found_again() {
        let root = std::env::temp_dir().join(format!("podyard-journal-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let roots = crate::roots::Roots::resolve(Some(&root)).expect("absolute");
        let dirs = roots.pod("u");
        std::fs::create_dir_all(&dirs.data).expect("a directory");
        let first = |now| PodMachine::new(&pod("one", 1), Settings::default(), now);
        let restore = || Journal::restore(&dirs, first, Now::default()).expect("readable");
        let observed = |restored: &Restored| restored.machine.status().observed_generation;
        let change = |restored: &mut Restored, to: &Pod| {
            let request = Request::Update {
                pod: Box::new(to.clone()),
            };
            restored
                .machine
                .request(Now::default(), &request)
                .expect("granted");
            let requests = [request];
            restored
                .journal
                .append(Now::default(), &[], &requests)
                .expect("written");
        };

        let mut restored = restore();
        assert_eq!((restored.pod.clone(), observed(&restored)), (None, Some(1)));
        change(&mut restored, &pod("two", 2));
        let restored = restore();
        assert_eq!(restored.pod, Some(pod("two", 2)));
        assert_eq!(observed(&restored), Some(2));

        let turns = std::fs::read(dirs.journal()).expect("turns");
        let Restored {
            machine,
            events,
            mut journal,
            ..
        } = restored;
        journal
            .compact(&dirs, &machine, &events, &pod("two", 2))
            .expect("written");
        assert_eq!(restore().pod, Some(pod("two", 2)));
        // A crash between the snapshot and the emptying of the journal.
        std::fs::write(dirs.journal(), turns).expect("written");
        let mut restored = restore();
        assert_eq!(restored.pod, Some(pod("two", 2)));
        change(&mut restored, &pod("three", 3));
        let restored = restore();
        assert_eq!(restored.pod, Some(pod("three", 3)));
        assert_eq!(observed(&restored), Some(3));
        let _ = std::fs::remove_dir_all(&root);
    }
}
