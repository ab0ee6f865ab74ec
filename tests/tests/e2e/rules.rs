//! Policies and rules of single containers, with processes that end in the ways they speak of.

use podyard_e2e::manifest::{HANG, nth, pod, sh, with};
use podyard_e2e::{Instance, container};
use serde_json::{Value, json};

/// A rule that restarts on these exit codes.
fn restart(operator: &str, codes: &[i32]) -> Value {
    json!({"action": "Restart", "exitCodes": {"operator": operator, "values": codes}})
}

/// Ends as a process does that a signal killed: its shell passes on what it waited for.
const KILLED: &str = "sleep 100 & kill -9 $!; wait $!; exit $?";

#[test]
fn a_container_ends_or_comes_back_as_its_own_policy_and_rules_say() {
    let podyard = Instance::new();
    let of_rules = |rules: &[Value]| json!({"restartPolicy": "Never", "restartPolicyRules": rules});
    type Case<'a> = (&'a str, &'a str, Value, &'a [&'a str], i32, i32);
    let cases: [Case<'_>; 9] = [
        (
            "never in always",
            "Always",
            json!({"restartPolicy": "Never"}),
            &["exit 1", "exit 0"],
            1,
            0,
        ),
        (
            "on failure in always",
            "Always",
            json!({"restartPolicy": "OnFailure"}),
            &["exit 1", "exit 0"],
            0,
            1,
        ),
        (
            "on failure after success",
            "Always",
            json!({"restartPolicy": "OnFailure"}),
            &["exit 0", "exit 9"],
            0,
            0,
        ),
        (
            "a rule that fits",
            "Never",
            of_rules(&[restart("In", &[42])]),
            &["exit 42", "exit 0"],
            0,
            1,
        ),
        (
            "one that does not",
            "Never",
            of_rules(&[restart("In", &[42])]),
            &["exit 41", "exit 0"],
            41,
            0,
        ),
        (
            "anything but",
            "Never",
            of_rules(&[restart("NotIn", &[0, 3])]),
            &["exit 1", "exit 3", "exit 0"],
            3,
            1,
        ),
        (
            "two rules",
            "Never",
            of_rules(&[restart("In", &[5]), restart("In", &[6])]),
            &["exit 5", "exit 6", "exit 7"],
            7,
            2,
        ),
        (
            "a signal",
            "Never",
            of_rules(&[restart("In", &[137])]),
            &[KILLED, "exit 0"],
            0,
            1,
        ),
        (
            "success",
            "Never",
            of_rules(&[restart("In", &[0])]),
            &["exit 0", "exit 1"],
            1,
            1,
        ),
    ];
    for (what, policy, more, things, code, restarts) in cases {
        let app = with(sh("app", &nth("app", things)), more);
        let output = podyard.foreground(&pod("p", policy, &[], &[app]), &["--backoff", "0.001"]);
        assert_eq!(output.status.code(), Some(code), "{what}: {output:?}");
        let pod = podyard.pod("p");
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        assert_eq!(pod["status"]["phase"], phase, "{what}");
        let app = container(&pod, "app");
        assert_eq!(app["restartCount"], restarts, "{what}");
        assert_eq!(app["state"]["terminated"]["exitCode"], code, "{what}");
        podyard.ok(&["delete", "pod", "p"]);
    }
    podyard.finish();
}

#[test]
fn an_init_container_that_succeeds_is_not_repeated_by_a_rule() {
    let podyard = Instance::new();
    let init = with(
        sh("init", &nth("init", &["exit 0"])),
        json!({"restartPolicy": "Never", "restartPolicyRules": [restart("In", &[0])]}),
    );
    let app = sh("app", "wc -l < /d/init.runs");
    let output = podyard.foreground(&pod("p", "Never", &[init], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "1\n");
    podyard.finish();
}

#[test]
fn one_that_is_always_restarted_keeps_the_pod_running() {
    let podyard = Instance::new();
    let looping = with(sh("loop", "exit 1"), json!({"restartPolicy": "Always"}));
    let apps = [sh("once", "true"), looping];
    podyard.start_with(&pod("p", "Never", &[], &apps), &["--backoff", "0.001"]);
    let pod = podyard.wait_for("p", "three restarts", |pod| {
        container(pod, "loop")["restartCount"]
            .as_i64()
            .is_some_and(|count| count >= 3)
    });
    assert_eq!(pod["status"]["phase"], "Running");
    let once = container(&pod, "once");
    assert_eq!(once["restartCount"], 0);
    assert_eq!(once["state"]["terminated"]["reason"], "Completed");
    podyard.finish();
}

#[test]
fn restarts_by_a_rule_wait_as_others_do() {
    let podyard = Instance::new();
    let app = with(
        sh("app", &nth("app", &["exit 1", "exit 1", "exit 1", HANG])),
        json!({"restartPolicy": "Never", "restartPolicyRules": [restart("In", &[1])]}),
    );
    podyard.start_with(&pod("p", "Never", &[], &[app]), &["--backoff", "0.02"]);
    podyard.wait_for("p", "the fourth run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 3 && app["state"]["running"].is_object()
    });
    let spans = podyard.spans_of("p", "app");
    assert_eq!(spans.len(), 4);
    // 0, 10, 20 s, times 0.02.
    for (pair, least) in spans.windows(2).zip([0, 200_000_000, 400_000_000]) {
        assert!(
            pair[1].started_at() - pair[0].ended_at() >= least,
            "{pair:?}"
        );
    }
    podyard.finish();
}
