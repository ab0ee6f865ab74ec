//! The commands on a pod: `get`, `describe`, `events`, `timeline`, `delete`.

use std::time::Instant;

use podyard_e2e::manifest::{HANG, POLITE, nth, pod, sh, with_spec};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

fn running(podyard: &Instance, name: &str, script: &str) {
    let init = sh("i1", "echo from init");
    podyard.start(&pod(name, "Always", &[init], &[sh("app", script)]));
    podyard.wait_for_condition(name, "Ready");
}

#[test]
fn get_lists_pods_in_every_form() {
    let podyard = Instance::new();
    assert_says(
        &podyard.run(&["get", "pods"]),
        0,
        &["No resources found in default namespace."],
    );
    running(&podyard, "one", HANG);
    running(&podyard, "two", HANG);
    let words = |text: &str| -> Vec<Vec<String>> {
        text.lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let table = words(&podyard.ok(&["get", "pods"]));
    assert_eq!(table[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(table[1][..4], ["one", "1/1", "Running", "0"]);
    assert_eq!(table[2][..4], ["two", "1/1", "Running", "0"]);

    let wide = words(&podyard.ok(&["get", "pods", "-o", "wide"]));
    assert_eq!(wide[0][5..7], ["IP", "NODE"]);
    let address = podyard.pod("one")["status"]["podIP"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(wide[1][5], address);

    assert_eq!(
        podyard.ok(&["get", "pods", "-o", "name"]),
        "pod/one\npod/two\n"
    );
    let list = podyard.json(&["get", "pods", "-o", "json"]);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("List"), &json!("v1"))
    );
    assert_eq!(list["items"][1]["metadata"]["name"], "two");
    let yaml = podyard.ok(&["get", "pod", "one", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: v1\nkind: Pod\n"), "{yaml}");
    // What it prints can be run.
    podyard.ok(&["delete", "pod", "one", "--force"]);
    let again = podyard.manifest("again.yaml", &yaml);
    podyard.ok(&["run", "-d", &again]);
    podyard.wait_for_condition("one", "Ready");
    podyard.finish();
}

#[test]
fn get_watch_prints_changes() {
    let podyard = Instance::new();
    let wait = "until [ -e /d/go ]; do sleep 0.02; done";
    podyard.start(&pod("p", "Never", &[sh("i1", wait)], &[sh("app", wait)]));
    podyard.wait_for("p", "the init container", |pod| {
        container(pod, "i1")["state"]["running"].is_object()
    });
    let watch = podyard.spawn(&["get", "pod", "p", "-w"]);
    let id = i32::try_from(watch.id()).expect("small");
    podyard.ok(&["exec", "p", "-c", "i1", "--", "touch", "/d/go"]);
    podyard.wait_for_phase("p", "Succeeded");
    podyard.ok(&["delete", "pod", "p"]);
    assert!(Instance::signal(id, "INT"));
    let output = watch.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let statuses: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(statuses[..2], ["STATUS", "Init:0/1"], "{text}");
    assert!(statuses.contains(&"Completed"), "{text}");
    podyard.finish();
}

#[test]
fn describe_says_first_how_it_is() {
    let podyard = Instance::new();
    let init = sh("i1", "echo why >&2; exit 7");
    podyard.start(&pod("p", "Always", &[init], &[sh("app", HANG)]));
    podyard.wait_for("p", "back-off", |pod| {
        container(pod, "i1")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let text = podyard.ok(&["describe", "pod", "p"]);
    assert!(
        text.starts_with(
            "Verdict:      initialising: init container `i1` (1 of 1) failed with exit code 7"
        ),
        "{text}"
    );
    let mut rest = text.as_str();
    for part in [
        "Name:         p\n",
        "Namespace:    default\n",
        "Init Containers:\n  i1:\n",
        "State:          Waiting\n      Reason:       CrashLoopBackOff\n",
        "Last State:     Terminated\n      Reason:       Error\n      Exit Code:    7\n",
        "Containers:\n  app:\n",
        "Conditions:\n",
        "Volumes:\n  d:\n",
        "Events:\n",
        "Back-off restarting failed container i1",
    ] {
        let found = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part} is missing in:\n{text}"));
        rest = &rest[found + part.len()..];
    }
    podyard.finish();
}

#[test]
fn events_and_timeline_tell_the_story() {
    let podyard = Instance::new();
    let pod = pod(
        "p",
        "Never",
        &[sh("i1", "sleep 0.05")],
        &[sh("app", "exit 3")],
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let list = podyard.json(&["events", "p", "-o", "json"]);
    let told: Vec<(&str, &str)> = list["items"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| {
            assert_eq!(event["involvedObject"]["name"], "p");
            let text = |value: &'_ Value| value.as_str().map(str::len);
            assert!(text(&event["message"]).is_some());
            (
                event["reason"].as_str().expect("a reason"),
                event["involvedObject"]["fieldPath"]
                    .as_str()
                    .unwrap_or_default(),
            )
        })
        .collect();
    let (init, app) = ("spec.initContainers{i1}", "spec.containers{app}");
    assert_eq!(
        told,
        [
            ("Pulled", init),
            ("Created", init),
            ("Started", init),
            ("Pulled", app),
            ("Created", app),
            ("Started", app),
        ]
    );
    let table = podyard.ok(&["events", "p"]);
    assert!(table.starts_with("LAST SEEN"), "{table}");
    assert!(table.contains("i1: Container started"), "{table}");

    let timeline = podyard.ok(&["timeline", "p"]);
    let rows: Vec<Vec<&str>> = timeline
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0][..6],
        ["NAME", "KIND", "TRY", "START", "TOOK", "END"]
    );
    assert_eq!(rows[1][..2], ["sandbox", "sandbox"]);
    assert_eq!(rows[2][..3], ["i1", "init", "1"]);
    assert_eq!(rows[3][..3], ["app", "app", "1"]);
    podyard.finish();
}

#[test]
fn shortened_waits_are_said_aloud_everywhere() {
    let podyard = Instance::new();
    let app = sh("app", &nth("app", &["exit 1", "exit 1", HANG]));
    let path = podyard.pod_file(&pod("p", "Always", &[], &[app]));
    let output = podyard.run(&["run", "-d", &path, "--backoff", "0.001"]);
    let words = "last 0.001 of their time (--backoff)";
    assert_says(&output, 0, &["note: back-offs ", words]);
    podyard.wait_for("p", "the second restart", |pod| {
        container(pod, "app")["restartCount"] == 2
    });
    for command in [
        ["describe", "pod", "p"].as_slice(),
        &["events", "p"],
        &["timeline", "p"],
    ] {
        let text = podyard.ok(command);
        assert!(text.contains(words), "{command:?}: {text}");
    }
    let timeline = podyard.json(&["timeline", "p", "-o", "json"]);
    assert_eq!(timeline["backoffFactor"], 0.001);
    podyard.finish();
}

#[test]
fn delete_waits_for_the_end() {
    let podyard = Instance::new();
    let polite = "trap 'echo bye > /d/bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let cases: [(&str, &[&str]); 4] = [
        (polite, &["delete", "pod", "p"]),
        (polite, &["delete", "pod/p"]),
        (polite, &["delete", "-f", "FILE"]),
        (HANG, &["delete", "pods", "--all", "--now"]),
    ];
    for (script, command) in cases {
        running(&podyard, "p", script);
        let file = podyard.root().join("p.yaml");
        let words: Vec<&str> = command
            .iter()
            .map(|word| {
                if *word == "FILE" {
                    file.to_str().expect("UTF-8")
                } else {
                    word
                }
            })
            .collect();
        assert_eq!(
            podyard.ok(&words),
            "pod \"p\" deleted from default namespace\n"
        );
        // Not a moment later.
        assert_eq!(podyard.machine().left_behind(), [""; 0], "{command:?}");
    }
    podyard.finish();
}

#[test]
fn delete_kills_after_the_grace_and_at_once_by_force() {
    let podyard = Instance::new();
    let stubborn = with_spec(
        pod(
            "p",
            "Always",
            &[],
            &[sh("app", &format!("echo ready; {HANG}"))],
        ),
        json!({"terminationGracePeriodSeconds": 600}),
    );
    let limits: [(&[&str], u64); 3] = [
        (&["--grace-period", "1"], 30),
        (&["--now"], 30),
        (&["--force"], 30),
    ];
    for (flags, limit) in limits {
        podyard.start(&stubborn);
        podyard.wait_for_log("p", "app", "ready");
        let began = Instant::now();
        podyard.ok(&[&["delete", "pod", "p"], flags].concat());
        // Far from the ten minutes of its own.
        assert!(began.elapsed().as_secs() < limit, "{flags:?}");
        podyard.assert_nothing_left();
    }
    // A second, shorter grace ends the first one early.
    podyard.start(&stubborn);
    podyard.wait_for_log("p", "app", "ready");
    podyard.ok(&["delete", "pod", "p", "--wait=false"]);
    let pod = podyard.wait_for("p", "its deletion", |pod| {
        pod["metadata"]["deletionTimestamp"].is_string()
    });
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 600);
    let table = podyard.ok(&["get", "pods"]);
    assert!(table.contains("Terminating"), "{table}");
    podyard.ok(&["delete", "pod", "p", "--force"]);
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn delete_takes_a_pod_in_any_state() {
    let podyard = Instance::new();
    let never_pulled = {
        let mut app = sh("app", "true");
        app["image"] = json!("nosuch:tag");
        app["imagePullPolicy"] = json!("Never");
        app
    };
    for (what, app, is_there) in [
        (
            "waits for its image",
            never_pulled,
            &(|pod: &Value| {
                container(pod, "app")["state"]["waiting"]["reason"] == "ErrImageNeverPull"
            }) as &dyn Fn(&Value) -> bool,
        ),
        ("backs off", sh("app", "exit 1"), &|pod: &Value| {
            container(pod, "app")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        }),
        ("runs", sh("app", POLITE), &|pod: &Value| {
            container(pod, "app")["state"]["running"].is_object()
        }),
    ] {
        podyard.start(&pod("p", "Always", &[], &[app]));
        podyard.wait_for("p", what, is_there);
        podyard.ok(&["delete", "pod", "p"]);
        assert_eq!(podyard.machine().left_behind(), [""; 0], "{what}");
    }
    let output = podyard.foreground(&pod("p", "Never", &[], &[sh("app", "exit 1")]), &[]);
    assert_eq!(output.status.code(), Some(1));
    podyard.ok(&["delete", "pod", "p"]);
    assert_eq!(podyard.machine().left_behind(), [""; 0], "has ended");
    podyard.finish();
}

/// Whoever looks at a pod that is just being accepted must not get in its way.
#[test]
fn a_pod_may_be_looked_at_while_it_starts() {
    let podyard = Instance::new();
    let pods = 12;
    for number in 0..pods {
        let name = format!("p{number}");
        let script = nth("app", &["exit 0"]);
        let path = podyard.pod_file(&pod(&name, "Never", &[], &[sh("app", &script)]));
        let run = podyard.spawn(&["run", "-d", &path]);
        let lookers: Vec<_> = (0..3).map(|_| podyard.spawn(&["get", "pods"])).collect();
        let output = run.wait_with_output().expect("a child");
        assert!(output.status.success(), "{output:?}");
        for looker in lookers {
            let output = looker.wait_with_output().expect("a child");
            assert!(output.status.success(), "{output:?}");
        }
    }
    for number in 0..pods {
        podyard.wait_for_phase(&format!("p{number}"), "Succeeded");
    }
    podyard.finish();
}

#[test]
fn two_instances_do_not_know_each_other() {
    let (one, two) = (Instance::new(), Instance::new());
    running(&one, "p", &format!("echo one; {HANG}"));
    running(&two, "p", &format!("echo two; {HANG}"));
    assert_eq!(one.wait_for_log("p", "app", "\n"), "one\n");
    assert_eq!(two.wait_for_log("p", "app", "\n"), "two\n");
    assert_ne!(one.roots().instance(), two.roots().instance());
    one.ok(&["delete", "pods", "--all", "--force"]);
    one.assert_nothing_left();
    assert_eq!(two.pod("p")["status"]["phase"], "Running");
    two.ok(&["exec", "p", "--", "true"]);
    // The environment names an instance as well as the flag does.
    let listed = std::process::Command::new(podyard_e2e::binary())
        .args(["get", "pods", "-o", "name"])
        .env("PODYARD_ROOT", two.root())
        .output()
        .expect("podyard");
    assert_eq!(listed.stdout, b"pod/p\n");
    one.finish();
    two.finish();
}

/// In a network namespace that nobody else uses, not a rule, a route or an interface is left.
#[test]
fn the_network_is_as_before() {
    let podyard = Instance::new();
    let path = podyard.pod_file(&pod(
        "p",
        "Never",
        &[sh("i1", "true")],
        &[sh("app", "ip -o addr")],
    ));
    let state = "nft list ruleset; ip -o link; ip -o addr; ip route show table all; ip -6 route show table all; ip neigh";
    let script = format!(
        "ip link set lo up; before=$({state}); \"$0\" --root \"$1\" run \"$2\" >&2 || exit 9; \
         \"$0\" --root \"$1\" delete pod p >&2 || exit 8; after=$({state}); \
         [ \"$before\" = \"$after\" ] || {{ echo \"$before\"; echo ---; echo \"$after\"; exit 7; }}"
    );
    let output = std::process::Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .arg(podyard_e2e::binary())
        .arg(podyard.root())
        .arg(&path)
        .output()
        .expect("unshare");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    eventually("nothing else is left", || {
        podyard.machine().left_behind().is_empty().then_some(())
    });
    podyard.finish();
}

/// The pod's own processes work in the root directory, and must find what was named from elsewhere.
#[test]
fn the_state_directory_can_be_named_from_where_one_is() {
    let podyard = Instance::new();
    let parent = podyard.root().parent().expect("a parent");
    let name = podyard.root().file_name().expect("a name");
    let file = podyard.pod_file(&pod("p", "Never", &[], &[sh("app", "echo here")]));
    let relative = |arguments: &[&str]| {
        let output = std::process::Command::new(podyard_e2e::binary())
            .current_dir(parent)
            .arg("--root")
            .arg(name)
            .args(arguments)
            .output()
            .expect("podyard runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    relative(&["run", "-d", &file]);
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(relative(&["logs", "p"]), "here\n");
    relative(&["delete", "pod", "p"]);
    podyard.finish();
}
