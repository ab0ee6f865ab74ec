//! Decompression and hashing in a thread of their own, ahead of the extraction.
//!
//! The kind of compression is told from the first bytes rather than from a media type: archives written by
//! `docker save` name none, and some registries name a wrong one.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use flate2::bufread::MultiGzDecoder;

use crate::digest::{Digest, Hasher, HashingReader};

const CHUNK_BYTES: usize = 256 * 1024;
/// How many chunks decompression may be ahead.
const CHUNKS_AHEAD: usize = 8;

/// What is known about a stream that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inflated {
    /// Of the bytes as they came.
    pub(super) blob: Digest,
    /// Of the bytes after decompression; `None` if the extraction stopped listening before the end.
    pub(super) diff_id: Option<Digest>,
}

/// Why a stream could not be read to its end.
#[derive(Debug)]
pub(super) enum InflateError {
    /// The source failed.
    Source(io::Error),
    /// The bytes are not what the compression format demands. The digest is that of all bytes as they came.
    Corrupt(io::Error, Digest),
    /// See [`crate::limits::MAX_STREAM_BYTES`].
    TooLarge,
    /// The extraction failed for a reason that more bytes cannot change.
    Abandoned,
}

/// A pipe whose writing end is [`inflate`] and whose reading end a [`BufRead`].
pub(super) fn pipe() -> (ChunkWriter, ChunkReader) {
    let (full_sender, full_receiver) = sync_channel(CHUNKS_AHEAD);
    let (empty_sender, empty_receiver) = sync_channel(CHUNKS_AHEAD + 2);
    (
        ChunkWriter {
            full: full_sender,
            empty: empty_receiver,
        },
        ChunkReader {
            full: full_receiver,
            empty: empty_sender,
            chunk: Vec::new(),
            position: 0,
        },
    )
}

pub(super) struct ChunkWriter {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

pub(super) struct ChunkReader {
    full: Receiver<Vec<u8>>,
    empty: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    position: usize,
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.chunk.len() {
            // A closed channel is the end of the stream; whether it was a good one, the writer knows.
            let Ok(next) = self.full.recv() else {
                return Ok(&[]);
            };
            let used = std::mem::replace(&mut self.chunk, next);
            self.position = 0;
            if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
                self.empty.try_send(used)
            {}
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Reads `source` to its end, and sends what comes out of the decompression until the reader hangs up.
///
/// When the content is at fault the source is still read to its end, because its digest tells a damaged blob
/// from a bad one; not so once the extraction is `abandoned`.
pub(super) fn inflate(
    source: impl Read,
    limit: u64,
    writer: ChunkWriter,
    abandoned: &AtomicBool,
) -> Result<Inflated, InflateError> {
    let mut source = NotingReader {
        inner: source,
        failure: None,
    };
    let mut hashing = HashingReader::new(&mut source);
    let outcome = pump(&mut hashing, limit, &writer);
    drop(writer); // lets the extraction see the end and, perhaps, abandon
    if abandoned.load(Ordering::Relaxed) {
        return Err(InflateError::Abandoned);
    }
    if let Ok(Pumped::TooMuch) = outcome {
        return Err(InflateError::TooLarge);
    }
    let end = hashing.finish();
    if let Some(failure) = source.failure {
        return Err(InflateError::Source(failure));
    }
    // The source has not failed, so this did not either.
    let (blob, _) = end.map_err(InflateError::Source)?;
    match outcome {
        Ok(Pumped::Everything(diff_id)) => Ok(Inflated {
            blob,
            diff_id: Some(diff_id),
        }),
        Ok(Pumped::ReaderLeft) => Ok(Inflated {
            blob,
            diff_id: None,
        }),
        Ok(Pumped::TooMuch) => Err(InflateError::TooLarge),
        Err(error) => Err(InflateError::Corrupt(error, blob)),
    }
}

enum Pumped {
    Everything(Digest),
    ReaderLeft,
    TooMuch,
}

fn pump(source: impl Read, limit: u64, writer: &ChunkWriter) -> io::Result<Pumped> {
    let source = BufReader::with_capacity(CHUNK_BYTES, source);
    let mut decoder = decoder(source)?;
    let mut hasher = Hasher::new();
    let mut total = 0_u64;
    loop {
        let mut chunk = writer.empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let count = fill(&mut *decoder, &mut chunk)?;
        if count == 0 {
            return Ok(Pumped::Everything(hasher.finish()));
        }
        total += count as u64;
        if total > limit {
            return Ok(Pumped::TooMuch);
        }
        chunk.truncate(count);
        hasher.update(&chunk);
        if writer.full.send(chunk).is_err() {
            return Ok(Pumped::ReaderLeft);
        }
    }
}

/// Chooses by the magic number of gzip or zstd; anything else is taken as it is.
pub(crate) fn decoder<'a>(source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut source = source;
    // A source may give as little as one byte at a time, which must not hide the number.
    let mut start = [0; 4];
    let length = fill(&mut source, &mut start)?;
    let start = &start[..length];
    let (is_gzip, is_zstd) = (
        start.starts_with(&GZIP),
        start == ZSTD || is_skippable_zstd(start),
    );
    let source = io::Cursor::new(start.to_vec()).chain(source);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(source))
    } else if is_zstd {
        Box::new(zstd::stream::read::Decoder::with_buffer(source)?)
    } else {
        Box::new(source)
    })
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Some writers begin with a frame of metadata (zstd's format document, "skippable frames").
fn is_skippable_zstd(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18])
}

/// Whether something that begins like this is compressed.
pub(crate) fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(&GZIP)
        || start.starts_with(&ZSTD)
        || is_skippable_zstd(start.get(..4).unwrap_or_default())
}

fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Remembers the source's own failure, which a decoder would pass on as if it were its own.
struct NotingReader<R> {
    inner: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for &mut NotingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Ok(0);
        }
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow connection may.
    struct Trickle(&'static [u8]);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (Some((first, rest)), false) = (self.0.split_first(), buffer.is_empty()) else {
                return Ok(0);
            };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn compression_is_recognised_however_slowly_it_comes() {
        let zstd: &'static [u8] = Box::leak(
            zstd::encode_all(&b"content"[..], 1)
                .unwrap()
                .into_boxed_slice(),
        );
        for (stored, expected) in [(zstd, &b"content"[..]), (b"abc", b"abc"), (b"", b"")] {
            let mut content = Vec::new();
            decoder(BufReader::new(Trickle(stored)))
                .unwrap()
                .read_to_end(&mut content)
                .unwrap();
            assert_eq!(content, expected);
        }
    }
}
