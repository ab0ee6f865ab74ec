//! Device control on cgroup v2: an eBPF program that answers for every open and mknod.
//!
//! It checks the same list the v1 `devices` controller gets, one rule after the other, and denies what none allows.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::resources::CONTAINER_DEVICES;
use crate::sys::bpf::{self, Instruction};

const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

const DEVICE_BLOCK: i32 = 1;
const DEVICE_CHAR: i32 = 2;

// Registers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// Loads the filter and attaches it to the cgroup behind `directory`.
pub(super) fn attach(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let program = bpf::load_device_filter(&compile())?;
    bpf::attach_device_filter(directory, &program)
}

fn compile() -> Vec<Instruction> {
    let mut program = vec![
        // The context holds access << 16 | kind, major and minor, 32 bits each.
        Instruction::load_word(KIND, CONTEXT, 0),
        Instruction::move_register(ACCESS, KIND),
        Instruction::and(KIND, 0xffff),
        Instruction::shift_right(ACCESS, 16),
        Instruction::load_word(MAJOR, CONTEXT, 4),
        Instruction::load_word(MINOR, CONTEXT, 8),
    ];
    for (kind, major, minor, access) in CONTAINER_DEVICES {
        program.extend(rule(kind, major, minor, access));
    }
    program.extend([Instruction::load(RESULT, 0), Instruction::exit()]);
    program
}

/// One rule: skips to its end unless everything matches, and otherwise allows.
fn rule(kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> Vec<Instruction> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let kind = if kind == 'b' {
        DEVICE_BLOCK
    } else {
        DEVICE_CHAR
    };
    let allowed = access.chars().fold(0, |mask, letter| match letter {
        'm' => mask | ACCESS_MKNOD,
        'r' => mask | ACCESS_READ,
        _ => mask | ACCESS_WRITE,
    });
    let mut rule = vec![Instruction::skip_unless_equal(KIND, kind)];
    if allowed != ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE {
        rule.push(Instruction::move_register(SCRATCH, ACCESS));
        rule.push(Instruction::and(SCRATCH, !allowed));
        rule.push(Instruction::skip_unless_equal(SCRATCH, 0));
    }
    if let Some(major) = major {
        rule.push(Instruction::skip_unless_equal(MAJOR, number(major)));
    }
    if let Some(minor) = minor {
        rule.push(Instruction::skip_unless_equal(MINOR, number(minor)));
    }
    rule.extend([Instruction::load(RESULT, 1), Instruction::exit()]);
    let length = rule.len();
    for (place, instruction) in rule.iter_mut().enumerate() {
        instruction.aim_skip(length - place - 1);
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_containers_can_be_used_and_others_only_made() {
        let program = compile();
        let check = |kind: i32, major: u32, minor: u32, access: i32, expected: bool| {
            let first = u32::try_from(access << 16 | kind).expect("small");
            let answer = bpf::simulate(&program, [first, major, minor]);
            let allowed = u64::from(expected);
            assert_eq!(answer, allowed, "{kind} {major}:{minor} for {access}");
        };
        let everything = ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE;
        for (major, minor) in [(1, 3), (1, 5), (1, 9), (5, 0), (5, 2), (136, 0), (136, 77)] {
            for access in [everything, ACCESS_READ, ACCESS_WRITE] {
                check(DEVICE_CHAR, major, minor, access, true);
            }
        }
        for (kind, major, minor) in [
            (DEVICE_BLOCK, 8, 0),
            (DEVICE_BLOCK, 1, 3),
            (DEVICE_CHAR, 1, 1),
            (DEVICE_CHAR, 1, 11),
            (DEVICE_CHAR, 10, 229),
        ] {
            check(kind, major, minor, ACCESS_MKNOD, true);
            for access in [
                ACCESS_READ,
                ACCESS_WRITE,
                everything,
                ACCESS_MKNOD | ACCESS_READ,
            ] {
                check(kind, major, minor, access, false);
            }
        }
        check(3, 1, 3, ACCESS_READ, false);
    }
}
