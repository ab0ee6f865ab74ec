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
