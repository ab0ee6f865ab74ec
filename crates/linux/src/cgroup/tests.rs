//! The three layouts on plain directory trees: what is made where, and what is written into it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

fn v1_tree(controllers: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a directory");
    for controller in controllers {
        let directory = tree.path().join(controller);
        fs::create_dir(&directory).expect("a hierarchy");
        fs::write(directory.join("cgroup.procs"), "").expect("its list");
    }
    tree
}

fn v2_tree(controllers: &str) -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a directory");
    fs::write(tree.path().join("cgroup.controllers"), controllers).expect("its controllers");
    tree
}

fn read(tree: &Path, file: &str) -> String {
    fs::read_to_string(tree.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn limits() -> Resources {
    Resources {
        cpu_shares: Some(512),
        cpu_quota_us: Some(50_000),
        memory_limit_bytes: Some(1 << 20),
        swap_limit_bytes: Some(0),
        pids_limit: Some(64),
        ..Resources::default()
    }
}

#[test]
fn v1_writes_each_limit_into_its_hierarchy() {
    let tree = v1_tree(&["cpu", "memory", "pids", "blkio"]);
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    assert_eq!(root.layout(), Layout::V1);
    let cgroup = Cgroup::create(&root, "podyard/a/app", &limits()).expect("a cgroup");
    assert_eq!(read(tree.path(), "cpu/podyard/a/app/cpu.shares"), "512");
    assert_eq!(
        read(tree.path(), "cpu/podyard/a/app/cpu.cfs_quota_us"),
        "50000"
    );
    assert_eq!(
        read(tree.path(), "memory/podyard/a/app/memory.limit_in_bytes"),
        "1048576"
    );
    assert_eq!(
        read(
            tree.path(),
            "memory/podyard/a/app/memory.memsw.limit_in_bytes"
        ),
        "1048576"
    );
    assert_eq!(read(tree.path(), "pids/podyard/a/app/pids.max"), "64");
    assert!(
        !tree.path().join("blkio/podyard").exists(),
        "not ours to limit"
    );
    cgroup.remove(Duration::ZERO).expect("removed");
    assert!(!tree.path().join("memory/podyard/a/app").exists());
    assert!(
        tree.path().join("memory/podyard/a").exists(),
        "the parent stays"
    );
}

#[test]
fn controllers_mounted_together_have_one_directory() {
    let tree = v1_tree(&["cpu,cpuacct", "memory"]);
    for name in ["cpu", "cpuacct"] {
        std::os::unix::fs::symlink("cpu,cpuacct", tree.path().join(name)).expect("a link");
    }
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    let cgroup = Cgroup::create(&root, "x", &Resources::default()).expect("a cgroup");
    let names: Vec<_> = cgroup
        .visible_directories()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [Some("cpu,cpuacct".to_owned()), Some("memory".to_owned())]
    );
}

#[test]
fn v1_cpusets_are_filled_from_their_parents() {
    let tree = v1_tree(&["cpuset"]);
    fs::write(tree.path().join("cpuset/cpuset.cpus"), "0-1\n").expect("cpus");
    fs::write(tree.path().join("cpuset/cpuset.mems"), "0\n").expect("mems");
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    let resources = Resources {
        cpuset_cpus: Some("1".to_owned()),
        ..Resources::default()
    };
    Cgroup::create(&root, "a/b", &resources).expect("a cgroup");
    assert_eq!(read(tree.path(), "cpuset/a/cpuset.cpus"), "0-1");
    assert!(read(tree.path(), "cpuset/a/b/cpuset.cpus").starts_with('1'));
    assert_eq!(read(tree.path(), "cpuset/a/b/cpuset.mems"), "0");
}

#[test]
fn v2_enables_controllers_and_converts_limits() {
    let tree = v2_tree("cpu memory pids");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    assert_eq!(root.layout(), Layout::V2);
    let resources = Resources {
        oom_group: true,
        ..limits()
    };
    Cgroup::create(&root, "podyard/app", &resources).expect("a cgroup");
    assert_eq!(
        read(tree.path(), "cgroup.subtree_control"),
        "+cpu +memory +pids"
    );
    assert_eq!(
        read(tree.path(), "podyard/cgroup.subtree_control"),
        "+cpu +memory +pids"
    );
    assert_eq!(read(tree.path(), "podyard/app/cpu.weight"), "20");
    assert_eq!(read(tree.path(), "podyard/app/cpu.max"), "50000 100000");
    assert_eq!(read(tree.path(), "podyard/app/memory.max"), "1048576");
    assert_eq!(read(tree.path(), "podyard/app/memory.swap.max"), "0");
    assert_eq!(read(tree.path(), "podyard/app/memory.oom.group"), "1");
}

#[test]
fn hybrid_limits_by_v1_and_tracks_by_v2() {
    let tree = v1_tree(&["memory", "pids"]);
    let unified = tree.path().join("unified");
    fs::create_dir(&unified).expect("the v2 hierarchy");
    fs::write(unified.join("cgroup.controllers"), "\n").expect("no controllers");
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    assert_eq!(root.layout(), Layout::Hybrid);
    let cgroup = Cgroup::create(&root, "x", &limits()).expect("a cgroup");
    assert_eq!(
        read(tree.path(), "memory/x/memory.limit_in_bytes"),
        "1048576"
    );
    assert!(unified.join("x").is_dir());
    assert!(cgroup.birth_directory().is_some());
    assert_eq!(cgroup.attach_directories().count(), 2);
    let names: Vec<_> = cgroup
        .visible_directories()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [Some("memory".to_owned()), Some("pids".to_owned())]);
}

#[test]
fn paths_cannot_climb() {
    let tree = v2_tree("");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    for path in ["", "/a", "a//b", "../a", "a/..", "a/./b"] {
        let refused = Cgroup::create(&root, path, &Resources::default());
        assert!(
            matches!(refused, Err(CgroupError::BadPath { .. })),
            "{path:?}"
        );
    }
}

#[test]
fn an_empty_directory_has_no_hierarchy() {
    let tree = tempfile::tempdir().expect("a directory");
    let error = CgroupRoot::detect_in(tree.path()).expect_err("nothing there");
    assert!(matches!(error, CgroupError::NoHierarchy { .. }));
}

#[test]
fn counters_are_read_by_key() {
    assert_eq!(
        keyed_value("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"),
        Some(3)
    );
    assert_eq!(keyed_value("low 0\n", "oom_kill"), None);
}
