//! Conditions that others are in charge of, and the readiness gates that wait for them.

use podyard_e2e::manifest::{HANG, pod, sh, with_spec};
use podyard_e2e::{Instance, assert_says, condition};
use serde_json::{Value, json};

fn gated() -> Value {
    let gates = json!({"readinessGates": [{"conditionType": "example.com/wired"}]});
    with_spec(pod("p", "Always", &[], &[sh("app", HANG)]), gates)
}

fn ready_message(pod: &Value) -> &str {
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .expect("a list")
        .iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    ready.expect("Ready")["message"]
        .as_str()
        .unwrap_or_default()
}

#[test]
fn a_gate_opens_when_its_condition_is_true() {
    let podyard = Instance::new();
    podyard.start(&gated());
    let pod = podyard.wait_for_condition("p", "ContainersReady");
    assert_eq!(condition(&pod, "Ready"), "False");
    let missing =
        "corresponding condition of pod readiness gate \"example.com/wired\" does not exist.";
    assert_eq!(ready_message(&pod), missing);
    assert!(
        podyard
            .ok(&["get", "pod", "p", "-o", "wide"])
            .contains("0/1")
    );

    podyard.ok(&[
        "condition",
        "p",
        "example.com/wired=False",
        "--reason",
        "NotYet",
    ]);
    let pod = podyard.pod("p");
    assert_eq!(
        ready_message(&pod),
        "the status of pod readiness gate \"example.com/wired\" is not \"True\", but False"
    );
    assert_eq!(pod["status"]["conditions"][0]["reason"], "NotYet");

    // Also without a supervisor for a moment.
    podyard.kill_supervisor("p");
    podyard.ok(&["condition", "p", "example.com/wired=True"]);
    let pod = podyard.pod("p");
    assert_eq!(condition(&pod, "Ready"), "True");
    assert!(
        podyard
            .ok(&["get", "pod", "p", "-o", "wide"])
            .contains("1/1")
    );
    podyard.kill_supervisor("p");
    podyard.wait_for_condition("p", "Ready");

    podyard.ok(&["condition", "p", "example.com/wired-"]);
    assert_eq!(ready_message(&podyard.pod("p")), missing);
    podyard.finish();
}

#[test]
fn a_controller_patches_the_status() {
    let podyard = Instance::new();
    podyard.start(&gated());
    podyard.wait_for_condition("p", "ContainersReady");
    let at = "2026-01-02T03:04:05Z";
    let wired = json!({"type": "example.com/wired", "status": "True", "lastTransitionTime": at});
    let own = json!({"type": "ContainersReady", "status": "False"});
    let patch = json!({"status": {"phase": "Failed", "conditions": [wired, own]}});
    let (code, pod) = podyard.patch("p", "/status", &patch);
    assert_eq!(code, 200, "{pod}");
    // What the kubelet answers for is not taken.
    assert_eq!(pod["status"]["phase"], "Running");
    for name in ["example.com/wired", "ContainersReady", "Ready"] {
        assert_eq!(condition(&pod, name), "True", "{name}");
    }
    assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], at);
    podyard.finish();
}

#[test]
fn what_is_no_condition_of_others_is_refused() {
    let podyard = Instance::new();
    podyard.start(&gated());
    assert_says(
        &podyard.run(&["condition", "p", "Ready=True"]),
        2,
        &["condition `Ready` says what podyard itself knows"],
    );
    assert_says(
        &podyard.run(&["condition", "p", "example.com/wired=Maybe"]),
        2,
        &["TYPE=True", "not `example.com/wired=Maybe`"],
    );
    assert_says(
        &podyard.run(&["condition", "nobody", "a=True"]),
        3,
        &["not found"],
    );
    podyard.finish();
}
