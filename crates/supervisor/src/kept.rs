//! Named objects that outlive the command that brought them: ConfigMaps, Secrets and claims that `podyard apply` keeps below the state
//! directory, one JSON file each, `objects/<kind>/<namespace>/<name>.json`. The file says its own version, as every Kubernetes object does.
//!
//! A pod looks here for what it names ([`crate::drivers::World::look_at_objects`]); nothing here knows who uses what.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use podyard_api::k8s_openapi::{Metadata, Resource};
use podyard_api::meta::{ObjectMeta, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::roots::Roots;
use crate::{atomic, clock, lock, pods};

/// The objects that one instance keeps.
#[derive(Clone, Debug)]
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Those of this instance; there need not be any.
    #[must_use]
    pub fn at(roots: &Roots) -> Self {
        Self {
            directory: roots.objects(),
        }
    }

    /// The object of this name, and when it was written. One that cannot be read is as good as none: whoever wants it says that it is missing.
    #[must_use]
    pub fn get<T: Resource + DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<(T, SystemTime)> {
        let path = self.path::<T>(namespace, name)?;
        let written = std::fs::metadata(&path).ok()?.modified().ok()?;
        let object = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        Some((object, written))
    }

    /// Every object of this kind, by namespace and name.
    ///
    /// # Errors
    ///
    /// When the directory exists and cannot be read.
    pub fn list<T: Resource + DeserializeOwned>(&self) -> io::Result<Vec<T>> {
        let names = self.names::<T>()?.into_iter();
        Ok(names
            .filter_map(|(namespace, name)| Some(self.get(&namespace, &name)?.0))
            .collect())
    }

    /// Namespace and name of every object of this kind, in this order.
    ///
    /// # Errors
    ///
    /// When the directory exists and cannot be read.
    pub fn names<T: Resource>(&self) -> io::Result<Vec<(String, String)>> {
        let mut names = Vec::new();
        for namespace in entries(&self.directory.join(T::URL_PATH_SEGMENT))? {
            for path in entries(&namespace)? {
                // Not those that are being written.
                if path
                    .extension()
                    .is_some_and(|extension| extension == "json")
                    && let Some(name) = path.file_stem().and_then(|name| name.to_str())
                    && let Some(namespace) = namespace.file_name().and_then(|name| name.to_str())
                {
                    names.push((namespace.to_owned(), name.to_owned()));
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Keeps the object in the place of an earlier one of its name.
    ///
    /// # Errors
    ///
    /// When its name or namespace is no name, or the file cannot be written.
    pub fn put<T: Metadata<Ty = ObjectMeta> + Serialize>(&self, object: &T) -> io::Result<()> {
        let metadata = object.metadata();
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.as_deref().unwrap_or_default();
        let path = self
            .path::<T>(namespace, name)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a name"))?;
        if let Some(parent) = path.parent() {
            // Secrets are among them.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        atomic::write_durable(&path, &serde_json::to_vec(object)?)
    }

    /// Keeps it no longer. Whether there was one.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be removed.
    pub fn remove<T: Resource>(&self, namespace: &str, name: &str) -> io::Result<bool> {
        let Some(path) = self.path::<T>(namespace, name) else {
            return Ok(false);
        };
        match std::fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whoever wants to change several objects, or one by what it was before, is alone with them until this is dropped. Who only reads
    /// need not wait.
    ///
    /// # Errors
    ///
    /// When the lock cannot be made or taken.
    pub fn exclusively(&self) -> io::Result<Exclusive> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        Ok(Exclusive {
            kept: self.clone(),
            _lock: lock::wait_exclusive(&self.directory.join("lock"))?,
        })
    }

    /// `None` when one of the two could lead to another place.
    fn path<T: Resource>(&self, namespace: &str, name: &str) -> Option<PathBuf> {
        let kind = self.directory.join(T::URL_PATH_SEGMENT);
        (is_plain(namespace) && is_plain(name))
            .then(|| kind.join(namespace).join(format!("{name}.json")))
    }
}

/// The kept objects of one instance, for one who changes them. See [`Kept::exclusively`].
#[derive(Debug)]
pub struct Exclusive {
    kept: Kept,
    _lock: File,
}

impl Exclusive {
    /// Keeps the object in the place of an earlier one of its name, with what an API server writes into it: a UID and the time of its
    /// creation unless it has them already, and a new version. Returns it as it was kept.
    ///
    /// # Errors
    ///
    /// As [`Kept::put`].
    pub fn store<T>(&self, mut object: T) -> io::Result<T>
    where
        T: Metadata<Ty = ObjectMeta> + Serialize,
    {
        let version = self.next_version()?;
        let metadata = object.metadata_mut();
        metadata.uid.get_or_insert_with(pods::new_uid);
        metadata
            .creation_timestamp
            .get_or_insert_with(|| Time(podyard_lifecycle::kubernetes_time(clock::wall()).0));
        metadata.resource_version = Some(version.to_string());
        self.kept.put(&object)?;
        Ok(object)
    }

    /// As [`Kept::remove`].
    ///
    /// # Errors
    ///
    /// As [`Kept::remove`].
    pub fn remove<T: Resource>(&self, namespace: &str, name: &str) -> io::Result<bool> {
        self.kept.remove::<T>(namespace, name)
    }

    /// Counts all changes, of whatever object. Written before the object is: a crash in between skips a number and never gives one twice.
    fn next_version(&self) -> io::Result<u64> {
        let path = self.kept.directory.join("version");
        let last = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let next: u64 = last + 1;
        atomic::write_durable(&path, format!("{next}\n").as_bytes())?;
        Ok(next)
    }
}

/// Whether a name of an object can be the name of a file. Those that Kubernetes accepts can.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn entries(directory: &std::path::Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{ConfigMap, Secret};

    use super::*;

    #[test]
    fn what_is_put_is_there_until_it_is_removed() {
        let root = std::env::temp_dir().join(format!("podyard-kept-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("temporary directory");
        let kept = Kept::at(&Roots::resolve(Some(&root)).expect("absolute"));
        let mut map = ConfigMap::default();
        map.metadata.name = Some("settings".to_owned());
        map.data = Some([("a".to_owned(), "1".to_owned())].into());
        kept.put(&map).expect("kept");
        map.data = Some([("a".to_owned(), "2".to_owned())].into());
        kept.put(&map).expect("kept in its place");

        let (found, _) = kept.get::<ConfigMap>("default", "settings").expect("there");
        assert_eq!(found, map);
        assert_eq!(kept.list::<ConfigMap>().expect("list"), [map.clone()]);
        assert!(kept.get::<ConfigMap>("other", "settings").is_none());
        assert!(kept.get::<Secret>("default", "settings").is_none());
        assert!(
            kept.remove::<ConfigMap>("default", "settings")
                .expect("removed")
        );
        assert!(
            !kept
                .remove::<ConfigMap>("default", "settings")
                .expect("gone")
        );

        let changing = kept.exclusively().expect("locked");
        let first = changing.store(map.clone()).expect("stored").metadata;
        let second = changing.store(map.clone()).expect("stored").metadata;
        assert_eq!(first.resource_version.as_deref(), Some("1"));
        assert_eq!(second.resource_version.as_deref(), Some("2"));
        assert!(first.uid.is_some() && first.creation_timestamp.is_some());
        assert_ne!(
            first.uid, second.uid,
            "another object, since the first was not handed in again"
        );
        assert_eq!(kept.list::<ConfigMap>().expect("list").len(), 1);
        assert!(
            changing
                .remove::<ConfigMap>("default", "settings")
                .expect("removed")
        );

        for name in ["", ".", "..", "a/b", "../settings", ".hidden"] {
            map.metadata.name = Some(name.to_owned());
            assert!(kept.put(&map).is_err(), "{name:?}");
        }
        std::fs::remove_dir_all(&root).expect("own directory");
    }
}
