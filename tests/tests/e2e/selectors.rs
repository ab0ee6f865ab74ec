//! `-l` and `--field-selector`: objects by what they look like. And what else orders and labels a listing.

use podyard_e2e::manifest::{HANG, pod, sh};
use podyard_e2e::{Instance, assert_says};
use serde_json::{Value, json};

fn labelled(name: &str, labels: Value, app: &Value) -> Value {
    let mut pod = pod(name, "Never", &[], std::slice::from_ref(app));
    pod["metadata"]["labels"] = labels;
    pod
}

/// `web` and `api` run, `job` has succeeded.
fn three() -> Instance {
    let podyard = Instance::new();
    let says = |text: &str, then: &str| sh("app", &format!("echo {text}; {then}"));
    podyard.start(&labelled(
        "web",
        json!({"app": "shop", "tier": "front"}),
        &says("from web", HANG),
    ));
    podyard.start(&labelled(
        "api",
        json!({"app": "shop", "tier": "back"}),
        &says("from api", HANG),
    ));
    podyard.start(&labelled(
        "job",
        json!({"app": "clean"}),
        &says("from job", "true"),
    ));
    podyard.wait_for_condition("web", "Ready");
    podyard.wait_for_condition("api", "Ready");
    podyard.wait_for_phase("job", "Succeeded");
    podyard
}

#[test]
fn pods_are_found_by_labels_and_fields() {
    let podyard = three();
    let names = |flags: &[&str]| podyard.ok(&[&["get", "pods", "-o", "name"], flags].concat());
    for (flags, expected) in [
        (&["-l", "app=shop"][..], "pod/api\npod/web\n"),
        (&["-l", "app=shop,tier!=back"], "pod/web\n"),
        (&["-l", "tier in (back, none)"], "pod/api\n"),
        (&["--selector", "!tier"], "pod/job\n"),
        (&["-l", "app=none"], ""),
        (&["--field-selector", "status.phase=Succeeded"], "pod/job\n"),
        (
            &["-l", "app=shop", "--field-selector=metadata.name!=web"],
            "pod/api\n",
        ),
    ] {
        assert_eq!(names(flags), expected, "{flags:?}");
    }
    assert_says(
        &podyard.run(&["get", "pods", "-l", "app=none"]),
        0,
        &["No resources found in default namespace."],
    );
    assert_says(
        &podyard.run(&["get", "pods", "-l", "app=shop=x"]),
        2,
        &["unable to parse requirement `app=shop=x`: value `shop=x`"],
    );
    assert_says(
        &podyard.run(&["get", "pod", "web", "-l", "app=shop"]),
        2,
        &["name cannot be provided when a selector is specified"],
    );
    assert_says(
        &podyard.run(&["get", "pods", "--field-selector", "spec.priority=1"]),
        2,
        &["field label not supported: spec.priority"],
    );
    let text = podyard.ok(&["describe", "pods", "-l", "tier"]);
    assert_eq!(text.matches("Name:         ").count(), 2, "{text}");
    podyard.finish();
}

#[test]
fn listings_have_labels_and_an_order() {
    let podyard = three();
    let table = |flags: &[&str]| -> Vec<String> {
        let text = podyard.ok(&[&["get", "pods"], flags].concat());
        let line = |line: &str| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            // The age is that of the moment.
            words.remove(4);
            words.join(" ")
        };
        text.lines().map(line).collect()
    };
    assert_eq!(
        table(&["--show-labels", "-L", "tier"]),
        [
            "NAME READY STATUS RESTARTS TIER LABELS",
            "api 1/1 Running 0 back app=shop,tier=back",
            "job 0/1 Completed 0 app=clean",
            "web 1/1 Running 0 front app=shop,tier=front",
        ]
    );
    assert_eq!(
        table(&["--no-headers", "--sort-by={.metadata.labels.tier}"]),
        [
            "job 0/1 Completed 0",
            "api 1/1 Running 0",
            "web 1/1 Running 0",
        ]
    );
    podyard.finish();
}

#[test]
fn logs_of_several_pods_are_printed_and_followed() {
    let podyard = three();
    assert_eq!(
        podyard.ok(&["logs", "-l", "app", "--prefix"]),
        "[pod/api/app] from api\n[pod/job/app] from job\n[pod/web/app] from web\n"
    );
    let follow = podyard.spawn(&["logs", "-l", "app=shop", "-f"]);
    podyard.ok(&["delete", "pods", "-l", "app=shop", "--now"]);
    let output = follow.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["from api", "from web"], "{output:?}");
    // Only those that were selected are gone.
    assert_eq!(podyard.ok(&["get", "pods", "-o", "name"]), "pod/job\n");
    podyard.finish();
}

#[test]
fn a_watch_sees_who_becomes_what_is_looked_for() {
    let podyard = three();
    let mut watch = podyard.spawn(&[
        "get",
        "pods",
        "-w",
        "-o",
        "name",
        "--field-selector=status.phase=Failed",
    ]);
    // Whoever has failed before the first look is listed, whoever fails after it is told.
    podyard.start(&labelled("new", json!({}), &sh("app", "exit 1")));
    podyard.wait_for_phase("new", "Failed");
    let id = i32::try_from(watch.id()).expect("small");
    let mut seen = String::new();
    let stdout = watch.stdout.as_mut().expect("a pipe");
    let mut byte = [0];
    while !seen.contains("pod/new\n") {
        let read = std::io::Read::read(stdout, &mut byte).expect("readable");
        assert_eq!(read, 1, "it goes on: {seen}");
        seen.push(char::from(byte[0]));
    }
    assert!(!seen.contains("pod/web"), "{seen}");
    assert!(Instance::signal(id, "INT"));
    watch.wait().expect("a child");
    podyard.finish();
}

#[test]
fn objects_are_found_by_labels_too() {
    let podyard = Instance::new();
    let map = |name: &str, app: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app": app}},
        })
    };
    podyard.keep(&map("one", "a"));
    podyard.keep(&map("two", "b"));
    assert_eq!(
        podyard.ok(&["get", "cm", "-l", "app=b", "-o", "name"]),
        "configmap/two\n"
    );
    assert_says(
        &podyard.run(&["get", "cm", "--field-selector", "metadata.name=one"]),
        2,
        &["a configmap cannot be selected by its fields"],
    );
    podyard.ok(&["delete", "pods,cm", "-l", "app=a"]);
    assert_eq!(podyard.ok(&["get", "cm", "-o", "name"]), "configmap/two\n");
    podyard.finish();
}
