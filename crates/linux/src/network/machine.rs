//! This machine's side of an instance's network: table, reserved subnet, the switches under /proc/sys, and its end of
//! each pod's pair of interfaces.

use super::NetworkConfig;
use super::error::{KernelError, NetworkError};
use super::firewall::{self, ATTEMPTS, Installed};
use super::leases::{Lease, Leases, Store};
use super::link::{self, Group, Veth, VethEnds};
use super::netlink::{self, Socket};
use super::{address, conntrack, nft, ports, route, subnet};
use ipnet::Ipv4Net;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What packets may have everywhere, for machines without a way out.
const DEFAULT_MTU: u32 = 1500;
/// The most a veth can have.
const LARGEST_MTU: u32 = 65535;

/// Ways to talk to the kernel about this machine's network, and the names of one instance's parts in it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) route: Socket,
    pub(super) netfilter: Socket,
    pub(super) table: String,
    pub(super) group: Group,
    /// How the names of the instance's interfaces begin. No instance's name contains the dash, so no such prefix is
    /// the beginning of another one.
    interfaces: String,
}

impl Machine {
    pub(super) fn open(config: &NetworkConfig) -> Result<Self, NetworkError> {
        let instance = &config.instance;
        let fits = (1..=link::INSTANCE_LENGTH).contains(&instance.len())
            && instance
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            return Err(NetworkError::Instance {
                instance: instance.clone(),
            });
        }
        Ok(Self {
            route: Socket::open(netlink::ROUTE)?,
            netfilter: Socket::open(netlink::NETFILTER)?,
            table: firewall::table_name(instance),
            group: Group::of(instance),
            interfaces: format!("py{instance}-"),
        })
    }

    /// The name of a pod's interface on this machine. It follows from the address, so that it is known after a crash
    /// and nobody else's: at most 14 characters, and the kernel allows 15.
    pub(super) fn host_interface(&self, subnet: Ipv4Net, address: Ipv4Addr) -> String {
        let number = u32::from(address) - u32::from(subnet.network());
        format!("{}{number:x}", self.interfaces)
    }

    /// The subnet for an instance that has no pods.
    pub(super) fn choose_subnet(
        &mut self,
        config: &NetworkConfig,
    ) -> Result<Ipv4Net, NetworkError> {
        if let Some(configured) = config.subnet {
            return subnet::check(configured);
        }
        let mut in_use = firewall::subnets_of_others(&mut self.netfilter, &self.table)?;
        // What is left over would be in the way.
        link::remove_group(&mut self.route, self.group)?;
        in_use.extend(address::networks(&mut self.route)?);
        in_use.extend(route::networks(&mut self.route, self.group)?);
        subnet::choose(&config.instance, &in_use)
    }

    /// Makes sure that the table and the reservation exist; no more than a look-up when they do. Called under the lock.
    ///
    /// A table that vanished under running pods, as with `nft flush ruleset`, comes back with all their host ports.
    pub(super) fn ensure_base(
        &mut self,
        store: &Store,
        config: &NetworkConfig,
        leases: &mut Leases,
        pod_uid: &str,
    ) -> Result<(), NetworkError> {
        let alone = leases.pods.len() == 1;
        if alone {
            route::release(&mut self.route, self.group)?;
        }
        if alone || !firewall::is_installed(&mut self.netfilter, &self.table)? {
            self.install_table(store, config, leases, pod_uid)?;
            route::reserve(&mut self.route, leases.subnet, self.group)?;
        }
        switch_on("/proc/sys/net/ipv4/ip_forward")
    }

    /// Installs the table. For the first pod the subnet may still be changed: when another instance took it since it
    /// was chosen, another one is chosen, and the lease moves there.
    fn install_table(
        &mut self,
        store: &Store,
        config: &NetworkConfig,
        leases: &mut Leases,
        pod_uid: &str,
    ) -> Result<(), NetworkError> {
        let alone = leases.pods.len() == 1;
        for _ in 0..ATTEMPTS {
            let generation = nft::generation(&mut self.netfilter)
                .map_err(|error| error.during("read the firewall's generation"))?;
            if alone && config.subnet.is_none() {
                let others = firewall::subnets_of_others(&mut self.netfilter, &self.table)?;
                let taken = |other: &Ipv4Net| {
                    other.contains(&leases.subnet) || leases.subnet.contains(other)
                };
                if others.iter().any(taken) {
                    self.move_leases(config, leases)?;
                    store.write(leases)?;
                    continue;
                }
            }
            let elements = published(leases, pod_uid);
            let installed = firewall::install(
                &mut self.netfilter,
                generation,
                &self.table,
                &self.interfaces,
                leases.subnet,
                &elements,
            )?;
            if installed == Installed::Yes {
                return Ok(());
            }
        }
        Err(NetworkError::Unsettled {
            action: "installing the pod network's table",
            attempts: ATTEMPTS,
        })
    }

    fn move_leases(
        &mut self,
        config: &NetworkConfig,
        leases: &mut Leases,
    ) -> Result<(), NetworkError> {
        let pods = std::mem::take(&mut leases.pods);
        *leases = Leases::new(self.choose_subnet(config)?);
        for (uid, lease) in pods {
            let address = leases.address_for(&uid)?;
            leases.pods.insert(uid, Lease { address, ..lease });
        }
        Ok(())
    }

    /// The size of packets that get through to the outside world.
    pub(super) fn mtu(&mut self) -> Result<u32, NetworkError> {
        let Some(uplink) = route::way_out(&mut self.route)? else {
            return Ok(DEFAULT_MTU);
        };
        // A loopback is no way out, and its packets are larger than a veth's.
        let link = link::describe(&mut self.route, uplink)?;
        Ok(link.map_or(DEFAULT_MTU, |link| link.mtu.min(LARGEST_MTU)))
    }

    /// Makes the pair of interfaces and sets this machine's end up. What is left of an earlier attempt is replaced; its
    /// namespace may be the same, or one that is about to vanish.
    pub(super) fn connect(&mut self, veth: &Veth<'_>) -> Result<VethEnds, NetworkError> {
        let failed = |error: KernelError| {
            error.during(format!("create interface {} for the pod", veth.name))
        };
        let ends = match link::create_veth(&mut self.route, veth) {
            Err(error) if error.is(Errno::EXIST) => {
                link::remove(&mut self.route, veth.name)?;
                link::create_veth(&mut self.route, veth)
            }
            other => other,
        }
        .map_err(failed)?;
        // Before it is up, so that it never listens to the pod's router advertisements. There may be no IPv6 at all.
        let no_ipv6 = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", veth.name);
        match switch_on(&no_ipv6) {
            Err(NetworkError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.route
            .requests(&[
                address::add(ends.machine, veth.gateway),
                link::up(ends.machine),
                route::add_direct(ends.machine, veth.address),
                address::add_neighbor(ends.machine, veth.address),
            ])
            .map_err(failed)?;
        Ok(ends)
    }

    /// Takes a pod's host ports away, and the flows through them. Goes on past errors.
    pub(super) fn withdraw(&mut self, lease: &Lease) -> Vec<NetworkError> {
        let Lease { address, ports, .. } = lease;
        errors([
            ports::withdraw(&mut self.netfilter, &self.table, ports, *address),
            conntrack::forget_pod(&mut self.netfilter, ports, *address),
        ])
    }

    /// Takes a pod's interface away. The kernel waits for everybody who may still be looking at it, some 20 ms.
    pub(super) fn disconnect(
        &mut self,
        subnet: Ipv4Net,
        lease: &Lease,
    ) -> Result<(), NetworkError> {
        let interface = self.host_interface(subnet, lease.address);
        link::remove(&mut self.route, &interface)
    }

    /// Removes what the pods of the instance shared, and any interface they left. Goes on past errors.
    pub(super) fn remove_base(&mut self) -> Vec<NetworkError> {
        errors([
            firewall::remove(&mut self.netfilter, &self.table),
            route::release(&mut self.route, self.group),
            link::remove_group(&mut self.route, self.group),
        ])
    }
}

/// The host ports of all pods but the one that is being attached: its own may turn out to be taken.
fn published(leases: &Leases, attaching: &str) -> Vec<(&'static str, nft::Element)> {
    let mut elements: Vec<(&str, nft::Element)> = Vec::new();
    for (_, lease) in leases.pods.iter().filter(|(uid, _)| *uid != attaching) {
        for port in &lease.ports {
            let (map, element) = ports::element(port, lease.address, &lease.name);
            // Two pods can have a lease for one port for the moment it takes one of them to fail.
            let same =
                |(other, taken): &(&str, nft::Element)| *other == map && taken.key == element.key;
            if !elements.iter().any(same) {
                elements.push((map, element));
            }
        }
    }
    elements
}

fn errors<const N: usize>(results: [Result<(), NetworkError>; N]) -> Vec<NetworkError> {
    results.into_iter().filter_map(Result::err).collect()
}

/// Writes 1 to a switch of the calling thread's network namespace, unless it says so already.
fn switch_on(path: &str) -> Result<(), NetworkError> {
    let error = |action| {
        move |source| NetworkError::File {
            action,
            path: PathBuf::from(path),
            source,
        }
    };
    if fs::read_to_string(path).map_err(error("read"))?.trim() == "1" {
        return Ok(());
    }
    fs::write(path, "1").map_err(error("write"))
}
