//! Forgets UDP flows that a change of host ports would otherwise not reach.
//!
//! Connection tracking decides about a flow once, at its first packet. A UDP flow has no end but silence, so a client
//! that keeps sending to a host port would go on reaching the pod that had the port before, or nobody. TCP needs no
//! help: a connection to a pod that is gone ends by itself.
//!
//! Messages: `linux/netfilter/nfnetlink_conntrack.h`. Deleting by filter needs Linux 5.8; older kernels refuse it, which
//! is not an error here.

use super::error::NetworkError;
use super::message::Message;
use super::netlink::Socket;
use super::ports::{PortMapping, Protocol};
use rustix::io::Errno;
use std::net::Ipv4Addr;

const IPCTNL_MSG_CT_DELETE: u16 = ((libc::NFNL_SUBSYS_CTNETLINK as u16) << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
/// Which parts of the tuple count (`CTA_FILTER_F_…` of the kernel).
const COUNT_SOURCE: u32 = 1 << 0;
const COUNT_PROTOCOL: u32 = 1 << 3;
const COUNT_DESTINATION_PORT: u32 = 1 << 5;
const NFPROTO_IPV4: u8 = 2;

/// Forgets flows to host ports that are going to lead to a pod from now on.
pub(super) fn forget_host_ports(
    socket: &mut Socket,
    mappings: &[PortMapping],
) -> Result<(), NetworkError> {
    let requests = udp(mappings).map(|mapping| {
        deletion()
            .nested(CTA_TUPLE_ORIG, |tuple| {
                tuple.nested(CTA_TUPLE_PROTO, |protocol| {
                    protocol
                        .bytes(CTA_PROTO_NUM, &[mapping.protocol.number()])
                        .bytes(CTA_PROTO_DST_PORT, &mapping.host_port.to_be_bytes())
                })
            })
            .nested(CTA_FILTER, |filter| {
                filter
                    .u32(
                        CTA_FILTER_ORIG_FLAGS,
                        COUNT_PROTOCOL | COUNT_DESTINATION_PORT,
                    )
                    .u32(CTA_FILTER_REPLY_FLAGS, 0)
            })
    });
    send(socket, requests.collect())
}

/// Forgets flows that were led to a pod through a host port: those which the pod answers.
pub(super) fn forget_pod(
    socket: &mut Socket,
    mappings: &[PortMapping],
    pod_address: Ipv4Addr,
) -> Result<(), NetworkError> {
    let requests = udp(mappings).take(1).map(|mapping| {
        deletion()
            .nested(CTA_TUPLE_REPLY, |tuple| {
                tuple
                    .nested(CTA_TUPLE_IP, |ip| {
                        ip.bytes(CTA_IP_V4_SRC, &pod_address.octets())
                    })
                    .nested(CTA_TUPLE_PROTO, |protocol| {
                        protocol.bytes(CTA_PROTO_NUM, &[mapping.protocol.number()])
                    })
            })
            .nested(CTA_FILTER, |filter| {
                filter
                    .u32(CTA_FILTER_ORIG_FLAGS, 0)
                    .u32(CTA_FILTER_REPLY_FLAGS, COUNT_SOURCE | COUNT_PROTOCOL)
            })
    });
    send(socket, requests.collect())
}

fn udp(mappings: &[PortMapping]) -> impl Iterator<Item = &PortMapping> {
    mappings
        .iter()
        .filter(|mapping| mapping.protocol == Protocol::Udp)
}

fn deletion() -> Message {
    Message::new(IPCTNL_MSG_CT_DELETE, 0, &[NFPROTO_IPV4, 0, 0, 0])
}

fn send(socket: &mut Socket, requests: Vec<Message>) -> Result<(), NetworkError> {
    for request in requests {
        match socket.request(request) {
            Ok(_) => {}
            Err(error)
                if [
                    Errno::NOENT,
                    Errno::OPNOTSUPP,
                    Errno::INVAL,
                    Errno::AFNOSUPPORT,
                ]
                .iter()
                .any(|errno| error.is(*errno)) => {}
            Err(error) => return Err(error.during("forget UDP flows of host ports")),
        }
    }
    Ok(())
}
