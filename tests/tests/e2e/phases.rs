//! Phase, status and conditions of pods whose containers end, fail, come back or cannot start; and the waits of a cluster, once each.

use podyard_e2e::manifest::{HANG, config_map, nth, pod, sh, with, with_spec};
use podyard_e2e::{Instance, condition, container, waits_for};
use serde_json::{Value, json};

/// Type, status and reason of every condition, in their order.
fn conditions(pod: &Value) -> Vec<String> {
    let conditions = pod["status"]["conditions"].as_array().expect("conditions");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    conditions
        .iter()
        .map(|it| {
            [&it["type"], &it["status"], &it["reason"]]
                .map(text)
                .join(" ")
        })
        .collect()
}

#[test]
fn on_failure_repeats_what_failed_and_nothing_else() {
    let podyard = Instance::new();
    let init = sh("init", &nth("init", &["exit 0", "exit 9"]));
    let apps = [
        sh("once", &nth("once", &["exit 0", "exit 9"])),
        sh("again", &nth("again", &["exit 1", "exit 1", "exit 0"])),
    ];
    let pod = pod("p", "OnFailure", &[init], &apps);
    let output = podyard.foreground(&pod, &["--backoff", "0.02"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("p");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    for (name, restarts) in [("init", 0), ("once", 0), ("again", 2)] {
        assert_eq!(container(&pod, name)["restartCount"], restarts, "{name}");
    }
    let spans = podyard.spans_of("p", "again");
    // The second wait is 10 s, times 0.02.
    let wait = spans[2].started_at() - spans[1].ended_at();
    assert!(wait >= 200_000_000, "{wait}");
    podyard.finish();
}

#[test]
fn always_repeats_success_as_well() {
    let podyard = Instance::new();
    let pod = pod("p", "Always", &[], &[sh("app", "exit 0")]);
    podyard.start_with(&pod, &["--backoff", "0.001"]);
    let pod = podyard.wait_for("p", "three restarts", |pod| {
        let count = container(pod, "app")["restartCount"].as_i64();
        count.is_some_and(|count| count >= 3)
    });
    assert_eq!(pod["status"]["phase"], "Running");
    let last = &container(&pod, "app")["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("Completed"), &json!(0))
    );
    podyard.finish();
}

#[test]
fn a_pod_has_ended_when_all_its_apps_have() {
    let podyard = Instance::new();
    let until = "until [ -e /d/go ]; do sleep 0.02; done";
    for (first, last, column) in [(0, 1, "NotReady"), (1, 0, "Error")] {
        let apps = [
            sh("a", &format!("exit {first}")),
            sh("b", &format!("{until}; exit {last}")),
        ];
        podyard.start(&pod("p", "Never", &[], &apps));
        let pod = podyard.wait_for("p", "the first end", |pod| {
            container(pod, "a")["state"]["terminated"].is_object()
                && container(pod, "b")["state"]["running"].is_object()
        });
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(podyard.columns("p"), format!("1/2 {column}"));
        podyard.touch("p", "d", "go");
        let pod = podyard.wait_for_phase("p", "Failed");
        assert_eq!(container(&pod, "a")["restartCount"], 0);
        podyard.ok(&["delete", "pod", "p"]);
    }
    podyard.finish();
}

#[test]
fn conditions_and_their_reasons_follow_the_pod() {
    let podyard = Instance::new();
    for (code, reason) in [(0, "PodCompleted"), (1, "PodFailed")] {
        let script = format!("until [ -e /d/go ]; do sleep 0.02; done; exit {code}");
        let inits = ["z", "a"].map(|name| sh(name, "true"));
        let apps = ["y", "b"].map(|name| sh(name, &script));
        podyard.start(&pod("p", "Never", &inits, &apps));
        let pod = podyard.wait_for_condition("p", "Ready");
        let all = [
            "PodReadyToStartContainers True -",
            "Initialized True -",
            "Ready True -",
            "ContainersReady True -",
            "PodScheduled True -",
        ];
        assert_eq!(conditions(&pod), all);
        // Init containers in their order, the others by their names.
        let names = |list: &str| -> Vec<&str> {
            let statuses = pod["status"][list].as_array().expect("statuses");
            let names = statuses.iter().map(|status| status["name"].as_str());
            names.map(|name| name.expect("a name")).collect()
        };
        assert_eq!(names("initContainerStatuses"), ["z", "a"]);
        assert_eq!(names("containerStatuses"), ["b", "y"]);
        podyard.touch("p", "d", "go");
        podyard.wait_for_phase("p", if code == 0 { "Succeeded" } else { "Failed" });
        let pod = podyard.wait_for("p", "the end of its sandbox", |pod| {
            condition(pod, "PodReadyToStartContainers") == "False"
        });
        let seen = conditions(&pod);
        for kind in ["Ready", "ContainersReady"] {
            assert!(seen.contains(&format!("{kind} False {reason}")), "{seen:?}");
        }
        let initialized = if code == 0 { "PodCompleted" } else { "-" };
        assert!(
            seen.contains(&format!("Initialized True {initialized}")),
            "{seen:?}"
        );
        podyard.ok(&["delete", "pod", "p"]);
    }
    podyard.finish();
}

#[test]
fn a_program_that_is_missing_is_a_crash_loop() {
    let podyard = Instance::new();
    let app = with(sh("app", ""), json!({"command": ["/no/such"]}));
    let pod = pod("p", "Always", &[], &[app]);
    podyard.start_with(&pod, &["--backoff", "0.001"]);
    let pod = podyard.wait_for("p", "restarts", |pod| {
        let count = container(pod, "app")["restartCount"].as_i64();
        count.is_some_and(|count| count >= 2)
    });
    let last = &container(&pod, "app")["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("StartError"), &json!(128))
    );
    podyard.finish();
}

#[test]
fn an_app_without_its_image_does_not_hold_up_the_other() {
    let podyard = Instance::new();
    let absent = with(
        sh("a", HANG),
        json!({"image": "nosuch:tag", "imagePullPolicy": "Never"}),
    );
    podyard.start(&pod("p", "Always", &[], &[absent, sh("b", HANG)]));
    let pod = podyard.wait_for("p", "the other", |pod| {
        waits_for(pod, "a") == "ErrImageNeverPull"
            && container(pod, "b")["state"]["running"].is_object()
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(podyard.columns("p"), "1/2 ErrImageNeverPull");
    podyard.finish();
}

#[test]
fn an_init_container_waits_for_its_config_map() {
    let podyard = Instance::new();
    let source = json!({"configMapKeyRef": {"name": "settings", "key": "a"}});
    let init = with(
        sh("init", "echo $A"),
        json!({"env": [{"name": "A", "valueFrom": source}]}),
    );
    podyard.start(&pod("p", "Always", &[init], &[sh("app", HANG)]));
    let pod = podyard.wait_for("p", "the refusal", |pod| {
        waits_for(pod, "init") == "CreateContainerConfigError"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(podyard.columns("p"), "0/1 Init:CreateContainerConfigError");
    podyard.keep(&config_map("settings", json!({"a": "1"})));
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(container(&pod, "init")["restartCount"], 0);
    assert_eq!(podyard.logs("p", "init"), "1\n");
    podyard.finish();
}

/// With the waits of a cluster: none before the first restart, ten seconds from the second end, each container for itself.
#[test]
fn the_second_restart_comes_after_ten_seconds() {
    let podyard = Instance::new();
    let until = "until [ -e /d/go ]; do sleep 0.02; done; exit 3";
    let apps = [
        sh("well", HANG),
        sh("loop", "exit 1"),
        sh("once", &nth("once", &[until, HANG])),
    ];
    podyard.start(&pod("p", "Always", &[], &apps));
    let pod = podyard.wait_for("p", "back-off", |pod| {
        waits_for(pod, "loop") == "CrashLoopBackOff"
    });
    let uid = pod["metadata"]["uid"].as_str().expect("a uid").to_owned();
    assert_eq!(
        container(&pod, "loop")["state"]["waiting"]["message"],
        format!("back-off 10s restarting failed container=loop pod=p_default({uid})")
    );
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for("p", "the other's restart", |pod| {
        let once = container(pod, "once");
        once["restartCount"] == 1 && once["state"]["running"].is_object()
    });
    let last = &container(&pod, "once")["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 3);
    assert_eq!(pod["status"]["phase"], "Running");
    let not_ready = "containers with unready status: [loop]";
    let list = pod["status"]["conditions"].as_array().expect("conditions");
    assert!(list.iter().any(|it| it["message"] == not_ready), "{list:?}");
    let later = podyard.wait_for("p", "the second restart", |pod| {
        container(pod, "loop")["restartCount"] == 2
    });
    let loops = podyard.spans_of("p", "loop");
    let wait = loops[2].started_at() - loops[1].ended_at();
    assert!(wait >= 10_000_000_000, "{wait}");
    assert!(podyard.spans_of("p", "once")[1].started_at() <= loops[2].started_at());
    assert_eq!(container(&later, "well")["restartCount"], 0);
    assert_eq!(later["status"]["startTime"], pod["status"]["startTime"]);
    let event = &podyard.events("p", "BackOff")[0];
    assert_eq!(event["type"], "Warning");
    assert_eq!(
        event["message"],
        format!("Back-off restarting failed container loop in pod p_default({uid})")
    );
    podyard.finish();
}

/// With the wait of a cluster: ten seconds before an image is asked for again.
#[test]
fn an_image_is_asked_for_again_after_ten_seconds() {
    let podyard = Instance::without_images();
    let registry = podyard_e2e::Registry::start(&podyard.root().join("registry"));
    let init = with(
        sh("init", "true"),
        json!({"image": registry.reference("nosuch:1")}),
    );
    let app = with(
        sh("app", "true"),
        json!({"image": registry.reference("nosuch:1")}),
    );
    podyard.start(&pod("p", "Never", &[init], &[app]));
    let pod = podyard.wait_for("p", "back-off", |pod| {
        waits_for(pod, "init") == "ImagePullBackOff"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(container(&pod, "init")["restartCount"], 0);
    assert_eq!(podyard.columns("p"), "0/1 Init:ImagePullBackOff");
    let failed = podyard.events("p", "Failed");
    for message in ["Error: ErrImagePull", "Error: ImagePullBackOff"] {
        assert!(
            failed.iter().any(|event| event["message"] == message),
            "{failed:?}"
        );
    }
    assert_eq!(podyard.events("p", "BackOff")[0]["type"], "Normal");
    let first = podyard.events("p", "Pulling")[0].clone();
    podyard.wait_for("p", "the second attempt", |_| {
        podyard.events("p", "Pulling")[0]["count"] == 2
    });
    let second = podyard.events("p", "Pulling")[0].clone();
    let seconds = |event: &Value| -> i64 {
        let time = event["lastTimestamp"].as_str().expect("a time");
        let [hours, minutes, seconds] = [11..13, 14..16, 17..19].map(|range| {
            let digits = &time[range];
            digits.parse::<i64>().expect("digits")
        });
        hours * 3600 + minutes * 60 + seconds
    };
    // Whole seconds, over midnight as well: ten may look like nine.
    let waited = (seconds(&second) - seconds(&first)).rem_euclid(86_400);
    assert!(waited >= 9, "{waited}");
    podyard.finish();
}

#[test]
fn containers_of_one_image_wait_for_it_together() {
    let podyard = Instance::without_images();
    let registry = podyard_e2e::Registry::start(&podyard.root().join("registry"));
    let image = json!({"image": registry.reference("tools:1")});
    let apps = ["a", "b"].map(|name| with(sh(name, HANG), image.clone()));
    podyard.start_with(&pod("p", "Always", &[], &apps), &["--backoff", "0.2"]);
    podyard.wait_for("p", "back-off", |pod| {
        apps.iter().all(|app| {
            let name = app["name"].as_str().expect("a name");
            waits_for(pod, name) == "ImagePullBackOff"
        })
    });
    // One asks for both.
    let asked = podyard.events("p", "Pulling");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0]["involvedObject"]["fieldPath"],
        "spec.containers{a}"
    );
    registry.push("busybox", "tools:1");
    podyard.wait_for_condition("p", "Ready");
    podyard.finish();
}

#[test]
fn the_status_tells_address_and_mounts() {
    let podyard = Instance::new();
    let mounts = json!([
        {"name": "d", "mountPath": "/ro", "readOnly": true},
        {"name": "d", "mountPath": "/rw"},
    ]);
    let app = with(sh("app", HANG), json!({"volumeMounts": mounts}));
    podyard.start(&with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"hostNetwork": true}),
    ));
    let pod = podyard.wait_for_condition("p", "Ready");
    assert!(pod["status"]["podIP"].is_string());
    assert_eq!(pod["status"]["podIP"], pod["status"]["hostIP"]);
    assert_eq!(
        container(&pod, "app")["volumeMounts"],
        json!([
            {"name": "d", "mountPath": "/ro", "readOnly": true, "recursiveReadOnly": "Disabled"},
            {"name": "d", "mountPath": "/rw"},
        ])
    );
    podyard.finish();
}

#[test]
fn what_is_left_of_an_init_container_is_not_needed_any_more() {
    let podyard = Instance::new();
    let inits = [
        sh("i1", &nth("i1", &["exit 0", "exit 9"])),
        sh("i2", &nth("i2", &["exit 0", "exit 9"])),
        sh("i3", "until [ -e /d/init ]; do sleep 0.02; done"),
    ];
    let crash = "until [ -e /d/crash ]; do sleep 0.02; done; exit 1";
    let app = sh("app", &nth("app", &[crash, HANG]));
    podyard.start(&pod("p", "Always", &inits, &[app]));
    // What somebody removes behind the back of a supervisor is missed by none that comes after it either.
    let remove = |names: &[&str]| {
        for name in names {
            let dirs = podyard.dirs("p");
            let _ = std::fs::remove_dir_all(dirs.container_run(name, 0));
            std::fs::remove_dir_all(dirs.container_data(name, 0)).expect("its record");
        }
        assert!(podyard.kill_supervisor("p"));
    };
    podyard.wait_for("p", "the last init container", |pod| {
        container(pod, "i3")["state"]["running"].is_object()
    });
    remove(&["i1", "i2"]);
    podyard.touch("p", "d", "init");
    podyard.wait_for_condition("p", "Ready");
    remove(&["i3"]);
    podyard.touch("p", "d", "crash");
    let pod = podyard.wait_for("p", "the app again", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    for name in ["i1", "i2", "i3"] {
        let status = container(&pod, name);
        assert_eq!(status["restartCount"], 0, "{name}");
        assert_eq!(
            status["state"]["terminated"]["reason"], "Completed",
            "{name}"
        );
    }
    podyard.finish();
}
