//! Jobs in the foreground: as many pods as it takes, and the exit code of the whole.

use std::io::{BufRead as _, BufReader};

use podyard_e2e::{Instance, assert_says};
use serde_json::{Value, json};

/// A Job whose pods run a script, with more in its `spec`.
fn job(name: &str, restart_policy: &str, script: &str, more: Value) -> Value {
    let mut spec = json!({
        "template": {"spec": {
            "restartPolicy": restart_policy,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "work", "image": "busybox:latest", "command": ["sh", "-c", script]}],
        }},
    });
    for (key, value) in more.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
}

fn pods_of(podyard: &Instance, job: &str) -> Vec<Value> {
    let list = podyard.json(&["get", "pods", "-o", "json"]);
    let pods = list["items"].as_array().expect("items").iter();
    pods.filter(|pod| pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == job)
        .cloned()
        .collect()
}

#[test]
fn every_index_is_done_once() {
    let podyard = Instance::new();
    let job = job(
        "count",
        "Never",
        "echo item $JOB_COMPLETION_INDEX of $(hostname)",
        json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"}),
    );
    let output = podyard.foreground(&job, &[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_says(&output, 0, &["job/count complete\n"]);
    for index in 0..3 {
        let line = format!(" work] item {index} of count-{index}\n");
        assert_eq!(stdout.matches(&line).count(), 1, "{stdout}");
    }
    let pods = pods_of(&podyard, "count");
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let index = pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
            .as_str()
            .expect("an index");
        assert!(name.starts_with(&format!("count-{index}-")), "{name}");
        assert!(stdout.contains(&format!("[pod/{name} work] item {index} ")));
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["name"]),
            (&json!("Job"), &json!("count"))
        );
        assert_eq!(
            owner["uid"],
            pods[0]["metadata"]["ownerReferences"][0]["uid"]
        );
    }
    podyard.finish();
}

#[test]
fn a_failed_pod_is_replaced_until_the_limit_and_the_code_is_its_own() {
    let podyard = Instance::new();
    let job = job("bad", "Never", "exit 7", json!({"backoffLimit": 1}));
    let output = podyard.foreground(&job, &["--backoff", "0.001"]);
    assert_says(
        &output,
        7,
        &["job/bad failed: BackoffLimitExceeded: Job has reached the specified backoff limit\n"],
    );
    assert_eq!(pods_of(&podyard, "bad").len(), 2);
    podyard.finish();
}

#[test]
fn a_pod_that_tries_again_by_itself_is_counted_too() {
    let podyard = Instance::new();
    let job = job("again", "OnFailure", "exit 3", json!({"backoffLimit": 2}));
    let output = podyard.foreground(&job, &["--backoff", "0.001"]);
    assert_says(&output, 3, &["job/again failed: BackoffLimitExceeded: "]);
    // Its only pod was stopped.
    assert_eq!(pods_of(&podyard, "again").len(), 0);
    podyard.finish();
}

#[test]
fn a_policy_ends_the_job_with_the_first_failure() {
    let podyard = Instance::new();
    let rule = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}});
    let job = job(
        "strict",
        "Never",
        "exit 42",
        json!({"backoffLimit": 6, "podFailurePolicy": {"rules": [rule]}}),
    );
    let output = podyard.foreground(&job, &[]);
    let parts = [
        "job/strict failed: PodFailurePolicy: Container work for pod default/strict-",
        " failed with exit code 42 matching FailJob rule at index 0\n",
    ];
    assert_says(&output, 42, &parts);
    assert_eq!(pods_of(&podyard, "strict").len(), 1);
    podyard.finish();
}

#[test]
fn a_deadline_stops_what_still_runs() {
    let podyard = Instance::new();
    let job = job(
        "slow",
        "Never",
        "exec sleep 3600",
        json!({"activeDeadlineSeconds": 1}),
    );
    let output = podyard.foreground(&job, &[]);
    assert_says(
        &output,
        1,
        &["job/slow failed: DeadlineExceeded: Job was active longer than specified deadline\n"],
    );
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn a_success_policy_stops_the_others() {
    let podyard = Instance::new();
    let script = "test $JOB_COMPLETION_INDEX = 1 || exec sleep 3600";
    let job = job(
        "leader",
        "Never",
        script,
        json!({
            "completions": 2, "parallelism": 2, "completionMode": "Indexed",
            "successPolicy": {"rules": [{"succeededIndexes": "1"}]},
        }),
    );
    let output = podyard.foreground(&job, &[]);
    assert_says(&output, 0, &["job/leader complete\n"]);
    let pods = pods_of(&podyard, "leader");
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["status"]["phase"], "Succeeded");
    podyard.finish();
}

#[test]
fn a_job_that_wants_no_trace_leaves_none() {
    let podyard = Instance::new();
    let job = job(
        "gone",
        "Never",
        "true",
        json!({"ttlSecondsAfterFinished": 0}),
    );
    assert_says(&podyard.foreground(&job, &[]), 0, &["job/gone complete\n"]);
    assert_eq!(pods_of(&podyard, "gone").len(), 0);
    podyard.finish();
}

#[test]
fn the_job_of_a_cron_job_runs_at_once() {
    let podyard = Instance::new();
    let template = job("x", "Never", "echo ran", json!({}))["spec"].clone();
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": template}},
    });
    let output = podyard.foreground(&cron, &[]);
    assert_says(
        &output,
        0,
        &[
            "nothing here waits for a time",
            "job/nightly-",
            " complete\n",
        ],
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(" work] ran\n"));
    // What a manifest has made goes by it, whatever it was called.
    let path = podyard.pod_file(&cron);
    let deleted = podyard.ok(&["delete", "-f", &path]);
    assert!(deleted.starts_with("pod \"nightly-"), "{deleted}");
    podyard.finish();
}

#[test]
fn what_cannot_run_as_a_job_is_said_before_anything_starts() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&job("once", "Never", "true", json!({})));
    let output = podyard.run(&["run", "-d", &path]);
    assert_says(&output, 2, &["job/once cannot be detached"]);
    let suspended = job("later", "Never", "true", json!({"suspend": true}));
    assert_says(
        &podyard.foreground(&suspended, &[]),
        2,
        &["job/later would start nothing: `spec.suspend` is true"],
    );
    assert_eq!(podyard.ok(&["get", "pods", "-o", "name"]), "");
    podyard.finish();
}

#[test]
fn ctrl_c_stops_every_pod_of_a_job() {
    let podyard = Instance::new();
    let job = job(
        "long",
        "Never",
        "echo ready; exec sleep 3600",
        json!({"completions": 2, "parallelism": 2}),
    );
    let path = podyard.pod_file(&job);
    let mut run = podyard.spawn(&["run", &path]);
    let mut stdout = BufReader::new(run.stdout.take().expect("a pipe"));
    let mut lines = String::new();
    while lines.matches("ready\n").count() < 2 {
        assert!(stdout.read_line(&mut lines).expect("text") > 0, "{lines}");
    }
    assert!(Instance::signal(
        i32::try_from(run.id()).expect("an id"),
        "INT"
    ));
    let output = run.wait_with_output().expect("a child");
    assert_says(
        &output,
        130,
        &["stopping 2 pods; Ctrl-C again kills them\n", "deleted\n"],
    );
    podyard.assert_nothing_left();
    podyard.finish();
}
