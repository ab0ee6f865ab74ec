//! Host ports: which there are, who has which, and the elements of the firewall's maps that stand for them.
//!
//! The firewall is the register of who has which port, for every instance of podyard in this network namespace: what
//! is in a map of a table named `podyard_…` is taken. Adding an element is tied to the generation of the rules in
//! which all maps were looked at, so two pods can never both get a port, and no lock has to be agreed upon.

use super::error::{KernelError, NetworkError};
use super::firewall::{ATTEMPTS, HOST_PORTS, HOST_PORTS_ON_ADDRESS, TABLE_PREFIX};
use super::netlink::Socket;
use super::nft::{self, Batch, Element, Family};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// A transport protocol that has ports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP, Kubernetes' default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The number in IP headers.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A port of this machine that leads to a port of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Its protocol.
    pub protocol: Protocol,
    /// The only address of this machine it is valid for; absent or unspecified for all of them. An address that this
    /// machine does not have never matches, as in Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port of this machine.
    pub host_port: u16,
    /// The port of the pod.
    pub container_port: u16,
}

/// Who has a host port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortHolder {
    /// The same pod asks for it twice, with different targets.
    SamePod,
    /// A pod of podyard.
    Pod {
        /// The name the pod was attached with.
        name: String,
        /// The instance it belongs to, if that is not the one that asked.
        instance: Option<String>,
    },
    /// A process of this machine that listens on it.
    Process {
        /// Its name and id, when they could be found.
        process: Option<(String, u32)>,
    },
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SamePod => f.write_str("another port of the same pod"),
            Self::Pod {
                name,
                instance: None,
            } => write!(f, "pod {name}"),
            Self::Pod {
                name,
                instance: Some(instance),
            } => write!(f, "pod {name} of podyard instance {instance}"),
            Self::Process {
                process: Some((name, id)),
            } => write!(f, "process {name} ({id})"),
            Self::Process { process: None } => f.write_str("a process on this machine"),
        }
    }
}

/// The mappings as they are going to be made, and those that an IPv4 network cannot make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Normalized {
    pub(super) mappings: Vec<PortMapping>,
    pub(super) unmapped: Vec<PortMapping>,
}

/// Drops repetitions and host port 0 (no mapping), spells "all addresses" in one way, and sets IPv6 addresses aside.
///
/// # Errors
///
/// [`NetworkError::PortInUse`] when one host port has two targets.
pub(super) fn normalize(wanted: &[PortMapping]) -> Result<Normalized, NetworkError> {
    let mut result = Normalized::default();
    for mapping in wanted.iter().filter(|mapping| mapping.host_port != 0) {
        let host_ip = match mapping.host_ip {
            Some(IpAddr::V6(_)) => {
                result.unmapped.push(*mapping);
                continue;
            }
            Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) | None => None,
            specific => specific,
        };
        let mapping = PortMapping {
            host_ip,
            ..*mapping
        };
        if result.mappings.contains(&mapping) {
            continue;
        }
        if result.mappings.iter().any(|other| {
            (other.protocol, other.host_ip, other.host_port)
                == (mapping.protocol, mapping.host_ip, mapping.host_port)
        }) {
            return Err(in_use(&mapping, PortHolder::SamePod));
        }
        result.mappings.push(mapping);
    }
    Ok(result)
}

/// The map a mapping belongs to and its element there.
pub(super) fn element(
    mapping: &PortMapping,
    pod_address: Ipv4Addr,
    pod_name: &str,
) -> (&'static str, Element) {
    let (map, key) = key(mapping);
    let mut value = pod_address.octets().to_vec();
    value.extend(port_bytes(mapping.container_port));
    let comment = Some(pod_name.to_owned());
    (
        map,
        Element {
            key,
            value,
            comment,
        },
    )
}

/// Takes all ports, or none of them.
///
/// # Errors
///
/// [`NetworkError::PortInUse`] when another pod has one.
pub(super) fn publish(
    socket: &mut Socket,
    own_table: &str,
    mappings: &[PortMapping],
    pod_address: Ipv4Addr,
    pod_name: &str,
) -> Result<(), NetworkError> {
    if mappings.is_empty() {
        return Ok(());
    }
    let failed = |error: KernelError| error.during("publish host ports");
    for _ in 0..ATTEMPTS {
        let generation = nft::generation(socket).map_err(failed)?;
        let tables = nft::tables(socket, Family::Ip).map_err(failed)?;
        for table in tables
            .iter()
            .filter(|table| table.name.starts_with(TABLE_PREFIX))
        {
            for mapping in mappings {
                let own = table.name == own_table;
                // What an earlier attempt took for the same pod is not in the way.
                let itself = own.then_some(pod_address);
                let holder = holder(socket, &table.name, mapping, itself).map_err(failed)?;
                let Some(holder) = holder else { continue };
                let instance = table.name[TABLE_PREFIX.len()..].to_owned();
                return Err(in_use(
                    mapping,
                    PortHolder::Pod {
                        name: holder.comment.unwrap_or_else(|| "(unknown)".to_owned()),
                        instance: (!own).then_some(instance),
                    },
                ));
            }
        }
        let mut batch = Batch::new(Family::Ip, Some(generation));
        for mapping in mappings {
            let (map, element) = element(mapping, pod_address, pod_name);
            batch.add_elements(own_table, map, &[element]);
        }
        match batch.commit(socket) {
            Err(error) if error.is(Errno::RESTART) => {}
            other => return other.map_err(failed),
        }
    }
    Err(NetworkError::Unsettled {
        action: "publishing host ports",
        attempts: ATTEMPTS,
    })
}

/// Gives ports back. What is not there, or belongs to another pod, stays as it is.
pub(super) fn withdraw(
    socket: &mut Socket,
    table: &str,
    mappings: &[PortMapping],
    pod_address: Ipv4Addr,
) -> Result<(), NetworkError> {
    let failed = |error: KernelError| error.during("withdraw host ports");
    for _ in 0..ATTEMPTS {
        let generation = nft::generation(socket).map_err(failed)?;
        let mut batch = Batch::new(Family::Ip, Some(generation));
        for mapping in mappings {
            let (map, key) = key(mapping);
            let found = nft::element(socket, Family::Ip, table, map, &key).map_err(failed)?;
            if found.is_some_and(|found| leads_to(&found, pod_address)) {
                batch.remove_element(table, map, &key);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        match batch.commit(socket) {
            Err(error) if error.is(Errno::RESTART) => {}
            other => return other.map_err(failed),
        }
    }
    Err(NetworkError::Unsettled {
        action: "withdrawing host ports",
        attempts: ATTEMPTS,
    })
}

/// The element of a table that stands in a mapping's way: the same port on all addresses, on the same address, or, for
/// a mapping of all addresses, on any. Elements that lead to `itself` do not.
fn holder(
    socket: &mut Socket,
    table: &str,
    mapping: &PortMapping,
    itself: Option<Ipv4Addr>,
) -> Result<Option<Element>, KernelError> {
    let in_the_way = |found: &Element| !itself.is_some_and(|pod| leads_to(found, pod));
    let everywhere = PortMapping {
        host_ip: None,
        ..*mapping
    };
    let (map, everywhere_key) = key(&everywhere);
    let found = nft::element(socket, Family::Ip, table, map, &everywhere_key)?;
    if let Some(found) = found.filter(in_the_way) {
        return Ok(Some(found));
    }
    if mapping.host_ip.is_some() {
        let (map, key) = key(mapping);
        let found = nft::element(socket, Family::Ip, table, map, &key)?;
        return Ok(found.filter(in_the_way));
    }
    // Ports bound to one address are rare, so this list is short.
    let on_addresses = nft::elements(socket, Family::Ip, table, HOST_PORTS_ON_ADDRESS)?;
    Ok(on_addresses
        .into_iter()
        .filter(|found| found.key.ends_with(&everywhere_key))
        .find(in_the_way))
}

fn leads_to(element: &Element, pod_address: Ipv4Addr) -> bool {
    element.value.starts_with(&pod_address.octets())
}

/// A map and the key there. Every part takes four bytes.
fn key(mapping: &PortMapping) -> (&'static str, Vec<u8>) {
    let mut key = Vec::with_capacity(12);
    let map = match mapping.host_ip {
        Some(IpAddr::V4(address)) => {
            key.extend(address.octets());
            HOST_PORTS_ON_ADDRESS
        }
        Some(IpAddr::V6(_)) | None => HOST_PORTS,
    };
    key.extend([mapping.protocol.number(), 0, 0, 0]);
    key.extend(port_bytes(mapping.host_port));
    (map, key)
}

fn port_bytes(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

pub(super) fn in_use(mapping: &PortMapping, by: PortHolder) -> NetworkError {
    NetworkError::PortInUse {
        port: mapping.host_port,
        protocol: mapping.protocol,
        by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host_ip: Option<&str>, host_port: u16, container_port: u16) -> PortMapping {
        PortMapping {
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|text| text.parse().unwrap()),
            host_port,
            container_port,
        }
    }

    #[test]
    fn repetitions_and_ports_without_a_host_port_are_dropped() {
        let wanted = [
            mapping(None, 80, 8080),
            mapping(Some("0.0.0.0"), 80, 8080),
            mapping(None, 0, 9090),
            mapping(Some("127.0.0.1"), 80, 8081),
            mapping(Some("::1"), 80, 8080),
        ];
        let normalized = normalize(&wanted).unwrap();
        assert_eq!(
            normalized.mappings,
            [
                mapping(None, 80, 8080),
                mapping(Some("127.0.0.1"), 80, 8081)
            ]
        );
        assert_eq!(normalized.unmapped, [mapping(Some("::1"), 80, 8080)]);
    }

    #[test]
    fn one_host_port_cannot_have_two_targets() {
        let error = normalize(&[mapping(None, 80, 1), mapping(None, 80, 2)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "host port 80/TCP is already in use by another port of the same pod"
        );
        let mut other = mapping(None, 80, 2);
        other.protocol = Protocol::Udp;
        assert!(normalize(&[mapping(None, 80, 1), other]).is_ok());
    }

    /// The layout the kernel compares: four bytes for each part, ports in network byte order.
    #[test]
    fn keys_and_values_have_four_bytes_per_part() {
        let (map, element) = element(
            &mapping(Some("192.0.2.1"), 0x1234, 0x5678),
            Ipv4Addr::new(10, 88, 0, 2),
            "default/web",
        );
        assert_eq!(map, HOST_PORTS_ON_ADDRESS);
        assert_eq!(element.key, [192, 0, 2, 1, 6, 0, 0, 0, 0x12, 0x34, 0, 0]);
        assert_eq!(element.value, [10, 88, 0, 2, 0x56, 0x78, 0, 0]);
        assert_eq!(
            key(&mapping(None, 0x1234, 1)),
            (HOST_PORTS, vec![6, 0, 0, 0, 0x12, 0x34, 0, 0])
        );
    }
}
