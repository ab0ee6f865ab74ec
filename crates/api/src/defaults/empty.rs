//! Fields that say nothing. The API server does not store an empty list, and for some fields not even `false`, `0` or an empty
//! text, since to it they are the same as no field at all.

use std::collections::BTreeMap;

use crate::core::{Capabilities, Container, Pod, PodSpec, Probe, Volume};

trait Empty {
    fn is_empty(&self) -> bool;
}

impl Empty for bool {
    fn is_empty(&self) -> bool {
        !self
    }
}

impl Empty for i32 {
    fn is_empty(&self) -> bool {
        *self == 0
    }
}

impl Empty for String {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Empty for Vec<T> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Empty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

fn drop_empty<T: Empty>(field: &mut Option<T>) {
    if field.as_ref().is_some_and(Empty::is_empty) {
        *field = None;
    }
}

/// The same for several fields.
macro_rules! drop_empty {
    ($from:expr; $($field:ident),+ $(,)?) => {
        $(drop_empty(&mut $from.$field);)+
    };
}

pub(super) fn metadata(pod: &mut Pod) {
    drop_empty!(pod.metadata; labels, annotations, finalizers, owner_references);
}

pub(super) fn spec(spec: &mut PodSpec) {
    drop_empty!(
        spec;
        host_aliases, host_ipc, host_network, host_pid, hostname, image_pull_secrets, init_containers, node_name,
        node_selector, overhead, priority_class_name, readiness_gates, resource_claims, scheduling_gates, subdomain,
        tolerations, topology_spread_constraints, volumes,
    );
    if let Some(context) = &mut spec.security_context {
        drop_empty!(context; supplemental_groups, sysctls);
    }
    if let Some(config) = &mut spec.dns_config {
        drop_empty!(config; nameservers, options, searches);
    }
    for alias in spec.host_aliases.iter_mut().flatten() {
        drop_empty!(alias; hostnames);
    }
    spec.volumes.iter_mut().flatten().for_each(volume);
    let init = spec.init_containers.iter_mut().flatten();
    init.chain(&mut spec.containers).for_each(container);
}

fn volume(volume: &mut Volume) {
    if let Some(directory) = &mut volume.empty_dir {
        drop_empty!(directory; medium);
    }
    if let Some(map) = &mut volume.config_map {
        drop_empty!(map; items);
    }
    if let Some(secret) = &mut volume.secret {
        drop_empty!(secret; items, secret_name);
    }
    if let Some(downward) = &mut volume.downward_api {
        drop_empty!(downward; items);
    }
    if let Some(claim) = &mut volume.persistent_volume_claim {
        drop_empty!(claim; read_only);
    }
    let projected = volume.projected.iter_mut();
    for source in projected.flat_map(|volume| volume.sources.iter_mut().flatten()) {
        if let Some(map) = &mut source.config_map {
            drop_empty!(map; items);
        }
        if let Some(secret) = &mut source.secret {
            drop_empty!(secret; items);
        }
        if let Some(downward) = &mut source.downward_api {
            drop_empty!(downward; items);
        }
    }
}

fn container(container: &mut Container) {
    drop_empty!(
        container;
        args, command, env, env_from, ports, resize_policy, restart_policy_rules, stdin, stdin_once, tty, volume_devices,
        volume_mounts, working_dir,
    );
    for variable in container.env.iter_mut().flatten() {
        drop_empty!(variable; value);
    }
    for source in container.env_from.iter_mut().flatten() {
        drop_empty!(source; prefix);
    }
    for port in container.ports.iter_mut().flatten() {
        drop_empty!(port; host_ip, host_port, name);
    }
    for mount in container.volume_mounts.iter_mut().flatten() {
        drop_empty!(mount; read_only, sub_path, sub_path_expr);
    }
    if let Some(resources) = &mut container.resources {
        drop_empty!(resources; claims, limits, requests);
    }
    let context = container.security_context.as_mut();
    if let Some(Capabilities { add, drop }) = context.and_then(|own| own.capabilities.as_mut()) {
        drop_empty(add);
        drop_empty(drop);
    }
    for probe in [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ]
    .into_iter()
    .flatten()
    {
        self::probe(probe);
    }
    let lifecycle = container.lifecycle.iter_mut();
    let handlers = lifecycle.flat_map(|own| [&mut own.post_start, &mut own.pre_stop]);
    for handler in handlers.flatten() {
        if let Some(http) = &mut handler.http_get {
            drop_empty!(http; host, http_headers);
        }
    }
}

fn probe(probe: &mut Probe) {
    drop_empty!(probe; initial_delay_seconds);
    if let Some(http) = &mut probe.http_get {
        drop_empty!(http; host, http_headers);
    }
    if let Some(tcp) = &mut probe.tcp_socket {
        drop_empty!(tcp; host);
    }
}
