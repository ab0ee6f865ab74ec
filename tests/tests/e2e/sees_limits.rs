//! What a container may use, as it sees it itself, and what happens when it wants more.

use podyard_e2e::manifest::{pod, sh, with};
use podyard_e2e::{Instance, container};
use serde_json::json;

#[test]
fn limits_are_those_of_the_containers_cgroup() {
    let podyard = Instance::new();
    // One of the two is there: v1 or v2.
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; \
        cat cpu/cpu.shares cpu.weight 2>/dev/null; cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null | cut -d' ' -f1";
    let app = with(
        sh("app", script),
        json!({"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "32Mi"}}}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = podyard.logs("p", "app");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert_eq!(lines[0], "33554432");
    // Shares, or the weight that stands for them.
    assert!(["256", "35"].contains(&lines[1]), "{log}");
    assert_eq!(lines[2], "50000");
    podyard.finish();
}

#[test]
fn who_takes_too_much_memory_is_killed_and_it_is_said() {
    let podyard = Instance::new();
    let limited = |script: &str| {
        with(
            sh("app", script),
            json!({"resources": {"limits": {"memory": "16Mi"}}}),
        )
    };
    let hog = "tail -c 64m /dev/zero";
    let reason = |name: &str, script: &str| {
        let _ = podyard.foreground(&pod(name, "Never", &[], &[limited(script)]), &[]);
        let pod = podyard.pod(name);
        let terminated = &container(&pod, "app")["state"]["terminated"];
        (terminated["reason"].clone(), terminated["exitCode"].clone())
    };
    assert_eq!(
        reason("main", &format!("exec {hog}")),
        (json!("OOMKilled"), json!(137))
    );
    // A child was the victim, and the main process fails for it.
    assert_eq!(
        reason("child", &format!("{hog}; exit 3")),
        (json!("OOMKilled"), json!(3))
    );
    podyard.finish();
}

#[test]
fn scores_for_the_kernels_choice_of_a_victim() {
    let podyard = Instance::new();
    // Scores below the supervisor's own need a privilege that not every machine gives; this one never does.
    let app = sh("app", "cat /proc/self/oom_score_adj");
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "1000\n");
    podyard.finish();
}
