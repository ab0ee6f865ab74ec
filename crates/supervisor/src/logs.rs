//! Reading container logs as the kubelet serves them (`pod-lifecycle.md` section 12): which instance, how much of it, in which form.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use podyard_api::core::{ContainerStatus, Pod};

use crate::cri;

/// What is wanted of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The instance before the newest one.
    pub previous: bool,
    /// Only the last records; a piece of a long line counts as one.
    pub tail: Option<usize>,
    /// Only records at or after this moment, in RFC 3339, UTC, as the log writes it.
    pub since: Option<String>,
    /// Put the time in front of each line.
    pub timestamps: bool,
    /// At most this many bytes of output.
    pub limit_bytes: Option<usize>,
}

/// Why there is no log to read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The kubelet's words for a container without a fitting instance.
    #[error("{0}")]
    NotAvailable(String),
    /// The file cannot be read.
    #[error("cannot read the log `{path}`")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The restart count of the instance whose log is wanted.
///
/// # Errors
///
/// With the kubelet's text, when there is none.
pub fn choose(pod: &Pod, container: &str, previous: bool) -> Result<u32, LogError> {
    let no = |text: String| Err(LogError::NotAvailable(text));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = find_status(pod, container) else {
        let spec = pod.spec.as_ref();
        let known = spec.is_some_and(|spec| {
            crate::translate::containers(spec).any(|known| known.name == container)
        });
        return if known {
            no(format!(
                "container {container:?} in pod {name:?} is waiting to start: ContainerCreating"
            ))
        } else {
            no(format!("container {container} is not valid for pod {name}"))
        };
    };
    let count = u32::try_from(status.restart_count).unwrap_or_default();
    let state = status.state.as_ref();
    let has_instance =
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let has_last = status
        .last_state
        .as_ref()
        .is_some_and(|last| last.terminated.is_some());
    match (previous, has_instance, has_last) {
        (false, true, _) => Ok(count),
        (true, true, true) => Ok(count.saturating_sub(1)),
        // In back-off the newest instance is the last one.
        (_, false, true) => Ok(count),
        (true, _, false) => no(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )),
        (false, false, false) => {
            let reason = state
                .and_then(|state| state.waiting.as_ref())
                .and_then(|waiting| waiting.reason.as_deref());
            let why = match reason {
                Some("ErrImagePull") => "image can't be pulled",
                Some("ImagePullBackOff") => "trying and failing to pull image",
                Some(reason) => reason,
                None => "ContainerCreating",
            };
            no(format!(
                "container {container:?} in pod {name:?} is waiting to start: {why}"
            ))
        }
    }
}

fn find_status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .chain(status.ephemeral_container_statuses.iter().flatten())
        .find(|status| status.name == container)
}

/// The log file of that instance; after a restart of all containers the newest one that exists, since the next has not begun.
#[must_use]
pub fn file(directory: &Path, container: &str, restart_count: u32) -> PathBuf {
    (0..=restart_count)
        .rev()
        .map(|count| directory.join(container).join(format!("{count}.log")))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            directory
                .join(container)
                .join(format!("{restart_count}.log"))
        })
}

/// Reads a whole log.
///
/// # Errors
///
/// When the file cannot be read. A file that does not exist (yet) is an empty log.
pub fn read(path: &Path, options: &LogOptions) -> Result<Vec<u8>, LogError> {
    let mut records = Vec::new();
    match std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut records)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(LogError::Io {
                path: path.display().to_string(),
                source,
            });
        }
    }
    let mut out = Vec::new();
    render(&records, options, &mut out);
    Ok(out)
}

/// Puts records into the wanted form.
pub fn render(records: &[u8], options: &LogOptions, out: &mut Vec<u8>) {
    let lines: Vec<&[u8]> = records
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let wanted: Vec<cri::Record<'_>> = lines
        .iter()
        .filter_map(|line| cri::parse(line))
        .filter(|record| {
            options
                .since
                .as_deref()
                .is_none_or(|since| record.time >= since)
        })
        .collect();
    let skip = options
        .tail
        .map_or(0, |tail| wanted.len().saturating_sub(tail));
    let mut at_line_start = true;
    let limit = options
        .limit_bytes
        .map_or(usize::MAX, |limit| out.len().saturating_add(limit));
    for record in wanted.into_iter().skip(skip) {
        if options.timestamps && at_line_start {
            out.extend_from_slice(record.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(record.text);
        at_line_start = record.ends_line;
        if record.ends_line {
            out.push(b'\n');
        }
        if out.len() >= limit {
            out.truncate(limit);
            return;
        }
    }
}

/// The end of a log for a termination message: at most so many records and so many bytes.
#[must_use]
pub(crate) fn tail(path: &Path, records: usize, bytes: usize) -> String {
    let options = LogOptions {
        tail: Some(records),
        ..LogOptions::default()
    };
    let text = read(path, &options).unwrap_or_default();
    let start = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(&text[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        PodStatus,
    };

    use super::*;

    const LOG: &[u8] = b"2026-01-01T00:00:00.000000001Z stdout F one\n2026-01-01T00:00:01.000000001Z stderr P tw\n\
        2026-01-01T00:00:01.000000002Z stdout F o\n2026-01-01T00:00:02.000000001Z stdout F three\n";

    fn rendered(options: LogOptions) -> String {
        let mut out = Vec::new();
        render(LOG, &options, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn tail_counts_records_and_limits_count_bytes() {
        let base = LogOptions::default;
        assert_eq!(rendered(base()), "one\ntwo\nthree\n");
        assert_eq!(
            rendered(LogOptions {
                tail: Some(2),
                ..base()
            }),
            "o\nthree\n"
        );
        assert_eq!(
            rendered(LogOptions {
                tail: Some(0),
                ..base()
            }),
            ""
        );
        assert_eq!(
            rendered(LogOptions {
                limit_bytes: Some(5),
                ..base()
            }),
            "one\nt"
        );
        assert_eq!(
            rendered(LogOptions {
                since: Some("2026-01-01T00:00:02".to_owned()),
                ..base()
            }),
            "three\n"
        );
        assert!(
            rendered(LogOptions {
                timestamps: true,
                ..base()
            })
            .starts_with("2026-01-01T00:00:00.000000001Z one\n2026")
        );
    }

    fn pod(state: ContainerState, last: Option<ContainerState>, restart_count: i32) -> Pod {
        let status = ContainerStatus {
            name: "c".to_owned(),
            state: Some(state),
            last_state: last,
            restart_count,
            ..ContainerStatus::default()
        };
        let mut pod = Pod {
            status: Some(PodStatus {
                container_statuses: Some(vec![status]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        };
        pod.metadata.name = Some("p".to_owned());
        pod
    }

    #[test]
    fn the_instance_is_chosen_as_the_kubelet_does() {
        let running = || ContainerState {
            running: Some(ContainerStateRunning::default()),
            ..ContainerState::default()
        };
        let ended = || ContainerState {
            terminated: Some(ContainerStateTerminated::default()),
            ..ContainerState::default()
        };
        let waiting = |reason: &str| ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(reason.to_owned()),
                message: None,
            }),
            ..ContainerState::default()
        };
        let chosen =
            |pod: &Pod, previous| choose(pod, "c", previous).map_err(|error| error.to_string());
        assert_eq!(chosen(&pod(running(), Some(ended()), 2), false), Ok(2));
        assert_eq!(chosen(&pod(running(), Some(ended()), 2), true), Ok(1));
        let in_backoff = pod(waiting("CrashLoopBackOff"), Some(ended()), 2);
        assert_eq!(
            (chosen(&in_backoff, false), chosen(&in_backoff, true)),
            (Ok(2), Ok(2))
        );
        let text = chosen(&pod(running(), None, 0), true).expect_err("no previous");
        assert_eq!(
            text,
            "previous terminated container \"c\" in pod \"p\" not found"
        );
        let text = chosen(&pod(waiting("ErrImagePull"), None, 0), false).expect_err("nothing yet");
        assert_eq!(
            text,
            "container \"c\" in pod \"p\" is waiting to start: image can't be pulled"
        );
    }
}
