//! The same container by crun and by this crate: one probe runs in both, and what it sees differs only where it is meant to.
//!
//! crun gets an OCI configuration as containerd would write it for Kubernetes. Two circumstances of the tests' machines are
//! worked round, neither of which touches what is compared: crun before 1.9 refuses machines with both cgroup versions, so
//! it runs in a mount namespace without the second; and it has no overlay, so both use one directory as root.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use podyard_linux::cgroup::{Devices, Resources};
use podyard_linux::{ContainerPlan, Rlimit, Rootfs, User, seccomp};
use serde_json::{Value, json};

use crate::world::{Pod, own_mounts, string, strings};

tests![
    a_plain_container_is_the_same,
    a_confined_container_is_the_same,
];

/// Prints one fact per line, each with its subject in front.
const PROBE: &str = r#"
while read -r id parent device root place options rest; do
    fields=${rest%% - *} source=${rest#* - }
    set -- $source
    echo "mount $place $1 $options ${fields:-private}"
done </proc/self/mountinfo
for file in /dev/* /dev/pts/ptmx; do
    [ -L $file ] && echo "device $file -> $(readlink $file)" || echo "device $file $(stat -c '%F %a %u:%g %t:%T' $file)"
done
grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp|Sig[BIC])' /proc/self/status | tr '\t' ' ' | sed 's/^/status /'
sed 's/  */ /g; s/^/limit /' /proc/self/limits
env | sed 's/^/environment /'
for file in /proc/1/fd/*; do echo "descriptor ${file##*/} $(readlink $file | cut -d: -f1)"; done
for kind in cgroup ipc mnt net pid user uts; do echo "namespace $kind $(readlink /proc/self/ns/$kind)"; done
sed 's/^[0-9]*:/cgroup /' /proc/self/cgroup
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us \
    cpu/cpu.cfs_period_us pids/pids.max devices/devices.list memory.max memory.swap.max cpu.weight cpu.max; do
    [ -e /sys/fs/cgroup/$file ] && sed "s|^|setting $file |" /sys/fs/cgroup/$file
done
echo "score $(cat /proc/self/oom_score_adj)"
echo "name $(hostname)"
echo "directory $(pwd)"
echo "session $(cut -d' ' -f5,6,7 /proc/1/stat)"
for file in /proc/sys/kernel/hostname /etc/x /x; do (echo x >$file) 2>&1 | sed "s|^.*: |write $file |"; done
echo "keyring $(grep -c . /proc/keys 2>&1)"
"#;

/// What is meant to differ, and why: a fact that only one of the two tells. `*` stands for anything.
const DIFFERENCES: [(&str, &str); 11] = [
    (
        "mount /proc/* - ro,nosuid,nodev,noexec,relatime - proc proc rw",
        "podyard: a read-only path keeps the flags of procfs",
    ),
    (
        "mount /proc/* - ro,relatime - proc proc rw",
        "crun: a read-only path is mounted anew, with no other flag",
    ),
    (
        "mount * - ro,nosuid,relatime - tmpfs podyard rw,size=64k,mode=755",
        "podyard: masks come from the sandbox, which no container can write to",
    ),
    (
        "mount * - ro,relatime - tmpfs tmpfs rw,size=0k",
        "crun: masks of directories are a tmpfs each",
    ),
    (
        "mount /proc/* - ro,relatime - devtmpfs *",
        "crun: masks of files are the /dev/null of the machine",
    ),
    (
        "mount /dev/shm - rw,nosuid,nodev,noexec,relatime - tmpfs *",
        "podyard: one for the whole pod, named as containerd does",
    ),
    (
        "mount /sys/fs/cgroup - ro,nosuid,nodev,noexec,relatime - tmpfs podyard rw,size=64k,mode=755",
        "podyard: what holds the hierarchies of v1 is read-only, and the sandbox's",
    ),
    (
        "mount /sys/fs/cgroup - rw,* - tmpfs cgroup *",
        "crun: what holds the hierarchies of v1 can be written to",
    ),
    (
        "mount /sys/fs/cgroup/* - cgroup *",
        "podyard: only those the container is limited by; both give what the table shows as device another name",
    ),
    (
        "device /dev/null character special file 666 * 1:3",
        "crun: standard input from there makes the container's user its owner",
    ),
    (
        "status SigIgn: *",
        "crun: signals that libc keeps to itself stay ignored if they were",
    ),
];

/// What both are given.
struct Given {
    user: User,
    umask: u32,
    readonly_rootfs: bool,
    no_new_privileges: bool,
    seccomp: bool,
    rlimits: Vec<Rlimit>,
    env: Vec<&'static str>,
    working_dir: &'static str,
    oom_score: i16,
    resources: Resources,
}

fn plain() -> Given {
    Given {
        user: User::default(),
        umask: 0o022,
        readonly_rootfs: false,
        no_new_privileges: false,
        seccomp: false,
        rlimits: Vec::new(),
        env: vec!["PATH=/usr/bin:/bin", "HOME=/root"],
        working_dir: "/",
        oom_score: 1000,
        resources: Resources {
            cpu_shares: Some(2),
            devices: Devices::Container,
            ..Resources::default()
        },
    }
}

fn a_plain_container_is_the_same() {
    compare(&plain());
}

fn a_confined_container_is_the_same() {
    compare(&Given {
        user: User {
            uid: 1000,
            gid: 2000,
            additional_gids: vec![3000, 4000],
        },
        umask: 0o027,
        readonly_rootfs: true,
        no_new_privileges: true,
        seccomp: true,
        rlimits: vec![Rlimit {
            resource: libc::RLIMIT_NOFILE,
            soft: 1000,
            hard: 2000,
        }],
        env: vec!["PATH=/usr/bin:/bin", "HOME=/tmp", "A=1"],
        working_dir: "/tmp",
        oom_score: 500,
        resources: Resources {
            cpu_shares: Some(512),
            cpu_quota_us: Some(50_000),
            cpu_period_us: Some(100_000),
            memory_limit_bytes: Some(64 << 20),
            swap_limit_bytes: Some(0),
            pids_limit: Some(100),
            devices: Devices::Container,
            ..Resources::default()
        },
    });
}

fn compare(given: &Given) {
    let pod = Pod::new();
    let root = pod.host_directory("root");
    copy(crate::image::layer(), &root);
    let cgroup = pod.cgroup("podyard", &given.resources);
    let ours = pod.sh(PROBE, |plan| {
        plan.rootfs = Rootfs::Directory(root.clone());
        plan.cgroup = Some(&cgroup);
        apply(given, plan);
    });
    let theirs = crun(&pod, &root, given);
    let (ours, theirs) = (facts(&ours), facts(&theirs));
    let unexpected: Vec<String> = ours
        .symmetric_difference(&theirs)
        .filter(|fact| {
            !DIFFERENCES
                .iter()
                .any(|(pattern, _)| matches(pattern, fact))
        })
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
}

fn matches(pattern: &str, fact: &str) -> bool {
    let mut rest = fact;
    let mut parts = pattern.split('*');
    let Some(tail) = rest.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    rest = tail;
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
                return line.to_owned();
            };
            let (kind, link) = namespace.split_once(' ').unwrap();
            let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let whose = if Path::new(link) == own {
                "the host's"
            } else {
                "its own"
            };
            format!("namespace {kind} {whose}")
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from.join("."))
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

fn apply(given: &Given, plan: &mut ContainerPlan<'_>) {
    plan.user = given.user.clone();
    plan.umask = given.umask;
    plan.readonly_rootfs = given.readonly_rootfs;
    plan.no_new_privileges = given.no_new_privileges;
    plan.rlimits = given.rlimits.clone();
    plan.env = strings(&given.env);
    plan.working_dir = string(given.working_dir);
    plan.oom_score_adj = Some(podyard_linux::OomScoreAdj {
        value: given.oom_score,
        required: true,
    });
    if given.seccomp {
        plan.seccomp = Some(seccomp::runtime_default(plan.capabilities.bounding));
    }
}

/// Runs the probe by crun, and takes away what crun leaves.
fn crun(pod: &Pod, root: &Path, given: &Given) -> String {
    let bundle = pod.host_directory("bundle");
    let cgroup = format!("{}/crun", pod.cgroup_path());
    let paths = std::cell::RefCell::new((Vec::new(), Vec::new()));
    // A plan knows which paths are protected.
    drop(pod.spawn(&[], |plan| {
        paths.replace((plan.masked_paths.clone(), plan.readonly_paths.clone()));
    }));
    let (masked, readonly) = paths.into_inner();
    let texts = |paths: Vec<std::borrow::Cow<'static, std::ffi::CStr>>| -> Vec<String> {
        paths
            .into_iter()
            .map(|path| path.into_owned().into_string().unwrap())
            .collect()
    };
    let config = configuration(given, root, &cgroup, texts(masked), texts(readonly));
    std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let state = pod.host_directory("crun");
    let output = std::thread::scope(|scope| {
        let run = || {
            own_mounts();
            // Where this fails there is only one version.
            let flags = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount("/sys/fs/cgroup/unified", flags);
            Command::new("crun")
                .arg("--root")
                .arg(&state)
                .args(["--cgroup-manager=cgroupfs", "run", "--bundle"])
                .arg(&bundle)
                .arg(format!("podyard-test-{}", std::process::id()))
                .stdin(std::process::Stdio::null())
                .output()
        };
        scope.spawn(run).join().unwrap()
    });
    let output = output.expect("crun is there: run `scripts/install-dependencies test` first");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        for path in [cgroup.as_str(), pod.cgroup_path()] {
            let _ = std::fs::remove_dir(hierarchy.path().join(path));
        }
    }
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn configuration(
    given: &Given,
    root: &Path,
    cgroup: &str,
    masked: Vec<String>,
    readonly: Vec<String>,
) -> Value {
    let capabilities: Vec<String> = podyard_linux::CapabilitySets::containerd_default()
        .bounding
        .iter()
        .map(|capability| capability.to_string())
        .collect();
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<_> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": kind, "options": options})
    };
    let rlimits: Vec<_> = given
        .rlimits
        .iter()
        .map(|limit| json!({"type": "RLIMIT_NOFILE", "soft": limit.soft, "hard": limit.hard}))
        .collect();
    let resources = &given.resources;
    let device = |kind: &str, major: Option<u32>, minor: Option<u32>, access: &str| {
        let mut rule = json!({"allow": true, "type": kind, "access": access});
        for (name, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[name] = json!(number);
            }
        }
        rule
    };
    let mut devices = vec![json!({"allow": false, "access": "rwm"})];
    devices.extend([device("c", None, None, "m"), device("b", None, None, "m")]);
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
        devices.push(device("c", Some(major), Some(minor), "rwm"));
    }
    devices.push(device("c", Some(136), None, "rwm"));
    let mut memory = json!({});
    if let (Some(limit), Some(swap)) = (resources.memory_limit_bytes, resources.swap_limit_bytes) {
        memory = json!({"limit": limit, "swap": limit + swap});
    }
    let mut cpu = json!({"shares": resources.cpu_shares});
    if let Some(quota) = resources.cpu_quota_us {
        cpu["quota"] = json!(quota);
        cpu["period"] = json!(resources.cpu_period_us);
    }
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({"type": kind}));
    let mut linux = json!({
        "cgroupsPath": format!("/{cgroup}"),
        "namespaces": namespaces,
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        "resources": {"memory": memory, "cpu": cpu, "devices": devices},
    });
    if let Some(limit) = resources.pids_limit {
        linux["resources"]["pids"] = json!({"limit": limit});
    }
    if given.seccomp {
        // Which calls are allowed is compared elsewhere, without a kernel: here it is only that there is a filter.
        let rule = json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"});
        linux["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    }
    json!({
        "ociVersion": "1.0.0",
        "root": {"path": root, "readonly": given.readonly_rootfs},
        "hostname": "pod",
        "process": {
            "args": ["sh", "-c", PROBE],
            "env": given.env,
            "cwd": given.working_dir,
            "user": {
                "uid": given.user.uid,
                "gid": given.user.gid,
                "additionalGids": given.user.additional_gids,
                "umask": given.umask,
            },
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
            "rlimits": rlimits,
            "noNewPrivileges": given.no_new_privileges,
            "oomScoreAdj": given.oom_score,
        },
        "mounts": [
            mount("/proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
            mount("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": linux,
    })
}
