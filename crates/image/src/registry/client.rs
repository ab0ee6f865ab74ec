//! One repository at one endpoint: manifests and blobs, authorisation on demand, and what failures mean.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::auth::Credentials;
use super::error::PullError;
use super::transport::{Answer, Transport, TransportError};
use crate::digest::Digest;
use crate::limits::{MAX_ANSWER_BYTES, MAX_MANIFEST_BYTES};
use crate::manifest::ACCEPTED_MANIFESTS;
use crate::reference::Reference;

/// Speaks to a registry about one image.
pub(super) struct Client {
    transport: Transport,
    image: Reference,
    credentials: Option<Credentials>,
    /// A mirror has to be told whose content it is asked for.
    is_mirror: bool,
    /// The `Authorization` header that worked last.
    authorization: Mutex<Option<String>>,
}

/// A manifest or index as it came, with its real digest.
pub(super) struct Fetched {
    pub(super) content: Vec<u8>,
    pub(super) digest: Digest,
}

impl Client {
    pub(super) fn new(
        transport: Transport,
        image: &Reference,
        credentials: Option<Credentials>,
        is_mirror: bool,
    ) -> Self {
        let authorization = match &credentials {
            Some(Credentials::RegistryToken(token)) => Some(format!("Bearer {token}")),
            _ => None,
        };
        Self {
            transport,
            image: image.clone(),
            credentials,
            is_mirror,
            authorization: Mutex::new(authorization),
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.transport.host
    }

    /// The digest that a tag stands for at the moment, without its content. `None` if the registry does not tell
    /// it this way.
    pub(super) fn head_manifest(&self, tag: &str) -> Result<Option<Digest>, PullError> {
        let answer = self.request(
            true,
            &self.path("manifests", tag),
            &[("Accept", ACCEPTED_MANIFESTS)],
        )?;
        match answer.status() {
            200 => Ok(answer
                .header("Docker-Content-Digest")
                .and_then(|text| text.parse().ok())),
            // The answer to HEAD has no words; GET will bring them.
            _ => Ok(None),
        }
    }

    /// A manifest or index by tag or digest, verified as far as its digest is known.
    pub(super) fn manifest(
        &self,
        what: &str,
        expected: Option<&Digest>,
    ) -> Result<Fetched, PullError> {
        let answer = self.get(
            &self.path("manifests", what),
            &[("Accept", ACCEPTED_MANIFESTS)],
        )?;
        let promised: Option<Digest> = answer
            .header("Docker-Content-Digest")
            .and_then(|text| text.parse().ok());
        let content = self.body(answer, MAX_MANIFEST_BYTES, "the manifest")?;
        let digest = Digest::of(&content);
        match expected.or(promised.as_ref()) {
            Some(expected) if *expected != digest => Err(PullError::Tampered {
                what: "manifest",
                expected: expected.clone(),
                actual: digest,
            }),
            _ => Ok(Fetched { content, digest }),
        }
    }

    /// A small blob in memory, verified.
    pub(super) fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, PullError> {
        let answer = self.get(&self.path("blobs", &digest.to_string()), &[])?;
        let content = self.body(answer, limit, "the configuration")?;
        let actual = Digest::of(&content);
        if actual == *digest {
            Ok(content)
        } else {
            Err(PullError::Tampered {
                what: "configuration",
                expected: digest.clone(),
                actual,
            })
        }
    }

    /// A blob from an offset on. The answer's status says whether the registry heeded the offset (206).
    pub(super) fn blob_from(&self, digest: &Digest, offset: u64) -> Result<Answer, PullError> {
        let range = format!("bytes={offset}-");
        let headers = [("Range", range.as_str())];
        self.get(
            &self.path("blobs", &digest.to_string()),
            if offset > 0 { &headers } else { &[] },
        )
    }

    pub(super) fn unreachable(&self, source: TransportError) -> PullError {
        PullError::Unreachable {
            registry: self.host().to_owned(),
            source,
        }
    }

    fn path(&self, kind: &str, what: &str) -> String {
        let path = format!("/v2/{}/{kind}/{what}", self.image.repository());
        if self.is_mirror {
            format!("{path}?ns={}", self.image.registry())
        } else {
            path
        }
    }

    fn body(&self, answer: Answer, limit: u64, what: &str) -> Result<Vec<u8>, PullError> {
        let content = answer
            .into_bytes(limit)
            .map_err(|error| self.unreachable(error))?;
        content.ok_or_else(|| PullError::TooLarge(format!("{what} has more than {limit} bytes")))
    }

    /// A request whose answer is a success.
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, PullError> {
        let answer = self.request(false, path, headers)?;
        let image = || self.image.to_string();
        let registry = || self.host().to_owned();
        match answer.status() {
            200 | 206 => Ok(answer),
            404 => Err(PullError::NotFound {
                image: image(),
                detail: answer.into_detail(),
            }),
            401 | 403 => Err(PullError::Unauthorized {
                image: image(),
                detail: answer.into_detail(),
            }),
            429 => Err(PullError::RateLimited {
                registry: registry(),
                detail: answer.into_detail(),
            }),
            status => Err(PullError::Registry {
                registry: registry(),
                status,
                detail: answer.into_detail(),
            }),
        }
    }

    /// A request that is made again, authorised, if the registry demands it.
    fn request(
        &self,
        is_head: bool,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, PullError> {
        let send = |authorization: Option<&str>| {
            let mut headers = headers.to_vec();
            headers.extend(authorization.map(|value| ("Authorization", value)));
            self.transport
                .request(is_head, path, &headers)
                .map_err(|error| self.unreachable(error))
        };
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let answer = send(known.as_deref())?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        // Tokens live for some minutes: an old one is exchanged as well.
        let Some(authorization) = self.authorise(&answer)? else {
            return Ok(answer);
        };
        let second = send(Some(&authorization))?;
        if second.status() != 401 {
            *self
                .authorization
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(authorization);
        }
        Ok(second)
    }

    /// What the registry's challenge asks for, or `None` if we have nothing to answer it with.
    fn authorise(&self, answer: &Answer) -> Result<Option<String>, PullError> {
        let challenges = answer.headers("WWW-Authenticate");
        let challenges: Vec<Challenge> = challenges
            .iter()
            .filter_map(|text| Challenge::parse(text))
            .collect();
        if let Some(bearer) = challenges
            .iter()
            .find(|challenge| challenge.scheme == "bearer")
        {
            return self.fetch_token(bearer).map(Some);
        }
        let basic = challenges
            .iter()
            .any(|challenge| challenge.scheme == "basic");
        Ok(match &self.credentials {
            Some(Credentials::Basic { username, password }) if basic => {
                Some(Credentials::basic_header(username, password))
            }
            _ => None,
        })
    }

    /// The token exchange of the distribution specification.
    fn fetch_token(&self, challenge: &Challenge) -> Result<String, PullError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let service = challenge.parameter("service").unwrap_or_default();
        let own_scope = format!("repository:{}:pull", self.image.repository());
        let scope = challenge.parameter("scope").unwrap_or(&own_scope);
        let refused = |detail: String| PullError::Unauthorized {
            image: self.image.to_string(),
            detail,
        };
        let realm = challenge
            .parameter("realm")
            .ok_or_else(|| refused("the registry names no token service".to_owned()))?;
        let answer = match &self.credentials {
            Some(Credentials::IdentityToken(token)) => self.transport.post_token(
                realm,
                &[
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("scope", scope),
                    ("client_id", "podyard"),
                    ("refresh_token", token),
                ],
            ),
            credentials => {
                let authorization = match credentials {
                    Some(Credentials::Basic { username, password }) => {
                        Some(Credentials::basic_header(username, password))
                    }
                    _ => None,
                };
                self.transport.get_token(
                    realm,
                    &[("service", service), ("scope", scope)],
                    authorization.as_deref(),
                )
            }
        };
        let answer = answer.map_err(|error| self.unreachable(error))?;
        match answer.status() {
            200 => {}
            429 => {
                return Err(PullError::RateLimited {
                    registry: self.host().to_owned(),
                    detail: answer.into_detail(),
                });
            }
            400..=403 => return Err(refused(answer.into_detail())),
            status => {
                let registry = self.host().to_owned();
                return Err(PullError::Registry {
                    registry,
                    status,
                    detail: answer.into_detail(),
                });
            }
        }
        let body = self.body(answer, MAX_ANSWER_BYTES, "the token")?;
        let token = serde_json::from_slice::<Token>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token));
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        token
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(|| refused("the token service gave no token".to_owned()))
    }
}

/// A `WWW-Authenticate` header: a scheme and its parameters.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text
            .trim()
            .split_once(' ')
            .unwrap_or_else(|| (text.trim(), ""));
        let mut parameters = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if rest.is_empty() {
                break;
            }
            let (key, value) = rest.split_once('=')?;
            let value_end;
            let mut unquoted = String::new();
            if let Some(quoted) = value.strip_prefix('"') {
                let mut characters = quoted.char_indices();
                let mut closed = None;
                while let Some((index, character)) = characters.next() {
                    match character {
                        '"' => {
                            closed = Some(index);
                            break;
                        }
                        '\\' => unquoted.extend(characters.next().map(|(_, escaped)| escaped)),
                        character => unquoted.push(character),
                    }
                }
                value_end = closed? + 2;
            } else {
                value_end = value.find(',').unwrap_or(value.len());
                unquoted.push_str(value[..value_end].trim());
            }
            parameters.push((key.trim().to_ascii_lowercase(), unquoted));
            rest = &value[value_end..];
        }
        (!scheme.is_empty()).then(|| Self {
            scheme: scheme.to_ascii_lowercase(),
            parameters,
        })
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text = r#"Bearer realm="https://auth.example/token?a=b,c",service="registry", scope="repository:a/b:pull,push",error=invalid"#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(
            challenge.parameter("realm"),
            Some("https://auth.example/token?a=b,c")
        );
        assert_eq!(
            challenge.parameter("scope"),
            Some("repository:a/b:pull,push")
        );
        assert_eq!(challenge.parameter("error"), Some("invalid"));
        assert_eq!(challenge.parameter("missing"), None);
        assert_eq!(
            Challenge::parse(r#"Basic realm="a \"quoted\" b""#)
                .unwrap()
                .parameter("realm"),
            Some("a \"quoted\" b")
        );
        assert_eq!(Challenge::parse("Negotiate").unwrap().scheme, "negotiate");
        for bad in [
            "",
            "Bearer realm",
            "Bearer realm=\"open",
            "Bearer realm=\"a\\",
        ] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }
}
