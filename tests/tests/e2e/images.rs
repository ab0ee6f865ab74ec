//! `podyard image …`, and pods whose images come from a registry.

use podyard_e2e::manifest::{nth, pod, sh, with};
use podyard_e2e::{Instance, Registry, assert_says, container, eventually};
use serde_json::{Value, json};

fn pulled(image: &str, policy: &str, script: &str) -> Value {
    let app = with(
        sh("app", script),
        json!({"image": image, "imagePullPolicy": policy}),
    );
    pod("p", "Never", &[], &[app])
}

#[test]
fn import_list_inspect_and_remove() {
    let podyard = Instance::without_images();
    assert_says(&podyard.run(&["image", "list"]), 0, &["No images found"]);
    let archive = Instance::archive("busybox");
    assert_eq!(
        podyard.ok(&["image", "import", &archive]),
        "busybox:latest\n"
    );
    // Once more is no harm.
    assert_eq!(
        podyard.ok(&["image", "import", &archive]),
        "busybox:latest\n"
    );
    let table = podyard.ok(&["image", "ls"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][0], "IMAGE");
    assert_eq!(rows[1][0], "busybox:latest");
    assert_eq!(rows.len(), 2);
    let inspected = podyard.json(&["image", "inspect", "busybox"]);
    assert_eq!(inspected["names"][0], "docker.io/library/busybox:latest");
    let removed = podyard.ok(&["image", "rm", "busybox"]);
    assert!(
        removed.starts_with("untagged: busybox:latest\ndeleted: sha256:"),
        "{removed}"
    );
    assert_says(&podyard.run(&["image", "list"]), 0, &["No images found"]);
    assert_says(
        &podyard.run(&["image", "import", "/no/such/archive.tar"]),
        3,
        &["/no/such/archive.tar", "No such file or directory"],
    );
    let garbage = podyard.manifest("garbage.tar", "this is no archive");
    assert_says(
        &podyard.run(&["image", "import", &garbage]),
        1,
        &["cannot import", "garbage.tar"],
    );
    podyard.finish();
}

#[test]
fn an_image_in_use_stays_until_its_pod_is_gone() {
    let podyard = Instance::without_images();
    podyard.ok(&["image", "import", &Instance::archive("busybox")]);
    let app = "until [ -e /d/go ]; do sleep 0.02; done; ls /bin/busybox";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_condition("p", "Ready");
    let output = podyard.run(&["image", "rm", "busybox"]);
    assert_says(&output, 0, &["stays until 1 pod(s) that use it are gone"]);
    podyard.ok(&["exec", "p", "--", "touch", "/d/go"]);
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "/bin/busybox\n");
    podyard.finish();
}

#[test]
fn pull_from_a_registry() {
    let podyard = Instance::without_images();
    let registry = Registry::start(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let image = registry.reference("tools:1");
    assert_eq!(podyard.ok(&["image", "pull", &image]), format!("{image}\n"));
    assert_says(
        &podyard.run(&["image", "pull", &image]),
        0,
        &["is up to date"],
    );
    let missing = registry.reference("tools:2");
    assert_says(
        &podyard.run(&["image", "pull", &missing]),
        1,
        &["cannot pull", &missing],
    );
    assert_says(&podyard.run(&["image", "pull", "a b"]), 2, &["a b"]);
    podyard.finish();
}

#[test]
fn a_pod_pulls_by_its_policy() {
    let podyard = Instance::without_images();
    let registry = Registry::start(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let image = registry.reference("tools:1");
    let reasons = |podyard: &Instance| -> Vec<String> {
        let list = podyard.json(&["events", "p", "-o", "json"]);
        let events = list["items"].as_array().expect("events").clone();
        let of_images = events.iter().filter(|event| {
            ["Pulling", "Pulled"]
                .iter()
                .any(|reason| event["reason"] == *reason)
        });
        of_images
            .map(|event| event["message"].as_str().expect("a message").to_owned())
            .collect()
    };
    // Always asks the registry each time; IfNotPresent only when there is nothing.
    for (policy, asks) in [
        ("IfNotPresent", true),
        ("IfNotPresent", false),
        ("Always", true),
        ("Never", false),
    ] {
        let output = podyard.foreground(&pulled(&image, policy, "echo pulled"), &[]);
        assert_eq!(output.status.code(), Some(0), "{policy}: {output:?}");
        let told = reasons(&podyard);
        if asks {
            assert_eq!(told[0], format!("Pulling image \"{image}\""), "{policy}");
            assert!(
                told[1].starts_with(&format!("Successfully pulled image \"{image}\" in ")),
                "{told:?}"
            );
        } else {
            assert_eq!(
                told,
                [format!(
                    "Container image \"{image}\" already present on machine and can be accessed by the pod"
                )],
                "{policy}"
            );
        }
    }
    // What the tag says now is what runs: Always notices that it has moved.
    registry.push("openssl", "tools:1");
    let output = podyard.foreground(&pulled(&image, "Always", "openssl version"), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("p");
    let id = container(&pod, "app")["imageID"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert!(id.contains("@sha256:"), "{id}");
    podyard.finish();
}

/// Several pods that need the same image at the same time fetch it once, and all run.
#[test]
fn pods_that_start_together_share_a_pull() {
    let podyard = Instance::without_images();
    let registry = Registry::start(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let image = registry.reference("tools:1");
    let names = ["one", "two", "three"];
    for name in names {
        let mut pod = pulled(&image, "IfNotPresent", "echo pulled");
        pod["metadata"]["name"] = json!(name);
        podyard.start(&pod);
    }
    for name in names {
        podyard.wait_for_phase(name, "Succeeded");
    }
    podyard.finish();
}

#[test]
fn always_asks_the_registry_at_every_start() {
    let podyard = Instance::without_images();
    let registry = Registry::start(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let runs = nth("app", &["exit 1", "exit 1", "exit 0"]);
    for (policy, asks) in [("IfNotPresent", 1), ("Always", 3)] {
        let before = registry.asked_for("tools:1");
        let app = with(
            sh("app", &runs),
            json!({"image": registry.reference("tools:1"), "imagePullPolicy": policy}),
        );
        let pod = pod("p", "OnFailure", &[], &[app]);
        let output = podyard.foreground(&pod, &["--rm", "--backoff", "0"]);
        assert_eq!(output.status.code(), Some(0), "{policy}: {output:?}");
        eventually(
            &format!("{policy}: the registry was asked {asks} times"),
            || (registry.asked_for("tools:1") == before + asks).then_some(()),
        );
    }
    podyard.finish();
}

#[test]
fn a_name_that_cannot_be_one_says_so() {
    let podyard = Instance::new();
    podyard.start(&pulled("a b", "IfNotPresent", "true"));
    let pod = podyard.wait_for("p", "the refusal", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "InvalidImageName"
    });
    let message = container(&pod, "app")["state"]["waiting"]["message"].clone();
    let text = message.as_str().expect("a message");
    assert!(
        text.starts_with(
            "Failed to apply default image tag \"a b\": couldn't parse image name \"a b\": "
        ),
        "{text}"
    );
    assert_eq!(pod["status"]["phase"], "Pending");
    let events = podyard.events("p", "InspectFailed");
    assert_eq!(events[0]["message"], message);
    podyard.finish();
}
