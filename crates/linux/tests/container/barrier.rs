//! Between set-up and start: a container can be made long before its program may run.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use podyard_linux::{
    ContainerPlan, LaunchEvent, LaunchRecord, Mount, PidNamespace, Process, Stage, WaitStatus,
    read_launch_record,
};

use crate::world::{PATIENCE, Pod, exists, string};

tests![
    nothing_of_the_container_runs_before_it_is_started,
    volumes_show_what_was_done_since_the_set_up,
    a_launch_that_is_dropped_runs_nothing,
    a_launch_that_is_killed_has_vanished,
    starting_early_is_starting_when_ready,
    events_come_without_waiting_for_them,
    the_record_tells_how_far_it_got,
    it_waits_in_its_cgroup,
    nobody_looks_into_a_process_that_waits,
];

/// A plan's only trace in the world: a file that its program makes in a volume.
fn leaves_a_trace(volume: &Path) -> impl FnOnce(&mut ContainerPlan<'_>) {
    move |plan| plan.mounts.push(Mount::bind(volume, "/data"))
}

const TRACE: [&str; 3] = ["sh", "-c", "touch /data/ran"];

fn nothing_of_the_container_runs_before_it_is_started() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let mut running = pod.spawn(&TRACE, leaves_a_trace(&volume)).unwrap();
    running.launch.wait_ready().unwrap();
    // Still the launcher's code and not the container's program.
    let inode = |path: &str| std::fs::metadata(path).unwrap().ino();
    let program = format!("/proc/{}/exe", running.process().pid());
    assert_eq!(inode(&program), inode("/proc/self/exe"));
    assert!(!volume.join("ran").exists());
    running.launch.wait_running().unwrap();
    running.launch.start().expect("more calls do nothing");
    assert_eq!(running.finish().code(), 0);
    assert!(volume.join("ran").exists());
}

/// An init container can be made while the one before it still runs: their shared volumes are mounts, not copies.
fn volumes_show_what_was_done_since_the_set_up() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let script = "cat /data/result /data/sub/deep /dev/shm/memory";
    let mut second = pod
        .spawn(&["sh", "-c", script], leaves_a_trace(&volume))
        .unwrap();
    second.launch.wait_ready().unwrap();
    let script =
        "echo 1 >/data/result; mkdir /data/sub; echo 2 >/data/sub/deep; echo 3 >/dev/shm/memory";
    pod.sh(script, leaves_a_trace(&volume));
    second.launch.wait_running().unwrap();
    assert_eq!(second.finish().success(), "1\n2\n3");
}

fn a_launch_that_is_dropped_runs_nothing() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    for wait in [true, false] {
        let mut running = pod.spawn(&TRACE, leaves_a_trace(&volume)).unwrap();
        if wait {
            running.launch.wait_ready().unwrap();
        }
        let process: Process = running.process().try_clone().unwrap();
        // Only the channel: what `Running` does when it is dropped would kill.
        running.abandon();
        assert!(process.wait_exited(Some(PATIENCE)).unwrap());
        let status = process.reap().unwrap().unwrap();
        assert!(
            matches!(status, WaitStatus::Exited(125)),
            "{status:?} with wait {wait}"
        );
        assert!(!volume.join("ran").exists());
    }
}

fn a_launch_that_is_killed_has_vanished() {
    let pod = Pod::new();
    let mut running = pod.spawn(&["true"], |_| {}).unwrap();
    running.launch.wait_ready().unwrap();
    running.signal(libc::SIGKILL);
    running.process().wait_exited(None).unwrap();
    match running.launch.next().unwrap() {
        Some(LaunchEvent::Failed(error)) => assert_eq!(error.stage, Stage::Vanished),
        other => panic!("{other:?}"),
    }
    assert!(
        running.launch.next().unwrap().is_none(),
        "nothing more to say"
    );
    assert_eq!(running.finish().code(), 137);
}

fn starting_early_is_starting_when_ready() {
    let pod = Pod::new();
    let mut running = pod.spawn(&["echo", "ran"], |_| {}).unwrap();
    running.launch.start().unwrap();
    running.launch.wait_running().unwrap();
    assert_eq!(running.finish().success(), "ran");
    // The same for a plan that fails: the failure is told, not the permission.
    let mut running = pod
        .spawn(&["true"], |plan| plan.working_dir = string("/etc/passwd"))
        .unwrap();
    running.launch.start().unwrap();
    assert_eq!(running.failure().stage, Stage::WorkingDirectory);
}

fn events_come_without_waiting_for_them() {
    let pod = Pod::new();
    let mut running = pod.spawn(&["sleep", "1000"], |_| {}).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        use rustix::event::{PollFd, PollFlags, poll};
        poll(&mut [PollFd::new(&running.launch, PollFlags::IN)], None).unwrap();
        if let Some(event) = running.launch.next().unwrap() {
            running.launch.start().unwrap();
            seen.push(event);
        }
    }
    assert_eq!(seen, [LaunchEvent::Ready, LaunchEvent::Running]);
    assert!(running.launch.next().unwrap().is_none());
}

fn the_record_tells_how_far_it_got() {
    let pod = Pod::new();
    let record = |name: &str| {
        let path = pod.directory.path().join(name);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        (path, OwnedFd::from(file))
    };
    let read = |path: &Path| read_launch_record(&File::open(path).unwrap()).unwrap();

    let (path, file) = record("success");
    let mut running = pod
        .spawn(&["true"], |plan| plan.launch_record = Some(file))
        .unwrap();
    running.launch.wait_ready().unwrap();
    assert_eq!(read(&path), LaunchRecord::NotStarted);
    running.launch.wait_running().unwrap();
    assert_eq!(read(&path), LaunchRecord::Started);
    running.finish();

    let (path, file) = record("early failure");
    pod.failure(&["true"], |plan| {
        plan.launch_record = Some(file);
        plan.mounts.push(Mount::bind("/no/such/thing", "/data"));
    });
    match read(&path) {
        LaunchRecord::Failed(error) => assert_eq!(error.stage, Stage::MountSource),
        other => panic!("{other:?}"),
    }
    let (path, file) = record("late failure");
    pod.failure(&["nope"], |plan| plan.launch_record = Some(file));
    match read(&path) {
        LaunchRecord::Failed(error) => assert_eq!(error.stage, Stage::FindProgram),
        other => panic!("{other:?}"),
    }
}

fn it_waits_in_its_cgroup() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &podyard_linux::cgroup::Resources::default());
    let mut running = pod
        .spawn(&["true"], |plan| plan.cgroup = Some(&cgroup))
        .unwrap();
    running.launch.wait_ready().unwrap();
    let file = format!("/proc/{}/cgroup", running.process().pid());
    let cgroups = std::fs::read_to_string(file).unwrap();
    let entered = cgroups
        .lines()
        .filter(|line| line.ends_with("/app"))
        .count();
    assert!(entered > 0, "{cgroups}");
    // Nothing is left to wait for when it is started: all membership is settled.
    running.launch.wait_running().unwrap();
    assert_eq!(running.finish().code(), 0);
}

fn nobody_looks_into_a_process_that_waits() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let shared = |plan: &mut ContainerPlan<'_>| plan.pid_namespace = PidNamespace::Sandbox;
    let mut waiting = pod.spawn(&["sleep", "1000"], shared).unwrap();
    waiting.launch.wait_ready().unwrap();
    assert!(exists(waiting.process().pid()));
    // Root of another container of the pod, in the same pid namespace.
    let script = "for d in /proc/[0-9]*; do
        p=${d#/proc/}; [ $p = 1 -o $p = $$ ] && continue
        [ -e $d/comm ] || continue
        for n in exe root cwd fd/0 environ maps mem ns/mnt; do
          (cat $d/$n || ls $d/$n/ || readlink $d/$n) >/dev/null 2>&1 && echo $n can be opened
        done; echo looked at $p
      done; true";
    let printed = pod.sh(script, shared);
    assert!(printed.contains("looked at"), "{printed}");
    assert!(!printed.contains("can be opened"), "{printed}");
    waiting.launch.wait_running().unwrap();
    waiting.kill();
}
