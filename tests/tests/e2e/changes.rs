//! A pod that is changed while it runs: other images, what may not be changed, and what a killed supervisor remembers of it.

use podyard_e2e::manifest::{HANG, POLITE, nth, pod, sh, sidecar};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

/// A patch that gives containers other images.
fn images(list: &str, images: &[(&str, &str)]) -> Value {
    let containers: Vec<_> = images
        .iter()
        .map(|(name, image)| json!({"name": name, "image": image}))
        .collect();
    json!({"spec": {list: containers}})
}

fn changed(podyard: &Instance, patch: &Value) -> Value {
    let (code, pod) = podyard.patch("p", "", patch);
    assert_eq!(code, 200, "{pod}");
    pod
}

/// `busybox` has no openssl, so it tells which image runs.
const WHICH: &str = "if openssl version > /dev/null 2>&1; then echo openssl; else echo busybox; fi";

#[test]
fn the_image_of_a_running_container_is_changed() {
    let podyard = Instance::new();
    let apps = [
        sh("app", &format!("{WHICH}; {POLITE}")),
        sh("other", POLITE),
    ];
    let init = [sh("init", "echo once >> /d/inits")];
    podyard.start(&pod("p", "Never", &init, &apps));
    podyard.wait_for_condition("p", "Ready");
    assert_eq!(podyard.wait_for_log("p", "app", "\n"), "busybox\n");

    let answered = changed(
        &podyard,
        &images("containers", &[("app", "openssl:latest")]),
    );
    assert_eq!(answered["metadata"]["generation"], 2);
    assert_eq!(answered["spec"]["containers"][0]["image"], "openssl:latest");
    assert_eq!(answered["status"]["observedGeneration"], 2);
    let pod = podyard.wait_for("p", "the new container", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["ready"] == true
    });
    assert_eq!(
        container(&pod, "app")["image"],
        "docker.io/library/openssl:latest"
    );
    assert_eq!(podyard.wait_for_log("p", "app", "\n"), "openssl\n");
    assert_eq!(container(&pod, "other")["restartCount"], 0);
    assert_eq!(
        podyard.messages("p", "Killing"),
        ["Container app definition changed, will be restarted"]
    );

    // An init container that is done is left alone; its image is another one for the next sandbox.
    let answered = changed(
        &podyard,
        &images("initContainers", &[("init", "openssl:latest")]),
    );
    assert_eq!(answered["status"]["observedGeneration"], 3);
    podyard.ok(&[
        "exec", "p", "-c", "other", "--", "grep", "-c", "^once$", "/d/inits",
    ]);
    assert_eq!(podyard.spans_of("p", "init").len(), 1);
    podyard.finish();
}

#[test]
fn a_sidecar_is_replaced_alone() {
    let podyard = Instance::new();
    let sidecars = [
        sidecar("one", &format!("{WHICH}; {POLITE}")),
        sidecar("two", POLITE),
    ];
    podyard.start(&pod("p", "Always", &sidecars, &[sh("app", POLITE)]));
    podyard.wait_for_condition("p", "Ready");
    changed(
        &podyard,
        &images("initContainers", &[("one", "openssl:latest")]),
    );
    podyard.wait_for_log("p", "one", "openssl");
    let pod = podyard.wait_for_condition("p", "Ready");
    for (name, restarts) in [("one", 1), ("two", 0), ("app", 0)] {
        assert_eq!(container(&pod, name)["restartCount"], restarts, "{name}");
    }
    assert_eq!(
        podyard.messages("p", "Killing"),
        ["Init container one definition changed"]
    );
    podyard.finish();
}

#[test]
fn a_running_init_container_goes_on_and_its_next_try_has_the_new_image() {
    let podyard = Instance::new();
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    let script = format!(
        "{WHICH}; {}",
        nth("init", &[&format!("{wait}; exit 1"), "exit 0"])
    );
    podyard.start(&pod(
        "p",
        "Always",
        &[sh("init", &script)],
        &[sh("app", HANG)],
    ));
    podyard.wait_for_log("p", "init", "busybox");
    changed(
        &podyard,
        &images("initContainers", &[("init", "openssl:latest")]),
    );
    let pod = podyard.pod("p");
    assert!(container(&pod, "init")["state"]["running"].is_object());
    assert_eq!(podyard.messages("p", "Killing"), Vec::<String>::new());
    podyard.touch("p", "d", "go");
    podyard.wait_for_condition("p", "Ready");
    assert_eq!(podyard.logs("p", "init"), "openssl\n");
    podyard.finish();
}

/// Its wait is far longer than a test may take.
#[test]
fn another_image_ends_the_wait_of_a_crash_loop() {
    let podyard = Instance::new();
    let script = format!("{WHICH}; openssl version || exit 1; {HANG}");
    podyard.start(&pod("p", "Always", &[], &[sh("app", &script)]));
    podyard.wait_for("p", "a crash loop", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    changed(
        &podyard,
        &images("containers", &[("app", "openssl:latest")]),
    );
    let pod = podyard.wait_for_condition("p", "Ready");
    assert_eq!(container(&pod, "app")["restartCount"], 2);
    podyard.finish();
}

#[test]
fn a_killed_supervisor_knows_the_change() {
    let podyard = Instance::new();
    let apps = [sh("app", &format!("{WHICH}; {POLITE}"))];
    podyard.start(&pod("p", "Always", &[], &apps));
    podyard.wait_for_condition("p", "Ready");
    changed(
        &podyard,
        &images("containers", &[("app", "openssl:latest")]),
    );
    changed(
        &podyard,
        &json!({"metadata": {"labels": {"tier": "front"}}}),
    );
    podyard.kill_supervisor("p");
    podyard.wait_for_log("p", "app", "openssl");
    let pod = eventually("the next supervisor answers", || {
        let pod = podyard.pod("p");
        podyard.kill_supervisor("p");
        (pod["spec"]["containers"][0]["image"] == "openssl:latest").then_some(pod)
    });
    assert_eq!(pod["metadata"]["generation"], 2);
    assert_eq!(pod["metadata"]["labels"]["tier"], "front");
    // And what it begins from then on goes by it.
    podyard.ok(&["exec", "p", "--", "kill", "1"]);
    podyard.wait_for("p", "another instance", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 2 && app["ready"] == true
    });
    assert_eq!(podyard.wait_for_log("p", "app", "\n"), "openssl\n");
    podyard.finish();
}

#[test]
fn what_may_not_be_changed_is_refused_in_the_api_servers_words() {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[], &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    for (patch, code, message) in [
        (
            json!({"spec": {"hostname": "other"}}),
            422,
            "Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
             tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n\
             hostname: null -> \"other\"",
        ),
        (
            json!({"spec": {"containers": [{"name": "more", "image": "busybox:latest"}]}}),
            422,
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            json!({"metadata": {"resourceVersion": "1"}}),
            409,
            "Operation cannot be fulfilled on pods \"p\": the object has been modified; please apply your changes to the latest \
             version and try again",
        ),
        (json!([]), 400, "the request is not an object"),
        (json!({"spec": {"containers": 5}}), 400, "unrecognized"),
    ] {
        let (answered, status) = podyard.patch("p", "", &patch);
        assert_eq!(answered, code, "{patch}: {status}");
        let text = status["message"].as_str().expect("a message");
        assert!(text.contains(message), "{patch}: {text}");
    }
    let (code, status) = podyard.send("p", "PATCH", "", "json-patch+json", &json!([]));
    assert_eq!(
        (code, &status["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
    assert_eq!(podyard.pod("p")["metadata"]["generation"], 1);
    assert_eq!(container(&podyard.pod("p"), "app")["restartCount"], 0);
    podyard.finish();
}

#[test]
fn the_whole_object_can_be_put() {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[], &[sh("app", HANG)]));
    let mut object = podyard.wait_for_condition("p", "Ready");
    object["spec"]["activeDeadlineSeconds"] = json!(2_000_000);
    object["status"]["phase"] = json!("Failed");
    let (code, answered) = podyard.send("p", "PUT", "", "json", &object);
    assert_eq!(code, 200, "{answered}");
    assert_eq!(answered["metadata"]["generation"], 2);
    assert_eq!(answered["status"]["phase"], "Running");
    // One that is over already ends the pod at once.
    changed(&podyard, &json!({"spec": {"activeDeadlineSeconds": 1}}));
    let pod = podyard.wait_for_phase("p", "Failed");
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    podyard.finish();
}

#[test]
fn apply_changes_what_runs() {
    let podyard = Instance::new();
    let mut object = pod(
        "p",
        "Always",
        &[],
        &[sh("app", &format!("{WHICH}; {POLITE}"))],
    );
    let apply = |object: &Value| podyard.run(&["apply", "-f", &podyard.pod_file(object)]);
    assert_eq!(apply(&object).stdout, b"pod/p created\n");
    podyard.wait_for_condition("p", "Ready");
    assert_eq!(apply(&object).stdout, b"pod/p unchanged\n");

    object["spec"]["containers"][0]["image"] = json!("openssl:latest");
    object["metadata"]["labels"] = json!({"tier": "front"});
    assert_eq!(apply(&object).stdout, b"pod/p configured\n");
    let pod = podyard.wait_for("p", "the new container", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["ready"] == true
    });
    assert_eq!(pod["metadata"]["labels"]["tier"], "front");
    assert_eq!(podyard.wait_for_log("p", "app", "\n"), "openssl\n");
    assert_eq!(apply(&object).stdout, b"pod/p unchanged\n");

    object["spec"]["hostname"] = json!("other");
    let refused = apply(&object);
    assert_says(
        &refused,
        2,
        &[
            "The Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than",
            "hostname: null -> \"other\"",
        ],
    );
    assert_eq!(podyard.pod("p")["metadata"]["generation"], 2);
    podyard.finish();
}
