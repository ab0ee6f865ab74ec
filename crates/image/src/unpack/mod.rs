//! From the compressed archive of a layer to a directory that overlayfs can use.
//!
//! ```text
//! source ─▶ hash ─▶ inflate ─▶ hash ─┤pipe├─▶ archive ─▶ extract ─▶ directory
//!           └──── one thread ───────┘        └──── this thread ───┘
//! ```
//!
//! Both digests are compared before the caller sees success. Nothing is synchronised to disk here, and nothing is
//! cleaned up: the directory belongs to a transaction.

pub(crate) mod archive;
pub(crate) mod attributes;
mod extract;
pub(crate) mod inflate;
mod path;
mod pax;
mod sparse;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub use archive::ArchiveError;

use crate::digest::Digest;
use crate::limits::MAX_STREAM_BYTES;
use archive::Archive;
pub(crate) use extract::has_room;
use extract::{Extracted, Extractor};
use inflate::{ChunkReader, InflateError, Inflated};

/// What the manifest and the configuration say about a layer.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Digest of the archive as it comes; some archive formats do not name it.
    pub(crate) blob: Option<Digest>,
}

/// What came out of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) blob: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) devices_left_out: u64,
    pub(crate) opaque_root: bool,
}

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The bytes did not arrive.
    #[error("the layer could not be read to its end")]
    Source(#[source] io::Error),
    /// The bytes as they came are not those that the manifest names.
    #[error("blob has digest {actual} instead of {expected}: it was tampered with or damaged")]
    Tampered {
        /// From the manifest.
        expected: Digest,
        /// Of what came.
        actual: Digest,
    },
    /// The bytes after decompression are not those that the configuration names.
    #[error(
        "uncompressed layer has digest {actual} instead of {expected}: the image contradicts itself"
    )]
    WrongDiffId {
        /// From the configuration.
        expected: Digest,
        /// Of what came.
        actual: Digest,
    },
    /// Not gzip, not zstd, or damaged.
    #[error("the layer cannot be decompressed")]
    Compression(#[source] io::Error),
    /// Not a tar archive, or a malformed one.
    #[error("the layer is not a usable archive")]
    Archive(#[source] ArchiveError),
    /// An entry that does what no entry may do.
    #[error("refused entry `{path}`: {reason}")]
    Refused {
        /// The entry's path as it stands in the archive.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than a limit of [`crate::limits`] allows.
    #[error("too large: {0}")]
    TooLarge(String),
    /// Going on would leave too little space for the rest of the machine.
    #[error("not enough disk space below `{}`", path.display())]
    DiskFull {
        /// The directory being written to.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The entry's path.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl LayerError {
    /// Whether the archive itself is to blame, rather than the way it came or the place it goes to.
    fn is_about_content(&self) -> bool {
        matches!(
            self,
            Self::Archive(_) | Self::Refused { .. } | Self::Compression(_)
        )
    }
}

/// Unpacks a layer into `<directory>/fs`, where `directory` does not exist yet.
pub(crate) fn unpack_layer(
    source: impl Read + Send,
    expected: &Expected,
    directory: &Path,
) -> Result<Unpacked, LayerError> {
    let root = directory.join("fs");
    fs::create_dir_all(&root)
        .map_err(|source| extract::io_error("make directory", b"/", source, &root))?;
    let (writer, reader) = inflate::pipe();
    let abandoned = AtomicBool::new(false);
    let (inflated, extracted) = thread::scope(|scope| {
        let inflater =
            scope.spawn(|| inflate::inflate(source, MAX_STREAM_BYTES, writer, &abandoned));
        let extracted = extract_all(reader, &root, &abandoned);
        let inflated = inflater
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (inflated, extracted)
    });
    judge(inflated, extracted, expected)
}

/// Extracts until the stream ends. The reader is gone when this returns, which stops the other thread.
fn extract_all(
    reader: ChunkReader,
    root: &Path,
    abandoned: &AtomicBool,
) -> Result<Extracted, LayerError> {
    let extract = || {
        let mut archive = Archive::new(reader);
        let mut extractor = Extractor::new(root)?;
        while let Some(entry) = archive.next_entry().map_err(LayerError::Archive)? {
            extractor.entry(&entry, &mut archive)?;
        }
        // What follows the end of the archive belongs to the digest.
        archive
            .drain()
            .map_err(|error| LayerError::Archive(error.into()))?;
        extractor.finish()
    };
    let result: Result<Extracted, LayerError> = extract();
    if result
        .as_ref()
        .is_err_and(|error| !error.is_about_content())
    {
        abandoned.store(true, Ordering::Relaxed);
    }
    result
}

/// Of several things that went wrong, names the cause: bytes that were tampered with may look like anything.
fn judge(
    inflated: Result<Inflated, InflateError>,
    extracted: Result<Extracted, LayerError>,
    expected: &Expected,
) -> Result<Unpacked, LayerError> {
    let extracted = match extracted {
        Err(error) if !error.is_about_content() => return Err(error),
        extracted => extracted,
    };
    let check_blob = |actual: Digest| match &expected.blob {
        Some(expected) if *expected != actual => Err(LayerError::Tampered {
            expected: expected.clone(),
            actual,
        }),
        _ => Ok(actual),
    };
    match inflated {
        Err(InflateError::Source(error)) => Err(LayerError::Source(error)),
        Err(InflateError::Abandoned) => Err(LayerError::Source(io::ErrorKind::Interrupted.into())),
        Err(InflateError::TooLarge) => Err(LayerError::TooLarge(format!(
            "the layer has more than {MAX_STREAM_BYTES} bytes uncompressed"
        ))),
        Err(InflateError::Corrupt(error, blob)) => {
            check_blob(blob)?;
            Err(LayerError::Compression(error))
        }
        Ok(Inflated { blob, diff_id }) => {
            let blob = check_blob(blob)?;
            let Extracted {
                size_bytes,
                entries,
                devices_left_out,
                opaque_root,
            } = extracted?;
            match diff_id {
                Some(actual) if actual != expected.diff_id => Err(LayerError::WrongDiffId {
                    expected: expected.diff_id.clone(),
                    actual,
                }),
                Some(_) => Ok(Unpacked {
                    blob,
                    size_bytes,
                    entries,
                    devices_left_out,
                    opaque_root,
                }),
                None => Err(LayerError::Source(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no bytes at all make the unpacking panic, hang or leave its directory.
    #[test]
    fn mutated_archives() {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, link) in [
            (tar::EntryType::Directory, "dir", ""),
            (tar::EntryType::Symlink, "dir/link", "../outside"),
            (tar::EntryType::Regular, "dir/file", ""),
            (tar::EntryType::Link, "hard", "dir/file"),
            (tar::EntryType::Regular, ".wh.gone", ""),
            (tar::EntryType::GNUSparse, "sparse", ""),
        ] {
            builder
                .append_pax_extensions([("mtime", &b"1.5"[..]), ("path", name.as_bytes())])
                .unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_size(if kind == tar::EntryType::Regular {
                700
            } else {
                0
            });
            header.set_cksum();
            builder
                .append(
                    &header,
                    &[7; 700][..if kind == tar::EntryType::Regular {
                        700
                    } else {
                        0
                    }],
                )
                .unwrap();
        }
        let archive = builder.into_inner().unwrap();
        let base = std::env::temp_dir().join(format!("podyard-mutated-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut unpacked = 0;
        for round in 0..600 {
            let mut mutated = archive.clone();
            for _ in 0..=random(4) {
                // Headers are where it hurts: most changes go there, with the checksum put right.
                let block = random(mutated.len() / 512) * 512;
                let position = block + random(512);
                mutated[position] = [
                    0,
                    b'/',
                    b'.',
                    b'7',
                    0x80,
                    0xff,
                    u8::try_from(random(256)).unwrap(),
                ][random(7)];
                let mut header = tar::Header::new_old();
                header
                    .as_mut_bytes()
                    .copy_from_slice(&mutated[block..block + 512]);
                header.set_cksum();
                mutated[block..block + 512].copy_from_slice(header.as_bytes());
            }
            mutated.truncate(mutated.len() - random(600));
            let expected = Expected {
                diff_id: Digest::of(&mutated),
                blob: None,
            };
            let directory = base.join(round.to_string()).join("layer");
            unpacked += usize::from(unpack_layer(&mutated[..], &expected, &directory).is_ok());
            let beside: Vec<_> = fs::read_dir(directory.parent().unwrap()).unwrap().collect();
            assert_eq!(beside.len(), 1, "round {round}");
            assert_eq!(
                fs::read_dir(&directory).unwrap().count(),
                1,
                "round {round}"
            );
        }
        assert!(unpacked > 20, "some mutations are harmless: {unpacked}");
        fs::remove_dir_all(&base).unwrap();
    }
}
