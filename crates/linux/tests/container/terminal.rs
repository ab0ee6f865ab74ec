//! Terminals: a container's own, and one for an exec.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use podyard_linux::{ContainerPlan, ExecPlan, Launch, Stdio};

use crate::world::{PATIENCE, Pod, string, strings};

tests![
    a_terminal_is_the_containers_own,
    the_size_is_set_before_the_program_runs,
    the_terminal_belongs_to_the_containers_user,
    what_is_typed_arrives_and_control_characters_are_signals,
    an_exec_can_have_a_terminal,
    a_root_without_devpts_has_no_terminal,
];

/// Reads until the other side is closed, which a terminal tells by an error.
pub(crate) fn read_all(mut master: File) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        all.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&all).replace("\r\n", "\n")
}

/// Takes the terminal of a launch that is ready, and lets it run.
fn terminal(launch: &mut Launch) -> File {
    launch.wait_ready().unwrap();
    let master: OwnedFd = launch.take_terminal().expect("a terminal");
    assert!(launch.take_terminal().is_none(), "only once");
    launch.wait_running().unwrap();
    File::from(master)
}

fn on_terminal(
    pod: &Pod,
    script: &str,
    size: Option<(u16, u16)>,
    change: impl FnOnce(&mut ContainerPlan<'_>),
) -> String {
    let mut running = pod
        .spawn(&["sh", "-c", script], |plan| {
            plan.stdio = Stdio::Terminal { size };
            change(plan);
        })
        .unwrap();
    let printed = read_all(terminal(&mut running.launch));
    assert_eq!(running.finish().code(), 0, "{printed}");
    printed
}

fn a_terminal_is_the_containers_own() {
    let pod = Pod::new();
    let printed = on_terminal(
        &pod,
        "tty; ls -1 /dev/pts; stat -c '%t:%T' /dev/console; test -t 0 -a -t 1 -a -t 2 && echo all",
        None,
        |_| {},
    );
    assert_eq!(printed, "/dev/pts/0\n0\nptmx\n88:0\nall\n");
}

fn the_size_is_set_before_the_program_runs() {
    let pod = Pod::new();
    let printed = on_terminal(&pod, "stty size", Some((132, 43)), |_| {});
    assert_eq!(printed, "43 132\n");
}

fn the_terminal_belongs_to_the_containers_user() {
    let pod = Pod::new();
    let printed = on_terminal(
        &pod,
        "stat -c '%u %a' /dev/pts/0; echo open >/dev/pts/0; echo tty >/dev/tty",
        None,
        |plan| plan.user.uid = 1000,
    );
    assert_eq!(printed, "1000 620\nopen\ntty\n");
}

fn what_is_typed_arrives_and_control_characters_are_signals() {
    let pod = Pod::new();
    let script =
        "trap 'echo interrupted; exit 3' INT; read line; echo \"[$line]\"; sleep 1000 & wait";
    let mut running = pod
        .spawn(&["sh", "-c", script], |plan| {
            plan.stdio = Stdio::Terminal { size: None };
        })
        .unwrap();
    let mut master = terminal(&mut running.launch);
    master.write_all(b"typed\n").unwrap();
    let mut printed = String::new();
    while !printed.contains("[typed]") {
        let mut buffer = [0; 256];
        let count = master.read(&mut buffer).unwrap();
        printed.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    master.write_all(b"\x03").unwrap();
    let rest = read_all(master);
    assert!(rest.contains("interrupted"), "{rest:?}");
    assert_eq!(running.finish().code(), 3);
}

fn an_exec_can_have_a_terminal() {
    let pod = Pod::new();
    let container = pod.start(&["sleep", "1000"], |_| {});
    let mut plan = ExecPlan::new(
        container.process(),
        strings(&["/bin/sh", "-c", "tty; stty size; stat -c %u /dev/pts/0"]),
        Stdio::Terminal {
            size: Some((80, 24)),
        },
    );
    plan.env = vec![string("PATH=/bin")];
    plan.user.uid = 7;
    let mut launch = plan.spawn().unwrap();
    let printed = read_all(terminal(&mut launch));
    assert_eq!(printed, "/dev/pts/0\n24 80\n7\n");
    assert!(launch.process.wait_exited(Some(PATIENCE)).unwrap());
    assert_eq!(launch.process.reap().unwrap().map(|s| s.code()), Some(0));
}

fn a_root_without_devpts_has_no_terminal() {
    let pod = Pod::new();
    let error = pod.failure(&["true"], |plan| {
        plan.stdio = Stdio::Terminal { size: None };
        plan.mounts
            .retain(|mount| !mount.destination.starts_with("/dev/pts"));
    });
    assert_eq!(error.stage, podyard_linux::Stage::Terminal);
}
