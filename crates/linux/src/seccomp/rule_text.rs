//! One rule of a profile as JSON has it: calls, conditions, an action, and the circumstances it depends on.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::architecture::Architecture;
use super::document::{Circumstances, ProfileError, version};
use super::profile::{Action, Argument, Comparison, Condition, Rule};

/// Errors above this one do not exist (`MAX_ERRNO` of `linux/err.h`).
const ERRNO_LIMIT: u64 = 4095;

/// One entry of `syscalls`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleText {
    /// One call (Docker, long ago).
    #[serde(default, deserialize_with = "or_nothing")]
    name: String,
    #[serde(default, deserialize_with = "or_nothing")]
    names: Vec<String>,
    action: ActionName,
    errno_ret: Option<u64>,
    #[serde(default, deserialize_with = "or_nothing")]
    args: Vec<ConditionText>,
    #[serde(default, deserialize_with = "or_nothing")]
    includes: Clause,
    #[serde(default, deserialize_with = "or_nothing")]
    excludes: Clause,
}

/// Circumstances under which a rule applies, or does not (Docker).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clause {
    #[serde(default, deserialize_with = "or_nothing")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    arches: Vec<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    min_kernel: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionText {
    index: u64,
    value: u64,
    #[serde(default, deserialize_with = "or_nothing")]
    value_two: u64,
    op: Operator,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum ActionName {
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl RuleText {
    pub(super) fn applies(&self, circumstances: &Circumstances) -> Result<bool, ProfileError> {
        let native = docker_name(circumstances.architecture);
        let is_here = |names: &[String]| names.iter().any(|name| name == native);
        let reached = |text: &str| {
            let wanted = version(text).ok_or_else(|| ProfileError::Kernel {
                text: text.to_owned(),
            })?;
            Ok::<_, ProfileError>(circumstances.kernel >= wanted)
        };
        let Clause {
            caps,
            arches,
            min_kernel,
        } = &self.includes;
        let included = (arches.is_empty() || is_here(arches))
            && caps.iter().all(|capability| circumstances.have(capability))
            && (min_kernel.is_empty() || reached(min_kernel)?);
        let Clause {
            caps,
            arches,
            min_kernel,
        } = &self.excludes;
        let excluded = is_here(arches)
            || caps.iter().any(|capability| circumstances.have(capability))
            || (!min_kernel.is_empty() && reached(min_kernel)?);
        Ok(included && !excluded)
    }

    pub(super) fn add_to(&self, rules: &mut Vec<Rule>) -> Result<(), ProfileError> {
        if !self.name.is_empty() && !self.names.is_empty() {
            return Err(ProfileError::Both {
                first: "name",
                second: "names",
            });
        }
        let single = Some(&self.name).filter(|name| !name.is_empty());
        let names: Vec<Cow<'static, str>> = self
            .names
            .iter()
            .chain(single)
            .map(|name| Cow::Owned(name.clone()))
            .collect();
        let action = self.action.with(self.errno_ret)?;
        let conditions: Vec<Condition> = self
            .args
            .iter()
            .map(|condition| condition.parse(names.first().map_or("", AsRef::as_ref)))
            .collect::<Result<_, _>>()?;
        // Conditions on different arguments all have to hold. As soon as two are on the same one, any of them is
        // enough: so the format was understood at first, and runc still does.
        let is_repeated = |condition: &Condition| {
            let same = |other: &&Condition| other.argument == condition.argument;
            conditions.iter().filter(same).count() > 1
        };
        if conditions.iter().any(is_repeated) {
            let each = |condition| Rule {
                names: names.clone(),
                conditions: vec![condition],
                action,
            };
            rules.extend(conditions.into_iter().map(each));
        } else {
            rules.push(Rule {
                names,
                conditions,
                action,
            });
        }
        Ok(())
    }
}

impl ConditionText {
    fn parse(&self, call: &str) -> Result<Condition, ProfileError> {
        let argument = Argument::at(self.index).ok_or_else(|| ProfileError::Argument {
            call: call.to_owned(),
            index: self.index,
        })?;
        let value = self.value;
        let comparison = match self.op {
            Operator::NotEqual => Comparison::NotEqual(value),
            Operator::Less => Comparison::Less(value),
            Operator::LessOrEqual => Comparison::LessOrEqual(value),
            Operator::Equal => Comparison::Equal(value),
            Operator::GreaterOrEqual => Comparison::GreaterOrEqual(value),
            Operator::Greater => Comparison::Greater(value),
            // What is compared with comes second here.
            Operator::MaskedEqual => Comparison::MaskedEqual {
                mask: value,
                value: self.value_two,
            },
        };
        Ok(Condition {
            argument,
            comparison,
        })
    }
}

impl ActionName {
    /// The action, with the number for those that take one; `EPERM` when none is given.
    pub(super) fn with(self, errno: Option<u64>) -> Result<Action, ProfileError> {
        let number = || {
            let errno = errno.unwrap_or(libc::EPERM as u64);
            let number = u16::try_from(errno).ok().filter(|_| errno <= ERRNO_LIMIT);
            number.ok_or(ProfileError::Errno { errno })
        };
        Ok(match self {
            Self::KillThread => Action::KillThread,
            Self::KillProcess => Action::KillProcess,
            Self::Trap => Action::Trap,
            Self::Errno => Action::Errno(number()?),
            Self::Trace => Action::Trace(number()?),
            Self::Allow => Action::Allow,
            Self::Log => Action::Log,
            Self::Notify => return Err(ProfileError::Notify),
        })
    }
}

/// What Docker's clauses call a machine.
const fn docker_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::X86 => "x86",
        Architecture::X32 => "x32",
        Architecture::Aarch64 => "arm64",
        Architecture::Arm => "arm",
    }
}

/// `null` as well as a value.
pub(super) fn or_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
