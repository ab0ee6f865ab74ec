//! Cgroups of version 2 with real processes, in a hierarchy that may have no controllers: birth, kill, devices, what is seen.

use std::path::{Path, PathBuf};

use podyard_linux::cgroup::{Devices, Layout, Limit, Resources};
use podyard_linux::{Cgroup, CgroupRoot};

use crate::world::{PATIENCE, Pod, mount_tmpfs, own_mounts, unmount_below};

tests![
    a_container_is_born_into_its_cgroup,
    it_sees_its_own_cgroup_and_cannot_change_it,
    everything_in_it_is_killed_at_once,
    devices_are_confined_by_a_program,
    a_hierarchy_that_is_read_only_limits_nothing,
];

/// Where the machine has a hierarchy of version 2. One with version 1 alone has nothing to test here.
fn hierarchy() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.join("cgroup.controllers").exists())
}

/// A cgroup of the hierarchy alone.
struct Unified {
    path: PathBuf,
    cgroup: Cgroup,
}

impl Unified {
    fn new(name: &str, resources: &Resources) -> Option<Self> {
        let hierarchy = hierarchy()?;
        let root = CgroupRoot::detect_in(&hierarchy).unwrap();
        assert_eq!(root.layout(), Layout::V2);
        let path = format!("podyard-test-{}-{name}", std::process::id());
        Some(Self {
            cgroup: Cgroup::create(&root, &path, resources).unwrap(),
            path: hierarchy.join(path),
        })
    }
}

impl Drop for Unified {
    fn drop(&mut self) {
        let removed = self.cgroup.remove(PATIENCE);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn a_container_is_born_into_its_cgroup() {
    let Some(unified) = Unified::new("birth", &Resources::default()) else {
        return;
    };
    let pod = Pod::new();
    let mut running = pod
        .spawn(&["true"], |plan| plan.cgroup = Some(&unified.cgroup))
        .unwrap();
    // From the first instruction on, not when everything is set up.
    let pids = std::fs::read_to_string(unified.path.join("cgroup.procs")).unwrap();
    assert_eq!(pids.trim(), running.process().pid().to_string());
    running.launch.wait_running().unwrap();
    assert_eq!(running.finish().code(), 0);
}

fn it_sees_its_own_cgroup_and_cannot_change_it() {
    let Some(unified) = Unified::new("view", &Resources::default()) else {
        return;
    };
    let pod = Pod::new();
    let script = "cat /proc/self/cgroup | grep ^0; grep ' /sys/fs/cgroup ' /proc/self/mountinfo; cat /sys/fs/cgroup/cgroup.procs
        mkdir /sys/fs/cgroup/mine 2>&1; (echo 1 >/sys/fs/cgroup/cgroup.kill) 2>&1 | sed 's/.*: //'";
    let printed = pod.sh(script, |plan| plan.cgroup = Some(&unified.cgroup));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "0::/");
    assert!(
        lines[1].contains(" ro,nosuid,nodev,noexec,relatime - cgroup2 "),
        "{printed}"
    );
    assert_eq!(lines[2], "1");
    let refusals = printed.matches("Read-only file system").count();
    assert_eq!(refusals, 2, "{printed}");
}

fn everything_in_it_is_killed_at_once() {
    let Some(unified) = Unified::new("kill", &Resources::default()) else {
        return;
    };
    let pod = Pod::new();
    let script = "trap '' TERM; for i in 1 2 3; do setsid sleep 1000 & done; echo up; sleep 1000";
    let mut running = pod.start(&["sh", "-c", script], |plan| {
        plan.cgroup = Some(&unified.cgroup);
    });
    running.line();
    unified.cgroup.kill_all().unwrap();
    assert_eq!(running.finish().code(), 137);
    unified.cgroup.remove(PATIENCE).unwrap();
    assert!(!unified.path.exists());
}

/// The kernel takes the program, and it decides as the rules of version 1 do.
fn devices_are_confined_by_a_program() {
    let resources = Resources {
        devices: Devices::Container,
        ..Resources::default()
    };
    let Some(unified) = Unified::new("devices", &resources) else {
        return;
    };
    assert_eq!(unified.cgroup.unenforced(), []);
    let pod = Pod::new();
    let script = "mknod /memory c 1 1 && mknod /disk b 254 0 && mknod /mine c 1 5
        for d in /memory /disk /mine /dev/null /dev/urandom /dev/ptmx; do
          (: <$d) 2>&1 | sed 's/.*: //'; echo $d; done";
    let printed = pod.sh(script, |plan| plan.cgroup = Some(&unified.cgroup));
    assert_eq!(
        printed,
        "Operation not permitted\n/memory\nOperation not permitted\n/disk\n/mine\n/dev/null\n/dev/urandom\n/dev/ptmx"
    );
    // Taking a cgroup over attaches one more, and all have to agree.
    let root = CgroupRoot::detect_in(&hierarchy().unwrap()).unwrap();
    let again = Cgroup::create(&root, unified.cgroup.path(), &resources).unwrap();
    for _ in 0..100 {
        again
            .update(&resources)
            .expect("changing limits attaches none");
    }
}

fn a_hierarchy_that_is_read_only_limits_nothing() {
    own_mounts();
    let directory = tempfile::tempdir().unwrap();
    mount_tmpfs(directory.path());
    std::fs::write(directory.path().join("cgroup.controllers"), "memory pids").unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    rustix::mount::mount_remount(directory.path(), flags, Path::new("")).unwrap();
    let root = CgroupRoot::detect_in(directory.path()).unwrap();
    let resources = Resources {
        memory_limit_bytes: Some(1 << 20),
        ..Resources::default()
    };
    let cgroup = Cgroup::create(&root, "podyard/app", &resources).unwrap();
    assert_eq!(cgroup.unenforced(), [Limit::Memory]);
    // And a container runs in it, which is nowhere.
    let pod = Pod::new();
    assert_eq!(
        pod.sh("echo runs", |plan| plan.cgroup = Some(&cgroup)),
        "runs"
    );
    Cgroup::remove_at(&root, "podyard/app", PATIENCE).unwrap();
    unmount_below(directory.path());
}
