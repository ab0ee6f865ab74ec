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
