//! How pods end: what each process is told, when it is killed, and what is known of the end. Which commands end them is in `commands.rs`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use podyard_e2e::manifest::{HANG, POLITE, pod, sh, with_spec};
use podyard_e2e::{Instance, condition, container, eventually};
use serde_json::{Value, json};

/// The pod with a directory of the host as its volume, which is there when the pod is gone.
fn traced(podyard: &Instance, pod: Value) -> (Value, PathBuf) {
    let traces = podyard.root().join("traces");
    let volumes = json!([{"name": "d", "hostPath": {"path": traces, "type": "DirectoryOrCreate"}}]);
    (with_spec(pod, json!({"volumes": volumes})), traces)
}

fn with_grace(pod: Value, seconds: u32) -> Value {
    with_spec(pod, json!({"terminationGracePeriodSeconds": seconds}))
}

#[test]
fn a_deleted_pod_has_a_last_phase_by_how_it_ended() {
    let podyard = Instance::new();
    let on_term =
        |code: u32| format!("trap 'exit {code}' TERM; echo up; while :; do sleep 0.02; done");
    for (script, grace, code, phase) in [
        (on_term(0), 60, 0, "Succeeded"),
        (on_term(143), 60, 143, "Failed"),
        (format!("echo up; {HANG}"), 1, 137, "Failed"),
    ] {
        podyard.start(&with_grace(
            pod("p", "Always", &[], &[sh("app", &script)]),
            grace,
        ));
        podyard.wait_for_log("p", "app", "up");
        let watches = [
            podyard.spawn(&["get", "pod", "p", "-w", "-o", "json"]),
            podyard.spawn(&["events", "p", "-w"]),
        ];
        // Deleted when both have begun to look.
        let mut watches = watches.map(|mut watch| {
            let mut output = BufReader::new(watch.stdout.take().expect("a pipe"));
            let mut text = String::new();
            assert_ne!(output.read_line(&mut text).expect("text"), 0);
            (watch, output, text)
        });
        podyard.ok(&["delete", "pod", "p"]);
        // What they have to say, to its last line, however late they are.
        let phase_line = format!("\"phase\": \"{phase}\"");
        for ((watch, output, text), (word, end)) in watches.iter_mut().zip([
            (phase_line.as_str(), "\n}\n"),
            ("Stopping container app", "\n"),
        ]) {
            while !(text.contains(word) && text.ends_with(end)) {
                assert_ne!(output.read_line(text).expect("text"), 0, "{text}");
            }
            Instance::signal(i32::try_from(watch.id()).expect("small"), "INT");
            output.read_to_string(text).expect("text");
            watch.wait().expect("a child");
        }
        let [(.., seen), _] = watches;
        let objects: Vec<Value> = serde_json::Deserializer::from_str(&seen)
            .into_iter()
            .map(|object| object.expect("JSON"))
            .collect();
        let last = objects.last().expect("something was seen");
        assert_eq!(last["status"]["phase"], phase, "{last}");
        let ended = &container(last, "app")["state"]["terminated"]["exitCode"];
        assert_eq!(ended, code);
        assert_eq!(podyard.machine().left_behind(), [""; 0]);
    }
    podyard.finish();
}

#[test]
fn nobody_is_killed_before_two_seconds() {
    let podyard = Instance::new();
    // Told to end, it writes down the time until it is killed.
    let app = "trap 'cat /proc/uptime > /d/told' TERM; echo up; while :; do \
               [ ! -e /d/told ] || cat /proc/uptime > /d/next; [ ! -s /d/next ] || mv /d/next /d/last; done";
    let (pod, traces) = traced(&podyard, pod("p", "Always", &[], &[sh("app", app)]));
    podyard.start(&pod);
    podyard.wait_for_log("p", "app", "up");
    podyard.ok(&["delete", "pod", "p", "--grace-period", "1"]);
    let seconds = |file: &str| -> f64 {
        let text = std::fs::read_to_string(traces.join(file)).expect(file);
        let number = text.split(' ').next().expect("a word");
        number.parse().expect("a number")
    };
    let lived = seconds("last") - seconds("told");
    // More than the second that was asked for, less than two by what its last words took.
    assert!(lived > 1.3, "{lived}");
    podyard.finish();
}

#[test]
fn without_grace_a_process_is_told_all_the_same() {
    let podyard = Instance::new();
    let app = "trap 'touch /d/told; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let (pod, traces) = traced(&podyard, pod("p", "Always", &[], &[sh("app", app)]));
    podyard.start(&with_grace(pod, 0));
    podyard.wait_for_log("p", "app", "up");
    podyard.ok(&["delete", "pod", "p"]);
    eventually("it is told", || traces.join("told").exists().then_some(()));
    podyard.finish();
}

#[test]
fn apps_are_told_at_the_same_time() {
    let podyard = Instance::new();
    // Each waits for the other: one after the other they would be killed.
    let app = |name: &str, other: &str| {
        let met = format!(
            "touch /d/{name}; until [ -e /d/{other} ]; do sleep 0.02; done; touch /d/{name}.met; exit 0"
        );
        sh(
            name,
            &format!("trap '{met}' TERM; echo up; while :; do sleep 0.02; done"),
        )
    };
    let apps = [app("a", "b"), app("b", "a")];
    let (pod, traces) = traced(&podyard, pod("p", "Always", &[], &apps));
    podyard.start(&with_grace(pod, 30));
    for name in ["a", "b"] {
        podyard.wait_for_log("p", name, "up");
    }
    podyard.ok(&["delete", "pod", "p"]);
    for name in ["a.met", "b.met"] {
        assert!(traces.join(name).exists(), "{name}");
    }
    podyard.finish();
}

#[test]
fn a_pod_ends_at_its_deadline_in_any_state() {
    let podyard = Instance::new();
    let cases = [
        ("app", vec![], true),
        ("init", vec![sh("init", POLITE)], false),
    ];
    for (name, inits, _) in &cases {
        podyard.start(&with_spec(
            pod(name, "Always", inits, &[sh("app", POLITE)]),
            json!({"activeDeadlineSeconds": 4, "terminationGracePeriodSeconds": 60}),
        ));
    }
    for (name, _, app_runs) in cases {
        let pod = podyard.wait_for_phase(name, "Failed");
        assert_eq!(pod["status"]["reason"], "DeadlineExceeded", "{name}");
        let message = "Pod was active on the node longer than the specified deadline";
        assert_eq!(pod["status"]["message"], message, "{name}");
        let events = podyard.events(name, "DeadlineExceeded");
        assert_eq!(events.len(), 1);
        assert_eq!(
            (&events[0]["type"], &events[0]["message"]),
            (&json!("Normal"), &json!(message))
        );
        // It ended well, is always to be restarted, and is not.
        let ended = container(&pod, name);
        assert_eq!(ended["restartCount"], 0, "{name}");
        assert_eq!(ended["state"]["terminated"]["exitCode"], 0, "{name}");
        assert_eq!(!podyard.spans_of(name, "app").is_empty(), app_runs);
    }
    // One that has ended before has no deadline any more.
    let pod = with_spec(
        pod("p", "Never", &[], &[sh("app", "true")]),
        json!({"activeDeadlineSeconds": 30}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(podyard.events("p", "DeadlineExceeded").is_empty());
    podyard.finish();
}

#[test]
fn the_sandbox_of_a_pod_that_has_ended_is_gone_and_its_address_is_told() {
    let podyard = Instance::new();
    let output = podyard.foreground(&pod("p", "Never", &[], &[sh("app", "true")]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("p");
    assert_eq!(condition(&pod, "PodReadyToStartContainers"), "False");
    assert!(pod["status"]["podIP"].is_string());
    let processes = podyard.machine().processes();
    assert!(processes.is_empty(), "{processes:?}");
    podyard.finish();
}
