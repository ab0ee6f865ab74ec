//! Cgroups with real processes in them: membership, limits, and what is told about a kill.

use podyard_linux::cgroup::{Devices, OomEvents, Resources};
use podyard_linux::{Cgroup, Mount, Stage, StageError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::world::{PATIENCE, Pod};

tests![
    a_container_is_in_its_cgroup_everywhere,
    a_memory_hog_is_killed_and_counted,
    a_killed_child_counts_as_well,
    memory_kills_are_announced,
    a_limit_below_what_a_launch_needs_ends_it,
    a_fork_bomb_stops_at_the_pids_limit,
    processor_limits_are_seen_inside,
    usage_is_measured,
    devices_can_be_made_but_not_opened,
    killing_a_cgroup_kills_everything_in_it,
    removal_waits_for_the_killed,
    limits_can_be_changed_while_it_runs,
    a_cgroup_is_found_again,
];

const MEMORY: u64 = 16 << 20;

fn memory_limit() -> Resources {
    Resources {
        memory_limit_bytes: Some(MEMORY),
        swap_limit_bytes: Some(0),
        ..Resources::default()
    }
}

/// `tail` keeps what it has read, and `/dev/zero` has no lines.
const HOG: &str = "tail /dev/zero";

fn a_container_is_in_its_cgroup_everywhere() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &Resources::default());
    let container = pod.start(&["sleep", "1000"], |plan| plan.cgroup = Some(&cgroup));
    let file = format!("/proc/{}/cgroup", container.process().pid());
    let file = std::fs::read_to_string(file).unwrap();
    let expected = format!("/{}/app", pod.cgroup_path());
    for line in file.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap());
        let ours = ["cpu", "cpuacct", "memory", "pids", "devices", ""];
        if controllers.split(',').any(|name| ours.contains(&name)) {
            assert!(path.ends_with(&expected), "{line}");
        }
    }
    assert_eq!(cgroup.pids().unwrap(), [container.process().pid()]);
}

fn a_memory_hog_is_killed_and_counted() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &memory_limit());
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    let outcome = pod.run(&["sh", "-c", &format!("exec {HOG}")], |plan| {
        plan.cgroup = Some(&cgroup);
    });
    assert_eq!(outcome.code(), 137);
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
}

fn a_killed_child_counts_as_well() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &memory_limit());
    let outcome = pod.run(
        &["sh", "-c", &format!("{HOG}; echo its code was $?")],
        |plan| {
            plan.cgroup = Some(&cgroup);
        },
    );
    // On v1 the first process lives on, and its exit code tells nothing.
    assert_eq!(outcome.success(), "its code was 137");
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
}

fn memory_kills_are_announced() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &memory_limit());
    let events = cgroup.oom_events().unwrap().expect("memory control");
    assert!(!announced(&events, Timespec::default()));
    pod.run(&["sh", "-c", &format!("{HOG}; true")], |plan| {
        plan.cgroup = Some(&cgroup);
    });
    let patience = Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap(),
        tv_nsec: 0,
    };
    assert!(announced(&events, patience));
    events.acknowledge().unwrap();
    assert!(!announced(&events, Timespec::default()));
}

/// What a person sees of it is a container that could not be started, and why is in the count.
fn a_limit_below_what_a_launch_needs_ends_it() {
    let pod = Pod::new();
    let resources = Resources {
        memory_limit_bytes: Some(64 << 10),
        ..memory_limit()
    };
    let cgroup = pod.cgroup("app", &resources);
    let mut running = pod
        .spawn(&["true"], |plan| plan.cgroup = Some(&cgroup))
        .unwrap();
    let error = running.launch.wait_running().expect_err("no memory for it");
    let error = error.into_inner().unwrap();
    let error = error.downcast::<StageError>().unwrap();
    assert_eq!(error.stage, Stage::Vanished);
    assert_eq!(running.finish().code(), 137);
    assert!(cgroup.oom_kills().unwrap() > 0);
}

fn announced(events: &OomEvents, timeout: Timespec) -> bool {
    poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

fn a_fork_bomb_stops_at_the_pids_limit() {
    let pod = Pod::new();
    let resources = Resources {
        pids_limit: Some(20),
        ..Resources::default()
    };
    let cgroup = pod.cgroup("app", &resources);
    let mut bomb = pod.start(
        &[
            "sh",
            "-c",
            "b() { b & b; }; (b) 2>/dev/null; echo tried; sleep 1000",
        ],
        |plan| plan.cgroup = Some(&cgroup),
    );
    // Every branch of it ends when it cannot fork; the shell that began it says so.
    assert_eq!(bomb.line(), "tried");
    assert!(cgroup.pids().unwrap().len() <= 20);
    let refused = pod.run(
        &["sh", "-c", "for i in $(seq 30); do sleep 1000 & done"],
        |plan| {
            plan.cgroup = Some(&cgroup);
        },
    );
    assert!(refused.stderr.contains("can't fork"), "{refused:?}");
    bomb.kill();
}

fn processor_limits_are_seen_inside() {
    let pod = Pod::new();
    let resources = Resources {
        cpu_shares: Some(512),
        cpu_quota_us: Some(25_000),
        cpu_period_us: Some(50_000),
        ..Resources::default()
    };
    let cgroup = pod.cgroup("app", &resources);
    let script = "cd /sys/fs/cgroup; if [ -e cpu.max ]; then cat cpu.max;
        else echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); fi";
    let printed = pod.sh(script, |plan| plan.cgroup = Some(&cgroup));
    assert_eq!(printed, "25000 50000");
    let script = "for f in $(find /sys/fs/cgroup -name 'cpu.max' -o -name cpu.shares -o -name memory.max -o -name pids.max);
        do echo 1 2>/dev/null >$f && echo $f can be written; done; true";
    let printed = pod.sh(script, |plan| plan.cgroup = Some(&cgroup));
    assert_eq!(printed, "", "no container changes its own limits");
}

fn usage_is_measured() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &Resources::default());
    let script =
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; head -c 1000000 /dev/zero >/dev/shm/x";
    pod.sh(script, |plan| plan.cgroup = Some(&cgroup));
    let usage = cgroup.usage().unwrap();
    assert!(usage.cpu_nanoseconds > 1_000_000, "{usage:?}");
    // What it wrote into memory stays and is charged to it.
    assert!(usage.memory_bytes > 1_000_000, "{usage:?}");
    assert!(usage.working_set_bytes <= usage.memory_bytes);
}

fn devices_can_be_made_but_not_opened() {
    let pod = Pod::new();
    let resources = Resources {
        devices: Devices::Container,
        ..Resources::default()
    };
    let cgroup = pod.cgroup("app", &resources);
    let script = "mknod /memory c 1 1 && mknod /disk b 254 0 && mknod /mine c 1 5
        for d in /memory /disk /mine /dev/null /dev/urandom /dev/tty /dev/ptmx; do
          (: <$d) 2>&1 | sed 's/.*: //'; echo $d; done";
    let printed = pod.sh(script, |plan| plan.cgroup = Some(&cgroup));
    // /dev/tty may be opened, but there is no terminal.
    assert_eq!(
        printed.replace("I/O error\n", ""),
        "Operation not permitted\n/memory\nOperation not permitted\n/disk\n/mine\n/dev/null\n/dev/urandom\n\
         No such device or address\n/dev/tty\n/dev/ptmx"
    );
    // A device of a volume is no exception.
    let volume = pod.host_directory("volume");
    let device = rustix::fs::makedev(1, 1);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        volume.join("memory"),
        kind,
        0o666.into(),
        device,
    )
    .unwrap();
    let outcome = pod.run(&["head", "-c", "1", "/data/memory"], |plan| {
        plan.cgroup = Some(&cgroup);
        plan.mounts.push(Mount::bind(&volume, "/data"));
    });
    assert!(outcome.stderr.contains("not permitted"), "{outcome:?}");
}

/// A container with processes that ignore every signal but one, some of them in sessions of their own.
fn crowd<'a>(pod: &'a Pod, cgroup: &'a Cgroup) -> crate::world::Running {
    let script =
        "trap '' TERM INT HUP; for i in 1 2 3; do setsid sleep 1000 & done; echo up; sleep 1000";
    let mut running = pod.start(&["sh", "-c", script], |plan| plan.cgroup = Some(cgroup));
    running.line();
    running
}

fn killing_a_cgroup_kills_everything_in_it() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &Resources::default());
    let running = crowd(&pod, &cgroup);
    assert!(cgroup.pids().unwrap().len() >= 4);
    cgroup.kill_all().unwrap();
    assert_eq!(running.finish().code(), 137);
    cgroup.remove(PATIENCE).unwrap();
    assert!(
        Cgroup::open(&pod.cgroup_root, cgroup.path())
            .unwrap()
            .is_none()
    );
    cgroup.remove(PATIENCE).expect("gone already is no error");
}

fn removal_waits_for_the_killed() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &Resources::default());
    let running = crowd(&pod, &cgroup);
    cgroup.remove(PATIENCE).unwrap();
    assert_eq!(running.finish().code(), 137);
}

fn limits_can_be_changed_while_it_runs() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &memory_limit());
    let running = pod.start(&["sleep", "1000"], |plan| plan.cgroup = Some(&cgroup));
    for limit in [4 * MEMORY, MEMORY / 2] {
        let resources = Resources {
            memory_limit_bytes: Some(limit),
            ..memory_limit()
        };
        cgroup.update(&resources).unwrap();
        let script = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
        let printed = running.exec(&["sh", "-c", script], |_| {}).success();
        assert_eq!(printed, limit.to_string());
    }
}

fn a_cgroup_is_found_again() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &memory_limit());
    let running = pod.start(&["sleep", "1000"], |plan| plan.cgroup = Some(&cgroup));
    let path = cgroup.path().to_owned();
    drop(cgroup);
    let found = Cgroup::open(&pod.cgroup_root, &path)
        .unwrap()
        .expect("it is there");
    assert_eq!(found.pids().unwrap(), [running.process().pid()]);
    // Making it anew takes it over.
    let again = Cgroup::create(&pod.cgroup_root, &path, &memory_limit()).unwrap();
    assert_eq!(again.pids().unwrap(), [running.process().pid()]);
}
