//! HTTP and TLS for one registry: which scheme, which certificates, which limits of time.
//!
//! The only file that knows the HTTP library.

use std::error::Error;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use super::error::PullError;
use super::{Mirror, PullOptions};
use crate::limits::{
    CONNECT_TIMEOUT_SECONDS, MAX_ANSWER_BYTES, MAX_AUTH_FILE_BYTES, STALL_TIMEOUT_SECONDS,
};
use crate::store::files::read_limited;

/// Where distributions keep the certificates they trust; the first that exists counts.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A registry's address and how to speak to it. Threads may share it; connections are kept.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    agent: Agent,
    /// `https://host:port`, without a final slash.
    base: String,
    /// Host and port, for messages.
    pub(super) host: String,
}

/// An answer of a registry, its body not yet read.
pub(super) struct Answer {
    response: Response<Body>,
}

/// What a request failed for before there was an answer.
pub(super) type TransportError = Box<dyn Error + Send + Sync>;

impl Transport {
    pub(super) fn to_registry(registry: &str, options: &PullOptions) -> Result<Self, PullError> {
        // Docker Hub's name is not the address of its registry.
        let host = if registry == "docker.io" {
            "registry-1.docker.io"
        } else {
            registry
        };
        let scheme = if options.insecure_loopback && is_loopback(host) {
            "http"
        } else {
            "https"
        };
        Self::new(format!("{scheme}://{host}"), host, options)
    }

    pub(super) fn to_mirror(mirror: &Mirror, options: &PullOptions) -> Result<Self, PullError> {
        let url = mirror.url.trim_end_matches('/');
        let host = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        match host {
            Some(host) if !host.is_empty() => Self::new(url.to_owned(), host, options),
            _ => Err(PullError::Options(format!(
                "mirror `{}` is not an http or https URL",
                mirror.url
            ))),
        }
    }

    fn new(base: String, host: &str, options: &PullOptions) -> Result<Self, PullError> {
        let is_secure = base.starts_with("https:");
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Neither tokens nor redirects may lead from HTTPS to HTTP.
            .https_only(is_secure)
            .max_redirects(5)
            // Blobs are often kept elsewhere, where our credentials are nobody's business.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("podyard/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(CONNECT_TIMEOUT_SECONDS)))
            .timeout_per_read(Some(Duration::from_secs(STALL_TIMEOUT_SECONDS)))
            .timeout_per_write(Some(Duration::from_secs(STALL_TIMEOUT_SECONDS)))
            .proxy(None);
        if is_secure {
            let roots = root_certificates(options.ca_file.as_deref())?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        if let Some(url) = &options.proxy
            && !is_loopback(host)
        {
            let proxy = Proxy::new(url)
                .map_err(|error| PullError::Options(format!("proxy `{url}`: {error}")))?;
            config = config.proxy(Some(proxy));
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base,
            host: host.to_owned(),
        })
    }

    /// `GET` or `HEAD` of a path below the registry's base.
    pub(super) fn request(
        &self,
        is_head: bool,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, TransportError> {
        let url = format!("{}{path}", self.base);
        let mut request = if is_head {
            self.agent.head(&url)
        } else {
            self.agent.get(&url)
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(Answer {
            response: request.call()?,
        })
    }

    /// `GET` of a token service, wherever it is.
    pub(super) fn get_token(
        &self,
        realm: &str,
        query: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> Result<Answer, TransportError> {
        let mut request = self.agent.get(realm).query_pairs(query.iter().copied());
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(Answer {
            response: request.call()?,
        })
    }

    /// `POST` of a form to a token service.
    pub(super) fn post_token(
        &self,
        realm: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer, TransportError> {
        Ok(Answer {
            response: self.agent.post(realm).send_form(form.iter().copied())?,
        })
    }
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let values = self.response.headers().get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn into_reader(self) -> impl Read + Send + 'static {
        self.response.into_body().into_reader()
    }

    /// The body, or `None` if it is longer than `limit` bytes.
    pub(super) fn into_bytes(self, limit: u64) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(read_limited(self.into_reader(), limit)?)
    }

    /// What the registry says about a failure: the first message of its error document.
    pub(super) fn into_detail(self) -> String {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<OneError>,
        }
        #[derive(serde::Deserialize)]
        struct OneError {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let reason = self
            .response
            .status()
            .canonical_reason()
            .unwrap_or("no reason given")
            .to_lowercase();
        let Ok(Some(body)) = self.into_bytes(MAX_ANSWER_BYTES) else {
            return reason;
        };
        let Ok(Errors { errors }) = serde_json::from_slice(&body) else {
            return reason;
        };
        let first = errors.into_iter().find_map(|error| {
            Some(if error.message.is_empty() {
                error.code
            } else {
                error.message
            })
            .filter(|text| !text.is_empty())
        });
        // Words from elsewhere go to a terminal: one line, no control characters, not too long.
        let words = first.unwrap_or(reason);
        words
            .chars()
            .filter(|character| !character.is_control())
            .take(300)
            .collect()
    }
}

/// Whether a registry's host (with or without port) is this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split([':', '/']).next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The system's certificates, or Mozilla's where the system has none, and the caller's.
fn root_certificates(ca_file: Option<&Path>) -> Result<RootCerts, PullError> {
    let system = SYSTEM_CERTIFICATES
        .iter()
        .find_map(|path| read_certificates(Path::new(path)).ok());
    let extra = match ca_file {
        None => Vec::new(),
        Some(path) => read_certificates(path).map_err(|error| {
            PullError::Options(format!(
                "certificates in `{}` cannot be read: {error}",
                path.display()
            ))
        })?,
    };
    if system.is_none() && extra.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let all: Vec<Certificate<'static>> = system
        .unwrap_or_default()
        .into_iter()
        .chain(extra)
        .collect();
    Ok(RootCerts::new_with_certs(&all))
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, TransportError> {
    let content = read_limited(std::fs::File::open(path)?, MAX_AUTH_FILE_BYTES)?
        .ok_or("the file is too large")?;
    let items = parse_pem(&content).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = items.collect();
    if certificates.is_empty() {
        Err("no certificate in it".into())
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "128.0.0.1",
            "127.0.0.1.example:5000",
            "[::2]:5000",
            "10.0.0.1",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_the_default() {
        let options = PullOptions::default();
        let base = |registry: &str, options: &PullOptions| {
            Transport::to_registry(registry, options).unwrap().base
        };
        assert_eq!(base("localhost:5000", &options), "http://localhost:5000");
        assert_eq!(base("docker.io", &options), "https://registry-1.docker.io");
        assert_eq!(base("quay.io", &options), "https://quay.io");
        let strict = PullOptions {
            insecure_loopback: false,
            ..options
        };
        assert_eq!(base("localhost:5000", &strict), "https://localhost:5000");
    }
}
