//! One more process in a running container.

use podyard_linux::{CapabilitySet, CapabilitySets, Mount, PidNamespace, Stage};

use crate::world::{Pod, Running, string, strings};

tests![
    an_exec_is_in_all_namespaces_of_the_container,
    it_has_its_own_environment_user_and_directory,
    it_sees_the_containers_files,
    its_exit_code_and_failures_come_back,
    it_inherits_nothing_of_the_caller,
    it_is_accounted_with_the_container,
    it_follows_into_a_shared_pid_namespace,
    a_container_that_is_gone_takes_no_exec,
    it_ends_with_the_container,
];

fn sleeper(pod: &Pod) -> Running {
    pod.start(&["sleep", "1000"], |_| {})
}

fn an_exec_is_in_all_namespaces_of_the_container() {
    let pod = Pod::new();
    let container = sleeper(&pod);
    let printed = container
        .exec(
            &[
                "sh",
                "-c",
                "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done",
            ],
            |_| {},
        )
        .success();
    let expected: Vec<_> = ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
        .iter()
        .map(|kind| {
            let path = format!("/proc/{}/ns/{kind}", container.process().pid());
            std::fs::read_link(path)
                .unwrap()
                .into_os_string()
                .into_string()
                .unwrap()
        })
        .collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

fn it_has_its_own_environment_user_and_directory() {
    let pod = Pod::new();
    let container = sleeper(&pod);
    let outcome = container.exec(
        &["sh", "-c", "echo $A; id -u; id -G; pwd; umask; ulimit -n"],
        |plan| {
            plan.env = strings(&["PATH=/bin", "A=exec"]);
            plan.user.uid = 12;
            plan.user.gid = 13;
            plan.user.additional_gids = vec![14];
            plan.working_dir = string("/etc");
            plan.umask = 0o077;
            plan.rlimits = vec![podyard_linux::Rlimit {
                resource: libc::RLIMIT_NOFILE,
                soft: 50,
                hard: 60,
            }];
        },
    );
    assert_eq!(outcome.success(), "exec\n12\n13 14\n/etc\n0077\n50");
    let outcome = container.exec(
        &["sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status"],
        |plan| {
            plan.capabilities = CapabilitySets::of(CapabilitySet::from_bits(1));
            plan.no_new_privileges = true;
        },
    );
    assert_eq!(
        outcome.success(),
        "CapEff:\t0000000000000001\nNoNewPrivs:\t1"
    );
}

fn it_sees_the_containers_files() {
    let pod = Pod::new();
    let volume = pod.host_directory("volume");
    let script = "echo of the container >/file; echo up; exec sleep 1000";
    let mut container = pod.start(&["sh", "-c", script], |plan| {
        plan.mounts.push(Mount::bind(&volume, "/data"));
    });
    container.line();
    let script = "until [ $(cat /proc/1/comm) = sleep ]; do :; done; cat /file; echo written >/data/file; cat /proc/1/comm";
    let printed = container.exec(&["sh", "-c", script], |_| {}).success();
    assert_eq!(printed, "of the container\nsleep");
    assert!(volume.join("file").exists());
}

fn its_exit_code_and_failures_come_back() {
    let pod = Pod::new();
    let container = sleeper(&pod);
    assert_eq!(container.exec(&["sh", "-c", "exit 9"], |_| {}).code(), 9);
    let failure = |args: &[&str], directory: &str| {
        let exec = container.spawn_exec(args, |plan| plan.working_dir = string(directory));
        exec.unwrap().failure()
    };
    let error = failure(&["nope"], "/");
    assert_eq!(
        (error.stage, error.errno),
        (Stage::FindProgram, libc::ENOENT)
    );
    // Other than a container's own, the directory of an exec is not made.
    let error = failure(&["true"], "/not/there");
    assert_eq!(
        (error.stage, error.errno),
        (Stage::WorkingDirectory, libc::ENOENT)
    );
    let printed = container.exec(&["ls", "/"], |_| {}).success();
    assert!(!printed.contains("not"), "{printed}");
}

fn it_inherits_nothing_of_the_caller() {
    let flags = rustix::fs::OFlags::RDONLY;
    let open = rustix::fs::open("/etc", flags, rustix::fs::Mode::empty()).unwrap();
    let pod = Pod::new();
    let container = sleeper(&pod);
    let outcome = container.exec(&["env"], |plan| {
        plan.args = strings(&["/usr/bin/env"]);
        plan.env.clear();
    });
    assert_eq!(outcome.success(), "");
    let printed = container
        .exec(&["sh", "-c", "ls -l /proc/$$/fd; true"], |_| {})
        .success();
    assert_eq!(printed.matches(" -> ").count(), 3, "{printed}");
    drop(open);
}

fn it_is_accounted_with_the_container() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &podyard_linux::cgroup::Resources::default());
    let container = pod.start(&["sleep", "1000"], |plan| plan.cgroup = Some(&cgroup));
    let mut exec = container
        .spawn_exec(&["sh", "-c", "echo up; sleep 1000"], |plan| {
            plan.cgroup = Some(&cgroup)
        })
        .unwrap();
    exec.launch.wait_running().unwrap();
    exec.line();
    let pids = cgroup.pids().unwrap();
    for process in [container.process(), exec.process()] {
        assert!(pids.contains(&process.pid()), "{pids:?}");
    }
    cgroup.kill_all().unwrap();
    assert_eq!(
        (exec.finish().code(), container.finish().code()),
        (137, 137)
    );
}

fn it_follows_into_a_shared_pid_namespace() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let container = pod.start(&["sleep", "1000"], |plan| {
        plan.pid_namespace = PidNamespace::Sandbox;
    });
    let printed = container.exec(&["cat", "/proc/1/comm"], |_| {}).success();
    assert_eq!(printed, "pause");
}

fn a_container_that_is_gone_takes_no_exec() {
    let pod = Pod::new();
    let container = sleeper(&pod);
    container.signal(libc::SIGKILL);
    container.process().wait_exited(None).unwrap();
    // A zombie has no namespaces left.
    assert!(container.spawn_exec(&["true"], |_| {}).is_err());
    container.finish();
}

fn it_ends_with_the_container() {
    let pod = Pod::new();
    let container = sleeper(&pod);
    let mut exec = container
        .spawn_exec(&["sh", "-c", "echo up; sleep 1000"], |_| {})
        .unwrap();
    exec.launch.wait_running().unwrap();
    exec.line();
    container.signal(libc::SIGKILL);
    assert_eq!(exec.finish().code(), 137);
    // Only now: a pid namespace is gone when the last of its processes has been reaped, and the exec's parent is not in it.
    assert_eq!(container.finish().code(), 137);
}
