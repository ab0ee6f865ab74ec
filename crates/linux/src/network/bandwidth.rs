//! How much a pod may send and receive: a token bucket at each end of its wire.
//!
//! A queue shapes what leaves through an interface. What comes to the pod leaves this machine's end, and what the pod sends leaves its own, so
//! both ends have one. Who has `CAP_NET_ADMIN` in the pod can take its own away, as it can change its addresses.
//!
//! Message layouts: `linux/pkt_sched.h`, `linux/rtnetlink.h`, tc-tbf(8).

use super::error::NetworkError;
use super::link;
use super::message::Message;
use super::netlink::{self, Socket};
use super::{BorrowedFd, PodNetwork};

const RTM_NEWQDISC: u16 = libc::RTM_NEWQDISC;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const TC_H_ROOT: u32 = u32::MAX;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
/// Packets have the sizes that they have: no table of sizes on some wire has to be brought along.
const TC_LINKLAYER_ETHERNET: u8 = 1;

/// As many bytes may pass at once as the rate gives in this part of a second, and as many more may wait for their turn: what is sent in
/// bursts keeps its rate, and nobody waits much longer than that.
const BURST_PARTS_OF_A_SECOND: u64 = 10;
/// The kernel hands over packets of up to 64 KiB to be cut later, which must fit.
const LEAST_BURST: u64 = 128 << 10;

/// Bits per second in both directions; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// To the pod.
    pub ingress: Option<u64>,
    /// From the pod.
    pub egress: Option<u64>,
}

/// Holds a pod that has its network to what it may send and receive. Safe to repeat; it ends with the network.
///
/// # Errors
///
/// When the kernel refuses, for instance because it has no such queue (`sch_tbf`).
pub fn limit_bandwidth(
    namespace: BorrowedFd<'_>,
    network: &PodNetwork,
    bandwidth: Bandwidth,
) -> Result<(), NetworkError> {
    if let Some(rate) = bandwidth.ingress {
        let mut machine = Socket::open(netlink::ROUTE)?;
        shape(&mut machine, &network.host_interface, rate)?;
    }
    if let Some(rate) = bandwidth.egress {
        let mut inside = Socket::open_in(namespace, netlink::ROUTE)?;
        shape(&mut inside, &network.pod_interface, rate)?;
    }
    Ok(())
}

fn shape(socket: &mut Socket, interface: &str, bits_per_second: u64) -> Result<(), NetworkError> {
    let index = link::index(socket, interface)?;
    socket
        .request(token_bucket(index, bits_per_second))
        .map_err(|error| {
            error.during(format!(
                "limit {interface} to {bits_per_second} bits per second"
            ))
        })?;
    Ok(())
}

/// A `tcmsg`, and behind it the kind of queue and its options.
fn token_bucket(interface: u32, bits_per_second: u64) -> Message {
    let rate = (bits_per_second / 8).max(1);
    let burst = (rate / BURST_PARTS_OF_A_SECOND).max(LEAST_BURST);
    let burst = u32::try_from(burst).unwrap_or(u32::MAX / 2);
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&interface.to_ne_bytes());
    header[12..16].copy_from_slice(&TC_H_ROOT.to_ne_bytes());
    Message::new(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &header)
        .text(TCA_KIND, "tbf")
        .nested(TCA_OPTIONS, |options| {
            options
                .bytes(TCA_TBF_PARMS, &parameters(rate, burst))
                .bytes(TCA_TBF_RATE64, &rate.to_ne_bytes())
                .u32(TCA_TBF_BURST, burst)
        })
}

/// A `tc_tbf_qopt`: rate, peak rate, bytes that may wait; what comes behind is in attributes of its own.
fn parameters(rate: u64, burst: u32) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[1] = TC_LINKLAYER_ETHERNET;
    let narrow = u32::try_from(rate).unwrap_or(u32::MAX);
    bytes[8..12].copy_from_slice(&narrow.to_ne_bytes());
    bytes[24..28].copy_from_slice(&burst.saturating_mul(2).to_ne_bytes());
    bytes
}
