//! `podyard wait`, for scripts: until pods are there, ready, gone, or say something in particular.

use podyard_e2e::manifest::{HANG, POLITE, pod, sh};
use podyard_e2e::{Instance, assert_says};

const GO: &str = "until [ -e /d/go ]; do sleep 0.02; done";

/// A pod `p` whose init container `i1` has started and ends when it is told to.
fn initialising() -> Instance {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[sh("i1", GO)], &[sh("app", POLITE)]));
    podyard.ok(&[
        "wait",
        "pod/p",
        "--for=jsonpath={.status.initContainerStatuses[0].state.running}",
    ]);
    podyard
}

#[test]
fn it_ends_when_the_condition_is_true() {
    let podyard = initialising();
    let ready = podyard.spawn(&["wait", "pod", "p", "--for=condition=Ready", "--timeout=1m"]);
    let running = podyard.spawn(&[
        "wait",
        "pods",
        "--all",
        "--for=jsonpath={.status.phase}=Running",
    ]);
    assert_says(
        &podyard.run(&["wait", "pod/p", "--for=condition=ready", "--timeout=0"]),
        1,
        &["error: timed out waiting for the condition on pods/p"],
    );
    podyard.ok(&["exec", "p", "-c", "i1", "--", "touch", "/d/go"]);
    for wait in [ready, running] {
        let output = wait.wait_with_output().expect("a child");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"pod/p condition met\n");
    }
    // What is true already is not waited for.
    podyard.ok(&[
        "wait",
        "pod/p",
        "--for=condition=Initialized",
        "--timeout=0",
    ]);
    podyard.finish();
}

#[test]
fn a_pods_beginning_and_end_are_waited_for() {
    let podyard = Instance::new();
    // There is nothing of podyard yet, not even a directory.
    let created = podyard.spawn(&["wait", "pod/p", "--for=create"]);
    podyard.start(&pod("p", "Never", &[], &[sh("app", GO)]));
    let output = created.wait_with_output().expect("a child");
    assert_eq!(output.stdout, b"pod/p condition met\n", "{output:?}");
    podyard.wait_for_condition("p", "Ready");
    let deleted = podyard.spawn(&["wait", "pod/p", "--for=delete"]);
    podyard.ok(&["exec", "p", "--", "touch", "/d/go"]);
    // It ends by itself, which is not yet its deletion.
    podyard.wait_for_phase("p", "Succeeded");
    podyard.ok(&["delete", "pod", "p"]);
    let output = deleted.wait_with_output().expect("a child");
    assert_eq!(output.stdout, b"pod/p condition met\n", "{output:?}");
    assert_says(
        &podyard.run(&[
            "wait",
            "pods",
            "-l",
            "app=none",
            "--for=create",
            "--timeout=0",
        ]),
        1,
        &["timed out waiting for a pod that is looked for to be created"],
    );
    // Of one that is not there nothing has to be waited for.
    assert_eq!(podyard.ok(&["wait", "pod/p", "--for=delete"]), "");
    podyard.finish();
}

#[test]
fn what_will_never_be_true_is_said_at_once() {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Never", &[], &[sh("app", GO)]));
    podyard.wait_for_condition("p", "Ready");
    let args = [
        "wait",
        "pod/p",
        "--for=jsonpath={.status.phase}=Failed",
        "--timeout=1h",
    ];
    let wait = podyard.spawn(&args);
    podyard.ok(&["exec", "p", "--", "touch", "/d/go"]);
    let output = wait.wait_with_output().expect("a child");
    let ended = "error: pod `p` has ended (Succeeded): what is waited for will not come true";
    assert_says(&output, 1, &[ended]);
    assert_says(&podyard.run(&args), 1, &[ended]);
    podyard.start(&pod("q", "Never", &[], &[sh("app", HANG)]));
    podyard.wait_for_condition("q", "Ready");
    let wait = podyard.spawn(&["wait", "pod/q", "--for=condition=Other", "--timeout=1h"]);
    podyard.ok(&["delete", "pod", "q", "--now"]);
    assert_says(
        &wait.wait_with_output().expect("a child"),
        1,
        &["error: pod `q` "],
    );
    assert_says(
        &podyard.run(&["wait", "pod/none", "--for=condition=Ready"]),
        3,
        &["pod `none` not found in namespace `default`"],
    );
    assert_says(
        &podyard.run(&["wait", "pods", "-l", "app=none", "--for=condition=Ready"]),
        3,
        &["no matching resources found"],
    );
    podyard.finish();
}

#[test]
fn it_waits_on_when_the_supervisor_dies() {
    let podyard = initialising();
    let wait = podyard.spawn(&["wait", "pod/p", "--for=condition=Ready"]);
    assert!(podyard.kill_supervisor("p"));
    podyard.ok(&["exec", "p", "-c", "i1", "--", "touch", "/d/go"]);
    let output = wait.wait_with_output().expect("a child");
    assert_eq!(output.stdout, b"pod/p condition met\n", "{output:?}");
    podyard.finish();
}
