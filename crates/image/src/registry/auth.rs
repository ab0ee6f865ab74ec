//! Credentials: from the files that container tools write, from their helpers, and exchanged for tokens.
//!
//! Which files there are and in which order they count is the caller's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_AUTH_FILE_BYTES;
use crate::reference::Reference;
use crate::store::files::read_limited;

/// What proves to a registry who we are. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Credentials {
    /// A user name and a password.
    Basic {
        /// The user's name.
        username: String,
        /// The password, or a token that serves as one.
        password: String,
    },
    /// A token that is exchanged for others (OAuth 2 refresh token).
    IdentityToken(String),
    /// A token that is sent to the registry as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credentials::Basic(…)",
            Self::IdentityToken(_) => "Credentials::IdentityToken(…)",
            Self::RegistryToken(_) => "Credentials::RegistryToken(…)",
        })
    }
}

impl Credentials {
    /// The value of an `Authorization` header for user name and password.
    pub(super) fn basic_header(username: &str, password: &str) -> String {
        format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        )
    }
}

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file cannot be read.
    #[error("cannot read credentials from `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not of the known format.
    #[error("credentials cannot be decoded")]
    Decode(#[source] serde_json::Error),
    /// An entry whose `auth` is not base64 of `user:password`.
    #[error("credentials for `{0}` cannot be decoded")]
    Entry(String),
    /// A helper program failed.
    #[error("credential helper `{helper}` failed: {detail}")]
    Helper {
        /// The program.
        helper: String,
        /// What it said.
        detail: String,
    },
}

/// A file with credentials for registries: `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`, or the
/// content of a Kubernetes Secret of type `dockerconfigjson` or `dockercfg`.
#[derive(Debug, Clone, Default)]
pub struct AuthFile {
    entries: BTreeMap<String, Credentials>,
    helpers: BTreeMap<String, String>,
    default_helper: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawFile {
    auths: Option<BTreeMap<String, RawEntry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl AuthFile {
    /// Reads a file; one that does not exist has no credentials.
    ///
    /// # Errors
    /// If it exists but cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self, AuthError> {
        let read_error = |source| AuthError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            file => file.map_err(read_error)?,
        };
        let content = read_limited(file, MAX_AUTH_FILE_BYTES).map_err(read_error)?;
        Self::parse(&content.ok_or_else(|| read_error(std::io::ErrorKind::FileTooLarge.into()))?)
    }

    /// Understands the content of such a file.
    ///
    /// # Errors
    /// If it is not JSON of the known shape.
    pub fn parse(content: &[u8]) -> Result<Self, AuthError> {
        type Object = serde_json::Map<String, serde_json::Value>;
        let object: Object = serde_json::from_slice(content).map_err(AuthError::Decode)?;
        // The oldest form, and Kubernetes' `dockercfg`, is the entries alone.
        let is_old = !["auths", "credHelpers", "credsStore"]
            .iter()
            .any(|key| object.contains_key(*key));
        let value = serde_json::Value::Object(object);
        let raw: RawFile = if is_old {
            RawFile {
                auths: serde_json::from_value(value).ok(),
                ..RawFile::default()
            }
        } else {
            serde_json::from_value(value).map_err(AuthError::Decode)?
        };
        let mut file = Self {
            helpers: raw.cred_helpers.unwrap_or_default(),
            default_helper: raw.creds_store.filter(|helper| !helper.is_empty()),
            ..Self::default()
        };
        for (key, entry) in raw.auths.unwrap_or_default() {
            if let Some(credentials) = entry
                .credentials()
                .ok_or_else(|| AuthError::Entry(key.clone()))?
            {
                file.entries.insert(normalise(&key), credentials);
            }
        }
        Ok(file)
    }

    /// The same without the programs it names: for a file of somebody who is not to decide what runs here.
    #[must_use]
    pub fn without_helpers(self) -> Self {
        Self {
            entries: self.entries,
            ..Self::default()
        }
    }

    /// What the file has for an image, the most specific entry first: a path before its registry, a full host
    /// before a pattern such as `*.example.com`. Helpers are asked only if no entry fits.
    ///
    /// # Errors
    /// If a helper fails for another reason than having nothing.
    pub fn credentials_for(&self, reference: &Reference) -> Result<Vec<Credentials>, AuthError> {
        let mut fitting: Vec<(&String, &Credentials)> = self
            .entries
            .iter()
            .filter(|(key, _)| covers(key, reference))
            .collect();
        fitting.sort_by_key(|(key, _)| (key.contains('*'), std::cmp::Reverse(key.len())));
        if !fitting.is_empty() {
            return Ok(fitting
                .into_iter()
                .map(|(_, credentials)| credentials.clone())
                .collect());
        }
        let own_helper = self
            .helpers
            .iter()
            .find(|(key, _)| covers(&normalise(key), reference));
        let helper = own_helper
            .map(|(_, helper)| helper)
            .or(self.default_helper.as_ref());
        match helper {
            Some(helper) => Ok(ask_helper(helper, reference.registry())?
                .into_iter()
                .collect()),
            None => Ok(Vec::new()),
        }
    }
}

impl RawEntry {
    /// `None` if it is not decodable, `Some(None)` if it is empty (a helper has the secret).
    fn credentials(self) -> Option<Option<Credentials>> {
        if !self.registrytoken.is_empty() {
            return Some(Some(Credentials::RegistryToken(self.registrytoken)));
        }
        if !self.identitytoken.is_empty() {
            return Some(Some(Credentials::IdentityToken(self.identitytoken)));
        }
        if !self.auth.is_empty() {
            let decoded = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
            let (username, password) = decoded.split_once(':')?;
            // Docker pads with zero bytes.
            let password = password.trim_end_matches('\0').to_owned();
            return Some(Some(Credentials::Basic {
                username: username.to_owned(),
                password,
            }));
        }
        let has_user = !self.username.is_empty();
        Some(has_user.then_some(Credentials::Basic {
            username: self.username,
            password: self.password,
        }))
    }
}

/// The key without what older tools wrote around it, Docker Hub under its one name.
fn normalise(key: &str) -> String {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key
        .strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key);
    let (host, path) = match key.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (key, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        host => host,
    };
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

/// Whether a key is about the image: the same registry and, if the key has a path, below it.
fn covers(key: &str, reference: &Reference) -> bool {
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let repository = reference.repository();
    let path_fits = match repository.strip_prefix(path) {
        Some(rest) => path.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    path_fits && host_fits(host, reference.registry())
}

/// A star stands for one label of a host name, as in the kubelet.
fn host_fits(pattern: &str, host: &str) -> bool {
    let patterns = pattern.split('.');
    let mut labels = host.split('.');
    let all_fit = patterns.into_iter().all(|pattern| {
        labels
            .next()
            .is_some_and(|label| label_fits(pattern, label))
    });
    all_fit && labels.next().is_none()
}

fn label_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((start, end)) => {
            label.len() >= start.len() + end.len()
                && label.starts_with(start)
                && label.ends_with(end)
        }
    }
}

/// Runs `docker-credential-<name> get`: the registry goes in, a JSON document comes out.
fn ask_helper(name: &str, registry: &str) -> Result<Option<Credentials>, AuthError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let helper = format!("docker-credential-{name}");
    let failed = |detail: String| AuthError::Helper {
        helper: helper.clone(),
        detail,
    };
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err(failed("its name cannot be that of a program".to_owned()));
    }
    // Docker Hub's entry is called after the address of long ago.
    let server = if registry == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        registry
    };
    let run = || {
        let mut child = Command::new(&helper)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper may end without having read it; how it ended says more than a broken pipe.
            let _ = stdin.write_all(server.as_bytes());
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(said));
    }
    let Answer { username, secret } =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    Ok(Some(if username == "<token>" {
        Credentials::IdentityToken(secret)
    } else {
        Credentials::Basic {
            username,
            password: secret,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Credentials {
        Credentials::Basic {
            username: name.to_owned(),
            password: "secret".to_owned(),
        }
    }

    fn auth(name: &str) -> String {
        STANDARD.encode(format!("{name}:secret"))
    }

    fn file(entries: &[(&str, &str)]) -> AuthFile {
        let entries: BTreeMap<&str, serde_json::Value> = entries
            .iter()
            .map(|(key, name)| (*key, serde_json::json!({ "auth": auth(name) })))
            .collect();
        AuthFile::parse(
            serde_json::json!({ "auths": entries })
                .to_string()
                .as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn the_most_specific_entry_comes_first() {
        let file = file(&[
            ("https://index.docker.io/v1/", "hub"),
            ("quay.io", "quay"),
            ("quay.io/team", "team"),
            ("quay.io/team/app", "app"),
            ("*.example.com", "pattern"),
            ("registry.example.com:5000", "port"),
        ]);
        for (image, expected) in [
            ("nginx", vec!["hub"]),
            ("quay.io/team/app:1", vec!["app", "team", "quay"]),
            ("quay.io/teammate/app", vec!["quay"]),
            ("a.example.com/x", vec!["pattern"]),
            ("a.b.example.com/x", vec![]),
            ("registry.example.com:5000/x", vec!["port"]),
            ("ghcr.io/x", vec![]),
        ] {
            let expected: Vec<Credentials> = expected.into_iter().map(user).collect();
            assert_eq!(
                file.credentials_for(&Reference::parse(image).unwrap())
                    .unwrap(),
                expected,
                "{image}"
            );
        }
    }

    #[test]
    fn every_form_of_entry() {
        let nginx = Reference::parse("nginx").unwrap();
        for (content, expected) in [
            (
                format!(r#"{{"docker.io":{{"auth":"{}"}}}}"#, auth("old")),
                Some(user("old")),
            ),
            (
                r#"{"auths":{"docker.io":{"username":"u","password":"secret"}}}"#.to_owned(),
                Some(user("u")),
            ),
            (
                r#"{"auths":{"docker.io":{"identitytoken":"t"}}}"#.to_owned(),
                Some(Credentials::IdentityToken("t".to_owned())),
            ),
            (
                r#"{"auths":{"docker.io":{"registrytoken":"t"}}}"#.to_owned(),
                Some(Credentials::RegistryToken("t".to_owned())),
            ),
            (
                r#"{"auths":{"docker.io":{}},"unknown":[1]}"#.to_owned(),
                None,
            ),
            ("{}".to_owned(), None),
        ] {
            let file = AuthFile::parse(content.as_bytes())
                .unwrap_or_else(|error| panic!("{content}: {error}"));
            assert_eq!(
                file.credentials_for(&nginx).unwrap().first(),
                expected.as_ref(),
                "{content}"
            );
        }
        for bad in [
            "",
            "[]",
            r#"{"auths":{"docker.io":{"auth":"!"}}}"#,
            r#"{"auths":{"docker.io":{"auth":"YQ=="}}}"#,
        ] {
            assert!(AuthFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", file(&[("docker.io", "name")])).contains("secret"));
    }
}
