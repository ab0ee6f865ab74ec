//! Makes the files of a layer, relative to a directory that it never leaves.
//!
//! An archive may contain a symbolic link and then entries "below" it. Therefore no path is ever given to the
//! kernel as a whole: the parent is opened with `openat2(RESOLVE_IN_ROOT)`, for which `/` and `..` end at the
//! layer's root, and the last component is made with calls that follow no link and replace nothing. Duplicate
//! entries behave as elsewhere: the last one counts, directories are merged.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, fstatvfs, ftruncate, linkat, mkdirat, mknodat,
    openat, openat2, statat, symlinkat,
};
use rustix::io::Errno;

use super::LayerError;
use super::archive::{Archive, ArchiveError, Entry, EntryKind};
use super::attributes::{Attributes, make_opaque, make_whiteout};
use super::path::{LayerPath, refused};
use crate::limits::{
    MAX_LAYER_BYTES, MAX_LAYER_ENTRIES, RESERVED_BYTES, RESERVED_FRACTION,
    RESERVED_INODES_FRACTION, SPACE_CHECK_INTERVAL_BYTES,
};
use crate::store::files::remove_tree_at;

/// How many parent directories are kept open: archives are written directory by directory.
const OPEN_PARENTS: usize = 8;
/// Bytes of directory names that are remembered until the end; hostile archives have more.
const MAX_DIRECTORY_NAMES: usize = 256 << 20;
/// What an entry without data costs of a file system, roughly.
const ENTRY_BYTES: u64 = 4096;

/// Totals of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extracted {
    pub(super) size_bytes: u64,
    pub(super) entries: u64,
    pub(super) devices_left_out: u64,
    pub(super) opaque_root: bool,
}

/// Makes one entry after the other.
pub(super) struct Extractor {
    root: OwnedFd,
    root_path: PathBuf,
    may_chown: bool,
    /// Least recently used first.
    parents: Vec<(LayerPath, Rc<OwnedFd>)>,
    /// Attributes of directories, set at the end: making a file changes its directory's time, and a mode without
    /// write permission would stop an unprivileged user.
    directories: BTreeMap<LayerPath, Attributes>,
    directory_names: usize,
    totals: Extracted,
    /// Bytes to be written before the next look at the free space.
    unchecked: u64,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Extractor {
    pub(super) fn new(root_path: &Path) -> Result<Self, LayerError> {
        let open = || {
            openat(
                rustix::fs::CWD,
                root_path,
                DIRECTORY | OFlags::NOFOLLOW,
                Mode::empty(),
            )
        };
        let root = open().map_err(|errno| io_error("open", b"/", errno.into(), root_path))?;
        let mut extractor = Self {
            root,
            root_path: root_path.to_owned(),
            may_chown: rustix::process::geteuid().is_root(),
            parents: Vec::new(),
            directories: BTreeMap::new(),
            directory_names: 0,
            totals: Extracted::default(),
            unchecked: 0,
        };
        extractor.remember(LayerPath::clean(b"")?, Attributes::of_implied_directory())?;
        extractor.check_space()?;
        Ok(extractor)
    }

    /// Makes what an entry describes, reading its data from the archive.
    pub(super) fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), LayerError> {
        self.totals.entries += 1;
        if self.totals.entries > MAX_LAYER_ENTRIES {
            return Err(LayerError::TooLarge(format!(
                "the layer has more than {MAX_LAYER_ENTRIES} entries"
            )));
        }
        self.spend(ENTRY_BYTES)?;
        let path = LayerPath::clean(&entry.path)?;
        // Left behind by the union file system that came before overlayfs.
        if path
            .components()
            .any(|name| name.starts_with(b".wh..wh.") && name != b".wh..wh..opq")
        {
            return Ok(());
        }
        let Some((parent_path, name)) = path.split() else {
            return match entry.kind {
                EntryKind::Directory => self.remember(path, Attributes::of(entry, self.may_chown)?),
                _ => Err(refused(&entry.path, "the root is not a directory")),
            };
        };
        if entry.kind == EntryKind::Device {
            // The container's own /dev has the devices it may use. One made here would have nothing but a
            // cgroup rule between a hostile image and the machine's disks.
            self.totals.devices_left_out += 1;
            return Ok(());
        }
        let parent = self.parent(&parent_path, &entry.path)?;
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            return self.whiteout(&parent, &parent_path, hidden, entry);
        }
        let name = OsStr::from_bytes(name);
        match entry.kind {
            EntryKind::Directory => self.directory(&parent, name, path.clone(), entry),
            EntryKind::File => self.file(&parent, name, &path, entry, archive),
            EntryKind::HardLink => self.hard_link(&parent, name, &path, entry),
            EntryKind::Symlink => self.symlink(&parent, name, &path, entry),
            EntryKind::Fifo => self.fifo(&parent, name, &path, entry),
            EntryKind::Device => Ok(()),
        }
    }

    /// Sets what had to wait, and returns the totals.
    pub(super) fn finish(mut self) -> Result<Extracted, LayerError> {
        self.parents.clear();
        // Deepest first: without root's rights a closed parent would bar the way.
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            if path.is_root() {
                self.check(
                    attributes.apply(self.root.as_fd()),
                    "set attributes of",
                    b"/",
                )?;
                continue;
            }
            let directory = match self.open_in_root(path.as_bytes(), OFlags::NOFOLLOW) {
                // Replaced by something else through another path.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                directory => self.check(directory, "open", path.as_bytes())?,
            };
            self.check(
                attributes.apply(directory.as_fd()),
                "set attributes of",
                path.as_bytes(),
            )?;
        }
        Ok(self.totals)
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: LayerPath,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        match mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => match self.existing(parent, name, &path)? {
                Existing::Directory => {}
                existing => {
                    self.make(parent, name, &path, "make directory", || {
                        mkdirat(parent, name, Mode::RWXU)
                    })?;
                    if existing == Existing::Whiteout {
                        self.opaque(parent, name, &path)?;
                    }
                }
            },
            result => self.check(result, "make directory", path.as_bytes())?,
        }
        self.remember(path, Attributes::of(entry, self.may_chown)?)
    }

    fn file<R: BufRead>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), LayerError> {
        let attributes = Attributes::of(entry, self.may_chown)?;
        let length = entry
            .sparse
            .as_ref()
            .map_or(entry.size, |map| map.real_size);
        if self.totals.size_bytes + entry.size > MAX_LAYER_BYTES || length > MAX_LAYER_BYTES {
            return Err(LayerError::TooLarge(format!(
                "the layer's files have more than {MAX_LAYER_BYTES} bytes"
            )));
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let owner_only = Mode::RUSR | Mode::WUSR;
        let file = self.make(parent, name, path, "make", || {
            openat(parent, name, flags, owner_only)
        })?;
        let mut file = File::from(file);
        match &entry.sparse {
            None => self.copy(archive, &mut file, entry.size, path)?,
            Some(map) => {
                for (offset, length) in &map.segments {
                    self.check_io(
                        file.seek(SeekFrom::Start(*offset)),
                        "write",
                        path.as_bytes(),
                    )?;
                    self.copy(archive, &mut file, *length, path)?;
                }
                self.check(ftruncate(&file, map.real_size), "extend", path.as_bytes())?;
            }
        }
        self.totals.size_bytes += entry.size;
        self.check(
            attributes.apply(file.as_fd()),
            "set attributes of",
            path.as_bytes(),
        )
    }

    fn copy<R: BufRead>(
        &mut self,
        archive: &mut Archive<R>,
        file: &mut File,
        mut length: u64,
        path: &LayerPath,
    ) -> Result<(), LayerError> {
        while length > 0 {
            let data = archive
                .data()
                .map_err(|error| LayerError::Archive(ArchiveError::Io(error)))?;
            let count = data
                .len()
                .min(usize::try_from(length).unwrap_or(usize::MAX));
            let written = file.write_all(&data[..count]);
            self.check_io(written, "write", path.as_bytes())?;
            archive.consume(count);
            length -= count as u64;
            self.spend(count as u64)?;
        }
        Ok(())
    }

    fn hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let target = LayerPath::clean(&entry.link)?;
        let Some((target_parent, target_name)) = target.split() else {
            return Err(refused(&entry.path, "it is a hard link to the root"));
        };
        if target == *path {
            return Ok(());
        }
        let target_parent = match self.open_in_root(target_parent.as_bytes(), OFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(refused(
                    &entry.path,
                    "it is a hard link to a file that is not in the layer",
                ));
            }
            target_parent => self.check(target_parent, "open parent of", target.as_bytes())?,
        };
        let target_name = OsStr::from_bytes(target_name);
        let link = || linkat(&target_parent, target_name, parent, name, AtFlags::empty());
        match statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                return Err(refused(
                    &entry.path,
                    "it is a hard link to a file that is not in the layer",
                ));
            }
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => {
                return Err(refused(&entry.path, "it is a hard link to a directory"));
            }
            status => drop(self.check(status, "look at", target.as_bytes())?),
        }
        self.make(parent, name, path, "link", link)
    }

    fn symlink(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        if entry.link.is_empty()
            || entry.link.contains(&0)
            || entry.link.len() > crate::limits::MAX_PATH_BYTES
        {
            return Err(refused(&entry.path, "its target is not a path"));
        }
        let target = OsStr::from_bytes(&entry.link);
        self.make(parent, name, path, "make link", || {
            symlinkat(target, parent, name)
        })?;
        let attributes = Attributes::of(entry, self.may_chown)?;
        self.check(
            attributes.apply_to_link(parent.as_fd(), name),
            "set attributes of",
            path.as_bytes(),
        )
    }

    fn fifo(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let make = || mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
        self.make(parent, name, path, "make fifo", make)?;
        let attributes = Attributes::of(entry, self.may_chown)?;
        self.check(
            attributes.apply_to_fifo(parent.as_fd(), name),
            "set attributes of",
            path.as_bytes(),
        )
    }

    /// `.wh.<name>` hides `<name>` of lower layers, `.wh..wh..opq` everything that they have in the directory.
    /// Neither hides anything of this layer, wherever in the archive it stands.
    fn whiteout(
        &mut self,
        parent: &OwnedFd,
        parent_path: &LayerPath,
        hidden: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        if hidden == b".wh..opq" {
            if parent_path.is_root() {
                self.totals.opaque_root = true;
            }
            return self.check(
                make_opaque(parent.as_fd()),
                "make opaque",
                parent_path.as_bytes(),
            );
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(
                &entry.path,
                "it hides something that is not a name",
            ));
        }
        let name = OsStr::from_bytes(hidden);
        let path = LayerPath::clean(&[parent_path.as_bytes(), b"/", hidden].concat())?;
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => self.check(
                make_whiteout(parent.as_fd(), name),
                "make whiteout",
                path.as_bytes(),
            ),
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => {
                self.opaque(parent, name, &path)
            }
            status => self.check(status, "look at", path.as_bytes()).map(drop),
        }
    }

    fn opaque(&self, parent: &OwnedFd, name: &OsStr, path: &LayerPath) -> Result<(), LayerError> {
        let directory = openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        let directory = self.check(directory, "open", path.as_bytes())?;
        self.check(
            make_opaque(directory.as_fd()),
            "make opaque",
            path.as_bytes(),
        )
    }

    /// Makes something under a name, once more if an earlier entry has to give way first.
    fn make<T>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
        action: &'static str,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, LayerError> {
        match make() {
            Err(Errno::EXIST) => {
                self.replace(parent.as_fd(), name, path)?;
                self.check(make(), action, path.as_bytes())
            }
            result => self.check(result, action, path.as_bytes()),
        }
    }

    fn existing(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &LayerPath,
    ) -> Result<Existing, LayerError> {
        let status = self.check(
            statat(parent, name, AtFlags::SYMLINK_NOFOLLOW),
            "look at",
            path.as_bytes(),
        )?;
        Ok(match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => Existing::Directory,
            FileType::CharacterDevice => Existing::Whiteout,
            _ => Existing::Other,
        })
    }

    /// Removes an earlier entry with everything below it.
    fn replace(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &LayerPath,
    ) -> Result<(), LayerError> {
        self.check_io(remove_tree_at(parent, name), "replace", path.as_bytes())?;
        // Paths may now lead elsewhere.
        self.parents.clear();
        self.directories.remove(path);
        // Not simply from the path on: `a-b` sorts between `a` and `a/b`.
        let first_below = path.first_possible_child();
        let below = self
            .directories
            .range(first_below..)
            .map(|(below, _)| below);
        let gone: Vec<LayerPath> = below
            .take_while(|below| path.contains(below))
            .cloned()
            .collect();
        for path in gone {
            self.directories.remove(&path);
        }
        Ok(())
    }

    /// Opens a directory for entries below it; makes those that the archive does not list.
    fn parent(&mut self, path: &LayerPath, entry: &[u8]) -> Result<Rc<OwnedFd>, LayerError> {
        if let Some(position) = self.parents.iter().position(|(open, _)| open == path) {
            let found = self.parents.remove(position);
            let directory = Rc::clone(&found.1);
            self.parents.push(found);
            return Ok(directory);
        }
        let directory = match self.open_in_root(path.as_bytes(), OFlags::empty()) {
            Err(Errno::NOENT) => self.make_parents(path, entry)?,
            Err(Errno::NOTDIR) => return Err(refused(entry, "its parent is not a directory")),
            Err(Errno::LOOP) => return Err(refused(entry, "its path has too many symbolic links")),
            directory => self.check(directory, "open", path.as_bytes())?,
        };
        let directory = Rc::new(directory);
        if self.parents.len() == OPEN_PARENTS {
            self.parents.remove(0);
        }
        self.parents.push((path.clone(), Rc::clone(&directory)));
        Ok(directory)
    }

    fn make_parents(&mut self, path: &LayerPath, entry: &[u8]) -> Result<OwnedFd, LayerError> {
        let mut current = self.check(self.open_in_root(b"", OFlags::empty()), "open", b"/")?;
        let mut so_far: Vec<u8> = Vec::new();
        for name in path.components() {
            if !so_far.is_empty() {
                so_far.push(b'/');
            }
            so_far.extend_from_slice(name);
            let next = match self.open_in_root(&so_far, OFlags::empty()) {
                Err(Errno::NOENT) => {
                    match mkdirat(&current, OsStr::from_bytes(name), Mode::RWXU) {
                        Err(Errno::EXIST) => {
                            return Err(refused(entry, "its parent is a symbolic link to nowhere"));
                        }
                        result => self.check(result, "make directory", &so_far)?,
                    }
                    self.spend(ENTRY_BYTES)?;
                    self.remember(
                        LayerPath::clean(&so_far)?,
                        Attributes::of_implied_directory(),
                    )?;
                    self.open_in_root(&so_far, OFlags::empty())
                }
                Err(Errno::NOTDIR) => return Err(refused(entry, "its parent is not a directory")),
                next => next,
            };
            current = self.check(next, "open", &so_far)?;
        }
        Ok(current)
    }

    fn open_in_root(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() {
            OsStr::new(".")
        } else {
            OsStr::from_bytes(path)
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.root, path, DIRECTORY | flags, Mode::empty(), resolve) {
                // A rename somewhere on the machine made the kernel unsure; it asks to try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    fn remember(&mut self, path: LayerPath, attributes: Attributes) -> Result<(), LayerError> {
        self.directory_names += path.as_bytes().len();
        if self.directory_names > MAX_DIRECTORY_NAMES {
            return Err(LayerError::TooLarge(
                "the names of the layer's directories".to_owned(),
            ));
        }
        self.directories.insert(path, attributes);
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.unchecked += bytes;
        if self.unchecked < SPACE_CHECK_INTERVAL_BYTES {
            return Ok(());
        }
        self.check_space()
    }

    /// Stops before the file system is full for everybody else.
    fn check_space(&mut self) -> Result<(), LayerError> {
        self.unchecked = 0;
        if !self.check(has_room(&self.root, 0), "look at", b"/")? {
            return Err(LayerError::DiskFull {
                path: self.root_path.clone(),
            });
        }
        Ok(())
    }

    fn check<T>(
        &self,
        result: Result<T, Errno>,
        action: &'static str,
        path: &[u8],
    ) -> Result<T, LayerError> {
        result.map_err(|errno| io_error(action, path, errno.into(), &self.root_path))
    }

    fn check_io<T>(
        &self,
        result: io::Result<T>,
        action: &'static str,
        path: &[u8],
    ) -> Result<T, LayerError> {
        result.map_err(|error| io_error(action, path, error, &self.root_path))
    }
}

/// What stands in the way of a new directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Directory,
    /// Devices are never made from entries, so this one hides a name.
    Whiteout,
    Other,
}

/// Whether a file system has room for so many bytes beyond what is left to others.
pub(crate) fn has_room(directory: impl AsFd, bytes: u64) -> Result<bool, Errno> {
    let status = fstatvfs(directory)?;
    let of_blocks = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    let reserve = RESERVED_BYTES.min(of_blocks(status.f_blocks) / RESERVED_FRACTION);
    // Some file systems do not count inodes.
    let has_inodes =
        status.f_files == 0 || status.f_favail >= status.f_files / RESERVED_INODES_FRACTION;
    Ok(has_inodes && of_blocks(status.f_bavail) >= reserve.saturating_add(bytes))
}

pub(super) fn io_error(
    action: &'static str,
    path: &[u8],
    source: io::Error,
    root: &Path,
) -> LayerError {
    if crate::store::is_disk_full(&source) {
        return LayerError::DiskFull {
            path: root.to_owned(),
        };
    }
    LayerError::Io {
        action,
        path: String::from_utf8_lossy(path).into_owned(),
        source,
    }
}
