//! System calls by name and number, up to Linux 6.18.
//!
//! Generated from the kernel's own headers (`asm/unistd_*.h` of Linux 6.17, as the crate `linux-raw-sys` 0.12 carries
//! them), with `uprobe` of 6.18 added by hand, and compared with Debian's `linux-libc-dev` 6.1. Neighbouring numbers
//! make one run, so that the tables stay readable: to extend one for a newer kernel, append the new names to its last
//! run.

mod aarch64;
mod arm;
mod i386;
mod x32;
mod x86_64;

use super::architecture::Architecture;

/// The first of some consecutive numbers, and the names of them all, separated by spaces.
type Run = (u32, &'static str);

/// All tables. Where a name stands first is its place for all of them.
const TABLES: [&[Run]; 5] = [
    x86_64::CALLS,
    i386::CALLS,
    x32::CALLS,
    aarch64::CALLS,
    arm::CALLS,
];

/// A call, whatever its number is on which architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(u16);

impl Call {
    /// More than there are, for tables with a place for each. One call too many fails the build.
    pub(super) const LIMIT: usize = 512;

    /// The call of this name, when any architecture has it.
    pub(super) const fn named(name: &str) -> Option<Self> {
        NAMES.find(name.as_bytes())
    }

    /// Its first name.
    #[cfg(test)]
    pub(super) fn name(self) -> &'static str {
        str::from_utf8(NAMES.name(self.place())).expect("a table's text")
    }

    /// Its place in tables of all calls.
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// A call and its number on some architecture, without the bit that marks x32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) number: u32,
    pub(super) call: Call,
}

/// The calls of an architecture, in the order of their numbers.
pub(super) fn calls(architecture: Architecture) -> &'static [Numbered] {
    let table = table_of(architecture);
    &NAMES.calls[table][..NAMES.lengths[table]]
}

/// The place of its table in [`TABLES`].
const fn table_of(architecture: Architecture) -> usize {
    match architecture {
        Architecture::X86_64 => 0,
        Architecture::X86 => 1,
        Architecture::X32 => 2,
        Architecture::Aarch64 => 3,
        Architecture::Arm => 4,
    }
}

/// Calls by names that are known when this is compiled, separated by spaces. A name nobody knows fails the build.
macro_rules! calls_named {
    ($names:expr) => {
        const {
            const CALLS: [Call; $crate::seccomp::tables::count($names)] =
                $crate::seccomp::tables::look_up($names);
            &CALLS
        }
    };
}
pub(super) use calls_named;

/// How many names there are.
pub(super) const fn count(names: &str) -> usize {
    let mut count = 0;
    let mut rest = names.as_bytes();
    while let Some((_, after)) = next_name(rest) {
        count += 1;
        rest = after;
    }
    count
}

/// The calls of so many names.
pub(super) const fn look_up<const COUNT: usize>(names: &str) -> [Call; COUNT] {
    let mut calls = [Call(0); COUNT];
    let mut place = 0;
    let mut rest = names.as_bytes();
    while let Some((name, after)) = next_name(rest) {
        calls[place] = NAMES.find(name).expect("a call some architecture has");
        place += 1;
        rest = after;
    }
    calls
}

/// Where to find calls by their names, and the names' numbers. Made by the compiler: every pod's first container would wait for it otherwise.
static NAMES: Names = Names::of_tables();

/// A hash table of all names, and the tables with calls in place of names.
struct Names {
    /// Open addressing by [`hash`], at most half full; a place in `entries` and 1, or 0.
    slots: [u16; 2 * Call::LIMIT],
    entries: [Entry; Call::LIMIT],
    length: usize,
    /// What each table names, in the order of numbers.
    calls: [[Numbered; Call::LIMIT]; TABLES.len()],
    lengths: [usize; TABLES.len()],
}

/// Where a name is, and what it stands for. No reference: the loader would have to relocate each of them in every
/// process.
#[derive(Clone, Copy)]
struct Entry {
    call: Call,
    table: u8,
    run: u8,
    length: u8,
    start: u16,
}

impl Names {
    const fn of_tables() -> Self {
        let nothing = Entry {
            call: Call(0),
            table: 0,
            run: 0,
            length: 0,
            start: 0,
        };
        let nobody = Numbered {
            number: 0,
            call: Call(0),
        };
        let mut names = Self {
            slots: [0; 2 * Call::LIMIT],
            entries: [nothing; Call::LIMIT],
            length: 0,
            calls: [[nobody; Call::LIMIT]; TABLES.len()],
            lengths: [0; TABLES.len()],
        };
        let mut table = 0;
        while table < TABLES.len() {
            names.add_table(table);
            table += 1;
        }
        names
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "tables are short, and a name that is not found again fails the build"
    )]
    const fn add_table(&mut self, table: usize) {
        let mut length = 0;
        let mut next = 0;
        let mut run = 0;
        while run < TABLES[table].len() {
            let (mut number, text) = TABLES[table][run];
            let mut rest = text.as_bytes();
            while let Some((name, after)) = next_name(rest) {
                rest = after;
                // A run that begins with the last number of the one before has a second name for it.
                let is_second = number + 1 == next;
                assert!(is_second || number >= next, "numbers ascend");
                let call = match self.slot(name) {
                    Ok(call) => call,
                    Err(slot) => {
                        let call = if is_second {
                            self.calls[table][length - 1].call
                        } else {
                            Call(self.length as u16)
                        };
                        self.entries[self.length] = Entry {
                            call,
                            table: table as u8,
                            run: run as u8,
                            length: name.len() as u8,
                            start: (text.len() - after.len() - name.len()) as u16,
                        };
                        self.length += 1;
                        self.slots[slot] = self.length as u16;
                        call
                    }
                };
                if is_second {
                    let first = self.calls[table][length - 1].call;
                    assert!(call.0 == first.0, "both names are of one call everywhere");
                } else {
                    self.calls[table][length] = Numbered { number, call };
                    length += 1;
                }
                number += 1;
                next = number;
            }
            run += 1;
        }
        self.lengths[table] = length;
    }

    const fn find(&self, name: &[u8]) -> Option<Call> {
        match self.slot(name) {
            Ok(call) => Some(call),
            Err(_) => None,
        }
    }

    /// The call of this name, or the slot for it.
    const fn slot(&self, name: &[u8]) -> Result<Call, usize> {
        let mut slot = hash(name) % self.slots.len();
        loop {
            let Some(place) = self.slots[slot].checked_sub(1) else {
                return Err(slot);
            };
            if is_same(self.name(place as usize), name) {
                return Ok(self.entries[place as usize].call);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }

    const fn name(&self, place: usize) -> &'static [u8] {
        let entry = self.entries[place];
        let text = TABLES[entry.table as usize][entry.run as usize].1;
        let (_, text) = text.as_bytes().split_at(entry.start as usize);
        text.split_at(entry.length as usize).0
    }
}

/// The first of some names, and what comes after it.
const fn next_name(mut names: &[u8]) -> Option<(&[u8], &[u8])> {
    while let [b' ', rest @ ..] = names {
        names = rest;
    }
    if names.is_empty() {
        return None;
    }
    let mut length = 0;
    while length < names.len() && names[length] != b' ' {
        length += 1;
    }
    Some(names.split_at(length))
}

/// FNV-1a. The names are the kernel's, so nobody can choose them to collide.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash as usize
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Numbers by name, without the bit that marks x32, as the tables have them.
#[cfg(test)]
pub(super) fn numbers(architecture: Architecture) -> std::collections::HashMap<&'static str, u32> {
    TABLES[table_of(architecture)]
        .iter()
        .flat_map(|&(first, names)| names.split_ascii_whitespace().zip(first..))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(architecture: Architecture, name: &str, number: u32) {
        assert_eq!(
            numbers(architecture).get(name),
            Some(&number),
            "{architecture:?} {name}"
        );
    }

    #[test]
    fn numbers_are_the_kernels() {
        check(Architecture::X86_64, "read", 0);
        check(Architecture::X86_64, "clone3", 435);
        check(Architecture::X86_64, "uprobe", 336);
        check(Architecture::X86_64, "file_setattr", 469);
        check(Architecture::X86, "restart_syscall", 0);
        check(Architecture::X86, "socketcall", 102);
        check(Architecture::X86, "socket", 359);
        check(Architecture::X86, "futex_time64", 422);
        check(Architecture::X32, "execve", 520);
        check(Architecture::X32, "pwritev2", 547);
        check(Architecture::Aarch64, "clone", 220);
        check(Architecture::Arm, "sync_file_range2", 341);
        check(Architecture::Arm, "arm_sync_file_range", 341);
        check(Architecture::Arm, "set_tls", 0xf0005);
    }

    /// What the compiler made of the tables is what they say.
    #[test]
    fn every_name_is_found_again() {
        use Architecture::{Aarch64, Arm, X32, X86, X86_64};
        for architecture in [X86_64, X86, X32, Aarch64, Arm] {
            let calls = calls(architecture);
            assert!(calls.is_sorted_by_key(|numbered| numbered.number));
            for (name, number) in numbers(architecture) {
                let call = Call::named(name).expect(name);
                let place = calls.binary_search_by_key(&number, |numbered| numbered.number);
                assert_eq!(place.map(|place| calls[place].call), Ok(call), "{name}");
                let is_second = name == "sync_file_range2";
                assert_eq!(call.name() == name, !is_second, "{name}");
            }
        }
        for name in ["", "no_such_call", "rea", "read ", " read", "read write"] {
            assert_eq!(Call::named(name), None, "{name}");
        }
    }

    /// `libc` was generated from headers by other people.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_agree_with_libc() {
        let known = numbers(Architecture::X86_64);
        for (name, number) in [
            ("openat", libc::SYS_openat),
            ("seccomp", libc::SYS_seccomp),
            ("pkey_free", libc::SYS_pkey_free),
            ("faccessat2", libc::SYS_faccessat2),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(i64::from(known[name]), number, "{name}");
        }
    }
}
