//! Profiles as files.

use super::*;

fn circumstances(capabilities: &[&str]) -> Circumstances {
    Circumstances {
        capabilities: capabilities
            .iter()
            .map(|name| name.parse::<crate::Capability>().expect("a capability"))
            .collect(),
        kernel: (6, 18),
        architecture: X86_64,
    }
}

fn resolve(text: &str, capabilities: &[&str]) -> Result<Profile, ProfileError> {
    Document::from_json(text.as_bytes())?.resolve(&circumstances(capabilities))
}

fn program(text: &str, capabilities: &[&str]) -> Program {
    resolve(text, capabilities)
        .expect("a profile")
        .compile()
        .expect("short")
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let error = resolve(text, &[]).expect_err("no profile");
    assert_eq!(error.to_string(), expected);
}

const RULES: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
  "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS"],
  "flags": ["SECCOMP_FILTER_FLAG_LOG"], "comment": "unknown fields are passed over",
  "syscalls": [
    {"names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW", "args": null},
    {"names": ["kill"], "action": "SCMP_ACT_KILL"},
    {"names": ["tkill"], "action": "SCMP_ACT_KILL_PROCESS"},
    {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["umount2"], "action": "SCMP_ACT_ERRNO"},
    {"names": ["ptrace"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
    {"names": ["acct"], "action": "SCMP_ACT_TRAP"},
    {"names": ["reboot"], "action": "SCMP_ACT_LOG"},
    {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_GE"}]},
    {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}
  ]
}"#;

#[test]
fn the_format_of_the_oci() {
    let program = program(RULES, &[]);
    check(&program, X86_64, "read", &[], Action::Allow);
    check(&program, X32, "write", &[], Action::Allow);
    check(&program, X86_64, "chdir", &[], Action::Errno(13));
    check(&program, X86_64, "kill", &[], Action::KillThread);
    check(&program, X86_64, "tkill", &[], Action::KillProcess);
    check(&program, X86_64, "mount", &[], NO_SUCH_CALL);
    check(&program, X86_64, "umount2", &[], REFUSED);
    check(&program, X86_64, "ptrace", &[], Action::Trace(7));
    check(&program, X86_64, "acct", &[], Action::Trap);
    check(&program, X86_64, "reboot", &[], Action::Log);
    check(&program, X86_64, "ioctl", &[1, 2], Action::Allow);
    check(&program, X86_64, "ioctl", &[1, 1], Action::Errno(13));
    check(&program, X86_64, "fcntl", &[0, 2], Action::Allow);
    check(&program, X86_64, "fcntl", &[0, 3], Action::Errno(13));
    check(&program, X86_64, "clone", &[0x11], Action::Allow);
    check(&program, X86_64, "clone", &[0x1000_0011], Action::Errno(13));
    assert_eq!(
        answer(&program, X86, 3, &[]),
        Action::KillProcess.value(),
        "not among them"
    );
    assert_eq!(
        answer(&program, Aarch64, 63, &[]),
        Action::KillProcess.value(),
        "not of here"
    );
}

const DOCKER: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO",
  "archMap": [
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
    {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
  ],
  "syscalls": [
    {"name": "read", "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": null},
    {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_SYS_ADMIN"]}},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.19"}},
    {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "6.18"}},
    {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
    {"names": ["times"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
    {"names": ["chdir"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
    {"names": ["fchdir"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_OF_NOBODY"]}},
    {"names": ["mseal"], "action": "SCMP_ACT_ERRNO"}
  ]
}"#;

#[test]
fn the_additions_of_docker() {
    let plain = program(DOCKER, &["BPF"]);
    let admin = program(DOCKER, &["BPF", "SYS_ADMIN"]);
    for (name, expected_plain, expected_admin) in [
        ("read", Action::Allow, Action::Allow),
        ("bpf", REFUSED, Action::Allow),
        ("clone3", NO_SUCH_CALL, REFUSED),
        ("ptrace", Action::Allow, Action::Allow),
        ("acct", REFUSED, REFUSED),
        ("sync", REFUSED, REFUSED),
        ("arch_prctl", Action::Allow, Action::Allow),
        ("times", REFUSED, REFUSED),
        ("chdir", REFUSED, REFUSED),
        ("fchdir", Action::Allow, Action::Allow),
    ] {
        check(&plain, X86_64, name, &[], expected_plain);
        check(&admin, X86_64, name, &[], expected_admin);
    }
    check(&plain, X86, "read", &[], Action::Allow);
    assert_eq!(
        answer(&plain, X32, 0x4000_0000, &[]),
        Action::KillProcess.value()
    );
}

#[test]
fn without_architectures_only_the_machines_own() {
    let program = program(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, &[]);
    check(&program, X86_64, "mount", &[], Action::Allow);
    assert_eq!(answer(&program, X86, 3, &[]), Action::KillProcess.value());
}

#[test]
fn what_cannot_be_done_is_said() {
    fails("[", "the seccomp profile cannot be read");
    fails(
        r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#,
        "the seccomp profile cannot be read",
    );
    let with = |fields: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", {fields}}}"#);
    fails(
        &with(r#""architectures": ["SCMP_ARCH_Z80"]"#),
        "the seccomp profile names the unknown architecture `SCMP_ARCH_Z80`",
    );
    fails(
        &with(r#""flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]"#),
        "the seccomp profile names the unknown flag `SECCOMP_FILTER_FLAG_NEW_LISTENER`",
    );
    fails(
        &with(
            r#""architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]"#,
        ),
        "the seccomp profile has both `architectures` and `archMap`, of which one is wanted",
    );
    let rule = |fields: &str| with(&format!(r#""syscalls": [{{{fields}}}]"#));
    fails(
        &rule(r#""names": ["read"], "action": "SCMP_ACT_NOTIFY""#),
        "the seccomp profile uses `SCMP_ACT_NOTIFY`, which podyard does not support",
    );
    fails(
        &rule(r#""name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW""#),
        "the seccomp profile has both `name` and `names`, of which one is wanted",
    );
    fails(
        &rule(r#""names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096"#),
        "the seccomp profile answers with errno 4096; they end at 4095",
    );
    fails(
        &rule(
            r#""names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]"#,
        ),
        "the seccomp profile compares argument 6 of `read`; arguments are 0 to 5",
    );
    fails(
        &rule(r#""names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}"#),
        "the seccomp profile asks for kernel `new`, which is no version such as `4.8`",
    );
}

#[test]
fn this_machine() {
    let here = Circumstances::here(CapabilitySet::EMPTY);
    assert!(here.kernel >= (4, 8), "{here:?}");
}
