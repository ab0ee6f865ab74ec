//! The default profile against calls.

use super::super::profile::{KnownProfile, KnownRule};
use super::super::runtime_default::profile;
use super::*;
use crate::{Capability, CapabilitySets};

const ALLOWED: Action = Action::Allow;

fn capabilities(names: &[&str]) -> CapabilitySet {
    names
        .iter()
        .map(|name| name.parse::<Capability>().expect("a capability"))
        .collect()
}

fn of(names: &[&str]) -> Program {
    let program = profile(capabilities(names), X86_64)
        .compile()
        .expect("short");
    simulate::check_loadable(program.instructions());
    program
}

/// The same profile with names in place of calls, as others are written.
pub(super) fn named(profile: &KnownProfile<'_>) -> Profile {
    let named = |rule: &KnownRule<'_>| Rule {
        names: rule.calls.iter().map(|call| call.name().into()).collect(),
        conditions: rule.conditions.to_vec(),
        action: rule.action,
    };
    Profile {
        default_action: profile.default_action,
        architectures: profile.architectures.to_vec(),
        rules: profile.rules.iter().map(named).collect(),
    }
}

fn all() -> CapabilitySet {
    Capability::all().collect()
}

#[test]
fn without_capabilities() {
    let program = of(&[]);
    for architecture in [X86_64, X86, X32] {
        for name in [
            "read",
            "openat",
            "execve",
            "ptrace",
            "modify_ldt",
            "setxattrat",
            "capset",
        ] {
            check(&program, architecture, name, &[], ALLOWED);
        }
        for name in [
            "unshare",
            "setns",
            "mount",
            "umount2",
            "keyctl",
            "add_key",
            "bpf",
            "chroot",
            "reboot",
            "init_module",
            "perf_event_open",
            "userfaultfd",
            "io_uring_setup",
            "kexec_load",
            "open_by_handle_at",
            "pivot_root",
            "swapon",
            "mbind",
            "iopl",
            "syslog",
            "settimeofday",
        ] {
            check(&program, architecture, name, &[], REFUSED);
        }
        check(&program, architecture, "clone3", &[], NO_SUCH_CALL);
        for name in ["open_tree_attr", "file_getattr", "file_setattr"] {
            check(&program, architecture, name, &[], NO_SUCH_CALL);
        }
        let foreign = Architecture::Aarch64;
        assert_eq!(
            answer(&program, foreign, 63, &[]),
            Action::KillProcess.value()
        );
    }
    check(&program, X86, "socketcall", &[1], ALLOWED);
    check(&program, X86, "clock_gettime64", &[], ALLOWED);
}

#[test]
fn threads_and_forks_but_no_namespaces() {
    let program = of(&[]);
    for architecture in [X86_64, X86, X32] {
        let clone = |flags, expected| check(&program, architecture, "clone", &[flags], expected);
        clone(0x11, ALLOWED);
        clone(0x003d_0f00, ALLOWED);
        for namespace in [
            0x2_0000,
            0x200_0000,
            0x400_0000,
            0x800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000,
        ] {
            clone(namespace | 0x11, REFUSED);
        }
    }
    let program = of(&["SYS_ADMIN"]);
    check(&program, X86_64, "clone", &[0x7e02_0000], ALLOWED);
    check(&program, X86_64, "clone3", &[], ALLOWED);
}

#[test]
fn personalities_and_socket_families() {
    let program = of(&[]);
    for architecture in [X86_64, X86, X32] {
        for value in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
            check(&program, architecture, "personality", &[value], ALLOWED);
        }
        for value in [1, 0x4_0000, 0xdead, 0x1_0000_0000] {
            check(&program, architecture, "personality", &[value], REFUSED);
        }
        for family in [1, 2, 10, 16, 17, 37, 39, 41, 45, 46] {
            check(&program, architecture, "socket", &[family], ALLOWED);
        }
        // The kernel looks at 32 bits of the family.
        for family in [38, 40, 0x1_0000_0026, 0x1_0000_0028, 0xffff_ffff_0000_0002] {
            check(&program, architecture, "socket", &[family], REFUSED);
        }
    }
}

#[test]
fn each_capability_opens_its_calls() {
    for (capability, name) in [
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("SYS_ADMIN", "mount"),
        ("SYS_ADMIN", "unshare"),
        ("SYS_ADMIN", "bpf"),
        ("SYS_ADMIN", "syslog"),
        ("SYS_BOOT", "reboot"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_MODULE", "finit_module"),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp"),
        ("SYS_PTRACE", "pidfd_getfd"),
        ("SYS_RAWIO", "ioperm"),
        ("SYS_TIME", "clock_settime"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYS_NICE", "set_mempolicy_home_node"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
    ] {
        check(&of(&[capability]), X86_64, name, &[], ALLOWED);
        check(&of(&["CHOWN", "NET_ADMIN"]), X86_64, name, &[], REFUSED);
    }
    for name in [
        "keyctl",
        "userfaultfd",
        "io_uring_setup",
        "pivot_root",
        "kexec_load",
    ] {
        let program = profile(all(), X86_64).compile().expect("short");
        check(&program, X86_64, name, &[], REFUSED);
    }
}

/// The launcher loads the filter before it gives up privileges, unless `no_new_privileges` is set.
#[test]
fn what_the_launcher_still_has_to_do() {
    for name in [
        "prctl",
        "setgroups",
        "setresgid",
        "setresuid",
        "capset",
        "execve",
        "sendto",
        "write",
        "exit_group",
        "close",
        "fchdir",
        "openat2",
    ] {
        check(&of(&[]), X86_64, name, &[], ALLOWED);
    }
}

#[test]
fn names_are_spelled_as_the_kernel_spells_them() {
    for machine in [X86_64, Aarch64] {
        let tables: Vec<_> = [X86_64, X86, X32, Aarch64, Arm]
            .iter()
            .map(|known| known.numbers())
            .collect();
        for rule in named(&profile(all(), machine)).rules {
            for name in rule.names {
                assert!(
                    tables.iter().any(|table| table.contains_key(name.as_ref())),
                    "{name}"
                );
            }
        }
    }
}

/// `runtime_default` relies on it: capabilities only add rules, and with all of them there is room to spare.
#[test]
fn it_is_short_with_any_capabilities() {
    for set in [
        CapabilitySet::EMPTY,
        CapabilitySets::containerd_default().bounding,
        all(),
    ] {
        for machine in [X86_64, Aarch64] {
            let program = profile(set, machine).compile().expect("short");
            simulate::check_loadable(program.instructions());
            let length = program.instructions().len();
            assert!(length < INSTRUCTION_LIMIT / 4, "{machine:?}: {length}");
        }
    }
    assert_eq!(
        *runtime_default(CapabilitySet::EMPTY),
        *runtime_default(CapabilitySet::EMPTY)
    );
}

/// FNV-1a of a program: while it stays the same, so does every instruction.
fn fingerprint(program: &Program) -> u64 {
    let bytes = program.instructions().iter().flat_map(|instruction| {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&instruction.code.to_le_bytes());
        bytes[2] = instruction.jump_true;
        bytes[3] = instruction.jump_false;
        bytes[4..].copy_from_slice(&instruction.operand.to_le_bytes());
        bytes
    });
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Lengths and fingerprints from before calls were looked up at build time: a faster compiler has to make the same
/// programs, from names as well. A change of the profile or of the tables may change them; the message says to what.
#[test]
fn programs_stay_as_they_are() {
    let bounding = CapabilitySets::containerd_default().bounding;
    let sets = [
        CapabilitySet::EMPTY,
        bounding,
        capabilities(&["SYS_ADMIN"]),
        capabilities(&["SYS_PTRACE", "SYS_TIME", "BPF"]),
        all(),
    ];
    for (machine, expected) in [
        (
            X86_64,
            [
                (331, 0xd088_15bc_7ab5_a444),
                (327, 0xcccf_9f11_cbfc_12a0),
                (298, 0xd2a9_666b_e4eb_d5a7),
                (313, 0x52db_0177_3018_2456),
                (250, 0x46e0_9db0_cffc_cf5b),
            ],
        ),
        (
            Aarch64,
            [
                (257, 0x0137_4181_b08b_8646),
                (255, 0xf862_0eee_7e32_5fd3),
                (214, 0xbdd2_2007_9b12_9fd6),
                (235, 0x1295_3c6b_f47a_9f1e),
                (178, 0x5d59_bb81_0322_0d73),
            ],
        ),
    ] {
        let found = sets.map(|set| {
            let known = profile(set, machine);
            let program = known.compile().expect("short");
            assert_eq!(Ok(&program), named(&known).compile().as_ref());
            (program.instructions().len(), fingerprint(&program))
        });
        assert_eq!(found, expected, "{machine:?}: {found:#x?}");
    }
}

#[test]
fn on_arm() {
    let program = profile(CapabilitySet::EMPTY, Aarch64)
        .compile()
        .expect("short");
    check(&program, Aarch64, "openat", &[], ALLOWED);
    check(&program, Aarch64, "mount", &[], REFUSED);
    check(&program, Aarch64, "clone", &[0x1000_0011], REFUSED);
    check(&program, Arm, "set_tls", &[], ALLOWED);
    check(&program, Arm, "sync_file_range2", &[], ALLOWED);
    check(&program, Arm, "file_setattr", &[], NO_SUCH_CALL);
    assert_eq!(
        answer(&program, X86_64, 0, &[]),
        Action::KillProcess.value()
    );
}
