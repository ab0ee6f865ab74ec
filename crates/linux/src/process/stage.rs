//! What the set-up of a container consists of, how a failed step is reported, and the record it leaves on disk.
//!
//! The child has no heap, so a report is a fixed packet: it goes to the parent over the launch channel and, the same
//! bytes, to the launch record, so that a supervisor that was not there can read it later.
//!
//! ```text
//! offset 0     4       5       6      8        12       16            18
//!        "pdy1" kind   stage   0      errno    detail   subject size  subject (at most 200 bytes)
//! ```

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

const MAGIC: [u8; 4] = *b"pdy1";
const HEADER: usize = 18;
/// How much of a path or name a report carries: enough to recognise it, small enough for one atomic write.
const SUBJECT_LIMIT: usize = 200;
/// The longest report.
pub(crate) const REPORT_LIMIT: usize = HEADER + SUBJECT_LIMIT;

/// A step of setting up a sandbox or container, in roughly the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Stage {
    /// The process was made but ended without a word: killed from outside, most likely.
    Vanished = 0,
    /// Leaving the caller's session, descriptors and signal dispositions behind.
    Isolate = 1,
    /// Entering the cgroup.
    Cgroup = 2,
    /// Setting `oom_score_adj`.
    OomScoreAdj = 3,
    /// Making the root filesystem; the subject is the layer or directory.
    Rootfs = 4,
    /// Opening what a mount shows; the subject is the source.
    MountSource = 5,
    /// Joining the namespaces of the sandbox or container.
    JoinNamespaces = 6,
    /// Making new mount and cgroup namespaces.
    NewNamespaces = 7,
    /// Finding or making the place of a mount; the subject is its destination.
    MountTarget = 8,
    /// Mounting; the subject is the destination.
    Mount = 9,
    /// Making a device node; the subject is its name.
    Device = 10,
    /// Hiding a path; the subject is the path.
    MaskPath = 11,
    /// Making a path read-only; the subject is the path.
    ReadonlyPath = 12,
    /// Changing into the new root.
    ChangeRoot = 13,
    /// Entering the working directory; the subject is the directory.
    WorkingDirectory = 14,
    /// Making the terminal.
    Terminal = 15,
    /// Connecting standard input, output and error.
    Stdio = 16,
    /// Setting a resource limit; the detail is its number.
    ResourceLimit = 17,
    /// Leaving the caller's keyring.
    Keyring = 18,
    /// Writing the launch record.
    Record = 19,
    /// Loading the seccomp filter.
    Seccomp = 20,
    /// Changing user and groups.
    Identity = 21,
    /// Changing capabilities.
    Capabilities = 22,
    /// Finding the program; the subject is `args[0]`.
    FindProgram = 23,
    /// Executing the program that was found; the subject is its path.
    Execute = 24,
    /// Setting host or domain name; the subject is the name.
    Hostname = 25,
    /// Setting a sysctl; the subject is its file below `/proc/sys`.
    Sysctl = 26,
    /// Setting AppArmor profile or SELinux context; the subject is its name.
    SecurityLabel = 27,
}

impl Stage {
    const ALL: [Self; 28] = [
        Self::Vanished,
        Self::Isolate,
        Self::Cgroup,
        Self::OomScoreAdj,
        Self::Rootfs,
        Self::MountSource,
        Self::JoinNamespaces,
        Self::NewNamespaces,
        Self::MountTarget,
        Self::Mount,
        Self::Device,
        Self::MaskPath,
        Self::ReadonlyPath,
        Self::ChangeRoot,
        Self::WorkingDirectory,
        Self::Terminal,
        Self::Stdio,
        Self::ResourceLimit,
        Self::Keyring,
        Self::Record,
        Self::Seccomp,
        Self::Identity,
        Self::Capabilities,
        Self::FindProgram,
        Self::Execute,
        Self::Hostname,
        Self::Sysctl,
        Self::SecurityLabel,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// What was attempted, to stand behind "could not".
    const fn attempt(self) -> &'static str {
        match self {
            Self::Vanished => "finish setting up",
            Self::Isolate => "leave the caller's session",
            Self::Cgroup => "enter the cgroup",
            Self::OomScoreAdj => "set oom_score_adj",
            Self::Rootfs => "make the root filesystem",
            Self::MountSource => "open the source of a mount",
            Self::JoinNamespaces => "join the namespaces",
            Self::NewNamespaces => "make new namespaces",
            Self::MountTarget => "prepare the mount point",
            Self::Mount => "mount",
            Self::Device => "make the device",
            Self::MaskPath => "mask",
            Self::ReadonlyPath => "make read-only",
            Self::ChangeRoot => "change into the root filesystem",
            Self::WorkingDirectory => "enter the working directory",
            Self::Terminal => "make a terminal",
            Self::Stdio => "connect standard input and output",
            Self::ResourceLimit => "set the resource limit",
            Self::Keyring => "join a new keyring",
            Self::Record => "write the launch record",
            Self::Seccomp => "load the seccomp filter",
            Self::Identity => "change user and groups",
            Self::Capabilities => "change capabilities",
            Self::FindProgram => "find the program",
            Self::Execute => "execute",
            Self::Hostname => "set the host name",
            Self::Sysctl => "set the sysctl",
            Self::SecurityLabel => "apply the security profile",
        }
    }
}

/// A step of the set-up that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    /// Which one.
    pub stage: Stage,
    /// The system's error number; 0 when none applies.
    pub errno: i32,
    /// Position in the plan's list for steps that go through one (mounts, paths, limits, devices), otherwise 0.
    pub detail: u32,
    /// The path or name it was about, cut to 200 bytes; empty when there is none.
    pub subject: String,
}

impl StageError {
    pub(crate) const fn vanished() -> Self {
        Self {
            stage: Stage::Vanished,
            errno: 0,
            detail: 0,
            subject: String::new(),
        }
    }

    /// The text container runtimes use and people search for, where there is one; otherwise as `Display`.
    ///
    /// For a program that does not exist this is `exec: "x": executable file not found in $PATH` for a bare name and
    /// `exec: "/x": stat /x: no such file or directory` for a path.
    #[must_use]
    pub fn oci_text(&self) -> String {
        let subject = &self.subject;
        match (self.stage, Errno::from_raw_os_error(self.errno)) {
            (Stage::FindProgram, _) if !subject.contains('/') => {
                format!("exec: \"{subject}\": executable file not found in $PATH")
            }
            (Stage::FindProgram, Errno::ACCESS) => {
                format!("exec: \"{subject}\": permission denied")
            }
            (Stage::FindProgram, Errno::ISDIR) => format!("exec: \"{subject}\": is a directory"),
            (Stage::FindProgram, _) => {
                format!("exec: \"{subject}\": stat {subject}: {}", self.cause())
            }
            (Stage::Execute, _) => format!("exec {subject}: {}", self.cause()),
            (Stage::WorkingDirectory, _) => {
                format!("chdir to cwd (\"{subject}\") failed: {}", self.cause())
            }
            (Stage::Mount | Stage::MountTarget | Stage::MountSource, _) => {
                format!("error mounting \"{subject}\": {}", self.cause())
            }
            _ => self.to_string(),
        }
    }

    /// The system's words for the error number, in lower case, without the number.
    fn cause(&self) -> String {
        let text = io::Error::from_raw_os_error(self.errno).to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        let mut letters = text.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(letters).collect()
        })
    }

    /// Reads a packet, given without anything after it.
    fn decode(report: &[u8]) -> Option<Report> {
        let header = report.get(..HEADER)?;
        if header[..4] != MAGIC {
            return None;
        }
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let size = usize::from(u16::from_le_bytes([header[16], header[17]]));
        let subject = report.get(HEADER..HEADER + size)?;
        let kind = match header[4] {
            1 => ReportKind::Ready,
            2 => ReportKind::Started,
            3 => ReportKind::Failed(Self {
                stage: Stage::from_number(header[5])?,
                errno: i32::from_le_bytes(word(8).to_le_bytes()),
                detail: word(12),
                subject: String::from_utf8_lossy(subject).into_owned(),
            }),
            4 => ReportKind::Terminal,
            _ => return None,
        };
        Some(Report {
            kind,
            size: HEADER + size,
        })
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.stage.attempt())?;
        if self.stage == Stage::ResourceLimit {
            write!(f, " number {}", self.detail)?;
        }
        if !self.subject.is_empty() {
            write!(f, " `{}`", self.subject)?;
        }
        match self.stage {
            Stage::Vanished => write!(f, ": the process ended before it was ready"),
            _ if self.errno == 0 => Ok(()),
            _ => write!(f, ": {}", self.cause()),
        }
    }
}

impl std::error::Error for StageError {}

/// A decoded packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) kind: ReportKind,
    size: usize,
}

/// What a packet says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReportKind {
    /// Everything is set up; the child waits at the barrier.
    Ready,
    /// The barrier is open, the program is about to be executed.
    Started,
    /// A step failed.
    Failed(StageError),
    /// The terminal's master side travels with this packet.
    Terminal,
}

/// Reads one packet as it came from the channel.
pub(crate) fn decode_report(packet: &[u8]) -> Option<ReportKind> {
    StageError::decode(packet).map(|report| report.kind)
}

/// A failure in the child: no heap, borrowed text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'p> {
    pub(crate) stage: Stage,
    pub(crate) errno: Errno,
    pub(crate) detail: u32,
    pub(crate) subject: Option<&'p CStr>,
}

/// Names the step an error belongs to. Usable in the child: moves plain data, nothing else.
pub(crate) trait InStage<T> {
    /// A step without an object.
    fn during<'p>(self, stage: Stage) -> Result<T, Failure<'p>>;
    /// A step about `subject`, at position `detail` of the plan.
    fn on(self, stage: Stage, detail: usize, subject: &CStr) -> Result<T, Failure<'_>>;
}

impl<T> InStage<T> for Result<T, Errno> {
    fn during<'p>(self, stage: Stage) -> Result<T, Failure<'p>> {
        self.map_err(|errno| Failure {
            stage,
            errno,
            detail: 0,
            subject: None,
        })
    }

    fn on(self, stage: Stage, detail: usize, subject: &CStr) -> Result<T, Failure<'_>> {
        let detail = u32::try_from(detail).unwrap_or(u32::MAX);
        self.map_err(|errno| Failure {
            stage,
            errno,
            detail,
            subject: Some(subject),
        })
    }
}

/// Kinds of packets without content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Ready = 1,
    Started = 2,
    Terminal = 4,
}

/// Writes a packet without content into `buffer`.
pub(crate) fn encode_signal(signal: Signal, buffer: &mut [u8; REPORT_LIMIT]) -> &[u8] {
    buffer[..HEADER].fill(0);
    buffer[..4].copy_from_slice(&MAGIC);
    buffer[4] = signal as u8;
    &buffer[..HEADER]
}

/// Writes a failure into `buffer`. Runs in the child.
pub(crate) fn encode_failure<'b>(
    failure: &Failure<'_>,
    buffer: &'b mut [u8; REPORT_LIMIT],
) -> &'b [u8] {
    let subject = failure.subject.map_or(&[][..], CStr::to_bytes);
    let size = subject.len().min(SUBJECT_LIMIT);
    buffer[..HEADER].fill(0);
    buffer[..4].copy_from_slice(&MAGIC);
    buffer[4] = 3;
    buffer[5] = failure.stage as u8;
    buffer[8..12].copy_from_slice(&failure.errno.raw_os_error().to_le_bytes());
    buffer[12..16].copy_from_slice(&failure.detail.to_le_bytes());
    buffer[16..18].copy_from_slice(&u16::try_from(size).unwrap_or(0).to_le_bytes());
    buffer[HEADER..HEADER + size].copy_from_slice(&subject[..size]);
    &buffer[..HEADER + size]
}

/// How far a launch got, as its record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchRecord {
    /// The program has not been executed, and will not be if the process is gone.
    NotStarted,
    /// The barrier was opened and execution was about to begin. The program ran, unless the process was killed in the
    /// microseconds between.
    Started,
    /// A step failed; the program never ran.
    Failed(StageError),
}

/// Reads what the child of a launch wrote into its record.
///
/// Anything unreadable after a readable beginning is ignored: a record is at worst cut short by a full disk.
///
/// # Errors
/// When the file cannot be read.
pub fn read_launch_record(file: &File) -> io::Result<LaunchRecord> {
    let mut content = [0_u8; 4 * REPORT_LIMIT];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut rest = &content[..filled];
    let mut record = LaunchRecord::NotStarted;
    while let Some(report) = StageError::decode(rest) {
        rest = &rest[report.size..];
        match report.kind {
            ReportKind::Started => record = LaunchRecord::Started,
            ReportKind::Failed(error) => return Ok(LaunchRecord::Failed(error)),
            ReportKind::Ready | ReportKind::Terminal => {}
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stage: Stage, errno: Errno, subject: &'static CStr) -> StageError {
        let failure = Failure {
            stage,
            errno,
            detail: 0,
            subject: Some(subject),
        };
        let mut buffer = [0; REPORT_LIMIT];
        match decode_report(encode_failure(&failure, &mut buffer)) {
            Some(ReportKind::Failed(error)) => error,
            other => panic!("not a failure: {other:?}"),
        }
    }

    #[test]
    fn stages_are_numbered_by_their_place() {
        for (place, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, place, "{stage:?}");
        }
    }

    #[test]
    fn texts_are_those_of_the_runtimes() {
        let check = |error: StageError, expected: &str| assert_eq!(error.oci_text(), expected);
        check(
            failure(Stage::FindProgram, Errno::NOENT, c"nope"),
            "exec: \"nope\": executable file not found in $PATH",
        );
        check(
            failure(Stage::FindProgram, Errno::NOENT, c"/nope"),
            "exec: \"/nope\": stat /nope: no such file or directory",
        );
        check(
            failure(Stage::FindProgram, Errno::ACCESS, c"/data"),
            "exec: \"/data\": permission denied",
        );
        check(
            failure(Stage::Execute, Errno::NOEXEC, c"/bin/x"),
            "exec /bin/x: exec format error",
        );
    }

    #[test]
    fn display_names_step_object_and_cause() {
        let error = failure(Stage::MountSource, Errno::NOENT, c"/srv/data");
        assert_eq!(
            error.to_string(),
            "could not open the source of a mount `/srv/data`: no such file or directory"
        );
        assert_eq!(
            StageError::vanished().to_string(),
            "could not finish setting up: the process ended before it was ready"
        );
    }

    #[test]
    fn long_subjects_are_cut() {
        let long = std::ffi::CString::new(vec![b'a'; 5000]).expect("no NUL");
        let failure = Failure {
            stage: Stage::Mount,
            errno: Errno::IO,
            detail: 7,
            subject: Some(&long),
        };
        let mut buffer = [0; REPORT_LIMIT];
        let packet = encode_failure(&failure, &mut buffer);
        let Some(ReportKind::Failed(error)) = decode_report(packet) else {
            panic!("not a failure");
        };
        assert_eq!((error.subject.len(), error.detail), (SUBJECT_LIMIT, 7));
    }

    #[test]
    fn records_tell_how_far_a_launch_got() {
        use std::io::Write;
        let mut file = tempfile::tempfile().expect("a file");
        assert_eq!(
            read_launch_record(&file).expect("read"),
            LaunchRecord::NotStarted
        );
        let mut buffer = [0; REPORT_LIMIT];
        file.write_all(encode_signal(Signal::Started, &mut buffer))
            .expect("write");
        assert_eq!(
            read_launch_record(&file).expect("read"),
            LaunchRecord::Started
        );
        let failed = Failure {
            stage: Stage::Execute,
            errno: Errno::NOEXEC,
            detail: 0,
            subject: Some(c"/x"),
        };
        file.write_all(encode_failure(&failed, &mut buffer))
            .expect("write");
        file.write_all(b"pdy1 cut").expect("write");
        let LaunchRecord::Failed(error) = read_launch_record(&file).expect("read") else {
            panic!("the failure counts");
        };
        assert_eq!(error.stage, Stage::Execute);
    }
}
