//! An emptyDir: one for all containers of the pod, for as long as the pod lives, and not a moment longer.

use podyard_e2e::manifest::{HANG, nth, pod, sh, sidecar, with, with_spec};
use podyard_e2e::{Instance, container};
use serde_json::json;

#[test]
fn every_container_of_the_pod_shares_it() {
    let podyard = Instance::new();
    let add = |name: &str| format!("echo {name} >> /d/who");
    let pod = pod(
        "p",
        "Never",
        &[
            sh("i1", &add("i1")),
            sidecar("s", &format!("{}; touch /d/s; {HANG}", add("s"))),
            sh(
                "i2",
                &format!("until [ -e /d/s ]; do sleep 0.02; done; {}", add("i2")),
            ),
        ],
        &[
            sh("a", &format!("{}; touch /d/a", add("a"))),
            sh(
                "b",
                "until [ -e /d/a ]; do sleep 0.02; done; cat /d/who; stat -c %a /d",
            ),
        ],
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "b"), "i1\ns\ni2\na\n777\n");
    podyard.finish();
}

#[test]
fn it_outlives_containers_and_ends_with_the_pod() {
    let podyard = Instance::new();
    let app = sh("app", &nth("app", &["exit 1", "exit 1", HANG]));
    podyard.start_with(&pod("p", "Always", &[], &[app]), &["--backoff", "0.001"]);
    podyard.wait_for("p", "the third run", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 2 && app["state"]["running"].is_object()
    });
    let runs = podyard.ok(&["exec", "p", "--", "cat", "/d/app.runs"]);
    assert_eq!(runs, "run\nrun\nrun\n");
    let directory = podyard.dirs("p").volume("empty-dir", "d");
    assert_eq!(
        std::fs::read_to_string(directory.join("app.runs")).expect("on the host"),
        runs
    );
    podyard.ok(&["delete", "pod", "p", "--now"]);
    assert!(!directory.exists());
    podyard.finish();
}

#[test]
fn a_pod_that_has_ended_keeps_its_logs_but_not_its_volumes() {
    let podyard = Instance::new();
    let app = sh("app", "echo secret > /d/file; echo done");
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!podyard.dirs("p").data.join("volumes").exists());
    assert_eq!(podyard.logs("p", "app"), "done\n");
    podyard.finish();
}

#[test]
fn in_memory_it_is_a_tmpfs_of_its_size() {
    let podyard = Instance::new();
    let script = "grep ' /d ' /proc/mounts | cut -d' ' -f3; dd if=/dev/zero of=/d/file bs=64k count=64 2>&1 | grep -o 'No space left on device'; stat -c %s /d/file";
    let pod = with_spec(
        pod(
            "p",
            "Never",
            &[sh("i1", "touch /d/from-init")],
            &[sh("app", &format!("ls /d; {script}"))],
        ),
        json!({"volumes": [{"name": "d", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        podyard.logs("p", "app"),
        "from-init\ntmpfs\nNo space left on device\n1048576\n"
    );
    podyard.finish();
}

#[test]
fn a_read_only_mount_cannot_be_written_to() {
    let podyard = Instance::new();
    let reader = with(
        sh("app", "cat /d/file; echo more >> /d/file || echo refused"),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/d", "readOnly": true}]}),
    );
    let output = podyard.foreground(
        &pod("p", "Never", &[sh("i1", "echo text > /d/file")], &[reader]),
        &[],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = podyard.logs("p", "app");
    for line in [
        "text",
        "refused",
        "sh: can't create /d/file: Read-only file system",
    ] {
        assert!(log.lines().any(|printed| printed == line), "{line}: {log}");
    }
    podyard.finish();
}

#[test]
fn pods_do_not_see_each_others_volumes() {
    let podyard = Instance::new();
    podyard.start(&pod(
        "one",
        "Always",
        &[sh("i1", "echo one > /d/file")],
        &[sh("app", HANG)],
    ));
    podyard.start(&pod("two", "Always", &[], &[sh("app", HANG)]));
    podyard.wait_for_condition("one", "Ready");
    podyard.wait_for_condition("two", "Ready");
    assert_eq!(podyard.ok(&["exec", "one", "--", "ls", "/d"]), "file\n");
    assert_eq!(podyard.ok(&["exec", "two", "--", "ls", "/d"]), "");
    podyard.finish();
}
