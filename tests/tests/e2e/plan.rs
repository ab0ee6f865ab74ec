//! `podyard plan`: what would happen, without anything happening.

use podyard_e2e::{Instance, assert_says, repository};
use serde_json::Value;

fn example(name: &str) -> String {
    let path = repository().join("examples").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// A pod with every kind of gate, request and mount.
const SHOP: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  initContainers:
  - name: proxy
    image: registry.invalid/proxy:2
    restartPolicy: Always
    startupProbe: {tcpSocket: {port: 5432}, periodSeconds: 1, failureThreshold: 20}
    resources: {requests: {cpu: 100m}}
  - name: migrate
    image: busybox:latest
    command: [sh, -c, 'mkdir -p /state/schema; echo 1 > /state/schema/version']
    resources: {requests: {cpu: "1"}}
    volumeMounts: [{name: state, mountPath: /state}]
  containers:
  - name: app
    image: registry.invalid/shop:7
    imagePullPolicy: Never
    resources: {requests: {cpu: 200m}}
    ports: [{containerPort: 8000, hostPort: 8099, name: web}]
    volumeMounts: [{name: state, mountPath: /schema, subPath: schema, readOnly: true}]
  overhead: {cpu: 10m}
  volumes:
  - {name: state, emptyDir: {}}
"#;

/// Lines with their blanks folded, so that a test does not depend on the width of columns.
fn folded(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_whole_plan_as_text() {
    let podyard = Instance::new();
    let file = podyard.manifest("shop.yaml", SHOP);
    let output = podyard.run(&["plan", &file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = folded(&text);
    for expected in [
        "Pod default/shop",
        "1 proxy sidecar registry.invalid/proxy:2 its startupProbe has succeeded (TCP port 5432, every 1 s, fails after 20)",
        "2 migrate init busybox:latest it has exited with 0",
        "3 app app registry.invalid/shop:7",
        "registry.invalid/proxy:2 IfNotPresent proxy would be pulled",
        "busybox:latest Always migrate in the store",
        "registry.invalid/shop:7 Never app missing, and never pulled",
        "app 8000/TCP web *:8099",
        "state emptyDir migrate /state writes schema/version",
        "app /schema (subPath schema) reads",
        "cpu 1110m the larger of proxy 100m + app 200m (at run time) and proxy 100m + migrate 1 (during init) + overhead 10m",
        "quality of service: Burstable",
        "+ restartPolicy: Always",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "`{expected}` is missing in:\n{text}"
        );
    }
    // What the manifest sets is not marked.
    assert!(text.contains("\n    kind: Pod\n"), "{text}");
    assert!(text.contains("\n          periodSeconds: 1\n"), "{text}");
    podyard.finish();
}

/// A plan of an empty instance does not even make its directories.
#[test]
fn nothing_is_started_or_made() {
    let podyard = Instance::without_images();
    for form in [
        &[] as &[&str],
        &["-o", "yaml"],
        &["-o", "json"],
        &["-o", "svg"],
        &["--fidelity"],
    ] {
        let _ = podyard.ok(&[&["plan", &example("init-config.yaml")], form].concat());
    }
    let left: Vec<_> = std::fs::read_dir(podyard.root())
        .expect("the root")
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn objects_are_printed_with_their_defaults() {
    let podyard = Instance::without_images();
    let list = podyard.json(&["plan", "-o", "json", &example("init-config.yaml")]);
    assert_eq!(list["kind"], "List");
    let pod = &list["items"][0];
    assert_eq!(pod["kind"], "Pod");
    assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "Always");
    let yaml = podyard.ok(&["plan", "-o", "yaml", &example("init-config.yaml")]);
    assert!(yaml.starts_with("apiVersion: v1\nkind: Pod\n"), "{yaml}");
    // What is printed is a manifest: it is its own plan.
    let again = podyard.manifest("again.yaml", &yaml);
    assert_eq!(podyard.ok(&["plan", "-o", "yaml", &again]), yaml);
}

/// The equivalent of restart-pod mode for a cluster, by the annotation or by the flag; and a pod that is never restarted has none.
#[test]
fn restart_pod_mode_becomes_rules() {
    let podyard = Instance::without_images();
    let output = podyard.run(&["plan", "-o", "yaml", &example("restart-pod.yaml")]);
    assert_says(&output, 0, &["restartPolicyRules"]);
    let by_annotation = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        by_annotation
            .matches("action: RestartAllContainers")
            .count(),
        2
    );
    assert_eq!(by_annotation.matches("operator: NotIn").count(), 2);
    assert!(!by_annotation.contains("podyard.dev"), "{by_annotation}");
    // It is valid, and needs no mode of ours.
    let again = podyard.manifest("again.yaml", &by_annotation);
    assert_eq!(podyard.ok(&["plan", "-o", "yaml", &again]), by_annotation);
    let plain = podyard.ok(&["plan", "-o", "yaml", &example("database-migration.yaml")]);
    assert!(!plain.contains("RestartAllContainers"));
    let flag = ["--on-init-failure", "restart-pod"];
    let by_flag = podyard.ok(&[
        &["plan", "-o", "yaml", &example("database-migration.yaml")],
        &flag[..],
    ]
    .concat());
    assert_eq!(by_flag.matches("action: RestartAllContainers").count(), 2);
    let never = podyard.ok(&[&["plan", "-o", "yaml", &example("chain.yaml")], &flag[..]].concat());
    assert!(!never.contains("RestartAllContainers"), "{never}");
}

#[test]
fn an_invalid_manifest_gets_the_answer_of_the_api_server() {
    let podyard = Instance::without_images();
    let file = podyard.manifest(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  restartPolicy: Sometimes\n  containers:\n  - name: c\n    image: busybox\n",
    );
    let output = podyard.run(&["plan", "-o", "json", &file]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["code"], 422);
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.restartPolicy");
    assert_eq!(
        (&cause["line"], &cause["column"]),
        (&Value::from(6), &Value::from(18))
    );
    let output = podyard.run(&["plan", &file]);
    assert_says(
        &output,
        2,
        &["pod.yaml:6:18: error: spec.restartPolicy: Unsupported value"],
    );
}

#[test]
fn pictures_show_the_chain_and_who_uses_the_volumes() {
    let podyard = Instance::without_images();
    let file = podyard.manifest("shop.yaml", SHOP);
    let mermaid = podyard.ok(&["plan", "-o", "mermaid", &file]);
    for expected in [
        "flowchart TD\n",
        "p0c0[\"proxy<br/>sidecar · registry.invalid/proxy:2\"]:::sidecar\n",
        "p0c0 -- \"its startupProbe has succeeded (TCP port 5432, every 1 s, fails after 20)\" --> p0c1\n",
        "p0c1 -- \"it has exited with 0\" --> p0c2\n",
        "p0c1 == \"/state: schema/version\" ==> p0v0\n",
        "p0v0 -. \"/schema (subPath schema)\" .-> p0c2\n",
    ] {
        assert!(mermaid.contains(expected), "`{expected}` in\n{mermaid}");
    }
    let svg = podyard.ok(&["plan", "-o", "svg", &file]);
    assert!(svg.starts_with("<svg xmlns="), "{svg}");
    for expected in [
        "1. proxy",
        "2. migrate",
        "3. app",
        ">state<",
        "when it has exited with 0",
        "/state ← schema/version",
    ] {
        assert!(svg.contains(expected), "`{expected}` in\n{svg}");
    }
    // Every element that is opened is closed: text from a manifest does not break the picture.
    let hostile = SHOP.replace("registry.invalid/shop:7", "\"registry.invalid/shop:7\"");
    let file = podyard.manifest(
        "hostile.yaml",
        &hostile.replace("/schema,", "\"/<b>&\\\"x\","),
    );
    let svg = podyard.ok(&["plan", "-o", "svg", &file]);
    assert!(svg.contains("&lt;b&gt;&amp;&quot;x"), "{svg}");
    assert!(!svg.contains("<b>"), "{svg}");
}

/// The same lines that `run` prints at its start, one for each field.
#[test]
fn fidelity_is_told_in_a_line_each() {
    let podyard = Instance::new();
    let file = podyard.manifest(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  finalizers: [example.com/a]\nspec:\n  restartPolicy: Never\n  subdomain: web\n  runtimeClassName: x\n  containers:\n  - name: c\n    image: busybox:latest\n    command: ['true']\n",
    );
    let text = podyard.ok(&["plan", "--fidelity", &file]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].contains(":5:3: remark: metadata.finalizers: "),
        "{text}"
    );
    assert!(
        lines[1].contains(":8:14: remark: spec.subdomain: "),
        "{text}"
    );
    assert!(
        lines[2].contains(":9:21: refused: spec.runtimeClassName: "),
        "{text}"
    );
    let exact = podyard.run(&["plan", "--fidelity", &example("init-config.yaml")]);
    assert_says(
        &exact,
        0,
        &["every field that the manifest sets does here what it does in a cluster"],
    );
    assert!(exact.stdout.is_empty());
    // `run` says the same, a line each.
    let text = std::fs::read_to_string(&file).expect("it was written");
    let file = podyard.manifest("run.yaml", &text.replace("  runtimeClassName: x\n", ""));
    let output = podyard.run(&["run", &file]);
    assert_says(
        &output,
        0,
        &[
            "remark: metadata.finalizers: ",
            "\n",
            "remark: spec.subdomain: ",
        ],
    );
    let told = String::from_utf8_lossy(&output.stderr);
    let remarks = told
        .lines()
        .take(2)
        .filter(|line| line.contains("remark: "));
    assert_eq!(remarks.count(), 2, "{told}");
    podyard.finish();
}

#[test]
fn workloads_are_planned_by_their_template() {
    let podyard = Instance::without_images();
    let file = podyard.manifest(
        "deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n      - {name: c, image: nginx}\n",
    );
    let text = podyard.ok(&["plan", &file]);
    assert!(
        text.starts_with("Deployment default/web, 3 pods like this\n"),
        "{text}"
    );
    let list = podyard.json(&["plan", "-o", "json", &file]);
    assert_eq!(list["items"][0]["kind"], "Deployment");
}
