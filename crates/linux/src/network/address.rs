//! Addresses of interfaces. Message layout: `linux/if_addr.h`, rtnetlink(7).

use super::error::NetworkError;
use super::message::{Message, attribute};
use super::netlink::Socket;
use ipnet::Ipv4Net;
use rustix::io::Errno;
use std::net::Ipv4Addr;

const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
const RTM_GETADDR: u16 = libc::RTM_GETADDR;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const AF_INET: u8 = 2;

/// The request that gives an interface its address within a subnet. One that it has already is refused with `EEXIST`.
pub(super) fn add(index: u32, address: Ipv4Addr, subnet: Ipv4Net) -> Message {
    let mut header = [AF_INET, subnet.prefix_len(), 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header)
        .bytes(IFA_LOCAL, &address.octets())
        .bytes(IFA_ADDRESS, &address.octets())
        .bytes(IFA_BROADCAST, &subnet.broadcast().octets())
        .acknowledged()
}

/// Makes sure that an interface has an address.
pub(super) fn ensure(
    socket: &mut Socket,
    index: u32,
    address: Ipv4Addr,
    subnet: Ipv4Net,
) -> Result<(), NetworkError> {
    match socket.requests(&[add(index, address, subnet)]) {
        Err(error) if !error.is(Errno::EXIST) => {
            Err(error.during(format!("give interface {index} the address {address}")))
        }
        _ => Ok(()),
    }
}

/// The networks of all addresses of this machine. Only for the choice of a subnet.
pub(super) fn networks(socket: &mut Socket) -> Result<Vec<Ipv4Net>, NetworkError> {
    let request = Message::new(RTM_GETADDR, NLM_F_DUMP, &[AF_INET, 0, 0, 0, 0, 0, 0, 0]);
    let answers = socket
        .dump(&request)
        .map_err(|error| error.during("list the addresses of this machine"))?;
    Ok(answers
        .iter()
        .filter_map(|answer| parse(&answer.payload))
        .collect())
}

fn parse(payload: &[u8]) -> Option<Ipv4Net> {
    let prefix_length = *payload.get(1)?;
    let address: [u8; 4] = attribute(payload.get(8..)?, IFA_ADDRESS)?.try_into().ok()?;
    Ipv4Net::new(address.into(), prefix_length).ok()
}
