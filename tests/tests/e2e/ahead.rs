//! Containers are made before their time, and nobody can tell: what an earlier one did is there, and what waits goes with the pod.

use podyard_e2e::manifest::{HANG, nth, pod, sh, with};
use podyard_e2e::{Instance, container, eventually};
use serde_json::json;

/// Hangs until the file `go` is in its volume.
const UNTIL_GO: &str = "until test -e /d/go; do sleep 0.02; done";

/// How many cgroups of containers the pod has: one for each that runs or waits.
fn cgroups(podyard: &Instance) -> usize {
    let pod = format!("{}/pod{}", podyard.roots().cgroup(), podyard.dirs("p").uid);
    // The hierarchy of version 2, or one of version 1.
    ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"]
        .iter()
        .filter_map(|root| std::fs::read_dir(format!("{root}/{pod}")).ok())
        .map(|entries| {
            let is_directory = |entry: &std::fs::DirEntry| entry.path().is_dir();
            entries.flatten().filter(is_directory).count()
        })
        .max()
        .unwrap_or_default()
}

fn wait_until_ahead(podyard: &Instance) {
    eventually("a container that is made before its time", || {
        (cgroups(podyard) > 1).then_some(())
    });
}

#[test]
fn what_the_one_before_did_is_seen() {
    let podyard = Instance::new();
    let first = sh(
        "first",
        &format!(
            "{UNTIL_GO}; echo content > /d/file; echo 192.0.2.1 nowhere >> /etc/hosts; rm /bin/true"
        ),
    );
    let second = sh(
        "second",
        "cat /d/file; grep -c nowhere /etc/hosts; test -e /bin/true && echo whole",
    );
    let app = sh("app", "cat /d/file");
    podyard.start(&pod("p", "Never", &[first, second], &[app]));
    wait_until_ahead(&podyard);
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "second"), "content\n0\nwhole\n");
    assert_eq!(podyard.logs("p", "app"), "content\n");
    podyard.finish();
}

#[test]
fn nothing_is_told_of_one_that_waits() {
    let podyard = Instance::new();
    let first = sh("first", UNTIL_GO);
    podyard.start(&pod("p", "Never", &[first], &[sh("app", "true")]));
    wait_until_ahead(&podyard);
    let now = podyard.wait_for("p", "the init container to run", |pod| {
        container(pod, "first")["state"]["running"].is_object()
    });
    assert_eq!(
        container(&now, "app")["state"],
        json!({"waiting": {"reason": "PodInitializing"}})
    );
    assert!(podyard.events("p", "Created").len() == 1, "{now}");
    podyard.touch("p", "d", "go");
    let ended = podyard.wait_for_phase("p", "Succeeded");
    let at =
        |name: &str, state: &str| container(&ended, name)["state"]["terminated"][state].clone();
    assert!(at("app", "startedAt").as_str() >= at("first", "finishedAt").as_str());
    podyard.finish();
}

#[test]
fn one_that_waits_goes_with_the_pod() {
    let podyard = Instance::new();
    podyard.start(&pod(
        "p",
        "Never",
        &[sh("first", HANG)],
        &[sh("app", "true")],
    ));
    wait_until_ahead(&podyard);
    podyard.ok(&["delete", "pod", "p", "--grace-period", "1"]);
    podyard.finish();
}

#[test]
fn one_that_waits_is_given_up_when_its_time_does_not_come() {
    let podyard = Instance::new();
    let first = sh("first", &format!("{UNTIL_GO}; exit 3"));
    podyard.start(&pod("p", "Never", &[first], &[sh("app", "echo never")]));
    wait_until_ahead(&podyard);
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Failed");
    podyard.finish();
}

/// The child has gone with its supervisor, and what is left of it is cleared away by the next one.
#[test]
fn one_that_waits_does_not_outlive_its_supervisor() {
    let podyard = Instance::new();
    let first = sh("first", UNTIL_GO);
    podyard.start(&pod("p", "Never", &[first], &[sh("app", "echo once")]));
    wait_until_ahead(&podyard);
    podyard.kill_supervisor("p");
    eventually("the next supervisor to have cleared away", || {
        (cgroups(&podyard) == 1).then_some(())
    });
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "once\n");
    podyard.finish();
}

/// A process that waits is a copy of its supervisor, and whoever looks for the supervisor finds the supervisor only.
#[test]
fn one_that_waits_is_not_taken_for_a_supervisor() {
    let podyard = Instance::new();
    let first = sh("first", UNTIL_GO);
    podyard.start(&pod("p", "Never", &[first], &[sh("app", "true")]));
    wait_until_ahead(&podyard);
    let supervisor = podyard.supervisor("p");
    let children =
        std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))
            .expect("the supervisor's children");
    let names: Vec<String> = children
        .split_ascii_whitespace()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok())
        .collect();
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("podyard: container being made\0")),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name.contains("supervise")),
        "{names:?}"
    );
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    podyard.finish();
}

/// A ConfigMap that changes while a container waits is read as it is at the start.
#[test]
fn variables_are_those_of_the_start() {
    let podyard = Instance::new();
    let objects = podyard.roots().objects().join("configmaps/default");
    std::fs::create_dir_all(&objects).expect("directory");
    let write = |value: &str| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "data": {"k": value}});
        std::fs::write(objects.join(".new"), object.to_string()).expect("written");
        std::fs::rename(objects.join(".new"), objects.join("m.json")).expect("renamed");
    };
    write("early");
    let first = sh("first", UNTIL_GO);
    let app = with(
        sh("app", "echo $K"),
        json!({"env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}),
    );
    podyard.start(&pod("p", "Never", &[first], &[app]));
    wait_until_ahead(&podyard);
    write("late");
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "late\n");
    podyard.finish();
}

/// A supervisor that comes later knows nothing of what has been started before, and foresees nothing: what runs is left alone.
#[test]
fn what_runs_is_not_made_again_after_a_takeover() {
    let podyard = Instance::new();
    let script = |name: &str| {
        format!("echo $HOSTNAME; until test -e /d/{name}; do sleep 0.02; done; exit 1")
    };
    let apps = [
        sh("first", &nth("first", &[&script("go"), HANG])),
        sh("second", HANG),
        sh("third", HANG),
    ];
    podyard.start(&pod("p", "Always", &[], &apps));
    let before = podyard.wait_for_condition("p", "Ready");
    let last = podyard.supervisor("p");
    assert!(podyard.kill_supervisor("p"));
    eventually("the next supervisor", || {
        (podyard.supervisor("p") != last).then_some(())
    });
    podyard.touch("p", "d", "go");
    let after = podyard.wait_for("p", "the first one again", |pod| {
        let first = container(pod, "first");
        first["restartCount"] == 1 && first["state"]["running"].is_object()
    });
    // Whoever is asked answers after the containers that follow would have been made.
    podyard.ok(&["exec", "p", "-c", "first", "--", "true"]);
    let now = podyard.pod("p");
    for name in ["second", "third"] {
        assert_eq!(container(&now, name)["restartCount"], 0, "{now}");
        assert_eq!(
            container(&now, name)["containerID"],
            container(&before, name)["containerID"]
        );
        podyard.ok(&["exec", "p", "-c", name, "--", "true"]);
    }
    assert_eq!(container(&after, "first")["restartCount"], 1);
    eventually("the cgroup of the one that ended gone", || {
        (cgroups(&podyard) == apps.len()).then_some(())
    });
    podyard.ok(&["delete", "pod", "p", "--force"]);
    podyard.finish();
}

/// What this machine cannot hold a container to is told when it starts, and not when it is made.
#[test]
fn nothing_is_told_before_its_time() {
    if !std::path::Path::new("/sys/fs/cgroup/memory").is_dir() {
        return;
    }
    let podyard = Instance::new();
    let first = sh("first", UNTIL_GO);
    // Version 1 limits memory and guarantees none.
    let app = with(
        sh("app", "true"),
        json!({"resources": {"limits": {"memory": "64Mi"}}}),
    );
    let told = || podyard.messages("p", "NotEnforced").join("\n");
    podyard.start_with(&pod("p", "Never", &[first], &[app]), &["--memory-qos"]);
    wait_until_ahead(&podyard);
    assert!(!told().contains("container app"), "{}", told());
    podyard.touch("p", "d", "go");
    podyard.wait_for_phase("p", "Succeeded");
    assert!(told().contains("container app"), "{}", told());
    podyard.finish();
}
