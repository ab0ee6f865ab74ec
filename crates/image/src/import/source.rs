//! Random access to the files of an image archive, or of a directory with the same files.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ImportError;
use crate::limits::{MAX_ARCHIVE_FILES, MAX_STREAM_BYTES};
use crate::progress::Counter;
use crate::store::files::read_limited;
use crate::unpack::archive::{Archive, EntryKind};
use crate::unpack::inflate::{decoder, is_compressed};

/// Where the files of an image come from.
pub(super) enum Source {
    Directory(PathBuf),
    Archive {
        path: PathBuf,
        file: Arc<File>,
        members: HashMap<String, Member>,
    },
}

/// A file in an archive.
pub(super) enum Member {
    /// Its data: offset and length in bytes.
    Data(u64, u64),
    /// Another name of a file, as old `docker save` archives have for layers that appear twice.
    Link(String),
}

/// Links between members that are followed before they count as a loop.
const MAX_LINKS: usize = 8;

impl Source {
    /// Opens an archive; a compressed one is inflated into `scratch` first, because its files are needed in
    /// another order than they stand in it.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, ImportError> {
        let read_error = |source| ImportError::Read {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(read_error)?.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let file = File::open(path).map_err(read_error)?;
        let mut reader = BufReader::new(file.try_clone().map_err(read_error)?);
        let start = reader.fill_buf().map_err(read_error)?;
        let file = match is_compressed(start) {
            false => file,
            true => {
                inflate(&mut reader, &scratch.join("archive")).map_err(|error| match error {
                    Some(source) => read_error(source),
                    None => ImportError::TooLarge(format!(
                        "the archive has more than {MAX_STREAM_BYTES} bytes uncompressed"
                    )),
                })?
            }
        };
        let members = index(&file).map_err(|error| match error {
            IndexError::Archive(source) => ImportError::Archive {
                path: path.to_owned(),
                source,
            },
            IndexError::TooMany => ImportError::TooLarge(format!(
                "the archive has more than {MAX_ARCHIVE_FILES} files"
            )),
        })?;
        Ok(Self::Archive {
            path: path.to_owned(),
            file: Arc::new(file),
            members,
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Archive { path, .. } => path,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.size(name).is_some()
    }

    /// Bytes of a file, or `None` if there is none of that name.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        match self {
            Self::Directory(path) => fs::metadata(path.join(safe(name)?))
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|m| m.len()),
            Self::Archive { members, .. } => resolve(members, name).map(|(_, size)| size),
        }
    }

    pub(super) fn reader(&self, name: &str) -> Result<Box<dyn Read + Send>, ImportError> {
        let missing = || ImportError::Missing(name.to_owned());
        match self {
            Self::Directory(path) => {
                let path = path.join(safe(name).ok_or_else(missing)?);
                match File::open(&path) {
                    Ok(file) => Ok(Box::new(file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
                    Err(source) => Err(ImportError::Read { path, source }),
                }
            }
            Self::Archive { file, members, .. } => {
                let (offset, remaining) = resolve(members, name).ok_or_else(missing)?;
                Ok(Box::new(Section {
                    file: Arc::clone(file),
                    offset,
                    remaining,
                }))
            }
        }
    }

    /// A whole file in memory.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
        let content =
            read_limited(self.reader(name)?, limit).map_err(|source| ImportError::Read {
                path: self.path().to_owned(),
                source,
            })?;
        content
            .ok_or_else(|| ImportError::TooLarge(format!("`{name}` has more than {limit} bytes")))
    }
}

/// A name that stays below the directory it is joined to.
fn safe(name: &str) -> Option<&str> {
    let plain =
        |component: std::path::Component<'_>| matches!(component, std::path::Component::Normal(_));
    Path::new(name).components().all(plain).then_some(name)
}

fn resolve(members: &HashMap<String, Member>, name: &str) -> Option<(u64, u64)> {
    let mut name = clean(name)?;
    for _ in 0..MAX_LINKS {
        match members.get(&name)? {
            Member::Data(offset, size) => return Some((*offset, *size)),
            Member::Link(target) => name = target.clone(),
        }
    }
    None
}

/// The name without `.` and `..`; `None` if it leads out of the archive.
fn clean(name: &str) -> Option<String> {
    let mut components = Vec::new();
    for component in name.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()?),
            component => components.push(component),
        }
    }
    Some(components.join("/"))
}

/// `Err(None)` if there is too much of it.
fn inflate(reader: &mut BufReader<File>, path: &Path) -> Result<File, Option<io::Error>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(Some)?;
    let mut limited = decoder(reader).map_err(Some)?.take(MAX_STREAM_BYTES + 1);
    let written = io::copy(&mut limited, &mut file).map_err(Some)?;
    if written > MAX_STREAM_BYTES {
        Err(None)
    } else {
        Ok(file)
    }
}

enum IndexError {
    Archive(crate::unpack::ArchiveError),
    TooMany,
}

fn index(file: &File) -> Result<HashMap<String, Member>, IndexError> {
    let io_error = |error: io::Error| IndexError::Archive(error.into());
    let length = file.metadata().map_err(io_error)?.len();
    let mut reader = BufReader::new(Section {
        file: Arc::new(file.try_clone().map_err(io_error)?),
        offset: 0,
        remaining: length,
    });
    let mut archive = Archive::new(&mut reader);
    let mut members = HashMap::new();
    while let Some(entry) = archive.next_entry().map_err(IndexError::Archive)? {
        let offset = archive.offset();
        if offset
            .checked_add(entry.size)
            .is_none_or(|end| end > length)
        {
            return Err(io_error(io::ErrorKind::UnexpectedEof.into()));
        }
        archive.seek_past_data().map_err(io_error)?;
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(name) = clean(&name) else { continue };
        let link = String::from_utf8_lossy(&entry.link).into_owned();
        let member = match entry.kind {
            EntryKind::File => Some(Member::Data(offset, entry.size)),
            EntryKind::HardLink => clean(&link).map(Member::Link),
            EntryKind::Symlink => {
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                clean(&format!("{directory}/{link}")).map(Member::Link)
            }
            _ => None,
        };
        if let Some(member) = member {
            members.insert(name, member);
        }
        if members.len() > MAX_ARCHIVE_FILES {
            return Err(IndexError::TooMany);
        }
    }
    Ok(members)
}

/// A part of a file. Several can read the same file at the same time.
struct Section {
    file: Arc<File>,
    offset: u64,
    remaining: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.remaining -= count as u64;
        Ok(count)
    }
}

impl io::Seek for Section {
    /// Only what skipping needs: forwards and backwards from here.
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        let io::SeekFrom::Current(distance) = position else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let end = self.offset + self.remaining;
        let offset = self
            .offset
            .checked_add_signed(distance)
            .filter(|offset| *offset <= end);
        self.offset = offset.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.remaining = end - self.offset;
        Ok(self.offset)
    }
}

/// Tells a counter what passes.
pub(super) struct Counting<'a, R> {
    inner: R,
    counter: Counter<'a>,
}

impl<'a, R> Counting<'a, R> {
    pub(super) fn new(inner: R, counter: Counter<'a>) -> Self {
        Self { inner, counter }
    }
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.counter.add(count);
        Ok(count)
    }
}
