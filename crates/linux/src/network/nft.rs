//! nf_tables requests: tables, chains, rules, maps and their elements, sent as one atomic batch.
//!
//! Only the expressions that [`super::firewall`] uses. Constants and layouts: `linux/netfilter/nf_tables.h`; byte for
//! byte what the `nft` program sends for the same rules, so that it lists ours as it lists its own.
//!
//! A batch takes effect as a whole or not at all. It may be tied to a generation of the rule set: if anything in the
//! namespace's rules changed since that generation was read, the kernel refuses the batch with `ERESTART`. Look, decide
//! and act in a loop with [`generation`] is therefore free of races with all other programs, without any lock.

use super::error::KernelError;
use super::expression::Expression;
use super::message::{Message, attribute, attribute_at, attributes, text};
use super::netlink::{Answer, Socket};
use rustix::io::Errno;

const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_BATCH_GENID: u16 = 1;
const NFT_MSG_NEWTABLE: u16 = SUBSYSTEM;
const NFT_MSG_GETTABLE: u16 = SUBSYSTEM | 1;
const NFT_MSG_DELTABLE: u16 = SUBSYSTEM | 2;
const NFT_MSG_NEWCHAIN: u16 = SUBSYSTEM | 3;
const NFT_MSG_GETCHAIN: u16 = SUBSYSTEM | 4;
const NFT_MSG_NEWRULE: u16 = SUBSYSTEM | 6;
const NFT_MSG_NEWSET: u16 = SUBSYSTEM | 9;
const NFT_MSG_NEWSETELEM: u16 = SUBSYSTEM | 12;
const NFT_MSG_GETSETELEM: u16 = SUBSYSTEM | 13;
const NFT_MSG_DELSETELEM: u16 = SUBSYSTEM | 14;
const NFT_MSG_NEWGEN: u16 = SUBSYSTEM | 15;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM | 16;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_USERDATA: u16 = 6;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_ID: u16 = 10;
const NFT_SET_MAP: u32 = 8;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_GEN_ID: u16 = 1;

/// What `nft` calls a comment: the first kind of user data on tables and on elements alike.
const UDATA_COMMENT: u8 = 0;
/// The longest comment that `nft` shows (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_LENGTH: usize = 128;

/// An address family of nf_tables. A table for IPv6 pods would be a second one of the same name in `ip6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    Ip,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Ip => 2,
        }
    }

    fn header(self) -> [u8; 4] {
        [self.number(), 0, 0, 0]
    }
}

/// Data types as `nft` numbers them; the kernel only stores them for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum DataType {
    Ipv4Address = 7,
    InternetProtocol = 12,
    InternetService = 13,
}

/// Six bits per part, the first part uppermost.
fn concatenation(types: &[DataType]) -> u32 {
    types.iter().fold(0, |all, part| (all << 6) | *part as u32)
}

/// Each part occupies a register of 32 bits, whatever its size.
fn concatenation_length(types: &[DataType]) -> u32 {
    types.iter().fold(0, |length, _| length + 4)
}

/// Where a base chain sees packets (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A base chain's kind, hook and priority; a chain without one is entered by a jump only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    pub(super) kind: &'static str,
    pub(super) hook: Hook,
    pub(super) priority: i32,
}

/// An element of a map: a key, its value, and a remark for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) comment: Option<String>,
}

/// Requests that take effect together.
pub(super) struct Batch {
    family: Family,
    messages: Vec<Message>,
    set_id: u32,
}

impl Batch {
    /// An empty batch; with a generation, one that is refused if the rules are no longer of that generation.
    pub(super) fn new(family: Family, generation: Option<u32>) -> Self {
        let begin = batch_edge(NFNL_MSG_BATCH_BEGIN);
        let begin = match generation {
            Some(generation) => begin.be32(NFNL_BATCH_GENID, generation),
            None => begin,
        };
        Self {
            family,
            messages: vec![begin],
            set_id: 0,
        }
    }

    /// Creates a table if there is none of that name.
    pub(super) fn add_table(&mut self, table: &str, comment: &str) {
        let message = self
            .message(NFT_MSG_NEWTABLE, NLM_F_CREATE)
            .text(NFTA_TABLE_NAME, table)
            .be32(NFTA_TABLE_FLAGS, 0)
            .bytes(NFTA_TABLE_USERDATA, &user_comment(comment));
        self.push(message);
    }

    /// Removes a table with everything in it. Refused with `ENOENT` if there is none.
    pub(super) fn remove_table(&mut self, table: &str) {
        let message = self
            .message(NFT_MSG_DELTABLE, 0)
            .text(NFTA_TABLE_NAME, table);
        self.push(message);
    }

    pub(super) fn add_chain(&mut self, table: &str, chain: &str, base: Option<Base>) {
        let mut message = self
            .message(NFT_MSG_NEWCHAIN, NLM_F_CREATE)
            .text(NFTA_CHAIN_TABLE, table)
            .text(NFTA_CHAIN_NAME, chain);
        if let Some(base) = base {
            message = message
                .nested(NFTA_CHAIN_HOOK, |hook| {
                    hook.be32(NFTA_HOOK_HOOKNUM, base.hook as u32)
                        .be32(NFTA_HOOK_PRIORITY, base.priority.cast_unsigned())
                })
                .be32(NFTA_CHAIN_POLICY, 1) // accept
                .text(NFTA_CHAIN_TYPE, base.kind);
        }
        self.push(message);
    }

    pub(super) fn add_map(&mut self, table: &str, map: &str, key: &[DataType], value: &[DataType]) {
        self.set_id += 1;
        let message = self
            .message(NFT_MSG_NEWSET, NLM_F_CREATE)
            .text(NFTA_SET_TABLE, table)
            .text(NFTA_SET_NAME, map)
            .be32(NFTA_SET_FLAGS, NFT_SET_MAP)
            .be32(NFTA_SET_KEY_TYPE, concatenation(key))
            .be32(NFTA_SET_KEY_LEN, concatenation_length(key))
            .be32(NFTA_SET_DATA_TYPE, concatenation(value))
            .be32(NFTA_SET_DATA_LEN, concatenation_length(value))
            .be32(NFTA_SET_ID, self.set_id);
        self.push(message);
    }

    pub(super) fn add_rule(&mut self, table: &str, chain: &str, expressions: &[Expression<'_>]) {
        let message = self
            .message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)
            .text(NFTA_RULE_TABLE, table)
            .text(NFTA_RULE_CHAIN, chain)
            .nested(NFTA_RULE_EXPRESSIONS, |list| {
                expressions
                    .iter()
                    .fold(list, |list, expression| expression.write(list))
            });
        self.push(message);
    }

    /// Adds elements. One that is there with the same value is fine; with another value it refuses the batch.
    pub(super) fn add_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        for portion in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let message = self
                .message(NFT_MSG_NEWSETELEM, NLM_F_CREATE)
                .text(NFTA_SET_ELEM_LIST_TABLE, table)
                .text(NFTA_SET_ELEM_LIST_SET, map)
                .nested(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                    portion.iter().fold(list, |list, element| {
                        list.nested(NFTA_LIST_ELEM, |one| {
                            let one = one
                                .nested(NFTA_SET_ELEM_KEY, |key| {
                                    key.bytes(NFTA_DATA_VALUE, &element.key)
                                })
                                .nested(NFTA_SET_ELEM_DATA, |data| {
                                    data.bytes(NFTA_DATA_VALUE, &element.value)
                                });
                            match &element.comment {
                                Some(comment) => {
                                    one.bytes(NFTA_SET_ELEM_USERDATA, &user_comment(comment))
                                }
                                None => one,
                            }
                        })
                    })
                });
            self.push(message);
        }
    }

    /// Removes the element with a key. Refused with `ENOENT` if there is none.
    pub(super) fn remove_element(&mut self, table: &str, map: &str, key: &[u8]) {
        let message = element_request(self.message(NFT_MSG_DELSETELEM, 0), table, map, key);
        self.push(message);
    }

    /// Whether there is anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.len() == 1
    }

    /// Sends the batch.
    pub(super) fn commit(mut self, socket: &mut Socket) -> Result<(), KernelError> {
        self.messages.push(batch_edge(NFNL_MSG_BATCH_END));
        socket.requests(&self.messages).map(drop)
    }

    fn message(&self, kind: u16, flags: u16) -> Message {
        Message::new(kind, flags, &self.family.header())
    }

    fn push(&mut self, message: Message) {
        self.messages.push(message.acknowledged());
    }
}

/// Some hundred bytes each, and 64 KiB is the most an attribute can hold.
const ELEMENTS_PER_MESSAGE: usize = 200;

/// The number of the current generation of the namespace's rules: it grows with every change by anyone.
pub(super) fn generation(socket: &mut Socket) -> Result<u32, KernelError> {
    let request = Message::new(NFT_MSG_GETGEN, 0, &[0; 4]);
    socket
        .request(request)?
        .iter()
        .filter(|answer| answer.kind == NFT_MSG_NEWGEN)
        .find_map(|answer| be32(attribute(answer.payload.get(4..)?, NFTA_GEN_ID)?))
        .ok_or_else(|| Errno::PROTO.into())
}

/// A table's name and comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) comment: Option<String>,
}

/// All tables of a family, whoever made them.
pub(super) fn tables(socket: &mut Socket, family: Family) -> Result<Vec<Table>, KernelError> {
    let request = Message::new(NFT_MSG_GETTABLE, NLM_F_DUMP, &family.header());
    Ok(socket
        .dump(&request)?
        .iter()
        .filter_map(parse_table)
        .collect())
}

/// One table by name.
pub(super) fn table(
    socket: &mut Socket,
    family: Family,
    name: &str,
) -> Result<Option<Table>, KernelError> {
    let request = Message::new(NFT_MSG_GETTABLE, 0, &family.header()).text(NFTA_TABLE_NAME, name);
    match socket.request(request) {
        Ok(answers) => Ok(answers.iter().find_map(parse_table)),
        Err(error) if error.is(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a base chain drops what none of its rules accepts.
pub(super) fn drops_by_policy(
    socket: &mut Socket,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<bool, KernelError> {
    let request = Message::new(NFT_MSG_GETCHAIN, 0, &family.header())
        .text(NFTA_CHAIN_TABLE, table)
        .text(NFTA_CHAIN_NAME, chain);
    match socket.request(request) {
        Ok(answers) => Ok(answers.iter().any(|answer| {
            let policy = answer
                .payload
                .get(4..)
                .and_then(|bytes| attribute(bytes, NFTA_CHAIN_POLICY));
            policy.and_then(be32) == Some(0)
        })),
        Err(error) if error.is(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks one element up; the size of the map does not matter.
pub(super) fn element(
    socket: &mut Socket,
    family: Family,
    table: &str,
    map: &str,
    key: &[u8],
) -> Result<Option<Element>, KernelError> {
    let request = Message::new(NFT_MSG_GETSETELEM, 0, &family.header());
    match socket.request(element_request(request, table, map, key)) {
        Ok(answers) => Ok(parse_elements(&answers).into_iter().next()),
        Err(error) if error.is(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All elements of a map. One that does not exist has none.
pub(super) fn elements(
    socket: &mut Socket,
    family: Family,
    table: &str,
    map: &str,
) -> Result<Vec<Element>, KernelError> {
    let request = Message::new(NFT_MSG_GETSETELEM, NLM_F_DUMP, &family.header())
        .text(NFTA_SET_ELEM_LIST_TABLE, table)
        .text(NFTA_SET_ELEM_LIST_SET, map);
    match socket.dump(&request) {
        Ok(answers) => Ok(parse_elements(&answers)),
        Err(error) if error.is(Errno::NOENT) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn element_request(message: Message, table: &str, map: &str, key: &[u8]) -> Message {
    message
        .text(NFTA_SET_ELEM_LIST_TABLE, table)
        .text(NFTA_SET_ELEM_LIST_SET, map)
        .nested(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            list.nested(NFTA_LIST_ELEM, |one| {
                one.nested(NFTA_SET_ELEM_KEY, |data| data.bytes(NFTA_DATA_VALUE, key))
            })
        })
}

fn parse_table(answer: &Answer) -> Option<Table> {
    let bytes = answer.payload.get(4..)?;
    Some(Table {
        name: text(attribute(bytes, NFTA_TABLE_NAME)?),
        comment: attribute(bytes, NFTA_TABLE_USERDATA).and_then(read_user_comment),
    })
}

fn parse_elements(answers: &[Answer]) -> Vec<Element> {
    answers
        .iter()
        .filter(|answer| answer.kind == NFT_MSG_NEWSETELEM)
        .filter_map(|answer| attribute(answer.payload.get(4..)?, NFTA_SET_ELEM_LIST_ELEMENTS))
        .flat_map(attributes)
        .filter_map(|(_, one)| {
            Some(Element {
                key: attribute_at(one, &[NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE])?.to_vec(),
                value: attribute_at(one, &[NFTA_SET_ELEM_DATA, NFTA_DATA_VALUE])?.to_vec(),
                comment: attribute(one, NFTA_SET_ELEM_USERDATA).and_then(read_user_comment),
            })
        })
        .collect()
}

fn batch_edge(kind: u16) -> Message {
    // The subsystem travels in the header's resource field, in network byte order.
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// User data as `nft` writes it: kind, length, text with a zero byte.
fn user_comment(comment: &str) -> Vec<u8> {
    let comment = &comment[..comment.floor_char_boundary(COMMENT_LENGTH - 1)];
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    [&[UDATA_COMMENT, length], comment.as_bytes(), &[0]].concat()
}

fn read_user_comment(mut data: &[u8]) -> Option<String> {
    loop {
        let (&kind, &length) = (data.first()?, data.get(1)?);
        let end = 2 + usize::from(length);
        let value = data.get(2..end)?;
        if kind == UDATA_COMMENT {
            return Some(text(value));
        }
        data = &data[end..];
    }
}
