//! A `RestartAllContainers` rule with real containers: what begins again, what stays, and who is not concerned.

use podyard_e2e::manifest::{HANG, nth, pod, sh, sidecar, with};
use podyard_e2e::{Instance, condition, container};
use serde_json::{Value, json};

#[test]
fn every_container_begins_again_in_place() {
    let podyard = Instance::new();
    let rule =
        json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}});
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    let source = with(
        sh(
            "source",
            &nth("source", &[&format!("{wait}; exit 42"), HANG]),
        ),
        json!({"restartPolicy": "Never", "restartPolicyRules": [rule]}),
    );
    let inits = [sh("init", "echo init >> /d/inits"), sidecar("side", HANG)];
    podyard.start(&pod("p", "Never", &inits, &[source, sh("other", HANG)]));
    let before = podyard.wait_for_condition("p", "Ready");
    podyard.ok(&[
        "debug",
        "p",
        "--image=busybox",
        "-c",
        "looker",
        "--",
        "sh",
        "-c",
        HANG,
    ]);
    podyard.wait_for("p", "the ephemeral container", |pod| {
        looker(pod)["state"]["running"].is_object()
    });
    let looking = looker(&podyard.pod("p"));
    podyard.touch("p", "d", "go");
    let names = ["init", "side", "source", "other"];
    let pod = podyard.wait_for("p", "everything again", |pod| {
        condition(pod, "Ready") == "True"
            && names
                .iter()
                .all(|name| container(pod, name)["restartCount"] == 1)
    });
    // Volumes, address and logs stay, and whoever only looks goes on with that.
    assert_eq!(
        podyard.ok(&["exec", "p", "-c", "other", "--", "wc", "-l", "/d/inits"]),
        "2 /d/inits\n"
    );
    assert_eq!(pod["status"]["podIP"], before["status"]["podIP"]);
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    let logs = podyard.roots().logs().join(format!("default_p_{uid}"));
    for name in names {
        for file in ["0.log", "1.log"] {
            assert!(logs.join(name).join(file).exists(), "{name}/{file}");
        }
    }
    assert_eq!(looker(&pod), looking);
    assert_eq!(condition(&pod, "AllContainersRestarting"), "False");
    podyard.finish();
}

fn looker(pod: &Value) -> Value {
    pod["status"]["ephemeralContainerStatuses"][0].clone()
}
