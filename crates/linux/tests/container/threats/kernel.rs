//! Ways out over interfaces of the kernel.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use podyard_linux::cgroup::{Devices, Resources};
use podyard_linux::{
    CapabilitySets, ContainerPlan, Sandbox, SandboxError, SandboxNetwork, seccomp,
};

use crate::threats::launcher::{KEYRING_ROLE, session_keyring, with_libraries};
use crate::world::{Pod, sandbox_plan};

tests![
    settings_of_the_machine_cannot_be_written,
    no_release_agent_can_be_set,
    abstract_sockets_of_the_host_are_out_of_reach,
    the_launcher_leaves_no_abstract_socket,
    no_module_is_loaded,
    the_clock_and_names_of_the_machine_stay,
    no_namespace_of_others_can_be_entered,
    memory_of_the_machine_cannot_be_read,
    new_user_namespaces_are_filtered,
    sysctls_of_the_machine_are_refused,
    keys_of_the_caller_are_left_behind,
];

/// Opens for writing, and writes nothing: what would be the last step is not taken.
fn settings_of_the_machine_cannot_be_written() {
    let pod = Pod::new();
    let script = "for f in /proc/sysrq-trigger /proc/kcore /proc/kmem /proc/timer_list \
            $(find /proc/sys /proc/irq /proc/bus /proc/fs /proc/acpi /proc/scsi /sys/kernel /sys/module /sys/firmware \
                   /sys/power /sys/fs/cgroup /sys/class/net /sys/block -type f 2>/dev/null); do
          [ -f $f ] && (: >>$f) 2>/dev/null && echo $f; done; true";
    // The mask over a file is /dev/null, which takes anything.
    let printed = pod.sh(script, |_| {});
    assert_eq!(printed, "");
    let printed = pod.sh("find /proc/sys /sys -type f 2>/dev/null | wc -l", |_| {});
    let count: usize = printed.parse().unwrap();
    assert!(count > 1000, "only {count} files were there to be tried");
}

/// CVE-2022-0492: a cgroup hierarchy mounted in a user namespace of its own, and a program that the kernel then runs as root.
fn no_release_agent_can_be_set() {
    let pod = Pod::new();
    let cgroup = pod.cgroup("app", &Resources::default());
    let script = r#"mkdir /tmp/c
        attempt='for kind in "cgroup -o memory" "cgroup -o rdma" "cgroup -o none,name=x" cgroup2; do
            mount -t $kind none /tmp/c 2>/dev/null || continue
            for f in $(find /tmp/c -name release_agent); do (echo /tmp/x >$f) 2>/dev/null && echo $f; done
            umount /tmp/c
          done; echo tried'
        sh -c "$attempt"
        unshare -U -r -m sh -c "$attempt"
        find / -xdev -name release_agent; find /sys -name release_agent
        for f in $(find /sys/fs/cgroup -name notify_on_release); do (echo 1 >$f) 2>/dev/null && echo $f; done; true"#;
    for own_namespace in [true, false] {
        let printed = pod.sh(script, |plan| {
            plan.cgroup = Some(&cgroup);
            plan.cgroup_namespace = own_namespace;
        });
        assert_eq!(
            printed, "tried\ntried",
            "cgroup namespace of its own: {own_namespace}"
        );
    }
}

/// CVE-2020-15257: abstract sockets belong to a network namespace and know no permissions but its.
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let name = format!("podyard-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let seen = |network| {
        let pod = Pod::with(|plan| {
            plan.network = network;
            plan.new_uts = network == SandboxNetwork::New;
        });
        pod.sh("cat /proc/net/unix", |_| {}).contains(&name)
    };
    assert!(!seen(SandboxNetwork::New));
    assert!(
        seen(SandboxNetwork::Host),
        "what a pod on the host's network asks for"
    );
}

fn the_launcher_leaves_no_abstract_socket() {
    let abstract_sockets = || -> Vec<String> {
        let own: Vec<String> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| {
                let link = link.to_str()?.strip_prefix("socket:[")?;
                Some(link.strip_suffix(']')?.to_owned())
            })
            .collect();
        let all = std::fs::read_to_string("/proc/net/unix").unwrap();
        all.lines()
            .filter(|line| line.contains('@'))
            .filter(|line| own.iter().any(|inode| line.contains(&format!(" {inode} "))))
            .map(str::to_owned)
            .collect()
    };
    let pod = Pod::with(|plan| {
        plan.network = SandboxNetwork::Host;
        plan.new_uts = false;
    });
    let mut running = pod.spawn(&["true"], |_| {}).unwrap();
    running.launch.wait_ready().unwrap();
    assert_eq!(abstract_sockets(), Vec::<String>::new());
}

/// Runs what must fail for want of permission.
fn refused<'a>(pod: &'a Pod, args: &[&str], change: impl FnOnce(&mut ContainerPlan<'a>)) {
    let outcome = pod.run(args, change);
    let permission = ["not permitted", "ermission denied"];
    assert!(
        permission.iter().any(|text| outcome.stderr.contains(text)),
        "{args:?}: {outcome:?}"
    );
}

fn no_module_is_loaded() {
    let pod = Pod::new();
    let layer = pod.layer("module", |root| {
        std::fs::write(root.join("evil.ko"), "no module, but nobody looks").unwrap();
    });
    for args in [&["insmod", "/evil.ko"], &["rmmod", "overlay"]] {
        let outcome = pod.run(args, |plan| plan.rootfs = pod.rootfs_over(&[&layer]));
        // The second is what a kernel without modules says.
        let refusals = ["not permitted", "does not support", "not implemented"];
        assert!(
            refusals.iter().any(|text| outcome.stderr.contains(text)),
            "{args:?}: {outcome:?}"
        );
    }
}

fn the_clock_and_names_of_the_machine_stay() {
    let pod = Pod::new();
    // Should it be permitted after all, the clock stays what it is.
    refused(&pod, &["sh", "-c", "date -s @$(date +%s)"], |_| {});
    refused(&pod, &["hostname", "owned"], |_| {});
    refused(&pod, &["swapoff", "/nothing"], |_| {});
}

fn no_namespace_of_others_can_be_entered() {
    let pod = Pod::new();
    for kind in ["-m", "-n", "-i", "-u"] {
        refused(&pod, &["nsenter", "-t", "1", kind, "true"], |_| {});
        refused(&pod, &["unshare", kind, "true"], |_| {});
    }
    // Nor those of the host where its processes are in sight.
    refused(&pod, &["nsenter", "-t", "1", "-m", "true"], |plan| {
        plan.pid_namespace = podyard_linux::PidNamespace::Host;
    });
}

fn memory_of_the_machine_cannot_be_read() {
    let pod = Pod::new();
    let resources = Resources {
        devices: Devices::Container,
        ..Resources::default()
    };
    let cgroup = pod.cgroup("app", &resources);
    for (name, minor) in [("mem", "1"), ("port", "4"), ("kmsg", "11")] {
        let script = format!("mknod /{name} c 1 {minor} && head -c 1 /{name}");
        refused(&pod, &["sh", "-c", &script], |plan| {
            plan.cgroup = Some(&cgroup)
        });
    }
    let printed = pod.sh("test ! -e /proc/kcore || head -c 1 /proc/kcore", |_| {});
    assert_eq!(printed, "", "masked");
    // Without the device cgroup there would still be this: no capability for it.
    let outcome = pod.run(
        &["sh", "-c", "mknod /port c 1 4 && head -c 1 /port"],
        |_| {},
    );
    assert_ne!(outcome.code(), 0, "{outcome:?}");
}

/// Most recent holes of the kernel need a user namespace to be reached.
fn new_user_namespaces_are_filtered() {
    let pod = Pod::new();
    for kinds in [&["-U"][..], &["-U", "-r", "-m"]] {
        let args: Vec<_> = ["unshare"]
            .iter()
            .chain(kinds)
            .chain(&["true"])
            .copied()
            .collect();
        refused(&pod, &args, |plan| {
            let capabilities = CapabilitySets::containerd_default().bounding;
            plan.seccomp = Some(seccomp::runtime_default(capabilities));
        });
    }
}

/// CVE-2022-0811: a sysctl of a pod that sets one of the machine.
fn sysctls_of_the_machine_are_refused() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let create = |name: &str, value: &str, host: bool| {
        let mut plan = sandbox_plan();
        if host {
            plan.network = SandboxNetwork::Host;
            plan.new_uts = false;
            plan.new_ipc = false;
        }
        plan.sysctls = vec![(name.to_owned(), value.to_owned())];
        Sandbox::create(&plan)
    };
    let evil = "|/bin/true";
    for (name, host) in [
        ("kernel.core_pattern", false),
        ("kernel/core_pattern", false),
        ("vm.panic_on_oom", false),
        ("fs.file-max", false),
        ("kernel.shm_rmid_forced/../core_pattern", false),
        ("net.ipv4.ip_unprivileged_port_start", true),
        ("kernel.shmmax", true),
        ("fs.mqueue.msg_max", true),
    ] {
        let refused = create(name, evil, host);
        assert!(
            matches!(refused, Err(SandboxError::Sysctl { .. })),
            "{name}: {refused:?}"
        );
    }
    let injected = create(
        "kernel.shm_rmid_forced",
        "1+kernel.core_pattern=|/bin/true",
        false,
    );
    assert!(
        matches!(injected, Err(SandboxError::Stage(_))),
        "{injected:?}"
    );
    assert_eq!(
        std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(),
        pattern
    );
}

/// The session keyring is the container's own.
fn keys_of_the_caller_are_left_behind() {
    let pod = Pod::new();
    let keyring = || {
        pod.run(&["/proc/self/exe", KEYRING_ROLE], with_libraries)
            .success()
    };
    let (one, two) = (keyring(), keyring());
    assert_ne!(one, "-1");
    assert_ne!(one, two);
    assert!(![one, two].contains(&session_keyring().to_string()));
}
