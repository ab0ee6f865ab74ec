//! The same pod by podyard and by crun: one probe runs in both, and what it sees differs only where it is meant to.
//!
//! podyard is given a manifest, crun the configuration that containerd writes for a container of that manifest. So what is compared is not
//! only how a container is made, which `crates/linux/tests/container/compare.rs` does with more detail, but also what becomes of a manifest.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use podyard_e2e::manifest::{pod, sh, with, with_spec};
use podyard_e2e::{Instance, images};
use serde_json::{Value, json};

/// Prints one fact per line, each with its subject in front. A `$` of the shell is `$$` to Kubernetes.
const PROBE: &str = r#"
while read -r id parent device root place options rest; do
    fields=${rest%% - *} source=${rest#* - }
    [ "$fields" = "$rest" ] && fields=private source=${rest#- }
    set -- $source
    echo "mount $place $1 $options $fields ${3%%,lowerdir*}"
done </proc/self/mountinfo
for file in /dev/* /dev/pts/ptmx; do
    [ -L $file ] && echo "device $file -> $(readlink $file)" || echo "device $file $(stat -c '%F %a %u:%g %t:%T' $file)"
done
grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp:|Sig[BI])' /proc/self/status | tr '\t' ' ' | sed 's/^/status /'
sed 's/  */ /g; s/^/limit /' /proc/self/limits
tr '\0' '\n' </proc/1/environ | sed 's/^/environment /'
for number in $(seq 0 40); do readlink /proc/1/fd/$number; done | cut -d: -f1 | sed 's/^/descriptor /'
for kind in cgroup ipc mnt net pid user uts; do echo "namespace $kind $(readlink /proc/self/ns/$kind)"; done
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us \
    cpu/cpu.cfs_period_us pids/pids.max devices/devices.list memory.max memory.swap.max cpu.weight cpu.max; do
    [ -e /sys/fs/cgroup/$file ] && sed "s|^|setting $file |" /sys/fs/cgroup/$file
done
echo "score $(cat /proc/self/oom_score_adj)"
echo "name $(hostname) $(cat /etc/hostname)"
echo "directory $(pwd)"
echo "session $(cut -d' ' -f5,6,7 /proc/1/stat)"
for file in /proc/sys/kernel/hostname /etc/x /x /d/x /etc/hosts /dev/termination-log /dev/shm/x; do
    (echo >>$file) 2>/dev/null && echo "write $file" || echo "no write $file"
done
"#;

/// What is meant to differ, and why: a fact that only one of the two tells. `*` stands for anything.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "mount /proc/* proc ro,nosuid,nodev,noexec,relatime *",
        "podyard: a read-only path keeps the flags of procfs",
    ),
    (
        "mount /proc/* proc ro,relatime *",
        "crun: a read-only path is mounted anew, with no other flag",
    ),
    (
        "mount * tmpfs ro,nosuid,relatime * rw,size=64k,mode=755*",
        "podyard: masks come from the sandbox, which no container can write to",
    ),
    (
        "mount * tmpfs ro,relatime * rw,size=0k*",
        "crun: masks of directories are a tmpfs each",
    ),
    (
        "mount /proc/* devtmpfs ro,relatime *",
        "crun: masks of files are the /dev/null of the machine",
    ),
    (
        "mount /sys/fs/cgroup tmpfs *",
        "what holds the hierarchies of v1 is read-only here and can be written to with crun",
    ),
    (
        "mount /sys/fs/cgroup/* cgroup *",
        "podyard: only those the container is limited by",
    ),
    (
        "mount /dev/shm tmpfs *",
        "podyard: what the pod shares keeps the flags it was made with; crun leaves them to the bind mount",
    ),
    (
        "descriptor /containers/app.0/std*",
        "podyard: pipes have names, by which the next supervisor opens them again; of the names only the last part is seen",
    ),
    ("descriptor pipe", "crun: those of whoever called it"),
    (
        "device /dev/null character special file 666 * 1:3",
        "crun: standard input from there makes the container's user its owner",
    ),
    (
        "status SigIgn: *",
        "crun: signals that libc keeps to itself stay ignored if they were",
    ),
];

/// A pod, and what containerd makes of it beyond what every container gets.
struct Case {
    context: Value,
    pod_context: Value,
    resources: Value,
    user: Value,
    /// Of the image's `/etc/passwd`.
    home: &'static str,
    capabilities: Vec<&'static str>,
    readonly: bool,
    no_new_privileges: bool,
    oom_score: i32,
    cgroup: Value,
}

const CONTAINERD: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

#[test]
fn a_plain_container_is_the_same() {
    compare(&Case {
        context: json!({}),
        pod_context: json!({}),
        resources: json!({}),
        user: json!({"uid": 0, "gid": 0, "umask": 0o022, "additionalGids": [0]}),
        home: "/root",
        capabilities: CONTAINERD.to_vec(),
        readonly: false,
        no_new_privileges: false,
        oom_score: 1000,
        cgroup: json!({"cpu": {"shares": 2}, "memory": {}}),
    });
}

#[test]
fn a_confined_container_is_the_same() {
    // The whole of the machine's memory counts for the score.
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("procfs");
    let total = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .split(' ')
            .next()?
            .parse()
            .ok()
    });
    let total: i64 = total.expect("MemTotal");
    let score = (1000 - 1000 * 65_536 / total).clamp(3, 999);
    compare(&Case {
        context: json!({
            "runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]},
        }),
        pod_context: json!({"fsGroup": 3000, "supplementalGroups": [4000, 5000]}),
        resources: json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}),
        user: json!({"uid": 1000, "gid": 2000, "umask": 0o022, "additionalGids": [2000, 3000, 4000, 5000]}),
        home: "/",
        capabilities: vec!["NET_BIND_SERVICE", "CHOWN"],
        readonly: true,
        no_new_privileges: true,
        oom_score: i32::try_from(score).expect("a small number"),
        cgroup: json!({
            "cpu": {"shares": 256, "quota": 50000, "period": 100_000},
            "memory": {"limit": 128 << 20, "swap": 128 << 20},
        }),
    });
}

fn compare(case: &Case) {
    let podyard = Instance::new();
    let ours = by_podyard(&podyard, case);
    let theirs = by_crun(&podyard, case);
    let (ours, theirs) = (facts(&ours), facts(&theirs));
    assert!(ours.len() > 60, "{ours:#?}");
    let is_meant = |fact: &str| {
        DIFFERENCES
            .iter()
            .any(|(pattern, _)| matches(pattern, fact))
    };
    let unexpected: Vec<String> = ours
        .symmetric_difference(&theirs)
        .filter(|fact| !is_meant(fact))
        .map(|fact| {
            let whose = if ours.contains(fact) {
                "podyard"
            } else {
                "crun"
            };
            format!("{whose}: {fact}")
        })
        .collect();
    assert!(unexpected.is_empty(), "\n{}", unexpected.join("\n"));
    podyard.finish();
}

fn by_podyard(podyard: &Instance, case: &Case) -> String {
    let app = with(
        sh("app", &PROBE.replace('$', "$$")),
        json!({"securityContext": case.context, "resources": case.resources}),
    );
    let pod = with_spec(
        pod("web", "Never", &[], &[app]),
        json!({"securityContext": case.pod_context}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    podyard.logs("web", "app")
}

/// crun before 1.9 refuses machines with both cgroup versions, so it runs where the second is not mounted; and it has no overlay, so its
/// root is one that is mounted for it.
fn by_crun(podyard: &Instance, case: &Case) -> String {
    let bundle = podyard.root().join("bundle");
    let image = bundle.join("image");
    images::unpack("busybox", &image);
    for directory in ["upper", "work", "root", "state", "shm"] {
        std::fs::create_dir_all(bundle.join(directory)).expect("directory");
    }
    let group = case.pod_context["fsGroup"].as_u64();
    let volume = bundle.join("volume");
    std::fs::create_dir_all(&volume).expect("directory");
    let chown = group.and_then(|group| u32::try_from(group).ok());
    std::os::unix::fs::chown(&volume, None, chown).expect("chown");
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&volume, mode).expect("chmod");
    for (name, text) in [
        ("hosts", "127.0.0.1 localhost\n"),
        ("hostname", "web\n"),
        ("resolv.conf", "nameserver 192.0.2.1\n"),
        ("termination-log", ""),
    ] {
        std::fs::write(bundle.join(name), text).expect("file");
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(bundle.join("termination-log"), mode).expect("chmod");
    let name = format!("podyard-e2e-{}", std::process::id());
    let config = configuration(case, &bundle, &name);
    std::fs::write(bundle.join("config.json"), config.to_string()).expect("file");
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; \
        mount -t overlay overlay -o lowerdir=image,upperdir=upper,workdir=work root && \
        mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=65536k shm shm && \
        exec crun --root state --cgroup-manager=cgroupfs run --bundle . $0";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, &name])
        .current_dir(&bundle)
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup")
        .expect("cgroups")
        .flatten()
    {
        let _ = std::fs::remove_dir(hierarchy.path().join(&name));
    }
    assert!(
        output.status.success(),
        "is crun there (`scripts/install-dependencies test`)? {output:?}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What containerd's CRI plugin writes.
fn configuration(case: &Case, bundle: &Path, cgroup: &str) -> Value {
    let capabilities: Vec<String> = case
        .capabilities
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": kind, "options": options})
    };
    let bind = |destination: &str, name: &str, access: &str| json!({"destination": destination, "type": "bind", "source": bundle.join(name), "options": ["rbind", "rprivate", access]});
    let access = if case.readonly { "ro" } else { "rw" };
    let mut devices = vec![
        json!({"allow": false, "access": "rwm"}),
        json!({"allow": true, "type": "c", "access": "m"}),
        json!({"allow": true, "type": "b", "access": "m"}),
    ];
    for (major, minor) in [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 1),
        (5, 2),
    ] {
        devices.push(
            json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}),
        );
    }
    devices.push(json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
    let mut resources = case.cgroup.clone();
    resources["devices"] = json!(devices);
    let masked = [
        "/proc/asound",
        "/proc/acpi",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ];
    let readonly = [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ];
    // Which calls the filter allows is compared elsewhere, without a kernel: here it is only that there is one.
    let rule = json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"});
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.0",
        "root": {"path": "root", "readonly": case.readonly},
        "hostname": "web",
        "process": {
            "args": ["sh", "-c", PROBE],
            "env": ["HOSTNAME=web", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", format!("HOME={}", case.home)],
            "cwd": "/",
            "user": case.user,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": [], "ambient": [],
            },
            "noNewPrivileges": case.no_new_privileges,
            "oomScoreAdj": case.oom_score,
        },
        "mounts": [
            mount("/proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
            mount("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
            bind("/d", "volume", "rw"),
            bind("/etc/hosts", "hosts", "rw"),
            bind("/dev/termination-log", "termination-log", "rw"),
            bind("/etc/hostname", "hostname", access),
            bind("/etc/resolv.conf", "resolv.conf", access),
            bind("/dev/shm", "shm", "rw"),
        ],
        "linux": {
            "cgroupsPath": format!("/{cgroup}"),
            "namespaces": namespaces,
            "maskedPaths": masked,
            "readonlyPaths": readonly,
            "resources": resources,
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]},
        },
    })
}

fn matches(pattern: &str, fact: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = fact.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('*')
}

/// The lines, with what differs between any two containers made alike.
fn facts(printed: &str) -> BTreeSet<String> {
    printed
        .lines()
        .map(|line| {
            let Some(namespace) = line.strip_prefix("namespace ") else {
                return line.trim_end().to_owned();
            };
            let (kind, link) = namespace.split_once(' ').expect("two words");
            let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
            let whose = if Path::new(link) == own {
                "the machine's"
            } else {
                "its own"
            };
            format!("namespace {kind} {whose}")
        })
        .collect()
}
