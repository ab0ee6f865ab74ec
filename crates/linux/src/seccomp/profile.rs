//! A profile as data: which calls, under which conditions, get which answer.
//!
//! Where rules meet, the meaning is that of runc with libseccomp, so that a profile written for them does the same
//! here:
//!
//! - a rule whose action is the default action says nothing and is passed over,
//! - of several rules without conditions for one call the first counts, whatever rules with conditions say,
//! - of several rules with conditions the first that holds counts, in the order of the profile,
//! - names this crate does not know are passed over: no kernel it knows has them.
//!
//! **Calls newer than the profile.** Programs try a new call and fall back to an old one when the kernel does not have
//! it, which they recognise by `ENOSYS`; `EPERM` they take for an answer, and fail. A profile that refuses by default
//! cannot name calls invented after it, so every number above the highest one it names gets `ENOSYS`, as with runc (its
//! `patchbpf`).

use std::borrow::Cow;

use super::architecture::Architecture;
use super::tables::Call;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The process is killed.
    KillProcess,
    /// The thread is killed.
    KillThread,
    /// `SIGSYS`.
    Trap,
    /// The call fails with this error.
    Errno(u16),
    /// A tracer is asked, and told this number; without one the call fails with `ENOSYS`.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

impl Action {
    /// "No such call".
    pub(super) const NO_SUCH_CALL: Self = Self::Errno(libc::ENOSYS as u16);

    /// What a filter returns for it (`SECCOMP_RET_*` of `linux/seccomp.h`).
    pub(super) const fn value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | errno as u32,
            Self::Trace(message) => 0x7ff0_0000 | message as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// Whether the call can be made. A tracer is trusted to decide about calls nobody knows yet.
    pub(super) const fn lets_pass(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace(_))
    }
}

/// An argument of a call, by position: 0 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Argument(u8);

impl Argument {
    /// The first.
    pub const FIRST: Self = Self(0);

    /// The one at this position. System calls have six at most.
    #[must_use]
    pub fn at(position: u64) -> Option<Self> {
        u8::try_from(position)
            .ok()
            .filter(|&position| position < 6)
            .map(Self)
    }

    /// Its position.
    #[must_use]
    pub const fn position(self) -> u8 {
        self.0
    }
}

/// How an argument compares, as an unsigned number of 64 bits.
///
/// Beware of arguments the kernel takes as 32 bits: a program can set the others as it likes. `NotEqual` and `Greater`
/// hold then although the kernel sees something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `argument == value`
    Equal(u64),
    /// `argument != value`
    NotEqual(u64),
    /// `argument < value`
    Less(u64),
    /// `argument <= value`
    LessOrEqual(u64),
    /// `argument > value`
    Greater(u64),
    /// `argument >= value`
    GreaterOrEqual(u64),
    /// `argument & mask == value & mask`
    MaskedEqual {
        /// The bits that count.
        mask: u64,
        /// What they have to be.
        value: u64,
    },
}

/// One condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument.
    pub argument: Argument,
    /// What must hold for it.
    pub comparison: Comparison,
}

/// What to do about some calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The calls, by name.
    pub names: Vec<Cow<'static, str>>,
    /// All of these have to hold.
    pub conditions: Vec<Condition>,
    /// Then this happens.
    pub action: Action,
}

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What happens to calls that no rule speaks of.
    pub default_action: Action,
    /// The conventions calls may be made in; a call in any other ends its process.
    pub architectures: Vec<Architecture>,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Profile {
    /// The same with its calls looked up.
    pub(super) fn known(&self) -> KnownProfile<'_> {
        let rules = self.rules.iter().map(|rule| KnownRule {
            calls: rule
                .names
                .iter()
                .filter_map(|name| Call::named(name))
                .collect(),
            conditions: &rule.conditions,
            action: rule.action,
        });
        KnownProfile {
            default_action: self.default_action,
            architectures: &self.architectures,
            rules: rules.collect(),
        }
    }
}

/// A [`Rule`] about known calls.
#[derive(Debug)]
pub(super) struct KnownRule<'a> {
    pub(super) calls: Cow<'a, [Call]>,
    pub(super) conditions: &'a [Condition],
    pub(super) action: Action,
}

/// A [`Profile`] about known calls: what filters are compiled from.
#[derive(Debug)]
pub(super) struct KnownProfile<'a> {
    pub(super) default_action: Action,
    pub(super) architectures: &'a [Architecture],
    pub(super) rules: Vec<KnownRule<'a>>,
}

impl<'a> KnownProfile<'a> {
    /// The rules that say something: that what happens is not what happens anyway.
    pub(super) fn telling_rules(&self) -> impl Iterator<Item = &KnownRule<'a>> {
        self.rules
            .iter()
            .filter(|rule| rule.action != self.default_action)
    }

    /// What happens to calls newer than the profile; see the head of this file.
    pub(super) const fn action_for_newer(&self) -> Action {
        if self.default_action.lets_pass() {
            self.default_action
        } else {
            Action::NO_SUCH_CALL
        }
    }
}
