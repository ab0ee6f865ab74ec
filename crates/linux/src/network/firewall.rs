//! The rule set of one instance: static but for the elements of its two maps of host ports.
//!
//! ```text
//! table ip podyard_<instance>
//!   map   host_ports             protocol . port            -> pod address . pod port
//!   map   host_ports_on_address  address . protocol . port  -> pod address . pod port
//!   chain to_pods       looks both up, the more precise one first
//!   chain prerouting    what arrives for an address of this machine: to_pods
//!   chain output        what this machine sends to an address of its own: to_pods
//!   chain from_pods     pods may not pretend to be somebody else, nor reach this machine's loopback
//!   chain forward       the outside reaches pods through host ports only
//!   chain postrouting   what leaves the pod network bears this machine's address
//! ```
//!
//! Pods only add and remove elements, so their number costs packets nothing and there are no rule handles to keep.
//!
//! **What a table cannot do.** A packet must pass the chains of every table: where another program drops forwarded
//! packets (Docker sets the policy of the iptables chain FORWARD to drop), an accept of ours changes nothing, and
//! rules in a table that is not ours are not ours to change. [`forwarding_is_blocked`] finds the usual case, so that the
//! caller can say so.
//!
//! **Masquerade** also applies to two cases inside the machine. A pod that reaches another one (or itself) through a
//! host port must see the answer come from the machine, as the answer would otherwise go to it directly and be
//! unknown to it. And what comes from 127.0.0.1 needs an address the pod can answer to.
//!
//! **Spoofing.** A pod's packets must bear its own address: the sender must be who is routed through the interface they
//! come in by.
//!
//! **Loopback.** `route_localnet` on the interfaces, needed for host ports through 127.0.0.1, would let pods send packets
//! to services that listen on this machine's loopback only (CVE-2020-8558); `from_pods` drops them before addresses are
//! translated back, so that answers to the machine's own connections still pass.

use super::error::NetworkError;
use super::expression::{
    Connection, Expression, FIRST, Field, Meta, SECOND, THIRD, bits, interface, network,
};
use super::netlink::Socket;
use super::nft::{self, Base, Batch, DataType, Element, Family, Hook};
use ipnet::Ipv4Net;
use rustix::io::Errno;
use std::net::Ipv4Addr;

/// Maps of every address of the machine.
pub(super) const HOST_PORTS: &str = "host_ports";
/// Maps of one address of the machine.
pub(super) const HOST_PORTS_ON_ADDRESS: &str = "host_ports_on_address";

/// How the tables of all instances begin.
pub(super) const TABLE_PREFIX: &str = "podyard_";

/// `RTN_LOCAL`: an address of this machine.
const LOCAL_ADDRESS: u32 = 2;
/// `established` and `related`.
const STATE_ANSWER: u32 = 1 << 1 | 1 << 2;
/// `IPS_DST_NAT`: the connection's destination was translated.
const STATUS_TRANSLATED: u32 = 1 << 5;

/// How often a change is tried again when other programs change rules at the same moment.
pub(super) const ATTEMPTS: u32 = 256;

/// The name of an instance's table.
pub(super) fn table_name(instance: &str) -> String {
    format!("{TABLE_PREFIX}{instance}")
}

/// What a table's comment says, and the only place where other instances find the subnet.
fn comment(subnet: Ipv4Net) -> String {
    format!("podyard pods {subnet}")
}

/// The subnets of all instances in this network namespace but one.
pub(super) fn subnets_of_others(
    socket: &mut Socket,
    own_table: &str,
) -> Result<Vec<Ipv4Net>, NetworkError> {
    let tables = nft::tables(socket, Family::Ip)
        .map_err(|error| error.during("list the firewall's tables"))?;
    Ok(tables
        .into_iter()
        .filter(|table| table.name.starts_with(TABLE_PREFIX) && table.name != own_table)
        .filter_map(|table| table.comment?.rsplit(' ').next()?.parse().ok())
        .collect())
}

/// Whether an instance's table is there.
pub(super) fn is_installed(socket: &mut Socket, table: &str) -> Result<bool, NetworkError> {
    match nft::table(socket, Family::Ip, table) {
        Ok(found) => Ok(found.is_some()),
        Err(error) => Err(error.during(format!("look up firewall table {table}"))),
    }
}

/// What [`install`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installed {
    /// The rules are in force.
    Yes,
    /// Somebody changed rules since the generation; nothing was done.
    Outdated,
}

/// Puts the rule set in force for the interfaces whose names begin with `interfaces`, in place of an earlier one of the same name, with the host ports that exist already.
pub(super) fn install(
    socket: &mut Socket,
    generation: u32,
    table: &str,
    interfaces: &str,
    subnet: Ipv4Net,
    host_ports: &[(&str, Element)],
) -> Result<Installed, NetworkError> {
    let mut batch = Batch::new(Family::Ip, Some(generation));
    // Only when there is one: whoever has removed a table waits for a grace period when it closes its socket.
    if is_installed(socket, table)? {
        batch.remove_table(table);
    }
    batch.add_table(table, &comment(subnet));
    add_rules(&mut batch, table, interfaces, subnet);
    for map in [HOST_PORTS, HOST_PORTS_ON_ADDRESS] {
        let elements: Vec<Element> = host_ports
            .iter()
            .filter(|(of, _)| *of == map)
            .map(|(_, element)| element.clone())
            .collect();
        batch.add_elements(table, map, &elements);
    }
    match batch.commit(socket) {
        Ok(()) => Ok(Installed::Yes),
        Err(error) if error.is(Errno::RESTART) => Ok(Installed::Outdated),
        Err(error) => Err(error.during(format!("install firewall table {table}"))),
    }
}

/// Removes the rule set. One that is not there is fine.
pub(super) fn remove(socket: &mut Socket, table: &str) -> Result<(), NetworkError> {
    let mut batch = Batch::new(Family::Ip, None);
    batch.remove_table(table);
    match batch.commit(socket) {
        Err(error) if !error.is(Errno::NOENT) => {
            Err(error.during(format!("remove firewall table {table}")))
        }
        _ => Ok(()),
    }
}

/// Whether the iptables chain through which pods reach the outside world drops by default, as Docker sets it up. Only
/// the nf_tables variant of iptables can be seen this way.
pub(super) fn forwarding_is_blocked(socket: &mut Socket) -> Result<bool, NetworkError> {
    nft::drops_by_policy(socket, Family::Ip, "filter", "FORWARD")
        .map_err(|error| error.during("look up the policy of chain FORWARD"))
}

fn add_rules(batch: &mut Batch, table: &str, interfaces: &str, subnet: Ipv4Net) {
    use DataType::{InternetProtocol, InternetService, Ipv4Address};
    let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let target = [Ipv4Address, InternetService];
    batch.add_map(
        table,
        HOST_PORTS,
        &[InternetProtocol, InternetService],
        &target,
    );
    batch.add_map(
        table,
        HOST_PORTS_ON_ADDRESS,
        &[Ipv4Address, InternetProtocol, InternetService],
        &target,
    );

    batch.add_chain(table, "to_pods", None);
    let base = |kind, hook, priority| {
        Some(Base {
            kind,
            hook,
            priority,
        })
    };
    batch.add_chain(table, "from_pods", base("filter", Hook::Prerouting, -300));
    batch.add_chain(table, "prerouting", base("nat", Hook::Prerouting, -100));
    batch.add_chain(table, "output", base("nat", Hook::Output, -100));
    batch.add_chain(table, "forward", base("filter", Hook::Forward, 0));
    batch.add_chain(table, "postrouting", base("nat", Hook::Postrouting, 100));

    let mut rule = |chain: &str, parts: &[&[Expression<'_>]]| {
        batch.add_rule(table, chain, &parts.concat());
    };

    rule(
        "to_pods",
        &[&[
            Expression::Load(Field::DestinationAddress, FIRST),
            Expression::LoadMeta(Meta::Protocol, SECOND),
            Expression::Load(Field::DestinationPort, THIRD),
            Expression::Lookup(HOST_PORTS_ON_ADDRESS),
            Expression::DestinationNat,
        ]],
    );
    rule(
        "to_pods",
        &[&[
            Expression::LoadMeta(Meta::Protocol, FIRST),
            Expression::Load(Field::DestinationPort, SECOND),
            Expression::Lookup(HOST_PORTS),
            Expression::DestinationNat,
        ]],
    );
    for chain in ["prerouting", "output"] {
        rule(
            chain,
            &[&[
                Expression::LoadDestinationKind(FIRST),
                Expression::Equal(LOCAL_ADDRESS.to_ne_bytes().to_vec()),
                Expression::Jump("to_pods"),
            ]],
        );
    }

    let from_pod = interface(Meta::InputInterface, interfaces, true);
    rule(
        "from_pods",
        &[
            &from_pod,
            &[
                Expression::LoadSenderIsBehindInterface(FIRST),
                Expression::Equal(vec![0; 4]),
                Expression::Drop,
            ],
        ],
    );
    rule(
        "from_pods",
        &[
            &from_pod,
            &network(Field::DestinationAddress, loopback, true),
            &[Expression::Drop],
        ],
    );

    let to_pod = interface(Meta::OutputInterface, interfaces, true);
    rule(
        "forward",
        &[
            &to_pod,
            &interface(Meta::InputInterface, interfaces, false),
            &bits(Connection::State, STATE_ANSWER, false),
            &bits(Connection::Status, STATUS_TRANSLATED, false),
            &[Expression::Drop],
        ],
    );

    rule(
        "postrouting",
        &[
            &network(Field::SourceAddress, subnet, true),
            &network(Field::DestinationAddress, subnet, false),
            &[Expression::Masquerade],
        ],
    );
    rule(
        "postrouting",
        &[
            &network(Field::SourceAddress, subnet, true),
            &to_pod,
            &bits(Connection::Status, STATUS_TRANSLATED, true),
            &[Expression::Masquerade],
        ],
    );
    rule(
        "postrouting",
        &[
            &network(Field::SourceAddress, loopback, true),
            &to_pod,
            &[Expression::Masquerade],
        ],
    );
}
