//! `podyard logs`: which instance, how much of it, in which form.

use std::io::{BufRead as _, BufReader, Read as _};

use podyard_e2e::manifest::{HANG, nth, pod, sh, with};
use podyard_e2e::{Instance, assert_says, container};
use serde_json::json;

#[test]
fn current_and_previous_instance() {
    let podyard = Instance::new();
    let app = sh(
        "app",
        &nth(
            "app",
            &[
                "echo first; exit 1",
                "echo second; exit 1",
                &format!("echo third; {HANG}"),
            ],
        ),
    );
    podyard.start_with(&pod("p", "Always", &[], &[app]), &["--backoff", "0.001"]);
    podyard.wait_for("p", "the third run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 2 && app["state"]["running"].is_object()
    });
    assert_eq!(podyard.wait_for_log("p", "app", "\n"), "third\n");
    assert_eq!(podyard.ok(&["logs", "p", "--previous"]), "second\n");
    assert_eq!(podyard.ok(&["logs", "p", "app", "-p"]), "second\n");
    // In the layout of the CRI, where a cluster's collectors look.
    let files = podyard.roots().logs().join(format!(
        "default_p_{}/app",
        podyard.pod("p")["metadata"]["uid"].as_str().expect("a uid")
    ));
    let record = std::fs::read_to_string(files.join("2.log")).expect("the log file");
    let words: Vec<&str> = record.trim_end().split(' ').collect();
    assert_eq!(words[1..], ["stdout", "F", "third"], "{record}");
    assert!(files.join("1.log").exists() && !files.join("0.log").exists());
    podyard.finish();
}

#[test]
fn tail_since_and_timestamps() {
    let podyard = Instance::new();
    let app = sh("app", "seq 1 5; sleep 1.2; seq 6 8");
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.ok(&["logs", "p"]), "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!(podyard.ok(&["logs", "p", "--tail", "2"]), "7\n8\n");
    assert_eq!(podyard.ok(&["logs", "p", "--tail=0"]), "");
    assert_eq!(podyard.ok(&["logs", "p", "--tail=-1"]).lines().count(), 8);
    assert_eq!(
        podyard.ok(&["logs", "p", "--since", "1h"]).lines().count(),
        8
    );
    // The two halves were printed more than a second apart: what is younger than the moment between them is the second one.
    let stamped = podyard.ok(&["logs", "p", "--timestamps"]);
    let times: Vec<&str> = stamped
        .lines()
        .map(|line| line.split(' ').next().expect("a time"))
        .collect();
    assert_eq!(
        times[0].len(),
        "2026-01-01T00:00:00.000000000Z".len(),
        "{stamped}"
    );
    assert!(times.is_sorted(), "{stamped}");
    assert!(
        stamped.lines().next().expect("a line").ends_with("Z 1"),
        "{stamped}"
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(
        podyard.ok(&["logs", "p", "--since", "1s"]),
        "",
        "all of it is older"
    );
    podyard.finish();
}

#[test]
fn several_containers() {
    let podyard = Instance::new();
    let pod = pod(
        "p",
        "Never",
        &[sh("i1", "echo from init")],
        &[
            sh("a", "echo from a; echo error >&2"),
            sh("b", "printf 'no newline'"),
        ],
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "i1"), "from init\n");
    assert_eq!(podyard.logs("p", "b"), "no newline");
    let all = podyard.ok(&["logs", "p", "--all-containers", "--prefix"]);
    for line in [
        "[pod/p/i1] from init",
        "[pod/p/a] from a",
        "[pod/p/a] error",
        "[pod/p/b] no newline",
    ] {
        assert!(all.lines().any(|printed| printed == line), "{line}: {all}");
    }
    let default = podyard.run(&["logs", "p"]);
    assert_says(
        &default,
        0,
        &["Defaulted container \"a\" out of: a, b, i1 (init)"],
    );
    assert!(String::from_utf8_lossy(&default.stdout).contains("from a\n"));
    podyard.finish();
}

#[test]
fn following_ends_with_the_instance() {
    let podyard = Instance::new();
    let app = "echo one; until [ -e /d/go ]; do sleep 0.01; done; seq 1 20000; printf end";
    podyard.start(&pod("p", "Never", &[], &[sh("app", app)]));
    podyard.wait_for_log("p", "app", "one");
    let follow = |more: &[&str]| {
        let mut follower = podyard.spawn(&[&["logs", "p", "-f"], more].concat());
        let mut stdout = BufReader::new(follower.stdout.take().expect("a pipe"));
        let mut text = String::new();
        stdout.read_line(&mut text).expect("a first line");
        (follower, stdout, text)
    };
    let followers = [follow(&[]), follow(&["--tail=1"])];
    podyard.touch("p", "d", "go");
    let expected: String = (1..=20_000).map(|i| format!("{i}\n")).collect();
    for (follower, mut stdout, mut text) in followers {
        stdout.read_to_string(&mut text).expect("text");
        let output = follower.wait_with_output().expect("a child");
        assert!(output.status.success(), "{output:?}");
        assert!(
            text == format!("one\n{expected}end"),
            "{} bytes",
            text.len()
        );
    }
    podyard.finish();
}

#[test]
fn what_has_not_started_has_no_log() {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[sh("i1", HANG)], &[sh("app", "true")]));
    podyard.wait_for("p", "the init container", |pod| {
        container(pod, "i1")["state"]["running"].is_object()
    });
    assert_says(
        &podyard.run(&["logs", "p", "-c", "app"]),
        1,
        &["container \"app\" in pod \"p\" is waiting to start: PodInitializing"],
    );
    podyard.finish();
}

#[test]
fn a_termination_message_comes_from_the_log_when_asked() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "echo what went wrong; exit 1"),
        json!({"terminationMessagePolicy": "FallbackToLogsOnError"}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let pod = podyard.pod("p");
    let message = &container(&pod, "app")["state"]["terminated"]["message"];
    assert_eq!(message, "what went wrong\n");
    podyard.finish();
}

#[test]
fn in_a_back_off_there_is_only_the_last_instance() {
    let podyard = Instance::new();
    // The second end has to wait ten seconds.
    let script =
        "echo out; echo err >&2; until [ -e /d/go ]; do sleep 0.02; done; printf rest; exit 1";
    podyard.start(&pod("p", "Always", &[], &[sh("app", script)]));
    podyard.wait_for_log("p", "app", "err");
    assert_says(
        &podyard.run(&["logs", "p", "--previous"]),
        3,
        &["previous terminated container \"app\" in pod \"p\" not found"],
    );
    podyard.touch("p", "d", "go");
    let pod = podyard.wait_for("p", "back-off", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(container(&pod, "app")["restartCount"], 1);
    let log = podyard.logs("p", "app");
    // The two streams have an order of their own each.
    assert!(
        log == "out\nerr\nrest" || log == "err\nout\nrest",
        "{log:?}"
    );
    assert_eq!(podyard.ok(&["logs", "p", "--previous"]), log);
    assert_eq!(podyard.ok(&["logs", "p", "--limit-bytes=5"]), log[..5]);
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    let directory = podyard.roots().logs().join(format!("default_p_{uid}/app"));
    let text = std::fs::read_to_string(directory.join("1.log")).expect("the log file");
    let mut records: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(' ').expect("a time").1)
        .collect();
    records[..2].sort_unstable();
    assert_eq!(records, ["stderr F err", "stdout F out", "stdout P rest"]);
    podyard.finish();
}
