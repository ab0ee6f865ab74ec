//! What the answers of probes do to real containers: readiness, replacement, and who is asked when. What the handlers answer is in `probes.rs`.

use podyard_e2e::manifest::{HANG, POLITE, exec_probe, nth, pod, sh, with, with_spec};
use podyard_e2e::{Instance, condition, container, eventually};
use serde_json::{Value, json};

/// How many lines a file in the pod's volume has.
fn lines(podyard: &Instance, file: &str) -> usize {
    let path = podyard.dirs("p").volume("empty-dir", "d").join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().count()
}

/// Waits until a file in the pod's volume has so many lines.
fn wait_for_lines(podyard: &Instance, file: &str, count: usize) {
    eventually(&format!("{file} has {count} lines"), || {
        (lines(podyard, file) >= count).then_some(())
    });
}

fn wait_for_restart(podyard: &Instance) -> Value {
    podyard.wait_for("p", "a restart", |pod| {
        container(pod, "app")["restartCount"] == 1
    })
}

#[test]
fn readiness_comes_and_goes_and_restarts_nothing() {
    let podyard = Instance::new();
    let app = with(
        sh(
            "app",
            &nth(
                "app",
                &["until [ -e /d/crash ]; do sleep 0.02; done; exit 1", HANG],
            ),
        ),
        json!({"readinessProbe": exec_probe("test -e /d/r", 1)}),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    eventually("it fails", || {
        let failed = podyard.messages("p", "Unhealthy");
        failed
            .iter()
            .any(|message| message == "Readiness probe failed: ")
            .then_some(())
    });
    let table = podyard.ok(&["get", "pod", "p", "--no-headers"]);
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[1..4], ["0/1", "Running", "0"]);
    let file = podyard.dirs("p").volume("empty-dir", "d").join("r");
    for _ in 0..2 {
        podyard.touch("p", "d", "r");
        let pod = podyard.wait_for_condition("p", "Ready");
        assert_eq!(container(&pod, "app")["ready"], true);
        std::fs::remove_file(&file).expect("it was made");
        let pod = podyard.wait_for("p", "not ready", |pod| condition(pod, "Ready") == "False");
        assert_eq!(container(&pod, "app")["restartCount"], 0);
        assert_eq!(pod["status"]["phase"], "Running");
    }
    // A new run has to be asked before it is ready, whatever the one before it was.
    podyard.touch("p", "d", "r");
    podyard.wait_for_condition("p", "Ready");
    std::fs::remove_file(&file).expect("it was made");
    podyard.touch("p", "d", "crash");
    let pod = podyard.wait_for("p", "the second run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    assert_eq!(container(&pod, "app")["ready"], false);
    podyard.touch("p", "d", "r");
    podyard.wait_for_condition("p", "Ready");
    podyard.finish();
}

#[test]
fn nothing_is_asked_between_two_runs() {
    let podyard = Instance::new();
    // Another container's probe is the clock. The second end has to wait ten seconds.
    let app = with(
        sh("app", "until [ -e /d/go ]; do sleep 0.02; done; exit 1"),
        json!({"readinessProbe": exec_probe("echo >> /d/asked", 1)}),
    );
    let clock = with(
        sh("clock", HANG),
        json!({"readinessProbe": exec_probe("echo >> /d/clock; false", 1)}),
    );
    podyard.start(&pod("p", "Always", &[], &[app, clock]));
    wait_for_lines(&podyard, "asked", 2);
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for("p", "back-off", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(container(&pod, "app")["ready"], false);
    // A round that had begun when it ended may still be answered; after that, nothing is.
    let ticks = |count| wait_for_lines(&podyard, "clock", lines(&podyard, "clock") + count);
    let seen = || {
        let rounds = podyard.events("p", "Unhealthy").into_iter();
        let of_app = rounds
            .filter(|event| event["involvedObject"]["fieldPath"] == "spec.containers{app}")
            .collect::<Vec<_>>();
        (lines(&podyard, "asked"), of_app)
    };
    ticks(2);
    let before = seen();
    ticks(3);
    assert_eq!(seen(), before);
    podyard.finish();
}

#[test]
fn thresholds_are_counted() {
    let podyard = Instance::new();
    let app = with(
        sh("app", &nth("app", &[POLITE, HANG])),
        json!({
            "readinessProbe": with(exec_probe("echo >> /d/ready", 1), json!({"successThreshold": 3})),
            "livenessProbe": exec_probe("[ ! -e /d/bad ] || [ $(wc -l < /d/live) -ge 3 ] || { echo >> /d/live; exit 1; }", 3),
        }),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    podyard.wait_for_condition("p", "Ready");
    assert!(lines(&podyard, "ready") >= 3);
    std::fs::write(podyard.dirs("p").volume("empty-dir", "d").join("live"), "").expect("a file");
    podyard.touch("p", "d", "bad");
    wait_for_restart(&podyard);
    assert_eq!(lines(&podyard, "live"), 3);
    let failed = &podyard.events("p", "Unhealthy")[0];
    assert_eq!(failed["message"], "Liveness probe failed: ");
    podyard.finish();
}

#[test]
fn a_liveness_probe_may_have_a_grace_of_its_own() {
    let podyard = Instance::new();
    let grace = json!({"terminationGracePeriodSeconds": 1});
    let app = with(
        sh("app", HANG),
        json!({"livenessProbe": with(exec_probe("false", 1), grace)}),
    );
    let pod = with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"terminationGracePeriodSeconds": 600}),
    );
    podyard.start(&pod);
    let pod = wait_for_restart(&podyard);
    let ended = &container(&pod, "app")["lastState"]["terminated"];
    assert_eq!(ended["exitCode"], 137);
    podyard.finish();
}

#[test]
fn the_others_wait_for_the_startup_probe() {
    let podyard = Instance::new();
    let app = with(
        sh("app", HANG),
        json!({
            "startupProbe": exec_probe("echo >> /d/startup; test -e /d/ok", 1000),
            "livenessProbe": exec_probe("echo >> /d/live", 1),
            // Asked as soon as it has started, or only when this test has given up.
            "readinessProbe": with(exec_probe("echo >> /d/ready", 1), json!({"periodSeconds": 1000})),
        }),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    wait_for_lines(&podyard, "startup", 3);
    assert_eq!((lines(&podyard, "live"), lines(&podyard, "ready")), (0, 0));
    assert_eq!(container(&podyard.pod("p"), "app")["started"], false);
    podyard.touch("p", "d", "ok");
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(container(&pod, "app")["started"], true);
    // It is not asked again while the others are.
    let asked = lines(&podyard, "startup");
    let live = lines(&podyard, "live");
    wait_for_lines(&podyard, "live", live + 2);
    assert_eq!(lines(&podyard, "startup"), asked);
    podyard.finish();
}

#[test]
fn a_failed_startup_probe_replaces_the_container() {
    let podyard = Instance::new();
    let app = with(
        sh("app", HANG),
        json!({"startupProbe": exec_probe("echo >> /d/startup; false", 2)}),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    let pod = wait_for_restart(&podyard);
    let app = container(&pod, "app");
    assert_eq!(app["started"], false);
    assert_eq!(app["lastState"]["terminated"]["exitCode"], 137);
    assert!(lines(&podyard, "startup") >= 2);
    let killing = podyard.messages("p", "Killing");
    assert_eq!(
        killing[0],
        "Container app failed startup probe, will be restarted"
    );
    podyard.finish();
}

#[test]
fn while_a_pod_ends_readiness_is_asked_and_liveness_is_not() {
    let podyard = Instance::new();
    let until = "until [ -e /d/go ]; do sleep 0.02; done";
    let ends = format!(
        "trap 'touch /d/told; {until}; exit 0' TERM; touch /d/up; while :; do sleep 0.02; done"
    );
    let app = with(
        sh("app", &ends),
        json!({
            "livenessProbe": exec_probe("echo >> /d/live; test ! -e /d/told", 1),
            "readinessProbe": exec_probe("test ! -e /d/told || { echo >> /d/ready; exit 1; }", 1),
        }),
    );
    let pod = with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"terminationGracePeriodSeconds": 60}),
    );
    podyard.start(&pod);
    podyard.wait_for_condition("p", "Ready");
    wait_for_lines(&podyard, "live", 2);
    eventually("it listens", || {
        let up = podyard.dirs("p").volume("empty-dir", "d").join("up");
        up.exists().then_some(())
    });
    podyard.ok(&["delete", "pod", "p", "--wait=false"]);
    let pod = podyard.wait_for("p", "not ready", |pod| condition(pod, "Ready") == "False");
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    // Three rounds of one later, no more has been asked of the other than what was under way.
    wait_for_lines(&podyard, "ready", 1);
    let live = lines(&podyard, "live");
    wait_for_lines(&podyard, "ready", 4);
    assert_eq!(lines(&podyard, "live"), live);
    let killing = podyard.messages("p", "Killing");
    assert_eq!(killing, ["Stopping container app"]);
    podyard.touch("p", "d", "go");
    podyard.ok(&["delete", "pod", "p", "--ignore-not-found"]);
    podyard.finish();
}
