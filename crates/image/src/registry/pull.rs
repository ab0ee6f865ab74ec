//! The order of things in a pull.
//!
//! ```text
//! lock the name ─▶ unchanged? ─yes─▶ done, nothing transferred
//!                     │no
//!                     ▼
//! manifest (index ─▶ manifest of our platform) ─▶ configuration ─▶ missing layers ─▶ commit
//! ```

use std::io;

use super::blob::{BlobReader, TooLong};
use super::client::Client;
use super::error::PullError;
use super::transport::Transport;
use super::{Credentials, PullOptions, Pulled};
use crate::config::ConfigDocument;
use crate::digest::Digest;
use crate::ingest::{WantedLayer, Worker, make_layers};
use crate::limits::{MAX_CONFIG_BYTES, MAX_INDEX_DEPTH, MAX_LAYER_BYTES};
use crate::manifest::{self, Document, Manifest};
use crate::progress::{LayerSize, Progress};
use crate::reference::Reference;
use crate::store::{
    Image, NewImage, NewName, Origin, Store, StoreError, Transaction, seconds_since_1970,
};
use crate::unpack::{Expected, LayerError, Unpacked, unpack_layer};

/// An image in a registry: its documents, read and verified.
struct Resolved {
    client: Client,
    /// What the name points to: the manifest or an index above it.
    target: Digest,
    manifest_digest: Digest,
    manifest: Manifest,
    config: ConfigDocument,
    /// Manifest and configuration, and the index if there was one.
    documents: Vec<Vec<u8>>,
}

impl Store {
    /// Makes sure that the store has what the registry has under the name, and returns it.
    ///
    /// Blocks until it is done. If another process pulls the same image, waits for it and uses its result. A
    /// layer that several images have is fetched once.
    ///
    /// # Errors
    /// See [`PullError`]. Layers that were complete stay for the next attempt, unless the disk is full.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Pulled, PullError> {
        let mut transaction = Transaction::begin(self)?;
        transaction.lock_name(reference, || {
            progress(Progress::Waiting {
                on: reference.to_string(),
            })
        })?;
        if let Some(image) = self.present_by_digest(reference)? {
            return Ok(Pulled {
                image,
                changed: false,
                transferred_bytes: 0,
            });
        }
        let mut last_error = None;
        for client in clients(reference, options)? {
            match self.pull_from(client, reference, options, &mut transaction, progress) {
                Ok(pulled) => return Ok(pulled),
                Err(error @ (PullError::Store(_) | PullError::DiskFull { .. })) => {
                    return Err(error);
                }
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error
            .unwrap_or_else(|| PullError::Options("there is no registry to ask".to_owned())))
    }

    /// What a name with a digest means never changes.
    fn present_by_digest(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        match reference.digest() {
            Some(_) => self.complete_image(reference),
            None => Ok(None),
        }
    }

    /// Looks the name up, and whether all layers are really there: a pull is what repairs a damaged store.
    fn complete_image(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        let image = self.lookup(reference)?;
        Ok(image.filter(|image| image.layers.iter().all(|layer| layer.is_dir())))
    }

    fn pull_from(
        &self,
        client: Client,
        reference: &Reference,
        options: &PullOptions,
        transaction: &mut Transaction,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Pulled, PullError> {
        let before = self.name_record(reference)?;
        if let (Some(tag), Some(before)) = (reference.tag(), &before)
            && before.origin == Origin::Pulled
            && let Some(image) = self.complete_image(reference)?
            && is_for(&image, options)
            && client.head_manifest(tag)?.as_ref() == Some(&before.target)
        {
            return Ok(Pulled {
                image,
                changed: false,
                transferred_bytes: 0,
            });
        }
        let resolved = resolve(client, reference, options)?;
        let layers = wanted_layers(&resolved, reference)?;
        let sizes = layers.iter().map(|layer| LayerSize {
            layer: layer.label().clone(),
            size: layer.size,
        });
        progress(Progress::Resolved {
            manifest: resolved.manifest_digest.clone(),
            layers: sizes.collect(),
        });

        let mut transferred_bytes = 0;
        let mut count_finished = |event: Progress| {
            if let Progress::Unpacked { layer } = &event {
                transferred_bytes += layers
                    .iter()
                    .find(|known| known.label() == layer)
                    .map_or(0, |known| known.size);
            }
            progress(event);
        };
        let client = &resolved.client;
        let fetch = |layer: &WantedLayer, worker: &Worker<'_>| fetch_layer(client, layer, worker);
        make_layers(transaction, &layers, fetch, &mut count_finished)?;

        let Resolved {
            target,
            manifest_digest,
            config,
            documents,
            ..
        } = resolved;
        let by_digest = NewName {
            reference: reference.with_digest(&target),
            implied: reference.digest().is_none(),
        };
        let mut names = vec![by_digest];
        if reference.digest().is_none() {
            names.push(NewName {
                reference: reference.clone(),
                implied: false,
            });
        }
        let changed = before.is_none_or(|before| before.manifest != manifest_digest);
        transaction.commit(NewImage {
            manifest: manifest_digest.clone(),
            image_id: Digest::of(documents.last().map_or(&[][..], Vec::as_slice)),
            config: config.config,
            diff_ids: config.diff_ids,
            names,
            blobs: documents,
            target,
            origin: Origin::Pulled,
            stored_at: seconds_since_1970(),
        })?;
        let image = self
            .lookup(reference)?
            .ok_or(StoreError::Gone(manifest_digest))?;
        Ok(Pulled {
            image,
            changed,
            transferred_bytes,
        })
    }
}

/// Whom to ask, in which order, as whom.
fn clients(reference: &Reference, options: &PullOptions) -> Result<Vec<Client>, PullError> {
    let mut clients = Vec::new();
    for mirror in options
        .mirrors
        .iter()
        .filter(|mirror| mirror.registry == reference.registry())
    {
        clients.push(Client::new(
            Transport::to_mirror(mirror, options)?,
            reference,
            None,
            true,
        ));
    }
    let transport = Transport::to_registry(reference.registry(), options)?;
    let mut identities: Vec<Option<Credentials>> =
        options.credentials.iter().cloned().map(Some).collect();
    if identities.is_empty() {
        identities.push(None);
    }
    clients.extend(
        identities
            .into_iter()
            .map(|identity| Client::new(transport.clone(), reference, identity, false)),
    );
    Ok(clients)
}

/// Whether an image that is here is for the wanted platform.
fn is_for(image: &Image, options: &PullOptions) -> bool {
    let config = &image.config;
    (config.os.is_empty() || config.os == options.platform.os)
        && (config.architecture.is_empty() || config.architecture == options.platform.architecture)
}

fn resolve(
    client: Client,
    reference: &Reference,
    options: &PullOptions,
) -> Result<Resolved, PullError> {
    let image = || reference.to_string();
    let what = reference
        .digest()
        .map(ToString::to_string)
        .or_else(|| reference.tag().map(str::to_owned));
    let mut fetched = client.manifest(&what.unwrap_or_default(), reference.digest())?;
    let target = fetched.digest.clone();
    let mut documents = Vec::new();
    for _ in 0..MAX_INDEX_DEPTH {
        let document = Document::decode(&fetched.content);
        match document.map_err(|source| PullError::Manifest {
            image: image(),
            source,
        })? {
            Document::Index(entries) => {
                let chosen = manifest::choose(&entries, &options.platform).ok_or_else(|| {
                    PullError::WrongPlatform {
                        image: image(),
                        wanted: options.platform.clone(),
                        available: manifest::offered_platforms(&entries),
                    }
                })?;
                let next = client.manifest(&chosen.digest.to_string(), Some(&chosen.digest))?;
                documents.push(std::mem::replace(&mut fetched, next).content);
            }
            Document::Manifest(manifest) => {
                let content = client.small_blob(&manifest.config.digest, MAX_CONFIG_BYTES)?;
                let invalid = |detail: String| PullError::Config {
                    image: image(),
                    detail,
                };
                let config =
                    ConfigDocument::decode(&content).map_err(|error| invalid(error.to_string()))?;
                if let Some(offer) = config.platform()
                    && options.platform.suitability(&offer).is_none()
                {
                    let (wanted, available) = (options.platform.clone(), offer.to_string());
                    return Err(PullError::WrongPlatform {
                        image: image(),
                        wanted,
                        available,
                    });
                }
                documents.extend([fetched.content, content]);
                let manifest_digest = fetched.digest;
                return Ok(Resolved {
                    client,
                    target,
                    manifest_digest,
                    manifest,
                    config,
                    documents,
                });
            }
        }
    }
    Err(PullError::TooLarge(format!(
        "indexes point to indexes more than {MAX_INDEX_DEPTH} times"
    )))
}

fn wanted_layers(
    resolved: &Resolved,
    reference: &Reference,
) -> Result<Vec<WantedLayer>, PullError> {
    let (layers, diff_ids) = (&resolved.manifest.layers, &resolved.config.diff_ids);
    if layers.len() != diff_ids.len() {
        let detail = format!(
            "the image has {} layers, but it lists {}",
            layers.len(),
            diff_ids.len()
        );
        return Err(PullError::Config {
            image: reference.to_string(),
            detail,
        });
    }
    if let Some(layer) = layers.iter().find(|layer| layer.size > MAX_LAYER_BYTES) {
        return Err(PullError::TooLarge(format!(
            "layer {} has {} bytes",
            layer.digest, layer.size
        )));
    }
    let wanted = std::iter::zip(layers, diff_ids)
        .enumerate()
        .map(|(index, (layer, diff_id))| WantedLayer {
            expected: Expected {
                diff_id: diff_id.clone(),
                blob: Some(layer.digest.clone()),
            },
            size: layer.size,
            index,
        });
    Ok(wanted.collect())
}

fn fetch_layer(
    client: &Client,
    layer: &WantedLayer,
    worker: &Worker<'_>,
) -> Result<Unpacked, PullError> {
    let blob = layer.label();
    let reader = BlobReader::open(client, blob, layer.size, worker.stop, worker.report)?;
    unpack_layer(reader, &layer.expected, worker.directory).map_err(|error| match error {
        LayerError::Source(source) => from_source(source, layer, client),
        error => PullError::from_layer(blob, client.host(), error),
    })
}

/// The reader's errors carry what the client said.
fn from_source(source: io::Error, layer: &WantedLayer, client: &Client) -> PullError {
    if source.get_ref().is_some_and(|inner| inner.is::<TooLong>()) {
        return PullError::TooLarge(format!(
            "layer {} is longer than its manifest says ({} bytes)",
            layer.label(),
            layer.size
        ));
    }
    match source.downcast::<PullError>() {
        Ok(error) => error,
        Err(source) => {
            PullError::from_layer(layer.label(), client.host(), LayerError::Source(source))
        }
    }
}
