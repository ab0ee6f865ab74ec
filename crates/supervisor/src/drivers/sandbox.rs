//! The pod's sandbox: namespaces held by a process that does nothing, the pod's network in them, the pod's cgroup.

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::rc::Rc;

use podyard_api::core::ContainerPort;
use podyard_lifecycle::{Action, Observation};
use podyard_linux::network::{self, NetworkConfig, PodIdentity, PortMapping, Protocol};
use podyard_linux::{Sandbox, SandboxNetwork, SandboxPlan};

use super::World;
use crate::pull::chain;
use crate::ready;
use crate::record::{self, SandboxRecord};
use crate::translate::{bandwidth, sysctls};
use crate::users;

pub(super) fn create(world: &Rc<World>, attempt: u32) {
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        // Whatever an earlier try of this very action left behind goes first.
        discard(&world).await;
        match try_create(&world, attempt) {
            Ok(record) => {
                *world.live.pod_ips.borrow_mut() = record.pod_ips.clone();
                watch(&world, attempt);
                world.report(Observation::SandboxReady {
                    attempt,
                    pod_ips: record.pod_ips,
                });
            }
            Err(message) => {
                discard(&world).await;
                world.report(Observation::SandboxFailed { attempt, message });
            }
        }
    });
}

pub(super) fn stop(world: &Rc<World>, attempt: u32) {
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        discard(&world).await;
        world.report(Observation::SandboxStopped { attempt });
    });
}

fn try_create(world: &Rc<World>, attempt: u32) -> Result<SandboxRecord, String> {
    let spec = world.spec();
    let host_network = spec.host_network == Some(true);
    let hostname = world.with_facts(|facts| facts.hostname())?;
    let sysctls = sysctls::of_pod(spec, &world.allowed_sysctls)?;
    let bandwidth = world.with_facts(bandwidth::of_pod)?;
    let user_namespace = if spec.host_users == Some(false) {
        let users = users::reserve(&world.roots, &world.dirs.uid);
        Some(users.map_err(|error| format!("cannot give the pod users of its own: {error}"))?)
    } else {
        None
    };
    let plan = SandboxPlan {
        hostname,
        domainname: None,
        network: if host_network {
            SandboxNetwork::Host
        } else {
            SandboxNetwork::New
        },
        new_ipc: spec.host_ipc != Some(true),
        new_uts: !host_network,
        share_process_namespace: spec.share_process_namespace == Some(true),
        user_namespace,
        sysctls,
        arguments: arguments(&world.roots.cgroup(), &world.title()),
        cgroup: None,
        cgroup_names: world.cgroups.shown_names(),
        oom_score_adj: Some(podyard_linux::OomScoreAdj {
            value: -998,
            required: false,
        }),
    };
    let sandbox = Sandbox::create(&plan).map_err(|error| chain(&error))?;
    let mut sandbox_record = SandboxRecord {
        version: record::version(),
        attempt,
        process: sandbox.process().id(),
        network: None,
        pod_ips: Vec::new(),
    };
    let sandbox = Rc::new(sandbox);
    *world.live.sandbox.borrow_mut() = Some(Rc::clone(&sandbox));
    // Written before the network is made: a supervisor that dies in between leaves enough for the next one to clear away.
    save(world, &sandbox_record)?;
    if host_network {
        sandbox_record.pod_ips.clone_from(&world.host_ips);
    } else {
        let ports = ports(world);
        let title = world.title();
        let pod = PodIdentity {
            uid: &world.dirs.uid,
            name: &title,
        };
        let netns = sandbox.namespaces().net.as_fd();
        let network =
            network::attach(&config(world), netns, pod, &ports).map_err(|error| chain(&error))?;
        sandbox_record.pod_ips = vec![network.address.to_string()];
        network::limit_bandwidth(netns, &network, bandwidth).map_err(|error| chain(&error))?;
        sandbox_record.network = Some(network);
    }
    save(world, &sandbox_record)?;
    Ok(sandbox_record)
}

/// For people who read a process list: of which instance this sandbox is, and whose.
fn arguments(instance: &str, title: &str) -> Vec<CString> {
    [instance, title]
        .into_iter()
        .filter_map(|word| CString::new(word).ok())
        .collect()
}

fn save(world: &World, sandbox: &SandboxRecord) -> Result<(), String> {
    let text = serde_json::to_vec(sandbox).map_err(|error| error.to_string())?;
    crate::atomic::write(&world.dirs.sandbox(), &text)
        .map_err(|error| format!("cannot write the sandbox's record: {error}"))
}

fn config(world: &World) -> NetworkConfig {
    NetworkConfig {
        instance: world.roots.instance(),
        state_dir: world.roots.network(),
        subnet: None,
    }
}

/// Published ports, of app containers only (quirk Q11).
fn ports(world: &World) -> Vec<PortMapping> {
    let mapping = |port: &ContainerPort| {
        let host_port = u16::try_from(port.host_port?)
            .ok()
            .filter(|port| *port > 0)?;
        Some(PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
            host_ip: port
                .host_ip
                .as_deref()
                .and_then(|ip| ip.parse::<IpAddr>().ok())
                .filter(|ip| !ip.is_unspecified()),
            host_port,
            container_port: u16::try_from(port.container_port).ok()?,
        })
    };
    world
        .spec()
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(mapping)
        .collect()
}

/// Says so when the sandbox dies by itself.
fn watch(world: &Rc<World>, attempt: u32) {
    let Some(sandbox) = world.live.sandbox.borrow().clone() else {
        return;
    };
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        if ready::readable(&*sandbox).await.is_err() {
            return;
        }
        let _ = sandbox.process().reap();
        let is_current = world
            .live
            .sandbox
            .borrow()
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, &sandbox));
        if is_current {
            world.report(Observation::SandboxDied { attempt });
        }
    });
}

/// Removes process, network and cgroup of whatever sandbox there is. Goes on past errors: what is left is found by the next clean-up.
async fn discard(world: &World) {
    super::containers::discard_ahead(world);
    let known = record::read::<SandboxRecord>(&world.dirs.sandbox());
    let held = world.live.sandbox.borrow_mut().take();
    match held {
        Some(sandbox) => end(&sandbox).await,
        None => {
            if let Some(Ok(Some(sandbox))) =
                known.as_ref().map(|known| Sandbox::adopt(known.process))
            {
                end(&sandbox).await;
            }
        }
    }
    if known.is_some() {
        if let Err(errors) = network::detach(&config(world), &world.dirs.uid) {
            for error in errors {
                world.complain(&format!("network: {}", chain(&error)));
            }
        }
        let _ = std::fs::remove_file(world.dirs.sandbox());
    }
    world.remove_pod_cgroup();
}

async fn end(sandbox: &Sandbox) {
    let _ = sandbox
        .process()
        .signal(rustix::process::Signal::KILL.as_raw());
    // SIGKILL cannot be refused. But where it is the first process of everybody's pid namespace, the kernel does not let it go before each
    // of the others is reaped, and those that were containers are reaped here, by other tasks.
    let _ = ready::readable(sandbox).await;
    let _ = sandbox.process().reap();
}

/// Takes over the sandbox that the last supervisor made, or finds that it is gone.
pub(super) fn adopt(world: &Rc<World>, pending: &[Action]) {
    let is_being_made = pending
        .iter()
        .any(|action| matches!(action, Action::CreateSandbox { .. }));
    let Some(known) = record::read::<SandboxRecord>(&world.dirs.sandbox()) else {
        return;
    };
    if is_being_made {
        return;
    }
    *world.live.pod_ips.borrow_mut() = known.pod_ips.clone();
    match Sandbox::adopt(known.process) {
        Ok(Some(sandbox)) => {
            *world.live.sandbox.borrow_mut() = Some(Rc::new(sandbox));
            watch(world, known.attempt);
        }
        Ok(None) => world.report(Observation::SandboxDied {
            attempt: known.attempt,
        }),
        Err(error) => {
            world.complain(&format!("cannot take over the sandbox: {error}"));
            world.report(Observation::SandboxDied {
                attempt: known.attempt,
            });
        }
    }
}
