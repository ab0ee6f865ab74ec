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

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::architecture::Architecture;

/// The first of some consecutive numbers, and the names of them all, separated by spaces.
type Run = (u32, &'static str);

/// Numbers by name.
pub(super) type Numbers = HashMap<&'static str, u32, BuildHasherDefault<NameHasher>>;

/// FNV-1a. The names are the kernel's, so nobody can choose them to collide, and every pod's first container waits for three of these
/// tables to be made.
pub(super) struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// Numbers of an architecture by name, without the bit that marks x32.
pub(super) fn numbers(architecture: Architecture) -> Numbers {
    let runs = match architecture {
        Architecture::X86_64 => x86_64::CALLS,
        Architecture::X86 => i386::CALLS,
        Architecture::X32 => x32::CALLS,
        Architecture::Aarch64 => aarch64::CALLS,
        Architecture::Arm => arm::CALLS,
    };
    let calls = runs
        .iter()
        .flat_map(|&(first, names)| names.split_ascii_whitespace().zip(first..));
    // No table is longer; growing on the way would cost more than looking up.
    let mut numbers = Numbers::with_capacity_and_hasher(512, BuildHasherDefault::default());
    numbers.extend(calls);
    numbers
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
