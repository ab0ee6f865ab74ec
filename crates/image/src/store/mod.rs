//! The content store: a directory with images, shared by any number of processes without a daemon.
//!
//! ```text
//! <root>/version                      the layout's version
//! <root>/names/<hash>.json            what a reference means now           (hash of the complete reference)
//! <root>/images/<manifest>.json       an image: config and diff ids        (manifest digest)
//! <root>/layers/<diff id>/fs          an unpacked layer, whiteouts as overlayfs wants them; or the many layers of an
//!                                     image, joined (`joined.rs`)
//! <root>/layers/<diff id>/layer.json  its size and the like
//! <root>/blobs/sha256/<digest>        manifests and configurations as they came
//! <root>/places/<name>/               a layer with nothing but the places of mounts
//! <root>/leases/<owner>               who uses which images and places
//! <root>/tmp/<transaction>/           work in progress; stale once nobody holds the lock in it
//! <root>/locks/                       held while an image or a layer is being made
//! ```
//!
//! Files come into being under `tmp` and are renamed into place, names last: a reader sees all of an image or
//! nothing of it, whenever a process dies. Compressed layers are not kept; they can be had from where they came.

pub(crate) mod blobs;
pub(crate) mod files;
mod gc;
mod joined;
mod layers;
mod leases;
mod places;
mod records;
mod transaction;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::reference::Reference;

pub use gc::GcReport;
pub(crate) use layers::LayerRecord;
pub use leases::Lease;
pub(crate) use records::{ImageRecord, NameRecord};
pub(crate) use transaction::{NewImage, NewName, Transaction, seconds_since_1970};

use files::{FileLock, LockKind};

/// A content store. Opening one is cheap; any number of processes may use the same directory at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// An image that is completely there: unpacked and ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The names it goes by. [`Store::lookup`] gives the one that was asked for, [`Store::list`] all of them;
    /// empty for an image whose last name has moved on to another.
    pub names: Vec<Reference>,
    /// Digest of this platform's manifest: the image's identity in the store.
    pub manifest_digest: Digest,
    /// Digest of the configuration, which Docker and the kubelet call the image's ID.
    pub image_id: Digest,
    /// `registry/repository@digest` as the registry knows it (the digest may be that of an index); only for
    /// pulled images. This is the kubelet's `imageID`.
    pub repo_digest: Option<String>,
    /// What its containers run unless told otherwise.
    pub config: ImageConfig,
    /// Unpacked directories, absolute, lowest first, each at most once; may be empty. Read-only for everybody. One alone if there were many
    /// layers.
    pub layers: Vec<PathBuf>,
    /// Bytes of file content in all layers, unpacked.
    pub size_bytes: u64,
    /// How it came here.
    pub origin: Origin,
    /// When it came here or was last found to be up to date, in seconds since 1970; 0 for an image without name.
    pub stored_at: u64,
}

/// How an image came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// From an archive.
    Imported,
    /// From a registry.
    Pulled,
}

/// What [`Store::remove`] has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// The names that are gone.
    pub names: Vec<Reference>,
    /// Who still uses the image. Its content stays until they have released it.
    pub used_by: Vec<String>,
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A record that this version cannot read.
    #[error("the image store's record `{}` cannot be read", path.display())]
    Record {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store was made by a version that this one does not know.
    #[error("image store `{}` has version {found}, this program knows version {}", root.display(), records::VERSION)]
    Version {
        /// The store's directory.
        root: PathBuf,
        /// What its version file says.
        found: String,
    },
    /// The image went away between looking it up and leasing it.
    #[error("image {0} is no longer in the store")]
    Gone(Digest),
    /// A lease owner's name cannot be a file name.
    #[error("`{0}` cannot be the name of a lease's owner")]
    Owner(String),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file system is full (or a quota is used up).
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_disk_full(source))
    }
}

pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// See [`Store::stamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameStamp {
    inode: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Store {
    /// Opens the store in `dir`, making it if need be. One file is read, no lock taken.
    ///
    /// # Errors
    /// If the directory cannot be made or read, or was written by an incompatible version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let root =
            std::path::absolute(dir).map_err(|source| StoreError::io("find", dir, source))?;
        let store = Self { root };
        let version_path = store.root.join("version");
        match files::read(&version_path)? {
            Some(content) if content.trim_ascii() == records::VERSION.to_string().as_bytes() => {}
            Some(content) => {
                let found = String::from_utf8_lossy(content.trim_ascii()).into_owned();
                return Err(StoreError::Version {
                    root: store.root,
                    found,
                });
            }
            None => store.create()?,
        }
        Ok(store)
    }

    /// Makes the layout; harmless when several processes do so at once. The version file comes last.
    fn create(&self) -> Result<(), StoreError> {
        use std::os::unix::fs::DirBuilderExt;
        for directory in [
            "",
            "names",
            "images",
            "layers",
            "blobs/sha256",
            "leases",
            "tmp",
            "locks",
        ] {
            let path = self.root.join(directory);
            // Nobody else may look in: layers hold setuid programs that were never meant for this machine.
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path);
            made.map_err(|source| StoreError::io("make directory", &path, source))?;
        }
        // Of its own for each thread that opens a new store at the same moment.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .root
            .join(format!("tmp/version.{}-{serial}", std::process::id()));
        files::remove_file(&temporary)?;
        files::write_new(&temporary, format!("{}\n", records::VERSION).as_bytes())?;
        files::rename(&temporary, &self.root.join("version"))
    }

    /// The directory the store lives in, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a reference means now, or `None` if no such image is here. Two files are read, whatever the number
    /// of images and layers; no lock is taken.
    ///
    /// # Errors
    /// If a record exists but cannot be read.
    pub fn lookup(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        // A name may move on to a new image, and the old one be collected, between the two reads: then the
        // name says something new when it is read again.
        for _ in 0..3 {
            let Some(name) = self.name_record(reference)? else {
                return Ok(None);
            };
            if let Some(record) = self.image_record(&name.manifest)? {
                return Ok(Some(Image {
                    names: vec![name.name.clone()],
                    ..self.image_from(record, &[&name])
                }));
            }
        }
        Ok(None)
    }

    /// Tells one meaning of a reference from another without reading anything: as long as it is the same, [`Self::lookup`] finds the same
    /// image, if that has not been collected. `None` if it means nothing here.
    #[must_use]
    pub fn stamp(&self, reference: &Reference) -> Option<NameStamp> {
        use std::os::unix::fs::MetadataExt as _;
        // A record is never changed, only replaced by a new file.
        let record = fs::metadata(self.name_path(reference)).ok()?;
        Some(NameStamp {
            inode: record.ino(),
            changed: (record.ctime(), record.ctime_nsec()),
        })
    }

    /// The image with this manifest digest, whatever its names, or `None` if it is not here. Its names are not
    /// looked up; it counts as imported.
    ///
    /// # Errors
    /// If its record exists but cannot be read.
    pub fn image(&self, manifest: &Digest) -> Result<Option<Image>, StoreError> {
        Ok(self
            .image_record(manifest)?
            .map(|record| self.image_from(record, &[])))
    }

    /// All images with all their names, sorted by the first name; images without a name come last.
    ///
    /// # Errors
    /// If a record exists but cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        let mut names: BTreeMap<Digest, Vec<NameRecord>> = BTreeMap::new();
        for name in self.name_records()? {
            names.entry(name.manifest.clone()).or_default().push(name);
        }
        let mut images = Vec::new();
        for manifest in self.image_digests()? {
            if let Some(record) = self.image_record(&manifest)? {
                let mut of_image: Vec<&NameRecord> =
                    names.get(&manifest).into_iter().flatten().collect();
                of_image.sort_by(|a, b| a.name.cmp(&b.name));
                images.push(self.image_from(record, &of_image));
            }
        }
        images.sort_by(|a, b| (a.names.is_empty(), &a.names).cmp(&(b.names.is_empty(), &b.names)));
        Ok(images)
    }

    /// Takes a name away. Content stays until [`Store::gc`] finds that nobody uses it.
    ///
    /// Names with a digest that came along with a tag's pull go with the tag; removing such a name removes all
    /// names of the image. A name that does not exist is no error: the result is empty.
    ///
    /// # Errors
    /// If a record cannot be read or removed.
    pub fn remove(&self, reference: &Reference) -> Result<Removed, StoreError> {
        let _lock = self.lock(LockKind::Exclusive)?;
        let Some(record) = self.name_record(reference)? else {
            return Ok(Removed::default());
        };
        let of_image: Vec<NameRecord> = self
            .name_records()?
            .into_iter()
            .filter(|name| name.manifest == record.manifest)
            .collect();
        let is_target = |name: &&NameRecord| record.implied || name.name == record.name;
        let kept_explicit = of_image
            .iter()
            .any(|name| !name.implied && !is_target(&name));
        let mut removed = Removed::default();
        for name in &of_image {
            if is_target(&name) || (name.implied && !kept_explicit) {
                files::remove_file(&self.name_path(&name.name))?;
                removed.names.push(name.name.clone());
            }
        }
        removed.names.sort();
        let leases = self.leases()?;
        removed.used_by = leases
            .into_iter()
            .filter(|lease| lease.manifest_digest == record.manifest)
            .map(|lease| lease.owner)
            .collect();
        Ok(removed)
    }

    fn image_from(&self, record: ImageRecord, names: &[&NameRecord]) -> Image {
        let joined = record.joined().map(|joined| self.layer_path(&joined));
        let layers = match joined.filter(|joined| joined.exists()) {
            Some(joined) => vec![joined.join("fs")],
            None => record
                .layers_for_overlay()
                .map(|layer| self.layer_path(&layer.diff_id).join("fs"))
                .collect(),
        };
        let newest = names.iter().max_by_key(|name| name.stored_at);
        let pulled = names.iter().find(|name| name.origin == Origin::Pulled);
        Image {
            size_bytes: record
                .layers_for_overlay()
                .map(|layer| layer.size_bytes)
                .sum(),
            layers,
            repo_digest: pulled.map(|name| format!("{}@{}", name.name.name(), name.target)),
            origin: pulled.map_or(Origin::Imported, |name| name.origin),
            stored_at: newest.map_or(0, |name| name.stored_at),
            names: names
                .iter()
                .filter(|name| !name.implied)
                .map(|name| name.name.clone())
                .collect(),
            manifest_digest: record.manifest,
            image_id: record.image_id,
            config: record.config,
        }
    }

    /// The lock between those who make references (shared) and those who collect what has none (exclusive).
    /// Nobody holds it for longer than a few renames.
    fn lock(&self, kind: LockKind) -> Result<FileLock, StoreError> {
        FileLock::wait(&self.root.join("locks/store"), kind)
    }
}
