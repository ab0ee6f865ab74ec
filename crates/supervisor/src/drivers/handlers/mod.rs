//! What probes and lifecycle hooks do: run a command in the container, fetch a URL, open a connection, ask a gRPC health service
//! (`pod-lifecycle.md` sections 5.3 and 6). The probing side is this machine, so an image needs no tools of its own for any of them.
//!
//! Error texts are those of the libraries the kubelet uses, since they end up in Events that people search for.

pub(super) mod exec;
pub(super) mod grpc;
pub(super) mod http;
mod name;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podyard_api::core::Container;
use podyard_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::World;

/// How much of a handler's output is kept, in bytes.
pub(super) const OUTPUT_BYTES: usize = 10 << 10;

/// The pod's own address, which is where a handler goes unless it names a host.
pub(super) fn pod_address(world: &World) -> Option<String> {
    let own = world.live.pod_ips.borrow().first().cloned();
    own.or_else(|| world.host_ips.first().cloned())
}

/// A port by number or by the name that the container gave it; a number as text works too.
pub(super) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_deref() == Some(name.as_str()));
            match named {
                Some(port) => port.container_port,
                None => name
                    .parse()
                    .map_err(|_| format!("couldn't find port: {name:?}"))?,
            }
        }
    };
    match u16::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("invalid port number: {number}")),
    }
}

/// Opens a connection within `limit`, to the first address that answers.
pub(super) async fn connect(
    host: &str,
    port: u16,
    limit: Option<Duration>,
) -> Result<TcpStream, String> {
    let attempt = async {
        let mut last = format!("lookup {host}: no such host");
        for address in addresses(host).await? {
            match open(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(text) => last = text,
            }
        }
        Err(format!("dial tcp: {last}"))
    };
    let Some(limit) = limit else {
        return attempt.await;
    };
    match timeout(limit, attempt).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("dial tcp {}: i/o timeout", join(host, port))),
    }
    .map_err(|text| text.replacen("dial tcp: ", "dial tcp ", 1))
}

async fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    match host.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => name::resolve(host).await,
    }
}

async fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("{address}: connect: {}", go_text(&error));
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.map_err(failed)?;
    // A probe every second must not leave a port behind for a minute each time.
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::from_secs(1)))
        .map_err(|errno| failed(errno.into()))?;
    socket.connect(address).await.map_err(failed)
}

/// `host:port`, with brackets where an IPv6 address needs them.
pub(super) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The name resolution role: `podyard internal resolve NAME`. The resolver of the C library may block for seconds, so it has a process of
/// its own; one address per line.
pub use name::run as run_resolve;

/// An operating system error as Go prints it.
pub(super) fn go_text(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        ErrorKind::TimedOut => "connection timed out".to_owned(),
        ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            text.to_lowercase()
        }
    }
}

/// A duration as Go prints it, for whole seconds.
pub(super) fn go_seconds(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podyard_api::core::ContainerPort;

    #[test]
    fn ports_by_number_name_and_text() {
        let container = Container {
            ports: Some(vec![ContainerPort {
                name: Some("web".to_owned()),
                container_port: 8080,
                ..ContainerPort::default()
            }]),
            ..Container::default()
        };
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (wanted, expected) in [
            (IntOrString::Int(80), Ok(80)),
            (text("web"), Ok(8080)),
            (text("81"), Ok(81)),
            (IntOrString::Int(0), Err("invalid port number: 0")),
            (IntOrString::Int(65536), Err("invalid port number: 65536")),
            (text("other"), Err("couldn't find port: \"other\"")),
        ] {
            assert_eq!(
                port(&wanted, &container),
                expected.map_err(str::to_owned),
                "{wanted:?}"
            );
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (seconds, expected) in [(1, "1s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s")] {
            assert_eq!(go_seconds(seconds), expected);
        }
    }
}
