//! From a profile to classic BPF.
//!
//! ```text
//! architecture?  ─▶ number? binary search over ranges ─▶ answer
//!      │                                           └───▶ arguments? ─▶ answer
//!      └─▶ one the profile does not name: kill
//! ```
//!
//! Neighbouring numbers with one answer are one range, so some 350 names make a few dozen ranges and a handful of
//! comparisons for each call. What does not depend on arguments does not read them: the kernel works such answers out
//! when the filter is loaded and then does not run it at all for calls that are allowed (`seccomp_cache_prepare`, Linux
//! 5.11).
//!
//! The same profile always gives the same program.

use std::collections::{BTreeMap, HashMap};

use super::architecture::Architecture;
use super::assemble::{Assembler, Label, Test};
use super::profile::{Action, Argument, Comparison, Condition, Profile};
use super::{Instruction, Program};

/// Instructions the kernel takes at most (`BPF_MAXINSNS`).
pub const INSTRUCTION_LIMIT: usize = 4096;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Why a profile cannot become a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// There is too much in it.
    #[error(
        "the seccomp profile needs {instructions} instructions, where the kernel takes {INSTRUCTION_LIMIT}; fewer conditions on arguments make it shorter"
    )]
    TooLong {
        /// How many it would be.
        instructions: usize,
    },
}

impl Profile {
    /// The filter for this profile.
    ///
    /// # Errors
    /// When it would be longer than the kernel takes.
    pub fn compile(&self) -> Result<Program, CompileError> {
        let instructions = Compiler::default().compile(self);
        if instructions.len() > INSTRUCTION_LIMIT {
            return Err(CompileError::TooLong {
                instructions: instructions.len(),
            });
        }
        Ok(Program { instructions })
    }
}

/// What happens to a call of a known number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Decision {
    /// Whatever its arguments are.
    Always(Action),
    /// The first of these whose conditions hold, else the last.
    Check(Vec<(Vec<Condition>, Action)>, Action),
}

/// Everything from this number up to the next range.
#[derive(Debug)]
struct Range {
    first: u32,
    decision: Decision,
}

#[derive(Debug, Default)]
struct Compiler {
    assembler: Assembler,
    /// Argument checks that are already there; several calls and architectures share them.
    checks: HashMap<Decision, Label>,
}

impl Compiler {
    fn compile(mut self, profile: &Profile) -> Vec<Instruction> {
        let sections: Vec<_> = sections(profile)
            .into_iter()
            .map(|(audit, ranges)| {
                let search = self.search(&ranges);
                (audit, self.assembler.load(NUMBER, search))
            })
            .collect();
        let mut entry = self.assembler.finish_with(Action::KillProcess.value());
        for &(audit, section) in sections.iter().rev() {
            entry = self.assembler.branch(Test::Equal(audit), section, entry);
        }
        let entry = self.assembler.load(ARCHITECTURE, entry);
        self.assembler.finish(entry)
    }

    /// Finds the range of the number in the accumulator, and does what it says.
    fn search(&mut self, ranges: &[Range]) -> Label {
        match ranges {
            [] => unreachable!("ranges cover all numbers"),
            [range] => self.decide(&range.decision),
            _ => {
                let (below, above) = ranges.split_at(ranges.len() / 2);
                let first = above[0].first;
                let above = self.search(above);
                let below = self.search(below);
                self.assembler
                    .branch(Test::GreaterOrEqual(first), above, below)
            }
        }
    }

    fn decide(&mut self, decision: &Decision) -> Label {
        let (alternatives, otherwise) = match decision {
            Decision::Always(action) => return self.assembler.finish_with(action.value()),
            Decision::Check(alternatives, otherwise) => (alternatives, otherwise),
        };
        if let Some(&label) = self.checks.get(decision) {
            return label;
        }
        let mut label = self.assembler.finish_with(otherwise.value());
        for (conditions, action) in alternatives.iter().rev() {
            let fails = label;
            label = self.assembler.finish_with(action.value());
            for condition in conditions.iter().rev() {
                label = self.check(*condition, label, fails);
            }
        }
        self.checks.insert(decision.clone(), label);
        label
    }

    /// Compares one argument, its upper half first. The accumulator has 32 bits.
    fn check(&mut self, condition: Condition, holds: Label, fails: Label) -> Label {
        let low = ARGUMENTS + 8 * u32::from(condition.argument.position());
        let high = low + 4;
        let assembler = &mut self.assembler;
        // "Not equal" is "equal" with its ways exchanged, "less" is "greater or equal" so.
        let (value, test, holds, fails): (_, fn(u32) -> Test, _, _) = match condition.comparison {
            Comparison::MaskedEqual { mask, value } => {
                let mut label = holds;
                for (offset, mask, value) in [
                    (low, lower(mask), lower(value)),
                    (high, upper(mask), upper(value)),
                ] {
                    if mask != 0 {
                        label = assembler.branch(Test::Equal(value & mask), label, fails);
                        label = assembler.mask(mask, label);
                        label = assembler.load(offset, label);
                    }
                }
                return label;
            }
            Comparison::Equal(value) => {
                let label = assembler.branch(Test::Equal(lower(value)), holds, fails);
                let label = assembler.load(low, label);
                let label = assembler.branch(Test::Equal(upper(value)), label, fails);
                return assembler.load(high, label);
            }
            Comparison::NotEqual(value) => {
                return self.check(
                    Condition {
                        comparison: Comparison::Equal(value),
                        ..condition
                    },
                    fails,
                    holds,
                );
            }
            Comparison::Greater(value) => (value, Test::Greater, holds, fails),
            Comparison::LessOrEqual(value) => (value, Test::Greater, fails, holds),
            Comparison::GreaterOrEqual(value) => (value, Test::GreaterOrEqual, holds, fails),
            Comparison::Less(value) => (value, Test::GreaterOrEqual, fails, holds),
        };
        let label = assembler.branch(test(lower(value)), holds, fails);
        let label = assembler.load(low, label);
        let label = assembler.branch(Test::Equal(upper(value)), label, fails);
        let label = assembler.branch(Test::Greater(upper(value)), holds, label);
        assembler.load(high, label)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is wanted"
)]
const fn lower(value: u64) -> u32 {
    value as u32
}

const fn upper(value: u64) -> u32 {
    lower(value >> 32)
}

/// For each value of `seccomp_data.arch` the profile speaks of, what happens to every number.
fn sections(profile: &Profile) -> Vec<(u32, Vec<Range>)> {
    let mut sections: Vec<(u32, Vec<Architecture>)> = Vec::new();
    for &architecture in &profile.architectures {
        let audit = architecture.audit();
        match sections.iter_mut().find(|(known, _)| *known == audit) {
            Some((_, members)) if members.contains(&architecture) => {}
            Some((_, members)) => members.push(architecture),
            None => sections.push((audit, vec![architecture])),
        }
    }
    let ranges = |mut members: Vec<Architecture>| {
        members.sort_by_key(|member| member.span());
        let mut ranges = Ranges::default();
        for &member in &members {
            ranges.add_architecture(profile, member);
        }
        // A tracer that makes a call not happen sets this number (ptrace(2)), and the filter is asked about it. Where
        // nobody speaks for numbers this high, it is not a call in a strange convention.
        if ranges.covered < u32::MAX {
            ranges.push(u32::MAX, Decision::Always(profile.action_for_newer()));
        }
        ranges.list
    };
    sections
        .into_iter()
        .map(|(audit, members)| (audit, ranges(members)))
        .collect()
}

/// Ranges in the making, in ascending order.
#[derive(Debug, Default)]
struct Ranges {
    list: Vec<Range>,
    /// The last number that is spoken for.
    covered: u32,
}

impl Ranges {
    fn add_architecture(&mut self, profile: &Profile, architecture: Architecture) {
        let (first, last) = architecture.span();
        if self.list.is_empty() && first > 0 {
            self.push(0, Decision::Always(Action::KillProcess));
        }
        let (mut decisions, highest) = decisions(profile, architecture);
        let closed = architecture.closed_block();
        let unnamed = |number| {
            let is_newer =
                !closed.contains(&number) && highest.is_some_and(|highest| number > highest);
            let action = if is_newer {
                profile.action_for_newer()
            } else {
                profile.default_action
            };
            Decision::Always(action)
        };
        // Where what happens to unnamed numbers changes.
        for border in [closed.start, closed.end].into_iter().chain(highest) {
            decisions.entry(border).or_insert_with(|| unnamed(border));
        }
        self.push(first, unnamed(first));
        for (number, decision) in decisions {
            self.push(number, decision);
            self.push(number + 1, unnamed(number + 1));
        }
        if last < u32::MAX {
            self.push(last + 1, Decision::Always(Action::KillProcess));
        }
        self.covered = last;
    }

    /// From here on it is this, unless something else is pushed for the same number.
    fn push(&mut self, first: u32, decision: Decision) {
        if self.list.last().is_some_and(|range| range.first == first) {
            self.list.pop();
        }
        if self
            .list
            .last()
            .is_none_or(|range| range.decision != decision)
        {
            self.list.push(Range { first, decision });
        }
    }
}

/// What the rules say about one number.
#[derive(Debug, Default)]
struct Found {
    always: Option<Action>,
    alternatives: Vec<(Vec<Condition>, Action)>,
}

impl Found {
    fn add(&mut self, conditions: Vec<Condition>, action: Action) {
        if conditions.is_empty() {
            self.always.get_or_insert(action);
        } else {
            self.alternatives.push((conditions, action));
        }
    }
}

/// What happens to each number the profile names, and the highest such number outside the closed block.
fn decisions(
    profile: &Profile,
    architecture: Architecture,
) -> (BTreeMap<u32, Decision>, Option<u32>) {
    let numbers = architecture.numbers();
    let closed = architecture.closed_block();
    let mut highest = None;
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for rule in &profile.rules {
        let says_nothing = rule.action == profile.default_action;
        for name in &rule.names {
            let number = numbers.get(name.as_ref()).copied();
            highest = highest.max(number.filter(|number| !closed.contains(number)));
            if says_nothing {
                continue;
            }
            if let Some(number) = number {
                found
                    .entry(number)
                    .or_default()
                    .add(rule.conditions.clone(), rule.action);
            }
            // Through the older door arguments cannot be seen. So what refuses some calls has to refuse them all there,
            // and what allows some must not allow any.
            let is_exact = rule.conditions.is_empty();
            if let Some(multiplexed) = architecture.multiplexed(name)
                && (is_exact || !rule.action.lets_pass())
                && let Some(&door) = numbers.get(multiplexed.door)
            {
                let comparison = Comparison::MaskedEqual {
                    mask: multiplexed.mask,
                    value: multiplexed.call,
                };
                let condition = Condition {
                    argument: Argument::FIRST,
                    comparison,
                };
                found
                    .entry(door)
                    .or_default()
                    .add(vec![condition], rule.action);
            }
        }
    }
    let decide = |found: Found| match found.always {
        Some(action) => Decision::Always(action),
        None => Decision::Check(found.alternatives, profile.default_action),
    };
    (
        found
            .into_iter()
            .map(|(number, found)| (number, decide(found)))
            .collect(),
        highest,
    )
}
