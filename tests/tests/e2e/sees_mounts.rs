//! How volumes are mounted: read-only all the way down, mounts that travel, mounts over what is there already.

use std::path::Path;
use std::process::Command;

use podyard_e2e::manifest::{HANG, config_map, pod, sh, with, with_spec};
use podyard_e2e::{Instance, container, eventually};
use serde_json::{Value, json};

fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status();
    assert!(status.expect("mount").success(), "{arguments:?}");
}

fn unmount(path: &Path) {
    let status = Command::new("umount").arg(path).status();
    assert!(status.expect("umount").success(), "{}", path.display());
}

fn mounting(script: &str, mounts: Value) -> Value {
    with(sh("app", script), json!({"volumeMounts": mounts}))
}

#[test]
fn read_only_all_the_way_down() {
    let podyard = Instance::new();
    let host = podyard.root().join("host");
    let below = host.join("below");
    std::fs::create_dir_all(&below).expect("directory");
    mount(&["-t", "tmpfs", "none", below.to_str().expect("UTF-8")]);
    let modes = ["Disabled", "IfPossible", "Enabled"];
    let mut mounts: Vec<Value> = modes
        .iter()
        .map(|mode| json!({"name": "v", "mountPath": format!("/{mode}"), "readOnly": true, "recursiveReadOnly": mode}))
        .collect();
    mounts.push(json!({"name": "v", "mountPath": "/writable"}));
    mounts.push(json!({"name": "v", "mountPath": "/part", "subPath": ".", "readOnly": true, "recursiveReadOnly": "Enabled"}));
    let script = "for m in /Disabled /IfPossible /Enabled /part /writable; do for d in $m $m/below; do \
        touch $d/x 2>/dev/null && echo $d; done; done";
    let pod = with_spec(
        pod(
            "p",
            "Never",
            &[],
            &[mounting(&format!("{script} || true"), json!(mounts))],
        ),
        json!({"volumes": [{"name": "v", "hostPath": {"path": host}}]}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        podyard.logs("p", "app"),
        "/Disabled/below\n/writable\n/writable/below\n"
    );
    let status = podyard.pod("p");
    let told: Vec<(&str, &str)> = container(&status, "app")["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|mount| {
            (
                mount["mountPath"].as_str().expect("a path"),
                mount["recursiveReadOnly"].as_str().unwrap_or("-"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("/Disabled", "Disabled"),
            ("/IfPossible", "Enabled"),
            ("/Enabled", "Enabled"),
            ("/writable", "-"),
            ("/part", "Enabled"),
        ]
    );
    podyard.ok(&["delete", "pod", "p"]);
    unmount(&below);
    podyard.finish();
}

#[test]
fn mounts_of_a_container_reach_the_host_only_if_they_may() {
    let podyard = Instance::new();
    let place = podyard.root().join("place");
    std::fs::create_dir(&place).expect("directory");
    let path = place.to_str().expect("UTF-8");
    mount(&["-t", "tmpfs", "none", path]);
    mount(&["--make-shared", path]);
    let script = format!(
        "mkdir /v/$NAME && mount -t tmpfs none /v/$NAME && touch /v/$NAME/file && touch /d/$NAME; {HANG}"
    );
    let of = |name: &str, propagation: &str| {
        with(
            sh(name, &script),
            json!({
                "securityContext": {"privileged": true},
                "env": [{"name": "NAME", "value": name}],
                "volumeMounts": [
                    {"name": "d", "mountPath": "/d"},
                    {"name": "v", "mountPath": "/v", "mountPropagation": propagation}],
            }),
        )
    };
    let apps = [
        of("none", "None"),
        of("in", "HostToContainer"),
        of("both", "Bidirectional"),
    ];
    let pod = with_spec(
        pod("p", "Never", &[], &apps),
        json!({"volumes": [{"name": "d", "emptyDir": {}}, {"name": "v", "hostPath": {"path": path}}]}),
    );
    podyard.start(&pod);
    podyard.wait_for_condition("p", "Ready");
    let marks = podyard.dirs("p").volume("empty-dir", "d");
    for name in ["none", "in", "both"] {
        eventually(name, || marks.join(name).exists().then_some(()));
    }
    let seen = |name: &str| place.join(name).join("file").exists();
    assert_eq!(["none", "in", "both"].map(seen), [false, false, true]);
    let inside = |name: &str| {
        podyard.ok(&[
            "exec",
            "p",
            "-c",
            name,
            "--",
            "sh",
            "-c",
            "ls -d /v/*/file; true",
        ])
    };
    assert_eq!(inside("none"), "/v/none/file\n");
    assert_eq!(inside("in"), "/v/both/file\n/v/in/file\n");
    podyard.ok(&["delete", "pod", "p", "--now"]);
    unmount(&place.join("both"));
    unmount(&place);

    // Who is not privileged may not.
    let mut refused = pod;
    refused["spec"]["containers"][2]["securityContext"] = json!({});
    let path = podyard.pod_file(&refused);
    let output = podyard.run(&["run", "-d", &path]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("Bidirectional mount propagation is available only to privileged containers"),
        "{said}"
    );
    podyard.finish();
}

#[test]
fn mounts_over_what_the_image_has() {
    let podyard = Instance::new();
    let script = "cat /etc/passwd /etc/group.d/group; echo; ls /bin/sub; head -c 3 /usr/share/new; ls /usr/share; grep -c . /etc/hosts";
    let volumes = json!([
        {"name": "c", "configMap": {"name": "files"}},
        {"name": "e", "emptyDir": {}},
    ]);
    let mounts = json!([
        // A file over a file, one below a directory that is not there, and one over what is ours.
        {"name": "c", "mountPath": "/etc/passwd", "subPath": "passwd"},
        {"name": "c", "mountPath": "/etc/group.d/group", "subPath": "passwd"},
        {"name": "c", "mountPath": "/etc/hosts", "subPath": "passwd"},
        // A directory below one that is full, and a file in one that hides what was there.
        {"name": "c", "mountPath": "/usr/share/new", "subPath": "passwd"},
        {"name": "e", "mountPath": "/usr/share"},
        {"name": "e", "mountPath": "/bin/sub"},
    ]);
    let pod = with_spec(
        pod("p", "Never", &[], &[mounting(script, mounts)]),
        json!({"volumes": volumes}),
    );
    let files = config_map("files", json!({"passwd": "own"}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [files, pod]});
    let path = podyard.manifest("objects.yaml", &list.to_string());
    let output = podyard.run(&["run", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // The mount point of the file was made in the volume, which is mounted twice.
    assert_eq!(podyard.logs("p", "app"), "ownown\nnew\nownnew\n1\n");

    // A directory cannot be mounted on a file: it is said, and tried again.
    let refused = with_spec(
        podyard_e2e::manifest::pod(
            "q",
            "Never",
            &[],
            &[mounting(
                "true",
                json!([{"name": "d", "mountPath": "/bin/busybox"}]),
            )],
        ),
        json!({}),
    );
    podyard.start(&refused);
    let pod = podyard.wait_for("q", "a refusal", |pod| {
        let app = container(pod, "app");
        app["state"]["waiting"]["message"].is_string() || app["state"]["terminated"].is_object()
    });
    let state = &container(&pod, "app")["state"];
    let said = state.to_string();
    assert!(said.contains("/bin/busybox"), "{said}");
    assert!(said.to_lowercase().contains("not a directory"), "{said}");
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn shared_memory_is_the_pods_unless_a_volume_is_mounted_there() {
    let podyard = Instance::new();
    let look = "grep ' /dev/shm ' /proc/mounts | cut -d' ' -f3,4; stat -c %a /dev/shm; ls /dev/shm";
    let own = json!([{"name": "m", "mountPath": "/dev/shm"}]);
    let pod = with_spec(
        pod(
            "p",
            "Never",
            &[sh("init", "echo x > /dev/shm/from-init")],
            &[
                sh("app", look),
                with(sh("own", look), json!({"volumeMounts": own})),
            ],
        ),
        json!({"volumes": [
            {"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let app = podyard.logs("p", "app");
    assert!(app.starts_with("tmpfs rw,nosuid,nodev,noexec,"), "{app}");
    assert!(app.contains("size=65536k"), "{app}");
    assert!(app.ends_with("\n1777\nfrom-init\n"), "{app}");
    let own = podyard.logs("p", "own");
    assert!(own.contains("size=1024k"), "{own}");
    assert!(own.ends_with("\n1777\n"), "{own}");
    podyard.finish();
}

/// Pages of the size that the pod asks for; whether the machine has any is another matter.
#[test]
fn huge_pages_are_a_volume() {
    if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        podyard_e2e::skipped("this machine has no huge pages of 2 MiB");
        return;
    }
    let podyard = Instance::new();
    let app = with(
        mounting(
            "grep ' /huge ' /proc/mounts | cut -d' ' -f3; grep ' /huge ' /proc/mounts | grep -o pagesize=2M",
            json!([{"name": "h", "mountPath": "/huge"}]),
        ),
        json!({"resources": {"limits": {"hugepages-2Mi": "4Mi", "memory": "32Mi"}}}),
    );
    let pod = with_spec(
        pod("p", "Never", &[], &[app]),
        json!({"volumes": [{"name": "h", "emptyDir": {"medium": "HugePages"}}]}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "hugetlbfs\npagesize=2M\n");
    podyard.finish();
}

#[test]
fn a_part_of_an_image_has_to_be_there() {
    let podyard = Instance::new();
    let mounts = json!([{"name": "v", "mountPath": "/part", "subPath": "no/such"}]);
    let pod = with_spec(
        pod("p", "Never", &[], &[mounting("true", mounts)]),
        json!({"volumes": [{"name": "v", "image": {"reference": "busybox:latest", "pullPolicy": "IfNotPresent"}}]}),
    );
    podyard.start(&pod);
    let pod = podyard.wait_for("p", "a refusal", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let message = container(&pod, "app")["state"]["waiting"]["message"].clone();
    let message = message.as_str().expect("a message");
    assert!(
        message.starts_with(
            "failed to create subPath directory for volumeMount \"v\" of container \"app\""
        ),
        "{message}"
    );
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}
