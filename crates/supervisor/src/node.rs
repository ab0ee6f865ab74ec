//! The machine as a Kubernetes node: the addresses under which its pods and others reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The address that packets to the outside world leave from; without a way out, the first one that is not a loopback's. None on a
/// machine that has no network at all.
pub(crate) fn addresses() -> Vec<String> {
    towards_the_world()
        .or_else(first_of_an_interface)
        .map(|address| address.to_string())
        .into_iter()
        .collect()
}

/// Connecting a datagram socket chooses a route, and with it the address; nothing is sent. The destination is of the documentation
/// range (RFC 5737), which nobody has closer than the default route.
fn towards_the_world() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    let anywhere = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 9));
    socket.connect(anywhere).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn first_of_an_interface() -> Option<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    interfaces
        // Ours lead to pods, which know the machine by its other addresses.
        .filter(|interface| !interface.interface_name.starts_with("py"))
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|address| !address.is_loopback() && !address.is_link_local())
        .map(IpAddr::V4)
}
