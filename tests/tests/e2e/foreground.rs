//! `podyard run FILE` in the foreground: what it prints and where, its exit code, and Ctrl-C.

use std::io::{BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use podyard_e2e::manifest::{HANG, READY, pod, sh, with, with_spec};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

fn one_app(script: &str) -> Value {
    pod("p", "Never", &[], &[sh("app", script)])
}

/// Reads lines of a stream until one contains the text; returns all of them.
fn read_until(reader: &mut impl std::io::BufRead, text: &str) -> String {
    let mut lines = String::new();
    while !lines.contains(text) {
        let before = lines.len();
        reader.read_line(&mut lines).expect("text");
        assert!(
            lines.len() > before,
            "the stream ended before `{text}`: {lines}"
        );
    }
    lines
}

/// A foreground run whose app has printed `ready`, and the rest of its output.
fn ready_in_foreground(podyard: &Instance, pod: &Value) -> (Child, BufReader<ChildStdout>) {
    let path = podyard.pod_file(pod);
    let mut run = podyard.spawn(&["run", &path]);
    let mut stdout = BufReader::new(run.stdout.take().expect("a pipe"));
    read_until(&mut stdout, "ready");
    (run, stdout)
}

fn rest(mut reader: impl std::io::Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn stdout_has_the_logs_and_stderr_the_story() {
    let podyard = Instance::new();
    let apps = [
        sh("app", "echo from app; echo more"),
        sh("beside", "sleep 0.3; echo from beside"),
    ];
    let pod = pod(
        "p",
        "Never",
        &[sh("first", "echo one"), sh("second", "echo two")],
        &apps,
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[first]  one\n[second] two\n[app]    from app\n[app]    more\n[beside] from beside\n"
    );
    assert_says(
        &output,
        0,
        &[
            "init first: running",
            "init first: completed in ",
            "init second: running",
            "init second: completed in ",
            "app app: running",
            "app beside: completed in ",
            "pod/p succeeded\n",
        ],
    );
    // It has ended and is still there to be looked at.
    assert_eq!(podyard.pod("p")["status"]["phase"], "Succeeded");
    podyard.finish();
}

#[test]
fn the_exit_code_is_the_workloads() {
    let podyard = Instance::new();
    for (pod, code, verdict) in [
        (one_app("exit 0"), 0, "pod/p succeeded"),
        (
            one_app("exit 42"),
            42,
            "container `app` ended with exit code 42",
        ),
        (
            pod(
                "p",
                "Never",
                &[sh("first", "exit 0"), sh("second", "exit 7")],
                &[sh("app", "exit 3")],
            ),
            7,
            "container `second` ended with exit code 7",
        ),
    ] {
        let output = podyard.foreground(&pod, &["--rm"]);
        assert_says(&output, code, &[verdict]);
        // --rm: nothing is left of it, not even its name.
        assert_says(&podyard.run(&["get", "pod", "p"]), 3, &["not found"]);
        podyard.assert_nothing_left();
    }
    podyard.finish();
}

#[test]
fn a_killed_container_has_the_signals_code() {
    let podyard = Instance::new();
    let (mut run, stdout) = ready_in_foreground(&podyard, &one_app("echo ready; exec sleep 4321"));
    let processes = podyard.machine().processes();
    let sleep = processes
        .iter()
        .find(|process| process.command == "sleep 4321")
        .unwrap_or_else(|| panic!("the container's process is among {processes:?}"));
    assert!(Instance::kill(sleep.id));
    assert_eq!(rest(stdout), "");
    assert_eq!(run.wait().expect("a child").code(), Some(137));
    let pod = podyard.pod("p");
    let ended = &container(&pod, "app")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(137), &json!("Error"))
    );
    podyard.finish();
}

#[test]
fn a_container_out_of_memory_says_so() {
    let podyard = Instance::new();
    let eats = with(
        sh("app", "text=x; while :; do text=$text$text; done"),
        json!({"resources": {"limits": {"memory": "16Mi"}}}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[eats]), &[]);
    assert_says(&output, 137, &["container `app`", "137 (OOMKilled)"]);
    podyard.finish();
}

/// Of one of its children, that is: the container itself goes on, and the kernel's word about it is the cgroup's.
#[test]
fn a_child_out_of_memory_counts_as_well() {
    let podyard = Instance::new();
    let eats = with(
        sh(
            "app",
            "head -c 64m /dev/zero | tail > /dev/null; echo survived",
        ),
        json!({"resources": {"limits": {"memory": "16Mi"}}}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[eats]), &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("survived"), "{output:?}");
    let pod = podyard.pod("p");
    let ended = &container(&pod, "app")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(0), &json!("OOMKilled"))
    );
    podyard.finish();
}

#[test]
fn lines_appear_while_the_container_runs() {
    let podyard = Instance::new();
    let script = "echo ready; until [ -e /d/go ]; do sleep 0.02; done; echo done";
    let (mut run, stdout) = ready_in_foreground(&podyard, &one_app(script));
    podyard.touch("p", "d", "go");
    assert_eq!(rest(stdout), "[app] done\n");
    assert_eq!(run.wait().expect("a child").code(), Some(0));
    podyard.finish();
}

#[test]
fn ctrl_c_lets_the_pod_end_in_peace() {
    let podyard = Instance::new();
    let script = "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (run, stdout) = ready_in_foreground(&podyard, &one_app(script));
        let id = i32::try_from(run.id()).expect("small");
        assert!(Instance::signal(id, signal));
        assert_eq!(rest(stdout), "[app] goodbye\n", "{signal}");
        let output = run.wait_with_output().expect("a child");
        assert_says(
            &output,
            code,
            &["stopping pod `p`; Ctrl-C again kills it", "pod/p deleted"],
        );
        podyard.assert_nothing_left();
    }
    podyard.finish();
}

#[test]
fn a_second_ctrl_c_kills() {
    let podyard = Instance::new();
    let stubborn = with_spec(
        one_app("trap 'echo no' TERM; echo ready; while :; do sleep 0.02; done"),
        json!({"terminationGracePeriodSeconds": 3600}),
    );
    let (mut run, mut stdout) = ready_in_foreground(&podyard, &stubborn);
    let id = i32::try_from(run.id()).expect("small");
    assert!(Instance::signal(id, "INT"));
    read_until(&mut stdout, "no");
    assert!(Instance::signal(id, "INT"));
    let output = {
        drop(rest(stdout));
        let mut text = Vec::new();
        let mut stderr = run.stderr.take().expect("a pipe");
        stderr.read_to_end(&mut text).expect("text");
        std::process::Output {
            status: run.wait().expect("a child"),
            stdout: Vec::new(),
            stderr: text,
        }
    };
    assert_says(
        &output,
        130,
        &["stopping pod `p`", "killing pod `p`", "deleted"],
    );
    podyard.assert_nothing_left();
    podyard.finish();
}

/// Its processes cannot be killed for the moment, so that the second Ctrl-C does not end it.
#[test]
fn a_third_ctrl_c_leaves_the_rest_to_the_supervisor() {
    let podyard = Instance::new();
    let stubborn = with_spec(
        one_app("trap 'echo no' TERM; echo ready; while :; do sleep 0.02; done"),
        json!({"terminationGracePeriodSeconds": 3600}),
    );
    let (mut run, mut stdout) = ready_in_foreground(&podyard, &stubborn);
    let id = i32::try_from(run.id()).expect("small");
    assert!(Instance::signal(id, "INT"));
    read_until(&mut stdout, "no");
    // A supervisor that does not move takes no wish and kills nobody.
    let supervisor = podyard.supervisor("p");
    assert!(Instance::signal(supervisor, "STOP"));
    let mut stderr = BufReader::new(run.stderr.take().expect("a pipe"));
    read_until(&mut stderr, "stopping pod `p`");
    assert!(Instance::signal(id, "INT"));
    read_until(&mut stderr, "killing pod `p`");
    assert!(Instance::signal(id, "INT"));
    let last = rest(stderr);
    assert!(
        last.contains("leaving pod `p` to its supervisor, which goes on killing it"),
        "{last}"
    );
    assert_eq!(run.wait().expect("a child").code(), Some(130));
    assert!(Instance::signal(supervisor, "CONT"));
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn the_pod_goes_on_when_only_its_viewer_is_killed() {
    let podyard = Instance::new();
    let script = "echo ready; until [ -e /d/go ]; do sleep 0.02; done; echo done; exit 5";
    let (mut run, _stdout) = ready_in_foreground(&podyard, &one_app(script));
    run.kill().expect("it runs");
    run.wait().expect("a child");
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Failed");
    assert_eq!(podyard.logs("p", "app"), "ready\ndone\n");
    podyard.finish();
}

#[test]
fn a_reader_that_leaves_ends_the_pod() {
    let podyard = Instance::new();
    let script = "trap 'exit 0' TERM; echo ready; while :; do echo line; sleep 0.02; done";
    let (run, stdout) = ready_in_foreground(&podyard, &one_app(script));
    drop(stdout);
    let output = run.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn detached_it_returns_and_the_pod_runs() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&one_app(HANG));
    assert_eq!(podyard.ok(&["run", "-d", &path]), "pod/p created\n");
    podyard.wait_for_phase("p", "Running");
    let again = podyard.run(&["run", "-d", &path]);
    assert_says(
        &again,
        4,
        &["pod `p` exists already", "hint:", "podyard delete pod p"],
    );
    podyard.finish();
}

#[test]
fn a_manifest_can_come_from_stdin() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&one_app("echo hello"));
    let output = podyard
        .command(&["run", "-f", "-"])
        .stdin(std::fs::File::open(path).expect("manifest"))
        .stdout(Stdio::piped())
        .output()
        .expect("podyard");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[app] hello\n");
    podyard.finish();
}

#[test]
fn a_terminal_shows_a_view_that_is_redrawn() {
    let podyard = Instance::new();
    let wait = |file: &str| format!("until [ -e /d/{file} ]; do sleep 0.02; done");
    let pod = pod(
        "p",
        "Never",
        &[sh("first", &wait("one")), sh("second", &wait("two"))],
        &[sh("app", "echo hello; exit 3")],
    );
    let path = podyard.pod_file(&pod);
    let terminal = podyard.on_terminal(&["run", &path]);
    let line = |name: &str| {
        let screen = terminal.screen();
        let of_it: Vec<&String> = screen.iter().filter(|line| line.contains(name)).collect();
        assert!(of_it.len() < 2, "{name} is there twice: {screen:#?}");
        of_it.first().map_or(String::new(), |line| (*line).clone())
    };
    eventually("the first runs", || {
        line("first").contains("running").then_some(())
    });
    podyard.touch("p", "d", "one");
    eventually("the second runs", || {
        line("second").contains("running").then_some(())
    });
    // In place: the same line says now that the first has completed.
    assert!(line("first").contains("completed"), "{}", line("first"));
    podyard.touch("p", "d", "two");
    let (status, screen, bytes) = terminal.wait();
    assert_eq!(status.code(), Some(3), "{screen:#?}");
    assert!(bytes.contains("\u{1b}["), "nothing was redrawn: {bytes:?}");
    let text = screen.join("\n");
    for part in ["[app]    hello", "container `app` ended with exit code 3"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    podyard.finish();
}

#[test]
fn ctrl_c_on_a_terminal_is_a_key() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&one_app(READY));
    let mut terminal = podyard.on_terminal(&["run", &path]);
    terminal.wait_for("[app] ready");
    terminal.type_keys(b"\x03");
    let (status, screen, _) = terminal.wait();
    assert_eq!(status.code(), Some(130), "{screen:#?}");
    podyard.assert_nothing_left();
    podyard.finish();
}
