//! A `RestartAllContainers` rule with real containers: what begins again, what stays, and who is not concerned.

use podyard_e2e::manifest::{HANG, nth, pod, sh, sidecar, with};
use podyard_e2e::{Instance, condition, container};
use serde_json::{Value, json};

/// A policy, and the rule that exit code 42 restarts everything.
fn on_42(policy: &str) -> Value {
    let codes = json!({"operator": "In", "values": [42]});
    let rule = json!({"action": "RestartAllContainers", "exitCodes": codes});
    json!({"restartPolicy": policy, "restartPolicyRules": [rule]})
}

fn condition_of<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array().expect("conditions");
    let mut of_kind = conditions.iter().filter(|it| it["type"] == kind);
    of_kind.next().unwrap_or(&Value::Null)
}

#[test]
fn every_container_begins_again_in_place() {
    let podyard = Instance::new();
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    let source = with(
        sh(
            "source",
            &nth("source", &[&format!("{wait}; exit 42"), HANG]),
        ),
        on_42("Never"),
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
    // That the pod is initialized was true all the time.
    let [then, now] = [&before, &pod].map(|pod| {
        let initialized = condition_of(pod, "Initialized");
        (
            initialized["status"].clone(),
            initialized["lastTransitionTime"].clone(),
        )
    });
    assert_eq!(now, then);
    podyard.finish();
}

#[test]
fn a_sidecar_can_ask_for_it() {
    let podyard = Instance::new();
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    let source = with(
        sidecar(
            "source",
            &nth("source", &[&format!("{wait}; exit 42"), HANG]),
        ),
        on_42("Always"),
    );
    let inits = [sh("init", "true"), source, sidecar("side", HANG)];
    podyard.start(&pod("p", "Never", &inits, &[sh("app", HANG)]));
    podyard.wait_for_condition("p", "Ready");
    podyard.touch("p", "d", "go");
    let names = ["init", "source", "side", "app"];
    podyard.wait_for("p", "everything again", |pod| {
        condition(pod, "Ready") == "True"
            && names
                .iter()
                .all(|name| container(pod, name)["restartCount"] == 1)
    });
    podyard.finish();
}

/// With a back-off, four rounds would wait for 70 seconds.
#[test]
fn rounds_do_not_wait() {
    let podyard = Instance::new();
    let runs = ["exit 42", "exit 42", "exit 42", "exit 42", "exit 0"];
    let app = with(sh("app", &nth("app", &runs)), on_42("Never"));
    podyard.start(&pod("p", "Never", &[], &[app]));
    let pod = podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(container(&pod, "app")["restartCount"], 4);
    let restarting = condition_of(&pod, "AllContainersRestarting");
    assert_eq!(
        (&restarting["status"], &restarting["reason"]),
        (&json!("False"), &json!("PodCompleted"))
    );
    podyard.finish();
}

#[test]
fn another_exit_code_restarts_nothing() {
    let podyard = Instance::new();
    let source = with(sh("source", "exit 41"), on_42("Never"));
    let apps = [source, sh("other", "exit 0")];
    let output = podyard.foreground(&pod("p", "Never", &[], &apps), &[]);
    assert_eq!(output.status.code(), Some(41), "{output:?}");
    let with_rule = podyard.pod("p");
    assert_eq!(with_rule["status"]["phase"], "Failed");
    for name in ["source", "other"] {
        assert_eq!(container(&with_rule, name)["restartCount"], 0, "{name}");
    }
    podyard.ok(&["delete", "pod", "p"]);
    // Where no rule could, nothing is said about it.
    let output = podyard.foreground(&pod("p", "Never", &[], &[sh("app", "true")]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let restarting = condition_of(&podyard.pod("p"), "AllContainersRestarting").clone();
    assert_eq!(restarting, Value::Null);
    podyard.finish();
}

#[test]
fn it_goes_on_when_its_supervisor_dies_in_the_midst_of_it() {
    let podyard = Instance::new();
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    let source = with(
        sh(
            "source",
            &nth("source", &[&format!("{wait}; exit 42"), HANG]),
        ),
        on_42("Never"),
    );
    // They have to be killed one after the other, which takes long enough to be looked at.
    let victims = ["a", "b", "c", "d"];
    let mut apps = victims.map(|name| sh(name, HANG)).to_vec();
    apps.push(source);
    podyard.start(&pod("p", "Never", &[], &apps));
    podyard.wait_for_condition("p", "Ready");
    podyard.touch("p", "d", "go");
    podyard.wait_for("p", "the restart", |pod| {
        let is_reset = |app: &Value| {
            let name = app["name"].as_str().expect("a name");
            container(pod, name)["state"]["waiting"]["reason"] == "RestartingAllContainers"
        };
        condition(pod, "AllContainersRestarting") == "True" && apps.iter().any(is_reset)
    });
    assert!(podyard.kill_supervisor("p"));
    let pod = podyard.wait_for("p", "everything again", |pod| {
        condition(pod, "Ready") == "True"
            && apps.iter().all(|app| {
                let name = app["name"].as_str().expect("a name");
                container(pod, name)["restartCount"] == 1
            })
    });
    assert_eq!(condition(&pod, "AllContainersRestarting"), "False");
    podyard.finish();
}

fn looker(pod: &Value) -> Value {
    pod["status"]["ephemeralContainerStatuses"][0].clone()
}
