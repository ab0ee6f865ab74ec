//! Deployments, StatefulSets and their like, and several objects in one run.

use std::io::{BufRead as _, BufReader, Read as _};

use podyard_e2e::manifest::{POLITE, READY, pod, sh, with};
use podyard_e2e::{Instance, assert_says, eventually};
use serde_json::{Value, json};

fn set(kind: &str, name: &str, script: &str, more: Value) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "app", "image": "busybox:latest", "command": ["sh", "-c", script]}],
            },
        },
    });
    for (key, value) in more.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn names(podyard: &Instance) -> Vec<String> {
    let names = podyard.ok(&["get", "pods", "-o", "name"]);
    names.lines().map(str::to_owned).collect()
}

#[test]
fn a_deployment_is_kept_at_its_number_in_the_foreground() {
    let podyard = Instance::new();
    let web = set("Deployment", "web", READY, json!({"replicas": 1}));
    let path = podyard.pod_file(&web);
    let mut run = podyard.spawn(&["run", "--replicas", "2", &path]);
    let mut stdout = BufReader::new(run.stdout.take().expect("a pipe"));
    let mut ready_again = |count: usize| {
        let mut lines = String::new();
        while lines.matches("ready\n").count() < count {
            assert!(stdout.read_line(&mut lines).expect("text") > 0, "{lines}");
        }
    };
    ready_again(2);
    let before = names(&podyard);
    assert_eq!(before.len(), 2);
    let owner =
        podyard.json(&["get", &before[0], "-o", "json"])["metadata"]["ownerReferences"][0].clone();
    assert_eq!(owner["kind"], "ReplicaSet");
    let set_name = owner["name"].as_str().expect("a name");
    assert!(set_name.starts_with("web-") && before[0].starts_with(&format!("pod/{set_name}-")));

    podyard.ok(&["delete", &before[0]]);
    ready_again(1);
    let after = names(&podyard);
    assert_eq!(after.len(), 2);
    assert!(
        after.contains(&before[1]) && !after.contains(&before[0]),
        "{before:?} {after:?}"
    );

    assert!(Instance::signal(
        i32::try_from(run.id()).expect("an id"),
        "INT"
    ));
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("bytes");
    let output = run.wait_with_output().expect("a child");
    assert_says(
        &output,
        130,
        &["was deleted", "stopping 2 pods; Ctrl-C again kills them"],
    );
    podyard.assert_nothing_left();
    podyard.finish();
}

#[test]
fn a_stateful_set_starts_in_order_with_its_claims() {
    let podyard = Instance::new();
    // Ready once a file of the volume is there: what is before it must be ready first.
    let script = format!("hostname >> /data/log; cat /data/log; {POLITE}");
    let mut db = set(
        "StatefulSet",
        "db",
        &script,
        json!({
            "serviceName": "db",
            "replicas": 2,
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
            }],
        }),
    );
    db["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data"}]);
    let path = podyard.pod_file(&db);
    assert_eq!(
        podyard.ok(&["run", "-d", &path]),
        "pod/db-0 created\npod/db-1 created\n"
    );
    podyard.wait_for_condition("db-1", "Ready");
    let ready_since = |name: &str, condition: &str| {
        let pod = podyard.pod(name);
        let conditions = pod["status"]["conditions"].as_array().expect("conditions");
        let found = conditions.iter().find(|one| one["type"] == condition);
        found.expect("it is there")["lastTransitionTime"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    assert!(ready_since("db-0", "Ready") <= ready_since("db-1", "PodScheduled"));
    assert_eq!(
        podyard.ok(&["get", "pvc", "-o", "name"]),
        "persistentvolumeclaim/data-db-0\npersistentvolumeclaim/data-db-1\n"
    );
    // One that runs already stands in the way before anything is started.
    let again = podyard.run(&["run", "-d", &path]);
    assert_says(&again, 4, &["pod `db-0` exists already"]);

    // Its claims outlive it, and the next one finds its data.
    assert_eq!(
        podyard.ok(&["delete", "-f", &path]),
        "pod \"db-0\" deleted from default namespace\npod \"db-1\" deleted from default namespace\n"
    );
    podyard.ok(&["run", "-d", "--replicas", "1", &path]);
    assert_eq!(
        podyard.wait_for_log("db-0", "app", "db-0\ndb-0\n"),
        "db-0\ndb-0\n"
    );
    assert_eq!(names(&podyard), ["pod/db-0"]);
    podyard.finish();
}

#[test]
fn a_daemon_set_has_one_pod_and_a_replica_set_its_number() {
    let podyard = Instance::new();
    for (kind, name, more, count) in [
        ("DaemonSet", "agent", json!({}), 1),
        ("ReplicaSet", "pair", json!({"replicas": 2}), 2),
    ] {
        let path = podyard.pod_file(&set(kind, name, POLITE, more));
        let created = podyard.ok(&["run", "-d", &path]);
        assert_eq!(created.lines().count(), count, "{created}");
        assert!(
            created
                .lines()
                .all(|line| line.starts_with(&format!("pod/{name}-")))
        );
        podyard.ok(&["delete", "-f", &path]);
    }
    assert_eq!(names(&podyard), [""; 0]);
    podyard.finish();
}

#[test]
fn pods_and_objects_run_together() {
    let podyard = Instance::new();
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "shared"}}),
        pod(
            "one",
            "Never",
            &[],
            &[with(
                sh("app", "echo $A"),
                json!({"envFrom": [{"configMapRef": {"name": "settings"}}]}),
            )],
        ),
        pod("two", "Never", &[], &[sh("app", "echo second; exit 5")]),
        pod("three", "Never", &[], &[sh("app", "exit 6")]),
    ];
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    let path = podyard.manifest("all.yaml", &format!("---\n{}", texts.join("\n---\n")));
    let output = podyard.run(&["run", &path]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // That of the first one that failed, in the order of the manifest.
    assert_says(&output, 5, &[]);
    for line in ["[pod/one app] shared\n", "[pod/two app] second\n"] {
        assert!(stdout.contains(line), "{stdout}");
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in [
        "pod/one succeeded\n",
        "pod/two app app: failed with exit code 5",
        "pod/three failed: container `app` ended with exit code 6\n",
    ] {
        assert!(stderr.contains(line), "{stderr}");
    }
    podyard.finish();
}

#[test]
fn one_that_prints_without_end_does_not_hide_another() {
    let podyard = Instance::new();
    let objects = [
        pod(
            "loud",
            "Never",
            &[],
            &[sh("app", "while :; do echo loud; done")],
        ),
        pod(
            "quiet",
            "Never",
            &[],
            &[sh("app", "echo heard; exec sleep 3600")],
        ),
    ];
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    let path = podyard.manifest("all.yaml", &format!("---\n{}", texts.join("\n---\n")));
    let mut run = podyard.spawn(&["run", &path]);
    let mut stdout = BufReader::new(run.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while line != "[pod/quiet app] heard\n" {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("text") > 0);
    }
    assert!(Instance::signal(
        i32::try_from(run.id()).expect("an id"),
        "INT"
    ));
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("bytes");
    assert_eq!(run.wait().expect("a child").code(), Some(130));
    podyard.finish();
}

#[test]
fn kinds_that_are_not_known_are_refused_or_passed_over() {
    let podyard = Instance::new();
    let objects = [
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}}),
        pod("p", "Never", &[], &[sh("app", "true")]),
    ];
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    let path = podyard.manifest("all.yaml", &format!("---\n{}", texts.join("\n---\n")));
    let refused = podyard.run(&["run", &path]);
    assert_says(&refused, 2, &["Ingress", "ConfigMap", "StatefulSet"]);
    let output = podyard.run(&["run", "--skip-unknown", &path]);
    assert_says(&output, 0, &["warning", "Ingress", "pod/p succeeded"]);
    podyard.finish();
}

#[test]
fn replicas_that_would_share_a_port_of_the_machine_are_refused() {
    let podyard = Instance::new();
    let mut web = set("Deployment", "web", POLITE, json!({"replicas": 1}));
    web["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 80, "hostPort": 18099}]);
    let path = podyard.pod_file(&web);
    let output = podyard.run(&["run", "-d", "--replicas", "2", &path]);
    assert_says(
        &output,
        2,
        &["hostPort: port 18099 of the machine cannot be given to 2 pods"],
    );
    podyard.ok(&["run", "-d", &path]);
    let name = eventually("a pod", || names(&podyard).pop());
    podyard.ok(&["delete", &name]);
    let no_set = podyard.pod_file(&pod("p", "Never", &[], &[sh("app", "true")]));
    let output = podyard.run(&["run", "--replicas", "2", &no_set]);
    assert_says(&output, 2, &["--replicas is for a Deployment"]);
    podyard.finish();
}
