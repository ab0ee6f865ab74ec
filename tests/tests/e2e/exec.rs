//! `podyard exec`: a command in a container, with our streams, our terminal, and its exit code.

use std::io::Write as _;
use std::process::Stdio;

use podyard_e2e::manifest::{HANG, pod, sh, with};
use podyard_e2e::{Instance, assert_says, eventually};
use serde_json::json;

fn running() -> Instance {
    let podyard = Instance::new();
    let app = with(
        sh("app", &format!("cd /d; {HANG}")),
        json!({
            "env": [{"name": "GREETING", "value": "hello"}],
            "workingDir": "/d",
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
        }),
    );
    let beside = sh("beside", HANG);
    podyard.start(&pod("p", "Always", &[], &[app, beside]));
    podyard.wait_for_condition("p", "Ready");
    podyard
}

#[test]
fn the_exit_code_is_the_commands() {
    let podyard = running();
    let cases: [(&[&str], i32); 6] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["nosuch"], 127),
        (&["/etc/passwd"], 126),
    ];
    for (command, code) in cases {
        let output = podyard.run(&[&["exec", "p", "-c", "app", "--"], command].concat());
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
    }
    assert_says(
        &podyard.run(&["exec", "p", "-c", "app", "--", "nosuch"]),
        127,
        &["executable file not found in $PATH"],
    );
    podyard.finish();
}

#[test]
fn it_is_in_the_container() {
    let podyard = running();
    let script = "echo $GREETING; pwd; id -u; hostname; readlink /proc/1/exe >/dev/null || true; echo err >&2";
    let output = podyard.run(&["exec", "p", "-c", "app", "--", "sh", "-c", script]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "hello\n/d\n1000\np\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    // Without -c the first one, and it says so.
    let output = podyard.run(&["exec", "p", "--", "id", "-u"]);
    assert_says(
        &output,
        0,
        &["Defaulted container \"app\" out of: app, beside"],
    );
    assert_eq!(output.stdout, b"1000\n");
    assert_eq!(
        podyard.ok(&["exec", "p", "-c", "beside", "--", "id", "-u"]),
        "0\n"
    );
    podyard.finish();
}

#[test]
fn stdin_reaches_the_command_and_its_end_does_too() {
    let podyard = running();
    let megabyte: Vec<u8> = (0..1 << 20).map(|byte: u32| (byte % 251) as u8).collect();
    let mut exec = podyard
        .command(&["exec", "-i", "p", "-c", "app", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("podyard starts");
    let mut stdin = exec.stdin.take().expect("a pipe");
    let written = megabyte.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&written));
    let output = exec.wait_with_output().expect("a child");
    writer
        .join()
        .expect("no panic")
        .expect("all of it is taken");
    assert!(output.status.success(), "{}", output.status);
    assert!(
        output.stdout == megabyte,
        "{} bytes came back",
        output.stdout.len()
    );
    // Without -i, a command that reads finds the end at once.
    assert_eq!(podyard.ok(&["exec", "p", "-c", "app", "--", "cat"]), "");
    podyard.finish();
}

#[test]
fn a_terminal_is_a_terminal() {
    let podyard = running();
    let mut terminal = podyard.on_terminal(&["exec", "-it", "p", "-c", "app", "--", "sh"]);
    terminal.wait_for("$");
    terminal.type_keys(b"tty; stty size\r");
    terminal.wait_for("/dev/pts/");
    // As large as ours.
    terminal.wait_for("40 120");
    // Ctrl-C is for the command, not for us.
    terminal.type_keys(b"sleep 1000\r");
    eventually("the sleep runs", || {
        let listed = podyard.ok(&["exec", "p", "-c", "app", "--", "ps"]);
        listed.contains("sleep 1000").then_some(())
    });
    terminal.type_keys(b"\x03");
    terminal.type_keys(b"exit 9\r");
    let (status, screen, _) = terminal.wait();
    assert_eq!(status.code(), Some(9), "{screen:#?}");
    podyard.finish();
}

#[test]
fn a_pod_that_has_ended_runs_nothing() {
    let podyard = Instance::new();
    let output = podyard.foreground(&pod("p", "Never", &[], &[sh("app", "true")]), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_says(
        &podyard.run(&["exec", "p", "--", "true"]),
        1,
        &["cannot exec in a container of a completed pod; current phase is Succeeded"],
    );
    podyard.finish();
}

#[test]
fn what_exec_left_goes_with_the_container() {
    let podyard = running();
    podyard.ok(&[
        "exec",
        "p",
        "-c",
        "app",
        "--",
        "sh",
        "-c",
        "sleep 12345 >/dev/null 2>&1 & exit 0",
    ]);
    let is_there = || {
        let processes = podyard.machine().processes();
        processes
            .iter()
            .any(|process| process.command == "sleep 12345")
    };
    assert!(is_there());
    podyard.ok(&["delete", "pod", "p", "--force"]);
    assert!(!is_there());
    podyard.finish();
}
