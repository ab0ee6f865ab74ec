//! Objects that come, change and go while a pod is there: what its containers see of it.

use podyard_e2e::manifest::{HANG, config_map, pod, secret, sh, with, with_spec};
use podyard_e2e::{Instance, container, eventually};
use serde_json::{Value, json};

fn exec(podyard: &Instance, script: &str) -> String {
    podyard.ok(&["exec", "p", "--", "sh", "-c", script])
}

/// Until a script in the container prints this.
fn prints(podyard: &Instance, script: &str, expected: &str) {
    eventually(&format!("`{script}` prints `{expected}`"), || {
        let output = podyard.run(&["exec", "p", "--", "sh", "-c", script]);
        (String::from_utf8_lossy(&output.stdout) == expected).then_some(())
    });
}

fn pod_with(app: Value, volumes: Value) -> Value {
    let volumes = [
        volumes.as_array().expect("a list").as_slice(),
        &[json!({"name": "d", "emptyDir": {}})],
    ];
    with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"volumes": volumes.concat()}),
    )
}

#[test]
fn volumes_follow_their_objects_and_parts_and_variables_do_not() {
    let podyard = Instance::new();
    podyard.keep(&config_map("settings", json!({"a": "old", "gone": "x"})));
    podyard.keep(&secret("keys", json!({"key": "b2xk"})));
    let app = with(
        sh("app", "until [ -e /d/end ]; do sleep 0.05; done; rm /d/end"),
        json!({
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}],
            "volumeMounts": [
                {"name": "d", "mountPath": "/d"}, {"name": "map", "mountPath": "/map"},
                {"name": "secret", "mountPath": "/secret"}, {"name": "all", "mountPath": "/all"},
                {"name": "map", "mountPath": "/part", "subPath": "a"},
            ],
        }),
    );
    let volumes = json!([
        {"name": "map", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "keys"}},
        {"name": "all", "projected": {"sources": [
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x/a"}]}}, {"secret": {"name": "keys"}}]}},
    ]);
    podyard.start_with(&pod_with(app, volumes), &["--backoff", "0.001"]);
    podyard.wait_for_condition("p", "Ready");
    let all = "for f in /map/a /secret/key /all/x/a /all/key /part; do cat $f; echo; done; ls /map; tr '\\0' '\\n' </proc/1/environ | grep ^A=";
    assert_eq!(
        exec(&podyard, all),
        "old\nold\nold\nold\nold\na\ngone\nA=old\n"
    );
    podyard.keep(&config_map("settings", json!({"a": "new", "more": "x"})));
    podyard.keep(&secret("keys", json!({"key": "bmV3"})));
    let after = "new\nnew\nnew\nnew\nold\na\nmore\nA=old\n";
    prints(&podyard, all, after);
    // The next instance begins with what there is now.
    podyard.touch("p", "d", "end");
    podyard.wait_for("p", "the next instance", |pod| {
        let app = container(pod, "app");
        app["restartCount"] == 1 && app["state"]["running"].is_object()
    });
    assert_eq!(exec(&podyard, all), after.replace("old", "new"));
    podyard.finish();
}

/// Two files that always say the same are never seen to differ by who looks through `..data` once.
#[test]
fn a_change_is_seen_as_a_whole() {
    let podyard = Instance::new();
    let settings = |value: u32| {
        config_map(
            "settings",
            json!({"a": value.to_string(), "b": value.to_string()}),
        )
    };
    podyard.keep(&settings(0));
    // The directory of a version that is no more cannot be read any more, which is no half of a version.
    let look = "while :; do cd /map/..data; a=$(cat a 2>/dev/null); b=$(cat b 2>/dev/null); \
        [ -z \"$a\" -o -z \"$b\" -o \"$a\" = \"$b\" ] || echo torn: $a $b; \
        [ \"$a\" = 100 ] && break; cd /; done; echo last";
    let app = with(
        sh("app", look),
        json!({"volumeMounts": [{"name": "map", "mountPath": "/map"}]}),
    );
    let mut pod = pod_with(
        app,
        json!([{"name": "map", "configMap": {"name": "settings"}}]),
    );
    pod["spec"]["restartPolicy"] = json!("Never");
    podyard.start(&pod);
    podyard.wait_for_condition("p", "Ready");
    for value in 1..=100 {
        podyard.keep(&settings(value));
        let file = podyard.dirs("p").volume("configmap", "map").join("a");
        eventually("the change is there", || {
            let now = std::fs::read_to_string(&file).ok()?;
            (now == value.to_string() || value == 100).then_some(())
        });
    }
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "last\n");
    podyard.finish();
}

#[test]
fn what_is_deleted_stays_in_volumes_unless_it_is_optional() {
    let podyard = Instance::new();
    let (needed, optional) = (
        config_map("needed", json!({"a": "1"})),
        config_map("optional", json!({"b": "2"})),
    );
    podyard.keep(&needed);
    let app = with(
        sh("app", HANG),
        json!({"volumeMounts": [
            {"name": "d", "mountPath": "/d"}, {"name": "needed", "mountPath": "/needed"}, {"name": "optional", "mountPath": "/optional"}]}),
    );
    let volumes = json!([
        {"name": "needed", "configMap": {"name": "needed"}},
        {"name": "optional", "configMap": {"name": "optional", "optional": true}},
    ]);
    podyard.start(&pod_with(app, volumes));
    podyard.wait_for_condition("p", "Ready");
    let all = "cat /needed/a; echo; ls /optional";
    assert_eq!(exec(&podyard, all), "1\n");
    podyard.keep(&optional);
    prints(&podyard, all, "1\nb\n");
    podyard.discard(&optional);
    prints(&podyard, all, "1\n");
    podyard.discard(&needed);
    let events = eventually("the loss is told", || {
        let events = podyard.events("p", "FailedMount");
        (!events.is_empty()).then_some(events)
    });
    assert_eq!(
        events[0]["message"],
        "MountVolume.SetUp failed for volume \"needed\" : configmap \"needed\" not found"
    );
    assert_eq!(exec(&podyard, all), "1\n");
    podyard.keep(&config_map("needed", json!({"a": "3"})));
    prints(&podyard, all, "3\n");
    podyard.finish();
}

#[test]
fn an_immutable_object_stays_what_it_was() {
    let podyard = Instance::new();
    let immutable = |value: &str| {
        with(
            config_map("fixed", json!({"a": value})),
            json!({"immutable": true}),
        )
    };
    podyard.keep(&immutable("first"));
    podyard.keep(&config_map("free", json!({"b": "first"})));
    let app = with(
        sh("app", HANG),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}, {"name": "all", "mountPath": "/all"}]}),
    );
    let volumes = json!([{"name": "all", "projected": {"sources": [
        {"configMap": {"name": "fixed"}}, {"configMap": {"name": "free"}}]}}]);
    podyard.start(&pod_with(app, volumes));
    podyard.wait_for_condition("p", "Ready");
    podyard.keep(&immutable("second"));
    podyard.keep(&config_map("free", json!({"b": "second"})));
    prints(&podyard, "cat /all/a /all/b", "firstsecond");
    podyard.finish();
}

#[test]
fn what_was_missing_ends_the_waits_for_it() {
    let podyard = Instance::new();
    let key = |name: &str, map: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": map, "key": "k"}}});
    let app = with(
        sh("app", "echo $A; cat /map/a"),
        json!({"env": [key("A", "late")], "volumeMounts": [{"name": "map", "mountPath": "/map"}]}),
    );
    let mut pod = pod_with(
        app,
        json!([{"name": "map", "configMap": {"name": "later"}}]),
    );
    pod["spec"]["restartPolicy"] = json!("Never");
    podyard.start(&pod);
    eventually("the volume is missed", || {
        (!podyard.events("p", "FailedMount").is_empty()).then_some(())
    });
    podyard.keep(&config_map("later", json!({"a": "there"})));
    podyard.wait_for("p", "the variable is missed", |pod| {
        let waiting = &container(pod, "app")["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError"
            && waiting["message"] == "secret \"late\" not found"
    });
    podyard.keep(&secret("late", json!({"k": "aGVyZQ=="})));
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "here\nthere");
    podyard.finish();
}

#[test]
fn a_change_while_nobody_supervised_is_seen_by_the_next() {
    let podyard = Instance::new();
    podyard.keep(&config_map("settings", json!({"a": "old"})));
    let app = with(
        sh("app", HANG),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}, {"name": "map", "mountPath": "/map"}]}),
    );
    podyard.start(&pod_with(
        app,
        json!([{"name": "map", "configMap": {"name": "settings"}}]),
    ));
    podyard.wait_for_condition("p", "Ready");
    let supervisor = podyard.supervisor("p");
    assert!(Instance::signal(supervisor, "STOP"));
    podyard.keep(&config_map("settings", json!({"a": "new"})));
    assert!(Instance::kill(supervisor));
    prints(&podyard, "cat /map/a", "new");
    podyard.finish();
}
