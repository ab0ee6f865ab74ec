//! The private link between a keeper and its supervisor: datagrams with descriptors attached.
//!
//! Keeper → supervisor, once: terminals that it holds, then the pod's listening socket. Supervisor → keeper: hold these descriptors under this name, drop them, and
//! finally "finished". A datagram is small and the socket's buffer far larger than all that can be outstanding, so sending never waits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// A container has two output pipes; nothing sends more descriptors at once.
const MAX_DESCRIPTORS: usize = 4;

/// What a supervisor tells its keeper.
#[derive(Debug)]
pub(crate) enum FromSupervisor {
    /// Keep these open after my death.
    Hold {
        key: String,
        descriptors: Vec<OwnedFd>,
    },
    /// They are not needed any more.
    Drop { key: String },
    /// The pod has ended: do not start another supervisor.
    Finished,
}

/// The two ends; both are closed on exec.
pub(crate) fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// How the names of descriptors begin that are of no use to anybody in the keeper alone: the next supervisor gets them back.
pub(crate) const TERMINAL: &str = "tty:";

/// Keeper side, before the last message of a keeper: what the last supervisor left.
pub(crate) fn hand_back(link: &OwnedFd, key: &str, held: &OwnedFd) -> std::io::Result<()> {
    send(link.as_fd(), format!("B{key}").as_bytes(), &[held.as_fd()])
}

/// Keeper side: the last message of a keeper.
pub(crate) fn hand_over_listener(link: &OwnedFd, listener: BorrowedFd<'_>) -> std::io::Result<()> {
    send(link.as_fd(), b"L", &[listener])
}

/// Supervisor side: waits for the listening socket, and takes what is handed back before it.
pub(crate) fn take_listener(
    link: &OwnedFd,
) -> std::io::Result<(OwnedFd, HashMap<String, OwnedFd>)> {
    let mut handed_back = HashMap::new();
    loop {
        let (message, mut descriptors) = receive_raw(link.as_fd(), RecvFlags::empty())?;
        let descriptor = descriptors
            .pop()
            .ok_or_else(|| std::io::Error::other("the keeper handed over no descriptor"))?;
        match message.split_first() {
            Some((b'B', key)) => {
                let key = String::from_utf8_lossy(key).into_owned();
                handed_back.insert(key, descriptor);
            }
            _ => return Ok((descriptor, handed_back)),
        }
    }
}

/// Keeper side: the next message that is already there.
///
/// # Errors
///
/// When there will be none any more.
pub(crate) fn receive(link: &OwnedFd) -> std::io::Result<Option<FromSupervisor>> {
    use std::io::ErrorKind;
    let (message, descriptors) = loop {
        match receive_raw(link.as_fd(), RecvFlags::DONTWAIT) {
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(None),
                // The latter is told once, before what was sent, if a supervisor leaves something unread.
                ErrorKind::Interrupted | ErrorKind::ConnectionReset => {}
                _ => return Err(error),
            },
            Ok(received) => break received,
        }
    };
    let Some((kind, key)) = message.split_first() else {
        return Ok(None);
    };
    let key = String::from_utf8_lossy(key).into_owned();
    Ok(match kind {
        b'H' => Some(FromSupervisor::Hold { key, descriptors }),
        b'D' => Some(FromSupervisor::Drop { key }),
        b'F' => Some(FromSupervisor::Finished),
        _ => None,
    })
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct KeeperLink {
    link: OwnedFd,
    /// What can be dropped and has not been said yet.
    droppable: RefCell<Vec<String>>,
}

impl KeeperLink {
    pub(crate) fn new(link: OwnedFd) -> Self {
        Self {
            link,
            droppable: RefCell::default(),
        }
    }

    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self::new(self.link.try_clone()?))
    }

    /// A keeper that is gone holds nothing: the containers' own ends keep the pipes alive then, and the next command starts a new one.
    pub(crate) fn hold(&self, key: &str, descriptors: &[BorrowedFd<'_>]) {
        for key in self.droppable.take() {
            self.drop_held(&key);
        }
        let _ = send(self.link.as_fd(), format!("H{key}").as_bytes(), descriptors);
    }

    pub(crate) fn drop_held(&self, key: &str) {
        let _ = send(self.link.as_fd(), format!("D{key}").as_bytes(), &[]);
    }

    /// For what hurts nobody while it is held, said together with the next [`Self::hold`]: to wake the keeper for it is what costs.
    pub(crate) fn drop_later(&self, key: String) {
        self.droppable.borrow_mut().push(key);
    }

    pub(crate) fn finished(&self) {
        let _ = send(self.link.as_fd(), b"F", &[]);
    }
}

impl AsFd for KeeperLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

fn send(
    link: BorrowedFd<'_>,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(std::io::Error::other("too many descriptors in one message"));
    }
    sendmsg(
        link,
        &[IoSlice::new(message)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

fn receive_raw(link: BorrowedFd<'_>, flags: RecvFlags) -> std::io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut message = [0_u8; 512];
    let received = recvmsg(
        link,
        &mut [IoSliceMut::new(&mut message)],
        &mut ancillary,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors = ancillary
        .drain()
        .flat_map(|part| match part {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        })
        .collect();
    if received.bytes == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok((message[..received.bytes].to_vec(), descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_comes_back_before_the_socket() {
        let (keeper, supervisor) = pair().expect("socketpair");
        let (listener, _) = pair().expect("socketpair");
        let (read_end, write_end) = rustix::pipe::pipe().expect("pipe");
        hand_back(&keeper, "tty:app.1", &write_end).expect("sent");
        drop(write_end);
        hand_over_listener(&keeper, listener.as_fd()).expect("sent");
        let (_, mut held) = take_listener(&supervisor).expect("taken");
        let back = held.remove("tty:app.1").expect("handed back");
        assert!(held.is_empty());
        rustix::io::write(&back, b"x").expect("it is the same pipe");
        let mut byte = [0; 1];
        assert_eq!(rustix::io::read(&read_end, &mut byte), Ok(1));
    }

    #[test]
    fn descriptors_cross_the_link_and_stay_open() {
        let (keeper, supervisor) = pair().expect("socketpair");
        let (read_end, write_end) = rustix::pipe::pipe().expect("pipe");
        let link = KeeperLink::new(supervisor);
        link.hold("app.1", &[read_end.as_fd()]);
        link.drop_held("app.0");
        link.finished();
        drop(read_end);

        let next = || receive(&keeper).expect("it has not ended");
        let Some(FromSupervisor::Hold { key, descriptors }) = next() else {
            panic!("hold comes first")
        };
        assert_eq!((key.as_str(), descriptors.len()), ("app.1", 1));
        assert_eq!(
            rustix::io::write(&write_end, b"x"),
            Ok(1),
            "the read end lives in the keeper"
        );
        assert!(matches!(next(), Some(FromSupervisor::Drop { key }) if key == "app.0"));
        assert!(matches!(next(), Some(FromSupervisor::Finished)));
        assert!(next().is_none());
        drop(link);
        assert!(receive(&keeper).is_err(), "it has ended");
    }

    #[test]
    fn what_was_said_before_the_end_is_heard() {
        let (keeper, supervisor) = pair().expect("socketpair");
        let (listener, _) = pair().expect("socketpair");
        hand_over_listener(&keeper, listener.as_fd()).expect("sent");
        let link = KeeperLink::new(supervisor);
        link.finished();
        // With something unread.
        drop(link);
        assert!(matches!(
            receive(&keeper),
            Ok(Some(FromSupervisor::Finished))
        ));
        assert!(receive(&keeper).is_err(), "it has ended");
    }
}
