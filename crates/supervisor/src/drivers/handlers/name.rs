//! Host names to addresses, without making the supervisor wait: the C library's resolver blocks, so a short-lived process asks it.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::process::Stdio;

use crate::child::ChildProcess;

/// The addresses of `host`, or the text of a failed lookup.
pub(super) async fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let arguments = ["internal".into(), "resolve".into(), OsString::from(host)];
    let failed = |error: std::io::Error| format!("dial tcp: lookup {host}: {error}");
    let mut child = ChildProcess::spawn(&arguments, Stdio::piped()).map_err(failed)?;
    let answer = child.output().await.map_err(failed)?;
    let addresses: Vec<IpAddr> = String::from_utf8_lossy(&answer)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    if addresses.is_empty() {
        return Err(format!("dial tcp: lookup {host}: no such host"));
    }
    Ok(addresses)
}

/// Runs the role; the exit code says whether there is an address.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let Some(host) = arguments.next().and_then(|host| host.into_string().ok()) else {
        return 2;
    };
    let Ok(found) = (host.as_str(), 0_u16).to_socket_addrs() else {
        return 1;
    };
    let mut lines = String::new();
    for address in found {
        lines.push_str(&format!("{}\n", address.ip()));
    }
    match std::io::stdout().write_all(lines.as_bytes()) {
        Ok(()) if !lines.is_empty() => 0,
        _ => 1,
    }
}
