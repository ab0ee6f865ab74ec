//! `podyard debug`: a container more in a pod that runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use podyard_e2e::manifest::{HANG, POLITE, pod, sh, with};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

fn running() -> Instance {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Never", &[], &[sh("app", POLITE)]));
    podyard.wait_for_condition("p", "Ready");
    podyard
}

fn status(pod: &Value, name: &str) -> Value {
    let list = pod["status"]["ephemeralContainerStatuses"].as_array();
    let mut list = list.into_iter().flatten();
    list.find(|status| status["name"] == name)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn it_runs_beside_the_others_and_is_not_one_of_them() {
    let podyard = running();
    let script = "hostname; echo $GREETING; exit 3";
    podyard.ok(&[
        "debug",
        "p",
        "--image=busybox",
        "-c",
        "looker",
        "--env",
        "GREETING=hello",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let pod = podyard.wait_for("p", "its end", |pod| {
        status(pod, "looker")["state"]["terminated"]["exitCode"] == 3
    });
    assert_eq!(podyard.logs("p", "looker"), "p\nhello\n");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(status(&pod, "looker")["restartCount"], 0);
    assert_eq!(container(&pod, "app")["restartCount"], 0);
    let described = podyard.ok(&["describe", "pod", "p"]);
    assert!(described.contains("Ephemeral Containers:"), "{described}");
    let timeline = podyard.json(&["timeline", "p", "-o", "json"]);
    let mut spans = timeline["spans"].as_array().expect("spans").iter();
    let span = spans
        .find(|span| span["name"] == "looker")
        .expect("it is there");
    assert_eq!(
        (&span["kind"], &span["exitCode"]),
        (&json!("ephemeral"), &json!(3))
    );
    // It stays in the pod's history, and its name is taken.
    assert_says(
        &podyard.run(&["debug", "p", "--image=busybox", "-c", "looker"]),
        1,
        &["container `looker`", "exists"],
    );
    podyard.finish();
}

#[test]
fn it_sees_the_processes_of_its_target_and_ends_with_the_pod() {
    let podyard = running();
    podyard.ok(&[
        "debug",
        "p",
        "--image=busybox",
        "--target=app",
        "-c",
        "looker",
        "--",
        "sh",
        "-c",
        &format!("ps -o args > /proc/1/root/d/seen; {HANG}"),
    ]);
    let seen = eventually("it has looked", || {
        let output = podyard.run(&["exec", "p", "-c", "app", "--", "cat", "/d/seen"]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.contains("ps -o args").then_some(text)
    });
    assert!(seen.contains("trap 'exit 0' TERM"), "{seen}");
    podyard.kill_supervisor("p");
    podyard.ok(&["exec", "p", "-c", "looker", "--", "true"]);
    podyard.ok(&["exec", "p", "-c", "app", "--", "kill", "1"]);
    let pod = podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(
        status(&pod, "looker")["state"]["terminated"]["exitCode"],
        137
    );
    podyard.finish();
}

#[test]
fn a_name_is_made_up_and_told() {
    let podyard = running();
    let output = podyard.run(&["debug", "pod/p", "--image=busybox", "--", "true"]);
    assert_says(
        &output,
        0,
        &["Defaulting debug container name to debugger-"],
    );
    let pod = podyard.wait_for("p", "its end", |pod| {
        let status = &pod["status"]["ephemeralContainerStatuses"][0];
        status["state"]["terminated"]["exitCode"] == 0
    });
    let spec = &pod["spec"]["ephemeralContainers"][0];
    assert!(
        spec["name"]
            .as_str()
            .expect("a name")
            .starts_with("debugger-")
    );
    assert_eq!(spec["imagePullPolicy"], "Always");
    podyard.finish();
}

#[test]
fn what_it_may_not_have_is_refused_in_the_api_servers_words() {
    let podyard = running();
    let path = "/ephemeralcontainers";
    let add = |container: Value| json!({"spec": {"ephemeralContainers": [container]}});
    for (container, message) in [
        (
            json!({"name": "d", "image": "busybox", "ports": [{"containerPort": 80}]}),
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            json!({"name": "app", "image": "busybox"}),
            "spec.ephemeralContainers[0].name: Duplicate value: \"app\"",
        ),
    ] {
        let (code, answer) = podyard.patch("p", path, &add(container));
        assert_eq!(code, 422, "{answer}");
        let text = answer["message"].as_str().expect("a message");
        assert!(text.contains(message), "{text}");
    }
    assert_says(
        &podyard.run(&["debug", "p", "--image=busybox", "--target=nobody"]),
        1,
        &["spec.ephemeralContainers[0].targetContainerName: Not found: \"nobody\""],
    );
    assert_says(
        &podyard.run(&["debug", "nobody", "--image=busybox"]),
        3,
        &["not found"],
    );
    // The pod itself is not changed by this way, nor are they by the other.
    let (code, pod) = podyard.patch("p", "", &add(json!({"name": "d", "image": "busybox"})));
    assert_eq!((code, &pod["metadata"]["generation"]), (200, &json!(1)));
    podyard.finish();
}

#[test]
fn a_person_can_sit_in_it() {
    let podyard = running();
    let arguments = [
        "debug",
        "p",
        "--image=busybox",
        "-c",
        "looker",
        "-it",
        "--",
        "sh",
    ];
    let mut terminal = podyard.on_terminal(&arguments);
    // Its prompt was printed before anybody was connected.
    terminal.wait_for("/ # ");
    terminal.type_keys(b"echo $((6 * 7)); stty size; exit 3\r");
    let (status, screen, _) = terminal.wait();
    let text = screen.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("42"), "{text}");
    assert!(text.contains("40 120"), "{text}");
    let pod = podyard.pod("p");
    assert_eq!(status_code(&pod), 3);
    podyard.finish();
}

fn status_code(pod: &Value) -> i64 {
    let code = &status(pod, "looker")["state"]["terminated"]["exitCode"];
    code.as_i64().unwrap_or_else(|| panic!("{pod}"))
}

#[test]
fn without_a_terminal_its_streams_are_ours() {
    let podyard = running();
    let script = "echo begun; read line; echo got $line; exit 4";
    let mut debug = podyard
        .command(&[
            "debug",
            "p",
            "--image=busybox",
            "-c",
            "looker",
            "-i",
            "--",
            "sh",
            "-c",
            script,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("podyard");
    let mut stdin = debug.stdin.take().expect("a pipe");
    stdin.write_all(b"a word\n").expect("it reads");
    let output = debug.wait_with_output().expect("a child");
    assert_eq!(output.stdout, b"begun\ngot a word\n", "{output:?}");
    podyard.finish();
}

#[test]
fn a_container_that_runs_can_be_attached_to() {
    let podyard = Instance::new();
    let reader = with(
        sh(
            "app",
            "echo early; while read line; do echo got $line; done",
        ),
        json!({"stdin": true}),
    );
    podyard.start(&pod("p", "Never", &[], &[reader]));
    podyard.wait_for_log("p", "app", "early");
    let mut attach = podyard
        .command(&["attach", "p", "-i"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("podyard");
    let mut stdin = attach.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(attach.stdout.take().expect("a pipe"));
    stdin.write_all(b"one\n").expect("it reads");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    // What was printed before is in the log, and not told again.
    assert_eq!(line, "got one\n");
    attach.kill().expect("it runs");
    attach.wait().expect("a child");
    assert_eq!(podyard.pod("p")["status"]["phase"], "Running");
    podyard.finish();
}

/// With `stdinOnce` the input ends with the first who attached; whoever comes later only looks on.
#[test]
fn an_input_for_one_ends_when_that_one_leaves() {
    let podyard = Instance::new();
    let reader = with(
        sh(
            "app",
            "echo early; cat; echo over; until test -e /d/go; do sleep 0.02; done",
        ),
        json!({"stdin": true, "stdinOnce": true}),
    );
    podyard.start(&pod("p", "Never", &[], &[reader]));
    podyard.wait_for_log("p", "app", "early");
    let attach = |words: &[u8]| {
        let mut attach = podyard
            .command(&["attach", "p", "-i"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("podyard");
        let mut stdin = attach.stdin.take().expect("a pipe");
        stdin.write_all(words).expect("it reads");
        attach
    };
    let first = attach(b"all of it\n");
    podyard.wait_for_log("p", "app", "over");
    let second = attach(b"too late\n");
    podyard.touch("p", "d", "go");
    let output = first.wait_with_output().expect("a child");
    assert_eq!(output.stdout, b"all of it\nover\n", "{output:?}");
    assert!(
        second
            .wait_with_output()
            .expect("a child")
            .stdout
            .is_empty()
    );
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "early\nall of it\nover\n");
    podyard.finish();
}
