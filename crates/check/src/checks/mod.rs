//! The checks, by subject. Each is a row of the table in [`crate::catalog`] with a function that looks at one pod.

pub(crate) mod endless;
pub(crate) mod flow;
pub(crate) mod mounts;
pub(crate) mod order;
pub(crate) mod unread;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod words;

use podyard_api::{Diagnostic, Path, Span};

use crate::catalog::{self, Check};
use crate::facts::{ContainerFacts, Facts};
use crate::finding::{Finding, Severity};
use crate::ignore;
use crate::trace::Run;

/// Takes what a check finds in one pod.
pub(crate) struct Report<'a> {
    pub(crate) facts: &'a Facts<'a>,
    check: &'static Check,
    findings: Vec<Finding>,
}

/// What `check` finds in a pod.
pub(crate) fn run(check: &'static Check, facts: &Facts<'_>) -> Vec<Finding> {
    let mut report = Report {
        facts,
        check,
        findings: Vec::new(),
    };
    (check.run)(&mut report);
    report.findings
}

impl<'a> Report<'a> {
    /// A finding at a field.
    pub(crate) fn at(&mut self, path: Path, message: String, fix: String) -> &mut Finding {
        let span = self.span(&path);
        self.add(path, span, message, fix)
    }

    /// Where a field is set, which may have got its value from another one (requests from limits).
    fn span(&self, path: &Path) -> Span {
        let pod = self.facts.pod;
        let notice = Diagnostic::notice(&pod.in_document(path), "");
        let placed = pod.document().place(notice).span;
        placed.unwrap_or_else(|| pod.span(path))
    }

    /// A finding at a word of a container's command; `word` is looked for in the text, so that a long script is pointed into.
    pub(crate) fn at_word(
        &mut self,
        container: &ContainerFacts<'_>,
        word: &str,
        message: String,
        fix: String,
    ) -> &mut Finding {
        let (path, span) = self.place_of(container, word);
        self.add(path, span, message, fix)
    }

    /// Another place that belongs to the last finding.
    pub(crate) fn related(&mut self, path: &Path, text: String) {
        let span = self.facts.pod.span(path);
        if let Some(finding) = self.findings.last_mut() {
            finding.related.push((span, text));
        }
    }

    fn add(&mut self, path: Path, span: Span, message: String, fix: String) -> &mut Finding {
        let object = self.facts.pod.document().object_name();
        self.findings.push(Finding {
            check: self.check,
            message,
            fix,
            path: self.facts.pod.in_document(&path),
            span,
            related: Vec::new(),
            object,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// The field of a command that holds `word`, and where in the text it is.
    fn place_of(&self, container: &ContainerFacts<'_>, word: &str) -> (Path, Span) {
        // A whole line in a script, or else the first word of it as an entry of a list.
        let first = word.split_whitespace().next().unwrap_or_default();
        let candidates = if first == word {
            vec![word]
        } else {
            vec![word, first]
        };
        let found = candidates
            .into_iter()
            .find_map(|word| self.word_in(container, word));
        found.unwrap_or_else(|| {
            let has_command = container.container.command.is_some();
            let path = container
                .path
                .field(if has_command { "command" } else { "args" });
            let span = self.facts.pod.span(&path);
            (path, span)
        })
    }

    fn word_in(&self, container: &ContainerFacts<'_>, word: &str) -> Option<(Path, Span)> {
        let own = container.container;
        let lists = [("command", &own.command), ("args", &own.args)];
        for (field, list) in lists {
            for (index, text) in list.iter().flatten().enumerate() {
                if word.is_empty() || !text.contains(word) {
                    continue;
                }
                let path = container.path.field(field).index(index);
                let span = self.facts.pod.span(&path);
                let inside = span.text().find(word).map(|at| span.start() + at);
                let narrow = inside.map(|start| {
                    let source = std::sync::Arc::new(span.source().clone());
                    Span::new(source, start, start + word.len())
                });
                return Some((path, narrow.unwrap_or(span)));
            }
        }
        None
    }
}

/// A command as it may be written in a script, for looking it up and for messages: its first words.
pub(crate) fn snippet(run: &Run) -> String {
    let words: Vec<&str> = run
        .argv
        .iter()
        .map_while(|arg| arg.exact())
        .take(6)
        .collect();
    words.join(" ")
}

pub(crate) static UNKNOWN_ID: Check = Check {
    id: "ignore-unknown-check",
    severity: Severity::Warning,
    title: "A finding is to be ignored by the name of a check that does not exist",
    explanation: "The annotation or comment has no effect: there is no check of this name.",
    fix: "Correct the name; this page lists all.",
    run: unknown_id,
};

fn unknown_id(report: &mut Report<'_>) {
    let annotations = report.facts.pod.pod().metadata.annotations.as_ref();
    let Some(list) = annotations.and_then(|all| all.get(ignore::ANNOTATION)) else {
        return;
    };
    let unknown: Vec<String> = ignore::ids(list)
        .filter(|id| catalog::check(id).is_none())
        .map(str::to_owned)
        .collect();
    for id in unknown {
        let path = Path::fields("metadata.annotations").key(ignore::ANNOTATION);
        report.at(
            path,
            format!("there is no check `{id}`"),
            "`podyard check --list` names them all".to_owned(),
        );
    }
}
