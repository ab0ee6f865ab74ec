//! The two things about network namespaces and sockets that need care: opening a socket inside another namespace, and
//! the one system call of this directory that has no safe wrapper.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A netlink socket in the calling thread's network namespace.
pub(super) fn netlink_socket(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    explain_errors(socket.as_fd());
    Ok(socket)
}

/// Makes a socket in another network namespace. It stays in the namespace it was made in, and the caller is back where it was when this
/// returns.
///
/// The calling thread visits the namespace for as long as `make` takes, which does nothing that could panic. No helper thread: the caller
/// forks, and a thread costs more than the two calls.
///
/// # Panics
///
/// When the way back fails. The kernel refuses it for a descriptor of the right kind only when the privilege that led
/// in has vanished in between. A thread in the wrong network would then do its work on the wrong machine as it were,
/// which is worse than to stop.
pub(super) fn socket_in(
    namespace: BorrowedFd<'_>,
    make: impl FnOnce() -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    // Not /proc/self: that is the main thread's, which may live elsewhere.
    let home = File::open("/proc/thread-self/ns/net")?;
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let socket = make();
    let back = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network));
    assert!(
        back.is_ok(),
        "cannot return to the own network namespace: {back:?}"
    );
    socket
}

/// A TCP socket that does not block and is not connected, in the calling thread's network namespace.
pub(super) fn tcp_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    Ok(socket)
}

/// Asks the kernel to add a sentence to its error numbers. Best effort: without it, only the number is known.
#[expect(unsafe_code, reason = "rustix has no wrapper for this socket option")]
fn explain_errors(socket: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the descriptor is open for the duration of the borrow; `on` lives across the call and `length` is its
    // size; the kernel only reads from it.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_EXT_ACK,
            (&raw const on).cast(),
            length,
        );
    }
}
