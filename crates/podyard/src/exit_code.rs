//! Every exit code of podyard, in one place. `docs/exit-codes.md` is printed from here.

use std::process;

/// How a command ended, as its exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// Done; of a pod in the foreground: it succeeded.
    Success,
    /// The operation or the pod failed, and no more precise code applies.
    Failure,
    /// The command line or the manifest is wrong.
    Usage,
    /// The named pod, container or image does not exist.
    NotFound,
    /// A pod of this name exists already.
    AlreadyExists,
    /// This machine, or this user on it, cannot do what was asked.
    Host,
    /// `exec`: the command cannot be executed.
    NotExecutable,
    /// `exec`: there is no such command.
    NoSuchCommand,
    /// Ended by a signal to podyard itself, with the signal's number.
    Signal(u8),
    /// The workload's own exit code: of a pod in the foreground, or of the command of `exec`.
    Workload(u8),
}

impl ExitCode {
    /// The number the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::AlreadyExists => 4,
            Self::Host => 5,
            Self::NotExecutable => 126,
            Self::NoSuchCommand => 127,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
            Self::Workload(code) => code,
        }
    }

    /// The code of a workload's end. What does not fit into eight bits, or claims success where there was none, is a failure.
    pub(crate) fn of_workload(code: i32) -> Self {
        u8::try_from(code).map_or(Self::Failure, Self::Workload)
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// The table for people: number, when, what to look at.
pub(crate) const TABLE: &[(&str, &str)] = &[
    (
        "0",
        "Done. `run` in the foreground: every pod succeeded, every job is complete. `run -d`: the pods were accepted and their supervisors run.",
    ),
    (
        "1",
        "The operation failed. `run`: a pod or a job failed without an exit code of a container to pass on (as when its deadline comes before a container has started), or somebody else deleted it. `check`: something was found.",
    ),
    (
        "2",
        "The command line or the manifest is wrong; nothing was started.",
    ),
    (
        "3",
        "Not found: no such pod, container, previous instance, image or file.",
    ),
    ("4", "A pod of this name exists already and has not ended."),
    (
        "5",
        "This machine cannot do it: no privileges, a kernel feature is missing, a full disk.",
    ),
    ("126", "`exec`: the command exists, but cannot be executed."),
    ("127", "`exec`: there is no such command in the container."),
    ("129", "Ended by SIGHUP; `run` deleted the pod first."),
    ("130", "Ended by Ctrl-C; `run` deleted the pod first."),
    ("143", "Ended by SIGTERM; `run` deleted the pod first."),
    (
        "other",
        "`run` in the foreground: the exit code of the first container that failed, in the order of the manifest, init containers first; of several pods, that of the first that failed; of a job that failed, that of the pod that failed last. `exec`: the exit code of the command. 128 + n stands for signal n.",
    ),
];

/// The table as `podyard run --help` shows it.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in TABLE {
        text.push_str(&format!("  {code:>5}  {}\n", meaning.replace('`', "")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document is this table: a code cannot be added without being explained.
    fn document() -> String {
        let mut text = String::from(
            "# Exit codes\n\n\
             What `podyard` returns to the shell. A pod in the foreground and the command of `exec` pass their own exit code on, so any\n\
             number can also be the workload's; the last line on stderr says which it was.\n\n\
             | Code | Meaning |\n|---|---|\n",
        );
        for (code, meaning) in TABLE {
            text.push_str(&format!("| {code} | {meaning} |\n"));
        }
        text
    }

    #[test]
    fn the_document_is_printed_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exit-codes.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).expect("docs can be written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "run the tests with UPDATE_DOCS=1");
    }

    #[test]
    fn every_code_of_ours_is_in_the_table() {
        let ours = [
            ExitCode::Success,
            ExitCode::Failure,
            ExitCode::Usage,
            ExitCode::NotFound,
            ExitCode::AlreadyExists,
            ExitCode::Host,
            ExitCode::NotExecutable,
            ExitCode::NoSuchCommand,
            ExitCode::Signal(1),
            ExitCode::Signal(2),
            ExitCode::Signal(15),
        ];
        for code in ours {
            let number = code.number().to_string();
            assert!(
                TABLE.iter().any(|(listed, _)| *listed == number),
                "{code:?} is {number}"
            );
        }
    }

    #[test]
    fn a_workload_passes_its_code_on() {
        assert_eq!(ExitCode::of_workload(137).number(), 137);
        assert_eq!(ExitCode::of_workload(-1), ExitCode::Failure);
        assert_eq!(ExitCode::of_workload(70_000), ExitCode::Failure);
    }
}
