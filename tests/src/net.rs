//! Asking servers.

use std::io::{Read as _, Write as _};

use crate::eventually;

/// Fetches a URL over plain HTTP/1.0 and returns the body; asks until the server answers.
#[must_use]
pub fn fetch(address: &str, path: &str) -> String {
    eventually(&format!("{address}{path} answers"), || {
        let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        let text = answer.ok().filter(|text| !text.is_empty())?;
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Some(body.unwrap_or(text))
    })
}
