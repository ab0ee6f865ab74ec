//! `podyard apply`: objects that are kept by name, what pods see of them, and pods that are started once.

use podyard_e2e::manifest::{POLITE, READY, claim, config_map, pod, sh, with, with_spec};
use podyard_e2e::{Instance, assert_says, container, eventually};
use serde_json::{Value, json};

fn file(podyard: &Instance, objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    // Of a text that begins with a brace, all would be JSON.
    podyard.manifest("objects.yaml", &format!("---\n{}", texts.join("\n---\n")))
}

fn apply(podyard: &Instance, objects: &[Value]) -> String {
    let path = file(podyard, objects);
    podyard.ok(&["apply", "-f", &path])
}

#[test]
fn an_object_is_created_configured_and_left_alone() {
    let podyard = Instance::new();
    let first = config_map("settings", json!({"a": "1"}));
    assert_eq!(
        apply(&podyard, std::slice::from_ref(&first)),
        "configmap/settings created\n"
    );
    let before = podyard.json(&["get", "cm", "settings", "-o", "json"]);
    assert_eq!(
        apply(&podyard, std::slice::from_ref(&first)),
        "configmap/settings unchanged\n"
    );
    let same = podyard.json(&["get", "cm", "settings", "-o", "json"]);
    assert_eq!(before, same);

    let second = config_map("settings", json!({"a": "2"}));
    assert_eq!(
        apply(&podyard, &[second]),
        "configmap/settings configured\n"
    );
    let after = podyard.json(&["get", "configmap/settings", "-o", "json"]);
    assert_eq!(after["data"]["a"], "2");
    let metadata = |object: &Value, field: &str| object["metadata"][field].clone();
    for kept in ["uid", "creationTimestamp"] {
        assert!(metadata(&before, kept).is_string(), "{before}");
        assert_eq!(metadata(&before, kept), metadata(&after, kept), "{kept}");
    }
    assert_ne!(
        metadata(&before, "resourceVersion"),
        metadata(&after, "resourceVersion")
    );
    podyard.finish();
}

#[test]
fn files_directories_and_standard_input_are_taken_together() {
    use std::io::Write as _;
    let podyard = Instance::new();
    let one = podyard.manifest("one.yaml", &config_map("one", json!({})).to_string());
    let directory = podyard.root().join("more");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(
        directory.join("two.json"),
        config_map("two", json!({})).to_string(),
    )
    .expect("a manifest");
    let directory = directory.to_str().expect("UTF-8").to_owned();
    let mut child = podyard
        .command(&["apply", "-f", &one, "-f", &directory, "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("podyard starts");
    let text = "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata:\r\n  name: three\r\n";
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("a child");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "configmap/one created\nconfigmap/two created\nconfigmap/three created\n"
    );
    podyard.finish();
}

#[test]
fn what_the_api_server_would_refuse_changes_nothing() {
    let podyard = Instance::new();
    let frozen = |value: &str| {
        with(
            config_map("frozen", json!({"a": value})),
            json!({"immutable": true}),
        )
    };
    apply(&podyard, &[frozen("1"), claim("data")]);
    let mut smaller = claim("data");
    smaller["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
    for (objects, line) in [
        (
            [config_map("other", json!({})), frozen("2")],
            "The ConfigMap \"frozen\" is invalid: data: Forbidden: field is immutable when `immutable` is set\n",
        ),
        (
            [config_map("other", json!({})), smaller],
            "The PersistentVolumeClaim \"data\" is invalid: spec: Forbidden: spec is immutable after creation",
        ),
    ] {
        let path = file(&podyard, &objects);
        assert_says(&podyard.run(&["apply", "-f", &path]), 2, &[line]);
        assert_says(&podyard.run(&["get", "cm", "other"]), 3, &["not found"]);
    }
    podyard.finish();
}

#[test]
fn a_dry_run_changes_nothing() {
    let podyard = Instance::new();
    let objects = [
        config_map("settings", json!({"a": "1"})),
        pod("p", "Never", &[], &[sh("app", "true")]),
    ];
    let path = file(&podyard, &objects);
    assert_eq!(
        podyard.ok(&["apply", "-f", &path, "--dry-run=client"]),
        "configmap/settings created (dry run)\npod/p created (dry run)\n"
    );
    let list = podyard.json(&["apply", "-f", &path, "--dry-run=server", "-o", "json"]);
    assert_eq!(list["items"][1]["spec"]["restartPolicy"], "Never");
    assert_eq!(podyard.ok(&["get", "pods,cm", "-o", "name"]), "");
    podyard.finish();
}

#[test]
fn named_objects_are_listed_described_and_deleted_as_kubectl_does() {
    let podyard = Instance::new();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
        "stringData": {"password": "hunter2"},
    });
    apply(
        &podyard,
        &[
            config_map("settings", json!({"a": "1", "b": "2"})),
            secret,
            claim("data"),
        ],
    );
    let table = podyard.ok(&["get", "configmaps"]);
    assert!(
        table.starts_with("NAME       DATA   AGE\nsettings   2      "),
        "{table}"
    );
    let table = podyard.ok(&["get", "secret", "-A"]);
    assert!(
        table.starts_with(
            "NAMESPACE   NAME   TYPE     DATA   AGE\ndefault     keys   Opaque   1      "
        ),
        "{table}"
    );
    let table = podyard.ok(&["get", "pvc", "--no-headers"]);
    assert!(table.starts_with("data   Bound "), "{table}");
    assert_eq!(
        podyard.ok(&["get", "cm,secrets,pvc", "-o", "name"]),
        "configmap/settings\nsecret/keys\npersistentvolumeclaim/data\n"
    );
    assert_eq!(
        podyard.ok(&["get", "secret", "keys", "-o", "jsonpath={.data.password}"]),
        "aHVudGVyMg=="
    );
    let columns = "custom-columns=KIND:.kind,NAME:.metadata.name";
    assert_eq!(
        podyard.ok(&["get", "cm/settings", "secret/keys", "-o", columns]),
        "KIND        NAME\nConfigMap   settings\nSecret      keys\n"
    );
    let text = podyard.ok(&["describe", "secret", "keys"]);
    assert!(
        text.contains("password:  7 bytes\n") && !text.contains("hunter2"),
        "{text}"
    );
    let text = podyard.ok(&["describe", "cm", "settings"]);
    assert!(text.contains("\nData\n====\na:\n----\n1\n\nb:\n"), "{text}");

    assert_eq!(
        podyard.ok(&["delete", "configmap", "settings"]),
        "configmap \"settings\" deleted from default namespace\n"
    );
    let again = podyard.run(&["delete", "cm", "settings"]);
    assert_says(&again, 3, &["configmap `settings` not found"]);
    podyard.ok(&["delete", "cm", "settings", "--ignore-not-found"]);
    podyard.ok(&["delete", "secrets", "--all"]);
    assert_eq!(podyard.ok(&["get", "cm,secrets", "-o", "name"]), "");
    podyard.finish();
}

#[test]
fn a_change_reaches_a_pod_that_runs() {
    let podyard = Instance::new();
    let app = with(
        sh("app", POLITE),
        json!({"volumeMounts": [{"name": "c", "mountPath": "/c"}]}),
    );
    let web = with_spec(
        pod("p", "Always", &[], &[app]),
        json!({"volumes": [{"name": "c", "configMap": {"name": "settings"}}]}),
    );
    assert_eq!(
        apply(
            &podyard,
            &[web.clone(), config_map("settings", json!({"a": "old"}))]
        ),
        "configmap/settings created\npod/p created\n"
    );
    podyard.wait_for_condition("p", "Ready");
    let seen = || podyard.ok(&["exec", "p", "--", "cat", "/c/a"]);
    assert_eq!(seen(), "old");
    apply(&podyard, &[config_map("settings", json!({"a": "new"}))]);
    eventually("the pod sees the new value", || {
        (seen() == "new").then_some(())
    });
    assert_eq!(container(&podyard.pod("p"), "app")["restartCount"], 0);
    podyard.finish();
}

#[test]
fn a_pod_is_started_once() {
    let podyard = Instance::new();
    let web = pod("p", "Always", &[], &[sh("app", POLITE)]);
    assert_eq!(
        apply(&podyard, std::slice::from_ref(&web)),
        "pod/p created\n"
    );
    let uid = podyard.pod("p")["metadata"]["uid"].clone();
    assert_eq!(
        apply(&podyard, std::slice::from_ref(&web)),
        "pod/p unchanged\n"
    );
    assert_eq!(podyard.pod("p")["metadata"]["uid"], uid);
    let path = file(
        &podyard,
        &[with_spec(web, json!({"restartPolicy": "OnFailure"}))],
    );
    let output = podyard.run(&["apply", "-f", &path]);
    assert_says(
        &output,
        2,
        &[
            "pod updates may not change fields",
            "hint:",
            "podyard delete pod p",
        ],
    );
    assert_eq!(podyard.pod("p")["spec"]["restartPolicy"], "Always");
    podyard.finish();
}

#[test]
fn a_claim_goes_with_its_data_and_not_while_it_is_used() {
    let podyard = Instance::new();
    let app = |script: &str| {
        with(
            sh("app", script),
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        )
    };
    let user = with_spec(
        pod(
            "p",
            "Never",
            &[],
            &[app(&format!("echo kept > /v/f; {READY}"))],
        ),
        json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}),
    );
    // A claim that comes with a pod is kept too: its data is.
    let path = file(&podyard, &[claim("data"), user]);
    podyard.ok(&["run", "-d", &path]);
    podyard.wait_for_log("p", "app", "ready");
    let kept = podyard.roots().volumes().join("default/data/f");
    assert_eq!(std::fs::read_to_string(&kept).expect("data"), "kept\n");
    let text = podyard.ok(&["describe", "pvc", "data"]);
    assert!(text.contains("Used By:       p\n"), "{text}");

    let output = podyard.run(&["delete", "pvc", "data"]);
    assert_says(
        &output,
        1,
        &["persistentvolumeclaim `data` is used by pod `p`"],
    );
    assert!(kept.exists());
    assert_eq!(
        podyard.ok(&["delete", "-f", &path]),
        "pod \"p\" deleted from default namespace\npersistentvolumeclaim \"data\" deleted from default namespace\n"
    );
    assert!(!kept.exists());
    assert_says(&podyard.run(&["get", "pvc", "data"]), 3, &["not found"]);
    podyard.finish();
}

#[test]
fn what_was_applied_is_not_missed() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "true"),
        json!({"envFrom": [{"configMapRef": {"name": "settings"}}]}),
    );
    let web = pod("p", "Never", &[], &[app]);
    let path = podyard.pod_file(&web);
    let warning = "ConfigMap \"settings\" is not among the manifests";
    let before = podyard.run(&["plan", &path]);
    assert!(
        String::from_utf8_lossy(&before.stderr).contains(warning),
        "{before:?}"
    );
    apply(&podyard, &[config_map("settings", json!({"A": "1"}))]);
    let after = podyard.run(&["plan", &path]);
    assert!(
        !String::from_utf8_lossy(&after.stderr).contains(warning),
        "{after:?}"
    );
    podyard.finish();
}
