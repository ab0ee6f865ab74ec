//! Everything that ends a command early: what a person reads, and which exit code it means.
//!
//! A message says its own layer: what was attempted, on what. Causes are sources and are printed once, below it. What to try next is in
//! [`crate::hints`].

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::exit_code::ExitCode;
use crate::hints;
use crate::output::escape::one_line;
use crate::output::style::{Palette, Tone};

/// A boxed cause from another crate.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Flags or arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Manifests with errors in them, described already, each with its place.
    #[error("{count} {} in the manifest", if *.count == 1 { "error" } else { "errors" })]
    Manifest {
        /// The descriptions, ready to print.
        rendered: String,
        /// How many.
        count: usize,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No such pod.
    #[error("pod `{name}` not found in namespace `{namespace}`")]
    PodNotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The pod has no container of this name.
    #[error("pod `{pod}` has no container `{container}`; it has {}", .known.join(", "))]
    ContainerNotFound {
        /// The pod.
        pod: String,
        /// What was asked for.
        container: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Something else that does not exist; the text says what.
    #[error("{0}")]
    NotFound(String),
    /// A pod of this name that has not ended.
    #[error("pod `{name}` exists already in namespace `{namespace}` and has not ended")]
    AlreadyExists {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The machine or the user cannot do it.
    #[error("{what}")]
    Host {
        /// What cannot be done.
        what: String,
        /// Why.
        source: Option<Cause>,
    },
    /// It did not work.
    #[error("{what}")]
    Failed {
        /// What was attempted.
        what: String,
        /// Why it did not work.
        source: Option<Cause>,
    },
    /// The reader of stdout has gone.
    #[error("nobody reads the output any more")]
    BrokenPipe,
}

impl CliError {
    /// `what` did not work because of `source`. A full disk and missing privileges are the machine's fault, wherever they show.
    pub(crate) fn failed(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        let source = source.into();
        let what = what.into();
        if hints::is_host_trouble(source.as_ref()) {
            return Self::Host {
                what,
                source: Some(source),
            };
        }
        Self::Failed {
            what,
            source: Some(source),
        }
    }

    /// `what` did not work, and says why itself.
    pub(crate) fn plain(what: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            source: None,
        }
    }

    /// What to return to the shell.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Manifest { .. } => ExitCode::Usage,
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExitCode::NotFound
            }
            Self::PodNotFound { .. } | Self::ContainerNotFound { .. } | Self::NotFound(_) => {
                ExitCode::NotFound
            }
            Self::AlreadyExists { .. } => ExitCode::AlreadyExists,
            Self::Host { .. } => ExitCode::Host,
            Self::File { .. } | Self::Failed { .. } => ExitCode::Failure,
            // As with `head`: who has seen enough is not told about an error.
            Self::BrokenPipe => ExitCode::Success,
        }
    }

    /// Prints the message, its causes and a hint on stderr.
    pub(crate) fn report(&self, palette: Palette) {
        if matches!(self, Self::BrokenPipe) {
            return;
        }
        // If stderr is gone, there is nobody left to tell.
        let _ = io::stderr()
            .lock()
            .write_all(self.describe(palette).as_bytes());
    }

    /// The text of [`Self::report`].
    fn describe(&self, palette: Palette) -> String {
        let mut text = String::new();
        if let Self::Manifest { rendered, .. } = self {
            text.push_str(rendered.trim_end());
            text.push('\n');
        }
        let error = palette.paint(Tone::Bad, "error:");
        text.push_str(&format!("{error} {}\n", one_line(&self.to_string())));
        let mut said = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some libraries repeat their cause in their own text; once is enough.
            if !said.ends_with(&message) {
                text.push_str(&format!(
                    "  {} {}\n",
                    palette.paint(Tone::Quiet, "because:"),
                    one_line(&message)
                ));
            }
            said = message;
            cause = error.source();
        }
        if let Some(hint) = hints::hint(self) {
            text.push_str(&format!(
                "{} {hint}\n",
                palette.paint(Tone::Active, "hint:")
            ));
        }
        text
    }
}

impl From<io::Error> for CliError {
    /// Only for writing to stdout; every other file error knows its path.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::failed("cannot write to stdout", error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_try() {
        let error = CliError::File {
            path: "pod.yaml".into(),
            source: io::Error::from_raw_os_error(2),
        };
        assert_eq!(
            error.describe(Palette::new(false)),
            "error: cannot read `pod.yaml`\n  because: No such file or directory (os error 2)\nhint: the path is relative to the current directory; `-` reads stdin\n"
        );
        assert_eq!(error.exit_code(), ExitCode::NotFound);
    }

    #[test]
    fn a_repeated_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: inner")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("inner")]
        struct Inner;
        let text = CliError::failed("it", Outer(Inner)).describe(Palette::new(false));
        assert_eq!(text, "error: it\n  because: outer: inner\n");
    }

    #[test]
    fn what_the_machine_refuses_has_its_own_code() {
        for errno in [
            rustix::io::Errno::PERM,
            rustix::io::Errno::NOSPC,
            rustix::io::Errno::ACCESS,
        ] {
            let error = CliError::failed("it", io::Error::from(errno));
            assert_eq!(error.exit_code(), ExitCode::Host, "{errno}");
            assert!(hints::hint(&error).is_some(), "{errno}");
        }
        assert_eq!(
            CliError::failed("it", io::Error::other("x")).exit_code(),
            ExitCode::Failure
        );
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit_code(), ExitCode::Success);
    }
}
