//! Who a container is, and what it is kept from.

use podyard_e2e::manifest::{pod, sh, with, with_spec};
use podyard_e2e::{Instance, container};
use serde_json::{Value, json};

/// Runs a script in a container with this security context, and returns what it printed.
#[track_caller]
fn printed(podyard: &Instance, name: &str, script: &str, context: Value) -> String {
    let app = with(sh("app", script), json!({"securityContext": context}));
    let output = podyard.foreground(&pod(name, "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    podyard.logs(name, "app")
}

/// One line of `/proc/self/status`.
fn status(field: &str) -> String {
    format!("grep ^{field}: /proc/self/status | cut -f2")
}

#[test]
fn users_groups_and_capabilities() {
    let podyard = Instance::new();
    let script = format!(
        "id -u; id -g; id -G; {}; {}; {}",
        status("CapEff"),
        status("CapBnd"),
        status("NoNewPrivs")
    );
    let plain = printed(&podyard, "plain", &script, json!({}));
    // CHOWN to AUDIT_WRITE: the fourteen of containerd.
    assert_eq!(plain, "0\n0\n0\n00000000a80425fb\n00000000a80425fb\n0\n");
    let context = json!({"runAsUser": 1000, "runAsGroup": 1001, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
    let user = printed(&podyard, "user", &script, context);
    assert_eq!(
        user,
        "1000\n1001\n1001\n0000000000000000\n0000000000000400\n1\n"
    );
    podyard.finish();
}

#[test]
fn a_root_user_where_none_may_be_is_not_started() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "id"),
        json!({"securityContext": {"runAsNonRoot": true}}),
    );
    podyard.start(&pod("p", "Never", &[], &[app]));
    let pod = podyard.wait_for("p", "a refusal", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let uid = pod["metadata"]["uid"].as_str().expect("a UID");
    assert_eq!(
        container(&pod, "app")["state"]["waiting"]["message"],
        format!(
            "container has runAsNonRoot and image will run as root (pod: \"p_default({uid})\", container: app)"
        )
    );
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}

#[test]
fn a_profile_of_the_machine_filters_system_calls() {
    let podyard = Instance::new();
    let profiles = podyard.roots().seccomp_profiles();
    std::fs::create_dir_all(profiles.join("team")).expect("directory");
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]});
    std::fs::write(profiles.join("team/no-mkdir.json"), profile.to_string()).expect("profile");
    let context =
        json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "team/no-mkdir.json"}});
    let script = format!(
        "mkdir /x 2>&1; touch /y && echo touched; {}",
        status("Seccomp")
    );
    assert_eq!(
        printed(&podyard, "p", &script, context),
        "mkdir: can't create directory '/x': Operation not permitted\ntouched\n2\n"
    );

    let context =
        json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "missing.json"}});
    let app = with(sh("app", "true"), json!({"securityContext": context}));
    podyard.start(&pod("q", "Never", &[], &[app]));
    let pod = podyard.wait_for("q", "a refusal", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "CreateContainerError"
    });
    let message = container(&pod, "app")["state"]["waiting"]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.starts_with("cannot load seccomp profile")
            && message.contains("No such file or directory"),
        "{message}"
    );
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn sysctls_of_the_pod_that_are_safe_or_allowed() {
    let podyard = Instance::new();
    let app = sh(
        "app",
        "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start",
    );
    let sysctls = |list: Value| json!({"securityContext": {"sysctls": list}});
    let both = sysctls(json!([
        {"name": "net.ipv4.tcp_syncookies", "value": "0"}, {"name": "net.core.somaxconn", "value": "1234"}]));
    let allowed = with_spec(pod("p", "Never", &[], std::slice::from_ref(&app)), both);
    let output = podyard.foreground(&allowed, &["--allowed-unsafe-sysctls", "net.core.*"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "0\n1234\n0\n");
    podyard.finish();
}

#[test]
fn what_the_machine_does_not_allow_is_rejected() {
    let podyard = Instance::new();
    let sysctls =
        json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1234"}]}});
    let pod = with_spec(pod("p", "Always", &[], &[sh("app", "true")]), sysctls);
    let output = podyard.foreground(&pod, &[]);
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    let status = podyard.pod("p")["status"].clone();
    assert_eq!(status["phase"], "Failed");
    assert_eq!(status["reason"], "SysctlForbidden");
    assert_eq!(
        status["message"],
        "Pod was rejected: forbidden sysctl: \"net.core.somaxconn\" not allowlisted"
    );
    assert!(status["containerStatuses"].is_null());
    podyard.finish();
}

#[test]
fn users_of_its_own_are_nobody_outside() {
    let podyard = Instance::new();
    let write = sh("init", "touch /d/by-root; chown 1000 /d; id -u");
    let app = with(
        sh(
            "app",
            "id -u; awk '{print $1, ($2 >= 65536)}' /proc/self/uid_map; stat -c '%u %n' /d /d/by-root /etc /k/key; touch /d/x; touch /x; stat -c %u /x; cat /k/key; echo kept > /c/file",
        ),
        json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}, {"name": "k", "mountPath": "/k"}, {"name": "c", "mountPath": "/c"}]}),
    );
    let pod = with_spec(
        pod("p", "Never", &[write], &[app]),
        json!({"hostUsers": false, "volumes": [
            {"name": "d", "emptyDir": {}}, {"name": "k", "secret": {"secretName": "keys"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}}]}),
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "s\n"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        pod]});
    let path = podyard.manifest("objects.yaml", &list.to_string());
    let output = podyard.run(&["run", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        podyard.logs("p", "app"),
        "0\n0 1\n1000 /d\n0 /d/by-root\n0 /etc\n0 /k/key\n0\ns\n"
    );
    // On the disk of the machine the numbers are those inside, so that another pod finds them as they were.
    let file = podyard.roots().volumes().join("default/data/file");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).expect("the file"));
    assert_eq!(owner, 0);
    assert_eq!(
        std::fs::read_dir(podyard.roots().users())
            .expect("list")
            .count(),
        1
    );
    podyard.ok(&["delete", "pod", "p"]);
    assert_eq!(
        std::fs::read_dir(podyard.roots().users())
            .expect("list")
            .count(),
        0
    );
    podyard.finish();
}

#[test]
fn a_read_only_root_has_places_to_write() {
    let podyard = Instance::new();
    let script = "for f in /x /etc/hostname /etc/hosts /dev/shm/f /dev/termination-log /d/f; do \
        (echo x >> $f) 2>/dev/null && echo $f; done";
    assert_eq!(
        printed(
            &podyard,
            "p",
            script,
            json!({"readOnlyRootFilesystem": true})
        ),
        "/etc/hosts\n/dev/shm/f\n/dev/termination-log\n/d/f\n"
    );
    let writable = printed(&podyard, "q", script, json!({}));
    assert!(
        writable.starts_with("/x\n/etc/hostname\n/etc/hosts\n"),
        "{writable}"
    );
    podyard.finish();
}

#[test]
fn a_privileged_container_is_confined_by_namespaces_alone() {
    let podyard = Instance::new();
    let script = format!(
        "{}; {}; grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1; grep -c ' /proc/' /proc/mounts; [ $(ls /proc | grep -c '^[0-9]') -lt 9 ] && echo own",
        status("Seccomp"),
        status("NoNewPrivs")
    );
    assert_eq!(
        printed(&podyard, "p", &script, json!({"privileged": true})),
        "0\n0\nrw\n0\nown\n"
    );
    podyard.finish();
}

#[test]
fn a_process_starts_with_default_signals_and_nothing_of_the_host() {
    let podyard = Instance::new();
    let script = format!(
        "{}; {}; umask; ls /proc/self/fd | tr '\\n' ' '; for n in 0 1 2; do readlink /proc/self/fd/$n; done; cut -d' ' -f6 /proc/$$$$/stat; env | grep -c ^PODYARD",
        status("SigIgn"),
        status("SigBlk")
    );
    // The descriptor 3 is that of `ls` itself.
    assert_eq!(
        printed(&podyard, "p", &format!("{script} || true"), json!({})),
        "0000000000000000\n0000000000000000\n0022\n0 1 2 3 /dev/null\n/containers/app.0/stdout\n/containers/app.0/stderr\n1\n0\n"
    );
    podyard.finish();
}
