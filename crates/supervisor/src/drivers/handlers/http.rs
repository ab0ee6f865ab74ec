//! `httpGet`: one GET request per round, on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use podyard_api::core::{Container, HTTPGetAction};
use tokio::time::timeout;

use super::{OUTPUT_BYTES, World, connect, join, pod_address, port, tls};

/// A request that follows no redirect away from its host.
#[derive(Debug, Clone)]
pub(in crate::drivers) struct Get {
    pub(in crate::drivers) scheme: Scheme,
    host: String,
    port: u16,
    /// With the query.
    path: String,
    headers: HeaderMap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::drivers) enum Scheme {
    Http,
    Https,
}

/// The last answer.
#[derive(Debug)]
pub(in crate::drivers) struct Answer {
    pub(in crate::drivers) status: u16,
    /// The first [`OUTPUT_BYTES`] of it, or why it could not be read.
    pub(in crate::drivers) body: Result<String, String>,
}

const REDIRECTS: usize = 10;

impl Get {
    /// The request that `action` describes; an error is one of the manifest's, such as a port that has no number.
    pub(in crate::drivers) fn new(
        world: &World,
        container: &Container,
        action: &HTTPGetAction,
        agent: &'static str,
    ) -> Result<Self, String> {
        let own_host = action.host.clone().filter(|host| !host.is_empty());
        let host = own_host
            .or_else(|| pod_address(world))
            .ok_or("the pod has no address")?;
        let path = action.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut headers = HeaderMap::new();
        for wanted in action.http_headers.iter().flatten() {
            let name = HeaderName::from_bytes(wanted.name.as_bytes());
            let value = HeaderValue::from_str(&wanted.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(format!("net/http: invalid header field {:?}", wanted.name));
            };
            headers.append(name, value);
        }
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(agent));
        match headers.get(header::ACCEPT) {
            None => {
                headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
            }
            Some(value) if value.is_empty() => {
                headers.remove(header::ACCEPT);
            }
            Some(_) => {}
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let is_https = action
            .scheme
            .as_deref()
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Ok(Self {
            scheme: if is_https {
                Scheme::Https
            } else {
                Scheme::Http
            },
            host,
            port: port(&action.port, container)?,
            path: format!("{slash}{path}"),
            headers,
        })
    }

    pub(in crate::drivers) fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}{}", join(&self.host, self.port), self.path)
    }

    /// Sends it and reads the answer, following redirects within the same host. `limit` covers all of it.
    pub(in crate::drivers) async fn send(&self, limit: Option<Duration>) -> Result<Answer, String> {
        let mut at = self.clone();
        let all = async {
            for _ in 0..=REDIRECTS {
                let failed = |text: String| format!("Get {:?}: {text}", at.url());
                let (answer, location) = at.send_once(limit).await.map_err(failed)?;
                match location.and_then(|location| at.redirected(&location)) {
                    Some(next) => at = next,
                    None => return Ok(answer),
                }
            }
            Err(format!("Get {:?}: stopped after 10 redirects", at.url()))
        };
        let Some(limit) = limit else {
            return all.await;
        };
        match timeout(limit, all).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                self.url()
            )),
        }
    }

    async fn send_once(&self, limit: Option<Duration>) -> Result<(Answer, Option<String>), String> {
        let awaiting = " (Client.Timeout exceeded while awaiting headers)";
        let stream = connect(&self.host, self.port, limit)
            .await
            .map_err(|text| {
                if text.ends_with("i/o timeout") {
                    text + awaiting
                } else {
                    text
                }
            })?;
        match self.scheme {
            Scheme::Http => self.exchange(TokioIo::new(stream)).await,
            Scheme::Https => {
                let stream = tls::handshake(&self.host, stream).await?;
                self.exchange(TokioIo::new(stream)).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S) -> Result<(Answer, Option<String>), String>
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(text)?;
        let connection = tokio::task::spawn_local(connection);
        let answer = self.ask(&mut sender).await;
        // Nothing more is wanted of this connection, even where the rest of a long body is still to come.
        connection.abort();
        answer
    }

    async fn ask(
        &self,
        sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    ) -> Result<(Answer, Option<String>), String> {
        let uri: Uri = self
            .path
            .parse()
            .map_err(|_| format!("invalid path {:?}", self.path))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(&join(&self.host, self.port))
            .map_err(|error| error.to_string())?;
        request.headers_mut().entry(header::HOST).or_insert(host);
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status().as_u16();
        let location = matches!(status, 301 | 302 | 303 | 307 | 308)
            .then(|| response.headers().get(header::LOCATION))
            .flatten()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = body(response).await;
        Ok((Answer { status, body }, location))
    }

    /// The request that a redirect leads to; `None` when it leads to another host, where a probe does not go.
    fn redirected(&self, location: &str) -> Option<Self> {
        let mut next = self.clone();
        let target: Uri = location.parse().ok()?;
        if let Some(authority) = target.authority() {
            let host = authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']');
            if host != self.host {
                return None;
            }
            next.scheme = match target.scheme_str() {
                Some("https") => Scheme::Https,
                Some("http") => Scheme::Http,
                _ => self.scheme,
            };
            next.port = authority.port_u16().unwrap_or(match next.scheme {
                Scheme::Http => 80,
                Scheme::Https => 443,
            });
        }
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        next.path = if path.starts_with('/') {
            path.to_owned()
        } else {
            // Relative to the directory of the page that sent us here.
            let directory = self
                .path
                .split(['?', '#'])
                .next()
                .and_then(|path| path.rsplit_once('/'));
            format!(
                "{}/{path}",
                directory.map_or("", |(directory, _)| directory)
            )
        };
        Some(next)
    }
}

/// The first bytes of a body; a longer one is cut, which is no error.
async fn body(mut response: Response<hyper::body::Incoming>) -> Result<String, String> {
    let mut kept = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        if let Some(data) = frame.map_err(text)?.data_ref() {
            kept.extend_from_slice(data);
        }
        if kept.len() >= OUTPUT_BYTES {
            kept.truncate(OUTPUT_BYTES);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// A failed exchange as Go's client tells it.
fn text(error: hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return format!(
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response ({error})"
        );
    }
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return format!("read: {}", super::go_text(error));
        }
        cause = error.source();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Get {
        Get {
            scheme: Scheme::Http,
            host: "10.0.0.2".to_owned(),
            port: 8080,
            path: path.to_owned(),
            headers: HeaderMap::new(),
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        for (location, expected) in [
            ("/b?x=1", Some("http://10.0.0.2:8080/b?x=1")),
            ("http://10.0.0.2/c", Some("http://10.0.0.2:80/c")),
            ("https://10.0.0.2:8443/c", Some("https://10.0.0.2:8443/c")),
            ("http://example.org/", None),
        ] {
            let next = get("/a/index").redirected(location).map(|next| next.url());
            assert_eq!(next.as_deref(), expected, "{location}");
        }
    }
}
