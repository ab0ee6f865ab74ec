//! Local storage and logs that grow: limits that evict, and files that are put aside. Both are looked at every ten seconds.

use podyard_e2e::{Instance, container};

fn pod(container: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox:latest
    imagePullPolicy: Never
{container}
    volumeMounts: [{{name: v, mountPath: /v}}]
  volumes: [{{name: v, emptyDir: {volume}}}]
"
    )
}

fn evicted(text: &str) -> (Instance, String) {
    let podyard = Instance::new();
    podyard.start_text(text);
    let pod = podyard.wait_for_phase("p", "Failed");
    assert_eq!(pod["status"]["reason"], "Evicted");
    let events = podyard.ok(&["events", "p"]);
    assert!(events.contains("Evicted"), "{events}");
    let message = pod["status"]["message"]
        .as_str()
        .expect("a message")
        .to_owned();
    (podyard, message)
}

#[test]
fn an_empty_dir_over_its_limit_evicts_the_pod() {
    let (podyard, message) = evicted(&pod(
        "    command: [sh, -c, 'head -c 5242880 /dev/zero > /v/big; sleep 1000']",
        "{sizeLimit: 1Mi}",
    ));
    assert_eq!(
        message,
        "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "
    );
    podyard.finish();
}

#[test]
fn a_container_over_its_ephemeral_storage_evicts_the_pod() {
    let (podyard, message) = evicted(&pod(
        "    command: [sh, -c, 'head -c 5242880 /dev/zero > /big; sleep 1000']
    resources: {limits: {ephemeral-storage: 1Mi}}",
        "{}",
    ));
    let text = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    assert_eq!(message, text);
    podyard.finish();
}

#[test]
fn memory_has_no_room_beyond_its_limit() {
    let podyard = Instance::new();
    podyard.start_text(
        &pod(
            "    command: [sh, -c, 'head -c 5242880 /dev/zero > /v/big && exit 9; exit 4']",
            "{medium: Memory, sizeLimit: 1Mi}",
        )
        .replace("spec:", "spec:\n  restartPolicy: Never"),
    );
    let pod = podyard.wait_for_phase("p", "Failed");
    assert_eq!(container(&pod, "c")["state"]["terminated"]["exitCode"], 4);
    assert!(pod["status"]["reason"].is_null());
    podyard.finish();
}

/// Whoever follows sees every line once, across the change of files.
#[test]
fn a_long_log_is_put_aside_and_read_to_its_end() {
    let podyard = Instance::new();
    podyard.start_text(
        &pod(
            "    command: [sh, -c, 'seq 1 300000; until [ -e /v/go ]; do sleep 0.1; done; seq 300001 300100']",
            "{}",
        )
        .replace("spec:", "spec:\n  restartPolicy: Never"),
    );
    podyard.wait_for("p", "the container", |pod| {
        !container(pod, "c")["state"]["running"].is_null()
    });
    let follower = podyard.spawn(&["logs", "-f", "p"]);
    let uid = podyard.pod("p")["metadata"]["uid"]
        .as_str()
        .expect("a uid")
        .to_owned();
    let directory = podyard.roots().logs().join(format!("default_p_{uid}/c"));
    podyard.wait_for("p", "the log put aside", |_| {
        let entries = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("0.log."))
            .count()
            == 1
    });
    podyard.touch("p", "v", "go");
    let seen = follower.wait_with_output().expect("logs");
    let seen = String::from_utf8(seen.stdout).expect("UTF-8");
    let numbers = seen
        .lines()
        .map(|line| line.parse::<u32>().expect("a number"));
    assert!(numbers.eq(1..=300_100));
    // As with the kubelet, only the current file is what `logs` shows afterwards.
    assert_eq!(podyard.logs("p", "c").lines().count(), 100);
    podyard.finish();
}
