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

use std::slice;

use super::architecture::{Architecture, Behind};
use super::assemble::{Assembler, Label, Test};
use super::profile::{Action, Comparison, Condition, KnownProfile, Profile};
use super::tables::{self, Call};
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
        self.known().compile()
    }
}

impl KnownProfile<'_> {
    /// As [`Profile::compile`].
    pub(super) fn compile(&self) -> Result<Program, CompileError> {
        let instructions = Compiler::new(self).compile();
        if instructions.len() > INSTRUCTION_LIMIT {
            return Err(CompileError::TooLong {
                instructions: instructions.len(),
            });
        }
        Ok(Program { instructions })
    }
}

/// What happens to a call of a known number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Whatever its arguments are.
    Always(Action),
    /// What the check at this place says, else the default action.
    Check(u16),
}

/// What happens when all of these hold.
type Alternative<'a> = (&'a [Condition], Action);

/// A look at arguments; several calls and architectures share one.
#[derive(Debug)]
struct Check<'a> {
    /// The first of these that holds counts.
    alternatives: Vec<Alternative<'a>>,
    /// Where it is, once it is there.
    label: Option<Label>,
}

/// Everything from this number up to the next range.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u32,
    decision: Decision,
}

/// What the rules say about one call, on whatever architecture.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    /// Some rule names it.
    is_named: bool,
    /// The action of the first rule without conditions.
    always: Option<Action>,
    /// There is a rule with conditions.
    is_checked: bool,
}

#[derive(Debug)]
struct Compiler<'a> {
    profile: &'a KnownProfile<'a>,
    said: [Said; Call::LIMIT],
    checks: Vec<Check<'a>>,
    assembler: Assembler,
}

impl<'a> Compiler<'a> {
    fn new(profile: &'a KnownProfile<'a>) -> Self {
        let mut said = [Said::default(); Call::LIMIT];
        for rule in &profile.rules {
            for call in rule.calls.iter() {
                said[call.place()].is_named = true;
            }
        }
        for rule in profile.telling_rules() {
            for call in rule.calls.iter() {
                let said = &mut said[call.place()];
                if rule.conditions.is_empty() {
                    said.always.get_or_insert(rule.action);
                } else {
                    said.is_checked = true;
                }
            }
        }
        Self {
            profile,
            said,
            checks: Vec::new(),
            assembler: Assembler::default(),
        }
    }

    fn compile(mut self) -> Vec<Instruction> {
        let sections: Vec<_> = self
            .sections()
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
            [range] => self.decide(range.decision),
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

    fn decide(&mut self, decision: Decision) -> Label {
        let assembler = &mut self.assembler;
        let place = match decision {
            Decision::Always(action) => return assembler.finish_with(action.value()),
            Decision::Check(place) => place,
        };
        let Check {
            alternatives,
            label: known,
        } = &mut self.checks[usize::from(place)];
        *known.get_or_insert_with(|| {
            let mut label = assembler.finish_with(self.profile.default_action.value());
            for (conditions, action) in alternatives.iter().rev() {
                let fails = label;
                label = assembler.finish_with(action.value());
                for condition in conditions.iter().rev() {
                    label = check(assembler, *condition, label, fails);
                }
            }
            label
        })
    }

    /// For each value of `seccomp_data.arch` the profile speaks of, what happens to every number.
    fn sections(&mut self) -> Vec<(u32, Vec<Range>)> {
        let mut sections: Vec<(u32, Vec<Architecture>)> = Vec::new();
        for &architecture in self.profile.architectures {
            let audit = architecture.audit();
            match sections.iter_mut().find(|(known, _)| *known == audit) {
                Some((_, members)) if members.contains(&architecture) => {}
                Some((_, members)) => members.push(architecture),
                None => sections.push((audit, vec![architecture])),
            }
        }
        sections
            .into_iter()
            .map(|(audit, members)| (audit, self.ranges(members)))
            .collect()
    }

    fn ranges(&mut self, mut members: Vec<Architecture>) -> Vec<Range> {
        members.sort_by_key(|member| member.span());
        let mut ranges = Ranges::default();
        for &member in &members {
            self.add_architecture(&mut ranges, member);
        }
        // A tracer that makes a call not happen sets this number (ptrace(2)), and the filter is asked about it. Where
        // nobody speaks for numbers this high, it is not a call in a strange convention.
        if ranges.covered < u32::MAX {
            ranges.push(u32::MAX, Decision::Always(self.profile.action_for_newer()));
        }
        ranges.list
    }

    fn add_architecture(&mut self, ranges: &mut Ranges, architecture: Architecture) {
        let (first, last) = architecture.span();
        if ranges.list.is_empty() && first > 0 {
            ranges.push(0, Decision::Always(Action::KillProcess));
        }
        let (mut decisions, highest) = self.decisions(architecture);
        let closed = architecture.closed_block();
        let profile = self.profile;
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
            if let Err(place) = decisions.binary_search_by_key(&border, |&(number, _)| number) {
                decisions.insert(place, (border, unnamed(border)));
            }
        }
        let mut next = first;
        for (number, decision) in decisions {
            if next < number {
                ranges.push(next, unnamed(next));
            }
            ranges.push(number, decision);
            next = number + 1;
        }
        ranges.push(next, unnamed(next));
        if last < u32::MAX {
            ranges.push(last + 1, Decision::Always(Action::KillProcess));
        }
        ranges.covered = last;
    }

    /// What happens to each number the profile names, in ascending order, and the highest such number outside the
    /// closed block.
    fn decisions(&mut self, architecture: Architecture) -> (Vec<(u32, Decision)>, Option<u32>) {
        let first = architecture.span().0;
        let closed = architecture.closed_block();
        let calls = tables::calls(architecture);
        let mut highest = None;
        // Borders may come to them.
        let mut decisions = Vec::with_capacity(calls.len() + 3);
        for numbered in calls {
            let number = first + numbered.number;
            if self.said[numbered.call.place()].is_named && !closed.contains(&number) {
                highest = Some(number);
            }
            let decision = self.decision(architecture, numbered.call);
            decisions.extend(decision.map(|decision| (number, decision)));
        }
        (decisions, highest)
    }

    /// What happens to a call, when the profile says something about it.
    fn decision(&mut self, architecture: Architecture, call: Call) -> Option<Decision> {
        let said = self.said[call.place()];
        if let Some(action) = said.always {
            return Some(Decision::Always(action));
        }
        let behind = architecture.behind(call);
        if !said.is_checked && behind.is_empty() {
            return None;
        }
        let alternatives = self.alternatives(call, behind);
        if alternatives.is_empty() {
            return None;
        }
        let known = self
            .checks
            .iter()
            .position(|check| check.alternatives == alternatives);
        let place = known.unwrap_or_else(|| {
            self.checks.push(Check {
                alternatives,
                label: None,
            });
            self.checks.len() - 1
        });
        // At most one for each call of each architecture.
        let place = u16::try_from(place).expect("there are few calls");
        Some(Decision::Check(place))
    }

    /// All that rules say about a call which none of them names without conditions, and about those behind it.
    fn alternatives(&self, call: Call, behind: &'static [Behind]) -> Vec<Alternative<'a>> {
        let mut alternatives = Vec::new();
        let profile = self.profile;
        for rule in profile.telling_rules() {
            let is_exact = rule.conditions.is_empty();
            // The long lists are those of rules without conditions, and most calls are no doors.
            if is_exact && behind.is_empty() {
                continue;
            }
            for &named in rule.calls.iter() {
                if named == call {
                    alternatives.push((rule.conditions, rule.action));
                }
                // Through the older door arguments cannot be seen. So what refuses some calls has to refuse them all
                // there, and what allows some must not allow any.
                if (is_exact || !rule.action.lets_pass())
                    && let Some(behind) = behind.iter().find(|behind| behind.call == named)
                {
                    alternatives.push((slice::from_ref(&behind.condition), rule.action));
                }
            }
        }
        alternatives
    }
}

/// Compares one argument, its upper half first. The accumulator has 32 bits.
fn check(assembler: &mut Assembler, condition: Condition, holds: Label, fails: Label) -> Label {
    let low = ARGUMENTS + 8 * u32::from(condition.argument.position());
    let high = low + 4;
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
            return check(
                assembler,
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

/// Ranges in the making, in ascending order.
#[derive(Debug, Default)]
struct Ranges {
    list: Vec<Range>,
    /// The last number that is spoken for.
    covered: u32,
}

impl Ranges {
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
