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
        memory_min_bytes: Some(1 << 18),
        memory_high_bytes: Some(1 << 19),
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
    assert_eq!(read(tree.path(), "podyard/app/memory.min"), "262144");
    assert_eq!(read(tree.path(), "podyard/app/memory.high"), "524288");
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

/// A cgroup of v2 has what its parent hands down, and that is what counts.
#[test]
fn v2_limits_by_what_was_handed_down() {
    let tree = v2_tree("cpu memory pids");
    // As the kernel does where processes are in the parent: nothing can be enabled.
    fs::create_dir(tree.path().join("cgroup.subtree_control")).expect("not writable");
    fs::create_dir(tree.path().join("app")).expect("the cgroup");
    fs::write(tree.path().join("app/cgroup.controllers"), "memory\n").expect("its controllers");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    let cgroup = Cgroup::create(&root, "app", &limits()).expect("a cgroup");
    assert_eq!(read(tree.path(), "app/memory.max"), "1048576");
    assert!(!tree.path().join("app/cpu.max").exists());
    assert!(!tree.path().join("app/pids.max").exists());
    assert_eq!(
        cgroup.unenforced(),
        [Limit::CpuShares, Limit::CpuQuota, Limit::Pids]
    );
    assert_eq!(cgroup.oom_kills().ok(), None, "asked of memory.events");
}

#[test]
fn v2_enables_again_what_a_crash_left_out() {
    let tree = v2_tree("memory pids");
    let parent = tree.path().join("pod");
    fs::create_dir_all(parent.join("app")).expect("made by somebody before");
    fs::write(parent.join("app/cgroup.controllers"), "").expect("without controllers");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    Cgroup::create(&root, "pod/app", &Resources::default()).expect("taken over");
    for directory in ["", "pod/"] {
        let file = format!("{directory}cgroup.subtree_control");
        assert_eq!(read(tree.path(), &file), "+memory +pids");
    }
}

#[test]
fn v2_enables_only_what_is_missing() {
    let tree = v2_tree("cpu memory pids");
    fs::write(tree.path().join("cgroup.subtree_control"), "cpu pids\n").expect("enabled");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    Cgroup::create(&root, "app", &Resources::default()).expect("a cgroup");
    let written = read(tree.path(), "cgroup.subtree_control");
    assert!(written.starts_with("+memory"), "{written}");
}

/// Each controller is in one of the two, as the machine's init system has divided them.
#[test]
fn mixed_machines_limit_each_where_its_controller_is() {
    let tree = v1_tree(&["cpu", "devices"]);
    let unified = tree.path().join("unified");
    fs::create_dir(&unified).expect("the v2 hierarchy");
    fs::write(unified.join("cgroup.controllers"), "memory pids\n").expect("its controllers");
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    assert_eq!(root.layout(), Layout::Hybrid);
    let cgroup = Cgroup::create(&root, "pod/app", &limits()).expect("a cgroup");
    assert_eq!(read(tree.path(), "cpu/pod/app/cpu.shares"), "512");
    assert_eq!(read(&unified, "pod/app/memory.max"), "1048576");
    assert_eq!(read(&unified, "pod/app/pids.max"), "64");
    assert_eq!(
        read(&unified, "pod/cgroup.subtree_control"),
        "+memory +pids"
    );
    assert_eq!(cgroup.unenforced(), []);
    assert!(!unified.join("pod/app/cpu.weight").exists());
}

#[test]
fn v2_huge_pages_and_processors_have_their_files() {
    let tree = v2_tree("cpuset hugetlb");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    let resources = Resources {
        hugepages: vec![("2MB".to_owned(), 4 << 20), ("1GB".to_owned(), 0)],
        cpuset_cpus: Some("0-1".to_owned()),
        cpuset_mems: Some("0".to_owned()),
        ..Resources::default()
    };
    let cgroup = Cgroup::create(&root, "app", &resources).expect("a cgroup");
    assert_eq!(read(tree.path(), "app/hugetlb.2MB.max"), "4194304");
    assert_eq!(read(tree.path(), "app/hugetlb.1GB.max"), "0");
    assert_eq!(read(tree.path(), "app/cpuset.cpus"), "0-1");
    assert_eq!(read(tree.path(), "app/cpuset.mems"), "0");
    assert_eq!(cgroup.unenforced(), []);
}

#[test]
fn v1_huge_pages_have_their_hierarchy() {
    let tree = v1_tree(&["memory", "hugetlb"]);
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    Cgroup::create(&root, "plain", &Resources::default()).expect("a cgroup");
    assert!(!tree.path().join("hugetlb/plain").exists(), "not asked for");
    let resources = Resources {
        hugepages: vec![("2MB".to_owned(), 2 << 20)],
        ..Resources::default()
    };
    Cgroup::create(&root, "huge", &resources).expect("a cgroup");
    assert_eq!(
        read(tree.path(), "hugetlb/huge/hugetlb.2MB.limit_in_bytes"),
        "2097152"
    );
}

#[test]
fn v2_counts_kills_and_usage_by_its_own_files() {
    let tree = v2_tree("memory");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    let cgroup = Cgroup::create(&root, "app", &Resources::default()).expect("a cgroup");
    let write = |file: &str, content: &str| {
        fs::write(tree.path().join("app").join(file), content).expect("a file of the kernel's");
    };
    write(
        "memory.events",
        "low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 1\n",
    );
    write("memory.current", "5000\n");
    write("memory.stat", "anon 1\ninactive_file 2000\nactive_file 5\n");
    write("cpu.stat", "usage_usec 12\nuser_usec 5\nsystem_usec 7\n");
    assert_eq!(cgroup.oom_kills().expect("counted"), 2);
    let usage = cgroup.usage().expect("measured");
    assert_eq!(usage.memory_bytes, 5000);
    assert_eq!(usage.working_set_bytes, 3000);
    assert_eq!(usage.cpu_nanoseconds, 12_000);
}

#[test]
fn v2_kills_by_its_own_file() {
    let tree = v2_tree("");
    let root = CgroupRoot::detect_in(tree.path()).expect("a hierarchy");
    let cgroup = Cgroup::create(&root, "app", &Resources::default()).expect("a cgroup");
    cgroup.kill_all().expect("told to");
    assert_eq!(read(tree.path(), "app/cgroup.kill"), "1");
}

#[test]
fn a_machine_without_controllers_says_which_limits_nobody_holds() {
    let all = Resources {
        hugepages: vec![("2MB".to_owned(), 0)],
        cpuset_cpus: Some("0".to_owned()),
        devices: Devices::Container,
        ..limits()
    };
    let cgroup = Cgroup::create(&CgroupRoot::absent(), "app", &all).expect("it runs");
    assert_eq!(
        cgroup.unenforced(),
        [
            Limit::CpuShares,
            Limit::CpuQuota,
            Limit::Memory,
            Limit::Pids,
            Limit::Hugepages,
            Limit::Cpuset,
            Limit::Devices,
        ]
    );
    assert!(cgroup.pids().expect("nobody").is_empty());
    assert_eq!(cgroup.oom_kills().expect("none"), 0);
    cgroup.kill_all().expect("nobody");
    cgroup.remove(Duration::ZERO).expect("nothing");

    let tree = v1_tree(&["cpu", "devices"]);
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    let cgroup = Cgroup::create(&root, "app", &limits()).expect("it runs");
    assert_eq!(cgroup.unenforced(), [Limit::Memory, Limit::Pids]);
    assert_eq!(Limit::Memory.to_string(), "memory limit");
}

#[test]
fn one_that_nobody_has_open_is_removed_by_its_name() {
    let tree = v1_tree(&["cpu", "memory"]);
    let root = CgroupRoot::detect_in(tree.path()).unwrap();
    Cgroup::create(&root, "pods/one", &limits()).unwrap();
    Cgroup::remove_at(&root, "pods/one", Duration::ZERO).unwrap();
    assert!(Cgroup::open(&root, "pods/one").unwrap().is_none());
    assert!(Cgroup::open(&root, "pods").unwrap().is_some());
    Cgroup::remove_at(&root, "pods/one", Duration::ZERO).unwrap();
}

/// What does not differ between the containers of a pod is one directory for all of them.
#[test]
fn containers_of_a_pod_share_directories_on_v1() {
    let tree = v1_tree(&["cpu", "memory", "pids", "devices"]);
    let root = CgroupRoot::detect_in(tree.path()).expect("hierarchies");
    Cgroup::create(&root, "p/pod1", &limits()).expect("the pod's");
    let confined = Resources {
        devices: Devices::Container,
        pids_limit: None,
        ..limits()
    };
    let one = Cgroup::create_in_pod(&root, "p/pod1", "one.0", &confined).expect("a cgroup");
    let rules = "devices/p/pod1/confined/devices.allow";
    assert!(read(tree.path(), rules).ends_with("c 136:* rwm"));
    assert_eq!(one.attach_directories().count(), 4);
    assert_eq!(one.unenforced(), []);
    for own in ["cpu", "memory"] {
        assert!(tree.path().join(own).join("p/pod1/one.0").exists());
    }
    for shared in ["pids", "devices"] {
        assert!(!tree.path().join(shared).join("p/pod1/one.0").exists());
    }
    // The next one finds them as they are: others run in there.
    let list: Vec<&str> = vec![
        "c *:* m",
        "b *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:1 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
        "",
    ];
    let known = tree.path().join("devices/p/pod1/confined/devices.list");
    fs::write(&known, list.join("\n")).expect("as the kernel lists them");
    fs::remove_file(tree.path().join(rules)).expect("forgotten");
    Cgroup::create_in_pod(&root, "p/pod1", "two.0", &confined).expect("a cgroup");
    assert!(!tree.path().join(rules).exists(), "nothing was written");
    // One whose rules were never completed by whoever made it gets them.
    fs::write(&known, "a *:* rwm\n").expect("as the kernel makes it");
    Cgroup::create_in_pod(&root, "p/pod1", "three.0", &confined).expect("a cgroup");
    assert!(tree.path().join(rules).exists());

    // Whoever finds one again enters the same; what is not the container's alone does not go with it.
    let found = Cgroup::open_in_pod(&root, "p/pod1", "one.0").expect("found");
    let found = found.expect("it is there");
    assert_eq!(found.attach_directories().count(), 4);
    found.remove(Duration::ZERO).expect("removed");
    assert!(tree.path().join("pids/p/pod1").exists() && known.exists());
    let gone = Cgroup::open_in_pod(&root, "p/pod1", "one.0").expect("looked for");
    assert!(gone.is_none());

    // One that may use every device has a directory of its own, and so has one with a limit of its own.
    let privileged = Resources {
        devices: Devices::Inherited,
        ..limits()
    };
    Cgroup::create_in_pod(&root, "p/pod1", "all.0", &privileged).expect("a cgroup");
    for own in ["pids", "devices"] {
        assert!(tree.path().join(own).join("p/pod1/all.0").exists());
    }
    Cgroup::remove_at(&root, "p/pod1", Duration::ZERO).expect("removed");
    assert!(!tree.path().join("devices/p/pod1").exists());
    Cgroup::remove_if_empty(&root, "p");
    assert!(!tree.path().join("cpu/p").exists());
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
