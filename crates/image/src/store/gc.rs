//! Garbage collection: mark what names, leases and running transactions need, sweep the rest.
//!
//! Marking happens under the store's exclusive lock, sweeping is a rename under it; the slow deletion of trees
//! comes after the lock is gone, so that nobody waits for it. A crash leaves at most a stale transaction.

use std::collections::HashSet;

use super::files::{self, LockKind};
use super::{Store, StoreError, Transaction};
use crate::digest::Digest;

/// What a collection has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Manifest digests of the images that are gone.
    pub images: Vec<Digest>,
    /// Unpacked layers that are gone.
    pub layers: usize,
    /// Bytes of file content in them.
    pub freed_bytes: u64,
}

impl Store {
    /// Removes every image that has neither a name nor a lease, every layer that no image has, and the layers of mount points that nobody
    /// has a lease on.
    ///
    /// Safe at any time beside pulls, imports and running containers, as long as those hold leases.
    ///
    /// # Errors
    /// If a record cannot be read (nothing has been removed then) or a file cannot be removed.
    pub fn gc(&self) -> Result<GcReport, StoreError> {
        let trash = Transaction::begin(self)?;
        let mut report = GcReport::default();
        {
            let _lock = self.lock(LockKind::Exclusive)?;
            let leases = self.all_leases()?;
            let mut images: HashSet<Digest> = leases
                .images
                .iter()
                .map(|lease| lease.manifest_digest.clone())
                .collect();
            let (implied, explicit): (Vec<_>, Vec<_>) = self
                .name_records()?
                .into_iter()
                .partition(|name| name.implied);
            images.extend(explicit.iter().map(|name| name.manifest.clone()));

            let mut layers = Transaction::pins(self)?;
            let mut blobs: HashSet<Digest> = HashSet::new();
            let mut doomed = Vec::new();
            for manifest in self.image_digests()? {
                if images.contains(&manifest) {
                    let Some(record) = self.image_record(&manifest)? else {
                        continue;
                    };
                    layers.extend(record.joined());
                    layers.extend(record.layers.into_iter().map(|layer| layer.diff_id));
                    blobs.extend([record.manifest, record.image_id]);
                } else {
                    doomed.push(manifest);
                }
            }
            for name in implied.iter().chain(&explicit) {
                if images.contains(&name.manifest) {
                    blobs.insert(name.target.clone());
                } else {
                    files::remove_file(&self.name_path(&name.name))?;
                }
            }
            for manifest in doomed {
                files::remove_file(&self.image_path(&manifest))?;
                report.images.push(manifest);
            }
            for layer in self.layer_digests()? {
                if !layers.contains(&layer) {
                    let record = self.layer_record(&layer)?;
                    let is_joined = record.as_ref().is_some_and(|record| record.is_joined);
                    report.layers += usize::from(!is_joined);
                    report.freed_bytes += record.map_or(0, |record| record.size_bytes);
                    files::rename(&self.layer_path(&layer), &trash.path().join(layer.hex()))?;
                }
            }
            for (name, path) in self.all_places()? {
                if !leases.has_places(&name) {
                    files::rename(&path, &trash.path().join(name))?;
                }
            }
            for name in files::list(&self.root.join("blobs/sha256"))? {
                if Digest::from_hex(&name).is_none_or(|digest| !blobs.contains(&digest)) {
                    files::remove_file(&self.root.join("blobs/sha256").join(name))?;
                }
            }
        }
        report.images.sort();
        trash.discard()?;
        Ok(report)
    }
}
