//! A small world to test networks in: a network namespace that plays the machine, one that plays the outside, and one
//! for each pod. Nothing of the real machine's network is seen or changed.
//!
//! ```text
//!   outside 198.51.100.2 ── uplink ── 198.51.100.1 machine ── (what is under test) ── pods
//! ```

use podyard_linux::network::{
    NetworkConfig, NetworkError, PodIdentity, PodNetwork, PortMapping, Protocol, attach, detach,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// The machine's address on its uplink.
pub(crate) const MACHINE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A host beyond the uplink. It has no route to pods.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(crate) const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How long something may take that is expected to work.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for what is expected not to come.
const SILENCE: Duration = Duration::from_millis(300);

/// A network namespace.
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        thread::spawn(|| {
            unshare();
            Self::current()
        })
        .join()
        .unwrap()
    }

    /// The calling thread's.
    pub(crate) fn current() -> Self {
        let file = File::open("/proc/thread-self/ns/net").unwrap();
        Self { file }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Does something inside. What is opened there stays there.
    pub(crate) fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network)).unwrap();
            job()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// A server that tells every client who it is and how the client looks from here: `web 10.0.0.1`.
    pub(crate) fn serve_tcp(&self, name: &'static str, address: Ipv4Addr, port: u16) {
        let listener = self.run(|| TcpListener::bind((address, port)).unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().unwrap().ip();
                let _ = write!(stream, "{name} {peer}");
            }
        });
    }

    /// The same for UDP.
    pub(crate) fn serve_udp(&self, name: &'static str, address: Ipv4Addr, port: u16) {
        let socket = self.run(|| UdpSocket::bind((address, port)).unwrap());
        thread::spawn(move || {
            while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        });
    }

    /// What a TCP server says to a client in this namespace.
    pub(crate) fn ask_tcp(&self, address: Ipv4Addr, port: u16) -> io::Result<String> {
        self.ask_tcp_for(address, port, PATIENCE)
    }

    /// Whether a TCP server is out of reach: no answer, or a refusal.
    pub(crate) fn cannot_reach(&self, address: Ipv4Addr, port: u16) -> bool {
        self.ask_tcp_for(address, port, SILENCE).is_err()
    }

    fn ask_tcp_for(&self, address: Ipv4Addr, port: u16, wait: Duration) -> io::Result<String> {
        self.run(|| {
            let server = SocketAddr::from((address, port));
            let mut stream = TcpStream::connect_timeout(&server, wait)?;
            stream.set_read_timeout(Some(wait))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// A UDP client that keeps its port from one question to the next.
    pub(crate) fn udp_client(&self) -> UdpClient {
        UdpClient {
            socket: self.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()),
        }
    }

    /// What a UDP server says to a client in this namespace.
    pub(crate) fn ask_udp(&self, address: Ipv4Addr, port: u16) -> io::Result<String> {
        self.udp_client().ask(address, port)
    }
}

pub(crate) struct UdpClient {
    socket: UdpSocket,
}

impl UdpClient {
    /// Sends until an answer comes: a datagram may be lost while neighbours are still being found.
    pub(crate) fn ask(&self, address: Ipv4Addr, port: u16) -> io::Result<String> {
        self.socket.set_read_timeout(Some(SILENCE))?;
        let mut buffer = [0; 64];
        let server: SocketAddrV4 = (address, port)
            .to_socket_addrs()?
            .find_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })
            .unwrap();
        for _ in 0..3 {
            self.socket.send_to(b"?", server)?;
            match self.socket.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// The machine (the calling thread is in it) and the outside.
pub(crate) struct World {
    pub(crate) machine: Namespace,
    pub(crate) outside: Namespace,
    directory: PathBuf,
}

impl World {
    /// Moves the calling thread into a new machine.
    ///
    /// # Panics
    ///
    /// When the tests cannot run here: they need root and the `ip` program.
    pub(crate) fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "network tests need root: they make network namespaces"
        );
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = std::env::temp_dir().join(format!(
            "podyard-network-test-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        unshare();
        let world = Self {
            machine: Namespace::current(),
            outside: Namespace::new(),
            directory,
        };
        ip("link set lo up");
        let far = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            world.outside.fd().as_raw_fd()
        );
        ip(&format!(
            "link add uplink mtu 1400 type veth peer name uplink-far netns {far} mtu 1400"
        ));
        ip("addr add 198.51.100.1/24 dev uplink");
        ip("link set uplink up");
        world.outside.run(|| {
            ip("link set lo up");
            ip("addr add 198.51.100.2/24 dev uplink-far");
            ip("link set uplink-far up");
        });
        // A default route needs the far end up.
        ip("route add default via 198.51.100.2");
        world
    }

    /// An instance of podyard with its own state directory.
    pub(crate) fn instance(&self, name: &str) -> NetworkConfig {
        NetworkConfig {
            instance: name.to_owned(),
            state_dir: self.directory.join(name),
            subnet: None,
        }
    }

    /// A pod of an instance, attached.
    pub(crate) fn pod(&self, config: &NetworkConfig, name: &str, ports: &[PortMapping]) -> Pod {
        self.try_pod(config, name, ports).unwrap()
    }

    pub(crate) fn try_pod(
        &self,
        config: &NetworkConfig,
        name: &str,
        ports: &[PortMapping],
    ) -> Result<Pod, NetworkError> {
        let namespace = Namespace::new();
        let pod = PodIdentity {
            uid: &format!("uid-{name}"),
            name: &format!("default/{name}"),
        };
        let network = attach(config, namespace.fd(), pod, ports)?;
        Ok(Pod {
            namespace,
            network,
            uid: pod.uid.to_owned(),
        })
    }

    /// The names of the machine's interfaces, but for those that every machine here has.
    pub(crate) fn links(&self) -> Vec<String> {
        let text = run("ip", &["-o", "link"]);
        let mut names: Vec<String> = text
            .lines()
            .filter_map(|line| line.split(": ").nth(1))
            .map(|name| name.split('@').next().unwrap_or(name).to_owned())
            .filter(|name| !["lo", "uplink", "ifb0", "ifb1"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }

    pub(crate) fn rules(&self) -> String {
        run("nft", &["list", "ruleset"])
    }

    pub(crate) fn state_exists(&self, config: &NetworkConfig) -> bool {
        Path::exists(&config.state_dir)
    }

    /// Nothing of any instance is left on the machine.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.links(), Vec::<String>::new());
        assert_eq!(self.rules(), "");
        let left: Vec<_> = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The network goes with its namespaces.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A pod: its namespace and what it was given.
pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) network: PodNetwork,
    pub(crate) uid: String,
}

impl Pod {
    #[track_caller]
    pub(crate) fn detach(&self, config: &NetworkConfig) {
        detach(config, &self.uid).unwrap();
    }
}

pub(crate) fn tcp(host_port: u16, container_port: u16) -> PortMapping {
    PortMapping {
        protocol: Protocol::Tcp,
        host_ip: None,
        host_port,
        container_port,
    }
}

pub(crate) fn udp(host_port: u16, container_port: u16) -> PortMapping {
    PortMapping {
        protocol: Protocol::Udp,
        ..tcp(host_port, container_port)
    }
}

pub(crate) fn on(address: Ipv4Addr, mapping: PortMapping) -> PortMapping {
    PortMapping {
        host_ip: Some(IpAddr::V4(address)),
        ..mapping
    }
}

/// Runs `ip` in the calling thread's network namespace.
pub(crate) fn ip(arguments: &str) -> String {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

/// Runs a program in the calling thread's network namespace.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("these tests need the program `{program}`: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[expect(
    unsafe_code,
    reason = "unshare can take descriptors away; not with this flag"
)]
fn unshare() {
    // SAFETY: only the calling thread's network namespace changes; no descriptor is touched.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
}
