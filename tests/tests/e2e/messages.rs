//! Termination messages: the file, the log in its place, and how much of either a pod may show.

use podyard_e2e::manifest::{pod, sh, with};
use podyard_e2e::{Instance, container, eventually};
use serde_json::{Value, json};

const FALLBACK: &str = "FallbackToLogsOnError";

/// The messages of a pod's containers once it has ended, in the order in which they are asked for.
fn messages(containers: &[Value]) -> Vec<String> {
    let podyard = Instance::new();
    let output = podyard.foreground(&pod("p", "Never", &[], containers), &[]);
    assert!(output.status.code().is_some(), "{output:?}");
    let pod = podyard.pod("p");
    let message = |of: &Value| {
        let name = of["name"].as_str().expect("a name");
        let ended = &container(&pod, name)["state"]["terminated"];
        assert!(ended.is_object(), "{name}: {ended}");
        ended["message"].as_str().unwrap_or_default().to_owned()
    };
    let messages = containers.iter().map(message).collect();
    podyard.finish();
    messages
}

fn falls_back(name: &str, script: &str) -> Value {
    with(
        sh(name, script),
        json!({"terminationMessagePolicy": FALLBACK}),
    )
}

#[test]
fn a_message_is_what_the_file_says() {
    let ended_well = sh("well", "printf DONE > /dev/termination-log");
    let ended_badly = sh("badly", "echo why > /dev/termination-log; exit 1");
    let said_nothing = sh("nothing", "echo only in the log; exit 1");
    assert_eq!(
        messages(&[ended_well, ended_badly, said_nothing]),
        ["DONE", "why\n", ""]
    );
}

#[test]
fn a_path_of_its_own_can_be_written_by_any_user() {
    let own = with(
        sh("own", "stat -c '%a %u' /dev/x > /dev/x; id -u >> /dev/x"),
        json!({"terminationMessagePath": "/dev/x", "securityContext": {"runAsUser": 1234}}),
    );
    // Also where the image has no such directory, and where nothing else can be written.
    let deep = with(
        sh("deep", "printf deep > /no/such/place"),
        json!({"terminationMessagePath": "/no/such/place", "securityContext": {"readOnlyRootFilesystem": true, "runAsUser": 1234}}),
    );
    assert_eq!(messages(&[own, deep]), ["666 0\n1234\n", "deep"]);
}

#[test]
fn each_instance_begins_with_an_empty_file() {
    let podyard = Instance::new();
    let script = podyard_e2e::manifest::nth(
        "app",
        &[
            "printf first > /dev/termination-log; exit 1",
            "exit 1",
            "exit 0",
        ],
    );
    let app = sh("app", &script);
    podyard.start_with(&pod("p", "OnFailure", &[], &[app]), &["--backoff", "0"]);
    let pod = podyard.wait_for_phase("p", "Succeeded");
    let app = container(&pod, "app");
    assert_eq!(app["restartCount"], 2);
    assert_eq!(app["lastState"]["terminated"]["message"], Value::Null);
    podyard.finish();
}

#[test]
fn the_log_stands_in_when_the_container_has_failed_without_a_word() {
    let failed = falls_back("failed", "echo boom; exit 1");
    let well = falls_back("well", "echo boom");
    let both = falls_back(
        "both",
        "echo log; printf file > /dev/termination-log; exit 1",
    );
    let errors = falls_back("errors", "echo err >&2; exit 1");
    assert_eq!(
        messages(&[failed, well, both, errors]),
        ["boom\n", "", "file", "err\n"]
    );
}

#[test]
fn of_the_log_only_the_end_is_shown() {
    let many = falls_back("many", "seq 1 100; exit 1");
    // 30 lines of 100 bytes each.
    let long = falls_back(
        "long",
        "i=100; while [ $$i -lt 130 ]; do printf '%s%096d\\n' $$i 0; i=$$((i + 1)); done; exit 1",
    );
    let messages = messages(&[many, long]);
    let last_80: String = (21..=100).map(|line| format!("{line}\n")).collect();
    assert_eq!(messages[0], last_80);
    // 2048 bytes: 20 whole lines, and the last 48 bytes of the one before.
    let whole: String = (110..130)
        .map(|line| format!("{line}{:096}\n", 0))
        .collect();
    assert_eq!(messages[1], format!("{:047}\n{whole}", 0));
}

#[test]
fn of_the_file_only_the_end_is_shown() {
    let app = sh(
        "app",
        "head -c 904 /dev/zero | tr '\\0' a > /dev/termination-log; head -c 4096 /dev/zero | tr '\\0' b >> /dev/termination-log",
    );
    assert_eq!(messages(&[app]), ["b".repeat(4096)]);
}

#[test]
fn the_containers_of_a_pod_share_its_budget() {
    let app = |name: &str| {
        sh(
            name,
            "(printf begin; head -c 4086 /dev/zero | tr '\\0' x; printf finis) > /dev/termination-log",
        )
    };
    // 12 KiB for four is 3 KiB each, from the beginning of what was read.
    let expected = format!("begin{}", "x".repeat(3067));
    for message in messages(&["a", "b", "c", "d"].map(app)) {
        assert_eq!(message, expected);
    }
}

/// The keeper knows how it ended, and the next supervisor what it said.
#[test]
fn what_ends_without_a_supervisor_has_its_message_from_the_log() {
    let podyard = Instance::new();
    let script = "until test -e /d/go; do sleep 0.02; done; echo said last; exit 3";
    podyard.start(&pod("p", "Never", &[], &[falls_back("app", script)]));
    podyard.wait_for_condition("p", "Ready");
    let (keeper, supervisor) = (podyard.keeper("p"), podyard.supervisor("p"));
    // Nobody starts the next one before the container has ended.
    assert!(Instance::signal(keeper, "STOP"));
    assert!(Instance::kill(supervisor));
    let id = podyard.pod("p")["metadata"]["uid"].clone();
    podyard.touch("p", "d", "go");
    eventually("the container's end", || {
        let all = podyard.machine().processes();
        let is_app = |command: &str| command.contains("/d/go");
        (!all.iter().any(|process| is_app(&process.command))).then_some(())
    });
    assert!(Instance::signal(keeper, "CONT"));
    let ended = podyard.wait_for_phase("p", "Failed");
    assert_eq!(ended["metadata"]["uid"], id);
    let state = &container(&ended, "app")["state"]["terminated"];
    assert_eq!(state["exitCode"], 3);
    assert_eq!(state["message"], "said last\n");
    podyard.finish();
}
