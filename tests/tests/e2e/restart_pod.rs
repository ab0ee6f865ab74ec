//! restart-pod mode: a failed init container starts the whole initialisation again, from the first.

use podyard_e2e::manifest::{HANG, nth, pod, sh, sidecar};
use podyard_e2e::{Instance, assert_says, container};
use serde_json::{Value, json};

/// `i2` fails twice; `i1` fails if it finds its own root file system used.
fn failing_twice(policy: &str) -> Value {
    let fresh = "set -e; test ! -e /made; touch /made";
    pod(
        "p",
        policy,
        &[
            sh("i1", &format!("{fresh}; {}", nth("i1", &["exit 0"]))),
            sidecar("s", &format!("{}; {HANG}", nth("s", &["true"]))),
            sh(
                "i2",
                &format!("{fresh}; {}", nth("i2", &["exit 1", "exit 1", "exit 0"])),
            ),
        ],
        &[sh(
            "app",
            &format!("wc -l < /d/i1.runs; wc -l < /d/i2.runs; wc -l < /d/s.runs; {HANG}"),
        )],
    )
}

fn assert_three_rounds(podyard: &Instance) {
    let pod = podyard.wait_for_condition("p", "Ready");
    // The volume was kept over all rounds, and every round had every container.
    assert_eq!(podyard.wait_for_log("p", "app", "3\n3\n3\n"), "3\n3\n3\n");
    for (name, restarts) in [("i1", 2), ("s", 2), ("i2", 2)] {
        assert_eq!(container(&pod, name)["restartCount"], restarts, "{name}");
    }
    // Nothing of a round overlaps with the next one.
    let mut spans = podyard.spans("p");
    spans.retain(|span| span.name != "app");
    let round = |number: i64| spans.iter().filter(move |span| span.attempt == number);
    for number in [1, 2] {
        let last_end = round(number)
            .map(|span| span.ended_at())
            .max()
            .expect("ended");
        let next_start = round(number + 1).map(|span| span.started_at()).min();
        assert!(last_end <= next_start.expect("started"), "{spans:?}");
    }
    assert_eq!(
        podyard.spans_of("p", "app").len(),
        1,
        "the app started in the last round only"
    );
}

#[test]
fn by_flag() {
    let podyard = Instance::new();
    podyard.start_with(
        &failing_twice("Always"),
        &["--on-init-failure", "restart-pod", "--backoff", "0.001"],
    );
    assert_three_rounds(&podyard);
    podyard.finish();
}

#[test]
fn by_annotation() {
    let podyard = Instance::new();
    let mut pod = failing_twice("OnFailure");
    pod["metadata"]["annotations"] = json!({"podyard.dev/on-init-failure": "restart-pod"});
    podyard.start_with(&pod, &["--backoff", "0.001"]);
    assert_three_rounds(&podyard);
    podyard.finish();
}

#[test]
fn by_environment() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&failing_twice("Always"));
    let output = podyard
        .command(&["run", "-d", &path])
        .env("PODYARD_ON_INIT_FAILURE", "restart-pod")
        .env("PODYARD_BACKOFF", "0.001")
        .output()
        .expect("podyard");
    assert!(output.status.success(), "{output:?}");
    assert_three_rounds(&podyard);
    podyard.finish();
}

#[test]
fn rounds_wait_as_attempts_do() {
    let podyard = Instance::new();
    podyard.start_with(
        &failing_twice("Always"),
        &["--on-init-failure", "restart-pod", "--backoff", "0.03"],
    );
    assert_three_rounds(&podyard);
    let (first, second) = (podyard.spans_of("p", "i1"), podyard.spans_of("p", "i2"));
    // Before each further round, the back-off of the container that failed: 10 s and 20 s, times 0.03. There is no retry at once.
    for (round, least) in [(0, 300_000_000), (1, 600_000_000)] {
        let wait = first[round + 1].started_at() - second[round].ended_at();
        assert!(wait >= least, "round {round}: {wait} ns");
    }
    podyard.finish();
}

#[test]
fn never_still_means_that_the_pod_fails() {
    let podyard = Instance::new();
    let output = podyard.foreground(
        &failing_twice("Never"),
        &["--on-init-failure", "restart-pod"],
    );
    assert_says(
        &output,
        1,
        &["init i2: failed with exit code 1", "pod/p failed"],
    );
    assert_eq!(podyard.spans_of("p", "i1").len(), 1);
    podyard.finish();
}

#[test]
fn an_app_that_fails_starts_no_further_round() {
    let podyard = Instance::new();
    let pod = pod(
        "p",
        "Always",
        &[sh("i1", &nth("i1", &["exit 0"]))],
        &[sh("app", &nth("app", &["exit 1", HANG]))],
    );
    podyard.start_with(&pod, &["--on-init-failure", "restart-pod"]);
    podyard.wait_for("p", "the second run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    assert_eq!(podyard.spans_of("p", "i1").len(), 1);
    podyard.finish();
}

#[test]
fn a_wrong_value_is_refused() {
    let podyard = Instance::new();
    let mut pod = failing_twice("Always");
    pod["metadata"]["annotations"] = json!({"podyard.dev/on-init-failure": "sometimes"});
    let output = podyard.foreground(&pod, &[]);
    assert_says(
        &output,
        2,
        &["podyard.dev/on-init-failure", "\"sometimes\""],
    );
    podyard.finish();
}
