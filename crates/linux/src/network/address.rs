//! Addresses of interfaces, and who is on the other end of a pair. Layouts: `linux/if_addr.h`, `linux/neighbour.h`,
//! rtnetlink(7).

use super::error::NetworkError;
use super::link;
use super::message::{Message, attribute};
use super::netlink::Socket;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
const RTM_GETADDR: u16 = libc::RTM_GETADDR;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const RTM_NEWNEIGH: u16 = libc::RTM_NEWNEIGH;
const NLM_F_REPLACE: u16 = 0x100;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const AF_INET: u8 = 2;

/// The request that gives an interface an address that has no neighbours: all others are reached by routes.
pub(super) fn add(index: u32, address: Ipv4Addr) -> Message {
    let mut header = [AF_INET, 32, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header)
        .bytes(IFA_LOCAL, &address.octets())
        .bytes(IFA_ADDRESS, &address.octets())
        .acknowledged()
}

/// The request that tells the hardware address of whoever has an address on an interface, for good: nobody is asked,
/// and nobody can give a wrong answer.
pub(super) fn add_neighbor(index: u32, address: Ipv4Addr) -> Message {
    let mut header = [0; 12]; // ndmsg: family, interface, state
    header[0] = AF_INET;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    Message::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header)
        .bytes(NDA_DST, &address.octets())
        .bytes(NDA_LLADDR, &link::hardware_address(address))
        .acknowledged()
}

/// The networks of all addresses of this machine. Only for the choice of a subnet.
pub(super) fn networks(socket: &mut Socket) -> Result<Vec<Ipv4Net>, NetworkError> {
    list(socket, parse)
}

/// The addresses of this machine, each with the name of its interface (or its label, which begins with that).
pub(super) fn addresses(socket: &mut Socket) -> Result<Vec<(String, Ipv4Addr)>, NetworkError> {
    list(socket, |payload| {
        let attributes = payload.get(8..)?;
        let address: [u8; 4] = attribute(attributes, IFA_LOCAL)?.try_into().ok()?;
        let label = attribute(attributes, IFA_LABEL)?;
        let label = String::from_utf8_lossy(label.strip_suffix(b"\0").unwrap_or(label));
        Some((label.into_owned(), address.into()))
    })
}

fn list<T>(
    socket: &mut Socket,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, NetworkError> {
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
