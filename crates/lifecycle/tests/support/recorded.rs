//! What a real kubelet (1.36.2, with containerd, behind a real API server) showed and said when it played a scenario, and how it compares.
//!
//! ```text
//! the kubelet
//!     see  phase=Pending; Initialized=False(…); app[W:PodInitializing !ready,!started]
//!     see  app[R ready,started]
//!     not  see app[T:Error(1) rc=1 !ready,!started]
//!     but  see app[W:CrashLoopBackOff msg="…" rc=1 !ready,!started]
//!     why  it is published at once, and not at the next look
//!     say  2 app: Normal Started: Container started
//! ```
//!
//! `see` is one status that it published, as changes to the one before. The kubelet looks at the world once a second and so misses states;
//! the machine must have shown every whole status that the kubelet did, in the same order, and no value that the kubelet did not. `say` is
//! an Event and how often it came, which must be equal. `not` marks what the machine does otherwise, and `but` what it shows instead;
//! `why` is the reason. Addresses are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::play::Play;
use super::shorthand::Fact;

#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// In order, and whether the machine must have shown it.
    statuses: Vec<(BTreeMap<String, String>, bool)>,
    /// How often, and whether that must be equal.
    events: Vec<(usize, String, bool)>,
    /// What the machine shows and the kubelet did not.
    shown: Vec<Fact>,
    said: Vec<(usize, String)>,
    is_there: bool,
}

impl Recorded {
    /// Reads the last part of a scenario.
    pub(crate) fn parse(text: &str) -> Self {
        let mut recorded = Self::default();
        let Some(begin) = text.find("\nthe kubelet\n") else {
            return recorded;
        };
        recorded.is_there = true;
        let mut status = BTreeMap::new();
        let mut last = "";
        for line in text[begin..].lines().skip(2) {
            let (kind, rest) = line.trim().split_once(' ').expect("two words");
            let rest = rest.trim();
            match (kind, rest.split_once(' ').unwrap_or((rest, ""))) {
                ("see", _) => recorded.add_status(&mut status, rest, true),
                ("say", _) => recorded.add_event(rest, true),
                ("not", ("see", rest)) => recorded.add_status(&mut status, rest, false),
                ("not", ("say", rest)) => recorded.add_event(rest, false),
                ("but", ("see", rest)) => recorded.shown.extend(facts(rest)),
                ("but", ("say", rest)) => recorded.said.push(counted(rest)),
                ("why", _) => assert!(matches!(last, "not" | "but"), "nothing to explain: {line}"),
                _ => panic!("{line} is no line of a record"),
            }
            let needs_why = matches!(last, "not" | "but") && !matches!(kind, "not" | "but" | "why");
            assert!(!needs_why, "no `why` before {line}");
            last = kind;
        }
        assert!(!matches!(last, "not" | "but"), "no `why` at the end");
        recorded
    }

    fn add_status(&mut self, status: &mut BTreeMap<String, String>, text: &str, must: bool) {
        status.extend(facts(text));
        self.statuses.push((status.clone(), must));
    }

    fn add_event(&mut self, text: &str, must: bool) {
        let (count, text) = counted(text);
        self.events.push((count, text, must));
    }

    /// What is not as it should be; nothing if all is well.
    pub(crate) fn compare(&self, play: &Play) -> String {
        let mut wrong = String::new();
        if !self.is_there {
            return wrong;
        }
        let is_compared = |(name, value): &&Fact| {
            name != "podIP" && value != "as Ready" && !(name == "reason" && value.is_empty())
        };
        let played: Vec<BTreeMap<_, _>> = play
            .shown
            .iter()
            .map(|facts| facts.iter().filter(is_compared).cloned().collect())
            .collect();
        self.compare_statuses(&played, &mut wrong);
        self.compare_values(&played, &mut wrong);
        self.compare_events(&play.said, &mut wrong);
        wrong
    }

    fn compare_statuses(&self, played: &[BTreeMap<String, String>], wrong: &mut String) {
        let mut from = 0;
        for (number, (status, must)) in self.statuses.iter().enumerate() {
            let found = played[from..].iter().position(|shown| shown == status);
            match (found, must) {
                (Some(ahead), true) => from += ahead,
                (None, false) => {}
                (Some(_), false) => {
                    let _ = writeln!(wrong, "  status {number} is shown after all");
                }
                (None, true) => {
                    let nearest = played[from..]
                        .iter()
                        .map(|shown| differing(status, shown))
                        .min_by_key(Vec::len)
                        .unwrap_or_default();
                    let _ = writeln!(
                        wrong,
                        "  status {number} is not shown; nearest: {nearest:?}"
                    );
                }
            }
        }
    }

    fn compare_values(&self, played: &[BTreeMap<String, String>], wrong: &mut String) {
        let mut expected: Vec<Fact> = self.shown.clone();
        for (status, _) in &self.statuses {
            expected.extend(status.clone());
        }
        for fact in played.iter().flatten() {
            let fact = (fact.0.clone(), fact.1.clone());
            if !expected.contains(&fact) {
                let _ = writeln!(wrong, "  shown, but not by the kubelet: {fact:?}");
                expected.push(fact);
            }
        }
        for fact in &self.shown {
            if !played
                .iter()
                .flatten()
                .any(|(name, value)| (name, value) == (&fact.0, &fact.1))
            {
                let _ = writeln!(wrong, "  not shown, although it should be: {fact:?}");
            }
        }
    }

    fn compare_events(&self, said: &[String], wrong: &mut String) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for text in said {
            *counts.entry(text).or_default() += 1;
        }
        for (count, text, must) in &self.events {
            let played = counts.get(text.as_str()).copied().unwrap_or(0);
            if (played == *count) != *must {
                let _ = writeln!(wrong, "  said {played} times instead of {count}: {text}");
            }
        }
        for (text, played) in counts {
            let other = self.said.iter().find(|(_, known)| known == text);
            let is_known = self
                .events
                .iter()
                .any(|(_, known, must)| known == text && *must);
            let is_as_told = other.is_some_and(|(count, _)| *count == played);
            if !is_known && !is_as_told {
                let _ = writeln!(wrong, "  said {played} times: {text}");
            }
        }
    }
}

fn differing(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let names = one
        .keys()
        .chain(other.keys().filter(|name| !one.contains_key(*name)));
    names
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| format!("{name} {:?} / {:?}", one.get(name), other.get(name)))
        .collect()
}

/// `2 app: Normal Started: Container started`
fn counted(text: &str) -> (usize, String) {
    let (count, text) = text.split_once(' ').expect("a count");
    (count.parse().expect("a count"), text.trim().to_owned())
}

/// The facts of a line of changes.
fn facts(text: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    for part in text.split("; ") {
        let name_end = part
            .find(['=', '['])
            .unwrap_or_else(|| panic!("{part} is no fact"));
        let (name, value) = part.split_at(name_end);
        facts.push(match value.strip_prefix('[') {
            Some(value) => (
                format!("{name}["),
                value.strip_suffix(']').expect("closed").to_owned(),
            ),
            None => (name.to_owned(), value[1..].to_owned()),
        });
    }
    facts
}
