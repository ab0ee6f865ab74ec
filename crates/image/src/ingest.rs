//! What pulls and imports have in common: making the layers that are missing, several at a time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use crate::digest::Digest;
use crate::limits::MAX_PARALLEL_LAYERS;
use crate::progress::Progress;
use crate::store::{LayerRecord, StoreError, Transaction};
use crate::unpack::{Expected, Unpacked};

/// A layer of an image, as its manifest and configuration describe it.
#[derive(Debug, Clone)]
pub(crate) struct WantedLayer {
    pub(crate) expected: Expected,
    /// Bytes of the blob.
    pub(crate) size: u64,
    /// Position in the manifest.
    pub(crate) index: usize,
}

impl WantedLayer {
    /// The name that progress reports use.
    pub(crate) fn label(&self) -> &Digest {
        self.expected
            .blob
            .as_ref()
            .unwrap_or(&self.expected.diff_id)
    }
}

/// What a worker needs besides the layer.
pub(crate) struct Worker<'a> {
    /// Where to unpack to; does not exist yet.
    pub(crate) directory: &'a Path,
    pub(crate) report: &'a (dyn Fn(Progress) + Sync),
    /// Set once another layer has failed: the rest is then in vain.
    pub(crate) stop: &'a AtomicBool,
}

/// Makes the layers that the store does not have. Returns whether there were any.
///
/// After a failure other than a full disk, layers that are complete stay in the store, so that the next attempt
/// goes on from there; of the others nothing remains.
pub(crate) fn make_layers<E>(
    transaction: &mut Transaction,
    layers: &[WantedLayer],
    make: impl Fn(&WantedLayer, &Worker<'_>) -> Result<Unpacked, E> + Sync,
    progress: &mut dyn FnMut(Progress),
) -> Result<bool, E>
where
    E: From<StoreError> + IsDiskFull + Send,
{
    let mut by_diff_id: HashMap<&Digest, &WantedLayer> = HashMap::new();
    for layer in layers {
        by_diff_id.entry(&layer.expected.diff_id).or_insert(layer);
    }
    let diff_ids: Vec<Digest> = by_diff_id.keys().map(|&diff_id| diff_id.clone()).collect();
    let claimed = transaction.claim_layers(&diff_ids, |diff_id| {
        let on = by_diff_id[diff_id].label().to_string();
        progress(Progress::Waiting { on });
    })?;
    let mut missing: Vec<&WantedLayer> =
        claimed.iter().map(|diff_id| by_diff_id[diff_id]).collect();
    missing.sort_by_key(|layer| layer.index);
    for layer in layers {
        if !claimed.contains(&layer.expected.diff_id) {
            progress(Progress::LayerExists {
                layer: layer.label().clone(),
            });
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }

    // Unpacked they need more than this, but a lack can be told before anything is transferred.
    transaction.require_room(missing.iter().map(|layer| layer.size).sum())?;

    let queue = Mutex::new(missing.iter());
    let stop = AtomicBool::new(false);
    let first_error = Mutex::new(None);
    let threads = missing.len().min(MAX_PARALLEL_LAYERS);
    let (sender, receiver) = mpsc::channel();
    let work = |report: &(dyn Fn(Progress) + Sync)| {
        while !stop.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(layer) = next else { return };
            let directory = transaction.layer_directory(&layer.expected.diff_id);
            let worker = Worker {
                directory: &directory,
                report,
                stop: &stop,
            };
            let made = make(layer, &worker).and_then(|unpacked| {
                transaction.layer_is_complete(&record(layer, unpacked))?;
                Ok(())
            });
            match made {
                Ok(()) => report(Progress::Unpacked {
                    layer: layer.label().clone(),
                }),
                Err(error) => {
                    let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
                    if !stop.swap(true, Ordering::Relaxed) {
                        *first = Some(error);
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = Mutex::new(sender.clone());
            let work = &work;
            scope.spawn(move || {
                work(&|event| {
                    let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                    // The receiver outlives all threads.
                    let _ = sender.send(event);
                });
            });
        }
        drop(sender);
        for event in receiver {
            progress(event);
        }
    });
    match first_error
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        None => Ok(true),
        Some(error) => {
            if !error.is_disk_full() {
                transaction.keep_layers()?;
            }
            Err(error)
        }
    }
}

/// Tells a full disk from other failures.
pub(crate) trait IsDiskFull {
    fn is_disk_full(&self) -> bool;
}

fn record(layer: &WantedLayer, unpacked: Unpacked) -> LayerRecord {
    let Unpacked {
        blob,
        size_bytes,
        entries,
        devices_left_out,
        opaque_root,
    } = unpacked;
    LayerRecord {
        version: LayerRecord::VERSION,
        diff_id: layer.expected.diff_id.clone(),
        blob,
        size_bytes,
        entries,
        devices_left_out,
        opaque_root,
        is_joined: false,
    }
}
