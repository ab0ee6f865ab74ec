//! Host ports, DNS, host names and aliases.

use std::collections::BTreeSet;

use super::Found;
use super::pod::{Of, text};
use crate::core::{Container, PodSpec};
use crate::diagnostic::Diagnostic;
use crate::go::json_string;
use crate::names;
use crate::path::Path;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;
const MAX_HOSTNAME: usize = 64;

/// Two containers of a pod cannot have the same port of the host.
pub(super) fn host_port_conflicts(found: &mut Found, path: &Path, containers: &[Container]) {
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        conflicts(found, &path, &path, container, &mut seen);
    }
}

/// Init containers run one after the other, so each is looked at alone; the API server then always prints index 0.
pub(super) fn host_port_conflicts_of_init(
    found: &mut Found,
    path: &Path,
    index: usize,
    container: &Container,
) {
    conflicts(
        found,
        &path.index(0),
        &path.index(index),
        container,
        &mut BTreeSet::new(),
    );
}

fn conflicts(
    found: &mut Found,
    printed: &Path,
    own: &Path,
    container: &Container,
    seen: &mut BTreeSet<String>,
) {
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let host_port = port.host_port.unwrap_or_default();
        if host_port == 0 {
            continue;
        }
        let key = format!(
            "{}/{}/{host_port}",
            text(port.protocol.as_ref()),
            text(port.host_ip.as_ref())
        );
        if !seen.insert(key.clone()) {
            let of = |path: &Path| path.field("ports").index(index).field("hostPort");
            found.add(Diagnostic::duplicate(&of(printed), &key).located_at(of(own)));
        }
    }
}

pub(super) fn host_network_ports(found: &mut Found, path: &Path, spec: &PodSpec, of: Of) {
    if spec.host_network != Some(true) {
        return;
    }
    for (index, container) in spec.containers.iter().enumerate() {
        for (port_index, port) in container.ports.iter().flatten().enumerate() {
            let host_port = port.host_port.unwrap_or_default();
            // In a template the host's port is not filled in yet.
            if host_port != port.container_port && !(of == Of::Template && host_port == 0) {
                let path = path
                    .field("containers")
                    .index(index)
                    .field("ports")
                    .index(port_index)
                    .field("hostPort");
                let message = "must match `containerPort` when `hostNetwork` is true";
                found.number(&path, host_port, message);
            }
        }
    }
}

pub(super) fn dns_config(found: &mut Found, path: &Path, spec: &PodSpec) {
    let nameservers = spec
        .dns_config
        .as_ref()
        .and_then(|config| config.nameservers.as_deref())
        .unwrap_or_default();
    if text(spec.dns_policy.as_ref()) == "None" {
        if spec.dns_config.is_none() {
            found.add(
                Diagnostic::required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
                    .located_at(Path::fields("spec.dnsPolicy")),
            );
            return;
        }
        if nameservers.is_empty() {
            let message = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            found.add(Diagnostic::required(&path.field("nameservers"), message));
            return;
        }
    }
    let Some(config) = &spec.dns_config else {
        return;
    };
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| json_string(item)).collect();
        format!("[{}]", items.join(","))
    };
    let at = path.field("nameservers");
    if nameservers.len() > MAX_NAMESERVERS {
        let message = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        found.add(Diagnostic::invalid_json(&at, &list(nameservers), &message));
    }
    for (index, nameserver) in nameservers.iter().enumerate() {
        found.each(&at.index(index), nameserver, names::ip_address(nameserver));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let at = path.field("searches");
    if searches.len() > MAX_SEARCHES {
        let message = format!("must not have more than {MAX_SEARCHES} search paths");
        found.add(Diagnostic::invalid_json(&at, &list(searches), &message));
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        let message = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        found.add(Diagnostic::invalid_json(&at, &list(searches), &message));
    }
    for (index, search) in searches.iter().enumerate() {
        let messages = names::search_domain(search);
        let printed = search.strip_suffix('.').unwrap_or(search);
        found.each(&at.index(index), printed, messages);
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if text(option.name.as_ref()).is_empty() {
            found.add(Diagnostic::required(
                &path.field("options").index(index),
                "must not be empty",
            ));
        }
    }
}

pub(super) fn hostname_override(found: &mut Found, path: &Path, spec: &PodSpec) {
    let Some(name) = &spec.hostname_override else {
        return;
    };
    found.subdomain(path, name);
    if name.len() > MAX_HOSTNAME {
        found.add(Diagnostic::too_long(path, MAX_HOSTNAME));
    }
    for (field, set) in [
        ("setHostnameAsFQDN", spec.set_hostname_as_fqdn),
        ("hostNetwork", spec.host_network),
    ] {
        if set == Some(true) {
            found.add(Diagnostic::forbidden(
                path,
                &format!("may not be specified when {field} is true"),
            ));
        }
    }
}

pub(super) fn host_aliases(found: &mut Found, path: &Path, spec: &PodSpec) {
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.index(index);
        found.each(&path.field("ip"), &alias.ip, names::ip_address(&alias.ip));
        for (index, name) in alias.hostnames.iter().flatten().enumerate() {
            found.subdomain(&path.field("hostnames").index(index), name);
        }
    }
}
