//! Manifests of test pods, as JSON, which is YAML too. Every container has the emptyDir `d` at `/d`, so that it can leave traces.

use serde_json::{Value, json};

/// A container from busybox that runs a script.
///
/// A `$$` in it is one `$` to the container, as everywhere in Kubernetes.
#[must_use]
pub fn sh(name: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": "busybox:latest",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "d", "mountPath": "/d"}],
    })
}

/// The same, changed: every member of `more` is added or replaces what is there.
#[must_use]
pub fn with(mut object: Value, more: Value) -> Value {
    for (key, value) in more.as_object().expect("an object") {
        object[key] = value.clone();
    }
    object
}

/// An init container that keeps running.
#[must_use]
pub fn sidecar(name: &str, script: &str) -> Value {
    with(sh(name, script), json!({"restartPolicy": "Always"}))
}

/// A script that does the n-th thing in its n-th run, and the last one again in every further run.
#[must_use]
pub fn nth(name: &str, things: &[&str]) -> String {
    let mut script = format!("echo run >> /d/{name}.runs; case $(wc -l < /d/{name}.runs) in ");
    for (index, thing) in things.iter().enumerate() {
        let pattern = if index + 1 == things.len() {
            "*".to_owned()
        } else {
            (index + 1).to_string()
        };
        script.push_str(&format!("{pattern}) {thing};; "));
    }
    script + "esac"
}

/// As process 1, which ignores SIGTERM without a handler.
pub const HANG: &str = "exec sleep 3600";

/// Runs until it is told to end, and ends well then.
pub const POLITE: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

/// The same, and prints `ready` as soon as it can be told.
pub const READY: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done";

/// A pod.
#[must_use]
pub fn pod(name: &str, restart_policy: &str, init: &[Value], apps: &[Value]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": restart_policy,
            "terminationGracePeriodSeconds": 2,
            "initContainers": init,
            "containers": apps,
            "volumes": [{"name": "d", "emptyDir": {}}],
        },
    })
}

/// The pod with other members in its spec.
#[must_use]
pub fn with_spec(mut pod: Value, more: Value) -> Value {
    pod["spec"] = with(pod["spec"].take(), more);
    pod
}

/// A ConfigMap of the default namespace.
#[must_use]
pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A Secret of the default namespace, its values in base 64 as they are kept.
#[must_use]
pub fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})
}

/// A probe that runs a script every second.
#[must_use]
pub fn exec_probe(script: &str, failures: u32) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}, "periodSeconds": 1, "failureThreshold": failures})
}

/// A PersistentVolumeClaim.
#[must_use]
pub fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}
