//! Routes: to and from pods, the one that reserves a subnet, and what this machine already has. Message layout:
//! `linux/rtnetlink.h`.

use super::error::NetworkError;
use super::link::Group;
use super::message::{Message, attribute, u32_at};
use super::netlink::Socket;
use ipnet::Ipv4Net;
use rustix::io::Errno;
use std::net::Ipv4Addr;

const RTM_NEWROUTE: u16 = libc::RTM_NEWROUTE;
const RTM_GETROUTE: u16 = libc::RTM_GETROUTE;
const RTM_DELROUTE: u16 = libc::RTM_DELROUTE;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const RTA_DST: u16 = libc::RTA_DST;
const RTA_OIF: u16 = libc::RTA_OIF;
const RTA_GATEWAY: u16 = libc::RTA_GATEWAY;
const RTA_PRIORITY: u16 = libc::RTA_PRIORITY;
const AF_INET: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
/// Set up at start, as opposed to by a routing daemon; what `ip route add` says too.
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const RTN_UNREACHABLE: u8 = 7;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// The request for a route to one address that is right behind an interface.
pub(super) fn add_direct(index: u32, to: Ipv4Addr) -> Message {
    let header = rtmsg(32, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST);
    Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header)
        .bytes(RTA_DST, &to.octets())
        .u32(RTA_OIF, index)
        .acknowledged()
}

/// The request for a default route through a gateway on an interface.
pub(super) fn add_default(index: u32, gateway: Ipv4Addr) -> Message {
    let header = rtmsg(
        0,
        RT_TABLE_MAIN,
        RTPROT_BOOT,
        RT_SCOPE_UNIVERSE,
        RTN_UNICAST,
    );
    Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header)
        .bytes(RTA_GATEWAY, &gateway.octets())
        .u32(RTA_OIF, index)
        .acknowledged()
}

/// Makes sure that a subnet is known to be pods': addresses in it that no pod has lead nowhere, instead of to the
/// outside world, and other programs that look for a free subnet see that this one is not. The metric says whose it is.
pub(super) fn reserve(
    socket: &mut Socket,
    subnet: Ipv4Net,
    group: Group,
) -> Result<(), NetworkError> {
    match socket.requests(&[unreachable(
        RTM_NEWROUTE,
        NLM_F_CREATE | NLM_F_EXCL,
        subnet,
        group,
    )]) {
        Err(error) if !error.is(Errno::EXIST) => {
            Err(error.during(format!("reserve the subnet {subnet}")))
        }
        _ => Ok(()),
    }
}

/// Removes what [`reserve`] made for an instance, whatever the subnet was.
pub(super) fn release(socket: &mut Socket, group: Group) -> Result<(), NetworkError> {
    let found = list(socket)?;
    for route in found.iter().filter(|route| route.is_reserved_by(group)) {
        let removed = socket.requests(&[unreachable(RTM_DELROUTE, 0, route.network, group)]);
        match removed {
            Err(error) if !error.is(Errno::SRCH) => {
                return Err(error.during(format!("release the subnet {}", route.network)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn unreachable(kind: u16, flags: u16, subnet: Ipv4Net, group: Group) -> Message {
    let header = rtmsg(
        subnet.prefix_len(),
        RT_TABLE_MAIN,
        RTPROT_BOOT,
        RT_SCOPE_UNIVERSE,
        RTN_UNREACHABLE,
    );
    Message::new(kind, flags, &header)
        .bytes(RTA_DST, &subnet.network().octets())
        .u32(RTA_PRIORITY, group.number())
        .acknowledged()
}

/// The interface that packets to the outside world leave through, if there is a way out at all. It asks for the route
/// to an address of the documentation range (RFC 5737), which nobody has closer than the default route; nothing is
/// sent.
pub(super) fn way_out(socket: &mut Socket) -> Result<Option<u32>, NetworkError> {
    let request = Message::new(RTM_GETROUTE, 0, &rtmsg(32, 0, 0, 0, 0))
        .bytes(RTA_DST, &Ipv4Addr::new(203, 0, 113, 1).octets());
    match socket.request(request) {
        Ok(answers) => Ok(answers.iter().find_map(|answer| {
            attribute(answer.payload.get(12..)?, RTA_OIF).and_then(|value| u32_at(value, 0))
        })),
        Err(error)
            if [
                Errno::NETUNREACH,
                Errno::HOSTUNREACH,
                Errno::INVAL,
                Errno::ACCESS,
            ]
            .iter()
            .any(|errno| error.is(*errno)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.during("find the way out of this machine")),
    }
}

/// The networks this machine has routes to, without default routes and what is reserved for a group. Only for the
/// choice of a subnet.
pub(super) fn networks(socket: &mut Socket, except: Group) -> Result<Vec<Ipv4Net>, NetworkError> {
    Ok(list(socket)?
        .into_iter()
        .filter(|route| !route.is_reserved_by(except))
        .map(|route| route.network)
        .collect())
}

/// A route that is not a default route.
struct Route {
    network: Ipv4Net,
    kind: u8,
    metric: Option<u32>,
}

impl Route {
    fn is_reserved_by(&self, group: Group) -> bool {
        self.kind == RTN_UNREACHABLE && self.metric == Some(group.number())
    }
}

fn list(socket: &mut Socket) -> Result<Vec<Route>, NetworkError> {
    let request = Message::new(RTM_GETROUTE, NLM_F_DUMP, &rtmsg(0, 0, 0, 0, 0));
    let answers = socket
        .dump(&request)
        .map_err(|error| error.during("list the routes of this machine"))?;
    Ok(answers
        .iter()
        .filter_map(|answer| parse(&answer.payload))
        .collect())
}

fn parse(payload: &[u8]) -> Option<Route> {
    let (family, prefix_length, table) = (payload.first()?, *payload.get(1)?, *payload.get(4)?);
    if *family != AF_INET || table == RT_TABLE_LOCAL || prefix_length == 0 {
        return None;
    }
    let attributes = payload.get(12..)?;
    let destination: [u8; 4] = attribute(attributes, RTA_DST)?.try_into().ok()?;
    Some(Route {
        network: Ipv4Net::new(destination.into(), prefix_length).ok()?,
        kind: *payload.get(7)?,
        metric: attribute(attributes, RTA_PRIORITY).and_then(|value| u32_at(value, 0)),
    })
}

/// An `rtmsg` for IPv4.
fn rtmsg(destination_length: u8, table: u8, protocol: u8, scope: u8, kind: u8) -> [u8; 12] {
    [
        AF_INET,
        destination_length,
        0,
        0,
        table,
        protocol,
        scope,
        kind,
        0,
        0,
        0,
        0,
    ]
}
