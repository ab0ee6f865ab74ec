//! Every bound of the supervisor, with its reason and what happens when it is reached.

use std::time::Duration;

/// A supervisor that ran this long was healthy: when it dies, the next one starts at once.
pub const SUPERVISOR_HEALTHY_AFTER: Duration = Duration::from_secs(5);
/// The wait before the next supervisor when one died young; doubles up to [`SUPERVISOR_RESTART_MAX`].
pub const SUPERVISOR_RESTART_FIRST: Duration = Duration::from_millis(20);
/// The longest wait before the next supervisor.
pub const SUPERVISOR_RESTART_MAX: Duration = Duration::from_secs(10);

/// The wait before lines are tried again that could not be written, as on a full disk.
pub const LOG_RETRY: Duration = Duration::from_secs(1);

/// How long a new supervisor waits for a child that was setting itself up when the last supervisor died. It takes milliseconds; only a
/// kernel in trouble needs this long, and the start is begun again then all the same.
pub const LAUNCH_PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait for the keeper to write down the end of a process that is its child. Only reached when nobody will: the keeper is gone
/// too, and the kernel does not keep exit codes (before 6.15).
pub const KEEPER_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks meanwhile.
pub const KEEPER_PAUSE: Duration = Duration::from_millis(1);

/// Who waits for a deadline looks at the clock at least this often, so that a machine that slept does not oversleep it.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// After this many turns without a pause the loop tells what happened and lets everybody else have a turn: a driver that answers at once,
/// again and again, must not silence the pod.
pub const UNTOLD_TURNS: u32 = 16;

/// A keeper to whom nothing happens for so long gives back what memory it can do without.
pub const REST_AFTER: Duration = Duration::from_secs(10);

/// Of its processor time a supervisor spends at most one part in so many on putting status and Events into words: they name every
/// container, so that a pod with a hundred of them would do little else while they start …
pub const PUBLICATION_SHARE: u32 = 50;
/// … but nothing is kept back for longer than this.
pub const PUBLICATIONS_APART: Duration = Duration::from_millis(50);

/// Size asked for each output pipe, in bytes: at full speed a reader that pauses for 10 ms must not stop the writer.
pub const LOG_PIPE_BYTES: usize = 1 << 20;
/// How much of one pipe is moved before the other pipes get their turn.
pub const LOG_CHUNK_BYTES: usize = 256 << 10;
/// A longer line is cut into `P` records of this many bytes, as containerd does.
pub const LOG_LINE_BYTES: usize = 16 << 10;

/// A log of a running container that is longer than this is put aside (`pod-lifecycle.md` section 12).
pub const LOG_FILE_BYTES: u64 = 10 << 20;
/// So many files are kept of an instance's log, the current one included; the oldest go.
pub const LOG_FILES: usize = 5;

/// The last bytes of a termination message that are kept (`pod-lifecycle.md` section 8.8).
pub const TERMINATION_MESSAGE_BYTES: u64 = 4096;
/// `FallbackToLogsOnError` looks at this many log records …
pub const FALLBACK_LOG_RECORDS: usize = 80;
/// … and keeps this many of their last bytes.
pub const FALLBACK_LOG_BYTES: usize = 2048;

/// After this many bytes the journal is replaced by a snapshot, so that recovery does not grow with a pod's age.
pub const JOURNAL_BYTES: u64 = 1 << 20;
/// How often one supervisor lets the spec of its pod be changed: it keeps every version. One more is refused, and the next supervisor
/// begins to count anew.
pub const POD_CHANGES: usize = 1_000;
/// What was printed last on a terminal, kept for whoever attaches to it: a prompt, and how it came to it.
pub const TERMINAL_RECENT_BYTES: usize = 4096;
/// So many pieces of output wait for somebody who is attached and does not read; then they go without.
pub const ATTACHED_PIECES: usize = 256;
/// The largest object or patch that the socket reads, as of the API server.
pub const REQUEST_BYTES: usize = 3 << 20;
/// Distinct Events kept for one pod; the oldest go first.
pub const EVENTS: usize = 1000;

/// Killed processes leave their cgroup within this time, unless they hang in the kernel; then the directory stays and is complained about.
pub const CGROUP_PATIENCE: Duration = Duration::from_secs(2);
/// Removing the cgroups of ended containers waits until none has started for so long.
pub const CALM: Duration = Duration::from_millis(100);
/// As long as they are not more than these: a container that ends and starts again and again leaves no calm.
pub const EMPTIED_CGROUPS: usize = 256;

/// A pod's cgroup `pids.max` is left to the machine, as the kubelet does by default; its sandbox's /dev/shm has this size.
pub const SHM_BYTES: u64 = 64 << 20;

/// Outputs of failing probes that are kept, and as much again of older ones.
pub const FAILED_PROBES_BYTES: u64 = 256 << 10;

/// A file of variables (`fileKeyRef`) over this size counts as malformed: the supervisor reads it while others wait.
pub const ENV_FILE_BYTES: u64 = 1 << 20;
