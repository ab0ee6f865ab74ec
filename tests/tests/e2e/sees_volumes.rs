//! What a container sees of its pod's volumes, kind by kind.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

use podyard_e2e::manifest::{HANG, claim, config_map, pod, sh, with, with_spec};
use podyard_e2e::{Instance, eventually};
use serde_json::{Value, json};

/// A pod of one container with these volumes, mounted as given, that runs a script.
fn reader(name: &str, script: &str, volumes: Value, mounts: Value) -> Value {
    let app = with(sh("app", script), json!({"volumeMounts": mounts}));
    with_spec(pod(name, "Never", &[], &[app]), json!({"volumes": volumes}))
}

/// Runs it to its end, which must be a good one, and returns what it printed.
#[track_caller]
fn printed(podyard: &Instance, pod: &Value) -> String {
    let name = pod["metadata"]["name"].as_str().expect("a name");
    succeeded(&podyard.foreground(pod, &[]));
    podyard.logs(name, "app")
}

#[track_caller]
fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Runs a manifest of several objects, of which one is the pod.
fn foreground(podyard: &Instance, objects: &[Value]) -> Output {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let path = podyard.manifest("objects.yaml", &list.to_string());
    podyard.run(&["run", &path])
}

fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// Keeps an object as `podyard apply` does.
fn keep(podyard: &Instance, kind: &str, object: &Value) {
    let directory = podyard.roots().objects().join(kind).join("default");
    std::fs::create_dir_all(&directory).expect("directory");
    let name = object["metadata"]["name"].as_str().expect("a name");
    std::fs::write(directory.join(format!("{name}.json")), object.to_string()).expect("object");
}

#[test]
fn a_projected_volume_puts_its_sources_together() {
    let podyard = Instance::new();
    let script = "cd /v; cat a sub/b sub/key labels; echo; stat -L -c '%a %n' a sub/key; readlink a; readlink ..data | cut -c1-7; \
        grep ' /v ' /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1; touch /v/x 2>&1";
    let volumes = json!([{"name": "v", "projected": {"defaultMode": 288, "sources": [
        {"configMap": {"name": "settings", "items": [
            {"key": "a", "path": "a"}, {"key": "b", "path": "sub/b"}]}},
        {"secret": {"name": "keys", "items": [{"key": "key", "path": "sub/key", "mode": 256}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"configMap": {"name": "not-there", "optional": true}},
    ]}}]);
    let mut pod = reader(
        "p",
        &format!("{script} || true"),
        volumes,
        json!([{"name": "v", "mountPath": "/v"}]),
    );
    pod["metadata"]["labels"] = json!({"tier": "front", "app": "x"});
    let settings = config_map("settings", json!({"a": "1\n", "b": "2\n"}));
    succeeded(&foreground(
        &podyard,
        &[settings, secret("keys", json!({"key": "k\n"})), pod],
    ));
    assert_eq!(
        podyard.logs("p", "app"),
        "1\n2\nk\napp=\"x\"\ntier=\"front\"\n440 a\n400 sub/key\n..data/a\n..2026_"
            .replace("..2026_", &format!("..{}_", current_year()))
            + "\ntmpfs ro\ntouch: /v/x: Read-only file system\n"
    );
    podyard.finish();
}

fn current_year() -> String {
    let output = Command::new("date")
        .args(["-u", "+%Y"])
        .output()
        .expect("date");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

#[test]
fn secrets_are_never_on_a_disk() {
    let podyard = Instance::new();
    let app = with(
        sh("app", HANG),
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
    );
    let pod = with_spec(
        pod("p", "Never", &[], &[app]),
        json!({"volumes": [{"name": "v", "secret": {"secretName": "keys"}}]}),
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret("keys", json!({"key": "x"})), pod]});
    podyard.start_text(&list.to_string());
    podyard.wait_for_condition("p", "Ready");
    let directory = podyard.dirs("p").volume("secret", "v");
    assert!(directory.join("key").exists());
    let device = |path: &Path| std::fs::metadata(path).expect("it is there").dev();
    let tmpfs = device(&directory);
    assert_ne!(tmpfs, device(directory.parent().expect("a parent")));
    assert_eq!(device(&directory.join("key")), tmpfs);
    let kind = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(&directory)
        .output()
        .expect("stat");
    assert_eq!(String::from_utf8_lossy(&kind.stdout), "tmpfs\n");
    podyard.ok(&["delete", "pod", "p", "--now"]);
    assert!(!directory.exists());
    podyard.finish();
}

#[test]
fn a_volume_waits_for_its_config_map() {
    let podyard = Instance::new();
    let volumes = json!([{"name": "v", "configMap": {"name": "settings"}}]);
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    podyard.start_with(
        &reader("p", "cat /v/a", volumes, mounts),
        &["--backoff", "0.01"],
    );
    let message = eventually("FailedMount", || {
        let events = podyard.events("p", "FailedMount");
        Some(events.first()?["message"].as_str()?.to_owned())
    });
    assert_eq!(
        message,
        "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found"
    );
    keep(
        &podyard,
        "configmaps",
        &config_map("settings", json!({"a": "there now\n"})),
    );
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "there now\n");
    podyard.finish();
}

#[test]
fn a_group_may_use_the_volumes_of_its_pod() {
    let podyard = Instance::new();
    let script = "id -G; for p in /disk /memory /claim /own /secret/. /secret/key; do stat -L -c '%g %a %n' $p; done; \
        for v in disk memory claim own; do echo x > /$v/f && stat -c '%u:%g' /$v/f; done; cat /secret/key";
    let volumes = json!([
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
        {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 256}},
    ]);
    let mounts: Vec<Value> = ["disk", "memory", "claim", "own", "secret"]
        .iter()
        .map(|name| json!({"name": name, "mountPath": format!("/{name}")}))
        .collect();
    let pod = with_spec(
        reader("p", script, volumes, json!(mounts)),
        json!({"securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "supplementalGroups": [3000]}}),
    );
    let output = foreground(
        &podyard,
        &[claim("data"), secret("keys", json!({"key": "s"})), pod],
    );
    succeeded(&output);
    assert_eq!(
        podyard.logs("p", "app"),
        "1000 2000 3000\n2000 2777 /disk\n2000 3777 /memory\n2000 2777 /claim\n2000 2777 /own\n\
         2000 3777 /secret/.\n2000 440 /secret/key\n1000:2000\n1000:2000\n1000:2000\n1000:2000\ns"
    );
    podyard.finish();
}

#[test]
fn a_claim_outlives_pods_and_a_pods_own_does_not() {
    let podyard = Instance::new();
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    let of_claim = |read_only: bool| json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": read_only}}]);
    let one = reader(
        "one",
        "echo kept > /v/file; stat -c %a /v",
        of_claim(false),
        mounts.clone(),
    );
    succeeded(&foreground(&podyard, &[claim("data"), one]));
    assert_eq!(podyard.logs("one", "app"), "777\n");
    podyard.ok(&["delete", "pod", "one"]);

    // The claim was kept with its data: it need not stand in this manifest.
    let script = "cat /v/file; touch /v/x 2>&1 || true";
    let two = reader("two", script, of_claim(true), mounts.clone());
    assert_eq!(
        printed(&podyard, &two),
        "kept\ntouch: /v/x: Read-only file system\n"
    );

    // One that is not there is waited for.
    let of_late = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "late"}}]);
    let waits = reader("waits", "true", of_late, mounts.clone());
    podyard.start_with(&waits, &["--backoff", "0.01"]);
    let message = eventually("FailedMount", || {
        let events = podyard.events("waits", "FailedMount");
        Some(events.first()?["message"].as_str()?.to_owned())
    });
    assert!(
        message.ends_with(": persistentvolumeclaim \"late\" not found"),
        "{message}"
    );
    keep(&podyard, "persistentvolumeclaims", &claim("late"));
    podyard.wait_for_phase("waits", "Succeeded");

    let own = json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]);
    let three = reader("three", "ls -A /v; echo x > /v/file", own, mounts);
    assert_eq!(printed(&podyard, &three), "");
    let data = podyard.roots().volumes().join("default");
    assert_eq!(
        std::fs::read_to_string(data.join("data/file")).expect("file"),
        "kept\n"
    );
    assert_eq!(std::fs::read_dir(&data).expect("list").count(), 2);
    podyard.finish();
}

#[test]
fn a_path_of_the_host_is_what_its_type_says() {
    let podyard = Instance::new();
    let host = podyard.root().join("host");
    std::fs::create_dir(&host).expect("directory");
    std::fs::write(host.join("file"), "from the host\n").expect("file");
    let path = |name: &str| host.join(name).to_str().expect("UTF-8").to_owned();
    let volumes = json!([
        {"name": "file", "hostPath": {"path": path("file"), "type": "File"}},
        {"name": "made", "hostPath": {"path": path("a/b"), "type": "DirectoryOrCreate"}},
        {"name": "any", "hostPath": {"path": path("any")}},
        {"name": "new", "hostPath": {"path": path("new"), "type": "FileOrCreate"}},
    ]);
    let mounts = json!([
        {"name": "file", "mountPath": "/deep/in/file", "readOnly": true}, {"name": "made", "mountPath": "/made"},
        {"name": "any", "mountPath": "/any"}, {"name": "new", "mountPath": "/etc/passwd"},
    ]);
    let script = "cat /deep/in/file; echo x > /made/f; echo root:x:0:0::/: > /etc/passwd; \
        touch /any/f; echo y >> /deep/in/file || true";
    let log = printed(&podyard, &reader("p", script, volumes, mounts));
    assert!(log.contains("from the host\n"), "{log}");
    assert!(
        log.contains("can't create /deep/in/file: Read-only file system"),
        "{log}"
    );
    let mode = |name: &str| {
        std::fs::metadata(path(name))
            .expect("it is there")
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (mode("a"), mode("a/b"), mode("any"), mode("new")),
        (0o755, 0o755, 0o755, 0o644)
    );
    assert_eq!(
        std::fs::read_to_string(path("new")).expect("file"),
        "root:x:0:0::/:\n"
    );
    assert!(host.join("a/b/f").exists() && host.join("any/f").exists());

    let volumes = json!([{"name": "v", "hostPath": {"path": path("file"), "type": "Directory"}}]);
    podyard.start(&reader(
        "q",
        "true",
        volumes,
        json!([{"name": "v", "mountPath": "/v"}]),
    ));
    let message = eventually("FailedMount", || {
        let events = podyard.events("q", "FailedMount");
        Some(events.first()?["message"].as_str()?.to_owned())
    });
    let expected = format!(
        "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: {} is not a directory",
        path("file")
    );
    assert_eq!(message, expected);
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn the_files_of_an_image_are_a_volume() {
    let podyard = Instance::new();
    let script = "ls /i/bin/busybox /part/busybox; /i/bin/busybox echo it runs; touch /i/x 2>&1 || true; \
        grep ' /i ' /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1";
    let volumes = json!([{"name": "v", "image": {"reference": "busybox:latest", "pullPolicy": "IfNotPresent"}}]);
    let mounts = json!([
        {"name": "v", "mountPath": "/i"}, {"name": "v", "mountPath": "/part", "subPath": "bin"}]);
    assert_eq!(
        printed(&podyard, &reader("p", script, volumes, mounts)),
        "/i/bin/busybox\n/part/busybox\nit runs\ntouch: /i/x: Read-only file system\noverlay ro\n"
    );
    // What is not there is not a volume.
    let volumes =
        json!([{"name": "v", "image": {"reference": "no.such/image:1", "pullPolicy": "Never"}}]);
    podyard.start(&reader(
        "q",
        "true",
        volumes,
        json!([{"name": "v", "mountPath": "/v"}]),
    ));
    let pod = podyard.wait_for("q", "the image is missed", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn a_part_of_a_volume_is_mounted_and_nothing_outside_of_it() {
    let podyard = Instance::new();
    let script =
        "echo x > /logs/f; cat /etc/app.conf; echo more >> /etc/app.conf || true; ls /all/logs";
    let volumes =
        json!([{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "settings"}}]);
    let mounts = json!([
        {"name": "v", "mountPath": "/logs", "subPathExpr": "logs/$(POD)/$(N)"}, {"name": "v", "mountPath": "/all"},
        {"name": "c", "mountPath": "/etc/app.conf", "subPath": "app.conf"},
    ]);
    let mut pod = reader("p", script, volumes, mounts);
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "N", "value": "1"}]);
    let output = foreground(
        &podyard,
        &[config_map("settings", json!({"app.conf": "set\n"})), pod],
    );
    succeeded(&output);
    let log = podyard.logs("p", "app");
    assert!(log.contains("set\n") && log.contains("p\n"), "{log}");
    assert!(
        log.contains("can't create /etc/app.conf: Read-only file system"),
        "{log}"
    );

    // An init container puts a link to the host where the app's part should be.
    let evil = sh("evil", "ln -s /etc /d/out");
    let app = with(
        sh("app", "ls /part"),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/part", "subPath": "out"}]}),
    );
    podyard.start(&podyard_e2e::manifest::pod("q", "Never", &[evil], &[app]));
    let pod = podyard.wait_for("q", "a refusal", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            == "CreateContainerConfigError"
    });
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.starts_with("failed to prepare subPath for volumeMount \"d\" of container \"app\""),
        "{message}"
    );
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn mounts_inside_mounts_in_any_order() {
    let podyard = Instance::new();
    let script = "cat /etc/app/a; echo x > /etc/app/data/f; echo y > /etc/app/deep/er/f; find /etc/app -type f | grep -v '/\\.\\.' | sort";
    let volumes = json!([
        {"name": "w", "emptyDir": {}}, {"name": "c", "configMap": {"name": "settings"}}, {"name": "x", "emptyDir": {}}]);
    let mounts = json!([
        {"name": "x", "mountPath": "/etc/app/deep/er"}, {"name": "w", "mountPath": "/etc/app/data"},
        {"name": "c", "mountPath": "/etc/app"}]);
    let pod = reader("p", script, volumes, mounts);
    succeeded(&foreground(
        &podyard,
        &[config_map("settings", json!({"a": "1\n"})), pod],
    ));
    assert_eq!(
        podyard.logs("p", "app"),
        "1\n/etc/app/data/f\n/etc/app/deep/er/f\n"
    );
    podyard.finish();
}

#[test]
fn mounts_of_the_host_come_in_only_from_a_shared_place() {
    let podyard = Instance::new();
    let place = podyard.root().join("place");
    std::fs::create_dir(&place).expect("directory");
    let path = place.to_str().expect("UTF-8");
    let mount = |arguments: &[&str]| {
        assert!(
            Command::new("mount")
                .args(arguments)
                .status()
                .expect("mount")
                .success()
        );
    };
    mount(&["-t", "tmpfs", "none", path]);
    mount(&["--make-private", path]);
    let volumes = json!([{"name": "v", "hostPath": {"path": path}}]);
    let mounts = json!([{"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}]);
    let script = "until [ -e /v/sub/file ]; do sleep 0.02; done; cat /v/sub/file";
    let pod = reader("p", script, volumes, mounts);
    podyard.start_with(&pod, &["--backoff", "0.01"]);
    let refused = podyard.wait_for("p", "a refusal", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
            == "CreateContainerError"
    });
    assert_eq!(
        refused["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        format!("path {path:?} is mounted on {path:?} but it is not a shared or slave mount")
    );
    mount(&["--make-shared", path]);
    podyard.wait_for("p", "the container runs", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
    });
    let sub = place.join("sub");
    std::fs::create_dir(&sub).expect("directory");
    mount(&["-t", "tmpfs", "none", sub.to_str().expect("UTF-8")]);
    std::fs::write(sub.join("file"), "mounted later\n").expect("file");
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(podyard.logs("p", "app"), "mounted later\n");
    for mounted in [&sub, &place] {
        assert!(
            Command::new("umount")
                .arg(mounted)
                .status()
                .expect("umount")
                .success()
        );
    }
    podyard.finish();
}
