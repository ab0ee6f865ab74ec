//! The table of all checks. What `docs/checks.md` says is printed from here.

use crate::checks;
use crate::finding::Severity;

/// One check.
pub struct Check {
    /// Its name, which never changes: `init-writes-unread-path`.
    pub id: &'static str,
    /// How bad what it finds is.
    pub severity: Severity,
    /// What it finds, in one line.
    pub title: &'static str,
    /// What happens, and why that is not what was meant.
    pub explanation: &'static str,
    /// What to do.
    pub fix: &'static str,
    pub(crate) run: fn(&mut checks::Report<'_>),
}

impl std::fmt::Debug for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.id)
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// All of them, in the order in which they are reported for one place.
pub static CHECKS: &[&Check] = &[
    &checks::unread::UNREAD_PATH,
    &checks::flow::UNWRITTEN_PATH,
    &checks::flow::VOLUME_UNREAD,
    &checks::flow::WRITE_LOST,
    &checks::mounts::READ_ONLY,
    &checks::mounts::ALWAYS_EMPTY,
    &checks::mounts::HIDES_FILES,
    &checks::mounts::SUB_PATH,
    &checks::users::NOT_FOR_APP,
    &checks::endless::INIT,
    &checks::endless::WAIT,
    &checks::endless::JOB,
    &checks::endless::SIGNALS,
    &checks::order::NOT_AWAITED,
    &checks::order::LATER,
    &checks::order::NEVER,
    &checks::words::LITERAL,
    &checks::words::NO_SHELL,
    &checks::words::ONE_WORD,
    &checks::words::IGNORED,
    &checks::usage::LATEST,
    &checks::usage::REQUESTS,
    &checks::usage::SECRET,
    &checks::UNKNOWN_ID,
];

/// The check of this name.
#[must_use]
pub fn check(id: &str) -> Option<&'static Check> {
    CHECKS.iter().copied().find(|check| check.id == id)
}

/// The document about them.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Checks\n\n\
         `podyard check FILE…` finds what is valid in a manifest and still does not do what its author meant: what the API server\n\
         accepts, a cluster runs, and somebody then looks for an hour. It starts nothing, reads nothing but the files, and looks at\n\
         Pods and at the templates of Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs. It reads the shell scripts\n\
         in them too; about a script that it cannot read, or a program that it does not know, it says nothing.\n\n\
         ```console\n\
         $ podyard check examples/init-config.yaml\n\
         ```\n\n\
         | Option | |\n|---|---|\n\
         | `--severity LEVEL` | report from this level on: `remark`, `warning` (default) or `error` |\n\
         | `--fail-on LEVEL` | exit with 1 from this level on: `remark`, `warning` (default), `error` or `never` |\n\
         | `--list` | print the table below |\n\
         | `-o json`, `-o sarif` | for programs; SARIF is what code scanning services read |\n\n\
         Exit codes: 0 nothing found, 1 findings at or above `--fail-on`, 2 the manifest is invalid.\n\n\
         To keep something as it is, name the check in a comment on the line that is reported, or in the comment above it:\n\n\
         ```yaml\n\
         # Somebody looks at it by hand, in a debug container.\n\
         # podyard:ignore init-volume-unread\n\
         - name: generated\n\
         ```\n\n\
         or, for a whole object, in its annotation (of the object or of its pod template):\n\n\
         ```yaml\n\
         metadata:\n  annotations:\n    podyard.dev/ignore: init-volume-unread, init-raises-requests\n\
         ```\n\n\
         | Check | Severity | Finds |\n|---|---|---|\n",
    );
    for check in CHECKS {
        text.push_str(&format!(
            "| [`{0}`](#{0}) | {1} | {2} |\n",
            check.id, check.severity, check.title
        ));
    }
    for check in CHECKS {
        text.push_str(&format!(
            "\n## {}\n\n*{}.* {}.\n\n{}\n\n**Fix:** {}\n",
            check.id,
            match check.severity {
                Severity::Remark => "Remark",
                Severity::Warning => "Warning",
                Severity::Error => "Error",
            },
            check.title,
            check.explanation,
            check.fix
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_printed_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, document()).expect("docs can be written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "run the tests with UPDATE=1");
    }

    #[test]
    fn ids_are_words_with_dashes_and_differ() {
        for (index, check) in CHECKS.iter().enumerate() {
            assert!(
                check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{check:?}"
            );
            assert!(!CHECKS[..index].contains(check), "{check:?}");
            assert!(!check.title.ends_with('.'), "{check:?}");
            assert!(
                check.explanation.ends_with('.') && check.fix.ends_with('.'),
                "{check:?}"
            );
        }
    }
}
