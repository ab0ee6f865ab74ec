//! `podyard debug`: a container more in a pod that runs.

use podyard_e2e::manifest::{HANG, POLITE, pod, sh};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

fn running() -> Instance {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Never", &[], &[sh("app", POLITE)]));
    podyard.wait_for_condition("p", "Ready");
    podyard
}

fn status(pod: &Value, name: &str) -> Value {
    let list = pod["status"]["ephemeralContainerStatuses"].as_array();
    let mut list = list.into_iter().flatten();
    list.find(|status| status["name"] == name)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn it_runs_beside_the_others_and_is_not_one_of_them() {
    let podyard = running();
    let script = "hostname; echo $GREETING; exit 3";
    podyard.ok(&[
        "debug",
        "p",
        "--image=busybox",
        "-c",
        "looker",
        "--env",
        "GREETING=hello",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let pod = podyard.wait_for("p", "its end", |pod| {
        status(pod, "looker")["state"]["terminated"]["exitCode"] == 3
    });
    assert_eq!(podyard.logs("p", "looker"), "p\nhello\n");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(status(&pod, "looker")["restartCount"], 0);
    assert_eq!(container(&pod, "app")["restartCount"], 0);
    let described = podyard.ok(&["describe", "pod", "p"]);
    assert!(described.contains("Ephemeral Containers:"), "{described}");
    // It stays in the pod's history, and its name is taken.
    assert_says(
        &podyard.run(&["debug", "p", "--image=busybox", "-c", "looker"]),
        1,
        &["container `looker`", "exists"],
    );
    podyard.finish();
}

#[test]
fn it_sees_the_processes_of_its_target_and_ends_with_the_pod() {
    let podyard = running();
    podyard.ok(&[
        "debug",
        "p",
        "--image=busybox",
        "--target=app",
        "-c",
        "looker",
        "--",
        "sh",
        "-c",
        &format!("ps -o args > /proc/1/root/d/seen; {HANG}"),
    ]);
    let seen = eventually("it has looked", || {
        let output = podyard.run(&["exec", "p", "-c", "app", "--", "cat", "/d/seen"]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.contains("ps -o args").then_some(text)
    });
    assert!(seen.contains("trap 'exit 0' TERM"), "{seen}");
    podyard.kill_supervisor("p");
    podyard.ok(&["exec", "p", "-c", "looker", "--", "true"]);
    podyard.ok(&["exec", "p", "-c", "app", "--", "kill", "1"]);
    let pod = podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(
        status(&pod, "looker")["state"]["terminated"]["exitCode"],
        137
    );
    podyard.finish();
}

#[test]
fn a_name_is_made_up_and_told() {
    let podyard = running();
    let output = podyard.run(&["debug", "pod/p", "--image=busybox", "--", "true"]);
    assert_says(
        &output,
        0,
        &["Defaulting debug container name to debugger-"],
    );
    let pod = podyard.wait_for("p", "its end", |pod| {
        let status = &pod["status"]["ephemeralContainerStatuses"][0];
        status["state"]["terminated"]["exitCode"] == 0
    });
    let spec = &pod["spec"]["ephemeralContainers"][0];
    assert!(
        spec["name"]
            .as_str()
            .expect("a name")
            .starts_with("debugger-")
    );
    assert_eq!(spec["imagePullPolicy"], "Always");
    podyard.finish();
}

#[test]
fn what_it_may_not_have_is_refused_in_the_api_servers_words() {
    let podyard = running();
    let path = "/ephemeralcontainers";
    let add = |container: Value| json!({"spec": {"ephemeralContainers": [container]}});
    for (container, message) in [
        (
            json!({"name": "d", "image": "busybox", "ports": [{"containerPort": 80}]}),
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            json!({"name": "app", "image": "busybox"}),
            "spec.ephemeralContainers[0].name: Duplicate value: \"app\"",
        ),
    ] {
        let (code, answer) = podyard.patch("p", path, &add(container));
        assert_eq!(code, 422, "{answer}");
        let text = answer["message"].as_str().expect("a message");
        assert!(text.contains(message), "{text}");
    }
    assert_says(
        &podyard.run(&["debug", "p", "--image=busybox", "--target=nobody"]),
        1,
        &["spec.ephemeralContainers[0].targetContainerName: Not found: \"nobody\""],
    );
    assert_says(
        &podyard.run(&["debug", "nobody", "--image=busybox"]),
        3,
        &["not found"],
    );
    // The pod itself is not changed by this way, nor are they by the other.
    let (code, pod) = podyard.patch("p", "", &add(json!({"name": "d", "image": "busybox"})));
    assert_eq!((code, &pod["metadata"]["generation"]), (200, &json!(1)));
    podyard.finish();
}
