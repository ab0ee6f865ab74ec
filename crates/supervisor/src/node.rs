//! The machine as a Kubernetes node: what it has, and the addresses under which its pods and others reach it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::roots::PodDirs;
use crate::translate::machine::{self, Machine, Modules};

/// What pods may ask about the machine. What cannot be read counts as nothing.
pub(crate) fn machine(dirs: &PodDirs) -> Machine {
    let disk = rustix::fs::statvfs(&dirs.data);
    Machine {
        hostname: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        memory_bytes: machine::memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        disk_bytes: disk.map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
        huge_page_bytes: huge_pages(),
        modules: Modules {
            apparmor: podyard_linux::has_apparmor(),
            selinux: podyard_linux::has_selinux(),
        },
    }
}

/// Sizes of which the machine has pages to give.
fn huge_pages() -> Vec<u64> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages")
        .into_iter()
        .flatten();
    let mut sizes: Vec<u64> = entries
        .flatten()
        .filter(|entry| {
            ["nr_hugepages", "nr_overcommit_hugepages"]
                .iter()
                .any(|file| {
                    let count = fs::read_to_string(entry.path().join(file));
                    count.is_ok_and(|count| count.trim() != "0")
                })
        })
        .filter_map(|entry| machine::huge_page_size(entry.file_name().to_str()?))
        .collect();
    sizes.sort_unstable();
    sizes
}

/// The address that packets to the outside world leave from; without a way out, the first one that is not a loopback's. None on a
/// machine that has no network at all.
pub(crate) fn addresses() -> Vec<String> {
    towards_the_world()
        .or_else(first_of_an_interface)
        .map(|address| address.to_string())
        .into_iter()
        .collect()
}

/// Connecting a datagram socket chooses a route, and with it the address; nothing is sent. The destination is of the documentation
/// range (RFC 5737), which nobody has closer than the default route.
fn towards_the_world() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    let anywhere = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 9));
    socket.connect(anywhere).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

fn first_of_an_interface() -> Option<IpAddr> {
    let addresses = podyard_linux::network::addresses().ok()?;
    addresses
        .into_iter()
        // Ours lead to pods, which know the machine by its other addresses.
        .filter(|(interface, _)| !interface.starts_with("py"))
        .map(|(_, address)| address)
        .find(|address| !address.is_loopback() && !address.is_link_local())
        .map(IpAddr::V4)
}
