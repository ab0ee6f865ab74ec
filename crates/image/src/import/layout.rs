//! What images an archive contains: the OCI image layout (`index.json`) and Docker's own (`manifest.json`).

use serde::Deserialize;

use super::ImportError;
use super::source::Source;
use crate::digest::Digest;
use crate::limits::{MAX_ARCHIVE_IMAGES, MAX_CONFIG_BYTES, MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::platform::Platform;
use crate::reference::Reference;

/// An image in an archive, its documents read and verified.
pub(super) struct FoundImage {
    pub(super) names: Vec<Reference>,
    pub(super) manifest: Vec<u8>,
    pub(super) manifest_digest: Digest,
    /// The index that the name points to, if it does not point to the manifest.
    pub(super) index: Option<Vec<u8>>,
    /// What the name points to.
    pub(super) target: Digest,
    pub(super) config: Vec<u8>,
    pub(super) config_name: String,
    /// Lowest first.
    pub(super) layers: Vec<LayerFile>,
}

/// A layer's file in the archive.
pub(super) struct LayerFile {
    pub(super) name: String,
    /// Its digest, if the archive says it.
    pub(super) blob: Option<Digest>,
}

pub(super) fn find_images(
    source: &Source,
    platform: &Platform,
) -> Result<Vec<FoundImage>, ImportError> {
    // Docker writes both nowadays; the first says more.
    let images = if source.has("index.json") {
        find_in_oci_layout(source, platform)?
    } else if source.has("manifest.json") {
        find_in_docker_archive(source)?
    } else {
        return Err(ImportError::NotAnImage {
            path: source.path().to_owned(),
        });
    };
    if images.len() > MAX_ARCHIVE_IMAGES {
        return Err(ImportError::TooLarge(format!(
            "the archive has more than {MAX_ARCHIVE_IMAGES} images"
        )));
    }
    Ok(images)
}

fn find_in_oci_layout(
    source: &Source,
    platform: &Platform,
) -> Result<Vec<FoundImage>, ImportError> {
    let index = source.read("index.json", MAX_MANIFEST_BYTES)?;
    let entries = match Document::decode(&index).map_err(ImportError::Manifest)? {
        Document::Index(entries) => entries,
        Document::Manifest(_) => {
            return Err(ImportError::NotAnImage {
                path: source.path().to_owned(),
            });
        }
    };
    let mut images: Vec<FoundImage> = Vec::new();
    let mut others: Vec<Descriptor> = Vec::new();
    for entry in entries {
        let is_for_others = entry
            .platform
            .as_ref()
            .is_some_and(|offer| platform.suitability(offer).is_none());
        let image = if is_for_others {
            None
        } else {
            resolve(source, &entry, platform, &mut others)?
        };
        let Some(image) = image else {
            others.push(entry);
            continue;
        };
        // The same image under several names has an entry for each.
        match images.iter_mut().find(|known| known.target == image.target) {
            Some(known) => known.names.extend(image.names),
            None => images.push(image),
        }
    }
    if images.is_empty() {
        let available = manifest::offered_platforms(&others);
        return Err(ImportError::WrongPlatform {
            wanted: platform.clone(),
            available,
        });
    }
    Ok(images)
}

/// Follows an entry of `index.json` to the manifest for our platform; `None` if it leads to none.
fn resolve(
    source: &Source,
    entry: &Descriptor,
    platform: &Platform,
    others: &mut Vec<Descriptor>,
) -> Result<Option<FoundImage>, ImportError> {
    let mut index = None;
    let mut descriptor = entry.clone();
    for _ in 0..MAX_INDEX_DEPTH {
        let content = read_blob(source, &descriptor.digest, MAX_MANIFEST_BYTES)?;
        match Document::decode(&content).map_err(ImportError::Manifest)? {
            Document::Manifest(manifest) => {
                return from_manifest(source, entry, index, &descriptor, content, &manifest)
                    .map(Some);
            }
            Document::Index(entries) => {
                index.get_or_insert(content);
                match manifest::choose(&entries, platform) {
                    Some(chosen) => descriptor = chosen.clone(),
                    None => {
                        others.extend(entries);
                        return Ok(None);
                    }
                }
            }
        }
    }
    Err(ImportError::TooLarge(format!(
        "indexes point to indexes more than {MAX_INDEX_DEPTH} times"
    )))
}

fn from_manifest(
    source: &Source,
    entry: &Descriptor,
    index: Option<Vec<u8>>,
    descriptor: &Descriptor,
    content: Vec<u8>,
    manifest: &Manifest,
) -> Result<FoundImage, ImportError> {
    let layers = manifest.layers.iter().map(|layer| LayerFile {
        name: blob_name(&layer.digest),
        blob: Some(layer.digest.clone()),
    });
    Ok(FoundImage {
        names: names_in(entry),
        manifest: content,
        manifest_digest: descriptor.digest.clone(),
        index,
        target: entry.digest.clone(),
        config: read_blob(source, &manifest.config.digest, MAX_CONFIG_BYTES)?,
        config_name: blob_name(&manifest.config.digest),
        layers: layers.collect(),
    })
}

/// The names in an entry's annotations: containerd's is always complete; the standard one is a full name for
/// some tools and no more than a tag for others, and then it names nothing.
fn names_in(entry: &Descriptor) -> Vec<Reference> {
    let complete = entry.annotations.get("io.containerd.image.name");
    let standard = entry
        .annotations
        .get("org.opencontainers.image.ref.name")
        .filter(|text| text.contains([':', '/']));
    complete
        .or(standard)
        .and_then(|text| Reference::parse(text).ok())
        .into_iter()
        .collect()
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn read_blob(source: &Source, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImportError> {
    let name = blob_name(digest);
    let content = source.read(&name, limit)?;
    let actual = Digest::of(&content);
    if actual == *digest {
        Ok(content)
    } else {
        Err(ImportError::Tampered { name, actual })
    }
}

/// An entry of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn find_in_docker_archive(source: &Source) -> Result<Vec<FoundImage>, ImportError> {
    let content = source.read("manifest.json", MAX_MANIFEST_BYTES)?;
    let entries: Vec<DockerEntry> =
        serde_json::from_slice(&content).map_err(|source| ImportError::Document {
            name: "manifest.json".to_owned(),
            source,
        })?;
    if entries.is_empty() {
        return Err(ImportError::NotAnImage {
            path: source.path().to_owned(),
        });
    }
    entries
        .into_iter()
        .map(|entry| from_docker_entry(source, entry))
        .collect()
}

fn from_docker_entry(source: &Source, entry: DockerEntry) -> Result<FoundImage, ImportError> {
    let config = source.read(&entry.config, MAX_CONFIG_BYTES)?;
    let config_digest = Digest::of(&config);
    // The file is called by its digest, in one directory or another.
    let base = entry.config.rsplit('/').next().unwrap_or_default();
    let claimed = Digest::from_hex(base.strip_suffix(".json").unwrap_or(base));
    if claimed.is_some_and(|claimed| claimed != config_digest) {
        return Err(ImportError::Tampered {
            name: entry.config,
            actual: config_digest,
        });
    }
    let names = entry.repo_tags.unwrap_or_default();
    let manifest = stand_in_manifest(source, &config, &entry.layers);
    let manifest_digest = Digest::of(&manifest);
    Ok(FoundImage {
        names: names
            .iter()
            .filter_map(|name| Reference::parse(name).ok())
            .collect(),
        manifest,
        target: manifest_digest.clone(),
        manifest_digest,
        index: None,
        config,
        config_name: entry.config,
        // Layers may be called by digests too, but of what has changed with time: the diff id decides.
        layers: entry
            .layers
            .into_iter()
            .map(|name| LayerFile { name, blob: None })
            .collect(),
    })
}

/// This format has no manifest to tell images apart by. The same archive always gets the same one.
fn stand_in_manifest(source: &Source, config: &[u8], layers: &[String]) -> Vec<u8> {
    let layers: Vec<serde_json::Value> = layers
        .iter()
        .map(|name| serde_json::json!({ "file": name, "size": source.size(name).unwrap_or_default() }))
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.podyard.docker-archive.v1+json",
        "config": { "digest": Digest::of(config).to_string(), "size": config.len() },
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}
