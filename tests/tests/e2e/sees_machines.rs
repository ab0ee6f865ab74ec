//! Machines that cannot give everything: the pod runs all the same, and one clear line says what it runs without.
//!
//! Each machine is this one, seen from a mount namespace in which some of it is missing; podyard is started there and stays there.

use podyard_e2e::Instance;
use podyard_e2e::manifest::{pod, sh, with, with_spec};
use serde_json::{Value, json};

/// A pod that wants something of every controller, and prints what it finds of it.
fn demanding() -> Value {
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max cpu/cpu.shares cpu/cpu.cfs_quota_us 2>/dev/null; \
        mknod /x c 1 1 2>&1; (: </x) 2>&1 | grep -o 'not permitted'; echo runs";
    let app = with(
        sh("app", script),
        json!({"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "32Mi"}}}),
    );
    pod("p", "Never", &[], &[app])
}

/// Runs it where `change` was done to the mounts, and returns what it printed and what was told.
#[track_caller]
fn run(podyard: &Instance, change: &str, pod: &Value, flags: &[&str]) -> (String, Vec<String>) {
    let path = podyard.pod_file(pod);
    let script = format!("{change}; exec \"$@\"");
    let through = ["unshare", "--mount", "sh", "-e", "-c", &script, "sh"];
    let arguments = [&["run", &path], flags].concat();
    let output = podyard
        .command_through(&through, &arguments)
        .output()
        .expect("podyard runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = podyard.events("p", "NotEnforced");
    let told = told.iter().map(|event| {
        assert_eq!(event["count"], 1, "it is said once");
        event["message"].as_str().expect("a message").to_owned()
    });
    (podyard.logs("p", "app"), told.collect())
}

fn without(what: &str) -> String {
    format!("container app runs without its {what}: the cgroups of this machine cannot enforce it")
}

/// Whether the controllers of this machine are those of version 1, which these tests take away one by one.
fn has_v1() -> bool {
    let has = std::path::Path::new("/sys/fs/cgroup/memory").is_dir();
    if !has {
        podyard_e2e::skipped("this machine has no cgroups of version 1");
    }
    has
}

#[test]
fn without_a_controller_of_memory() {
    if !has_v1() {
        return;
    }
    let podyard = Instance::new();
    let (printed, told) = run(&podyard, "umount /sys/fs/cgroup/memory", &demanding(), &[]);
    assert_eq!(printed, "256\n50000\nnot permitted\nruns\n");
    let pod = without("memory limit").replace("container app", "the pod");
    assert_eq!(told, [pod, without("memory limit")]);
    podyard.finish();
}

/// Version 1 limits memory and guarantees none.
#[test]
fn with_memory_that_nobody_can_guarantee() {
    if !has_v1() {
        return;
    }
    let podyard = Instance::new();
    let (printed, told) = run(&podyard, "true", &demanding(), &["--memory-qos"]);
    assert!(printed.ends_with("runs\n"), "{printed}");
    let pod = without("memory protection").replace("container app", "the pod");
    assert_eq!(told, [pod, without("memory protection")]);
    podyard.finish();
}

#[test]
fn without_any_cgroup() {
    let podyard = Instance::new();
    let change = "mount -t tmpfs none /sys/fs/cgroup";
    let flags = ["--pod-max-pids", "100"];
    let (printed, told) = run(&podyard, change, &demanding(), &flags);
    // Nobody can make device nodes where nothing keeps them from being used.
    assert!(printed.starts_with("mknod: "), "{printed}");
    assert!(printed.ends_with("runs\n"), "{printed}");
    let all = "cpu request, cpu limit, memory limit";
    let pod = without(&format!("{all}, limit of processes")).replace("container app", "the pod");
    assert_eq!(told, [pod, without(&format!("{all}, device rules"))]);
    podyard.finish();
}

#[test]
fn with_cgroups_that_are_read_only() {
    let podyard = Instance::new();
    let change = "for m in $(awk '$2 ~ \"^/sys/fs/cgroup\" {print $2}' /proc/mounts); do mount -o remount,bind,ro $m; done";
    let (printed, told) = run(&podyard, change, &demanding(), &[]);
    assert!(printed.ends_with("runs\n"), "{printed}");
    let all = "cpu request, cpu limit, memory limit";
    let pod = without(all).replace("container app", "the pod");
    assert_eq!(told, [pod, without(&format!("{all}, device rules"))]);
    podyard.finish();
}

/// A hierarchy of version 2 whose controllers are all taken by version 1: the other half of a mixed machine.
#[test]
fn with_a_second_version_that_has_no_controllers() {
    if !has_v1() {
        return;
    }
    let podyard = Instance::new();
    let change = "mount -t cgroup2 none /sys/fs/cgroup";
    let (printed, told) = run(&podyard, change, &demanding(), &[]);
    // Devices are kept by a program there.
    assert_eq!(printed, "not permitted\nruns\n");
    let all = "cpu request, cpu limit, memory limit";
    let pod = without(all).replace("container app", "the pod");
    assert_eq!(told, [pod, without(all)]);
    podyard.finish();
}

#[test]
fn with_the_first_version_alone() {
    if !has_v1() {
        return;
    }
    let podyard = Instance::new();
    let change = "[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified";
    let (printed, told) = run(&podyard, change, &demanding(), &[]);
    assert_eq!(printed, "33554432\n256\n50000\nnot permitted\nruns\n");
    assert_eq!(told, [""; 0]);
    podyard.finish();
}

/// The score of who is to be killed last is lower than podyard's own, and that takes a privilege.
#[test]
fn without_the_privilege_to_lower_scores() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "cat /proc/self/oom_score_adj"),
        json!({"resources": {"limits": {"cpu": "1", "memory": "32Mi"}}}),
    );
    let path = podyard.pod_file(&pod("p", "Never", &[], &[app]));
    let through = [
        "setpriv",
        "--bounding-set=-sys_resource",
        "--inh-caps=-sys_resource",
    ];
    let output = podyard
        .command_through(&through, &["run", &path])
        .output()
        .expect("podyard runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("procfs");
    assert_eq!(podyard.logs("p", "app"), own);
    let told = podyard.events("p", "NotEnforced");
    let expected = format!(
        "container app runs with oom_score_adj {} instead of -997: a lower one needs CAP_SYS_RESOURCE, which podyard does not have",
        own.trim()
    );
    assert_eq!(told[0]["message"], expected);
    assert_eq!(told.len(), 1);
    podyard.finish();
}

/// Nothing is told of a pod that asks for nothing.
#[test]
fn what_nobody_asked_for_is_not_missed() {
    let podyard = Instance::new();
    let pod = with_spec(pod("p", "Never", &[], &[sh("app", "echo runs")]), json!({}));
    let change = "mount -t cgroup2 none /sys/fs/cgroup";
    let (printed, told) = run(&podyard, change, &pod, &[]);
    assert_eq!((printed.as_str(), told.len()), ("runs\n", 0));
    podyard.finish();
}
