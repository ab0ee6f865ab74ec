//! Files out of objects, in the kubelet's atomic layout (`pod-api.md` section 5.5): a payload directory, the link `..data` to it, and one link
//! per name through `..data`. Whoever looks through `..data` once sees one version, whole.
//!
//! ```text
//! ..2026_08_01_12_30_45.123456789/app.conf
//! ..data   -> ..2026_08_01_12_30_45.123456789     replaced by a rename: the one moment of change
//! app.conf -> ..data/app.conf
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Component, Path, PathBuf};

const DATA: &str = "..data";

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
}

/// By path inside the volume.
pub(super) type Payload = BTreeMap<String, File>;

/// What is written, and for whom.
pub(super) struct Writer<'a> {
    pub(super) payload: &'a Payload,
    /// Places below the volume where containers mount something else. The volume is read-only to them, so they have to be there.
    pub(super) mount_points: &'a BTreeSet<PathBuf>,
    /// Who may read all of it, as the walk over a volume for `fsGroup` would have it.
    pub(super) group: Option<u32>,
}

/// Whether a file of this name can be in a volume.
pub(super) fn is_inside(path: &str) -> bool {
    const PATH_BYTES: usize = 4096;
    const NAME_BYTES: usize = 255;
    !path.is_empty()
        && path.len() <= PATH_BYTES
        && !path.starts_with("..")
        && Path::new(path).components().all(
            |component| matches!(component, Component::Normal(name) if name.len() <= NAME_BYTES),
        )
}

impl Writer<'_> {
    /// Makes the volume in `directory` what it should be. A change of modes alone is not noticed, as in the kubelet.
    ///
    /// # Errors
    ///
    /// As the underlying file operations. The volume is as it was then, or as it should be.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let old = fs::read_link(directory.join(DATA)).ok();
        if let Some(old) = &old
            && self.is_current(&directory.join(old))
        {
            return Ok(());
        }
        self.give(directory, 0)?;
        let name = format!("..{}", timestamp());
        let target = directory.join(&name);
        fs::create_dir(&target)?;
        self.set(&target, 0o755)?;
        for (path, file) in self.payload {
            let place = target.join(path);
            self.make_parents(&target, &place)?;
            fs::write(&place, &file.content)?;
            let mode = match self.group {
                Some(_) => file.mode | 0o440,
                None => file.mode,
            };
            self.own(&place)?;
            fs::set_permissions(&place, Permissions::from_mode(mode))?;
        }
        let tops: BTreeSet<&str> = self.payload.keys().map(|path| top(path)).collect();
        self.make_mount_points(directory, &target, &tops)?;
        for top in &tops {
            let link = directory.join(top);
            match symlink(Path::new(DATA).join(top), &link) {
                Ok(()) => self.own_link(&link)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let next = directory.join("..data_tmp");
        let _ = fs::remove_file(&next);
        symlink(&name, &next)?;
        self.own_link(&next)?;
        fs::rename(&next, directory.join(DATA))?;
        remove_rest(directory, &name, &tops)
    }

    /// Whether every file is there with its content, and no other.
    fn is_current(&self, payload: &Path) -> bool {
        let mut found = BTreeSet::new();
        if files_below(payload, payload, &mut found).is_err() || found.len() != self.payload.len() {
            return false;
        }
        self.payload.iter().all(|(path, file)| {
            found.contains(Path::new(path))
                && fs::read(payload.join(path)).is_ok_and(|content| content == file.content)
        })
    }

    /// Directories between the payload's own and a file.
    fn make_parents(&self, target: &Path, place: &Path) -> io::Result<()> {
        let parents: Vec<&Path> = place
            .ancestors()
            .skip(1)
            .take_while(|parent| *parent != target)
            .collect();
        for parent in parents.into_iter().rev().filter(|parent| !parent.is_dir()) {
            fs::create_dir(parent)?;
            self.set(parent, 0o755)?;
        }
        Ok(())
    }

    fn make_mount_points(
        &self,
        directory: &Path,
        target: &Path,
        tops: &BTreeSet<&str>,
    ) -> io::Result<()> {
        for path in self.mount_points {
            let is_of_payload = path
                .iter()
                .next()
                .and_then(|top| top.to_str())
                .is_some_and(|top| tops.contains(top));
            // Under a name of the payload it has to be where that name's link leads.
            let base = if is_of_payload { target } else { directory };
            let place = base.join(path);
            if !place.exists() {
                self.make_parents(base, &place)?;
                fs::create_dir(&place)?;
                self.set(&place, 0o755)?;
            }
        }
        Ok(())
    }

    /// A new directory: mode, then group.
    fn set(&self, directory: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(directory, Permissions::from_mode(mode))?;
        self.give(directory, mode)
    }

    /// A directory that is there, and at least has `mode`.
    fn give(&self, directory: &Path, mode: u32) -> io::Result<()> {
        if self.group.is_none() {
            return Ok(());
        }
        self.own(directory)?;
        let known = fs::metadata(directory)?.permissions().mode() & 0o7777;
        let mode = known | mode | 0o2550;
        fs::set_permissions(directory, Permissions::from_mode(mode))
    }

    fn own(&self, path: &Path) -> io::Result<()> {
        match self.group {
            Some(_) => chown(path, None, self.group),
            None => Ok(()),
        }
    }

    fn own_link(&self, path: &Path) -> io::Result<()> {
        match self.group {
            Some(_) => lchown(path, None, self.group),
            None => Ok(()),
        }
    }
}

/// The first name of a path.
fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Year to nanosecond; two writes never have the same one.
fn timestamp() -> String {
    crate::cri::rfc3339(crate::clock::wall())
        .replace(['-', ':', 'T'], "_")
        .trim_end_matches('Z')
        .to_owned()
}

/// Names that are no more, and payload directories other than the current one: the last one, and what an interrupted write left.
fn remove_rest(directory: &Path, current: &str, tops: &BTreeSet<&str>) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kind = entry.file_type()?;
        if name.starts_with("..") && kind.is_dir() && name != current {
            fs::remove_dir_all(entry.path())?;
        } else if !name.starts_with("..") && kind.is_symlink() && !tops.contains(name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn files_below(root: &Path, directory: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(root, &entry.path(), found)?;
        } else if let Ok(path) = entry.path().strip_prefix(root) {
            found.insert(path.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    struct Volume(PathBuf);

    impl Volume {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podyard-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("temporary directory");
            fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("chmod");
            Self(path)
        }

        fn write(&self, files: &[(&str, &str, u32)], mount_points: &[&str], group: Option<u32>) {
            let payload = files
                .iter()
                .map(|(path, content, mode)| {
                    let (content, mode) = (content.as_bytes().to_vec(), *mode);
                    ((*path).to_owned(), File { content, mode })
                })
                .collect();
            let mount_points = mount_points.iter().map(PathBuf::from).collect();
            let writer = Writer {
                payload: &payload,
                mount_points: &mount_points,
                group,
            };
            writer.write(&self.0).expect("written");
        }

        /// Every name in the volume's root, with what a link says.
        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .expect("list")
                .flatten()
                .map(|entry| entry.file_name().into_string().expect("UTF-8"))
                .filter(|name| !name.starts_with("..2"))
                .collect();
            names.sort();
            names
        }

        fn data(&self) -> PathBuf {
            fs::read_link(self.0.join(DATA)).expect("..data")
        }

        fn seen(&self, path: &str) -> (u32, u32) {
            let metadata = fs::metadata(self.0.join(path)).expect("it is there");
            (metadata.gid(), metadata.mode() & 0o7777)
        }
    }

    impl Drop for Volume {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_reached_through_data() {
        let volume = Volume::new("writer");
        volume.write(&[("a", "1", 0o644), ("d/e/b", "2", 0o400)], &[], None);
        assert_eq!(volume.names(), ["..data", "a", "d"]);
        let link = |name: &str| fs::read_link(volume.0.join(name)).expect("a link");
        assert_eq!(link("a"), Path::new("..data/a"));
        assert_eq!(
            fs::read_to_string(volume.0.join("d/e/b")).expect("file"),
            "2"
        );
        assert_eq!(volume.seen("a").1, 0o644);
        assert_eq!(volume.seen("d/e").1, 0o755);
        assert_eq!(volume.seen("d/e/b").1, 0o400);
        assert_eq!(volume.seen("..data/").1, 0o755);
    }

    #[test]
    fn only_a_change_of_content_makes_a_new_version() {
        let volume = Volume::new("writer-versions");
        volume.write(&[("a", "1", 0o644), ("b", "1", 0o644)], &[], None);
        let first = volume.data();
        volume.write(&[("a", "1", 0o600), ("b", "1", 0o644)], &[], None);
        assert_eq!(volume.data(), first);
        assert_eq!(volume.seen("a").1, 0o644, "modes alone are not noticed");
        volume.write(&[("a", "2", 0o600), ("c", "1", 0o644)], &[], None);
        assert_ne!(volume.data(), first);
        assert_eq!(volume.names(), ["..data", "a", "c"]);
        assert!(!volume.0.join(first).exists());
        assert_eq!(volume.seen("a").1, 0o600);
        volume.write(&[], &[], None);
        assert_eq!(volume.names(), ["..data"]);
    }

    #[test]
    fn places_for_other_mounts_are_there() {
        let volume = Volume::new("writer-places");
        volume.write(&[("conf.d/a", "1", 0o644)], &["x/y", "conf.d/b", "z"], None);
        assert_eq!(volume.names(), ["..data", "conf.d", "x", "z"]);
        for place in ["x/y", "conf.d/b", "z"] {
            assert!(volume.0.join(place).is_dir(), "{place}");
        }
        // They are no files of the payload, so nothing has changed.
        let first = volume.data();
        volume.write(&[("conf.d/a", "1", 0o644)], &["x/y", "conf.d/b", "z"], None);
        assert_eq!(volume.data(), first);
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn a_group_may_read_everything() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        let volume = Volume::new("writer-group");
        volume.write(
            &[("a", "1", 0o644), ("d/b", "2", 0o400)],
            &["m"],
            Some(2000),
        );
        for (path, mode) in [
            ("", 0o2777),
            ("..data/", 0o2755),
            ("a", 0o644),
            ("d", 0o2755),
            ("d/b", 0o440),
            ("m", 0o2755),
        ] {
            assert_eq!(volume.seen(path), (2000, mode), "{path:?}");
        }
        let link = fs::symlink_metadata(volume.0.join("a")).expect("link");
        assert_eq!(link.gid(), 2000);
    }

    #[test]
    fn paths_stay_inside() {
        let long = "n".repeat(256);
        for (path, expected) in [
            ("a", true),
            ("a/b", true),
            ("a..b/..c", true),
            ("../a", false),
            ("/a", false),
            ("a/../b", false),
            ("", false),
            ("..a", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_inside(path), expected, "{path}");
        }
    }
}
