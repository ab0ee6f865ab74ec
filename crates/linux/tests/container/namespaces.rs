//! Which namespaces a container shares with whom, and the sandbox that keeps them.

use std::os::unix::fs::MetadataExt;

use podyard_linux::{
    PidNamespace, Process, ProcessId, Sandbox, SandboxError, SandboxNetwork, Stage,
};

use crate::world::{PATIENCE, Pod, Running, exists, sandbox_plan};

tests![
    a_container_is_pid_1_of_its_own_namespace,
    a_shared_pid_namespace_shows_the_whole_pod,
    orphans_of_a_shared_pid_namespace_are_reaped,
    the_hosts_pid_namespace_shows_the_host,
    a_container_can_live_in_the_pid_namespace_of_another,
    containers_share_network_ipc_and_host_name,
    a_pod_on_the_host_has_the_hosts_namespaces,
    the_cgroup_namespace_hides_the_hosts_paths,
    sysctls_are_set_in_the_pods_namespaces,
    an_unknown_sysctl_fails_the_sandbox,
    impossible_sandbox_plans_are_refused,
    the_sandbox_has_nothing_of_the_host,
    sandboxes_and_processes_are_found_again,
];

/// The inode of a namespace of a process of the host.
fn namespace(process: &Process, kind: &str) -> u64 {
    std::fs::metadata(format!("/proc/{}/ns/{kind}", process.pid()))
        .unwrap()
        .ino()
}

fn own(kind: &str) -> u64 {
    std::fs::metadata(format!("/proc/self/ns/{kind}"))
        .unwrap()
        .ino()
}

fn sleeper<'a>(
    pod: &'a Pod,
    change: impl FnOnce(&mut podyard_linux::ContainerPlan<'a>),
) -> Running {
    pod.start(&["sleep", "1000"], change)
}

fn a_container_is_pid_1_of_its_own_namespace() {
    let pod = Pod::new();
    let printed = pod.sh("echo $$; set -- /proc/[0-9]*; echo $#", |_| {});
    // The shell alone: of a pipeline's processes, some may not be born when others look.
    assert_eq!(printed, "1\n1");
    let (one, two) = (sleeper(&pod, |_| {}), sleeper(&pod, |_| {}));
    assert_ne!(
        namespace(one.process(), "pid"),
        namespace(two.process(), "pid")
    );
}

fn a_shared_pid_namespace_shows_the_whole_pod() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let shared = |plan: &mut podyard_linux::ContainerPlan<'_>| {
        plan.pid_namespace = PidNamespace::Sandbox;
    };
    let sleeper = sleeper(&pod, shared);
    let printed = pod.sh(
        "cat /proc/1/comm; for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline; echo; done",
        shared,
    );
    assert!(printed.starts_with("pause\n"), "{printed}");
    assert!(printed.contains("sleep 1000"), "{printed}");
    // And can be signalled.
    pod.sh("kill -USR1 $(pidof sleep)", shared);
    assert_eq!(sleeper.finish().code(), 128 + libc::SIGUSR1);
}

fn orphans_of_a_shared_pid_namespace_are_reaped() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let shared = |plan: &mut podyard_linux::ContainerPlan<'_>| {
        plan.pid_namespace = PidNamespace::Sandbox;
    };
    // The inner shell's child is left behind and ends when its input does; what it leaves must not stay a zombie.
    let script = "(sh -c 'echo $$; exec sleep 0' &) ; true";
    let orphan = pod.sh(script, shared);
    let script = format!("while [ -e /proc/{orphan} ]; do :; done; echo gone");
    assert_eq!(pod.sh(&script, shared), "gone");
}

fn the_hosts_pid_namespace_shows_the_host() {
    let pod = Pod::new();
    let own = std::process::id();
    let printed = pod.sh(
        &format!("readlink /proc/{own}/ns/pid; readlink /proc/self/ns/pid"),
        |plan| {
            plan.pid_namespace = PidNamespace::Host;
            plan.capabilities =
                podyard_linux::CapabilitySets::of(podyard_linux::CapabilitySet::available());
        },
    );
    let expected = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let expected = expected.to_str().unwrap();
    assert_eq!(printed, format!("{expected}\n{expected}"));
}

fn a_container_can_live_in_the_pid_namespace_of_another() {
    let pod = Pod::new();
    let target = sleeper(&pod, |_| {});
    let printed = pod.sh("tr '\\0' ' ' </proc/1/cmdline; test $$ -ne 1", |plan| {
        plan.pid_namespace = PidNamespace::Of(target.process());
    });
    assert_eq!(printed, "sleep 1000 ");
    // The namespace ends with its first process, and nobody can be born into it any more.
    target.kill();
}

fn containers_share_network_ipc_and_host_name() {
    let pod = Pod::with(|plan| {
        plan.hostname = "web-0".to_owned();
        plan.domainname = Some("example.org".to_owned());
    });
    let (one, two) = (sleeper(&pod, |_| {}), sleeper(&pod, |_| {}));
    for kind in ["net", "ipc", "uts"] {
        let shared = namespace(pod.sandbox.process(), kind);
        assert_eq!(namespace(one.process(), kind), shared, "{kind}");
        assert_eq!(namespace(two.process(), kind), shared, "{kind}");
        assert_ne!(shared, own(kind), "{kind}");
    }
    for kind in ["mnt", "cgroup"] {
        let of = namespace(one.process(), kind);
        assert_ne!(of, namespace(two.process(), kind), "{kind}");
        assert_ne!(of, own(kind), "{kind}");
    }
    assert_eq!(
        pod.sh("hostname; cat /proc/sys/kernel/domainname", |_| {}),
        "web-0\nexample.org"
    );
    assert_eq!(pod.sh("ls /sys/class/net", |_| {}), "lo");
}

fn a_pod_on_the_host_has_the_hosts_namespaces() {
    let pod = Pod::with(|plan| {
        plan.network = SandboxNetwork::Host;
        plan.new_ipc = false;
        plan.new_uts = false;
        plan.hostname = "never set".to_owned();
    });
    let container = sleeper(&pod, |plan| plan.cgroup_namespace = false);
    for kind in ["net", "ipc", "uts", "cgroup"] {
        assert_eq!(namespace(container.process(), kind), own(kind), "{kind}");
    }
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_ne!(hostname.trim(), "never set");
}

fn the_cgroup_namespace_hides_the_hosts_paths() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &podyard_linux::cgroup::Resources::default());
    let paths = |own_namespace| {
        pod.sh("cat /proc/self/cgroup", |plan| {
            plan.cgroup = Some(&cgroup);
            plan.cgroup_namespace = own_namespace;
        })
    };
    assert!(!paths(true).contains(pod.cgroup_path()));
    assert!(paths(false).contains(pod.cgroup_path()));
}

fn sysctls_are_set_in_the_pods_namespaces() {
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let before = std::fs::read_to_string(file).unwrap();
    let pod = Pod::with(|plan| {
        plan.sysctls = [
            ("net.ipv4.ip_unprivileged_port_start", "77"),
            ("net/ipv4/ping_group_range", "0 5"),
            ("kernel.shm_rmid_forced", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    });
    let printed = pod.sh(
        "cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/shm_rmid_forced",
        |_| {},
    );
    assert_eq!(printed, "77\n0\t5\n1");
    assert_eq!(std::fs::read_to_string(file).unwrap(), before);
}

fn an_unknown_sysctl_fails_the_sandbox() {
    let mut plan = sandbox_plan();
    let sysctl = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    plan.sysctls = vec![
        sysctl("net.ipv4.ip_unprivileged_port_start", "0"),
        sysctl("net.ipv4.no_such_thing", "1"),
    ];
    let error = failure(&plan);
    assert_eq!((error.stage, error.errno), (Stage::Sysctl, libc::ENOENT));
    assert_eq!(
        (error.subject.as_str(), error.detail),
        ("net/ipv4/no_such_thing", 1)
    );
    plan.sysctls = vec![sysctl("net.ipv4.ip_unprivileged_port_start", "many")];
    let error = failure(&plan);
    assert_eq!((error.stage, error.errno), (Stage::Sysctl, libc::EINVAL));
}

fn failure(plan: &podyard_linux::SandboxPlan<'_>) -> podyard_linux::StageError {
    match Sandbox::create(plan) {
        Err(SandboxError::Stage(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn impossible_sandbox_plans_are_refused() {
    let refused = |change: fn(&mut podyard_linux::SandboxPlan<'static>)| {
        let mut plan = sandbox_plan();
        change(&mut plan);
        matches!(Sandbox::create(&plan), Err(SandboxError::Plan { .. }))
    };
    assert!(refused(|plan| plan.hostname = "x".repeat(65)));
    assert!(refused(|plan| plan.hostname = "a\0b".to_owned()));
    for name in ["net..x", "../kernel/hostname", "net/../../x", "/net/x", ""] {
        let mut plan = sandbox_plan();
        plan.sysctls = vec![(name.to_owned(), "1".to_owned())];
        let result = Sandbox::create(&plan);
        assert!(
            matches!(result, Err(SandboxError::Sysctl { .. })),
            "{name:?}"
        );
    }
}

fn the_sandbox_has_nothing_of_the_host() {
    let pod = Pod::with(|plan| plan.share_process_namespace = true);
    let process = pod.sandbox.process();
    // It answers the signal only after it has confined itself, so its pid namespace shows it as it stays.
    let printed = pod.sh(
        "until [ $(cat /proc/1/comm) = pause ] && grep -q '^CapEff:.*0$' /proc/1/status; do :; done
         grep -E '^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/1/status | tr -s '\\t' ' '; ls /proc/1/root/ /proc/1/fd/0 2>&1; true",
        |plan| plan.pid_namespace = PidNamespace::Sandbox,
    );
    let none = "0000000000000000";
    assert_eq!(
        printed,
        format!(
            "CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapAmb: {none}\nNoNewPrivs: 1\n\
             ls: /proc/1/root/: Permission denied\nls: /proc/1/fd/0: Permission denied"
        ),
        "not even root of the pod looks into it"
    );
    let root = std::fs::read_dir(format!("/proc/{}/root/", process.pid()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        root.iter().map(String::as_str).collect::<Vec<_>>(),
        ["cgroup", "empty", "null", "pause", "shm"]
    );
    let places = std::fs::read_dir(format!("/proc/{}/root/cgroup", process.pid())).unwrap();
    for place in places {
        let inside = std::fs::read_dir(place.unwrap().path()).unwrap();
        assert_eq!(inside.count(), 0, "places only");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", process.pid())).unwrap();
    assert_eq!(mounts.lines().count(), 2, "{mounts}");
    let descriptors: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", process.pid()))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(descriptors, ["/dev/null"; 3].map(std::path::PathBuf::from));
}

fn sandboxes_and_processes_are_found_again() {
    let pod = Pod::new();
    let container = sleeper(&pod, |_| {});
    let id = pod.sandbox.process().id();
    let adopted = Sandbox::adopt(id).unwrap().expect("it is there");
    assert_eq!(adopted.process().id(), id);
    let text = serde_json::to_string(&container.process().id()).unwrap();
    let id: ProcessId = serde_json::from_str(&text).unwrap();
    let found = Process::adopt(id).unwrap().expect("it is there");
    let pid = container.process().pid();
    drop(container);
    assert!(found.wait_exited(Some(PATIENCE)).unwrap());
    assert!(Process::adopt(id).unwrap().is_none(), "reaped by now");
    assert!(!exists(pid));
    // Whoever held its pidfd can ask for its end although another one reaped it (from Linux 6.15 on).
    if let Some(status) = found.exit_info() {
        assert_eq!(status.code(), 137);
    }
    let mut stranger = adopted.process().id();
    stranger.start_time += 1;
    assert!(Sandbox::adopt(stranger).unwrap().is_none());
}
