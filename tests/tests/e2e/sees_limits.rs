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

#[test]
fn who_takes_too_much_processor_time_is_throttled() {
    let podyard = Instance::new();
    // It runs until the kernel has counted periods in which it had to stand still.
    let script = "cd /sys/fs/cgroup; f=cpu.stat; [ -e $f ] || f=cpu/cpu.stat; [ -e $f ] || exit 9; \
        until grep -q '^nr_throttled [1-9]' $f; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done; echo throttled";
    let app = with(
        sh("app", script),
        json!({"resources": {"limits": {"cpu": "50m"}}}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    if podyard.logs("p", "app").is_empty() && output.status.code() == Some(9) {
        podyard_e2e::skipped("this machine has no cgroup that limits processor time");
    } else {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(podyard.logs("p", "app"), "throttled\n");
    }
    podyard.finish();
}

/// Of all containers together, which is what kubelets limit.
#[test]
fn a_fork_bomb_is_stopped_and_the_rest_of_the_pod_lives() {
    let podyard = Instance::new();
    let bomb = "b() { b & b; }; (b) 2>/dev/null; echo over; touch /d/over";
    let other = "until [ -e /d/over ]; do :; done; echo lives";
    let pod = pod("p", "Never", &[], &[sh("bomb", bomb), sh("other", other)]);
    let output = podyard.foreground(&pod, &["--pod-max-pids", "30"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "bomb"), "over\n");
    assert_eq!(podyard.logs("p", "other"), "lives\n");
    assert!(podyard.events("p", "NotEnforced").is_empty());
    podyard.finish();
}

/// Each container's own request and limit, init containers and sidecars as well, and the sum of them around all.
#[test]
fn every_container_has_its_limits_and_the_pod_has_their_sum() {
    let podyard = Instance::new();
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; cat cpu/cpu.shares 2>/dev/null; true";
    let of = |container: serde_json::Value, cpu: &str, memory: &str| {
        with(
            container,
            json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "1", "memory": memory}}}),
        )
    };
    let sidecar = podyard_e2e::manifest::sidecar(
        "sidecar",
        &format!(
            "({script}) > /d/part; mv /d/part /d/sidecar; {}",
            podyard_e2e::manifest::HANG
        ),
    );
    let app = format!(
        "until [ -e /d/sidecar ]; do sleep 0.02; done; cat /d/sidecar; {script}; touch /d/up; \
        until [ -e /d/go ]; do sleep 0.02; done"
    );
    let pod = pod(
        "p",
        "Never",
        &[
            of(sh("init", script), "100m", "64Mi"),
            of(sidecar, "200m", "16Mi"),
        ],
        &[of(sh("app", &app), "250m", "32Mi")],
    );
    podyard.start(&pod);
    podyard.wait_for_condition("p", "Ready");
    let mark = podyard.dirs("p").volume("empty-dir", "d").join("up");
    podyard_e2e::eventually("the application has looked", || mark.exists().then_some(()));
    // The init container alone needs more than what runs later: 64 against 16 + 32 MiB.
    let name = format!("pod{}", podyard.dirs("p").uid);
    let group = podyard.roots().cgroup();
    let read = |path: String| std::fs::read_to_string(path).ok();
    let v1 = read(format!(
        "/sys/fs/cgroup/memory/{group}/{name}/memory.limit_in_bytes"
    ));
    let v2 = read(format!("/sys/fs/cgroup/{group}/{name}/memory.max"));
    if let Some(of_pod) = v1.or(v2) {
        assert_eq!(of_pod.trim(), (64 << 20).to_string());
        let shares = |of: &str| {
            read("/sys/fs/cgroup/cpu/tasks".to_owned()).map_or(String::new(), |_| format!("{of}\n"))
        };
        let expected = |memory: u64, of: &str| format!("{}\n{}", memory << 20, shares(of));
        assert_eq!(podyard.logs("p", "init"), expected(64, "102"));
        assert_eq!(
            podyard.logs("p", "app"),
            expected(16, "204") + &expected(32, "256")
        );
    }
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    podyard.finish();
}
