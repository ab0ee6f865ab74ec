//! Image manifests and indexes, OCI and Docker schema 2: decoding and the choice of a platform.
//!
//! Docker schema 1 is refused: its layers have no verifiable diff ids and every registry has left it behind.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::limits::{MAX_INDEX_ENTRIES, MAX_LAYERS};
use crate::platform::Platform;

/// What a client says it accepts, in the order of preference.
pub(crate) const ACCEPTED_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Points to content by digest, size and media type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// One image on one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    /// Lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// What a manifest request can be answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

/// Why a document is not a manifest that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or a field of the wrong type.
    #[error("the manifest cannot be decoded")]
    Decode(#[from] serde_json::Error),
    /// A document of another kind.
    #[error("{0}")]
    Unsupported(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u32>,
    #[serde(default)]
    media_type: String,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let unsupported = |text: String| Err(ManifestError::Unsupported(text));
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            schema_version: Option<u32>,
        }
        // Schema 1 has fields of the same names with other types: look at the version first.
        if serde_json::from_slice::<Version>(bytes)?.schema_version == Some(1) {
            return unsupported(
                "the image has a Docker schema 1 manifest, which is not supported".to_owned(),
            );
        }
        let raw: RawDocument = serde_json::from_slice(bytes)?;
        if raw.schema_version.is_some_and(|version| version != 2) {
            return unsupported("the manifest has an unknown schema version".to_owned());
        }
        match (raw.config, raw.layers, raw.manifests) {
            // A document that can be read both ways could be checked as one thing and run as another
            // (CVE-2021-41190).
            (None, None, Some(manifests)) => {
                if manifests.len() > MAX_INDEX_ENTRIES {
                    return unsupported(format!(
                        "the index has more than {MAX_INDEX_ENTRIES} entries"
                    ));
                }
                Ok(Self::Index(manifests))
            }
            (Some(config), layers, None) => {
                let layers = layers.unwrap_or_default();
                if layers.len() > MAX_LAYERS {
                    return unsupported(format!("the image has more than {MAX_LAYERS} layers"));
                }
                if !is_image_config(&config.media_type) {
                    return unsupported(format!(
                        "not a container image but an artifact of type `{}`",
                        config.media_type
                    ));
                }
                Ok(Self::Manifest(Manifest { config, layers }))
            }
            _ => unsupported(format!(
                "neither an image manifest nor an index (media type `{}`)",
                raw.media_type
            )),
        }
    }
}

fn is_image_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "" | "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
            | "application/octet-stream" // written by some old builders
    )
}

/// The entry that suits the platform best: first by fitness, then by position, as other runtimes do it.
///
/// An entry that does not say its platform is taken only if no other fits; its configuration is checked later.
pub(crate) fn choose<'a>(
    manifests: &'a [Descriptor],
    platform: &Platform,
) -> Option<&'a Descriptor> {
    let is_attestation = |descriptor: &Descriptor| {
        descriptor
            .annotations
            .contains_key("vnd.docker.reference.type")
    };
    let candidates = || {
        manifests
            .iter()
            .filter(|descriptor| !is_attestation(descriptor))
    };
    let mut best: Option<(u8, &Descriptor)> = None;
    for descriptor in candidates() {
        let fitness = descriptor
            .platform
            .as_ref()
            .and_then(|offer| platform.suitability(offer));
        if let Some(fitness) = fitness
            && best.is_none_or(|(best_fitness, _)| fitness > best_fitness)
        {
            best = Some((fitness, descriptor));
        }
    }
    best.map(|(_, descriptor)| descriptor)
        .or_else(|| candidates().find(|descriptor| descriptor.platform.is_none()))
}

/// The platforms that an index offers, for the message that none of them fits.
pub(crate) fn offered_platforms(manifests: &[Descriptor]) -> String {
    let mut names: Vec<String> = manifests
        .iter()
        .filter_map(|descriptor| descriptor.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(ToString::to_string)
        .collect();
    names.dedup();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(name: &str, platform: Option<&str>) -> String {
        let platform = platform.map_or_else(String::new, |text| {
            let (os, architecture) = text.split_once('/').unwrap();
            format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
        });
        format!(
            r#"{{"mediaType":"m","digest":"{}","size":1{platform}}}"#,
            Digest::of(name.as_bytes())
        )
    }

    fn index(descriptors: &[String]) -> Vec<Descriptor> {
        match Document::decode(
            format!(
                r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
                descriptors.join(",")
            )
            .as_bytes(),
        ) {
            Ok(Document::Index(manifests)) => manifests,
            other => panic!("{other:?}"),
        }
    }

    fn amd64() -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        }
    }

    #[test]
    fn chooses_by_platform() {
        let manifests = index(&[
            descriptor("unknown", Some("unknown/unknown")),
            descriptor("unlabelled", None),
            descriptor("arm", Some("linux/arm64")),
            descriptor("first", Some("linux/amd64")),
            descriptor("second", Some("linux/amd64")),
        ]);
        assert_eq!(
            choose(&manifests, &amd64()).map(|d| &d.digest),
            Some(&Digest::of(b"first"))
        );
        assert_eq!(
            choose(&manifests[..3], &amd64()).map(|d| &d.digest),
            Some(&Digest::of(b"unlabelled"))
        );
        assert_eq!(choose(&manifests[2..3], &amd64()), None);
        assert_eq!(offered_platforms(&manifests[..3]), "linux/arm64");
    }

    #[test]
    fn refuses_what_is_not_one_clear_kind_of_document() {
        let config = descriptor("c", None);
        for (text, expected) in [
            (r#"{"schemaVersion":1,"layers":3}"#.to_owned(), "schema 1"),
            (
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#),
                "neither",
            ),
            (r#"{"schemaVersion":2}"#.to_owned(), "neither"),
            ("{".to_owned(), "cannot be decoded"),
            (
                r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}"#
                    .to_owned(),
                "cannot be decoded",
            ),
            (
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#),
                "artifact of type `m`",
            ),
        ] {
            let error = Document::decode(text.as_bytes()).expect_err(&text);
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
    }
}
