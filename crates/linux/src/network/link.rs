//! Network interfaces: the veth pair of a pod, and loopback.
//!
//! Message layouts: `linux/rtnetlink.h`, `linux/if_link.h`, rtnetlink(7).

use super::error::{KernelError, NetworkError};
use super::message::{Message, attribute, u32_at};
use super::netlink::Socket;
use rustix::io::Errno;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The name of a pod's interface inside the pod, as with every CNI network.
pub(super) const POD_INTERFACE: &str = "eth0";

/// Loopback is the first interface of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
const RTM_DELLINK: u16 = libc::RTM_DELLINK;
const RTM_GETLINK: u16 = libc::RTM_GETLINK;
const RTM_SETLINK: u16 = libc::RTM_SETLINK;

const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_ROUTE_LOCALNET: u16 = 26;
const AF_INET: u16 = 2;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
/// Leave the counters out of answers: collecting them is most of the work.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// The longest name of an instance: what interface names have around it still fits into their 15 characters, and
/// all such names into the range of a [`Group`].
pub(super) const INSTANCE_LENGTH: usize = 6;

/// The longest alias the kernel stores (`IFALIASZ` with its zero byte).
const ALIAS_LENGTH: usize = 255;

/// The number that the interfaces of one instance have in common (`ip link show group …`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(u32);

impl Group {
    /// The upper end of the range of numbers; people and other programs use the lower one.
    const FIRST: u32 = u32::MAX - 37u32.pow(INSTANCE_LENGTH as u32);

    /// Different for different instances: the name, at most [`INSTANCE_LENGTH`] lower-case letters and digits, read as
    /// a number to base 37 without the digit 0.
    pub(super) fn of(instance: &str) -> Self {
        let number = instance.bytes().fold(0u32, |number, byte| {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0' + 1,
                _ => byte.saturating_sub(b'a') + 11,
            };
            number.wrapping_mul(37).wrapping_add(digit.into())
        });
        Self(Self::FIRST.wrapping_add(number))
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// An interface as the kernel describes it, as far as podyard wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mtu: u32,
    /// Of a veth: the number of the other end, in the namespace where that is.
    pub(super) peer: Option<u32>,
}

/// Describes the interface with a number.
pub(super) fn describe(socket: &mut Socket, index: u32) -> Result<Option<Link>, NetworkError> {
    match socket.request(get(Selector::Index(index))) {
        Ok(answers) => Ok(answers.iter().find_map(|answer| parse(&answer.payload))),
        Err(error) if error.is(Errno::NODEV) => Ok(None),
        Err(error) => Err(error.during(format!("look up interface {index}"))),
    }
}

/// The number of the interface of this name.
pub(super) fn index(socket: &mut Socket, name: &str) -> Result<u32, NetworkError> {
    let answers = socket.request(get(Selector::Name(name)));
    answers
        .and_then(|answers| {
            let mut links = answers.iter().filter_map(|answer| parse(&answer.payload));
            links.next().ok_or_else(|| Errno::NODEV.into())
        })
        .map(|link| link.index)
        .map_err(|error| error.during(format!("look up interface {name}")))
}

/// The request that switches an interface on.
pub(super) fn up(index: u32) -> Message {
    let header = header(Selector::Index(index), IFF_UP, IFF_UP);
    Message::new(RTM_SETLINK, 0, &header).acknowledged()
}

/// The request that switches loopback on; the kernel gives it 127.0.0.1 and ::1 by itself.
pub(super) fn loopback_up() -> Message {
    up(LOOPBACK_INDEX)
}

/// What a pod's pair of interfaces is made of.
pub(super) struct Veth<'a> {
    /// The end on the machine.
    pub(super) name: &'a str,
    pub(super) mtu: u32,
    pub(super) group: Group,
    pub(super) alias: &'a str,
    /// Where the other end is born, as [`POD_INTERFACE`].
    pub(super) namespace: BorrowedFd<'a>,
    /// The machine's and the pod's address, from which the hardware addresses follow.
    pub(super) gateway: Ipv4Addr,
    pub(super) address: Ipv4Addr,
}

/// The two ends of a veth pair, each by its number in its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VethEnds {
    pub(super) machine: u32,
    pub(super) pod: u32,
}

/// Creates a veth pair, both ends down, one of them inside the pod's namespace from birth. Moving it there afterwards
/// would wait for a grace period of the kernel, several times as long as all the rest together.
///
/// The machine's end routes 127.0.0.0/8, which host ports through 127.0.0.1 need. What pods may not do with that is
/// the firewall's business.
///
/// # Errors
///
/// `EEXIST` when either name is taken.
pub(super) fn create_veth(socket: &mut Socket, veth: &Veth<'_>) -> Result<VethEnds, KernelError> {
    let create = Message::new(
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        &header(Selector::Name(veth.name), 0, 0),
    )
    .text(IFLA_IFNAME, veth.name)
    .u32(IFLA_MTU, veth.mtu)
    .u32(IFLA_GROUP, veth.group.0)
    .bytes(IFLA_ADDRESS, &hardware_address(veth.gateway))
    .nested(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth")
            .nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.raw(&header(Selector::Name(POD_INTERFACE), 0, 0))
                        .text(IFLA_IFNAME, POD_INTERFACE)
                        .u32(IFLA_MTU, veth.mtu)
                        .bytes(IFLA_ADDRESS, &hardware_address(veth.address))
                        .u32(IFLA_NET_NS_FD, veth.namespace.as_raw_fd().cast_unsigned())
                })
            })
    });
    socket.request(create)?;

    let end = veth.alias.floor_char_boundary(ALIAS_LENGTH);
    let rest = Message::new(RTM_SETLINK, 0, &header(Selector::Name(veth.name), 0, 0))
        .text(IFLA_IFNAME, veth.name)
        .bytes(IFLA_IFALIAS, &veth.alias.as_bytes()[..end])
        .nested(IFLA_AF_SPEC, |families| {
            families.nested(AF_INET, |inet| {
                inet.nested(IFLA_INET_CONF, |settings| {
                    settings.u32(IPV4_DEVCONF_ROUTE_LOCALNET, 1)
                })
            })
        })
        .acknowledged();
    let answers = socket.requests(&[rest, get(Selector::Name(veth.name)).acknowledged()])?;
    answers
        .iter()
        .find_map(|answer| parse(&answer.payload))
        .and_then(|link| {
            Some(VethEnds {
                machine: link.index,
                pod: link.peer?,
            })
        })
        .ok_or_else(|| Errno::NODEV.into())
}

/// Removes an interface, and with one end of a veth pair the other one. One that is not there is fine.
pub(super) fn remove(socket: &mut Socket, name: &str) -> Result<(), NetworkError> {
    let message =
        Message::new(RTM_DELLINK, 0, &header(Selector::Name(name), 0, 0)).text(IFLA_IFNAME, name);
    match socket.request(message) {
        Err(error) if !error.is(Errno::NODEV) => {
            Err(error.during(format!("remove interface {name}")))
        }
        _ => Ok(()),
    }
}

/// Removes all interfaces of a group at once, which takes hardly longer than to remove one. None is fine.
pub(super) fn remove_group(socket: &mut Socket, group: Group) -> Result<(), NetworkError> {
    let message =
        Message::new(RTM_DELLINK, 0, &header(Selector::Index(0), 0, 0)).u32(IFLA_GROUP, group.0);
    match socket.request(message) {
        Err(error) if !error.is(Errno::NODEV) => {
            Err(error.during(format!("remove the interfaces of group {}", group.0)))
        }
        _ => Ok(()),
    }
}

/// A locally administered hardware address that follows from an address, with the prefix that container networks use.
/// Nobody has to ask for it, as it is known beforehand.
pub(super) fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// [`hardware_address`] as people write it.
pub(super) fn hardware_address_text(address: Ipv4Addr) -> String {
    hardware_address(address)
        .map(|byte| format!("{byte:02x}"))
        .join(":")
}

/// How a request names its interface.
#[derive(Clone, Copy)]
enum Selector<'a> {
    Index(u32),
    /// The message carries `IFLA_IFNAME` instead of a number.
    Name(&'a str),
}

/// An `ifinfomsg`: family, type, index, flags and which of the flags count.
fn header(selector: Selector<'_>, flags: u32, change: u32) -> [u8; 16] {
    let index = match selector {
        Selector::Index(index) => index,
        Selector::Name(_) => 0,
    };
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn get(selector: Selector<'_>) -> Message {
    let message = Message::new(RTM_GETLINK, 0, &header(selector, 0, 0))
        .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    match selector {
        Selector::Index(_) => message,
        Selector::Name(name) => message.text(IFLA_IFNAME, name),
    }
}

fn parse(payload: &[u8]) -> Option<Link> {
    let index = u32_at(payload, 4)?;
    let attributes = payload.get(16..)?;
    Some(Link {
        index,
        mtu: attribute(attributes, IFLA_MTU).and_then(|value| u32_at(value, 0))?,
        peer: attribute(attributes, IFLA_LINK).and_then(|value| u32_at(value, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extremes neither collide nor wrap around into small numbers.
    #[test]
    fn groups_of_instances_differ() {
        let names = ["0", "00", "a", "a0", "0a", "ab12cd", "zzzzzz", "zzzzz"];
        let mut groups: Vec<u32> = names.iter().map(|name| Group::of(name).0).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), names.len());
        assert!(groups.iter().all(|group| *group > 1 << 30));
    }

    #[test]
    fn hardware_address_follows_from_the_address() {
        assert_eq!(
            hardware_address_text(Ipv4Addr::new(10, 88, 0, 255)),
            "0a:58:0a:58:00:ff"
        );
    }
}
