//! The image configuration: what a container of the image runs unless told otherwise, and its layers' diff ids.
//!
//! Docker and OCI write the same document. Only what has a meaning for a Pod is kept; `HEALTHCHECK` and
//! `ONBUILD` have none.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// What the image's author wrote down for its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `ENTRYPOINT`; empty if there is none.
    pub entrypoint: Vec<String>,
    /// `CMD`; empty if there is none.
    pub cmd: Vec<String>,
    /// `ENV`, each `NAME=value`, in the author's order.
    pub env: Vec<String>,
    /// `WORKDIR`; empty means `/`.
    pub working_dir: String,
    /// `USER`, as `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    pub user: String,
    /// `STOPSIGNAL`, a name or a number.
    pub stop_signal: Option<String>,
    /// `VOLUME` paths, sorted.
    pub volumes: Vec<String>,
    /// `LABEL`s.
    pub labels: BTreeMap<String, String>,
    /// `EXPOSE`d ports such as `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// Go's name of the processor architecture; empty if the author did not say.
    pub architecture: String,
    /// Go's name of the operating system; empty if the author did not say.
    pub os: String,
    /// When the image was built, RFC 3339, if the author said.
    pub created: Option<String>,
}

/// The whole configuration document, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigDocument {
    pub(crate) config: ImageConfig,
    /// Digests of the uncompressed layers, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) variant: Option<String>,
}

#[derive(Deserialize)]
struct RawDocument {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    variant: Option<String>,
    created: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    config: RawConfig,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default, deserialize_with = "null_as_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RawConfig {
    #[serde(deserialize_with = "null_as_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    working_dir: String,
    #[serde(deserialize_with = "null_as_default")]
    user: String,
    stop_signal: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    volumes: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "null_as_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    exposed_ports: BTreeMap<String, serde_json::Value>,
}

/// Go encodes an unset slice or map as `null`.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ConfigDocument {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: RawDocument = serde_json::from_slice(bytes)?;
        Ok(Self {
            config: ImageConfig {
                entrypoint: raw.config.entrypoint,
                cmd: raw.config.cmd,
                env: raw.config.env,
                working_dir: raw.config.working_dir,
                user: raw.config.user,
                stop_signal: raw.config.stop_signal.filter(|text| !text.is_empty()),
                volumes: raw.config.volumes.into_keys().collect(),
                labels: raw.config.labels,
                exposed_ports: raw.config.exposed_ports.into_keys().collect(),
                architecture: raw.architecture,
                os: raw.os,
                created: raw.created.filter(|text| !text.is_empty()),
            },
            diff_ids: raw.rootfs.diff_ids,
            variant: raw.variant,
        })
    }

    /// The platform, or `None` where the author left it out, which then counts as fitting.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let ImageConfig {
            os, architecture, ..
        } = &self.config;
        (!os.is_empty() && !architecture.is_empty()).then(|| Platform {
            os: os.clone(),
            architecture: architecture.clone(),
            variant: self.variant.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_docker_writes() {
        let text = r#"{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","config":{
            "Hostname":"","Entrypoint":["/entry"],"Cmd":null,"Env":["PATH=/bin","A=b=c"],"WorkingDir":"","User":"101:101",
            "ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Volumes":{"/data":{}},"Labels":null,"StopSignal":"SIGQUIT",
            "OnBuild":null},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
        let document = ConfigDocument::decode(text.as_bytes()).unwrap();
        let expected = ImageConfig {
            entrypoint: vec!["/entry".to_owned()],
            env: vec!["PATH=/bin".to_owned(), "A=b=c".to_owned()],
            user: "101:101".to_owned(),
            stop_signal: Some("SIGQUIT".to_owned()),
            volumes: vec!["/data".to_owned()],
            exposed_ports: vec!["443/tcp".to_owned(), "80/tcp".to_owned()],
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            created: Some("2024-01-01T00:00:00Z".to_owned()),
            ..ImageConfig::default()
        };
        assert_eq!(document.config, expected);
        assert_eq!(document.platform().unwrap().to_string(), "linux/amd64");
    }

    #[test]
    fn a_missing_runtime_part_is_an_empty_one() {
        for text in [
            r#"{"rootfs":{"diff_ids":null},"config":null}"#,
            r#"{"rootfs":{}}"#,
        ] {
            let document = ConfigDocument::decode(text.as_bytes()).unwrap();
            assert_eq!(document.config, ImageConfig::default());
            assert_eq!(document.platform(), None);
        }
        assert!(
            ConfigDocument::decode(b"{}").is_err(),
            "no layers is not the same as no list of layers"
        );
    }
}
