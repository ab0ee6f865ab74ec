//! The expressions that rules are made of: load something into a register, compare it, act.
//!
//! A rule is a straight line of them; the first that does not hold ends it. Registers are numbered as `nft` does:
//! 1 is the first 16 bytes, 9 and 10 the second and third 32 bits of them.

use super::message::Message;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NF_DROP: u32 = 0;
const NFT_JUMP: u32 = (-3i32).cast_unsigned();

/// The register that holds the verdict instead of data.
const VERDICT_REGISTER: u32 = 0;
/// Where conditions and the first part of keys go.
pub(super) const FIRST: u32 = 1;
/// The second part of a key.
pub(super) const SECOND: u32 = 9;
/// The third part of a key.
pub(super) const THIRD: u32 = 10;

/// A part of a packet's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The sender's IPv4 address.
    SourceAddress,
    /// The receiver's IPv4 address.
    DestinationAddress,
    /// The receiver's port, at the same place in TCP, UDP and SCTP.
    DestinationPort,
}

/// Something about a packet that is not in its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    /// Where it came from; empty for the machine's own.
    InputInterface = 6,
    /// Where it goes to.
    OutputInterface = 7,
    /// TCP, UDP, …, by number, also behind IPv6 extension headers.
    Protocol = 16,
}

/// What connection tracking knows about a packet's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// New, established, …: a bit each.
    State = 0,
    /// Confirmed, translated, …: a bit each.
    Status = 2,
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    /// Loads a header field.
    Load(Field, u32),
    /// Loads a property of the packet.
    LoadMeta(Meta, u32),
    /// Loads a property of its connection.
    LoadConnection(Connection, u32),
    /// Loads what kind of address the receiver's is: local, broadcast, …
    LoadDestinationKind(u32),
    /// Loads whether the sender would be reached through the interface the packet came in by: 1, or 0.
    LoadSenderIsBehindInterface(u32),
    /// Keeps the bits of the first register that the mask has.
    Mask(Vec<u8>),
    /// Goes on if the first register has this value.
    Equal(Vec<u8>),
    /// Goes on if the first register has another value.
    NotEqual(Vec<u8>),
    /// Goes on if a map has the key that begins in the first register, and puts its value there.
    Lookup(&'a str),
    /// Translates the destination to the address in the first and the port in the second register.
    DestinationNat,
    /// Translates the source to the address of the interface the packet leaves through.
    Masquerade,
    /// Ends it here.
    Drop,
    /// Goes on with another chain.
    Jump(&'a str),
}

/// Goes on if the name of the packet's interface begins, or does not begin, with a text (`nft` writes `text*`).
pub(super) fn interface(meta: Meta, prefix: &str, same: bool) -> [Expression<'static>; 2] {
    [
        Expression::LoadMeta(meta, FIRST),
        compare(prefix.as_bytes().to_vec(), same),
    ]
}

/// Goes on if an address is, or is not, within a network.
pub(super) fn network(
    field: Field,
    network: ipnet::Ipv4Net,
    within: bool,
) -> [Expression<'static>; 3] {
    [
        Expression::Load(field, FIRST),
        Expression::Mask(network.netmask().octets().to_vec()),
        compare(network.network().octets().to_vec(), within),
    ]
}

/// Goes on if any, or none, of the bits is set.
pub(super) fn bits(what: Connection, bits: u32, any: bool) -> [Expression<'static>; 3] {
    [
        Expression::LoadConnection(what, FIRST),
        Expression::Mask(bits.to_ne_bytes().to_vec()),
        compare(vec![0; 4], !any),
    ]
}

fn compare(value: Vec<u8>, same: bool) -> Expression<'static> {
    if same {
        Expression::Equal(value)
    } else {
        Expression::NotEqual(value)
    }
}

impl Expression<'_> {
    /// Appends the expression to a rule's list.
    pub(super) fn write(&self, list: Message) -> Message {
        list.nested(NFTA_LIST_ELEM, |one| {
            one.text(NFTA_EXPR_NAME, self.name())
                .nested(NFTA_EXPR_DATA, |data| self.write_data(data))
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Load(..) => "payload",
            Self::LoadMeta(..) => "meta",
            Self::LoadConnection(..) => "ct",
            Self::LoadDestinationKind(_) | Self::LoadSenderIsBehindInterface(_) => "fib",
            Self::Mask(_) => "bitwise",
            Self::Equal(_) | Self::NotEqual(_) => "cmp",
            Self::Lookup(_) => "lookup",
            Self::DestinationNat => "nat",
            Self::Masquerade => "masq",
            Self::Drop | Self::Jump(_) => "immediate",
        }
    }

    /// The attributes of an expression have their own numbers for each kind.
    fn write_data(&self, data: Message) -> Message {
        match self {
            Self::Load(field, register) => {
                // NFTA_PAYLOAD_DREG, _BASE (network header 1, transport header 2), _OFFSET, _LEN
                let (base, offset, length) = match field {
                    Field::SourceAddress => (1, 12, 4),
                    Field::DestinationAddress => (1, 16, 4),
                    Field::DestinationPort => (2, 2, 2),
                };
                data.be32(1, *register)
                    .be32(2, base)
                    .be32(3, offset)
                    .be32(4, length)
            }
            // NFTA_META_DREG, _KEY
            Self::LoadMeta(key, register) => data.be32(1, *register).be32(2, *key as u32),
            // NFTA_CT_DREG, _KEY
            Self::LoadConnection(key, register) => data.be32(1, *register).be32(2, *key as u32),
            // NFTA_FIB_DREG, _RESULT (address type), _FLAGS (of the destination)
            Self::LoadDestinationKind(register) => {
                data.be32(1, *register).be32(2, 3).be32(3, 1 << 1)
            }
            // … (interface), of the source, with the input interface, as yes or no
            Self::LoadSenderIsBehindInterface(register) => data
                .be32(1, *register)
                .be32(2, 1)
                .be32(3, 1 << 0 | 1 << 3 | 1 << 5),
            Self::Mask(mask) => {
                // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
                let length = u32::try_from(mask.len()).unwrap_or_default();
                data.be32(1, FIRST)
                    .be32(2, FIRST)
                    .be32(3, length)
                    .nested(4, |value| value.bytes(NFTA_DATA_VALUE, mask))
                    .nested(5, |value| {
                        value.bytes(NFTA_DATA_VALUE, &vec![0; mask.len()])
                    })
            }
            // NFTA_CMP_SREG, _OP (equal 0, not equal 1), _DATA
            Self::Equal(expected) | Self::NotEqual(expected) => data
                .be32(1, FIRST)
                .be32(2, u32::from(matches!(self, Self::NotEqual(_))))
                .nested(3, |value| value.bytes(NFTA_DATA_VALUE, expected)),
            // NFTA_LOOKUP_SET, _SREG, _DREG
            Self::Lookup(map) => data.text(1, map).be32(2, FIRST).be32(3, FIRST),
            // NFTA_NAT_TYPE (destination 1), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN
            Self::DestinationNat => data.be32(1, 1).be32(2, 2).be32(3, FIRST).be32(5, SECOND),
            Self::Masquerade => data,
            Self::Drop => verdict(data, NF_DROP, None),
            Self::Jump(chain) => verdict(data, NFT_JUMP, Some(chain)),
        }
    }
}

/// `NFTA_IMMEDIATE_DREG` and `NFTA_IMMEDIATE_DATA` with a verdict in it.
fn verdict(data: Message, code: u32, chain: Option<&str>) -> Message {
    data.be32(1, VERDICT_REGISTER).nested(2, |value| {
        value.nested(NFTA_DATA_VERDICT, |verdict| {
            let verdict = verdict.be32(NFTA_VERDICT_CODE, code);
            match chain {
                Some(chain) => verdict.text(NFTA_VERDICT_CHAIN, chain),
                None => verdict,
            }
        })
    })
}
