//! Routes: the pod's default route, and what this machine already has. Message layout: `linux/rtnetlink.h`.

use super::error::NetworkError;
use super::message::{Message, attribute, u32_at};
use super::netlink::Socket;
use ipnet::Ipv4Net;
use rustix::io::Errno;
use std::net::Ipv4Addr;

const RTM_NEWROUTE: u16 = libc::RTM_NEWROUTE;
const RTM_GETROUTE: u16 = libc::RTM_GETROUTE;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const RTA_DST: u16 = libc::RTA_DST;
const RTA_OIF: u16 = libc::RTA_OIF;
const RTA_GATEWAY: u16 = libc::RTA_GATEWAY;
const AF_INET: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
/// Set up at start, as opposed to by a routing daemon; what `ip route add` says too.
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// The request for a default route through a gateway on an interface.
pub(super) fn add_default(index: u32, gateway: Ipv4Addr) -> Message {
    let header = rtmsg(0, RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST);
    Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header)
        .bytes(RTA_GATEWAY, &gateway.octets())
        .u32(RTA_OIF, index)
        .acknowledged()
}

/// The interface that packets to the outside world leave through, if there is a way out at all. It asks for the route
/// to an address of the documentation range (RFC 5737), which nobody has closer than the default route; nothing is
/// sent.
pub(super) fn way_out(socket: &mut Socket) -> Result<Option<u32>, NetworkError> {
    let request = Message::new(RTM_GETROUTE, 0, &rtmsg(32, 0, 0, 0))
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

/// The networks this machine has routes to, without default routes. Only for the choice of a subnet.
pub(super) fn networks(socket: &mut Socket) -> Result<Vec<Ipv4Net>, NetworkError> {
    let request = Message::new(RTM_GETROUTE, NLM_F_DUMP, &rtmsg(0, 0, 0, 0));
    let answers = socket
        .dump(&request)
        .map_err(|error| error.during("list the routes of this machine"))?;
    Ok(answers
        .iter()
        .filter_map(|answer| parse(&answer.payload))
        .collect())
}

fn parse(payload: &[u8]) -> Option<Ipv4Net> {
    let (family, prefix_length, table) = (payload.first()?, *payload.get(1)?, *payload.get(4)?);
    if *family != AF_INET || table == RT_TABLE_LOCAL || prefix_length == 0 {
        return None;
    }
    let destination: [u8; 4] = attribute(payload.get(12..)?, RTA_DST)?.try_into().ok()?;
    Ipv4Net::new(destination.into(), prefix_length).ok()
}

/// An `rtmsg` for IPv4, with everything global.
fn rtmsg(destination_length: u8, table: u8, protocol: u8, kind: u8) -> [u8; 12] {
    [
        AF_INET,
        destination_length,
        0,
        0,
        table,
        protocol,
        0,
        kind,
        0,
        0,
        0,
        0,
    ]
}
