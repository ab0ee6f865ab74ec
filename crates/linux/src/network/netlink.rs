//! A netlink socket: sends requests, collects the answers.
//!
//! The kernel works off requests inside `sendto`: when it returns, every answer is queued (a dump queues the next
//! portion at each `recv`). So answers are read without ever waiting, and a caller can send many requests at once.

use super::error::{KernelError, NetworkError};
use super::message::{Message, attribute, messages, text, u32_at};
use super::sys;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{Protocol, RecvFlags, SendFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Links, addresses and routes: protocol 0, which `rustix` spells as none.
pub(super) const ROUTE: Option<Protocol> = None;
/// nf_tables and connection tracking.
pub(super) const NETFILTER: Option<Protocol> = Some(rustix::net::netlink::NETFILTER);

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// A dump that raced with a change and may have gaps.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The error answer carries attributes behind (a part of) the original request.
const NLM_F_ACK_TLVS: u16 = 0x200;
/// The error answer carries only the original header, not the whole request.
const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// How often a dump that raced with changes is taken again before its possible gaps are accepted.
const DUMP_ATTEMPTS: u32 = 16;

/// The kernel's answer to one of the requests that were sent together.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: u16,
    pub(super) payload: Vec<u8>,
}

/// What came back for a group of requests.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The refusals, with the position of the request in the group.
    pub(super) refused: Vec<(usize, KernelError)>,
    /// Everything that is not an acknowledgement or a refusal.
    pub(super) answers: Vec<Answer>,
}

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Speaks `protocol` with the network namespace the calling thread is in.
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, NetworkError> {
        sys::netlink_socket(protocol)
            .map(Self::from)
            .map_err(|source| NetworkError::Socket { source })
    }

    /// Speaks `protocol` with another network namespace.
    pub(super) fn open_in(
        namespace: BorrowedFd<'_>,
        protocol: Option<Protocol>,
    ) -> Result<Self, NetworkError> {
        sys::socket_in(namespace, || sys::netlink_socket(protocol))
            .map(Self::from)
            .map_err(|source| NetworkError::Namespace { source })
    }

    /// Sends one request and waits for its success.
    pub(super) fn request(&mut self, message: Message) -> Result<Vec<Answer>, KernelError> {
        self.requests(&[message.acknowledged()])
    }

    /// Sends requests together. They are worked off in order, each on its own: one that is refused does not keep the
    /// later ones from happening. The first refusal is the result.
    pub(super) fn requests(&mut self, group: &[Message]) -> Result<Vec<Answer>, KernelError> {
        let mut outcome = self.exchange(group)?;
        if outcome.refused.is_empty() {
            Ok(outcome.answers)
        } else {
            Err(outcome.refused.swap_remove(0).1)
        }
    }

    /// Sends a request that asks for a list, again if the list changed while it was read.
    pub(super) fn dump(&mut self, message: &Message) -> Result<Vec<Answer>, KernelError> {
        for _ in 1..DUMP_ATTEMPTS {
            match self.requests(std::slice::from_ref(message)) {
                Err(error) if error.is(Errno::INTR) => {}
                other => return other,
            }
        }
        self.requests(std::slice::from_ref(message))
    }

    /// Sends requests together and reports on all of them.
    pub(super) fn exchange(&mut self, group: &[Message]) -> Result<Outcome, KernelError> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(group.len() * 256);
        let mut unanswered = 0;
        for message in group {
            self.sequence = self.sequence.wrapping_add(1);
            message.write_to(&mut bytes, self.sequence);
            unanswered += usize::from(message.wants_acknowledgement());
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, &bytes, SendFlags::empty(), &kernel)
            .map_err(|error| KernelError::from(io::Error::from(error)))?;

        let mut outcome = Outcome::default();
        let mut interrupted = false;
        while let Some(length) = self.receive()? {
            for received in messages(&self.buffer[..length]) {
                let index = received.sequence.wrapping_sub(first) as usize;
                if index >= group.len() {
                    continue; // the answer to an earlier request that was given up
                }
                interrupted |= received.flags & NLM_F_DUMP_INTR != 0;
                match received.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        unanswered = unanswered.saturating_sub(1);
                        if let Some(error) =
                            refusal(received.kind, received.flags, received.payload)
                        {
                            outcome.refused.push((index, error));
                        }
                    }
                    kind => outcome.answers.push(Answer {
                        kind,
                        payload: received.payload.to_vec(),
                    }),
                }
            }
        }
        if interrupted && outcome.refused.is_empty() {
            outcome.refused.push((0, KernelError::from(Errno::INTR)));
        }
        if unanswered > 0 && outcome.refused.is_empty() {
            return Err(KernelError::from(io::Error::other(
                "the kernel did not answer the request",
            )));
        }
        Ok(outcome)
    }

    /// The length of the next datagram, now in the buffer, or nothing when all have been read.
    fn receive(&mut self) -> Result<Option<usize>, KernelError> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        self.buffer.clear();
        match rustix::net::recv(&self.fd, spare_capacity(&mut self.buffer), flags) {
            Ok((_, length)) if length > self.buffer.len() => Err(KernelError::from(
                io::Error::other("the kernel's answer is larger than any known one"),
            )),
            Ok((_, length)) => Ok(Some(length)),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(KernelError::from(error)),
        }
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            sequence: 0,
            // The kernel makes the portions of a dump as large as the largest buffer it has seen, 32 KiB at most. Most answers are
            // short, and what they do not reach of it is never touched.
            buffer: Vec::with_capacity(64 * 1024),
        }
    }
}

/// What an answer says went wrong, if anything. The number comes first in errors and in the end of a dump.
fn refusal(kind: u16, flags: u16, payload: &[u8]) -> Option<KernelError> {
    let code = u32_at(payload, 0)?.cast_signed();
    if code == 0 {
        return None;
    }
    let errno = Errno::from_raw_os_error(code.checked_neg().unwrap_or(libc::EIO));
    let mut error = KernelError::from(errno);
    if kind == NLMSG_ERROR && flags & NLM_F_ACK_TLVS != 0 {
        let original = if flags & NLM_F_CAPPED != 0 {
            16
        } else {
            u32_at(payload, 4).map_or(16, |length| length.next_multiple_of(4) as usize)
        };
        error.detail = payload
            .get(4 + original..)
            .and_then(|attributes| attribute(attributes, NLMSGERR_ATTR_MSG))
            .map(text);
    }
    Some(error)
}
