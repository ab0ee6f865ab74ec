//! Sidecars as real processes: what they hold up, what disturbs whom, and how they end. Their order at the end is shown in `init.rs`.

use podyard_e2e::manifest::{HANG, POLITE, exec_probe, nth, pod, sh, sidecar, with, with_spec};
use podyard_e2e::{Instance, condition, container, eventually, waits_for};
use serde_json::{Value, json};

/// A script that waits for a file in the volume.
fn until(file: &str) -> String {
    format!("until [ -e /d/{file} ]; do sleep 0.02; done")
}

fn is_running(pod: &Value, name: &str) -> bool {
    container(pod, name)["state"]["running"].is_object()
}

#[test]
fn each_starts_when_the_one_before_it_has() {
    let podyard = Instance::new();
    let inits = [
        sidecar("plain", HANG),
        with(
            sidecar("one", HANG),
            json!({"startupProbe": exec_probe("test -e /d/one", 1000)}),
        ),
        with(
            sidecar("two", HANG),
            json!({
                "startupProbe": exec_probe("test -e /d/two", 1000),
                "readinessProbe": exec_probe("false", 1),
            }),
        ),
    ];
    podyard.start(&pod("p", "Always", &inits, &[sh("app", HANG)]));
    let pod = podyard.wait_for("p", "the first with a probe", |pod| is_running(pod, "one"));
    // Without a probe, one that runs has started.
    let plain = container(&pod, "plain");
    assert_eq!(
        (&plain["started"], &plain["ready"]),
        (&json!(true), &json!(true))
    );
    for (name, later) in [("one", &["two", "app"] as &[&str]), ("two", &["app"])] {
        // It has been asked, and has said no.
        let pod = podyard.wait_for("p", name, |pod| is_running(pod, name));
        eventually("its probe fails", || {
            let failed = podyard.events("p", "Unhealthy");
            let of_it = format!("spec.initContainers{{{name}}}");
            failed
                .iter()
                .any(|event| event["involvedObject"]["fieldPath"] == of_it.as_str())
                .then_some(())
        });
        assert_eq!(container(&pod, name)["started"], false);
        for name in later {
            assert_eq!(waits_for(&podyard.pod("p"), name), "PodInitializing");
        }
        let initialized = if name == "one" {
            "Init:1/3"
        } else {
            "Init:2/3"
        };
        assert!(podyard.columns("p").ends_with(initialized));
        podyard.touch("p", "d", name);
    }
    // Whether one is ready holds up nothing, but the pod is not ready either.
    let pod = podyard.wait_for("p", "the app", |pod| is_running(pod, "app"));
    assert_eq!(condition(&pod, "Initialized"), "True");
    assert_eq!(condition(&pod, "Ready"), "False");
    assert_eq!(podyard.columns("p"), "3/4 Running");
    let ready = pod["status"]["conditions"].as_array().expect("conditions");
    assert!(
        ready
            .iter()
            .any(|condition| condition["message"] == "containers with unready status: [two]"),
        "{ready:?}"
    );
    podyard.finish();
}

#[test]
fn its_post_start_hook_holds_up_what_follows() {
    let podyard = Instance::new();
    let hook = format!("touch /d/hook; {}; touch /d/done", until("go"));
    let side = with(
        sidecar("side", POLITE),
        json!({"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", hook]}}}}),
    );
    podyard.start(&pod("p", "Never", &[side], &[sh("app", "test -e /d/done")]));
    eventually("the hook", || {
        let mark = podyard.dirs("p").volume("empty-dir", "d").join("hook");
        mark.exists().then_some(())
    });
    assert_eq!(waits_for(&podyard.pod("p"), "app"), "PodInitializing");
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(container(&pod, "app")["state"]["terminated"]["exitCode"], 0);
    podyard.finish();
}

#[test]
fn one_that_ends_comes_back_and_disturbs_nobody() {
    let podyard = Instance::new();
    let runs = [
        format!("{}; exit 1", until("first")),
        format!("{}; exit 0", until("second")),
        POLITE.to_owned(),
    ];
    let side = nth("side", &[&runs[0], &runs[1], &runs[2]]);
    let inits = [
        sh("before", "touch /d/before"),
        sidecar("side", &format!("test -e /d/before || exit 9; {side}")),
        sh("between", &nth("between", &[&until("init"), "exit 9"])),
    ];
    let app = sh("app", &nth("app", &[&until("end"), "exit 9"]));
    podyard.start_with(&pod("p", "Never", &inits, &[app]), &["--backoff", "0.001"]);
    let again = |count: i64| {
        podyard.wait_for("p", "the sidecar again", |pod| {
            container(pod, "side")["restartCount"] == count && is_running(pod, "side")
        })
    };
    podyard.wait_for("p", "the second init container", |pod| {
        is_running(pod, "between")
    });
    podyard.touch("p", "d", "first");
    let pod = again(1);
    let ended = &container(&pod, "side")["lastState"]["terminated"]["exitCode"];
    assert_eq!(ended, 1);
    assert!(is_running(&pod, "between"));
    podyard.touch("p", "d", "init");
    podyard.wait_for_condition("p", "Ready");
    podyard.touch("p", "d", "second");
    let pod = again(2);
    let ended = &container(&pod, "side")["lastState"]["terminated"]["exitCode"];
    assert_eq!(ended, 0);
    assert!(is_running(&pod, "app"));
    podyard.wait_for_condition("p", "Ready");
    let table = podyard.ok(&["get", "pod", "p", "--no-headers"]);
    assert_eq!(table.split_whitespace().nth(3), Some("2"), "{table}");
    podyard.touch("p", "d", "end");
    let pod = podyard.wait_for_phase("p", "Succeeded");
    for (name, restarts) in [("before", 0), ("side", 2), ("between", 0), ("app", 0)] {
        let status = container(&pod, name);
        assert_eq!(status["restartCount"], restarts, "{name}");
        assert_eq!(status["state"]["terminated"]["exitCode"], 0, "{name}");
    }
    podyard.finish();
}

#[test]
fn one_that_ends_before_it_has_started_is_waited_for() {
    let podyard = Instance::new();
    let runs = nth(
        "side",
        &["exit 1", "exit 1", &format!("touch /d/up; {POLITE}")],
    );
    let side = with(
        sidecar("side", &runs),
        json!({"startupProbe": exec_probe("test -e /d/up", 1000)}),
    );
    let app = sh("app", "test -e /d/up");
    let output = podyard.foreground(&pod("p", "Never", &[side], &[app]), &["--backoff", "0.001"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(container(&podyard.pod("p"), "side")["restartCount"], 2);
    podyard.finish();
}

#[test]
fn it_ends_with_the_apps_and_decides_nothing() {
    let podyard = Instance::new();
    let mark = "trap 'exit 0' TERM; touch /d/side; while :; do sleep 0.02; done";
    let ready = until("side");
    for (policy, app, code, restarts) in [
        ("Never", format!("{ready}; exit 0"), 0, 0),
        ("Never", format!("{ready}; exit 1"), 1, 0),
        (
            "OnFailure",
            format!("{ready}; {}", nth("app", &["exit 1", "exit 0"])),
            0,
            1,
        ),
    ] {
        // Grace enough: that it ends well shows that it was told to.
        let pod = with_spec(
            pod("p", policy, &[sidecar("side", mark)], &[sh("app", &app)]),
            json!({"terminationGracePeriodSeconds": 60}),
        );
        let output = podyard.foreground(&pod, &[]);
        assert_eq!(output.status.code(), Some(code), "{app}: {output:?}");
        let pod = podyard.pod("p");
        let side = container(&pod, "side");
        assert_eq!(side["restartCount"], 0, "{app}");
        assert_eq!(side["state"]["terminated"]["exitCode"], 0, "{app}");
        assert_eq!(container(&pod, "app")["restartCount"], restarts, "{app}");
    }
    podyard.finish();
}

#[test]
fn one_that_does_not_listen_is_killed_and_the_pod_succeeds() {
    let podyard = Instance::new();
    let inits = [sidecar("side", HANG)];
    let output = podyard.foreground(&pod("p", "Never", &inits, &[sh("app", "true")]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("p");
    let ended = &container(&pod, "side")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(137), &json!("Error"))
    );
    // Never before the grace is over, which is two seconds.
    let (side, app) = (podyard.spans_of("p", "side"), podyard.spans_of("p", "app"));
    let waited = side[0].ended_at() - app[0].ended_at();
    assert!(waited >= 2_000_000_000, "{waited}");
    podyard.finish();
}

#[test]
fn an_init_container_may_fail_beside_it() {
    let podyard = Instance::new();
    let mark = "trap 'exit 0' TERM; touch /d/side; while :; do sleep 0.02; done";
    let failing = format!("{}; exit 5", until("side"));
    let never = pod(
        "p",
        "Never",
        &[sidecar("side", mark), sh("init", &failing)],
        &[sh("app", "true")],
    );
    let never = with_spec(never, json!({"terminationGracePeriodSeconds": 60}));
    let output = podyard.foreground(&never, &[]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let ended = podyard.pod("p");
    let side = &container(&ended, "side")["state"]["terminated"];
    assert_eq!(side["exitCode"], 0);
    assert_eq!(waits_for(&ended, "app"), "PodInitializing");
    let (side, init) = (podyard.spans_of("p", "side"), podyard.spans_of("p", "init"));
    assert!(init[0].ended_at() <= side[0].ended_at());
    podyard.ok(&["delete", "pod", "p"]);

    let again = [
        sidecar("side", POLITE),
        sh("init", &nth("init", &["exit 1", "exit 0"])),
    ];
    podyard.start(&pod("p", "Always", &again, &[sh("app", HANG)]));
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(container(&pod, "side")["restartCount"], 0);
    assert_eq!(container(&pod, "init")["restartCount"], 1);
    podyard.finish();
}

#[test]
fn its_liveness_probe_replaces_it_alone_and_holds_up_nothing() {
    let podyard = Instance::new();
    // Fails once for each time that it is told to.
    let once = "if [ -e /d/bad ]; then rm /d/bad; exit 1; fi";
    let inits = [
        with(
            sidecar("side", POLITE),
            json!({"livenessProbe": exec_probe(once, 1)}),
        ),
        with(
            sidecar("sick", POLITE),
            json!({"livenessProbe": exec_probe("false", 1000)}),
        ),
        sh("init", "true"),
    ];
    podyard.start(&pod("p", "Always", &inits, &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    podyard.touch("p", "d", "bad");
    let pod = podyard.wait_for("p", "the sidecar again", |pod| {
        container(pod, "side")["restartCount"] == 1 && is_running(pod, "side")
    });
    let killing = podyard.messages("p", "Killing");
    assert_eq!(killing, ["Init container side failed liveness probe"]);
    for name in ["sick", "init", "app"] {
        assert_eq!(container(&pod, name)["restartCount"], 0, "{name}");
    }
    assert_eq!(condition(&pod, "Initialized"), "True");
    assert_eq!(pod["status"]["phase"], "Running");
    podyard.finish();
}

#[test]
fn its_startup_probe_replaces_it_and_no_app_starts() {
    let podyard = Instance::new();
    let side = with(
        sidecar("side", POLITE),
        json!({"startupProbe": exec_probe("false", 2)}),
    );
    podyard.start(&pod("p", "Always", &[side], &[sh("app", HANG)]));
    let pod = podyard.wait_for("p", "the sidecar again", |pod| {
        container(pod, "side")["restartCount"] == 1
    });
    let killing = podyard.messages("p", "Killing");
    assert_eq!(killing[0], "Init container side failed startup probe");
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(waits_for(&pod, "app"), "PodInitializing");
    podyard.finish();
}

#[test]
fn one_in_a_crash_loop_shows_in_the_pods_status() {
    let podyard = Instance::new();
    let side = sidecar("side", &format!("{}; exit 1", until("go")));
    podyard.start(&pod("p", "Always", &[side], &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for("p", "the crash loop", |pod| {
        waits_for(pod, "side") == "CrashLoopBackOff"
    });
    assert!(is_running(&pod, "app"));
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(podyard.columns("p"), "1/2 Init:CrashLoopBackOff");
    podyard.finish();
}

#[test]
fn one_without_its_image_holds_up_the_app() {
    let podyard = Instance::new();
    let side = with(
        sidecar("side", POLITE),
        json!({"image": "nosuch:tag", "imagePullPolicy": "Never"}),
    );
    podyard.start(&pod("p", "Always", &[side], &[sh("app", HANG)]));
    let pod = podyard.wait_for("p", "the refusal", |pod| {
        waits_for(pod, "side") == "ErrImageNeverPull"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(waits_for(&pod, "app"), "PodInitializing");
    assert_eq!(podyard.columns("p"), "0/2 Init:ErrImageNeverPull");
    podyard.finish();
}

#[test]
fn one_that_never_started_ends_at_once_when_the_pod_is_deleted() {
    let podyard = Instance::new();
    // A directory of the host, which is still there to be looked at when the pod is gone.
    let traces = podyard.root().join("traces");
    let script = "trap 'touch /d/told; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let inits = [
        with(
            sidecar("one", script),
            json!({"startupProbe": exec_probe("false", 1000)}),
        ),
        sidecar("two", "touch /d/two; exec sleep 3600"),
    ];
    let pod = with_spec(
        pod("p", "Always", &inits, &[sh("app", "touch /d/app")]),
        json!({
            "terminationGracePeriodSeconds": 60,
            "volumes": [{"name": "d", "hostPath": {"path": traces, "type": "DirectoryOrCreate"}}],
        }),
    );
    podyard.start(&pod);
    podyard.wait_for_log("p", "one", "up");
    podyard.ok(&["delete", "pod", "p"]);
    let left: Vec<_> = std::fs::read_dir(traces)
        .expect("the host's directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["told"]);
    podyard.finish();
}

#[test]
fn a_sandbox_that_dies_begins_the_order_again() {
    let podyard = Instance::new();
    let inits = [sh("init", "true"), sidecar("side", HANG)];
    podyard.start(&pod("p", "Always", &inits, &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    assert!(Instance::kill(podyard.sandbox("p")));
    let names = ["init", "side", "app"];
    podyard.wait_for("p", "everything again", |pod| {
        condition(pod, "Ready") == "True"
            && names
                .iter()
                .all(|name| container(pod, name)["restartCount"] == 1)
    });
    let [init, side, app] = names.map(|name| podyard.spans_of("p", name)[1].clone());
    assert!(init.ended_at() <= side.started_at());
    assert!(side.started_at() <= app.started_at());
    podyard.finish();
}

#[test]
fn a_sandbox_that_dies_is_not_replaced_for_what_never_restarts() {
    let podyard = Instance::new();
    let init = sh("init", "true");
    podyard.start(&pod("p", "Never", &[init], &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    assert!(Instance::kill(podyard.sandbox("p")));
    let pod = podyard.wait_for_phase("p", "Failed");
    let ended = &container(&pod, "app")["state"]["terminated"];
    assert_eq!(ended["exitCode"], 137);
    for name in ["init", "app"] {
        assert_eq!(container(&pod, name)["restartCount"], 0, "{name}");
        assert_eq!(podyard.spans_of("p", name).len(), 1, "{name}");
    }
    podyard.finish();
}
