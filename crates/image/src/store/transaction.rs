//! Work in progress: a private directory, locks on what is being made, and the commit that shows it to others.
//!
//! ```text
//! begin ─▶ pin layers ─▶ lock and unpack the missing ones ─▶ keep_layers ─▶ commit records
//!   │                                                            (one syncfs before any rename)
//!   └─ process dies ─▶ the kernel drops its locks ─▶ the next transaction removes the directory
//! ```
//!
//! Locks are taken in one order (image, then layers by digest), so that processes wait for but never block
//! one another.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::files::{self, FileLock, LockKind};
use super::{ImageRecord, LayerRecord, NameRecord, Origin, Store, StoreError, joined, records};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::reference::Reference;

/// A private directory under `tmp`, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Transaction {
    store: Store,
    path: PathBuf,
    _lock: FileLock,
    /// The image and the layers that are being made here, locked against others.
    locks: Vec<FileLock>,
    finished: bool,
}

/// Everything a commit writes down about an image.
pub(crate) struct NewImage {
    pub(crate) manifest: Digest,
    pub(crate) image_id: Digest,
    pub(crate) config: ImageConfig,
    /// Lowest first, as the configuration lists them.
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) names: Vec<NewName>,
    /// Manifest, configuration, and the index if there was one.
    pub(crate) blobs: Vec<Vec<u8>>,
    /// What the names point to where the image came from.
    pub(crate) target: Digest,
    pub(crate) origin: Origin,
    /// Seconds since 1970.
    pub(crate) stored_at: u64,
}

/// A name for a new image.
pub(crate) struct NewName {
    pub(crate) reference: Reference,
    /// See [`NameRecord::implied`].
    pub(crate) implied: bool,
}

impl Transaction {
    pub(crate) fn begin(store: &Store) -> Result<Self, StoreError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let tmp = store.root.join("tmp");
        // Nobody may look at the directory before its lock is held: it would seem stale.
        let guard = FileLock::wait(&store.root.join("locks/tmp"), LockKind::Exclusive)?;
        let stale = find_stale(&tmp)?;
        let (path, lock) = loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = tmp.join(format!("{}-{serial}", std::process::id()));
            match fs::create_dir(&path) {
                // A directory of an earlier process with the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::io("make directory", &path, source)),
                Ok(()) => {
                    if let Some(lock) = FileLock::try_directory(&path) {
                        break (path, lock);
                    }
                }
            }
        };
        drop(guard);
        for directory in ["pins", "layers", "new"] {
            let directory = path.join(directory);
            fs::create_dir(&directory)
                .map_err(|source| StoreError::io("make directory", &directory, source))?;
        }
        for (directory, lock) in stale {
            files::remove_tree(&directory)?;
            drop(lock);
        }
        Ok(Self {
            store: store.clone(),
            path,
            _lock: lock,
            locks: Vec::new(),
            finished: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Diff ids that running transactions rely on. The caller holds the store's lock exclusively.
    pub(super) fn pins(store: &Store) -> Result<HashSet<Digest>, StoreError> {
        let tmp = store.root.join("tmp");
        let mut pins = HashSet::new();
        for name in files::list(&tmp)? {
            // Pins of a dead process protect a little longer; that does no harm.
            if let Ok(names) = files::list(&tmp.join(name).join("pins")) {
                pins.extend(names.iter().filter_map(|name| Digest::from_hex(name)));
            }
        }
        Ok(pins)
    }

    /// Waits until no other process is making the same image, and keeps others waiting from then on.
    pub(crate) fn lock_name(
        &mut self,
        name: &Reference,
        on_wait: impl FnOnce(),
    ) -> Result<(), StoreError> {
        let hash = Digest::of(name.canonical().to_string().as_bytes());
        let path = self.store.root.join(format!("locks/name-{}", hash.hex()));
        let lock = FileLock::wait_transient(&path, on_wait)?;
        self.locks.push(lock);
        Ok(())
    }

    /// Keeps these layers from being collected, locks those that are missing, and returns them in order of
    /// digest. Waits for processes that are making one of them; `on_wait` hears of it.
    pub(crate) fn claim_layers(
        &mut self,
        diff_ids: &[Digest],
        mut on_wait: impl FnMut(&Digest),
    ) -> Result<Vec<Digest>, StoreError> {
        let mut wanted: Vec<&Digest> = diff_ids.iter().collect();
        wanted.sort();
        wanted.dedup();
        {
            let _shared = self.store.lock(LockKind::Shared)?;
            for diff_id in &wanted {
                let path = self.path.join("pins").join(diff_id.hex());
                fs::write(&path, "").map_err(|source| StoreError::io("write", &path, source))?;
            }
        }
        let mut missing = Vec::new();
        for diff_id in wanted {
            if self.store.layer_record(diff_id)?.is_some() {
                continue;
            }
            let path = self
                .store
                .root
                .join(format!("locks/layer-{}", diff_id.hex()));
            let lock = FileLock::wait_transient(&path, || on_wait(diff_id))?;
            if self.store.layer_record(diff_id)?.is_none() {
                self.locks.push(lock);
                missing.push(diff_id.clone());
            }
        }
        Ok(missing)
    }

    /// Fails if the file system has no room for so many bytes.
    pub(crate) fn require_room(&self, bytes: u64) -> Result<(), StoreError> {
        let look =
            || -> io::Result<bool> { Ok(crate::unpack::has_room(File::open(&self.path)?, bytes)?) };
        match look() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::io(
                "unpack layers in",
                &self.path,
                io::ErrorKind::StorageFull.into(),
            )),
            Err(source) => Err(StoreError::io("look at", &self.path, source)),
        }
    }

    /// Where a missing layer is to be unpacked to. The directory does not exist yet.
    pub(crate) fn layer_directory(&self, diff_id: &Digest) -> PathBuf {
        self.path.join("layers").join(diff_id.hex())
    }

    /// Writes down that a layer is completely unpacked in its [`Self::layer_directory`].
    pub(crate) fn layer_is_complete(&self, record: &LayerRecord) -> Result<(), StoreError> {
        let path = self.layer_directory(&record.diff_id).join("layer.json");
        files::write_new(&path, &records::encode(&path, record)?).map(drop)
    }

    /// Shows complete layers to everybody, without an image that has them yet: after a failure further on, the
    /// next attempt need not fetch them again.
    pub(crate) fn keep_layers(&self) -> Result<(), StoreError> {
        if !self.complete_layers()?.is_empty() {
            self.synchronise()?;
            self.publish_layers()?;
        }
        Ok(())
    }

    /// Makes the image durable and visible, layers first, names last.
    pub(crate) fn commit(&mut self, image: NewImage) -> Result<(), StoreError> {
        let record = self.image_record(&image)?;
        self.join_layers(&record)?;
        let new = self.path.join("new");
        let mut renames: Vec<(PathBuf, PathBuf)> = Vec::new();
        // Without new layers there is little to synchronise: each file by itself.
        let is_small = self.complete_layers()?.is_empty();
        let mut stage = |content: &[u8], target: PathBuf| -> Result<(), StoreError> {
            let temporary = new.join(renames.len().to_string());
            let file = files::write_new(&temporary, content)?;
            if is_small {
                file.sync_data()
                    .map_err(|source| StoreError::io("synchronise", &temporary, source))?;
            }
            renames.push((temporary, target));
            Ok(())
        };
        for blob in &image.blobs {
            let path = self.store.blob_path(&Digest::of(blob));
            if !path.exists() {
                stage(blob, path)?;
            }
        }
        let path = self.store.image_path(&image.manifest);
        stage(&records::encode(&path, &record)?, path)?;
        for name in image.names {
            let path = self.store.name_path(&name.reference);
            let record = NameRecord {
                version: records::VERSION,
                name: name.reference.canonical(),
                manifest: image.manifest.clone(),
                target: image.target.clone(),
                origin: image.origin,
                implied: name.implied,
                stored_at: image.stored_at,
            };
            // A name that somebody asked for stays one that somebody asked for.
            let explicit = self
                .store
                .name_record(&record.name)?
                .is_some_and(|old| !old.implied);
            let record = NameRecord {
                implied: record.implied && !explicit,
                ..record
            };
            stage(&records::encode(&path, &record)?, path)?;
        }
        if !is_small {
            self.synchronise()?;
        }
        let shared = self.store.lock(LockKind::Shared)?;
        self.publish_layers()?;
        for (temporary, target) in renames {
            files::rename(&temporary, &target)?;
        }
        drop(shared);
        self.locks.clear();
        Ok(())
    }

    /// What there will be of an image whose layers are all here or in the store.
    fn image_record(&self, image: &NewImage) -> Result<ImageRecord, StoreError> {
        let mut layers = Vec::with_capacity(image.diff_ids.len());
        for diff_id in &image.diff_ids {
            let record =
                match records::read_record(&self.layer_directory(diff_id).join("layer.json"))? {
                    Some(record) => Some(record),
                    None => self.store.layer_record(diff_id)?,
                };
            let Some(LayerRecord {
                size_bytes,
                opaque_root,
                ..
            }) = record
            else {
                return Err(StoreError::Gone(image.manifest.clone()));
            };
            layers.push(records::LayerOfImage {
                diff_id: diff_id.clone(),
                size_bytes,
                opaque_root,
            });
        }
        Ok(ImageRecord {
            version: records::VERSION,
            manifest: image.manifest.clone(),
            image_id: image.image_id.clone(),
            layers,
            config: image.config.clone(),
        })
    }

    /// Makes one directory of an image's many layers. If that cannot be, they are mounted as they are.
    fn join_layers(&mut self, record: &ImageRecord) -> Result<(), StoreError> {
        let Some(joined) = record.joined() else {
            return Ok(());
        };
        if self
            .claim_layers(std::slice::from_ref(&joined), |_| {})?
            .is_empty()
        {
            return Ok(());
        }
        let directory = self.layer_directory(&joined);
        let layers: Vec<PathBuf> = record
            .layers_for_overlay()
            .map(|layer| {
                let here = self.layer_directory(&layer.diff_id);
                let place = if here.exists() {
                    here
                } else {
                    self.store.layer_path(&layer.diff_id)
                };
                place.join("fs")
            })
            .collect();
        match joined::join(layers.iter().map(PathBuf::as_path), &directory.join("fs")) {
            Ok(()) => self.layer_is_complete(&LayerRecord {
                version: LayerRecord::VERSION,
                diff_id: joined.clone(),
                blob: joined,
                // The content is that of the layers.
                size_bytes: 0,
                entries: 0,
                devices_left_out: 0,
                opaque_root: true,
                is_joined: true,
            }),
            Err(_) => files::remove_tree(&directory),
        }
    }

    /// Renames complete layers into place. Each is pinned, so none can be collected in between.
    fn publish_layers(&self) -> Result<(), StoreError> {
        for diff_id in self.complete_layers()? {
            files::rename(
                &self.layer_directory(&diff_id),
                &self.store.layer_path(&diff_id),
            )?;
        }
        Ok(())
    }

    /// Diff ids of the layers that were made here and are not published yet.
    fn complete_layers(&self) -> Result<Vec<Digest>, StoreError> {
        let made = files::list(&self.path.join("layers"))?;
        let made = made.iter().filter_map(|name| Digest::from_hex(name));
        Ok(made
            .filter(|diff_id| self.layer_directory(diff_id).join("layer.json").exists())
            .collect())
    }

    /// Everything written so far reaches the disk: one call, however many files there are.
    fn synchronise(&self) -> Result<(), StoreError> {
        let sync = || -> io::Result<()> { Ok(rustix::fs::syncfs(&File::open(&self.path)?)?) };
        sync().map_err(|source| StoreError::io("synchronise", &self.path, source))
    }

    /// Removes the directory with whatever was not committed.
    pub(crate) fn discard(mut self) -> Result<(), StoreError> {
        self.finished = true;
        files::remove_tree(&self.path)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed by the next transaction.
            let _ = files::remove_tree(&self.path);
        }
    }
}

/// Directories of processes that are no more, locked by us. The caller keeps others from making new ones.
fn find_stale(tmp: &Path) -> Result<Vec<(PathBuf, FileLock)>, StoreError> {
    let paths = files::list(tmp)?.into_iter().map(|name| tmp.join(name));
    Ok(paths
        .filter_map(|path| FileLock::try_directory(&path).map(|lock| (path, lock)))
        .collect())
}

pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |duration| duration.as_secs())
}
