//! Workloads that behave badly.

use std::process::Stdio;

use podyard_e2e::manifest::{HANG, READY, pod, sh, with, with_spec};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::json;

#[test]
fn one_that_ignores_the_stop_signal_is_killed() {
    let podyard = Instance::new();
    let app = "trap 'echo no' TERM; echo ready; while :; do sleep 0.02; done";
    let pod = with_spec(
        pod("p", "Always", &[], &[sh("app", app)]),
        json!({"terminationGracePeriodSeconds": 1}),
    );
    podyard.start(&pod);
    podyard.wait_for_log("p", "app", "ready");
    podyard.ok(&["delete", "pod", "p"]);
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    podyard.finish();
}

/// The container is its first process: what that one left running ends with it, and holds up neither its end nor its log.
#[test]
fn what_it_forked_into_the_background_ends_with_it() {
    let podyard = Instance::new();
    let app =
        "(trap '' TERM HUP; while :; do echo still here; sleep 0.01; done) & sleep 0.1; exit 4";
    let output = podyard.foreground(&pod("p", "Never", &[], &[sh("app", app)]), &[]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let processes = podyard.machine().processes();
    assert!(processes.is_empty(), "{processes:?}");
    let before = podyard.logs("p", "app");
    assert!(before.contains("still here"));
    assert_eq!(podyard.logs("p", "app"), before);
    podyard.finish();
}

#[test]
fn one_that_closes_its_output_goes_on() {
    let podyard = Instance::new();
    let app =
        "echo before; exec >&- 2>&-; until [ -e /d/go ]; do sleep 0.02; done; echo lost; exit 6";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "before");
    assert_eq!(podyard.pod("p")["status"]["phase"], "Running");
    podyard.ok(&["exec", "p", "--", "touch", "/d/go"]);
    let pod = podyard.wait_for_phase("p", "Failed");
    let ended = &container(&pod, "app")["state"]["terminated"]["exitCode"];
    // Writing to a closed descriptor fails, and the shell goes on.
    assert_eq!(ended, 6);
    assert_eq!(podyard.logs("p", "app"), "before\n");
    podyard.finish();
}

#[test]
fn one_that_prints_without_end_is_read_to_its_last_line() {
    let podyard = Instance::new();
    // 1 GB in lines, some of them longer than the CRI's records.
    let app = "long=$(head -c 40000 /dev/zero | tr '\\0' x); i=0; \
               while [ $i -lt 520 ]; do i=$((i+1)); yes 0123456789012345678901234567890123456789012345678901234567890123 | head -n 30000; echo $long; done; echo end";
    let path = podyard.pod_file(&pod("p", "Never", &[], &[sh("app", app)]));
    // So much may take longer than anything else that a test waits for.
    let mut run = podyard.command(&["run", &path]);
    let run = run.stdout(Stdio::null()).output().expect("podyard");
    assert_says(&run, 0, &["pod/p succeeded"]);
    // What is still in the newest file is whole lines, up to the very last.
    let log = podyard.ok(&["logs", "p", "--tail=3"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.last(), Some(&"end"));
    podyard.finish();
}

#[test]
fn one_that_is_dead_before_anybody_looked() {
    let podyard = Instance::new();
    let quick = with(sh("app", ""), json!({"command": ["true"]}));
    for round in 0..10 {
        let output = podyard.foreground(
            &pod(
                "p",
                "Never",
                &[with(sh("i1", ""), json!({"command": ["true"]}))],
                std::slice::from_ref(&quick),
            ),
            &[],
        );
        assert_says(
            &output,
            0,
            &["init i1: completed", "app app: completed", "succeeded"],
        );
        let pod = podyard.pod("p");
        let ended = &container(&pod, "app")["state"]["terminated"];
        assert_eq!(ended["reason"], "Completed", "round {round}");
        assert!(ended["startedAt"].is_string() && ended["finishedAt"].is_string());
    }
    podyard.finish();
}

#[test]
fn a_fork_bomb_is_contained() {
    let podyard = Instance::new();
    // Bounded by the pod's own end: every process of it is in its cgroup.
    let app = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 1000 & done; echo ready; wait";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "ready");
    podyard.ok(&["delete", "pod", "p", "--force"]);
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    podyard.finish();
}

#[test]
fn a_hook_that_hangs_does_not_hold_up_the_end() {
    let podyard = Instance::new();
    let app = with(
        sh("app", READY),
        json!({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "1000"]}}}}),
    );
    let pod = with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"terminationGracePeriodSeconds": 1}),
    );
    podyard.start(&pod);
    podyard.wait_for_log("p", "app", "ready");
    podyard.ok(&["delete", "pod", "p"]);
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    podyard.finish();
}

#[test]
fn a_probe_of_a_port_that_nobody_opens() {
    let podyard = Instance::new();
    let app = with(
        sh("app", HANG),
        json!({"readinessProbe": {"tcpSocket": {"port": 81}, "periodSeconds": 1}}),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    let events = eventually("the probe has failed", || {
        let events = podyard.events("p", "Unhealthy");
        (!events.is_empty()).then_some(events)
    });
    let message = events[0]["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Readiness probe failed: dial tcp ")
            && message.ends_with(":81: connect: connection refused"),
        "{message}"
    );
    let pod = podyard.pod("p");
    assert_eq!(container(&pod, "app")["ready"], false);
    assert_eq!(container(&pod, "app")["restartCount"], 0);
    let table = podyard.ok(&["get", "pods", "--no-headers"]);
    assert!(table.contains("0/1     Running"), "{table}");
    podyard.finish();
}
