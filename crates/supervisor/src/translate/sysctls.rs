//! Which sysctls a pod may set (`pod-api.md` section 6.11): those that Kubernetes calls safe, and those that the machine's owner has allowed.

use podyard_api::core::PodSpec;
use podyard_api::go::quote;

/// Nothing that is set here reaches beyond the pod.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// What containerd sets in a pod's own network namespace, so that low ports and ping need no capability.
const LOW_PORTS: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");
/// Not with users of the pod's own: there are no such groups, and the kernel refuses them.
const PING: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

/// Names and values, in the order in which they are to be set.
///
/// # Errors
///
/// The kubelet's text for the first one that may not be set; it rejects such a pod (`SysctlForbidden`).
pub(crate) fn of_pod(spec: &PodSpec, allowed: &[String]) -> Result<Vec<(String, String)>, String> {
    let context = spec.security_context.as_ref();
    let wanted = context
        .and_then(|context| context.sysctls.as_deref())
        .unwrap_or_default();
    for sysctl in wanted {
        let name = with_dots(&sysctl.name);
        let is_ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."]
            .iter()
            .any(|group| name.starts_with(group));
        let is_net = name.starts_with("net.");
        let is_allowed = allowed.iter().any(|pattern| fits(&name, pattern));
        // What is in no namespace is the machine's, whatever is allowed.
        if !SAFE.contains(&name.as_str()) && !(is_allowed && (is_ipc || is_net)) {
            return Err(format!(
                "forbidden sysctl: {} not allowlisted",
                quote(&sysctl.name)
            ));
        }
        for (is_shared, is_one_of_it, what) in [
            (spec.host_network, is_net, "Net"),
            (spec.host_ipc, is_ipc, "IPC"),
        ] {
            if is_shared == Some(true) && is_one_of_it {
                return Err(format!(
                    "{} not allowed with host {what} enabled",
                    quote(&sysctl.name)
                ));
            }
        }
    }
    let own_network = spec.host_network != Some(true);
    let all_groups = spec.host_users != Some(false);
    let defaults = [(own_network, LOW_PORTS), (own_network && all_groups, PING)].into_iter();
    let defaults = defaults.filter_map(|(is_set, sysctl)| is_set.then_some(sysctl));
    let defaults = defaults.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wanted = wanted
        .iter()
        .map(|sysctl| (sysctl.name.clone(), sysctl.value.clone()));
    Ok(defaults.chain(wanted).collect())
}

/// A name written with slashes has dots inside its parts.
fn with_dots(name: &str) -> String {
    let swap = |character| match character {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

/// `net.core.somaxconn` or `net.*`.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn names(spec: Value, allowed: &[&str]) -> Result<Vec<String>, String> {
        let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
        let allowed: Vec<String> = allowed.iter().map(|&pattern| pattern.to_owned()).collect();
        let all = of_pod(&spec, &allowed)?;
        Ok(all
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect())
    }

    fn spec(name: &str, more: Value) -> Value {
        let mut spec = more;
        spec["containers"] = json!([]);
        spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
        spec
    }

    #[test]
    fn the_pods_come_after_the_defaults() {
        let defaults = [
            "net.ipv4.ip_unprivileged_port_start=0",
            "net.ipv4.ping_group_range=0 2147483647",
        ];
        assert_eq!(
            names(json!({"containers": []}), &[]),
            Ok(defaults.map(str::to_owned).to_vec())
        );
        for name in ["net.ipv4.tcp_syncookies", "net/ipv4/tcp_syncookies"] {
            let mut expected = defaults.map(str::to_owned).to_vec();
            expected.push(format!("{name}=1"));
            assert_eq!(names(spec(name, json!({})), &[]), Ok(expected));
        }
        assert_eq!(
            names(json!({"containers": [], "hostNetwork": true}), &[]),
            Ok(Vec::new())
        );
        assert_eq!(
            names(json!({"containers": [], "hostUsers": false}), &[]),
            Ok(vec![defaults[0].to_owned()])
        );
    }

    #[test]
    fn what_is_not_safe_is_forbidden_unless_it_is_allowed() {
        let forbidden = |name: &str| Err(format!("forbidden sysctl: \"{name}\" not allowlisted"));
        let set = |name: &str, allowed: &[&str]| {
            names(spec(name, json!({})), allowed).map(|all| all.len())
        };
        assert_eq!(
            set("net.core.somaxconn", &[]),
            forbidden("net.core.somaxconn")
        );
        assert_eq!(set("net.core.somaxconn", &["net.core.*"]), Ok(3));
        assert_eq!(set("net.core.somaxconn", &["net.core.somaxconn"]), Ok(3));
        assert_eq!(
            set("net.core.somaxconn", &["net.core"]),
            forbidden("net.core.somaxconn")
        );
        assert_eq!(set("kernel.msgmax", &["kernel.msg*"]), Ok(3));
        // The whole machine's.
        assert_eq!(set("vm.swappiness", &["vm.*"]), forbidden("vm.swappiness"));
        assert_eq!(set("kernel.panic", &["*"]), forbidden("kernel.panic"));
        // An interface with a dot in its name.
        assert_eq!(
            set("net/ipv4/conf/eth0.1/arp_ignore", &["net.ipv4.conf.*"]),
            Ok(3)
        );
    }

    #[test]
    fn the_machines_own_namespaces_are_not_set() {
        assert_eq!(
            names(
                spec("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})),
                &[]
            ),
            Err("\"net.ipv4.tcp_syncookies\" not allowed with host Net enabled".to_owned())
        );
        assert_eq!(
            names(
                spec("kernel.shm_rmid_forced", json!({"hostIPC": true})),
                &[]
            ),
            Err("\"kernel.shm_rmid_forced\" not allowed with host IPC enabled".to_owned())
        );
    }
}
