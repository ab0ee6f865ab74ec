//! `debug replay`: the journal of a real pod, put through the machine once more, leads to the same status.

use podyard_e2e::manifest::{nth, pod, sh};
use podyard_e2e::{Instance, container};
use serde_json::Value;

#[test]
fn a_replayed_journal_leads_to_the_same_status() {
    let podyard = Instance::new();
    let init = sh("init", &nth("init", &["exit 3", "exit 0"]));
    podyard.start(&pod("p", "Always", &[init], &[sh("app", "exit 4")]));
    // In back-off nothing moves for ten seconds.
    let at_rest = podyard.wait_for("p", "a back-off", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let text = podyard.ok(&["debug", "replay", "p", "-o", "json"]);
    let steps = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let steps: Vec<Value> = steps.collect::<Result<_, _>>().expect("JSON");
    assert_eq!(steps.last().expect("turns")["status"], at_rest["status"]);
    assert_eq!(steps[0]["turn"], 1);

    let text = podyard.ok(&["debug", "replay", "p"]);
    assert!(
        text.contains("  saw     ContainerExited init attempt=0 exit={\"Code\":3}"),
        "{text}"
    );
    assert!(
        text.contains("  began   StartContainer app attempt=0 restart_count=0"),
        "{text}"
    );
    assert!(
        text.contains("  told    warning BackOff: spec.containers{app}:"),
        "{text}"
    );
    let one = podyard.ok(&["debug", "replay", "p", "--from", "2", "--to", "2"]);
    assert!(
        one.starts_with("turn 2 ") && !one.contains("turn 3 "),
        "{one}"
    );

    // A journal that was saved elsewhere, with the pod's record beside it.
    let dirs = podyard.dirs("p");
    let saved = podyard.root().join("saved.jsonl");
    std::fs::copy(dirs.journal(), &saved).expect("the journal");
    std::fs::copy(dirs.record(), saved.with_extension("json")).expect("the record");
    let from_file = podyard.ok(&["debug", "replay", saved.to_str().expect("UTF-8")]);
    assert_eq!(from_file, podyard.ok(&["debug", "replay", "p"]));
    podyard.finish();
}
