//! Whether a process of this machine listens on a port. The firewall would silently take its packets away.
//!
//! The question is put to the kernel by binding a socket as a server would, and letting go of it at once. When that is
//! refused, /proc says who listens. A connection that merely left through that port as its source is no reason to
//! refuse: it keeps its packets, as it was there before the mapping.
//!
//! A process that starts to listen afterwards is not found: it gets no packets from outside for that port.

use super::error::NetworkError;
use super::ports::{PortHolder, PortMapping, Protocol, in_use};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::Path;

/// `TCP_LISTEN` in /proc/net/tcp.
const STATE_LISTEN: &str = "0A";
/// In /proc/net/udp, what is not connected to one peer.
const STATE_UNCONNECTED: &str = "07";

/// Refuses ports that processes in the calling thread's network namespace listen on.
pub(super) fn require_free(mappings: &[PortMapping]) -> Result<(), NetworkError> {
    for mapping in mappings {
        let address = match mapping.host_ip {
            Some(IpAddr::V4(address)) => address,
            Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
        };
        match bind(
            mapping.protocol,
            SocketAddrV4::new(address, mapping.host_port),
        ) {
            Ok(()) => {}
            // An address this machine does not have, or a protocol its kernel does not: nobody listens there.
            Err(Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => {}
            Err(Errno::ADDRINUSE) => {
                if let Some(by) = listener(mapping.protocol, address, mapping.host_port) {
                    return Err(in_use(mapping, by));
                }
            }
            Err(error) => {
                return Err(NetworkError::PortProbe {
                    address,
                    port: mapping.host_port,
                    protocol: mapping.protocol,
                    source: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Binds and lets go. With `SO_REUSEADDR`, connections that are closing do not count, and servers still do; for UDP
/// the option would mean that everybody may share.
fn bind(protocol: Protocol, address: SocketAddrV4) -> Result<(), Errno> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        kind,
        SocketFlags::CLOEXEC,
        Some(number),
    )?;
    if protocol != Protocol::Udp {
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)
}

/// Who listens on a port that cannot be bound; nobody, if it is only the near end of connections.
fn listener(protocol: Protocol, address: Ipv4Addr, port: u16) -> Option<PortHolder> {
    let (files, state) = match protocol {
        Protocol::Tcp => (["tcp", "tcp6"], STATE_LISTEN),
        Protocol::Udp => (["udp", "udp6"], STATE_UNCONNECTED),
        // Rare enough to believe the bind alone.
        Protocol::Sctp => return Some(PortHolder::Process { process: None }),
    };
    let inode = files.iter().find_map(|file| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok()?;
        find_listener(&table, state, address, port)
    })?;
    Some(PortHolder::Process {
        process: owner_of_socket(&inode),
    })
}

/// The inode of the socket in a table of /proc/net that is in the way of a bind.
fn find_listener(table: &str, state: &str, address: Ipv4Addr, port: u16) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, found_state, inode) = (fields.nth(1)?, fields.nth(1)?, fields.nth(5)?);
        let (local_address, local_port) = local.rsplit_once(':')?;
        let same_port = u16::from_str_radix(local_port, 16) == Ok(port);
        let overlaps = address.is_unspecified()
            || local_address.bytes().all(|digit| digit == b'0')
            || local_address.ends_with(&hexadecimal(address));
        (same_port && overlaps && found_state == state).then(|| inode.to_owned())
    })
}

/// An address as /proc/net writes it: the number in memory order.
fn hexadecimal(address: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(address.octets()))
}

/// The process that holds a socket, among those that may be looked at. Only on the way to an error message.
fn owner_of_socket(inode: &str) -> Option<(String, u32)> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &wanted).unwrap_or(false).then(|| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            (name.trim_end().to_owned(), id)
        })
    })
}

fn holds(process: &Path, wanted: &str) -> io::Result<bool> {
    Ok(fs::read_dir(process.join("fd"))?
        .flatten()
        .any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted)
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
";
    const TABLE_6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0
";

    #[cfg(target_endian = "little")]
    #[test]
    fn only_listeners_on_the_same_address_count() {
        let any = Ipv4Addr::UNSPECIFIED;
        let loopback = Ipv4Addr::LOCALHOST;
        let other = Ipv4Addr::new(192, 0, 2, 1);
        let find = |table, address, port| find_listener(table, STATE_LISTEN, address, port);
        assert_eq!(find(TABLE, any, 8080).as_deref(), Some("4711"));
        assert_eq!(find(TABLE, loopback, 8080).as_deref(), Some("4711"));
        assert_eq!(find(TABLE, other, 8080), None);
        assert_eq!(find(TABLE, loopback, 8081), None, "a connection");
        assert_eq!(find(TABLE_6, other, 8080).as_deref(), Some("4713"));
    }
}
