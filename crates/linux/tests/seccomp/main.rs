//! The default filter on a real process: this test's own program, launched as a container, makes calls and tells what
//! came of them. Needs root.
//!
//! ```text
//! the test ── Sandbox::create ──▶ this program as `pause`
//!          ── ContainerPlan::spawn ──▶ this program as `probe` ── its lines ──▶ the test
//! ```

mod probe;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use podyard_linux::seccomp;
use podyard_linux::{
    CapabilitySets, ContainerPlan, Mount, Rootfs, Sandbox, SandboxNetwork, SandboxPlan, Stdio, User,
};

const EPERM: i32 = 1;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;

fn words(words: &[&str]) -> Vec<CString> {
    words
        .iter()
        .map(|word| CString::new(*word).unwrap())
        .collect()
}

/// A sandbox that goes away with the test.
struct World(Sandbox);

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::create(&SandboxPlan {
            hostname: "seccomp".into(),
            domainname: None,
            network: SandboxNetwork::New,
            new_ipc: true,
            new_uts: true,
            share_process_namespace: false,
            user_namespace: None,
            sysctls: Vec::new(),
            arguments: Vec::new(),
            cgroup: None,
            cgroup_names: Vec::new(),
            oom_score_adj: None,
        });
        Self(sandbox.expect("these tests need root"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let process = self.0.process();
        let _ = process.signal(libc::SIGKILL);
        let _ = process.wait_exited(None);
        let _ = process.reap();
    }
}

/// Runs `probe` in a container that the caller has changed to its liking, and gives what it said: errno by call, 0 for
/// success.
fn run(change: impl FnOnce(&mut ContainerPlan<'_>)) -> BTreeMap<String, i32> {
    let world = World::new();
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    let (mut answers, output) = std::io::pipe().unwrap();
    let output = OwnedFd::from(output);
    let stdio = Stdio::Files {
        stdin: File::open("/dev/null").unwrap().into(),
        stdout: output.try_clone().unwrap(),
        stderr: output,
    };
    let command = [
        "/probe",
        "probe::probe",
        "--exact",
        "--ignored",
        "--nocapture",
    ];
    let rootfs = Rootfs::Directory(root.path().to_owned());
    let mut plan = ContainerPlan::new(&world.0, rootfs, words(&command), stdio);
    plan.env = words(&[probe::INSIDE]);
    plan.mounts
        .push(Mount::bind(std::env::current_exe().unwrap(), "/probe").read_only());
    // What a dynamically linked program needs.
    for directory in ["/usr", "/lib", "/lib64"] {
        if fs::exists(directory).unwrap() {
            plan.mounts
                .push(Mount::bind(directory, directory).read_only());
        }
    }
    change(&mut plan);

    let mut launch = plan.spawn().unwrap();
    launch.wait_ready().unwrap();
    launch.wait_running().unwrap();
    drop(plan);
    let mut text = String::new();
    answers.read_to_string(&mut text).unwrap();
    launch.process.wait_exited(None).unwrap();
    let status = launch.process.reap().unwrap();

    let answer = |line: &str| {
        let (call, errno) = line.split_once("probe: ")?.1.split_once(" = ")?;
        Some((call.to_owned(), errno.parse().ok()?))
    };
    let answers: BTreeMap<_, _> = text.lines().filter_map(answer).collect();
    assert_eq!(answers.get("the end"), Some(&0), "{status:?} after\n{text}");
    answers
}

fn check(answers: &BTreeMap<String, i32>, expected: &[(&str, i32)]) {
    for &(call, errno) in expected {
        let found = *answers
            .get(call)
            .unwrap_or_else(|| panic!("{call} is missing: {answers:?}"));
        assert_eq!(found, errno, "{call} of {answers:?}");
    }
}

const CONFINED: &[(&str, i32)] = &[
    ("unshare CLONE_NEWUSER", EPERM),
    ("unshare nothing", EPERM),
    ("mount nothing", EPERM),
    ("keyctl", EPERM),
    ("io_uring_setup", EPERM),
    ("clone with CLONE_NEWUSER", EPERM),
    ("clone3", ENOSYS),
    ("file_getattr", ENOSYS),
    ("call 5000", ENOSYS),
    ("personality 0xdead", EPERM),
    ("personality 0xffffffff", 0),
    ("socket AF_UNIX", 0),
    ("socket AF_ALG", EPERM),
    ("socket AF_VSOCK", EPERM),
    ("socket AF_VSOCK with a bit nobody looks at", EPERM),
    ("getpid", 0),
    ("a thread", 0),
    ("a program", 0),
    ("mode of the filter, 2", 0),
];

#[test]
fn root_is_confined() {
    let answers = run(|plan| {
        plan.seccomp = Some(seccomp::runtime_default(plan.capabilities.bounding));
    });
    check(&answers, CONFINED);
    check(&answers, &[("chroot", 0), ("reboot", EPERM)]);
}

/// With `no_new_privileges` the filter is loaded last, by a process that has lost its capabilities.
#[test]
fn a_user_without_capabilities_is_confined() {
    let answers = run(|plan| {
        plan.user = User {
            uid: 1000,
            gid: 1000,
            additional_gids: Vec::new(),
        };
        plan.no_new_privileges = true;
        plan.capabilities = CapabilitySets::default();
        plan.seccomp = Some(seccomp::runtime_default(plan.capabilities.bounding));
    });
    check(&answers, CONFINED);
    check(&answers, &[("chroot", EPERM)]);
}

/// Without a filter the kernel gives other answers, so those above are the filter's.
#[test]
fn without_a_filter_it_would_be_different() {
    let answers = run(|_| {});
    check(
        &answers,
        &[
            ("unshare nothing", 0),
            ("mount nothing", EFAULT),
            ("keyctl", 0),
            ("io_uring_setup", EFAULT),
            ("clone3", EINVAL),
            ("personality 0xdead", 0),
            ("a thread", 0),
            ("a program", 0),
        ],
    );
}
