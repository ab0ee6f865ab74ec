//! What a container sees of what its manifest refers to: variables out of objects, fields, resources and files.

use podyard_e2e::Instance;
use podyard_e2e::manifest::{pod, sh, with};
use serde_json::json;

#[test]
fn an_init_container_writes_the_variables_of_the_application() {
    let podyard = Instance::new();
    let write = "printf '# made by init\\nTOKEN='\\''s3cr t'\\''\\nOTHER='\\''x'\\''\\n' > /d/env";
    let key = |name: &str, key: &str, optional: bool| {
        json!({"name": name, "valueFrom": {"fileKeyRef": {
            "volumeName": "d", "path": "env", "key": key, "optional": optional}}})
    };
    let app = with(
        sh("app", "env | grep ^APP | sort; echo $(APP_TOKEN)"),
        json!({"env": [key("APP_TOKEN", "TOKEN", false), key("APP_NONE", "NONE", true)]}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[sh("init", write)], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "APP_TOKEN=s3cr t\ns3cr t\n");
    podyard.finish();
}

#[test]
fn a_container_waits_for_its_config_map_and_starts_when_it_is_there() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "echo $A"),
        json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]}),
    );
    podyard.start_with(&pod("p", "Never", &[], &[app]), &["--backoff", "0.01"]);
    let waiting = |message: &'static str| {
        podyard.wait_for("p", message, |pod| {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreateContainerConfigError" && waiting["message"] == message
        })
    };
    waiting("configmap \"settings\" not found");
    let directory = podyard.roots().objects().join("configmaps/default");
    std::fs::create_dir_all(&directory).expect("directory");
    let keep = |data: serde_json::Value| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
        let next = directory.join("next");
        std::fs::write(&next, object.to_string()).expect("object");
        std::fs::rename(next, directory.join("settings.json")).expect("rename");
    };
    keep(json!({"b": "2"}));
    waiting("couldn't find key a in ConfigMap default/settings");
    keep(json!({"a": "1"}));
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "1\n");
    podyard.finish();
}

#[test]
fn fields_and_resources_are_those_of_this_pod_and_machine() {
    let podyard = Instance::new();
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let resource = |name: &str, resource: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}});
    let app = with(
        sh("app", "env | grep ^X_ | sort"),
        json!({"resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}}, "env": [
            field("X_NAME", "metadata.name"), field("X_UID", "metadata.uid"), field("X_IP", "status.podIP"),
            resource("X_MEMORY", "limits.memory", "1Mi"), resource("X_REQUEST", "requests.cpu", "1m"),
            resource("X_CPUS", "limits.cpu", "1"),
        ]}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let object = podyard.pod("p");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let cpus = std::thread::available_parallelism().expect("processors");
    assert_eq!(
        podyard.logs("p", "app"),
        format!(
            "X_CPUS={cpus}\nX_IP={}\nX_MEMORY=64\nX_NAME=p\nX_REQUEST=250\nX_UID={}\n",
            text(&object["status"]["podIP"]),
            text(&object["metadata"]["uid"])
        )
    );
    podyard.finish();
}
