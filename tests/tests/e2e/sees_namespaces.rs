//! Which namespaces a container shares with the pod and with the machine, and what it finds in them.

use podyard_e2e::Instance;
use podyard_e2e::manifest::{HANG, pod, sh, with, with_spec};
use serde_json::{Value, json};

const KINDS: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

fn namespaces(text: &str) -> Vec<&str> {
    text.lines().take(KINDS.len()).collect()
}

/// Which of a container's namespaces are the machine's, and which are those of the pod's second container.
#[track_caller]
fn shared(podyard: &Instance, name: &str, spec: Value) -> (Vec<&'static str>, Vec<&'static str>) {
    // While both are there: a number of a namespace that is gone may be another's.
    let look = |name: &str| {
        format!(
            "for k in {}; do readlink /proc/self/ns/$k; done; touch /d/{name}; until [ -e /d/one -a -e /d/two ]; do :; done",
            KINDS.join(" ")
        )
    };
    let pod = with_spec(
        pod(
            name,
            "Never",
            &[],
            &[sh("one", &look("one")), sh("two", &look("two"))],
        ),
        spec,
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (one, two) = (podyard.logs(name, "one"), podyard.logs(name, "two"));
    let (one, two) = (namespaces(&one), namespaces(&two));
    let own = KINDS.map(|kind| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        link.to_str().expect("UTF-8").to_owned()
    });
    let kinds = |is_so: &dyn Fn(usize) -> bool| {
        (0..KINDS.len())
            .filter(|index| is_so(*index))
            .map(|index| KINDS[index])
            .collect()
    };
    (
        kinds(&|index| one[index] == own[index]),
        kinds(&|index| one[index] == two[index] && one[index] != own[index]),
    )
}

#[test]
fn what_is_shared_is_what_the_manifest_says() {
    let podyard = Instance::new();
    for (name, spec, machine, pod) in [
        ("plain", json!({}), vec!["user"], vec!["ipc", "net", "uts"]),
        (
            "process",
            json!({"shareProcessNamespace": true}),
            vec!["user"],
            vec!["ipc", "net", "pid", "uts"],
        ),
        (
            "host-pid",
            json!({"hostPID": true}),
            vec!["pid", "user"],
            vec!["ipc", "net", "uts"],
        ),
        (
            "host-ipc",
            json!({"hostIPC": true}),
            vec!["ipc", "user"],
            vec!["net", "uts"],
        ),
        (
            "host-network",
            json!({"hostNetwork": true}),
            vec!["net", "user", "uts"],
            vec!["ipc"],
        ),
        (
            "users",
            json!({"hostUsers": false}),
            vec![],
            vec!["ipc", "net", "user", "uts"],
        ),
    ] {
        assert_eq!(shared(&podyard, name, spec), (machine, pod), "{name}");
    }
    podyard.finish();
}

#[test]
fn containers_that_share_processes_see_and_signal_each_other() {
    let podyard = Instance::new();
    let other = "until p=$(pidof sleep); do sleep 0.02; done; \
        ls /proc/$p/root/bin/busybox; cut -d' ' -f4 /proc/1/stat; kill -TERM $p";
    let pod = with_spec(
        pod(
            "p",
            "Never",
            &[],
            &[
                sh("one", "sleep 3600 & wait $!; echo ended: $?"),
                sh("two", other),
            ],
        ),
        json!({"shareProcessNamespace": true}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(podyard.logs("p", "one").ends_with("ended: 143\n"));
    assert!(podyard.logs("p", "two").ends_with("/bin/busybox\n0\n"));
    podyard.finish();
}

/// The first process of a shared pid namespace is the sandbox, of which nothing leads to the machine's files.
#[test]
fn the_first_of_shared_processes_is_a_pause() {
    let podyard = Instance::new();
    let look = "tr '\\0' '\\n' < /proc/1/cmdline; cat /proc/1/comm; readlink /proc/1/exe || echo nothing to see";
    let pod = with_spec(
        pod("p", "Never", &[], &[sh("app", look)]),
        json!({"shareProcessNamespace": true}),
    );
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let instance = podyard.roots().cgroup();
    assert_eq!(
        podyard.logs("p", "app"),
        format!("/pause\n{instance}\ndefault/p\npause\nnothing to see\n")
    );
    podyard.finish();
}

/// What is masked and read-only for everybody else is open to who has users of its own and asks for it.
#[test]
fn all_of_procfs_for_a_pod_with_its_own_users() {
    let podyard = Instance::new();
    let script = "grep -c ' /proc/' /proc/mounts; grep ' /proc ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1; \
        cat /proc/sys/net/ipv4/ip_forward >/dev/null && echo 1 > /proc/sys/net/ipv4/ip_forward && echo own network; \
        (echo x > /proc/sysrq-trigger) 2>/dev/null || echo not the machine";
    let app = |mount: &str| {
        with(
            sh("app", script),
            json!({"securityContext": {"procMount": mount, "capabilities": {"add": ["NET_ADMIN"]}}}),
        )
    };
    let run = |name: &str, mount: &str| {
        let pod = with_spec(
            pod(name, "Never", &[], &[app(mount)]),
            json!({"hostUsers": false}),
        );
        let output = podyard.foreground(&pod, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        podyard.logs(name, "app")
    };
    assert_eq!(
        run("unmasked", "Unmasked"),
        "0\nrw\nown network\nnot the machine\n"
    );
    let masked = run("masked", "Default");
    assert!(!masked.starts_with("0\n"), "{masked}");
    assert!(!masked.contains("own network"), "{masked}");
    // With the machine's users nobody gets it.
    let path = podyard.pod_file(&pod("refused", "Never", &[], &[app("Unmasked")]));
    let output = podyard.run(&["run", "-d", &path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("`hostUsers` must be false to use `Unmasked`"),
        "{said}"
    );
    podyard.finish();
}

/// Devices, descriptors, environment and limits of a plain container, all of them.
#[test]
fn nothing_is_there_that_does_not_belong() {
    let podyard = Instance::new();
    let script = "cd /dev; for f in *; do if [ -L $f ]; then echo \"$f -> $(readlink $f)\"; \
        else stat -c '%n %F %a %t:%T' $f; fi; done; echo; env | sort; echo; \
for n in $(seq 0 40); do readlink /proc/1/fd/$n; done | cut -d: -f1; echo; \
        awk '{print $1}' /proc/self/limits >/dev/null; cat /proc/self/limits";
    let path = podyard.pod_file(&pod("p", "Never", &[], &[sh("app", script)]));
    let output = podyard
        .command(&["run", &path])
        .env("OF_THE_HOST", "x")
        .env("TERM", "xterm")
        .output()
        .expect("podyard runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = podyard.logs("p", "app");
    let parts: Vec<&str> = printed.split("\n\n").collect();
    assert_eq!(
        parts[0],
        "core -> /proc/kcore
fd -> /proc/self/fd
full character special file 666 1:7
mqueue directory 1777 0:0
null character special file 666 1:3
ptmx -> pts/ptmx
pts directory 755 0:0
random character special file 666 1:8
shm directory 1777 0:0
stderr -> /proc/self/fd/2
stdin -> /proc/self/fd/0
stdout -> /proc/self/fd/1
termination-log regular empty file 666 0:0
tty character special file 666 5:0
urandom character special file 666 1:9
zero character special file 666 1:5"
    );
    let mut variables: Vec<&str> = parts[1]
        .lines()
        .map(|line| line.split('=').next().unwrap_or_default())
        .collect();
    // The shell's own.
    variables.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(variables, ["HOME", "HOSTNAME", "PATH"]);
    assert_eq!(
        parts[2],
        "/dev/null\n/containers/app.0/stdout\n/containers/app.0/stderr"
    );
    // Like a container runtime podyard sets none: they are those that it was started with.
    let own = std::fs::read_to_string("/proc/self/limits").expect("procfs");
    let limits = |text: &str| -> Vec<String> {
        let lines = text.trim().lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(limits(parts[3]), limits(&own));
    podyard.finish();
}

#[test]
fn a_security_module_that_is_not_there_is_refused_or_ignored_as_in_kubernetes() {
    if std::path::Path::new("/sys/module/apparmor").exists()
        || std::path::Path::new("/sys/fs/selinux/enforce").exists()
    {
        podyard_e2e::skipped("this kernel runs with a security module");
        return;
    }
    let podyard = Instance::new();
    let app = |context: Value| with(sh("app", "echo runs"), json!({"securityContext": context}));
    let profile = json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}});
    let output = podyard.foreground(&pod("p", "Never", &[], &[app(profile)]), &[]);
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    let status = podyard.pod("p")["status"].clone();
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("AppArmor"))
    );
    assert_eq!(
        status["message"],
        "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
    );
    let options = json!({"seLinuxOptions": {"level": "s0:c1,c2"}});
    let output = podyard.foreground(&pod("q", "Never", &[], &[app(options)]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("q", "app"), "runs\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("seLinuxOptions"), "{said}");
    podyard.finish();
}

#[test]
fn a_process_that_is_told_to_end_gets_the_signal_of_its_image_or_term() {
    let podyard = Instance::new();
    let script = "trap 'echo told; exit 0' TERM; touch /d/up; while :; do sleep 0.05; done";
    podyard.start(&pod(
        "p",
        "Never",
        &[],
        &[sh("app", script), sh("deaf", HANG)],
    ));
    podyard.wait_for_condition("p", "Ready");
    let mark = podyard.dirs("p").volume("empty-dir", "d").join("up");
    podyard_e2e::eventually("it listens", || mark.exists().then_some(()));
    let follower = podyard.spawn(&["logs", "-f", "p", "-c", "app"]);
    podyard.ok(&["delete", "pod", "p", "--grace-period", "2"]);
    let seen = follower.wait_with_output().expect("logs");
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "told\n");
    podyard.finish();
}
