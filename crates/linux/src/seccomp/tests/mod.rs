//! Profiles against calls: what a compiled filter answers, in tables.

mod default;
mod differential;
mod documents;
pub(super) mod simulate;

use super::architecture::Architecture::{Aarch64, Arm, X32, X86, X86_64};
use super::*;
use simulate::Call;

const REFUSED: Action = Action::Errno(1);
const NO_SUCH_CALL: Action = Action::Errno(38);

/// Numbers a filter gets for a name.
fn number(architecture: Architecture, name: &str) -> u32 {
    *architecture
        .numbers()
        .get(name)
        .unwrap_or_else(|| panic!("{architecture:?} has no {name}"))
}

fn answer(program: &Program, architecture: Architecture, number: u32, first: &[u64]) -> u32 {
    let mut arguments = [0; 6];
    arguments[..first.len()].copy_from_slice(first);
    let call = Call {
        number,
        architecture: architecture.audit(),
        arguments,
    };
    simulate::run(program.instructions(), &call)
}

fn check(
    program: &Program,
    architecture: Architecture,
    name: &str,
    arguments: &[u64],
    expected: Action,
) {
    let found = answer(program, architecture, number(architecture, name), arguments);
    assert_eq!(
        found,
        expected.value(),
        "{architecture:?} {name}{arguments:x?}, not {expected:?}"
    );
}

fn rule(names: &'static str, conditions: &[(u64, Comparison)], action: Action) -> Rule {
    Rule {
        names: names.split_whitespace().map(Into::into).collect(),
        conditions: conditions
            .iter()
            .map(|&(position, comparison)| Condition {
                argument: Argument::at(position).expect("an argument"),
                comparison,
            })
            .collect(),
        action,
    }
}

fn compile(default_action: Action, architectures: &[Architecture], rules: &[Rule]) -> Program {
    let architectures = architectures.to_vec();
    let profile = Profile {
        default_action,
        architectures,
        rules: rules.to_vec(),
    };
    let program = profile.compile().expect("a short profile");
    simulate::check_loadable(program.instructions());
    assert_eq!(
        Ok(&program),
        profile.compile().as_ref(),
        "compiling is deterministic"
    );
    program
}

#[test]
fn every_comparison_sees_all_64_bits() {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
    const LIMITS: [u64; 9] = [
        0,
        1,
        5,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 5,
        5 << 32,
        u64::MAX - 1,
        u64::MAX,
    ];
    type Model = fn(u64, u64) -> bool;
    let mut cases: Vec<(Comparison, Model, u64)> = Vec::new();
    for value in LIMITS {
        cases.extend([
            (Equal(value), (|a, b| a == b) as Model, value),
            (NotEqual(value), |a, b| a != b, value),
            (Less(value), |a, b| a < b, value),
            (LessOrEqual(value), |a, b| a <= b, value),
            (Greater(value), |a, b| a > b, value),
            (GreaterOrEqual(value), |a, b| a >= b, value),
            (
                MaskedEqual {
                    mask: value,
                    value: 0,
                },
                |a, b| a & b == 0,
                value,
            ),
            (
                MaskedEqual {
                    mask: value,
                    value: u64::MAX,
                },
                |a, b| a & b == b,
                value,
            ),
        ]);
    }
    for position in [0, 5] {
        for &(comparison, model, value) in &cases {
            let rules = [rule("read", &[(position, comparison)], Action::Allow)];
            let program = compile(REFUSED, &[X86_64], &rules);
            for around in LIMITS {
                for argument in [around.wrapping_sub(1), around, around.wrapping_add(1)] {
                    let mut arguments = [7; 6];
                    arguments[usize::try_from(position).unwrap()] = argument;
                    let expected = if model(argument, value) {
                        Action::Allow
                    } else {
                        REFUSED
                    };
                    assert_eq!(
                        answer(&program, X86_64, 0, &arguments),
                        expected.value(),
                        "{argument:x} {comparison:x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn all_conditions_of_a_rule_hold_or_the_next_rule_is_asked() {
    let equal = Comparison::Equal;
    let rules = [
        rule("ioctl", &[(0, equal(1)), (1, equal(2))], Action::Allow),
        rule("ioctl", &[(0, equal(1))], Action::Errno(5)),
        rule("ioctl", &[(2, equal(9))], Action::KillProcess),
    ];
    let program = compile(REFUSED, &[X86_64], &rules);
    check(&program, X86_64, "ioctl", &[1, 2, 0], Action::Allow);
    check(&program, X86_64, "ioctl", &[1, 3, 0], Action::Errno(5));
    check(&program, X86_64, "ioctl", &[1, 3, 9], Action::Errno(5));
    check(&program, X86_64, "ioctl", &[2, 2, 9], Action::KillProcess);
    check(&program, X86_64, "ioctl", &[2, 2, 0], REFUSED);
}

#[test]
fn a_rule_without_conditions_beats_those_with() {
    let conditional = rule("ioctl", &[(0, Comparison::Equal(1))], Action::Errno(5));
    let first = rule("ioctl read", &[], Action::Log);
    let second = rule("ioctl", &[], Action::KillProcess);
    let nothing = rule("read", &[], REFUSED);
    for rules in [
        [
            conditional.clone(),
            nothing.clone(),
            first.clone(),
            second.clone(),
        ],
        [first, second, nothing, conditional],
    ] {
        let program = compile(REFUSED, &[X86_64], &rules);
        check(&program, X86_64, "ioctl", &[1], Action::Log);
        check(&program, X86_64, "ioctl", &[2], Action::Log);
        check(&program, X86_64, "read", &[], Action::Log);
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules = [
        rule("read openat2", &[], Action::Allow),
        rule("faccessat2", &[], REFUSED),
    ];
    let program = compile(REFUSED, &[X86_64, X86, X32], &rules);
    for architecture in [X86_64, X86, X32] {
        check(&program, architecture, "openat2", &[], Action::Allow);
        check(&program, architecture, "pidfd_getfd", &[], REFUSED);
        // The highest one it names, although it says nothing new of it.
        check(&program, architecture, "faccessat2", &[], REFUSED);
        check(&program, architecture, "process_madvise", &[], NO_SUCH_CALL);
        let new = architecture.span().0 + 5000;
        assert_eq!(
            answer(&program, architecture, new, &[]),
            NO_SUCH_CALL.value()
        );
    }
    for default in [Action::Allow, Action::Log, Action::Trace(1)] {
        let program = compile(default, &[X86_64], &[rule("read", &[], Action::Errno(5))]);
        check(&program, X86_64, "mseal", &[], default);
    }
    let program = compile(
        Action::KillProcess,
        &[X86_64],
        &[rule("read", &[], Action::Allow)],
    );
    check(&program, X86_64, "mseal", &[], NO_SUCH_CALL);
    let program = compile(REFUSED, &[X86_64], &[]);
    check(&program, X86_64, "mseal", &[], REFUSED);
}

#[test]
fn calls_of_other_architectures_kill() {
    let killed = Action::KillProcess.value();
    let program = compile(Action::Allow, &[X86_64], &[rule("read", &[], REFUSED)]);
    assert_eq!(answer(&program, X86, 3, &[]), killed);
    assert_eq!(answer(&program, X32, 0x4000_0000, &[]), killed);
    assert_eq!(
        answer(&program, X86_64, 0x3fff_ffff, &[]),
        Action::Allow.value()
    );
    // What a tracer sets to have no call made at all.
    assert_eq!(
        answer(&program, X86_64, u32::MAX, &[]),
        Action::Allow.value()
    );
    let program = compile(Action::Allow, &[X32], &[]);
    assert_eq!(answer(&program, X86_64, 0, &[]), killed);
    assert_eq!(
        answer(&program, X32, 0x4000_0000, &[]),
        Action::Allow.value()
    );
}

#[test]
fn numbers_differ_by_architecture() {
    let program = compile(
        REFUSED,
        &[X86_64, X86, X32],
        &[rule("execve mmap2", &[], Action::Allow)],
    );
    for (architecture, number) in [
        (X86_64, 59),
        (X86, 11),
        (X86, 192),
        (X32, 0x4000_0000 + 520),
    ] {
        assert_eq!(
            answer(&program, architecture, number, &[]),
            Action::Allow.value(),
            "{number}"
        );
    }
    for (architecture, number) in [(X86_64, 11), (X86, 59), (X32, 0x4000_0000 + 59)] {
        assert_eq!(
            answer(&program, architecture, number, &[]),
            REFUSED.value(),
            "{number}"
        );
    }
}

/// 32-bit programs reach the socket calls, and those for System V IPC, in two ways.
#[test]
fn a_rule_covers_the_older_door_too() {
    let from_38 = Comparison::Equal(38);
    let rules = [
        rule("socket", &[(0, from_38)], REFUSED),
        rule("shmget", &[], REFUSED),
    ];
    let program = compile(Action::Allow, &[X86_64, X86], &rules);
    check(&program, X86, "socket", &[38], REFUSED);
    check(&program, X86, "socket", &[2], Action::Allow);
    check(&program, X86, "socketcall", &[1], REFUSED);
    check(&program, X86, "socketcall", &[2], Action::Allow);
    check(&program, X86, "ipc", &[23], REFUSED);
    check(&program, X86, "ipc", &[0x1_0017], REFUSED);
    check(&program, X86, "ipc", &[22], Action::Allow);

    let rules = [
        rule("socket", &[(0, from_38)], Action::Allow),
        rule("bind", &[], Action::Allow),
    ];
    let program = compile(REFUSED, &[X86_64, X86], &rules);
    check(&program, X86, "socket", &[38], Action::Allow);
    check(&program, X86, "socketcall", &[1], REFUSED);
    check(&program, X86, "socketcall", &[2], Action::Allow);
}

/// Calls that some architectures keep far above all others do not make the ones in between old, nor are they ever new.
#[test]
fn closed_blocks() {
    let program = compile(
        REFUSED,
        &[Aarch64, Arm],
        &[rule("read set_tls", &[], Action::Allow)],
    );
    check(&program, Arm, "set_tls", &[], Action::Allow);
    check(&program, Arm, "cacheflush", &[], REFUSED);
    check(&program, Arm, "write", &[], NO_SUCH_CALL);
    check(&program, Arm, "fork", &[], REFUSED);
    check(&program, Aarch64, "read", &[], Action::Allow);

    let program = compile(
        REFUSED,
        &[X86_64, X32],
        &[rule("openat2 pwritev2", &[], Action::Allow)],
    );
    check(&program, X32, "pwritev2", &[], Action::Allow);
    check(&program, X32, "ptrace", &[], REFUSED);
    check(&program, X32, "mseal", &[], NO_SUCH_CALL);
    assert_eq!(
        answer(&program, X32, 0x4000_0000 + 548, &[]),
        NO_SUCH_CALL.value()
    );
}

#[test]
fn a_profile_that_is_too_long_is_refused() {
    let rules: Vec<Rule> = (0..1100)
        .map(|value| rule("read", &[(0, Comparison::Equal(value))], Action::Allow))
        .collect();
    let profile = |rules| Profile {
        default_action: REFUSED,
        architectures: vec![X86_64],
        rules,
    };
    assert!(profile(rules[..1000].to_vec()).compile().is_ok());
    let error = profile(rules)
        .compile()
        .expect_err("more than the kernel takes");
    let CompileError::TooLong { instructions } = error;
    assert!(instructions > INSTRUCTION_LIMIT);
    assert!(
        error.to_string().contains("the kernel takes 4096"),
        "{error}"
    );
}
