//! Pods with a user namespace of their own (`hostUsers: false`): root inside is nobody outside, and files do not notice.

use std::os::unix::fs::MetadataExt;

use podyard_linux::cgroup::Resources;
use podyard_linux::{
    CapabilitySet, CapabilitySets, Mount, PidNamespace, Sandbox, Stage, Stdio, UserNamespace,
    seccomp,
};

use crate::world::{Pod, Running, string};

tests![
    root_inside_is_another_user_outside,
    a_plain_container_is_as_it_is_without,
    files_have_their_owners_inside,
    volumes_are_shared_with_the_machine_by_number,
    devices_are_the_machines_own_and_work,
    capabilities_are_those_of_the_namespace,
    pipes_and_terminals_belong_to_the_user,
    an_exec_is_in_the_namespace,
    a_shared_pid_namespace_goes_with_it,
    its_cgroup_and_sysctls_are_as_for_others,
    procfs_can_be_mounted_again_only_when_nothing_is_masked,
    a_user_outside_of_the_range_fails_at_its_step,
    the_sandbox_is_found_again_with_its_users,
    nothing_of_the_machine_can_be_reached_as_its_root,
];

const USERS: UserNamespace = UserNamespace {
    first_uid: 131_072,
    first_gid: 196_608,
    count: 65_536,
};

fn pod() -> Pod {
    Pod::with(|plan| plan.user_namespace = Some(USERS))
}

fn sleeper(pod: &Pod) -> Running {
    pod.start(&["sleep", "1000"], |_| {})
}

fn everything() -> CapabilitySets {
    CapabilitySets::of(CapabilitySet::available())
}

fn root_inside_is_another_user_outside() {
    assert!(UserNamespace::are_supported());
    let pod = pod();
    let running = sleeper(&pod);
    let metadata = std::fs::metadata(format!("/proc/{}", running.process().pid())).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid()),
        (USERS.first_uid, USERS.first_gid)
    );
    let sandbox = format!("/proc/{}", pod.sandbox.process().pid());
    let status = std::fs::read_to_string(format!("{sandbox}/status")).unwrap();
    assert!(
        status.contains(&format!("Uid:\t{}", USERS.first_uid)),
        "{status}"
    );
    let printed = pod.sh(
        "id -u; id -g; id -G; cat /proc/self/uid_map /proc/self/gid_map",
        |_| {},
    );
    let lines: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(lines[..3], [["0"], ["0"], ["0"]]);
    assert_eq!(lines[3], ["0", "131072", "65536"]);
    assert_eq!(lines[4], ["0", "196608", "65536"]);
}

/// What a container sees of itself, with and without.
fn a_plain_container_is_as_it_is_without() {
    // Device nodes are mounts here, since none can be made.
    let script = "cut -d' ' -f5,6 /proc/self/mountinfo | grep -vE '^/dev/(null|zero|full|u?random|tty) ' | sort; ls /dev /dev/pts; cat /proc/self/cgroup; hostname
        grep -E '^(Cap|NoNew|Seccomp|Umask)' /proc/self/status; ls /sys/class/net; stat -c '%a %u:%g %n' / /etc /tmp /dev /dev/shm";
    let seen = |pod: &Pod| {
        pod.sh(script, |plan| {
            plan.seccomp = Some(seccomp::runtime_default(plan.capabilities.bounding));
        })
    };
    assert_eq!(seen(&pod()), seen(&Pod::new()));
}

fn files_have_their_owners_inside() {
    let pod = pod();
    let rootfs = pod.rootfs();
    let upper = match &rootfs {
        podyard_linux::Rootfs::Overlay { upper, .. } => upper.clone(),
        podyard_linux::Rootfs::Directory(_) => panic!("an overlay"),
    };
    let script = "stat -c '%u:%g' /etc/passwd; touch /mine; touch /other && chown 1000:1001 /other
        echo more >>/etc/passwd; stat -c '%u:%g' /mine /other /etc/passwd";
    let printed = pod.sh(script, |plan| plan.rootfs = rootfs);
    assert_eq!(printed, "0:0\n0:0\n1000:1001\n0:0");
    let owner = |name: &str| {
        let metadata = std::fs::symlink_metadata(upper.join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    // On disk it is what the machine calls them; nobody else sees this directory.
    let of = |uid, gid| (USERS.first_uid + uid, USERS.first_gid + gid);
    assert_eq!(owner("mine"), of(0, 0));
    assert_eq!(owner("other"), of(1000, 1001));
    assert_eq!(owner("etc/passwd"), of(0, 0));
    assert_eq!(
        std::fs::metadata(crate::image::layer().join("etc/passwd"))
            .unwrap()
            .uid(),
        0
    );
}

fn volumes_are_shared_with_the_machine_by_number() {
    let pod = pod();
    let volume = pod.host_directory("volume");
    std::fs::write(volume.join("given"), "").unwrap();
    std::os::unix::fs::chown(volume.join("given"), Some(7), Some(8)).unwrap();
    let file = pod.directory.path().join("file");
    std::fs::write(&file, "content\n").unwrap();
    let script =
        "stat -c '%u:%g' /data/given; touch /data/made; chown 9 /data/made; cat /etc/hosts";
    let printed = pod.sh(script, |plan| {
        plan.mounts.push(Mount::bind(&volume, "/data"));
        plan.mounts.push(Mount::bind(&file, "/etc/hosts"));
    });
    assert_eq!(printed, "7:8\ncontent");
    assert_eq!(std::fs::metadata(volume.join("made")).unwrap().uid(), 9);
    // The mount is translated, and not the volume.
    assert_eq!(std::fs::metadata(volume.join("given")).unwrap().uid(), 7);
    // What has been opened before is translated as well.
    let opened = std::fs::File::open(&volume).unwrap();
    let printed = pod.sh("stat -c '%u:%g' /data/given", |plan| {
        plan.mounts.push(Mount::bind_fd(opened.into(), "/data"));
    });
    assert_eq!(printed, "7:8");
}

fn devices_are_the_machines_own_and_work() {
    let pod = pod();
    let script = "echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c
        for n in null zero full random urandom tty; do stat -c '%F %t:%T' /dev/$n; done
        touch /dev/new && echo made; mknod /node c 1 3 2>&1";
    let outcome = pod.run(&["sh", "-c", script], |plan| {
        plan.capabilities = everything()
    });
    let device = "character special file";
    assert_eq!(
        outcome.stdout,
        format!(
            "4\n4\n{device} 1:3\n{device} 1:5\n{device} 1:7\n{device} 1:8\n{device} 1:9\n{device} 5:0\nmade\n\
             mknod: /node: Operation not permitted\n"
        )
    );
}

fn capabilities_are_those_of_the_namespace() {
    let pod = pod();
    let script = "mount -t tmpfs none /mnt && echo mounted
        hostname renamed && hostname
        (echo 1 >/proc/sys/kernel/panic) 2>&1 | sed 's/.*: //'
        date -s @0 2>&1 | grep -o 'not permitted'
        chroot / true && echo changed";
    let printed = pod.sh(&format!("mkdir /mnt; {script}"), |plan| {
        plan.capabilities = everything();
        plan.readonly_paths.clear();
    });
    assert_eq!(
        printed,
        "mounted\nrenamed\nPermission denied\nnot permitted\nchanged"
    );
}

fn pipes_and_terminals_belong_to_the_user() {
    let pod = pod();
    for uid in [0, 1000] {
        let outcome = pod.run(
            &["sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr"],
            |plan| {
                plan.user.uid = uid;
            },
        );
        assert_eq!(
            (
                outcome.code(),
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (0, "out\n", "err\n"),
            "{uid}"
        );
    }
    let mut running = pod
        .spawn(&["sh", "-c", "stat -c %u:%g $(tty) /dev/console"], |plan| {
            plan.stdio = Stdio::Terminal { size: None };
            plan.user.uid = 1000;
        })
        .unwrap();
    running.launch.wait_ready().unwrap();
    let master = running.launch.take_terminal().unwrap();
    running.launch.wait_running().unwrap();
    let printed = crate::terminal::read_all(master.into());
    assert_eq!(printed, "1000:5\n1000:5\n");
    assert_eq!(running.finish().code(), 0);
}

fn an_exec_is_in_the_namespace() {
    let pod = pod();
    let running = sleeper(&pod);
    let script = "id -u; readlink /proc/self/ns/user; touch /by-exec && stat -c %u /by-exec; echo x >/dev/stdout";
    let printed = running.exec(&["sh", "-c", script], |_| {}).success();
    let link = format!("/proc/{}/ns/user", running.process().pid());
    let namespace = std::fs::read_link(link).unwrap();
    assert_eq!(printed, format!("0\n{}\n0\nx", namespace.display()));
    let printed = running
        .exec(&["sh", "-c", "id -u; echo x >/dev/stdout"], |plan| {
            plan.user.uid = 5
        })
        .success();
    assert_eq!(printed, "5\nx");
}

fn a_shared_pid_namespace_goes_with_it() {
    let pod = Pod::with(|plan| {
        plan.user_namespace = Some(USERS);
        plan.share_process_namespace = true;
    });
    let printed = pod.sh("cat /proc/1/comm; kill -0 1 && echo reachable", |plan| {
        plan.pid_namespace = PidNamespace::Sandbox;
    });
    assert_eq!(printed, "pause\nreachable");
}

fn its_cgroup_and_sysctls_are_as_for_others() {
    let pod = Pod::with(|plan| {
        plan.user_namespace = Some(USERS);
        plan.sysctls = [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 65535"),
            ("kernel.shm_rmid_forced", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    });
    let resources = Resources {
        memory_limit_bytes: Some(16 << 20),
        swap_limit_bytes: Some(0),
        ..Resources::default()
    };
    let cgroup = pod.cgroup("app", &resources);
    let printed = pod.sh(
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; tail /dev/zero; echo $?",
        |plan| {
            plan.cgroup = Some(&cgroup);
        },
    );
    assert_eq!(printed, "0\n137");
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
}

/// `procMount: Unmasked` is for containers that make containers: the kernel lets a user namespace in them have a procfs of its
/// own only if they see a whole one.
fn procfs_can_be_mounted_again_only_when_nothing_is_masked() {
    let pod = pod();
    let script = "mount -t proc proc /proc && cat /proc/1/comm";
    let args = ["unshare", "-U", "-r", "-p", "-f", "-m", "sh", "-c", script];
    let outcome = pod.run(&args, |plan| {
        plan.masked_paths.clear();
        plan.readonly_paths.clear();
    });
    assert_eq!(outcome.success(), "cat");
    let outcome = pod.run(&args, |_| {});
    assert!(
        outcome.stderr.contains("not permitted") || outcome.stderr.contains("denied"),
        "{outcome:?}"
    );
}

fn a_user_outside_of_the_range_fails_at_its_step() {
    let pod = pod();
    let error = pod.failure(&["true"], |plan| plan.user.uid = USERS.count);
    assert_eq!((error.stage, error.errno), (Stage::Identity, libc::EINVAL));
}

fn the_sandbox_is_found_again_with_its_users() {
    let pod = pod();
    assert_eq!(pod.sandbox.users(), Some(&USERS));
    let adopted = Sandbox::adopt(pod.sandbox.process().id())
        .unwrap()
        .expect("it is there");
    assert_eq!(adopted.users(), Some(&USERS));
    assert!(adopted.namespaces().user.is_some());
    assert_eq!(Pod::new().sandbox.users(), None);
}

fn nothing_of_the_machine_can_be_reached_as_its_root() {
    let pod = pod();
    // Even all capabilities, all of procfs and a writable sysfs.
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/overcommit_memory /proc/sysrq-trigger /sys/kernel/uevent_helper \
            /sys/power/state /sys/module/*/parameters/*; do
          [ -f $f ] && (: >>$f) 2>/dev/null && echo $f; done
        mount -o remount,rw /sys 2>/dev/null && (: >>/sys/kernel/mm/transparent_hugepage/enabled) 2>/dev/null && echo huge pages
        for d in 254:0 8:0; do mknod /disk b ${d%:*} ${d#*:} 2>/dev/null && echo made a disk; done; true";
    let printed = pod.sh(script, |plan| {
        plan.capabilities = everything();
        plan.masked_paths.clear();
        plan.readonly_paths.clear();
        plan.working_dir = string("/tmp");
    });
    assert_eq!(printed, "");
}
