//! The network of pods: one veth pair per pod, routed, and one firewall table per instance.
//!
//! ```text
//!   pod's namespace                      this machine's namespace
//!   ┌──────────────────────┐             ┌──────────────────────────────────────────┐
//!   │ lo   eth0 10.88.0.2  │─────────────│ py<instance>-2  10.88.0.1   (gateway)    │
//!   └──────────────────────┘  veth pair  │ route 10.88.0.2 dev py<instance>-2       │
//!   ┌──────────────────────┐             │                                          │
//!   │ lo   eth0 10.88.0.3  │─────────────│ py<instance>-3  10.88.0.1   (gateway)    │
//!   └──────────────────────┘  veth pair  │ route 10.88.0.3 dev py<instance>-3       │
//!                                        │                                          │
//!                                        │ route unreachable 10.88.0.0/20           │
//!                                        │ table ip podyard_<instance>: host ports, │
//!                                        │     masquerade             ── uplink ──▶ │
//!                                        └──────────────────────────────────────────┘
//! ```
//!
//! There is no bridge: every pod has its own wire to this machine, which routes between them. So nothing that a pod
//! sends reaches another pod without passing the firewall, no address can be claimed by answering for it (both ends know
//! the other's hardware address from the start), the thousandth pod does not hear the chatter of the others, and there
//! is one thing less to make with the first pod and to remove after the last one, which took longer than all the rest.
//! What pods do without in return is broadcast and multicast to each other, which Kubernetes does not promise.
//!
//! An *instance* is what shares a root directory; any number of them work beside each other in one network namespace.
//! Everything bears the instance's name or number, so one can tell whose it is, and nothing else is ever touched, with
//! one exception: packets are forwarded (`net.ipv4.ip_forward`) once there is a pod network. It is not switched off
//! again, as nobody can tell who else relies on it by then.
//!
//! No external programs, no threads, no async: requests are worked off by the kernel while the caller waits, one to
//! three milliseconds per pod, whatever the number of pods. All functions work on the network namespace that the
//! calling thread is in. [`detach`] takes some 20 ms, as the kernel waits until nobody looks at the interface any more.
//!
//! Left out: IPv6. The seams are `nft::Family`, `ports::Normalized::unmapped` and the address type of the leases.
//! This machine's ends have IPv6 switched off meanwhile, so that pods cannot advertise themselves as this machine's
//! router (CVE-2020-10749).

mod address;
mod bandwidth;
mod conntrack;
mod error;
mod expression;
mod firewall;
mod leases;
mod link;
mod machine;
mod message;
mod netlink;
mod nft;
mod ports;
mod probe;
mod route;
mod subnet;
mod sys;

pub use bandwidth::{Bandwidth, limit_bandwidth};
pub use error::{KernelError, NetworkError};
pub use ipnet::Ipv4Net;
pub use ports::{PortHolder, PortMapping, Protocol};

use leases::{Lease, Leases, Store};
use machine::Machine;
use netlink::Socket;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// One instance's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// 1 to 6 lower-case letters and digits that no other instance on this machine has. Becomes part of names.
    pub instance: String,
    /// Where leases are kept; on a file system that does not outlive the machine's uptime. Made when needed, removed
    /// with the last lease.
    pub state_dir: PathBuf,
    /// The subnet of the pods, /12 to /29. Without one, a free subnet of 10.88.0.0/13 is chosen. A change takes effect
    /// when no pod is left.
    pub subnet: Option<Ipv4Net>,
}

/// A pod, as far as its network is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodIdentity<'a> {
    /// The key of its lease.
    pub uid: &'a str,
    /// `<namespace>/<name>`, for messages and as remark on everything that is made.
    pub name: &'a str,
}

/// What a pod got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The network it is in, together with the other pods of the instance.
    pub subnet: Ipv4Net,
    /// This machine, as pods see it.
    pub gateway: Ipv4Addr,
    /// The end of the pod's veth pair on this machine.
    pub host_interface: String,
    /// The end inside the pod.
    pub pod_interface: String,
    /// The hardware address of the end inside the pod.
    pub hardware_address: String,
    /// The size of packets, in bytes: that of the interface through which this machine reaches the outside world.
    pub mtu: u32,
    /// The host ports that are in effect.
    pub ports: Vec<PortMapping>,
    /// Host ports that were asked for on IPv6 addresses, which an IPv4 network cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmapped_ports: Vec<PortMapping>,
    /// Whether another program's firewall drops what pods send to the outside world, as Docker's does. Only that
    /// program's settings can change it.
    #[serde(default)]
    pub forwarding_blocked: bool,
}

/// Gives a pod its network: loopback, an interface with an address and a default route, and its host ports.
///
/// Safe to repeat: a pod that has a lease keeps its address, and what exists of an earlier attempt is replaced.
///
/// # Errors
///
/// Nothing of the pod's network, its lease included, remains after an error. Should the clean-up fail too, its errors
/// are lost, but a later [`detach`] finds the lease and repeats it.
pub fn attach(
    config: &NetworkConfig,
    namespace: BorrowedFd<'_>,
    pod: PodIdentity<'_>,
    wanted: &[PortMapping],
) -> Result<PodNetwork, NetworkError> {
    let mut machine = Machine::open(config)?;
    let attached = attach_or_fail(&mut machine, config, namespace, pod, wanted);
    if attached.is_err() {
        // The first error is the one to tell.
        let _ = release(&mut machine, config, pod.uid);
    }
    attached
}

/// Switches a namespace's loopback interface on, and nothing else.
///
/// # Errors
///
/// When the namespace cannot be entered or the kernel refuses.
pub fn loopback(namespace: BorrowedFd<'_>) -> Result<(), NetworkError> {
    let mut inside = Socket::open_in(namespace, netlink::ROUTE)?;
    inside
        .requests(&[link::loopback_up()])
        .map_err(|error| error.during("bring up lo"))?;
    Ok(())
}

/// A TCP socket in a network namespace, for a connection to `address`, which it does not make. It does not block.
///
/// # Errors
///
/// When the namespace cannot be entered or has no such sockets.
pub fn tcp_socket_in(
    namespace: BorrowedFd<'_>,
    address: &std::net::SocketAddr,
) -> std::io::Result<OwnedFd> {
    let family = match address {
        std::net::SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
        std::net::SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
    };
    sys::socket_in(namespace, || sys::tcp_socket(family))
}

/// The IPv4 addresses of this machine's interfaces, each with the interface's name. The interfaces themselves, of which each pod has one,
/// are not looked at.
///
/// # Errors
///
/// When the kernel refuses.
pub fn addresses() -> Result<Vec<(String, std::net::Ipv4Addr)>, NetworkError> {
    address::addresses(&mut Socket::open(netlink::ROUTE)?)
}

/// Takes a pod's network away: host ports, flows through them, the interface, the lease; with the last lease of the
/// instance its table, subnet and state directory. Safe to repeat, and for pods that never had a network.
///
/// # Errors
///
/// All that went wrong; it does not stop at the first one. The lease then stays, so that it can be repeated.
pub fn detach(config: &NetworkConfig, pod_uid: &str) -> Result<(), Vec<NetworkError>> {
    let mut machine = Machine::open(config).map_err(|error| vec![error])?;
    release(&mut machine, config, pod_uid)
}

/// Check everything, write the lease down, then build from the outside in.
fn attach_or_fail(
    machine: &mut Machine,
    config: &NetworkConfig,
    namespace: BorrowedFd<'_>,
    pod: PodIdentity<'_>,
    wanted: &[PortMapping],
) -> Result<PodNetwork, NetworkError> {
    let ports = ports::normalize(wanted)?;
    let mut inside = Socket::open_in(namespace, netlink::ROUTE)?;

    let (lease, subnet) = reserve(machine, config, pod, &ports.mappings)?;
    probe::require_free(&ports.mappings)?;
    ports::publish(
        &mut machine.netfilter,
        &machine.table,
        &ports.mappings,
        lease.address,
        pod.name,
    )?;
    conntrack::forget_host_ports(&mut machine.netfilter, &ports.mappings)?;

    let host_interface = machine.host_interface(subnet, lease.address);
    let veth = link::Veth {
        name: &host_interface,
        mtu: machine.mtu()?,
        group: machine.group,
        alias: &format!("podyard {} {}", pod.name, pod.uid),
        namespace,
        gateway: leases::gateway(subnet),
        address: lease.address,
    };
    let mtu = veth.mtu;
    let ends = machine.connect(&veth)?;
    inside
        .requests(&[
            link::loopback_up(),
            address::add(ends.pod, veth.address),
            link::up(ends.pod),
            address::add_neighbor(ends.pod, veth.gateway),
            route::add_direct(ends.pod, veth.gateway),
            route::add_default(ends.pod, veth.gateway),
        ])
        .map_err(|error| error.during(format!("give the pod the address {}", veth.address)))?;

    Ok(PodNetwork {
        address: lease.address,
        subnet,
        gateway: leases::gateway(subnet),
        hardware_address: link::hardware_address_text(lease.address),
        pod_interface: link::POD_INTERFACE.to_owned(),
        mtu,
        ports: ports.mappings,
        unmapped_ports: ports.unmapped,
        forwarding_blocked: firewall::forwarding_is_blocked(&mut machine.netfilter)?,
        host_interface,
    })
}

/// Writes the lease down and makes sure that what all pods share exists, alone among the processes of the
/// instance. What follows concerns this pod only.
fn reserve(
    machine: &mut Machine,
    config: &NetworkConfig,
    pod: PodIdentity<'_>,
    mappings: &[PortMapping],
) -> Result<(Lease, Ipv4Net), NetworkError> {
    let store = Store::lock(&config.state_dir)?;
    let mut leases = match store.read()?.filter(|leases| !leases.pods.is_empty()) {
        Some(leases) => leases,
        None => Leases::new(machine.choose_subnet(config)?),
    };
    let lease = Lease {
        address: leases.address_for(pod.uid)?,
        name: pod.name.to_owned(),
        ports: mappings.to_vec(),
    };
    let earlier = leases.pods.insert(pod.uid.to_owned(), lease.clone());
    if let Some(earlier) = earlier {
        // What this attempt does not want any more would otherwise be forgotten with the old lease.
        let obsolete: Vec<PortMapping> = earlier
            .ports
            .into_iter()
            .filter(|port| !mappings.contains(port))
            .collect();
        ports::withdraw(
            &mut machine.netfilter,
            &machine.table,
            &obsolete,
            earlier.address,
        )?;
    }
    store.write(&leases)?;
    machine.ensure_base(&store, config, &mut leases, pod.uid)?;
    // The address is another one if the subnet had to be.
    let lease = leases.pods.remove(pod.uid).unwrap_or(lease);
    Ok((lease, leases.subnet))
}

/// Takes everything away that a lease stands for, last things first, and then the lease.
fn release(
    machine: &mut Machine,
    config: &NetworkConfig,
    pod_uid: &str,
) -> Result<(), Vec<NetworkError>> {
    let one = |error| vec![error];
    let Some(store) = Store::lock_existing(&config.state_dir).map_err(one)? else {
        return Ok(());
    };
    let leases = store.read().map_err(one)?;
    let mut errors = Vec::new();
    if let Some((leases, lease)) = leases
        .as_ref()
        .and_then(|leases| Some((leases, leases.pods.get(pod_uid)?)))
    {
        errors.extend(machine.withdraw(lease));
        if leases.pods.len() > 1 {
            // The lease keeps the address taken, so the slow part needs no lock.
            drop(store);
            errors.extend(machine.disconnect(leases.subnet, lease).err());
            return if errors.is_empty() {
                drop_lease(machine, config, pod_uid)
            } else {
                Err(errors)
            };
        }
    } else if leases.is_some_and(|leases| !leases.pods.is_empty()) {
        return Ok(());
    }
    errors.extend(machine.remove_base());
    if errors.is_empty() {
        errors.extend(store.remove().err());
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Strikes a pod off the list. If it turns out to be the last one by now, what the pods shared goes too.
fn drop_lease(
    machine: &mut Machine,
    config: &NetworkConfig,
    pod_uid: &str,
) -> Result<(), Vec<NetworkError>> {
    let one = |error| vec![error];
    let Some(store) = Store::lock_existing(&config.state_dir).map_err(one)? else {
        return Ok(());
    };
    let Some(mut leases) = store.read().map_err(one)? else {
        return Ok(());
    };
    leases.pods.remove(pod_uid);
    if !leases.pods.is_empty() {
        return store.write(&leases).map_err(one);
    }
    let errors = machine.remove_base();
    if errors.is_empty() {
        store.remove().map_err(one)
    } else {
        Err(errors)
    }
}
