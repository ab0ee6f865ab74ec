//! A layer's bytes as a reader that survives broken connections.
//!
//! Unpacking goes on while bytes arrive. When a connection breaks, the rest is asked for from where it broke: the
//! digest at the end tells whether the pieces belong together.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::client::Client;
use super::error::PullError;
use crate::digest::Digest;
use crate::limits::{MAX_DOWNLOAD_ATTEMPTS, RETRY_PAUSE_MILLISECONDS};
use crate::progress::{Counter, Progress};

/// Reads a blob of known size from a registry.
pub(super) struct BlobReader<'a> {
    client: &'a Client,
    digest: Digest,
    size: u64,
    done: u64,
    connection: Option<Box<dyn Read + Send>>,
    /// Failures since the last byte that arrived.
    failures: u32,
    /// Another layer has failed for good.
    stop: &'a AtomicBool,
    counter: Counter<'a>,
    report: &'a (dyn Fn(Progress) + Sync),
}

/// The blob is longer than the manifest says.
#[derive(Debug, thiserror::Error)]
#[error("the layer is longer than its manifest says")]
pub(super) struct TooLong;

impl<'a> BlobReader<'a> {
    /// Connects, so that a blob which cannot be had at all is the client's error, with its reason.
    pub(super) fn open(
        client: &'a Client,
        digest: &Digest,
        size: u64,
        stop: &'a AtomicBool,
        report: &'a (dyn Fn(Progress) + Sync),
    ) -> Result<Self, PullError> {
        let mut reader = Self {
            client,
            digest: digest.clone(),
            size,
            done: 0,
            connection: None,
            failures: 0,
            stop,
            counter: Counter::new(digest, size, report),
            report,
        };
        loop {
            match reader.connect() {
                Ok(connection) => {
                    reader.connection = Some(connection);
                    return Ok(reader);
                }
                Err(error) if reader.is_worth_another_try(&error) => reader.note_failure(&error),
                Err(error) => return Err(error),
            }
        }
    }

    fn connect(&mut self) -> Result<Box<dyn Read + Send>, PullError> {
        let answer = self.client.blob_from(&self.digest, self.done)?;
        let heeded = answer.status() == 206;
        // A registry that announces fewer bytes has other content: its digest will tell. Waiting for the rest
        // would look like a broken connection.
        let announced = answer
            .header("Content-Length")
            .and_then(|length| length.parse().ok());
        if let Some(announced) = announced
            && !heeded
        {
            self.size = self.size.min(announced);
        }
        let mut connection = answer.into_reader();
        if self.done > 0 && !heeded {
            // A registry that knows no ranges sends everything again.
            let skipped = io::copy(&mut (&mut connection).take(self.done), &mut io::sink());
            match skipped {
                Ok(count) if count == self.done => {}
                Ok(_) => {
                    return Err(self
                        .client
                        .unreachable(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
                }
                Err(error) => return Err(self.client.unreachable(error.into())),
            }
        }
        Ok(Box::new(connection))
    }

    fn is_worth_another_try(&self, error: &PullError) -> bool {
        let is_passing = match error {
            PullError::Unreachable { .. } => true,
            PullError::Registry { status, .. } => *status >= 500,
            _ => false,
        };
        is_passing
            && self.failures + 1 < MAX_DOWNLOAD_ATTEMPTS
            && !self.stop.load(Ordering::Relaxed)
    }

    fn note_failure(&mut self, error: &dyn std::error::Error) {
        self.failures += 1;
        self.connection = None;
        // A registry that is being restarted needs a moment.
        std::thread::sleep(Duration::from_millis(
            RETRY_PAUSE_MILLISECONDS << self.failures,
        ));
        let mut reason = error.to_string();
        if let Some(source) = error.source() {
            reason = format!("{reason}: {source}");
        }
        (self.report)(Progress::Retrying {
            layer: self.digest.clone(),
            reason,
        });
    }

    fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, PullError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connection = self.connect()?;
                self.connection.insert(connection)
            }
        };
        // One byte more than there should be is asked for, so that a longer blob shows itself.
        let left = usize::try_from(self.size - self.done)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let length = buffer.len().min(left);
        match connection.read(&mut buffer[..length]) {
            Ok(0) if self.done < self.size => Err(self
                .client
                .unreachable(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
            Ok(count) => Ok(count),
            Err(error) => Err(self.client.unreachable(error.into())),
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("given up, because another layer failed"));
            }
            match self.read_once(buffer) {
                Ok(count) if self.done + count as u64 > self.size => {
                    return Err(io::Error::other(TooLong));
                }
                Ok(count) => {
                    self.done += count as u64;
                    self.failures = 0;
                    self.counter.add(count);
                    return Ok(count);
                }
                Err(error) if self.is_worth_another_try(&error) => self.note_failure(&error),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}
