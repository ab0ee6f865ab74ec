//! Named objects that outlive the command that brought them: ConfigMaps, Secrets and claims that `podyard apply` keeps below the state
//! directory, one JSON file each, `objects/<kind>/<namespace>/<name>.json`. The file says its own version, as every Kubernetes object does.
//!
//! A pod looks here for what it names ([`crate::drivers::World::look_at_objects`]); nothing here knows who uses what.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use podyard_api::k8s_openapi::{Metadata, Resource};
use podyard_api::meta::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic;
use crate::roots::Roots;

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
        let mut paths = Vec::new();
        for namespace in entries(&self.directory.join(T::URL_PATH_SEGMENT))? {
            paths.extend(entries(&namespace)?);
        }
        // Not those that are being written.
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        paths.sort();
        Ok(paths
            .iter()
            .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
            .collect())
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

    /// `None` when one of the two could lead to another place.
    fn path<T: Resource>(&self, namespace: &str, name: &str) -> Option<PathBuf> {
        let kind = self.directory.join(T::URL_PATH_SEGMENT);
        (is_plain(namespace) && is_plain(name))
            .then(|| kind.join(namespace).join(format!("{name}.json")))
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

        for name in ["", ".", "..", "a/b", "../settings", ".hidden"] {
            map.metadata.name = Some(name.to_owned());
            assert!(kept.put(&map).is_err(), "{name:?}");
        }
        std::fs::remove_dir_all(&root).expect("own directory");
    }
}
