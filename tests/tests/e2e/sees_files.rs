//! Names and files that a container finds although no volume brings them.

use podyard_e2e::Instance;
use podyard_e2e::manifest::{pod, sh, with, with_spec};
use serde_json::{Value, json};

#[track_caller]
fn printed(podyard: &Instance, name: &str, script: &str, spec: Value) -> String {
    let pod = with_spec(pod(name, "Never", &[], &[sh("app", script)]), spec);
    let output = podyard.foreground(&pod, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    podyard.logs(name, "app")
}

#[test]
fn the_pods_names() {
    let podyard = Instance::new();
    let script = "uname -n; cat /etc/hostname; echo $HOSTNAME; tail -n 1 /etc/hosts | cut -f2-";
    assert_eq!(
        printed(&podyard, "web", script, json!({})),
        "web\nweb\nweb\nweb\n"
    );
    let full = "h.sub.default.svc.cluster.local";
    assert_eq!(
        printed(
            &podyard,
            "full",
            script,
            json!({"hostname": "h", "subdomain": "sub", "setHostnameAsFQDN": true}),
        ),
        format!("{full}\n{full}\n{full}\n{full}\th\n")
    );
    podyard.finish();
}

#[test]
fn aliases_and_name_servers() {
    let podyard = Instance::new();
    let script = "tail -n 2 /etc/hosts; cat /etc/resolv.conf";
    let spec = json!({
        "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["db", "db.test"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["a.test"], "options": [{"name": "ndots", "value": "2"}]},
    });
    assert_eq!(
        printed(&podyard, "p", script, spec),
        "# Entries added by HostAliases.\n192.0.2.9\tdb\tdb.test\nsearch a.test\nnameserver 192.0.2.53\noptions ndots:2\n"
    );
    podyard.finish();
}

/// What the machine's own resolvers are, without those that a pod cannot reach.
fn of_the_machine() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut text = read("/etc/resolv.conf");
    if text.contains("127.0.0.53") {
        text = read("/run/systemd/resolve/resolv.conf");
    }
    let servers = text.lines().filter(|line| line.starts_with("nameserver"));
    servers.take(3).map(str::to_owned).collect()
}

#[test]
fn resolvers_by_policy() {
    let podyard = Instance::new();
    let more = json!({"nameservers": ["192.0.2.53"], "searches": ["a.test"]});
    for (name, spec) in [
        ("default", json!({"dnsPolicy": "Default"})),
        ("first", json!({"dnsPolicy": "ClusterFirst"})),
        (
            "first-host",
            json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}),
        ),
        (
            "with-host",
            json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}),
        ),
    ] {
        for config in [Value::Null, more.clone()] {
            let mut spec = spec.clone();
            if !config.is_null() {
                spec["dnsConfig"] = config.clone();
            }
            let text = printed(&podyard, name, "cat /etc/resolv.conf", spec);
            let found: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("nameserver"))
                .collect();
            let mut expected = of_the_machine();
            if !config.is_null() {
                expected.push("nameserver 192.0.2.53".to_owned());
                expected.truncate(3);
                assert!(text.contains("a.test"), "{name}: {text}");
            }
            assert_eq!(found, expected, "{name}: {text}");
        }
    }
    podyard.finish();
}

#[test]
fn resolvers_that_do_not_fit_are_told() {
    let podyard = Instance::new();
    let servers: Vec<String> = (1..=5).map(|number| format!("192.0.2.{number}")).collect();
    let spec = json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": &servers[..3]}});
    printed(&podyard, "fits", "true", spec);
    assert!(podyard.events("fits", "DNSConfigForming").is_empty());
    // Validation takes three; the machine's own come on top.
    let own = of_the_machine().len();
    if own > 0 {
        let spec = json!({"dnsPolicy": "Default", "dnsConfig": {"nameservers": &servers[..3]}});
        printed(&podyard, "p", "true", spec);
        let events = podyard.events("p", "DNSConfigForming");
        let message = events[0]["message"].as_str().expect("a message");
        assert!(
            message
                .starts_with("Nameserver limits were exceeded, some nameservers have been omitted"),
            "{message}"
        );
        assert_eq!(events[0]["count"], 1);
    }
    podyard.finish();
}

#[test]
fn names_of_a_pod_in_the_machines_network() {
    let podyard = Instance::new();
    let text = printed(
        &podyard,
        "p",
        "uname -n; cat /etc/hostname; echo $HOSTNAME; cat /etc/hosts",
        json!({"hostNetwork": true, "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["db"]}]}),
    );
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs");
    let hosts = std::fs::read_to_string("/etc/hosts").expect("hosts");
    let name = own.trim();
    assert_eq!(
        text,
        format!(
            "{name}\n{name}\n{name}\n# Kubernetes-managed hosts file (host network).\n{hosts}\n# Entries added by HostAliases.\n192.0.2.9\tdb\n"
        )
    );
    podyard.finish();
}

#[test]
fn a_pod_sends_and_receives_as_much_as_it_may() {
    let podyard = Instance::new();
    let bounded = |name: &str, rate: &str| {
        let mut pod = pod(
            name,
            "Never",
            &[],
            &[sh("app", "tc qdisc show dev eth0; true")],
        );
        pod["metadata"]["annotations"] = json!({
            "kubernetes.io/ingress-bandwidth": rate, "kubernetes.io/egress-bandwidth": "2M"});
        pod
    };
    let output = podyard.foreground(&bounded("p", "1M"), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = podyard.logs("p", "app");
    assert!(told.contains("tbf"), "{told}");
    // What makes no sense is not run.
    podyard.start(&bounded("q", "1"));
    let message = podyard_e2e::eventually("a refusal", || {
        let events = podyard.events("q", "FailedCreatePodSandBox");
        Some(events.first()?["message"].as_str()?.to_owned())
    });
    assert_eq!(
        message,
        "Failed to create pod sandbox: resource is unreasonably small (< 1kbit)"
    );
    podyard.ok(&["delete", "pod", "q", "--now"]);
    podyard.finish();
}

#[test]
fn a_working_directory_is_made() {
    let podyard = Instance::new();
    let app = with(
        sh("app", "pwd; stat -c '%a %u' ."),
        json!({"workingDir": "/a/b/c"}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(podyard.logs("p", "app"), "/a/b/c\n755 0\n");
    podyard.finish();
}

#[test]
fn a_terminal_is_there_and_what_is_printed_on_it_is_logged() {
    let podyard = Instance::new();
    let app = with(
        sh(
            "app",
            "tty; test -t 0 -a -t 1 -a -t 2 && echo all; echo $TERM; echo to-stderr >&2; ls /dev/console",
        ),
        json!({"tty": true, "stdin": true}),
    );
    let output = podyard.foreground(&pod("p", "Never", &[], &[app]), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        podyard.logs("p", "app").replace('\r', ""),
        "/dev/pts/0\nall\nxterm\nto-stderr\n/dev/console\n"
    );
    podyard.finish();
}

#[test]
fn a_terminal_outlives_its_supervisor() {
    let podyard = Instance::new();
    let app = with(
        sh(
            "app",
            "echo before; until [ -e /d/go ]; do sleep 0.02; done; echo after; tty",
        ),
        json!({"tty": true}),
    );
    podyard.start(&pod("p", "Never", &[], &[app]));
    podyard.wait_for_log("p", "app", "before");
    let supervisor = podyard.supervisor("p");
    let killed = std::process::Command::new("kill")
        .args(["-9", &supervisor.to_string()])
        .status();
    assert!(killed.expect("kill").success());
    std::fs::write(podyard.dirs("p").volume("empty-dir", "d").join("go"), "").expect("file");
    podyard.wait_for_phase("p", "Succeeded");
    assert_eq!(
        podyard.logs("p", "app").replace('\r', ""),
        "before\nafter\n/dev/pts/0\n"
    );
    podyard.finish();
}

#[test]
fn standard_input_waits_for_somebody_or_is_at_its_end() {
    let podyard = Instance::new();
    let app = |name: &str, stdin: bool| with(sh(name, "cat; echo end"), json!({"stdin": stdin}));
    podyard.start(&pod(
        "p",
        "Never",
        &[],
        &[app("closed", false), app("open", true)],
    ));
    podyard.wait_for_log("p", "closed", "end");
    let input = podyard.dirs("p").container_run("open", 0).join("stdin");
    let mut input = std::fs::File::options()
        .write(true)
        .open(input)
        .expect("it is open");
    std::io::Write::write_all(&mut input, b"typed\n").expect("typed");
    podyard.wait_for_log("p", "open", "typed");
    assert!(!podyard.logs("p", "open").contains("end"));
    podyard.ok(&["delete", "pod", "p", "--now"]);
    podyard.finish();
}
