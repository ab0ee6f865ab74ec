//! The files that the kubelet writes for a container: hosts, hostname, resolv.conf (`pod-api.md` section 8). Pure text.

use std::fmt::Write as _;

use super::PodFacts;

/// At most this many name servers and search domains reach a container, and search domains of this length, alone and together
/// (section 8.3).
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 253;
const MAX_SEARCHES_BYTES: usize = 2048;

/// `/etc/hosts`.
pub(crate) fn hosts(facts: &PodFacts<'_>, host_file: &str) -> String {
    let mut text = String::new();
    if facts.spec.host_network == Some(true) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(host_file);
    } else {
        text.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let hostname = facts.short_hostname();
        for ip in facts.pod_ips {
            let _ = match facts.domain() {
                Some(domain) => writeln!(text, "{ip}\t{hostname}.{domain}\t{hostname}"),
                None => writeln!(text, "{ip}\t{hostname}"),
            };
        }
    }
    let aliases = facts.spec.host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
    }
    text
}

/// `/etc/resolv.conf`, and what did not fit into it.
pub(crate) struct ResolvConf {
    pub(crate) text: String,
    /// In the kubelet's words.
    pub(crate) omissions: Vec<String>,
}

/// `/etc/resolv.conf`. There is no cluster DNS on one machine, so `ClusterFirst` means the machine's own, silently.
pub(crate) fn resolv_conf(facts: &PodFacts<'_>, host_file: &str) -> ResolvConf {
    let mut nameservers: Vec<String> = Vec::new();
    let mut searches: Vec<String> = Vec::new();
    let mut options: Vec<String> = Vec::new();
    if facts.spec.dns_policy.as_deref() != Some("None") {
        for line in host_file.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => nameservers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    searches = words
                        .map(|word| word.strip_suffix('.').unwrap_or(word).to_owned())
                        .filter(|word| !word.is_empty())
                        .collect();
                }
                Some("options") => options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
    }
    if let Some(config) = &facts.spec.dns_config {
        extend_unique(&mut nameservers, config.nameservers.iter().flatten());
        extend_unique(&mut searches, config.searches.iter().flatten());
        for option in config.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            options.retain(|known| known.split(':').next() != Some(name));
            options.push(match option.value.as_deref() {
                None | Some("") => name.clone(),
                Some(value) => format!("{name}:{value}"),
            });
        }
    }
    let mut omissions = Vec::new();
    let wanted = (nameservers.len(), searches.len());
    nameservers.truncate(MAX_NAMESERVERS);
    if nameservers.len() < wanted.0 {
        omissions.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            nameservers.join(" ")
        ));
    }
    limit_searches(&mut searches);
    if searches.len() < wanted.1 {
        omissions.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            searches.join(" ")
        ));
    }
    let mut text = String::new();
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    for nameserver in nameservers {
        let _ = writeln!(text, "nameserver {nameserver}");
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    ResolvConf { text, omissions }
}

fn limit_searches(searches: &mut Vec<String>) {
    searches.retain(|search| search.len() <= MAX_SEARCH_BYTES);
    searches.truncate(MAX_SEARCHES);
    while searches.join(" ").len() > MAX_SEARCHES_BYTES {
        searches.pop();
    }
}

fn extend_unique<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Of the machine.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A stub resolver on the machine's loopback is out of a pod's reach; systemd keeps the real servers elsewhere.
pub(crate) fn resolv_conf_source(host_file: &str) -> &'static str {
    if host_file.lines().any(|line| {
        line.split_ascii_whitespace()
            .eq(["nameserver", "127.0.0.53"])
    }) {
        "/run/systemd/resolve/resolv.conf"
    } else {
        RESOLV_CONF
    }
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{HostAlias, Pod, PodDNSConfig, PodDNSConfigOption, PodSpec};

    use super::*;

    fn with<T>(spec: PodSpec, then: impl FnOnce(&PodFacts<'_>) -> T) -> T {
        let mut pod = Pod::default();
        pod.metadata.name = Some("web".to_owned());
        let pod_ips = ["10.0.0.7".to_owned()];
        then(&PodFacts {
            pod_ips: &pod_ips,
            ..PodFacts::alone(&pod, &spec)
        })
    }

    #[test]
    fn hosts_of_the_hosts_network() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [], "hostNetwork": true, "hostAliases": [{"ip": "1.2.3.4"}],
        }))
        .expect("a spec");
        assert_eq!(
            with(spec, |facts| hosts(facts, "127.0.0.1 localhost\n")),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n\n# Entries added by HostAliases.\n1.2.3.4\t\n"
        );
    }

    #[test]
    fn every_policy_for_names() {
        let host = "# comment\nsearch old.test\nnameserver 1.1.1.1\nsearch a.test. . b.test\noptions rotate\n";
        let of_host = "search a.test b.test\nnameserver 1.1.1.1\noptions rotate\n";
        for policy in ["ClusterFirst", "ClusterFirstWithHostNet", "Default"] {
            let spec = PodSpec {
                dns_policy: Some(policy.to_owned()),
                ..PodSpec::default()
            };
            assert_eq!(
                with(spec, |facts| resolv_conf(facts, host).text),
                of_host,
                "{policy}"
            );
        }
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [], "dnsPolicy": "None", "dnsConfig": {
                "nameservers": ["9.9.9.9"], "searches": ["x.test", "."], "options": [{"name": "ndots", "value": ""}]},
        }))
        .expect("a spec");
        assert_eq!(
            with(spec, |facts| resolv_conf(facts, host).text),
            "search x.test .\nnameserver 9.9.9.9\noptions ndots\n"
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [], "dnsPolicy": "None", "dnsConfig": {
                "nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"],
                "searches": (0..33).map(|number| format!("s{number}")).collect::<Vec<_>>(),
            },
        }))
        .expect("a spec");
        let omissions = with(spec, |facts| resolv_conf(facts, "").omissions);
        assert_eq!(omissions.len(), 2);
        assert_eq!(
            omissions[0],
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3"
        );
        let (text, line) = omissions[1].split_once(": ").expect("a line");
        assert_eq!(
            text,
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is"
        );
        assert_eq!(line.split(' ').count(), 32);
        let fits = with(PodSpec::default(), |facts| {
            resolv_conf(facts, "nameserver 1.1.1.1\n").omissions
        });
        assert!(fits.is_empty());
    }

    #[test]
    fn search_domains_are_bounded() {
        let mut searches: Vec<String> = (0..40).map(|number| format!("s{number}.test")).collect();
        searches.insert(0, "x".repeat(254));
        limit_searches(&mut searches);
        assert_eq!(searches.len(), 32);
        assert_eq!(searches[0], "s0.test");
        let mut searches: Vec<String> = (0..20).map(|_| "y".repeat(200)).collect();
        limit_searches(&mut searches);
        assert_eq!(searches.len(), 10);
    }

    #[test]
    fn hosts_as_the_kubelet_writes_it() {
        let alias = HostAlias {
            ip: "1.2.3.4".to_owned(),
            hostnames: Some(vec!["a".to_owned(), "b".to_owned()]),
        };
        let spec = PodSpec {
            host_aliases: Some(vec![alias]),
            subdomain: Some("sub".to_owned()),
            ..PodSpec::default()
        };
        let text = with(spec, |facts| hosts(facts, ""));
        assert!(
            text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"),
            "{text}"
        );
        let tail = "10.0.0.7\tweb.sub.default.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn name_servers_are_merged_and_bounded() {
        let config = PodDNSConfig {
            nameservers: Some(vec!["9.9.9.9".to_owned(), "8.8.8.8".to_owned()]),
            searches: None,
            options: Some(vec![PodDNSConfigOption {
                name: Some("ndots".to_owned()),
                value: Some("2".to_owned()),
            }]),
        };
        let spec = PodSpec {
            dns_config: Some(config),
            ..PodSpec::default()
        };
        let host =
            "search a.test. .\nnameserver 8.8.8.8\nnameserver 1.1.1.1\noptions ndots:5 edns0\n";
        let text = with(spec, |facts| resolv_conf(facts, host).text);
        assert_eq!(
            text,
            "search a.test\nnameserver 8.8.8.8\nnameserver 1.1.1.1\nnameserver 9.9.9.9\noptions edns0 ndots:2\n"
        );
    }
}
