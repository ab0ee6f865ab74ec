//! Rows of figures, what was hoped for, and how both are shown: as text, as JSON, as Markdown.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::samples::Samples;

/// One comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: Cow<'static, str>,
    pub(crate) title: Cow<'static, str>,
    /// What was measured, and how; in sentences.
    pub(crate) about: String,
    pub(crate) unit: Cow<'static, str>,
    pub(crate) lines: Vec<Line>,
    pub(crate) goals: Vec<Goal>,
    /// What was run, one command a line.
    pub(crate) commands: Vec<String>,
    /// What has to be known to read the figures.
    pub(crate) notes: Vec<String>,
}

/// The figures of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) subject: Cow<'static, str>,
    pub(crate) samples: Samples,
    /// Tries that ended in an error.
    pub(crate) failed: usize,
}

/// A bound on a ratio, by medians and by minimums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) by_median: Option<f64>,
    pub(crate) by_minimum: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", figures(bound)),
            Self::AtMost(bound) => format!("≤ {}", figures(bound)),
        }
    }
}

impl Goal {
    fn verdict(&self) -> &'static str {
        let holds = |value: Option<f64>| value.map(|value| self.bound.holds(value));
        match (holds(self.by_median), holds(self.by_minimum)) {
            (Some(true), Some(true)) => "reached",
            (Some(false), Some(false)) => "**missed**",
            (Some(true), Some(false)) => "by the median only",
            (Some(false), Some(true)) => "by the minimum only",
            _ => "not measured",
        }
    }
}

impl Row {
    pub(crate) fn new(
        name: &'static str,
        title: &'static str,
        unit: &'static str,
        about: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            about: about.into(),
            unit: unit.into(),
            lines: Vec::new(),
            goals: Vec::new(),
            commands: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        subject: &'static str,
        value: crate::Result<f64>,
    ) {
        let what = what.into();
        let known = self
            .lines
            .iter()
            .position(|line| line.what == what && line.subject == subject);
        let place = known.unwrap_or_else(|| {
            self.lines.push(Line {
                what,
                subject: subject.into(),
                samples: Samples::default(),
                failed: 0,
            });
            self.lines.len() - 1
        });
        let line = &mut self.lines[place];
        match value {
            Ok(value) => line.samples.add(value),
            Err(error) => {
                line.failed += 1;
                if line.failed == 1 {
                    self.notes
                        .push(format!("{} ({subject}): {error}", line.what));
                }
            }
        }
    }

    fn samples(&self, what: &str, subject: &str) -> Option<&Samples> {
        let line = self
            .lines
            .iter()
            .find(|line| line.what == what && line.subject == subject)?;
        Some(&line.samples)
    }

    /// Puts the lines of one thing beside each other.
    pub(crate) fn sort_by_what(&mut self) {
        let mut order: Vec<String> = Vec::new();
        for line in &self.lines {
            if !order.contains(&line.what) {
                order.push(line.what.clone());
            }
        }
        self.lines
            .sort_by_key(|line| order.iter().position(|what| *what == line.what));
    }

    /// A goal for the ratio of two subjects in one thing.
    pub(crate) fn goal(&mut self, text: &str, what: &str, over: &str, under: &str, bound: Bound) {
        let ratio = |figure: fn(&Samples) -> Option<f64>| {
            let over = figure(self.samples(what, over)?)?;
            let under = figure(self.samples(what, under)?)?;
            (under > 0.0).then(|| over / under)
        };
        self.goals.push(Goal {
            what: text.to_owned(),
            bound,
            by_median: ratio(Samples::median),
            by_minimum: ratio(Samples::min),
        });
    }

    fn cells(&self) -> Vec<[String; 7]> {
        let head = [
            "",
            "subject",
            "median",
            "minimum",
            "runs",
            "÷ podyard (median)",
            "÷ podyard (minimum)",
        ];
        let mut cells = vec![head.map(ToOwned::to_owned)];
        let mut last = "";
        for line in &self.lines {
            let own = self
                .samples(&line.what, "podyard")
                .filter(|_| line.subject != "podyard");
            let ratio = |figure: fn(&Samples) -> Option<f64>| {
                let ratio = figure(&line.samples)
                    .zip(own.and_then(figure))
                    .map(|(one, own)| one / own);
                ratio
                    .filter(|ratio| ratio.is_finite())
                    .map(figures)
                    .unwrap_or_default()
            };
            let failed = if line.failed == 0 {
                String::new()
            } else {
                format!(" + {} failed", line.failed)
            };
            cells.push([
                if line.what == last {
                    String::new()
                } else {
                    line.what.clone()
                },
                line.subject.clone().into_owned(),
                line.samples.median().map(figures).unwrap_or_default(),
                line.samples.min().map(figures).unwrap_or_default(),
                format!("{}{failed}", line.samples.len()),
                ratio(Samples::median),
                ratio(Samples::min),
            ]);
            last = &line.what;
        }
        cells
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{} — {} ({})\n", self.name, self.title, self.unit);
        let cells = self.cells();
        let widths: Vec<usize> = (0..7)
            .map(|column| {
                cells
                    .iter()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        for row in &cells {
            for (column, cell) in row.iter().enumerate() {
                let blanks = " ".repeat(widths[column] - cell.chars().count());
                let _ = if column < 2 {
                    write!(text, "  {cell}{blanks}")
                } else {
                    write!(text, "  {blanks}{cell}")
                };
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        for goal in &self.goals {
            let _ = writeln!(text, "  goal: {}", goal_text(goal));
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.about);
        let cells = self.cells();
        for (place, row) in cells.iter().enumerate() {
            let mut row = row.clone();
            if place == 0 {
                row[0] = format!("in {}", self.unit);
            }
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if place == 0 {
                text.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
            }
        }
        if !self.notes.is_empty() {
            text.push('\n');
            for note in &self.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        if !self.commands.is_empty() {
            let _ = writeln!(text, "\n```console\n{}\n```", self.commands.join("\n"));
        }
        text
    }
}

fn goal_text(goal: &Goal) -> String {
    let value = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), figures);
    format!(
        "{}: {} — median {}, minimum {}: {}",
        goal.what,
        goal.bound.text(),
        value(goal.by_median),
        value(goal.by_minimum),
        goal.verdict().trim_matches('*'),
    )
}

/// Three significant figures, without exponents.
fn figures(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Everything that was measured in one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Rows that could not be measured, and why.
    pub(crate) failures: Vec<String>,
    seconds: u64,
    is_quick: bool,
    #[serde(skip)]
    began: Option<std::time::Instant>,
}

impl Report {
    pub(crate) fn new(machine: Vec<(String, String)>, is_quick: bool) -> Self {
        Self {
            machine,
            rows: Vec::new(),
            failures: Vec::new(),
            seconds: 0,
            is_quick,
            began: Some(std::time::Instant::now()),
        }
    }

    pub(crate) fn finish(&mut self) {
        self.seconds = self.began.map_or(0, |began| began.elapsed().as_secs());
    }

    fn goals(&self) -> impl Iterator<Item = &Goal> {
        self.rows.iter().flat_map(|row| &row.goals)
    }

    pub(crate) fn goals_text(&self) -> String {
        let mut text = String::from("\nGoals\n");
        for goal in self.goals() {
            let _ = writeln!(text, "  {}", goal_text(goal));
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\n\
             Written by `make bench` (`podyard-bench --write docs/benchmarks.md`); no figure is typed by hand. All subjects of a row are \
             measured in turns on one machine in one run, so that what disturbs one disturbs all. **Ratios are what counts**: absolute \
             times belong to this machine. A ratio above 1 in the last columns means that the subject takes longer, or more, than \
             podyard; below 1 it is ahead of podyard.\n\n\
             Subjects: *podyard*, the release binary; *podman*, `podman kube play` of Debian with crun; *crun*, the bare OCI runtime; \
             *floor*, a hand-written program (`bench/src/bin/floor`) that makes the same containers one after the other with everything \
             a default Kubernetes container needs (overlay, kernel file systems, masked and read-only paths, cgroups, capabilities, the \
             same seccomp filter, `pivot_root`, `execve`), and with none of what makes a pod of it. Podman and podyard each run in a \
             mount and a network namespace of their own. The moment of an `execve` is the first thing that the program itself, a small \
             static binary on a hostPath volume, writes down.\n\n",
        );
        if self.is_quick {
            text.push_str(
                "This was a **quick** run (`scripts/bench --quick --write docs/benchmarks.md`): few repetitions, fewer pods.\n\n",
            );
        }
        text.push_str("| machine | |\n| --- | --- |\n");
        for (name, value) in &self.machine {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        let _ = writeln!(text, "| Duration of the whole run | {} s |", self.seconds);
        text.push_str("\n## Goals\n\n| goal | wanted | by medians | by minimums | |\n| --- | ---: | ---: | ---: | --- |\n");
        for goal in self.goals() {
            let value = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), figures);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                goal.what,
                goal.bound.text(),
                value(goal.by_median),
                value(goal.by_minimum),
                goal.verdict()
            );
        }
        for failure in &self.failures {
            let _ = writeln!(text, "\nNot measured: {failure}");
        }
        for row in &self.rows {
            let _ = write!(text, "\n{}", row.markdown());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_only_by_medians_and_minimums() {
        let mut row = Row::new("x", "X", "ms", "");
        for (podman, podyard) in [(100.0, 10.0), (100.0, 12.0), (40.0, 5.0)] {
            row.add("step", "podman", Ok(podman));
            row.add("step", "podyard", Ok(podyard));
        }
        for (bound, verdict) in [
            (8.0, "reached"),
            (9.0, "by the median only"),
            (11.0, "**missed**"),
        ] {
            row.goal("faster", "step", "podman", "podyard", Bound::AtLeast(bound));
            assert_eq!(
                row.goals.last().map(Goal::verdict),
                Some(verdict),
                "{bound}"
            );
        }
        row.goal("absent", "step", "crun", "podyard", Bound::AtLeast(1.0));
        assert_eq!(row.goals.last().map(Goal::verdict), Some("not measured"));
    }

    #[test]
    fn figures_have_three_places() {
        let shown: Vec<String> = [1234.5, 99.94, 9.996, 0.1234]
            .into_iter()
            .map(figures)
            .collect();
        assert_eq!(shown, ["1234", "99.9", "10.00", "0.12"]);
    }
}
