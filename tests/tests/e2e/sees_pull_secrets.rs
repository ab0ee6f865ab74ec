//! Images of a registry that lets nobody in without a password: `imagePullSecrets`.

use podyard_e2e::manifest::{pod, sh, with, with_spec};
use podyard_e2e::registry::{PASSWORD, USER};
use podyard_e2e::{Instance, Registry, container};
use serde_json::{Value, json};

fn private(image: &str, secrets: &[&str]) -> Value {
    let app = with(
        sh("app", "echo runs"),
        json!({"image": image, "imagePullPolicy": "Always"}),
    );
    let names: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
    with_spec(
        pod("p", "Never", &[], &[app]),
        json!({"imagePullSecrets": names}),
    )
}

fn entry(registry: &Registry, user: &str, password: &str) -> Value {
    json!({registry.address(): {"username": user, "password": password}})
}

/// A Secret of one of the two types.
fn secret(name: &str, kind: &str, key: &str, file: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "type": format!("kubernetes.io/{kind}"), "stringData": {key: file.to_string()},
    })
}

fn json_form(name: &str, entries: &Value) -> Value {
    let file = json!({"auths": entries});
    secret(name, "dockerconfigjson", ".dockerconfigjson", &file)
}

#[track_caller]
fn runs(podyard: &Instance, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let path = podyard.manifest("objects.yaml", &list.to_string());
    let output = podyard.run(&["run", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "runs\n");
}

#[test]
fn secrets_of_both_types_open_the_registry() {
    let podyard = Instance::without_images();
    let registry = Registry::start_closed(&podyard.root().join("registry"));
    registry.push("busybox", "team/tools:1");
    let image = registry.reference("team/tools:1");
    let good = entry(&registry, USER, PASSWORD);
    runs(
        &podyard,
        &[json_form("new", &good), private(&image, &["new"])],
    );
    let old = secret("old", "dockercfg", ".dockercfg", &good);
    runs(&podyard, &[old, private(&image, &["old"])]);
    // One that does not fit is no harm beside one that does.
    let bad = json_form("bad", &entry(&registry, USER, "wrong"));
    runs(
        &podyard,
        &[
            bad,
            json_form("new", &good),
            private(&image, &["bad", "new"]),
        ],
    );
    podyard.finish();
}

#[test]
fn without_the_right_one_nothing_is_pulled_and_it_is_said() {
    let podyard = Instance::without_images();
    let registry = Registry::start_closed(&podyard.root().join("registry"));
    registry.push("busybox", "tools:1");
    let image = registry.reference("tools:1");
    podyard.start_with(&private(&image, &["gone", "lost"]), &["--backoff", "0.01"]);
    let refused = |pod: &Value| {
        let reason = container(pod, "app")["state"]["waiting"]["reason"].clone();
        reason == "ErrImagePull" || reason == "ImagePullBackOff"
    };
    podyard.wait_for("p", "a refusal", refused);
    let events = podyard.events("p", "FailedToRetrieveImagePullSecret");
    assert_eq!(
        events[0]["message"],
        "Unable to retrieve some image pull secrets (gone, lost); attempting to pull the image may not succeed."
    );
    assert_eq!(events[0]["type"], "Warning");
    // It heals when the Secret is there.
    let mut late = json_form("gone", &entry(&registry, USER, PASSWORD));
    let text = late["stringData"][".dockerconfigjson"].take();
    let text = text.as_str().expect("text").as_bytes();
    late["data"] = json!({".dockerconfigjson": base64(text)});
    late.as_object_mut()
        .expect("an object")
        .remove("stringData");
    podyard.keep(&late);
    podyard.wait_for_phase("p", "Succeeded");
    podyard.finish();
}

/// The image of a volume is pulled with the same Secrets.
#[test]
fn volumes_of_private_images_are_pulled_as_well() {
    let podyard = Instance::without_images();
    podyard.ok(&["image", "import", &Instance::archive("busybox")]);
    let registry = Registry::start_closed(&podyard.root().join("registry"));
    registry.push("busybox", "files:1");
    let app = with(
        sh("app", "ls /v/bin/busybox >/dev/null && echo runs"),
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
    );
    let pod = with_spec(
        pod("p", "Never", &[], &[app]),
        json!({
            "imagePullSecrets": [{"name": "new"}],
            "volumes": [{"name": "v", "image": {"reference": registry.reference("files:1")}}],
        }),
    );
    runs(
        &podyard,
        &[json_form("new", &entry(&registry, USER, PASSWORD)), pod],
    );
    podyard.finish();
}

/// As values of a Secret are kept.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk
            .iter()
            .chain([&0; 2])
            .take(3)
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        for position in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * position) & 63];
            text.push(if position > chunk.len() {
                '='
            } else {
                digit.into()
            });
        }
    }
    text
}
