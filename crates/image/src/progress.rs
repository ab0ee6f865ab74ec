//! What happens while an image is pulled or imported, as plain data for whoever shows or records it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// One thing that has happened. Layers are named by the digest of their blob, as the manifest lists them (in
/// archives that list none, by their diff id).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Progress {
    /// Another process is making the same image or a layer of it; we wait for its result.
    Waiting {
        /// An image's name or a layer's digest.
        on: String,
    },
    /// It is known what the image consists of.
    Resolved {
        /// Digest of the manifest for this platform.
        manifest: Digest,
        /// All layers, lowest first, including those that are here already.
        layers: Vec<LayerSize>,
    },
    /// A layer is here already.
    LayerExists {
        /// Which layer.
        layer: Digest,
    },
    /// Some more of a layer has arrived.
    Transferred {
        /// Which layer.
        layer: Digest,
        /// Bytes so far, compressed.
        done: u64,
        /// Bytes altogether, compressed.
        total: u64,
    },
    /// A layer's transfer broke off and goes on from there.
    Retrying {
        /// Which layer.
        layer: Digest,
        /// Why, in one line.
        reason: String,
    },
    /// A layer is verified and unpacked.
    Unpacked {
        /// Which layer.
        layer: Digest,
    },
}

/// A layer and how much there is to transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSize {
    /// Which layer.
    pub layer: Digest,
    /// Bytes, compressed.
    pub size: u64,
}

/// How many bytes arrive between two [`Progress::Transferred`].
const STEP_BYTES: u64 = 512 * 1024;

/// Counts the bytes of one layer and reports now and then.
pub(crate) struct Counter<'a> {
    layer: Digest,
    done: u64,
    total: u64,
    reported: u64,
    report: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Counter<'a> {
    pub(crate) fn new(layer: &Digest, total: u64, report: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self {
            layer: layer.clone(),
            done: 0,
            total,
            reported: 0,
            report,
        }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.reported >= STEP_BYTES
            || (self.done == self.total && self.reported < self.total)
        {
            self.reported = self.done;
            (self.report)(Progress::Transferred {
                layer: self.layer.clone(),
                done: self.done,
                total: self.total,
            });
        }
    }
}
