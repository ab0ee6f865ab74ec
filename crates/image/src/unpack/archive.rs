//! A reader for tar archives: ustar, GNU and pax, with long names, large numbers and sparse files.
//!
//! Written for hostile input: nothing is held in memory beyond [`MAX_EXTENDED_HEADER_BYTES`], every number is
//! checked, and an entry is read the way Go's `archive/tar` reads it, because that is what other runtimes and
//! scanners see. What an entry may do to the file system is decided in `extract`.

use std::io::{self, BufRead, Read, Seek};

use super::pax::PaxRecords;
use super::sparse::{self, SparseMap};
use crate::limits::MAX_EXTENDED_HEADER_BYTES;

pub(crate) const BLOCK: usize = 512;

/// One member of an archive. Its data, if any, is read from the [`Archive`] before the next entry is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// As it stands in the archive, not checked.
    pub(crate) path: Vec<u8>,
    /// Target of a hard or symbolic link, not checked.
    pub(crate) link: Vec<u8>,
    /// Permission bits, setuid, setgid and sticky bit.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Bytes of data that follow in the archive.
    pub(crate) size: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data belongs, for a file with holes.
    pub(crate) sparse: Option<SparseMap>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum EntryKind {
    #[default]
    File,
    Directory,
    HardLink,
    Symlink,
    Fifo,
    /// A character or block device.
    Device,
}

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The underlying reader failed, or ended in the middle of an entry.
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    /// Bytes that are not what the format demands.
    #[error("the archive is malformed: {0}")]
    Malformed(&'static str),
    /// Well-formed, but nothing that a file system image contains.
    #[error("the archive has an entry of unknown type {0:#04x}")]
    Type(u8),
    /// See [`MAX_EXTENDED_HEADER_BYTES`].
    #[error("the archive has an extended header of more than {MAX_EXTENDED_HEADER_BYTES} bytes")]
    HeaderTooLarge,
}

/// A tar archive being read from front to end.
pub(crate) struct Archive<R> {
    reader: R,
    /// Bytes of the current entry's data that have not been read.
    remaining: u64,
    /// Bytes from there to the next header.
    padding: u64,
    /// Bytes consumed so far.
    offset: u64,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            remaining: 0,
            padding: 0,
            offset: 0,
        }
    }

    /// Bytes between the archive's start and what is read next.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads whatever follows the end of the archive.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        loop {
            let count = self.reader.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            self.reader.consume(count);
        }
    }

    /// The next entry, or `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut pax = PaxRecords::default();
        let mut long_path: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        loop {
            self.skip_data()?;
            let Some(header) = self.read_header()? else {
                return Ok(None);
            };
            let size = header.number(124..136)?;
            match header.0[156] {
                b'x' => pax = PaxRecords::parse(&self.extended_header(size)?)?,
                b'g' => self.set_data(size)?, // defaults for all entries: comments and the like in practice
                b'L' => long_path = Some(until_zero(&self.extended_header(size)?).to_vec()),
                b'K' => long_link = Some(until_zero(&self.extended_header(size)?).to_vec()),
                _ => {
                    return self
                        .entry(&header, size, pax, long_path, long_link)
                        .map(Some);
                }
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        size: u64,
        mut pax: PaxRecords,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, ArchiveError> {
        let path = long_path
            .or_else(|| pax.take("path"))
            .unwrap_or_else(|| header.path());
        let flag = header.0[156];
        let kind = match flag {
            // Before ustar, a directory was a file whose name ended with a slash.
            b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' | b'4' => EntryKind::Device,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => return Err(ArchiveError::Type(other)),
        };
        let mut entry = Entry {
            kind,
            path,
            link: long_link
                .or_else(|| pax.take("linkpath"))
                .unwrap_or_else(|| until_zero(&header.0[157..257]).to_vec()),
            mode: u32::try_from(header.number(100..108)? & 0o7777).unwrap_or_default(),
            uid: pax
                .number("uid")?
                .map_or_else(|| header.number(108..116), Ok)?,
            gid: pax
                .number("gid")?
                .map_or_else(|| header.number(116..124), Ok)?,
            mtime: match pax.time("mtime")? {
                Some(time) => time,
                None => (header.signed_number(136..148)?, 0),
            },
            size: pax.number("size")?.unwrap_or(size),
            xattrs: pax.take_xattrs(),
            sparse: None,
        };
        // Only files have data, whatever the size field of, say, a hard link repeats.
        if kind != EntryKind::File {
            entry.size = 0;
        }
        self.set_data(entry.size)?;
        if kind == EntryKind::File {
            entry.sparse = if flag == b'S' {
                Some(self.read_gnu_sparse(header, entry.size)?)
            } else {
                self.read_pax_sparse(&mut pax, &mut entry)?
            };
        }
        Ok(entry)
    }

    /// The old GNU format: pieces in the header, continued in blocks that precede the data.
    fn read_gnu_sparse(&mut self, header: &Header, size: u64) -> Result<SparseMap, ArchiveError> {
        let mut segments = sparse::gnu_segments(&header.0[386..482])?;
        let mut is_extended = header.0[482] != 0;
        // The size field does not count the continuation blocks: read them before any data.
        self.remaining = 0;
        self.padding = 0;
        while is_extended {
            let block = self.read_block()?.ok_or_else(truncated)?;
            segments.extend(sparse::gnu_segments(&block[..504])?);
            sparse::check_count(segments.len())?;
            is_extended = block[504] != 0;
        }
        self.set_data(size)?;
        SparseMap::new(header.number(483..495)?, segments, size)
    }

    /// The three pax formats; in the last one the map stands in front of the data.
    fn read_pax_sparse(
        &mut self,
        pax: &mut PaxRecords,
        entry: &mut Entry,
    ) -> Result<Option<SparseMap>, ArchiveError> {
        let Some(description) = sparse::from_pax(pax)? else {
            return Ok(None);
        };
        if let Some(name) = description.name {
            entry.path = name;
        }
        let segments = match description.segments {
            Some(segments) => segments,
            None => {
                let before = self.remaining;
                let segments = sparse::read_leading_map(|| {
                    let mut block = [0; BLOCK];
                    self.read_exact(&mut block)?;
                    Ok(block)
                })?;
                entry.size -= before - self.remaining;
                segments
            }
        };
        SparseMap::new(description.real_size, segments, entry.size).map(Some)
    }

    /// The data of a header that describes the next one.
    fn extended_header(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENDED_HEADER_BYTES {
            return Err(ArchiveError::HeaderTooLarge);
        }
        self.set_data(size)?;
        let mut content = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut content)?;
        Ok(content)
    }

    fn set_data(&mut self, size: u64) -> Result<(), ArchiveError> {
        if size > i64::MAX as u64 {
            return Err(ArchiveError::Malformed("an entry's size is impossible"));
        }
        self.remaining = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<(), ArchiveError> {
        let mut left = self.remaining + self.padding;
        while left > 0 {
            let available = self.reader.fill_buf()?.len();
            if available == 0 {
                return Err(truncated());
            }
            let count = available.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.reader.consume(count);
            self.offset += count as u64;
            left -= count as u64;
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// `None` at the end: a block of zeros, or no block at all.
    fn read_header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let Some(block) = self.read_block()? else {
            return Ok(None);
        };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header(block);
        header.verify()?;
        Ok(Some(header))
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(truncated()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    /// The next piece of the current entry's data, without copying; empty at its end.
    pub(crate) fn data(&mut self) -> io::Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let available = self.reader.fill_buf()?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = available
            .len()
            .min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        Ok(&available[..count])
    }

    /// Marks bytes that [`Self::data`] returned as read.
    pub(crate) fn consume(&mut self, count: usize) {
        self.reader.consume(count);
        self.remaining -= count as u64;
        self.offset += count as u64;
    }
}

impl<R: BufRead + Seek> Archive<R> {
    /// Goes past the current entry's data without reading it. The caller makes sure that the data is there.
    pub(crate) fn seek_past_data(&mut self) -> io::Result<()> {
        let distance = self.remaining + self.padding;
        self.reader
            .seek_relative(i64::try_from(distance).map_err(io::Error::other)?)?;
        self.offset += distance;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }
}

impl<R: BufRead> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = self.data()?;
        let count = data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&data[..count]);
        self.consume(count);
        Ok(count)
    }
}

struct Header([u8; BLOCK]);

impl Header {
    fn verify(&self) -> Result<(), ArchiveError> {
        let stored = self.number(148..156)?;
        let bytes = self.0.iter().enumerate();
        let summed = bytes.map(|(index, byte)| {
            if (148..156).contains(&index) {
                b' '
            } else {
                *byte
            }
        });
        // Some old writers added up signed bytes.
        let (unsigned, signed) = summed.fold((0_i64, 0_i64), |(unsigned, signed), byte| {
            (
                unsigned + i64::from(byte),
                signed + i64::from(byte.cast_signed()),
            )
        });
        let stored = i64::try_from(stored).unwrap_or(-1);
        if stored == unsigned || stored == signed {
            Ok(())
        } else {
            Err(ArchiveError::Malformed("a header's checksum is wrong"))
        }
    }

    fn path(&self) -> Vec<u8> {
        let name = until_zero(&self.0[..100]);
        let prefix = until_zero(&self.0[345..500]);
        // GNU's magic has spaces, and other fields where POSIX has the prefix.
        if self.0[257..263] == *b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    fn number(&self, range: std::ops::Range<usize>) -> Result<u64, ArchiveError> {
        number(&self.0[range])
    }

    fn signed_number(&self, range: std::ops::Range<usize>) -> Result<i64, ArchiveError> {
        let field = &self.0[range];
        if field[0] == 0xff {
            // Two's complement; a time before 1970.
            let value = field
                .iter()
                .fold(-1_i64, |value, byte| value << 8 | i64::from(*byte));
            return Ok(value);
        }
        i64::try_from(number(field)?).map_err(|_| ArchiveError::Malformed("a number is too large"))
    }
}

/// A number field: octal digits with padding, or, if its first bit is set, binary.
pub(super) fn number(field: &[u8]) -> Result<u64, ArchiveError> {
    let malformed = ArchiveError::Malformed("a number field cannot be read");
    if field[0] & 0x80 != 0 {
        let mut value = u64::from(field[0] & 0x7f);
        for byte in &field[1..] {
            if value >> 56 != 0 {
                return Err(malformed);
            }
            value = value << 8 | u64::from(*byte);
        }
        return Ok(value);
    }
    let digits = until_zero(field).trim_ascii();
    let mut value = 0_u64;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) || value >> 61 != 0 {
            return Err(malformed);
        }
        value = value << 3 | u64::from(digit - b'0');
    }
    Ok(value)
}

pub(super) fn truncated() -> ArchiveError {
    ArchiveError::Io(io::ErrorKind::UnexpectedEof.into())
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_fields() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"0000849\0", None),
            (b"-0000001", None),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(number(field).ok(), expected, "{field:?}");
        }
    }

    #[test]
    fn an_archive_that_ends_early_is_an_error() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1000);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, "file", &[7; 1000][..])
            .unwrap();
        let whole = builder.into_inner().unwrap();
        for length in [1, 511, 513, 1000, 1535] {
            let mut archive = Archive::new(&whole[..length]);
            let result = archive.next_entry().and_then(|_| archive.next_entry());
            assert!(
                matches!(result, Err(ArchiveError::Io(_))),
                "{length}: {result:?}"
            );
        }
        let mut archive = Archive::new(&whole[..1536]);
        assert_eq!(archive.next_entry().unwrap().unwrap().size, 1000);
        assert_eq!(
            archive.next_entry().unwrap(),
            None,
            "the final zero blocks may be missing"
        );
    }

    #[test]
    fn garbage_is_not_an_archive() {
        let mut archive = Archive::new(&[b'x'; 1024][..]);
        assert!(matches!(
            archive.next_entry(),
            Err(ArchiveError::Malformed(_))
        ));
    }
}
