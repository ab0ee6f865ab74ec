//! Lifecycle hooks in real containers.

use podyard_e2e::manifest::{HANG, nth, sh, with};
use podyard_e2e::{Instance, container, manifest};
use serde_json::{Value, json};

fn pod(containers: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  terminationGracePeriodSeconds: 30
  containers:
{containers}
  volumes: [{{name: d, hostPath: {{path: HOST}}}}]
"
    )
}

/// One busybox container that ends at once when it is told to, after noting when in `/d/term`.
fn polite(name: &str, lifecycle: &str) -> String {
    format!(
        "  - name: {name}
    image: busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, 'trap \"cat /proc/uptime > /d/{name}.term; exit 0\" TERM; while :; do sleep 0.1; done']
    volumeMounts: [{{name: d, mountPath: /d}}]
    lifecycle: {lifecycle}
"
    )
}

fn start(podyard: &Instance, text: &str) -> std::path::PathBuf {
    let directory = podyard.root().join("d");
    std::fs::create_dir(&directory).expect("a directory");
    podyard.start_text(&text.replace("HOST", directory.to_str().expect("UTF-8")));
    directory
}

fn events(podyard: &Instance, reason: &str) -> Vec<String> {
    let events: Value =
        serde_json::from_str(&podyard.ok(&["events", "p", "-o", "json"])).expect("JSON");
    let items = events["items"].as_array().expect("a list");
    let wanted = items.iter().filter(|event| event["reason"] == reason);
    wanted
        .map(|event| event["message"].as_str().expect("a message").to_owned())
        .collect()
}

fn seconds(path: &std::path::Path) -> f64 {
    let text = std::fs::read_to_string(path).expect("a time stamp");
    text.split(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("a number")
}

#[test]
fn post_start_blocks_the_status_and_the_next_container() {
    let podyard = Instance::new();
    // The hook waits until the test has looked.
    let first = polite(
        "a",
        "{postStart: {exec: {command: [sh, -c, 'touch /d/begun; until [ -e /d/go ]; do sleep 0.05; done; touch /d/done']}}}",
    );
    let second = polite(
        "b",
        "{postStart: {exec: {command: [sh, -c, 'test -e /d/done']}}}",
    );
    let directory = start(&podyard, &pod(&(first + &second)));
    podyard.wait_for("p", "the hook", |_| directory.join("begun").exists());
    let looked = podyard.pod("p");
    assert_eq!(
        container(&looked, "a")["state"]["waiting"]["reason"],
        "ContainerCreating"
    );
    assert_eq!(
        container(&looked, "b")["state"]["waiting"]["reason"],
        "ContainerCreating"
    );
    std::fs::write(directory.join("go"), "").expect("a file");
    podyard.wait_for_condition("p", "Ready");
    assert!(events(&podyard, "FailedPostStartHook").is_empty());
    podyard.finish();
}

#[test]
fn post_start_that_fails_ends_its_container() {
    let podyard = Instance::new();
    let text = pod(&polite(
        "a",
        "{postStart: {exec: {command: [sh, -c, 'echo why; exit 9']}}}",
    ));
    start(
        &podyard,
        &text.replace("  containers:", "  restartPolicy: Never\n  containers:"),
    );
    let pod = podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(container(&pod, "a")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(
        events(&podyard, "FailedPostStartHook"),
        ["PostStartHook failed"]
    );
    assert_eq!(events(&podyard, "Killing"), ["FailedPostStartHook"]);
    podyard.finish();
}

#[test]
fn pre_stop_comes_before_the_signal() {
    let podyard = Instance::new();
    let text = pod(&polite(
        "a",
        "{preStop: {exec: {command: [sh, -c, 'sleep 1; cat /proc/uptime > /d/a.hook']}}}",
    ));
    let directory = start(&podyard, &text);
    podyard.wait_for_condition("p", "Ready");
    podyard.ok(&["delete", "pod", "p"]);
    let (hook, term) = (
        seconds(&directory.join("a.hook")),
        seconds(&directory.join("a.term")),
    );
    assert!(hook <= term, "hook ended at {hook}, signal came at {term}");
    podyard.finish();
}

#[test]
fn pre_stop_can_sleep() {
    let podyard = Instance::new();
    let text = pod(&polite("a", "{preStop: {sleep: {seconds: 1}}}"));
    let directory = start(&podyard, &text);
    podyard.wait_for_condition("p", "Ready");
    let asked = seconds(std::path::Path::new("/proc/uptime"));
    podyard.ok(&["delete", "pod", "p"]);
    let term = seconds(&directory.join("a.term"));
    assert!(
        term >= asked + 1.0,
        "asked at {asked}, signal came at {term}"
    );
    podyard.finish();
}

#[test]
fn pre_stop_hooks_run_beside_each_other() {
    let podyard = Instance::new();
    // Each waits for the other: one after the other they would use up the whole grace.
    let hook = |own: &str, other: &str| {
        format!(
            "{{preStop: {{exec: {{command: [sh, -c, 'touch /d/{own}; until [ -e /d/{other} ]; do sleep 0.05; done; touch /d/{own}.met']}}}}}}"
        )
    };
    let text = pod(&(polite("a", &hook("a", "b")) + &polite("b", &hook("b", "a"))));
    let directory = start(&podyard, &text);
    podyard.wait_for_condition("p", "Ready");
    podyard.ok(&["delete", "pod", "p"]);
    assert!(directory.join("a.met").exists() && directory.join("b.met").exists());
    podyard.finish();
}

#[test]
fn pre_stop_that_fails_or_hangs_does_not_hold_the_stop() {
    let podyard = Instance::new();
    let failing = polite("a", "{preStop: {exec: {command: [sh, -c, 'exit 1']}}}");
    let unknown = polite("b", "{preStop: {tcpSocket: {port: 1}}}");
    let hanging = polite("c", "{preStop: {exec: {command: [sleep, '1000']}}}");
    let text = pod(&(failing + &unknown + &hanging)).replace("Seconds: 30", "Seconds: 2");
    let directory = start(&podyard, &text);
    podyard.wait_for_condition("p", "Ready");
    let watch = podyard.spawn(&["events", "p", "-w"]);
    podyard.ok(&["delete", "pod", "p"]);
    let seen = watch.wait_with_output().expect("events");
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("FailedPreStopHook"), "{seen}");
    for name in ["a", "b", "c"] {
        assert!(
            directory.join(format!("{name}.term")).exists(),
            "{name} got its signal"
        );
    }
    podyard.finish();
}

#[test]
fn pre_stop_is_not_run_when_the_container_ends_by_itself() {
    let podyard = Instance::new();
    let text = pod("  - name: a
    image: busybox:latest
    imagePullPolicy: Never
    command: ['true']
    volumeMounts: [{name: d, mountPath: /d}]
    lifecycle: {preStop: {exec: {command: [touch, /d/hook]}}}
");
    let directory = start(
        &podyard,
        &text.replace("  containers:", "  restartPolicy: Never\n  containers:"),
    );
    podyard.wait_for_phase("p", "Succeeded");
    assert!(!directory.join("hook").exists());
    podyard.finish();
}

#[test]
fn post_start_that_fails_kills_what_does_not_listen() {
    let podyard = Instance::new();
    let hook = json!({"postStart": {"exec": {"command": ["false"]}}});
    let app = with(sh("a", HANG), json!({"lifecycle": hook}));
    podyard.start(&manifest::pod(
        "p",
        "Never",
        &[],
        std::slice::from_ref(&app),
    ));
    let pod = podyard.wait_for_phase("p", "Failed");
    let ended = &container(&pod, "a")["state"]["terminated"];
    assert_eq!(ended["exitCode"], 137);
    podyard.ok(&["delete", "pod", "p"]);

    // One that is always restarted is in a crash loop by it.
    podyard.start_with(
        &manifest::pod("p", "Always", &[], &[app]),
        &["--backoff", "0.01"],
    );
    let waiting = |reason: &'static str, restarts: i64| {
        podyard.wait_for("p", reason, |pod| {
            let status = container(pod, "a");
            status["state"]["waiting"]["reason"] == reason && status["restartCount"] == restarts
        })
    };
    waiting("PostStartHookError", 0);
    waiting("PostStartHookError", 1);
    podyard.finish();
}

#[test]
fn pre_stop_is_run_before_a_failed_liveness_probe_ends_the_container() {
    let podyard = Instance::new();
    let first = "trap 'test -e /d/hook && echo after the hook; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let app = with(
        sh("a", &nth("a", &[first, HANG])),
        json!({
            "lifecycle": {"preStop": {"exec": {"command": ["touch", "/d/hook"]}}},
            // Fails once for each time that it is told to.
            "livenessProbe": {
                "exec": {"command": ["sh", "-c", "if [ -e /d/bad ]; then rm /d/bad; exit 1; fi"]},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
        }),
    );
    podyard.start(&manifest::pod("p", "Always", &[], &[app]));
    podyard.wait_for_log("p", "a", "up");
    podyard.touch("p", "d", "bad");
    podyard.wait_for("p", "a restart", |pod| {
        container(pod, "a")["restartCount"] == 1
    });
    let log = podyard.ok(&["logs", "p", "--previous"]);
    assert_eq!(log, "up\nafter the hook\n", "{}", podyard.story("p"));
    podyard.finish();
}
