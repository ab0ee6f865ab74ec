//! What can go wrong with a pod's network, said for the person who has to do something about it.

use super::ports::{PortHolder, Protocol};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Why a pod got no network, or why parts of one could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A host port that the pod wants is taken. Nothing of the pod's network remains.
    #[error("host port {port}/{protocol} is already in use by {by}")]
    PortInUse {
        /// The number.
        port: u16,
        /// Its protocol; the same number is free in another one.
        protocol: Protocol,
        /// Who has it.
        by: PortHolder,
    },
    /// The instance's name would not fit into interface names.
    #[error("`{instance}` cannot name a network: 1 to 6 lower-case letters and digits are allowed")]
    Instance {
        /// The name as given.
        instance: String,
    },
    /// The configured subnet is too small or too large.
    #[error("subnet {subnet} cannot hold pods: its prefix must be between /12 and /29")]
    Subnet {
        /// The subnet as configured.
        subnet: ipnet::Ipv4Net,
    },
    /// Every subnet that podyard may choose overlaps a network that this machine already knows.
    #[error("no free subnet for pods in {range}: all overlap routes or addresses of this machine")]
    NoFreeSubnet {
        /// The range that was searched.
        range: ipnet::Ipv4Net,
    },
    /// As many pods as the subnet has addresses.
    #[error("no free address in pod subnet {subnet}")]
    NoFreeAddress {
        /// The instance's subnet.
        subnet: ipnet::Ipv4Net,
    },
    /// Other programs change the firewall faster than podyard can look at it.
    #[error(
        "the firewall rules changed {attempts} times while {action}; another program rewrites them all the time"
    )]
    Unsettled {
        /// What was attempted.
        action: &'static str,
        /// How often.
        attempts: u32,
    },
    /// The kernel refused a change.
    #[error("cannot {action}")]
    Kernel {
        /// What was attempted, on which object: `create interface py1f2e3d-2 for the pod`.
        action: String,
        /// The kernel's answer.
        source: KernelError,
    },
    /// No netlink socket: usually a lack of privileges or of kernel support.
    #[error("cannot open a netlink socket")]
    Socket {
        /// The system's answer.
        source: io::Error,
    },
    /// The pod's network namespace cannot be entered.
    #[error("cannot enter the pod's network namespace")]
    Namespace {
        /// The system's answer.
        source: io::Error,
    },
    /// The file with the leases, or a switch under /proc/sys.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// `read`, `write`, `lock`, …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file with the leases says what this version does not understand.
    #[error("`{}` does not hold the leases of a pod network: {reason}", path.display())]
    Leases {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Whether a process listens on a host port could not be found out.
    #[error("cannot find out whether {address}:{port}/{protocol} is free on this machine")]
    PortProbe {
        /// The address that was tried.
        address: Ipv4Addr,
        /// The port that was tried.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// The system's answer.
        source: io::Error,
    },
}

/// A refusal by the kernel: its number and, often, its sentence.
#[derive(Debug)]
pub struct KernelError {
    error: io::Error,
    pub(super) detail: Option<String>,
}

impl KernelError {
    pub(super) fn is(&self, errno: Errno) -> bool {
        self.error.raw_os_error() == Some(errno.raw_os_error())
    }

    /// Says what was attempted.
    pub(super) fn during(self, action: impl Into<String>) -> NetworkError {
        NetworkError::Kernel {
            action: action.into(),
            source: self,
        }
    }

    /// The number, as the standard library knows it.
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for KernelError {}

impl From<io::Error> for KernelError {
    fn from(error: io::Error) -> Self {
        Self {
            error,
            detail: None,
        }
    }
}

impl From<Errno> for KernelError {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}
