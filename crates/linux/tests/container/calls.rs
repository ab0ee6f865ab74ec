//! How many system calls a container costs, so that it does not creep.
//!
//! Counted from outside, by strace, between two calls that nobody else makes. A container here has what a plain Kubernetes
//! container has, and of what depends on the machine (cgroups, masks) a fixed share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use podyard_linux::{Mount, Rlimit, Rootfs, make_mount_points, seccomp};

use crate::world::Pod;

tests![
    a_container_takes_no_more_calls_than_it_used_to,
    an_exec_takes_no_more_calls_than_it_used_to,
];

/// With this argument this program starts a process in a container between the marks, as a probe does.
pub(crate) const EXEC_ROLE: &str = "start-an-exec";
/// With this argument this program starts a container between the marks.
pub(crate) const START_ROLE: &str = "start-a-container";

const BEGIN: &str = "/podyard-test/mark/begin";
const END: &str = "/podyard-test/mark/end";

/// Calls of the process that becomes the container, from its birth to its execve. Lower it when they are fewer.
const CHILD_LIMIT: usize = 224;
/// Calls of the process that makes it, when the plan is complete.
const PARENT_LIMIT: usize = 16;

/// The same, creator and child, for one more process in a container.
const EXEC_LIMITS: [usize; 2] = [22, 64];

pub(crate) fn start_an_exec() {
    let pod = Pod::new();
    let container = pod.start(&["sleep", "1000"], |_| {});
    let mut running = container.spawn_exec(&["true"], |_| mark(BEGIN)).unwrap();
    running.launch.wait_running().unwrap();
    mark(END);
    assert_eq!(running.finish().code(), 0);
    drop(container);
    crate::image::clean_up();
}

pub(crate) fn start_a_container() {
    let pod = Pod::new();
    let volumes = ["a", "b", "c"].map(|name| pod.host_directory(name));
    let capabilities = podyard_linux::CapabilitySets::containerd_default();
    let filter = seccomp::runtime_default(capabilities.bounding);
    let mounts = volumes.map(|volume| {
        let name = Path::new("/volumes").join(volume.file_name().unwrap());
        Mount::bind(volume, name)
    });
    let mut rootfs = pod.rootfs();
    if let Rootfs::Overlay { layers, .. } = &mut rootfs {
        let points = pod.directory.path().join("points");
        make_mount_points(&points, &mounts).unwrap();
        // What the launcher mounts by itself, which most images have.
        for name in ["proc", "sys", "dev"] {
            std::fs::create_dir(points.join(name)).unwrap();
        }
        layers.insert(0, points);
    }
    // What is looked up once in a process's life is no part of what a container takes.
    let mut first = pod.spawn(&["true"], |_| ()).unwrap();
    first.launch.wait_running().unwrap();
    assert_eq!(first.finish().code(), 0);
    let mut running = pod
        .spawn(&["true"], |plan| {
            plan.rootfs = rootfs;
            plan.masked_paths = [c"/proc/interrupts", c"/sys/firmware", c"/proc/nothing"]
                .map(Into::into)
                .into();
            plan.readonly_paths = [c"/proc/sys", c"/proc/irq", c"/proc/nothing"]
                .map(Into::into)
                .into();
            plan.seccomp = Some(filter);
            plan.rlimits = vec![Rlimit {
                resource: libc::RLIMIT_CORE,
                soft: 0,
                hard: 0,
            }];
            plan.mounts.extend(mounts);
            mark(BEGIN);
        })
        .unwrap();
    running.launch.wait_running().unwrap();
    mark(END);
    assert_eq!(running.finish().code(), 0);
    crate::image::clean_up();
}

fn mark(path: &str) {
    assert!(std::fs::metadata(path).is_err(), "nobody makes this file");
}

fn a_container_takes_no_more_calls_than_it_used_to() {
    check(START_ROLE, [PARENT_LIMIT, CHILD_LIMIT]);
}

fn an_exec_takes_no_more_calls_than_it_used_to() {
    check(EXEC_ROLE, EXEC_LIMITS);
}

fn check(role: &str, [parent_limit, child_limit]: [usize; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let output = Command::new("strace")
        .args(["--follow-forks", "--output"])
        .arg(&log)
        .arg(format!("/proc/{}/exe", std::process::id()))
        .arg(role)
        .output()
        .expect("strace is there: run `scripts/install-dependencies test` first");
    assert!(output.status.success(), "{output:?}");
    let log = std::fs::read_to_string(log).unwrap();
    let (parent, child) = count(&log);
    for (whose, calls, limit) in [
        ("the creator", parent, parent_limit),
        ("the child", child, child_limit),
    ] {
        let total: usize = calls.values().sum();
        assert!(total > 10, "strace saw {calls:?}");
        assert!(total <= limit, "{total} calls of {whose}: {calls:#?}");
    }
}

type Calls = BTreeMap<String, usize>;

/// Calls by name of the process between the marks, and of the one it makes there until that executes its program.
fn count(log: &str) -> (Calls, Calls) {
    let lines: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let position = |mark: &str| {
        let found = lines.iter().position(|(_, call)| call.contains(mark));
        found.unwrap_or_else(|| panic!("no {mark} in the log"))
    };
    let (begin, end) = (position(BEGIN), position(END));
    let parent = lines[begin].0;
    let window = &lines[begin + 1..end];
    let child = window.iter().find_map(|(pid, call)| {
        let number = call.rsplit_once(" = ")?.1.trim();
        (*pid == parent && call.contains("clone3")).then_some(number)
    });
    let child = child.expect("it makes a process");
    let mut counts = (Calls::new(), Calls::new());
    for (pid, call) in window {
        let call = call.trim_start();
        // The second half of a call that was interrupted by another process's, and what is no call. What a debug build asks
        // about each descriptor before it closes it is not there in others.
        if call.starts_with(['<', '-', '+']) || call.contains("F_GETFD") {
            continue;
        }
        let name = call.split('(').next().unwrap_or_default().to_owned();
        let is_last = *pid == child && name == "execve";
        if *pid == parent {
            *counts.0.entry(name).or_default() += 1;
        } else if *pid == child {
            *counts.1.entry(name).or_default() += 1;
        }
        if is_last {
            break;
        }
    }
    counts
}
