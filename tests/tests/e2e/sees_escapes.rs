//! The published escapes of container runtimes and kubelets, through the whole product: each is tried by a pod, and fails.
//!
//! The launcher alone is tried in `crates/linux/tests/container/threats`, closer to the kernel and with worse races; its list of threats is
//! `crates/linux/THREATS.md`. Here it is what a manifest can bring about: fields that name paths, volumes that others write to, commands
//! that are run inside. What must not be found is a file of the host, [`SECRET`], which is in no container's file system.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use podyard_e2e::manifest::{HANG, pod, sh, sidecar, with, with_spec};
use podyard_e2e::{Instance, container};
use serde_json::{Value, json};

const SECRET: &str = "secret of the host";

/// A file that only the host has, and its path from any directory that is not too deep in the host's tree.
fn secret(podyard: &Instance) -> (PathBuf, String) {
    let path = podyard.root().join("secret");
    std::fs::write(&path, SECRET).expect("file");
    let from_anywhere = format!("{}{}", "../".repeat(12), &path.display().to_string()[1..]);
    (path, from_anywhere)
}

fn waits_or_ended(pod: &Value, name: &str) -> bool {
    let state = &container(pod, name)["state"];
    let reason = &state["waiting"]["reason"];
    state["terminated"].is_object()
        || (reason.is_string() && reason != "ContainerCreating" && reason != "PodInitializing")
}

/// Restarts of a container, until so many were tried.
fn restarts(podyard: &Instance, count: i64) -> Value {
    podyard.wait_for("p", "many restarts", |pod| {
        container(pod, "app")["restartCount"]
            .as_i64()
            .is_some_and(|restarts| restarts >= count)
    })
}

/// The image makes podyard execute its own program inside, where somebody waits to overwrite it.
#[test]
fn cve_2019_5736_the_program_is_not_overwritten() {
    let podyard = Instance::new();
    let binary = podyard_e2e::binary();
    let before = std::fs::read(&binary).expect("the program");
    let overwrite = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/$$$$ ] || (echo overwritten > $p/exe) 2>/dev/null && echo $p; done; done";
    let evil = sh(
        "evil",
        &format!("printf '#!/proc/self/exe' > /evil; chmod 755 /evil; touch /d/up; {HANG}"),
    );
    let own = with(
        sh("own", ""),
        json!({"command": ["/proc/self/exe", "internal", "keep"]}),
    );
    let pod = with_spec(
        pod(
            "p",
            "Always",
            &[sidecar("overwrite", overwrite)],
            &[evil, own],
        ),
        json!({"shareProcessNamespace": true}),
    );
    podyard.start_with(&pod, &["--backoff", "0.001"]);
    podyard.wait_for("p", "it was tried", |pod| waits_or_ended(pod, "own"));
    let mark = podyard.dirs("p").volume("empty-dir", "d").join("up");
    podyard_e2e::eventually("the trap is set", || mark.exists().then_some(()));
    for _ in 0..20 {
        let output = podyard.run(&["exec", "p", "-c", "evil", "--", "/evil"]);
        assert_ne!(output.status.code(), Some(0), "{output:?}");
    }
    podyard.ok(&["delete", "pod", "p", "--now"]);
    assert!(before == std::fs::read(&binary).expect("the program"));
    podyard.finish();
}

/// A descriptor that was left open is named as the working directory.
#[test]
fn cve_2024_21626_no_descriptor_is_a_way_out() {
    let podyard = Instance::new();
    let (_, path) = secret(&podyard);
    let apps: Vec<Value> = (0..16)
        .map(|number| {
            with(
                sh(&format!("c{number}"), &format!("cat {path}; echo ran")),
                json!({"workingDir": format!("/proc/self/fd/{number}")}),
            )
        })
        .collect();
    podyard.start(&pod("p", "Never", &[], &apps));
    for number in 0..16 {
        let name = format!("c{number}");
        podyard.wait_for("p", "it was tried", |pod| waits_or_ended(pod, &name));
        let output = podyard.run(&["logs", "p", "-c", &name]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!printed.contains(SECRET), "{name}: {printed}");
    }
    podyard.ok(&["delete", "pod", "p", "--now"]);

    // Nor for commands that are run inside later.
    let app = with(
        sh(
            "app",
            &format!("rm -r /w; ln -s /proc/self/fd/7 /w; touch /d/up; {HANG}"),
        ),
        json!({"workingDir": "/w"}),
    );
    podyard.start(&pod("q", "Never", &[], &[app]));
    podyard.wait_for_condition("q", "Ready");
    let mark = podyard.dirs("q").volume("empty-dir", "d").join("up");
    podyard_e2e::eventually("the link is set", || mark.exists().then_some(()));
    let output = podyard.run(&["exec", "q", "--", "cat", &path]);
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET));
    podyard.finish();
}

/// A link in the volume where the part to mount should be.
#[test]
fn cve_2017_1002101_a_part_of_a_volume_is_no_link_out_of_it() {
    let podyard = Instance::new();
    let (host, _) = secret(&podyard);
    let root = podyard.root().display().to_string();
    let evil = format!(
        "ln -s {} /d/file; ln -s {root} /d/directory; ln -s {}{root} /d/up; mkdir /d/deep; ln -s / /d/deep/root; ln -s /proc/1/root /d/magic",
        host.display(),
        "../".repeat(20)
    );
    let parts = [
        "file".to_owned(),
        "directory".to_owned(),
        "up".to_owned(),
        format!("deep/root{root}"),
        format!("magic{root}"),
    ];
    let apps: Vec<Value> = parts
        .iter()
        .enumerate()
        .map(|(number, part)| {
            with(
                sh(
                    &format!("c{number}"),
                    "cat /part /part/secret 2>/dev/null; echo ran",
                ),
                json!({"volumeMounts": [{"name": "d", "mountPath": "/part", "subPath": part}]}),
            )
        })
        .collect();
    podyard.start(&pod("p", "Never", &[sh("evil", &evil)], &apps));
    for (number, part) in parts.iter().enumerate() {
        let name = format!("c{number}");
        let pod = podyard.wait_for("p", "it was tried", |pod| waits_or_ended(pod, &name));
        let message = container(&pod, &name)["state"]["waiting"]["message"].to_string();
        assert!(
            message.contains("subPath"),
            "{part}: {}",
            container(&pod, &name)
        );
    }
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}

/// The same with a link that comes and goes while the part is looked up and mounted.
#[test]
fn cve_2021_25741_nor_one_that_appears_in_between() {
    let podyard = Instance::new();
    secret(&podyard);
    let root = podyard.root().display().to_string();
    let exchange = format!(
        "mkdir -p /d/part; while :; do mv /d/part /d/aside; ln -s {root} /d/part; rm /d/part; mv /d/aside /d/part; done"
    );
    let app = with(
        sh("app", "cat /part/secret 2>/dev/null; true"),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/part", "subPath": "part"}]}),
    );
    podyard.start_with(
        &pod("p", "Always", &[sidecar("exchange", &exchange)], &[app]),
        &["--backoff", "0"],
    );
    restarts(&podyard, 40);
    let printed = podyard.run(&["logs", "p", "-c", "app"]).stdout;
    let before = podyard
        .run(&["logs", "p", "-c", "app", "--previous"])
        .stdout;
    let uid = podyard.pod("p")["metadata"]["uid"]
        .as_str()
        .expect("a uid")
        .to_owned();
    let logs = podyard.roots().logs().join(format!("default_p_{uid}/app"));
    let kept = std::fs::read_dir(logs).expect("logs").flatten();
    let all = kept.flat_map(|entry| std::fs::read(entry.path()).unwrap_or_default());
    let all: Vec<u8> = printed.into_iter().chain(before).chain(all).collect();
    assert!(!String::from_utf8_lossy(&all).contains(SECRET));
    podyard.finish();
}

/// A mount point in a shared volume is exchanged for a link while it is mounted on.
#[test]
fn cve_2021_30465_a_mount_point_is_no_link_out_of_the_container() {
    let podyard = Instance::new();
    secret(&podyard);
    let root = podyard.root().display().to_string();
    let before = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let exchange = format!(
        "mkdir -p /d/point; while :; do mv /d/point /d/aside; ln -s {root} /d/point; rm /d/point; mv /d/aside /d/point; done"
    );
    let app = with(
        sh(
            "app",
            "cat /d/point/secret /d/../secret 2>/dev/null; echo x > /d/point/file; true",
        ),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}, {"name": "other", "mountPath": "/d/point"}]}),
    );
    let pod = with_spec(
        pod("p", "Always", &[sidecar("exchange", &exchange)], &[app]),
        json!({"volumes": [{"name": "d", "emptyDir": {}}, {"name": "other", "emptyDir": {}}]}),
    );
    podyard.start_with(&pod, &["--backoff", "0"]);
    restarts(&podyard, 40);
    let printed = podyard.run(&["logs", "p", "-c", "app"]).stdout;
    assert!(!String::from_utf8_lossy(&printed).contains(SECRET));
    assert!(!podyard.root().join("file").exists());
    podyard.ok(&["delete", "pod", "p", "--now"]);
    let after = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let of_root = |text: &str| {
        let lines = text.lines();
        lines.filter(|line| line.contains(&root)).count()
    };
    assert_eq!(of_root(&before), of_root(&after), "{after}");
    podyard.finish();
}

/// `/dev` is a volume in which an init container has laid out links: what masks paths and what becomes the console must not come from there.
#[test]
fn cve_2025_31133_and_cve_2025_52565_masks_and_console_are_not_the_containers() {
    let podyard = Instance::new();
    let pattern = || std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("procfs");
    let before = pattern();
    let evil = "ln -s /proc/sys/kernel/core_pattern /d/null; ln -s /proc/sys/kernel/core_pattern /d/console; \
        ln -s /proc/sys/kernel/core_pattern /d/ptmx; mkdir /d/pts; ln -s /proc/sys/kernel/core_pattern /d/pts/0";
    let attack = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/acpi /proc/scsi /sys/firmware \
        /proc/sys/kernel/core_pattern /dev/console /dev/null; do (echo '|/evil' > $f) 2>/dev/null; done; \
        grep -c core_pattern /proc/self/mountinfo; true";
    let attacks = [("plain", false), ("terminal", true)].map(|(name, tty)| {
        with(
            sh(name, attack),
            json!({"tty": tty, "volumeMounts": [{"name": "d", "mountPath": "/dev"}]}),
        )
    });
    podyard.start(&pod("p", "Never", &[sh("evil", evil)], &attacks));
    for name in ["plain", "terminal"] {
        podyard.wait_for("p", "it was tried", |pod| waits_or_ended(pod, name));
        let printed = podyard.run(&["logs", "p", "-c", name]).stdout;
        let printed = String::from_utf8_lossy(&printed).replace('\r', "");
        // The shell complains of its own redirections, which lead where nobody may write.
        let rest: Vec<&str> = printed
            .lines()
            .filter(|line| !line.starts_with("sh: can't create /dev/null: "))
            .collect();
        assert!(matches!(rest[..], [] | ["0"]), "{name}: {printed}");
    }
    assert_eq!(pattern(), before);
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}

/// Volumes over parts of procfs, so that what is written or read there for the container goes elsewhere.
#[test]
fn cve_2025_52881_procfs_is_not_a_place_for_volumes() {
    let podyard = Instance::new();
    let places = ["/proc/self/attr", "/proc/sys", "/proc/1", "/link/self"];
    let apps: Vec<Value> = places
        .iter()
        .enumerate()
        .map(|(number, place)| {
            with(
                sh(&format!("c{number}"), "echo ran"),
                json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}, {"name": "d", "mountPath": place}]}),
            )
        })
        .collect();
    // The last one goes over a link of the image's: a volume can hold one as well.
    let mut apps = apps;
    apps[3]["volumeMounts"] = json!([
        {"name": "d", "mountPath": "/link"}, {"name": "d", "mountPath": "/link/proc/self"}]);
    podyard.start(&pod(
        "p",
        "Never",
        &[sh("evil", "ln -s /proc /d/proc")],
        &apps,
    ));
    for number in 0..places.len() {
        let name = format!("c{number}");
        let pod = podyard.wait_for("p", "it was tried", |pod| waits_or_ended(pod, &name));
        let state = container(&pod, &name)["state"].to_string();
        assert!(state.contains("/proc"), "{state}");
        let printed = podyard.run(&["logs", "p", "-c", &name]).stdout;
        assert_eq!(String::from_utf8_lossy(&printed), "", "{name}");
    }
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}

/// A cgroup hierarchy of one's own, whose agent the kernel would run as root of the machine.
#[test]
fn cve_2022_0492_no_release_agent_is_set() {
    let podyard = Instance::new();
    let attempt = "for o in memory rdma pids cpu none,name=x; do mount -t cgroup -o $o cgroup /m 2>/dev/null && echo mounted $o; done; \
        for f in $(find / -xdev -name release_agent 2>/dev/null) $(find /m /sys/fs/cgroup -name release_agent -o -name notify_on_release 2>/dev/null); \
        do (echo /evil > $f) 2>/dev/null && echo wrote $f; done; echo tried";
    let script = format!(
        "mkdir /m; export A='{attempt}'; sh -c \"$A\"; unshare -U -r -m sh -c \"$A\" 2>&1 | cut -d: -f3"
    );
    // Without the filter a container has user namespaces, and with them the right to mount; but not a cgroup that it is not at the root of.
    for (profile, in_namespace) in [
        ("RuntimeDefault", " Operation not permitted"),
        ("Unconfined", "tried"),
    ] {
        let app = with(
            sh("app", &script),
            json!({"securityContext": {"seccompProfile": {"type": profile}}}),
        );
        let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &["--rm"]);
        let printed = String::from_utf8_lossy(&output.stdout).replace("[app] ", "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(printed, format!("tried\n{in_namespace}\n"), "{profile}");
    }
    podyard.finish();
}

/// Abstract sockets know no permissions but those of their network namespace.
#[test]
fn cve_2020_15257_abstract_sockets_of_the_machine_are_out_of_reach_and_podyard_has_none() {
    let podyard = Instance::new();
    let name = format!("podyard-e2e-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let _listener = UnixListener::bind_addr(&address).expect("a socket");
    let run = |pod_name: &str, network: bool| {
        let app = sh("app", "grep -o '@.*' /proc/net/unix; echo looked");
        let pod = with_spec(
            pod(pod_name, "Never", &[], &[app]),
            json!({"hostNetwork": network}),
        );
        let output = podyard.foreground(&pod, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        podyard.logs(pod_name, "app")
    };
    assert_eq!(run("own", false), "looked\n");
    // In the machine's network they are there for everybody; what runs the pod must not have added to them.
    let seen = run("host", true);
    let ours: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains("podyard"))
        .collect();
    assert_eq!(ours, [format!("@{name}")]);
    podyard.finish();
}

/// What belongs to the machine and not to a container, tried by root with the default capabilities.
#[test]
fn the_machine_is_not_written_to_read_or_changed() {
    let podyard = Instance::new();
    let script = "w() { (echo $2 > $1) 2>/dev/null && echo wrote $1; }; \
        w /proc/sys/kernel/core_pattern '|/evil'; w /proc/sys/kernel/modprobe /evil; w /proc/sys/vm/panic_on_oom 0; \
        w /proc/sys/net/ipv4/ip_forward 1; w /proc/sysrq-trigger h; w /proc/irq/default_smp_affinity 1; w /sys/kernel/uevent_helper /evil; \
        w /sys/fs/cgroup/memory/cgroup.procs 1; w /sys/fs/cgroup/cgroup.procs 1; \
        for d in '/mem c 1 1' '/kmem c 1 2' '/port c 1 4' '/disk b 254 0' '/loop b 7 0' '/fuse c 10 229'; do set -- $d; \
          mknod $1 $2 $3 $4 && (head -c 1 $1 >/dev/null) 2>/dev/null && echo read $1; done; \
        insmod /d/x.ko 2>&1 | grep -q 'not permitted' || echo modules are not refused; \
        date -s 2000-01-01 2>&1 | grep -q 'not permitted' || echo the clock is not refused; hostname evil 2>/dev/null && echo renamed; \
        mount -t proc proc /mnt 2>/dev/null && echo mounted; mount -o remount,rw /proc/sys 2>/dev/null && echo remounted; \
        umount /proc/kcore 2>/dev/null && echo unmasked; swapoff -a 2>/dev/null && echo swapped off; reboot -f 2>/dev/null; \
        ls /proc | grep -c '^[0-9]' | xargs test 12 -gt && echo alone; echo tried";
    let app = sh(
        "app",
        &format!("mkdir -p /mnt; head -c 100 /dev/zero > /d/x.ko; {script}"),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = podyard.logs("p", "app");
    // `swapoff -a` has nothing to switch off where there is no swap.
    let printed = printed.replace("swapped off\n", "");
    assert_eq!(printed, "alone\ntried\n");
    podyard.finish();
}

/// With the machine's processes in sight, and as the same user: they cannot be looked into. Without them there is nobody to signal.
#[test]
fn the_supervisor_is_not_traced_looked_into_or_signalled() {
    let podyard = Instance::new();
    // What becomes a container's program meanwhile, as in other tests, is none of podyard any more: only what still is one counts.
    let look = "is() { c=$( (tr '\\0' ' ' < $p/cmdline) 2>/dev/null); case \"$c\" in *' inter''nal '*) true;; *) false;; esac; }; \
        got() { is && echo $*; }; \
        for p in /proc/[0-9]*; do is || continue; echo seen; \
          for f in environ mem maps auxv; do (head -c 1 $p/$f >/dev/null) 2>/dev/null && got read $f; done; \
          ls $p/root/ >/dev/null 2>&1 && got its root; ls $p/cwd/ >/dev/null 2>&1 && got its directory; \
          readlink $p/fd/0 >/dev/null 2>&1 && got its descriptors; readlink $p/exe >/dev/null 2>&1 && got its program; \
          nsenter -t ${p#/proc/} -m true 2>/dev/null && got entered; done; echo looked";
    let run = |name: &str, host: bool| {
        let pod = with_spec(
            pod(name, "Never", &[], &[sh("app", look)]),
            json!({"hostPID": host}),
        );
        let output = podyard.foreground(&pod, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        podyard.logs(name, "app")
    };
    assert_eq!(run("own", false), "looked\n");
    let seen = run("host", true);
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.dedup();
    assert_eq!(lines, ["seen", "looked"]);

    // `kill -9 -1` reaches what is in one's own namespace.
    podyard.start(&pod(
        "q",
        "Never",
        &[],
        &[
            sh(
                "app",
                "kill -9 -1; kill -9 2 3 4 5 6 7 8 9; echo still here",
            ),
            sh("other", HANG),
        ],
    ));
    podyard.wait_for("q", "the end of one, and of no other", |pod| {
        container(pod, "app")["state"]["terminated"].is_object()
            && container(pod, "other")["state"]["running"].is_object()
    });
    podyard.finish();
}
