//! Nothing is left: no mount, no cgroup, no process, no descriptor.

use std::collections::BTreeSet;
use std::path::Path;

use podyard_linux::cgroup::Resources;
use podyard_linux::{Mount, Stage};

use crate::world::Pod;

tests![
    a_pod_that_ran_leaves_nothing,
    failed_launches_leave_nothing,
    the_sandbox_outlives_its_containers_and_nothing_outlives_it,
];

/// What could be left behind on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    descriptors: BTreeSet<i32>,
    mounts: String,
    children: String,
}

impl Traces {
    fn now() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .map(|name| name.to_str().unwrap().parse().unwrap())
            .collect();
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        Self {
            descriptors,
            mounts: std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap(),
            children,
        }
    }
}

/// Directories named after `path` in any hierarchy.
fn cgroup_directories(path: &str) -> Vec<std::path::PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).unwrap();
    hierarchies
        .flatten()
        .map(|hierarchy| hierarchy.path())
        .chain([root.to_owned()])
        .map(|hierarchy| hierarchy.join(path))
        .filter(|directory| directory.exists())
        .collect()
}

fn a_pod_that_ran_leaves_nothing() {
    // What is unpacked once and stays is not a trace.
    crate::image::layer();
    crate::world::own_mounts();
    let before = Traces::now();
    let path = {
        let pod = Pod::new();
        let cgroup = pod.cgroup("app", &Resources::default());
        let volume = pod.host_directory("volume");
        let path = pod.cgroup_path().to_owned();
        for _ in 0..3 {
            pod.sh("touch /data/x; setsid sleep 1000 &", |plan| {
                plan.cgroup = Some(&cgroup);
                plan.mounts.push(Mount::bind(&volume, "/data"));
            });
        }
        assert!(cgroup.pids().unwrap().is_empty(), "all ended with pid 1");
        assert!(!cgroup_directories(&path).is_empty());
        path
    };
    assert_eq!(Traces::now(), before);
    assert_eq!(cgroup_directories(&path), Vec::<std::path::PathBuf>::new());
}

fn failed_launches_leave_nothing() {
    crate::world::own_mounts();
    let pod = Pod::new();
    crate::image::layer();
    let cgroup = pod.cgroup("app", &Resources::default());
    let before = Traces::now();
    for _ in 0..3 {
        let error = pod.failure(&["nope"], |plan| plan.cgroup = Some(&cgroup));
        assert_eq!(error.stage, Stage::FindProgram);
        let error = pod.failure(&["true"], |plan| {
            plan.cgroup = Some(&cgroup);
            plan.mounts.push(Mount::bind("/no/such/thing", "/data"));
        });
        assert_eq!(error.stage, Stage::MountSource);
        assert!(pod.spawn(&[], |_| {}).is_err());
    }
    assert_eq!(Traces::now(), before);
    assert!(cgroup.pids().unwrap().is_empty());
}

fn the_sandbox_outlives_its_containers_and_nothing_outlives_it() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let container = pod.start(&["sleep", "1000"], |plan| {
        plan.pid_namespace = podyard_linux::PidNamespace::Sandbox;
    });
    let first = pod.start(&["sleep", "1000"], |_| {});
    first.kill();
    assert!(pod.sandbox.process().peek_exit().is_none(), "still there");
    // With a pid namespace of the pod, its end is the end of all, and takes until all have been reaped.
    pod.sandbox.process().signal(libc::SIGKILL).unwrap();
    assert_eq!(container.finish().code(), 137);
}
