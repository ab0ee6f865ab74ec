//! What goes wrong is said: what, where, and what to try; with an exit code from `docs/exit-codes.md`, and nothing left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt;

use podyard_e2e::manifest::{HANG, pod, sh, with};
use podyard_e2e::{Instance, assert_says, eventually};
use serde_json::{Value, json};

fn one_app(name: &str, script: &str) -> Value {
    pod(name, "Never", &[], &[sh("app", script)])
}

#[test]
fn manifests_with_errors() {
    let podyard = Instance::new();
    let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n";
    for (text, parts) in [
        (
            format!("{head}  - {{name: a, image: busybox\n"),
            &["broken.yaml:", "error:", "1 error in the manifest"][..],
        ),
        (
            format!("{head}  - {{name: a, image: busybox}}\n  intiContainers: []\n"),
            &[
                "broken.yaml:7:3: error: unknown field \"spec.intiContainers\"",
                "  7 |   intiContainers: []",
                "hint: did you mean `initContainers`?",
                "error: 1 error in the manifest",
            ],
        ),
        (
            format!("{head}  - {{name: a, image: busybox, command: [true]}}\n"),
            &[
                "broken.yaml:6:",
                "spec.containers[0].command[0]: must be a string",
                "hint: put it in quotes",
            ],
        ),
        (
            format!("{head}  - {{name: A!, image: busybox}}\n  - {{name: b}}\n"),
            &[
                "broken.yaml:6:",
                "spec.containers[0].name",
                "broken.yaml:7:",
                "spec.containers[1].image",
                "error: 2 errors in the manifest",
            ],
        ),
        (
            "apiVersion: v1\nkind: Gadget\nmetadata: {name: p}\n".to_owned(),
            &["broken.yaml:", "error: kind \"Gadget\""],
        ),
        ("\n".to_owned(), &["there is no object in here", "hint:"]),
    ] {
        let path = podyard.manifest("broken.yaml", &text);
        assert_says(&podyard.run(&["run", &path]), 2, parts);
    }
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    podyard.finish();
}

#[test]
fn things_that_do_not_exist() {
    let podyard = Instance::new();
    podyard.start(&one_app("p", HANG));
    podyard.wait_for_condition("p", "Ready");
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["run", "no-such-file.yaml"],
            &[
                "cannot read `no-such-file.yaml`",
                "No such file or directory",
                "hint: the path is relative",
            ],
        ),
        (
            &["get", "pod", "q"],
            &[
                "pod `q` not found in namespace `default`",
                "hint: `podyard get pods -A`",
            ],
        ),
        (&["logs", "q"], &["pod `q` not found"]),
        (&["exec", "q", "--", "true"], &["pod `q` not found"]),
        (&["describe", "pod", "q"], &["pod `q` not found"]),
        (&["delete", "pod", "q"], &["pod `q` not found"]),
        (
            &["logs", "p", "-c", "b"],
            &["pod `p` has no container `b`; it has app"],
        ),
        (
            &["logs", "p", "--previous"],
            &["previous terminated container \"app\" in pod \"p\" not found"],
        ),
        (&["image", "rm", "nosuch:tag"], &["no image `nosuch:tag`"]),
    ];
    for (command, parts) in cases {
        assert_says(&podyard.run(command), 3, parts);
    }
    podyard.ok(&["delete", "pod", "q", "--ignore-not-found"]);
    podyard.finish();
}

#[test]
fn wrong_command_lines() {
    let podyard = Instance::without_images();
    let cases: [&[&str]; 7] = [
        &["frobnicate"],
        &["run"],
        &["get", "deployments"],
        &["delete", "pods"],
        &["logs", "p", "--tail", "many"],
        &["logs", "p", "--since", "yesterday"],
        &["run", "x.yaml", "--backoff", "7"],
    ];
    for command in cases {
        assert_says(&podyard.run(command), 2, &["error:"]);
    }
    podyard.finish();
}

#[test]
fn an_image_that_cannot_be_had() {
    let podyard = Instance::new();
    for (policy, reason, hint) in [
        (
            "Never",
            "ErrImageNeverPull",
            "podyard image pull nosuch:tag",
        ),
        ("IfNotPresent", "ErrImagePull", "podyard image import FILE"),
    ] {
        // A registry that answers at once that there is nobody.
        let image = if policy == "Never" {
            "nosuch:tag"
        } else {
            "127.0.0.1:1/nosuch:tag"
        };
        let app = with(
            sh("app", "true"),
            json!({"image": image, "imagePullPolicy": policy}),
        );
        let path = podyard.pod_file(&pod("p", "Never", &[], &[app]));
        let mut run = podyard.spawn(&["run", &path]);
        let mut stderr = BufReader::new(run.stderr.take().expect("a pipe"));
        // Interrupted when it has said what it waits for.
        let mut said = String::new();
        while !said.contains("hint:") {
            assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
        }
        let id = i32::try_from(run.id()).expect("small");
        assert!(Instance::signal(id, "INT"));
        stderr.read_to_string(&mut said).expect("text");
        let mut output = run.wait_with_output().expect("a child");
        output.stderr = said.into_bytes();
        assert_says(
            &output,
            130,
            &["app app: waiting: ", reason, "hint:", hint, "pod/p deleted"],
        );
        podyard.assert_nothing_left();
    }
    podyard.finish();
}

#[test]
fn a_command_that_cannot_be_executed() {
    let podyard = Instance::new();
    for (command, text) in [
        (
            "/no/such",
            "exec: \"/no/such\": stat /no/such: no such file or directory",
        ),
        (
            "nosuch",
            "exec: \"nosuch\": executable file not found in $PATH",
        ),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ] {
        let app = with(sh("app", ""), json!({"command": [command]}));
        let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
        assert_says(
            &output,
            128,
            &[
                "app app: failed with exit code 128 (StartError)",
                text,
                "pod/p failed",
            ],
        );
    }
    podyard.finish();
}

#[test]
fn a_port_that_is_in_use() {
    let podyard = Instance::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let app = with(
        sh("app", HANG),
        json!({"ports": [{"containerPort": 80, "hostPort": port}]}),
    );
    let path = podyard.pod_file(&pod("p", "Never", &[], &[app]));
    let mut run = podyard.spawn(&["run", &path]);
    let events = eventually("a warning", || {
        let events = podyard.run(&["events", "p", "-o", "json"]);
        let text = String::from_utf8(events.stdout).expect("UTF-8");
        text.contains("FailedCreatePodSandBox").then_some(text)
    });
    assert!(
        events.contains(&format!(
            "host port {port}/TCP is already in use by process"
        )),
        "{events}"
    );
    // As soon as it is free, the pod goes on.
    drop(listener);
    podyard.wait_for_condition("p", "Ready");
    assert!(Instance::signal(
        i32::try_from(run.id()).expect("small"),
        "INT"
    ));
    let mut stderr = run.stderr.take().expect("a pipe");
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut stderr, &mut text).expect("text");
    let output = std::process::Output {
        status: run.wait().expect("a child"),
        stdout: Vec::new(),
        stderr: text,
    };
    assert_says(
        &output,
        130,
        &[
            "warning: FailedCreatePodSandBox: ",
            &format!("host port {port}/TCP is already in use by process"),
            "hint: take another hostPort",
            "app app: running",
            "pod/p deleted",
        ],
    );
    podyard.finish();
}

#[test]
fn a_port_that_another_pod_has() {
    let podyard = Instance::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let app = with(
        sh("app", HANG),
        json!({"ports": [{"containerPort": 80, "hostPort": port}]}),
    );
    for name in ["one", "two"] {
        podyard.start(&pod(name, "Never", &[], std::slice::from_ref(&app)));
        if name == "one" {
            podyard.wait_for_condition("one", "Ready");
        }
    }
    eventually("the second one says who has it", || {
        let events = podyard.ok(&["describe", "pod", "two"]);
        events
            .contains(&format!(
                "host port {port}/TCP is already in use by pod default/one"
            ))
            .then_some(())
    });
    podyard.ok(&["delete", "pod", "one", "--force"]);
    podyard.wait_for_condition("two", "Ready");
    podyard.finish();
}

#[test]
fn a_user_without_privileges() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&one_app("p", "true"));
    std::fs::set_permissions(podyard.root(), PermissionsExt::from_mode(0o755))
        .expect("own directory");
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let output = podyard
        .command_through(&nobody, &["run", &path])
        .output()
        .expect("setpriv");
    assert_says(
        &output,
        5,
        &[
            "cannot run a pod as this user",
            "hint: podyard needs root for this: try it with `sudo`",
        ],
    );
    assert_eq!(podyard.machine().left_behind(), [""; 0]);
    // Nor can one who is not root look into, or end, the pods of root.
    podyard.start(&one_app("p", &format!("echo secret; {HANG}")));
    podyard.wait_for_log("p", "app", "secret");
    for command in [
        &["logs", "p"][..],
        &["exec", "p", "--", "true"],
        &["delete", "pod", "p"],
    ] {
        let output = podyard
            .command_through(&nobody, command)
            .output()
            .expect("setpriv");
        assert!(!output.status.success(), "{command:?}");
        assert_eq!(output.stdout, b"", "{command:?}");
    }
    assert_eq!(podyard.pod("p")["status"]["phase"], "Running");
    podyard.finish();
}

#[test]
fn two_pods_of_one_name() {
    let podyard = Instance::new();
    podyard.start(&one_app("p", HANG));
    let path = podyard.pod_file(&one_app("p", "echo second"));
    let output = podyard.run(&["run", &path]);
    assert_says(
        &output,
        4,
        &[
            "pod `p` exists already in namespace `default` and has not ended",
            "hint: `podyard delete pod p` stops it",
        ],
    );
    // In another namespace it is another pod; and one that has ended is replaced.
    let output = podyard.run(&["run", "-n", "other", &path]);
    assert_eq!(output.stdout, b"[app] second\n");
    podyard.ok(&["delete", "pod", "p", "--force"]);
    for _ in 0..2 {
        let output = podyard.run(&["run", &path]);
        assert_eq!(output.stdout, b"[app] second\n");
    }
    podyard.finish();
}
