//! Image references: `nginx`, `ghcr.io/owner/app:1.2`, `localhost:5000/x@sha256:…`.
//!
//! The grammar and the completion of short names are those of the distribution project's `reference` package,
//! which container runtimes and the kubelet use, so that a name means here what it means in a cluster. Search
//! registries and short-name aliases are left out on purpose: a name has one meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// A complete image name: registry, repository, and a tag or a digest or both.
///
/// [`Display`](fmt::Display) prints the complete form (`docker.io/library/nginx:latest`), [`familiar`](Self::familiar) the short one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name \"{text}\": {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

impl ReferenceError {
    /// The reason without the text that was parsed; most often `invalid reference format`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Reference {
    /// Parses and completes a reference: a missing registry is `docker.io`, a missing namespace there `library`,
    /// and `:latest` is added if there is neither a tag nor a digest.
    ///
    /// # Errors
    /// With the texts that the kubelet shows, such as `couldn't parse image name "X": invalid reference format`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError {
            text: text.to_owned(),
            reason,
        })
    }

    /// Host and optional port of the registry, `docker.io` for the default one.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry, such as `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given or completed.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given. It decides over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The shortest text with the same meaning: `nginx:latest` for `docker.io/library/nginx:latest`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix("docker.io/") {
            Some(path) => match path.strip_prefix(DEFAULT_NAMESPACE) {
                // A further slash would make the first part look like a registry or a user.
                Some(short) if !short.contains('/') => short.to_owned(),
                _ => path.to_owned(),
            },
            None => full,
        }
    }

    /// The same repository at exactly this content.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// The form under which the store files an image: beside a digest the tag says nothing.
    pub(crate) fn canonical(&self) -> Self {
        match &self.digest {
            Some(digest) => self.with_digest(digest),
            None => self.clone(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let invalid = || "invalid reference format".to_owned();
    if Digest::from_hex(text).is_some() {
        return Err(format!(
            "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        ));
    }
    let (named, digest) = match text.split_once('@') {
        None => (text, None),
        Some((named, digest)) => match digest.parse() {
            Ok(digest) => (named, Some(digest)),
            Err(DigestError::Unsupported(_)) => {
                return Err("unsupported digest algorithm".to_owned());
            }
            Err(DigestError::Malformed(_)) => return Err(invalid()),
        },
    };
    let (registry, rest) = split_registry(named);
    // A colon after the last slash starts the tag; the registry with its port is already gone.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("{DEFAULT_NAMESPACE}{path}")
    } else {
        path.to_owned()
    };
    if path.bytes().any(|byte| byte.is_ascii_uppercase())
        && is_repository(&repository.to_ascii_lowercase())
    {
        return Err(format!(
            "invalid reference format: repository name ({repository}) must be lowercase"
        ));
    }
    if !is_registry(registry) || !is_repository(&repository) || !tag.is_none_or(is_tag) {
        return Err(invalid());
    }
    if registry.len() + 1 + repository.len() > 255 {
        return Err("repository name must not be more than 255 characters".to_owned());
    }
    let tag = match (tag, &digest) {
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    Ok(Reference {
        registry: registry.to_owned(),
        repository,
        tag,
        digest,
    })
}

/// What stands before the first slash is a registry only if it cannot be a user name.
fn split_registry(named: &str) -> (&str, &str) {
    match named.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (
                if first == "index.docker.io" {
                    DEFAULT_REGISTRY
                } else {
                    first
                },
                rest,
            )
        }
        _ => (DEFAULT_REGISTRY, named),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host_ok = if text.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    };
    host_ok
        && port
            .is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_repository(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(component: &str) -> bool {
    let mut separator = String::new();
    let mut last_was_alphanumeric = false;
    for character in component.chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            if !separator.is_empty() && !is_separator(&separator) {
                return false;
            }
            separator.clear();
            last_was_alphanumeric = true;
        } else {
            if separator.is_empty() && !last_was_alphanumeric {
                return false;
            }
            separator.push(character);
            last_was_alphanumeric = false;
        }
    }
    last_was_alphanumeric
}

fn is_separator(text: &str) -> bool {
    matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Goal: short names are completed, and shortened again, as every runtime does it.
    #[test]
    fn completes_and_shortens() {
        for (text, complete, familiar) in [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
            (
                "library/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            (
                "docker.io/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            (
                "index.docker.io/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            (
                "docker.io/user/app:v1",
                "docker.io/user/app:v1",
                "user/app:v1",
            ),
            (
                "library/a/b",
                "docker.io/library/a/b:latest",
                "library/a/b:latest",
            ),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "localhost:5000/app",
                "localhost:5000/app:latest",
                "localhost:5000/app:latest",
            ),
            (
                "127.0.0.1:5000/a/b:t",
                "127.0.0.1:5000/a/b:t",
                "127.0.0.1:5000/a/b:t",
            ),
            (
                "[::1]:5000/app",
                "[::1]:5000/app:latest",
                "[::1]:5000/app:latest",
            ),
            (
                "quay.io/a.b/c__d/e---f:V_1.2-x",
                "quay.io/a.b/c__d/e---f:V_1.2-x",
                "quay.io/a.b/c__d/e---f:V_1.2-x",
            ),
            ("Host/app", "Host/app:latest", "Host/app:latest"),
            ("a:80", "docker.io/library/a:80", "a:80"),
        ] {
            let parsed = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.to_string(), complete, "{text}");
            assert_eq!(parsed.familiar(), familiar, "{text}");
            assert_eq!(
                Reference::parse(complete).as_ref(),
                Ok(&parsed),
                "{text}: complete form"
            );
            assert_eq!(
                Reference::parse(familiar).as_ref(),
                Ok(&parsed),
                "{text}: familiar form"
            );
        }
    }

    #[test]
    fn digests_stand_beside_or_instead_of_tags() {
        let with_both = Reference::parse(&format!("nginx:1.25@sha256:{HEX}")).unwrap();
        assert_eq!(with_both.tag(), Some("1.25"));
        assert_eq!(with_both.digest().map(Digest::hex), Some(HEX));
        assert_eq!(
            with_both.canonical().to_string(),
            format!("docker.io/library/nginx@sha256:{HEX}")
        );
        let alone = Reference::parse(&format!("nginx@sha256:{HEX}")).unwrap();
        assert_eq!(alone.tag(), None, "no `latest` beside a digest");
        assert_eq!(alone, with_both.canonical());
        assert_eq!(
            (alone.registry(), alone.repository()),
            ("docker.io", "library/nginx")
        );
    }

    /// Goal: whatever a registry or a file system could misread is refused, with the known texts.
    #[test]
    fn refuses() {
        let invalid = "invalid reference format";
        let long_name = "a/".repeat(130) + "a";
        let long_tag = format!("a:{}", "t".repeat(129));
        let sha512 = format!("a@sha512:{}", "0".repeat(128));
        for (text, reason) in [
            ("", invalid),
            (" nginx", invalid),
            ("nginx ", invalid),
            ("nginx:", invalid),
            (":latest", invalid),
            ("nginx::1", invalid),
            ("nginx:-1", invalid),
            ("nginx@", invalid),
            ("nginx@sha256:abc", invalid),
            ("nginx@sha256", invalid),
            ("-nginx", invalid),
            ("nginx-", invalid),
            ("a..b", invalid),
            ("a___b", invalid),
            ("a/../b", invalid),
            ("/a", invalid),
            ("a//b", invalid),
            ("a/", invalid),
            ("https://a.b/c", invalid),
            ("a.b:port/c", invalid),
            ("[::1/c", invalid),
            ("[::1]5000/c", invalid),
            ("-a.b/c", invalid),
            ("a\0b", invalid),
            ("käse", invalid),
            (
                "Nginx",
                "invalid reference format: repository name (library/Nginx) must be lowercase",
            ),
            (
                "quay.io/User/app",
                "invalid reference format: repository name (User/app) must be lowercase",
            ),
            (
                HEX,
                &format!(
                    "invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"
                ),
            ),
            (
                &long_name,
                "repository name must not be more than 255 characters",
            ),
            (&long_tag, invalid),
            (&sha512, "unsupported digest algorithm"),
        ] {
            let error = Reference::parse(text).expect_err(text);
            assert_eq!(error.reason(), reason, "{text:?}");
            assert_eq!(
                error.to_string(),
                format!("couldn't parse image name \"{text}\": {reason}")
            );
        }
    }

    #[test]
    fn survives_a_record_on_disk() {
        let reference = Reference::parse("localhost:5000/app:1").unwrap();
        let text = serde_json::to_string(&reference).unwrap();
        assert_eq!(text, "\"localhost:5000/app:1\"");
        assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), reference);
        assert!(serde_json::from_str::<Reference>("\"A B\"").is_err());
    }
}
