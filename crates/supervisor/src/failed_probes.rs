//! What failing probes said and how long they took: Events keep only the newest text, and none of the times.

use std::fs::OpenOptions;
use std::io::Write as _;

use podyard_lifecycle::ProbeKind;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::roots::PodDirs;

/// One failing round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedProbe {
    /// When it ended, RFC 3339.
    pub at: String,
    /// The container.
    pub container: String,
    /// Which of its probes.
    pub kind: ProbeKind,
    /// Which round of the instance.
    pub round: u32,
    /// From its begin to its end, tries included.
    pub took_seconds: f64,
    /// A probe that could not be made does not count as a failure of the workload.
    pub counted: bool,
    /// What the handler said, at most 10 KiB.
    pub output: String,
}

/// Keeps one more; the older half goes when there is too much.
pub(crate) fn append(dirs: &PodDirs, failed: &FailedProbe) -> std::io::Result<()> {
    let path = dirs.failed_probes();
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    if file.metadata()?.len() > limits::FAILED_PROBES_BYTES {
        std::fs::rename(&path, dirs.older_failed_probes())?;
        file = OpenOptions::new().create(true).append(true).open(&path)?;
    }
    let mut line = serde_json::to_vec(failed)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// All that are kept, oldest first.
#[must_use]
pub(crate) fn read(dirs: &PodDirs) -> Vec<FailedProbe> {
    let texts = [dirs.older_failed_probes(), dirs.failed_probes()]
        .map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = texts.iter().flat_map(|text| text.lines());
    // A line that a full disk cut short is skipped.
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
