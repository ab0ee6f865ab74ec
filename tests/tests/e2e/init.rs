//! Init containers: their order, their failures under each restart policy, the waits between attempts, and what an attempt leaves.

use podyard_e2e::manifest::{HANG, READY, nth, pod, sh, sidecar, with, with_spec};
use podyard_e2e::{Instance, Span, assert_says, condition, container};
use serde_json::json;

/// The waits between the attempts of a container, in milliseconds.
fn waits(spans: &[Span]) -> Vec<i128> {
    spans
        .windows(2)
        .map(|pair| (pair[1].started_at() - pair[0].ended_at()) / 1_000_000)
        .collect()
}

#[test]
fn they_run_one_after_the_other_and_before_the_app() {
    let podyard = Instance::new();
    // Each leaves a trace at its start and at its end, by which an overlap would be seen from inside as well.
    let names = ["first", "second", "third", "fourth"];
    let init = names.map(|name| {
        let script =
            format!("mkdir /d/running; echo {name} >> /d/order; sleep 0.1; rmdir /d/running");
        sh(name, &format!("set -e; {script}"))
    });
    let pod = pod(
        "p",
        "Never",
        &init,
        &[sh("app", "mkdir /d/running; cat /d/order")],
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "first\nsecond\nthird\nfourth\n");
    let spans = podyard.spans("p");
    assert_eq!(spans.len(), 5);
    for pair in spans.windows(2) {
        assert!(pair[0].ended_at() <= pair[1].started_at(), "{pair:?}");
    }
    podyard.finish();
}

#[test]
fn the_status_counts_them() {
    let podyard = Instance::new();
    let wait = |file: &str| {
        sh(
            file,
            &format!("until [ -e /d/{file} ]; do sleep 0.02; done"),
        )
    };
    podyard.start(&pod(
        "p",
        "Always",
        &[wait("one"), wait("two")],
        &[sh("app", HANG)],
    ));
    for (name, column) in [("one", "Init:0/2"), ("two", "Init:1/2")] {
        let pod = podyard.wait_for("p", name, |pod| {
            container(pod, name)["state"]["running"].is_object()
        });
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(condition(&pod, "Initialized"), "False");
        let app = &container(&pod, "app")["state"]["waiting"]["reason"];
        assert_eq!(app, "PodInitializing");
        let table = podyard.ok(&["get", "pod", "p", "--no-headers"]);
        let words: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(words[1..3], ["0/1", column], "{table}");
        podyard.touch("p", "d", name);
    }
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(condition(&pod, "Initialized"), "True");
    let one = container(&pod, "one");
    assert_eq!(one["state"]["terminated"]["reason"], "Completed");
    assert_eq!(
        (&one["ready"], &one["started"]),
        (&json!(true), &json!(false))
    );
    podyard.finish();
}

#[test]
fn never_means_that_the_pod_fails_at_the_first_failure() {
    let podyard = Instance::new();
    let init = [
        sh("i1", "exit 0"),
        sh("i2", "echo why >&2; exit 7"),
        sh("i3", "exit 0"),
    ];
    let output = podyard.foreground(&pod("p", "Never", &init, &[sh("app", "true")]), &[]);
    assert_says(
        &output,
        7,
        &["init i2: failed with exit code 7", "pod/p failed"],
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[i2]  why\n");

    let pod = podyard.pod("p");
    assert_eq!(pod["status"]["phase"], "Failed");
    let initialized = pod["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .find(|condition| condition["type"] == "Initialized")
        .expect("it is there");
    assert_eq!(initialized["status"], "False");
    assert_eq!(initialized["reason"], "ContainersNotInitialized");
    assert_eq!(
        initialized["message"],
        "containers with incomplete status: [i2 i3]"
    );
    for name in ["i3", "app"] {
        let waiting = &container(&pod, name)["state"]["waiting"];
        assert_eq!(waiting["reason"], "PodInitializing", "{name}");
    }
    let ran: Vec<String> = podyard
        .spans("p")
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(ran, ["i1", "i2"]);
    let table = podyard.ok(&["get", "pods"]);
    assert!(table.contains("Init:Error"), "{table}");
    podyard.finish();
}

#[test]
fn always_and_on_failure_repeat_only_the_one_that_failed() {
    for policy in ["Always", "OnFailure"] {
        let podyard = Instance::new();
        let init = [
            sh("i1", &nth("i1", &["exit 0"])),
            sh("i2", &nth("i2", &["exit 1", "exit 2", "exit 0"])),
            sh("i3", &nth("i3", &["exit 0"])),
        ];
        let app = sh("app", &format!("cat /d/*.runs | wc -l; {HANG}"));
        podyard.start_with(&pod("p", policy, &init, &[app]), &["--backoff", "0.01"]);
        let pod = podyard.wait_for_condition("p", "Ready");
        for (name, restarts) in [("i1", 0), ("i2", 2), ("i3", 0), ("app", 0)] {
            let count = &container(&pod, name)["restartCount"];
            assert_eq!(count, restarts, "{policy} {name}");
        }
        // As the containers themselves counted: one run, three runs, one run.
        assert_eq!(podyard.wait_for_log("p", "app", "\n"), "5\n");
        let codes: Vec<_> = podyard
            .spans_of("p", "i2")
            .iter()
            .map(|span| span.exit_code)
            .collect();
        assert_eq!(codes, [Some(1), Some(2), Some(0)]);
        assert_eq!(
            container(&pod, "i2")["lastState"]["terminated"]["exitCode"],
            2
        );
        podyard.finish();
    }
}

/// The one test with waits as long as a cluster's: none before the first retry, ten seconds before the second.
#[test]
fn the_second_retry_comes_after_ten_seconds() {
    let podyard = Instance::new();
    let init = sh("i1", &nth("i1", &["exit 1", "exit 1", "exit 0"]));
    podyard.start(&pod("p", "Always", &[init], &[sh("app", HANG)]));
    let pod = podyard.wait_for("p", "back-off", |pod| {
        container(pod, "i1")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let uid = pod["metadata"]["uid"].as_str().expect("a uid").to_owned();
    let waiting = &container(&pod, "i1")["state"]["waiting"]["message"];
    assert_eq!(
        waiting,
        &json!(format!(
            "back-off 10s restarting failed container=i1 pod=p_default({uid})"
        ))
    );
    assert_eq!(pod["status"]["phase"], "Pending");
    let table = podyard.ok(&["get", "pod", "p"]);
    assert!(table.contains("Init:CrashLoopBackOff"), "{table}");
    podyard.wait_for_condition("p", "Ready");
    let waits = waits(&podyard.spans_of("p", "i1"));
    assert_eq!(waits.len(), 2);
    assert!(waits[1] >= 10_000, "{waits:?}");
    let events = podyard.events("p", "BackOff");
    let event = events.first().expect("an event");
    assert_eq!(event["type"], "Warning");
    assert_eq!(
        event["message"],
        format!("Back-off restarting failed container i1 in pod p_default({uid})")
    );
    assert_eq!(
        event["involvedObject"]["fieldPath"],
        "spec.initContainers{i1}"
    );
    podyard.finish();
}

#[test]
fn waits_double_and_can_be_shortened() {
    let podyard = Instance::new();
    let things = ["exit 1", "exit 1", "exit 1", "exit 1", "exit 0"];
    let init = sh("i1", &nth("i1", &things));
    let pod = pod("p", "OnFailure", &[init], &[sh("app", "exit 0")]);
    let output = podyard.foreground(&pod, &["--backoff", "0.02"]);
    assert_says(
        &output,
        0,
        &["note: back-offs last 0.02 of their time", "succeeded"],
    );
    let waits = waits(&podyard.spans_of("p", "i1"));
    // 0, 10, 20, 40 s, times 0.02.
    for (wait, least) in waits.iter().zip([0, 200, 400, 800]) {
        assert!(*wait >= least, "{waits:?}");
    }
    assert_eq!(waits.len(), 4);
    podyard.finish();
}

#[test]
fn retry_ends_a_wait() {
    let podyard = Instance::new();
    let init = sh("i1", &nth("i1", &["exit 1", "exit 1", "exit 0"]));
    podyard.start(&pod("p", "Always", &[init], &[sh("app", HANG)]));
    podyard.wait_for("p", "back-off", |pod| {
        container(pod, "i1")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(podyard.ok(&["retry", "p"]), "pod/p retried\n");
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(container(&pod, "i1")["restartCount"], 2);
    // Nothing waits any more.
    assert_says(&podyard.run(&["retry", "p"]), 1, &["error:"]);
    podyard.finish();
}

#[test]
fn a_container_may_have_a_policy_of_its_own() {
    let podyard = Instance::new();
    let never = with(sh("i1", "exit 9"), json!({"restartPolicy": "Never"}));
    let output = podyard.foreground(&pod("p", "Always", &[never], &[sh("app", HANG)]), &[]);
    assert_says(&output, 9, &["pod/p failed"]);
    let on_failure = with(
        sh("i1", &nth("i1", &["exit 1", "exit 0"])),
        json!({"restartPolicy": "OnFailure"}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[on_failure], &[sh("app", "true")]), &[]);
    assert_says(&output, 0, &["pod/p succeeded"]);
    assert_eq!(container(&podyard.pod("p"), "i1")["restartCount"], 1);
    podyard.finish();
}

#[test]
fn an_app_that_restarts_does_not_repeat_them() {
    let podyard = Instance::new();
    let init = sh("i1", &nth("i1", &["exit 0"]));
    let app = sh("app", &nth("app", &["exit 1", "exit 1", HANG]));
    podyard.start_with(
        &pod("p", "Always", &[init], &[app]),
        &["--backoff", "0.001"],
    );
    let pod = podyard.wait_for("p", "the third run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 2 && app["state"]["running"].is_object()
    });
    assert_eq!(container(&pod, "i1")["restartCount"], 0);
    assert_eq!(
        podyard.ok(&["exec", "p", "--", "cat", "/d/i1.runs", "/d/app.runs"]),
        "run\nrun\nrun\nrun\n"
    );
    podyard.finish();
}

#[test]
fn what_an_attempt_wrote_outside_of_volumes_is_gone() {
    let podyard = Instance::new();
    // Every attempt changes its root file system in several ways, and fails if it finds any of it done already.
    let dirty = "test ! -e /made; test -e /etc/passwd; test ! -e /root/dir; touch /made; rm /etc/passwd; mkdir /root/dir";
    let init = [
        sh(
            "i1",
            &format!(
                "set -e; {dirty}; {}",
                nth("i1", &["exit 1", "exit 1", "exit 0"])
            ),
        ),
        sh("i2", &format!("set -e; {dirty}")),
    ];
    let app = sh("app", &format!("set -e; {dirty}; wc -l < /d/i1.runs"));
    let output = podyard.foreground(
        &pod("p", "OnFailure", &init, &[app]),
        &["--backoff", "0.001"],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // What it wrote into the volume has stayed.
    assert_eq!(podyard.logs("p", "app"), "3\n");
    podyard.finish();
}

#[test]
fn a_deleted_pod_starts_no_further_one() {
    let podyard = Instance::new();
    // A directory of the host, which is still there to be looked at when the pod is gone.
    let traces = podyard.root().join("traces");
    let trace = |name: &str| format!("touch /d/{name}");
    let init = [
        sh("i1", &format!("{}; {READY}", trace("i1"))),
        sh("i2", &trace("i2")),
    ];
    let pod = with_spec(
        pod("p", "Always", &init, &[sh("app", &trace("app"))]),
        json!({"volumes": [{"name": "d", "hostPath": {"path": traces, "type": "DirectoryOrCreate"}}]}),
    );
    podyard.start(&pod);
    podyard.wait_for_log("p", "i1", "ready");
    podyard.ok(&["delete", "pod", "p"]);
    let left: Vec<_> = std::fs::read_dir(traces)
        .expect("the host's directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["i1"]);
    podyard.finish();
}

#[test]
fn sidecars_stay_and_end_in_reverse_order_after_the_app() {
    let podyard = Instance::new();
    let polite = |name: &str| {
        let script = format!(
            "trap 'echo {name} >> /d/ends; exit 0' TERM; touch /d/{name}; while :; do sleep 0.02; done"
        );
        sidecar(name, &script)
    };
    let init = [
        polite("s1"),
        // Starts while the sidecar before it runs.
        sh("between", "until [ -e /d/s1 ]; do sleep 0.02; done"),
        polite("s2"),
    ];
    let app = "until [ -e /d/s1 ] && [ -e /d/s2 ]; do sleep 0.02; done; echo app >> /d/ends";
    let pod = pod("p", "Never", &init, &[sh("app", app)]);
    let path = podyard.pod_file(&pod);
    let output = podyard.run(&["run", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let spans = podyard.spans("p");
    let of = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    assert!(of("s1").started_at() <= of("between").started_at());
    assert!(of("between").ended_at() <= of("s2").started_at());
    assert!(of("app").ended_at() <= of("s2").ended_at());
    assert!(of("s2").ended_at() <= of("s1").ended_at());
    podyard.finish();
}
