//! `port-forward`: ports of this machine that lead to ports of a pod, also to those on which it listens on its own localhost only.

use std::net::SocketAddr;

use podyard_supervisor::{ExecOutput, PodHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{block_on, note, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _};
use crate::pods;
use crate::settings::{Context, ForwardedPort, PodPort, PortForwardSettings};
use crate::watcher::PodWatch;

/// Read at once from a connection, in bytes.
const CHUNK: usize = 32 << 10;

pub(super) fn run(context: &Context, settings: &PortForwardSettings) -> Result<ExitCode, CliError> {
    let handle = pods::find(context, &settings.pod)?;
    let pod = handle
        .pod()
        .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
    if handle.has_ended() || pod.phase() != "Running" {
        return Err(CliError::plain(format!(
            "unable to forward port because pod is not running. Current status={}",
            pod.phase()
        )));
    }
    let mut routes = Vec::new();
    for port in &settings.ports {
        let remote = number(&pod, &port.remote)?;
        routes.push((local_port(port, remote), remote));
    }
    block_on(async {
        for (local, remote) in routes {
            for listener in listen(settings, local).await? {
                let address = listener
                    .local_addr()
                    .map_err(|error| CliError::failed("cannot tell the local port", error))?;
                print(format!("Forwarding from {address} -> {remote}\n"))?;
                tokio::task::spawn_local(accept(listener, handle.clone(), address.port(), remote));
            }
        }
        let mut watch = PodWatch::new(handle.clone());
        while watch.next().await.is_some() {}
        Err(CliError::plain("lost connection to pod"))
    })
}

/// As kubectl: the same number as in the pod, unless another one or any (0) is asked for.
fn local_port(port: &ForwardedPort, remote: u16) -> u16 {
    port.local.unwrap_or(remote)
}

/// A port by number, or by the name that a container gave it.
fn number(pod: &Pod, port: &PodPort) -> Result<u16, CliError> {
    let name = match port {
        PodPort::Number(number) => return Ok(*number),
        PodPort::Name(name) => name,
    };
    let sidecars = pod.init_containers().iter();
    let ports = sidecars
        .chain(pod.app_containers())
        .flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter(|port| port.name.as_ref() == Some(name));
    let number = named
        .filter_map(|port| u16::try_from(port.container_port).ok())
        .next();
    number.ok_or_else(|| {
        CliError::NotFound(format!(
            "pod `{}` has no port of the name `{name}`",
            pod.name()
        ))
    })
}

/// Listens on each address. Of those of localhost, one is enough: a machine may have no IPv6.
async fn listen(settings: &PortForwardSettings, port: u16) -> Result<Vec<TcpListener>, CliError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut refused = None;
    for address in &settings.addresses {
        // Any port is the same one for all of them.
        let port = match listeners.first().and_then(|first| first.local_addr().ok()) {
            Some(first) => first.port(),
            None => port,
        };
        match TcpListener::bind(SocketAddr::new(*address, port)).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => refused = Some((SocketAddr::new(*address, port), error)),
        }
    }
    match refused {
        Some((address, error)) if listeners.is_empty() || !settings.is_localhost => Err(
            CliError::failed(format!("unable to listen on {address}"), error),
        ),
        _ => Ok(listeners),
    }
}

async fn accept(listener: TcpListener, handle: PodHandle, local: u16, remote: u16) {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                // Whoever has closed stdout still wants its connections.
                let _ = print(format!("Handling connection for {local}\n"));
                let handle = handle.clone();
                tokio::task::spawn_local(async move {
                    // Told before the connection is closed, so that whoever sees that finds out why.
                    if let Err(message) = forward(&handle, &mut stream, remote).await {
                        note(format!(
                            "an error occurred forwarding {local} -> {remote}: {message}"
                        ));
                    }
                });
            }
            // Out of descriptors: the ones in use will be closed.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Passes one connection through, until the pod's side has ended or ours is gone.
async fn forward(handle: &PodHandle, stream: &mut TcpStream, remote: u16) -> Result<(), String> {
    let opened = handle.client().port_forward(remote).await;
    let (mut input, mut output) = opened.map_err(|error| error.to_string())?.split();
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk).await {
                Ok(0) => break,
                Ok(read) if input.stdin(&chunk[..read]).await.is_ok() => {}
                _ => return,
            }
        }
        // The other direction goes on for as long as the pod has something to say.
        if input.close_stdin().await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let receiving = async {
        loop {
            match output.next().await {
                Some(ExecOutput::Stdout(bytes)) => {
                    if writer.write_all(&bytes).await.is_err() {
                        return Ok(());
                    }
                }
                Some(ExecOutput::Stderr(_)) => {}
                Some(ExecOutput::Exit(_)) => return Ok(()),
                Some(ExecOutput::Failed(message)) => return Err(message),
                None => return Err("the connection to the pod's supervisor broke".to_owned()),
            }
        }
    };
    tokio::select! {
        end = receiving => end,
        () = sending => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, pod, running};

    #[test]
    fn ports_have_numbers_or_names() {
        let mut web = pod("Running", [app("a", running())]);
        let spec = web.spec.as_mut().expect("a spec");
        spec.containers[0].ports = serde_json::from_value(serde_json::json!([
            {"containerPort": 8080, "name": "http"},
        ]))
        .expect("ports");
        let of = |port: PodPort| number(&web, &port).ok();
        assert_eq!(of(PodPort::Number(80)), Some(80));
        assert_eq!(of(PodPort::Name("http".to_owned())), Some(8080));
        assert_eq!(of(PodPort::Name("other".to_owned())), None);
    }
}
