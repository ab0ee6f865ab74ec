//! Temporary directories, layers and image archives for the tests.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use podyard_image::{Digest, Image, ImportError, ImportOptions, Reference, Store};
use serde_json::{Value, json};

/// A directory that goes away with the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("podyard-image-{}-{serial}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.0.join("store")).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The archive of a layer, written with another implementation than the one that reads it.
pub(crate) struct Layer(pub(crate) tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(tar::EntryType::Regular, path, "", 0o644, content.as_ref())
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(tar::EntryType::Directory, path, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, path, target, 0o777, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, path, target, 0o644, b"")
    }

    pub(crate) fn entry(
        self,
        kind: tar::EntryType,
        path: &str,
        link: &str,
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        self.raw(header, path, link, content)
    }

    /// Paths go in byte by byte: the library would refuse the ones that matter here.
    pub(crate) fn raw(
        mut self,
        mut header: tar::Header,
        path: &str,
        link: &str,
        content: &[u8],
    ) -> Self {
        for (kind, text) in [(b'L', path), (b'K', link)] {
            if text.len() > 100 {
                let mut long = tar::Header::new_gnu();
                long.set_entry_type(tar::EntryType::new(kind));
                long.set_size(text.len() as u64 + 1);
                long.set_cksum();
                self.0
                    .append(&long, [text.as_bytes(), b"\0"].concat().as_slice())
                    .unwrap();
            }
        }
        let old = header.as_old_mut();
        for (field, text) in [(&mut old.name, path), (&mut old.linkname, link)] {
            let length = text.len().min(100);
            field[..length].copy_from_slice(&text.as_bytes()[..length]);
        }
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// An image in memory: a configuration and layers, as they are stored and as the diff ids see them.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) config: Value,
    /// Stored bytes and diff id.
    pub(crate) layers: Vec<(Vec<u8>, Digest)>,
}

impl TestImage {
    pub(crate) fn new() -> Self {
        let platform = podyard_image::Platform::host();
        let config =
            json!({ "os": platform.os, "architecture": platform.architecture, "config": {} });
        Self {
            config,
            layers: Vec::new(),
        }
    }

    pub(crate) fn layer(self, layer: Layer) -> Self {
        let bytes = layer.bytes();
        self.stored_layer(gzip(&bytes), &bytes)
    }

    /// `stored` is what is in the registry, `uncompressed` what the configuration is about.
    pub(crate) fn stored_layer(mut self, stored: Vec<u8>, uncompressed: &[u8]) -> Self {
        self.layers.push((stored, Digest::of(uncompressed)));
        self
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config["config"][key] = value;
        self
    }

    pub(crate) fn config_bytes(&self) -> Vec<u8> {
        let mut config = self.config.clone();
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .map(|(_, diff_id)| diff_id.to_string())
            .collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        config.to_string().into_bytes()
    }

    pub(crate) fn manifest_bytes(&self) -> Vec<u8> {
        let config = self.config_bytes();
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(stored, _)| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", stored))
            .collect();
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers,
        })
        .to_string()
        .into_bytes()
    }

    pub(crate) fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes())
    }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len() })
}

/// Files of an archive or a directory.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// An OCI image layout with several images, each with its entry's annotations.
pub(crate) fn oci_layout(images: &[(&TestImage, Value)]) -> Files {
    let mut files = vec![(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    )];
    let mut entries = Vec::new();
    for (image, annotations) in images {
        let manifest = image.manifest_bytes();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = annotations.clone();
        entries.push(entry);
        let blobs = image
            .layers
            .iter()
            .map(|(stored, _)| stored.clone())
            .chain([image.config_bytes(), manifest]);
        files.extend(blobs.map(|blob| (format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob)));
    }
    files.push((
        "index.json".to_owned(),
        json!({ "schemaVersion": 2, "manifests": entries })
            .to_string()
            .into_bytes(),
    ));
    files
}

pub(crate) fn named(name: &str) -> Value {
    json!({ "io.containerd.image.name": name })
}

/// What `docker save` of old writes; the layers' files are uncompressed or not, as they come.
pub(crate) fn docker_archive(images: &[(&TestImage, &[&str])]) -> Files {
    let mut files = Files::new();
    let mut entries = Vec::new();
    for (image, names) in images {
        let config = image.config_bytes();
        let config_name = format!("{}.json", Digest::of(&config).hex());
        let mut layers = Vec::new();
        for (stored, diff_id) in &image.layers {
            let name = format!("{}/layer.tar", diff_id.short());
            files.push((name.clone(), stored.clone()));
            layers.push(name);
        }
        files.push((config_name.clone(), config));
        entries.push(json!({ "Config": config_name, "RepoTags": names, "Layers": layers }));
    }
    files.push((
        "manifest.json".to_owned(),
        Value::from(entries).to_string().into_bytes(),
    ));
    files
}

pub(crate) fn archive(files: &Files) -> Vec<u8> {
    files
        .iter()
        .fold(Layer::new(), |archive, (name, content)| {
            archive.file(name, content)
        })
        .bytes()
}

/// Imports an image of one layer, whatever it contains.
pub(crate) fn import_layer(dir: &TempDir, layer: Layer) -> Result<Image, ImportError> {
    import_image(dir, &TestImage::new().layer(layer))
}

pub(crate) fn import_image(dir: &TempDir, image: &TestImage) -> Result<Image, ImportError> {
    import_bytes(dir, &archive(&oci_layout(&[(image, named("test:1"))])))
        .map(|mut images| images.remove(0))
}

pub(crate) fn import_bytes(dir: &TempDir, bytes: &[u8]) -> Result<Vec<Image>, ImportError> {
    import_with(dir, bytes, &ImportOptions::default())
}

pub(crate) fn import_with(
    dir: &TempDir,
    bytes: &[u8],
    options: &ImportOptions,
) -> Result<Vec<Image>, ImportError> {
    let path = dir.path().join("archive.tar");
    fs::write(&path, bytes).unwrap();
    dir.store().import(&path, options, &mut |_| {})
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// All files below a directory of the store, for "nothing remains".
pub(crate) fn files_below(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        }
        found.push(path.display().to_string());
    }
    found.sort();
    found
}

/// Nothing half-made remains: no transaction, no layer, no image, no name.
pub(crate) fn assert_empty(store: &Store) {
    for directory in ["tmp", "layers", "images", "names"] {
        assert_eq!(
            files_below(&store.root().join(directory)),
            Vec::<String>::new(),
            "{directory}"
        );
    }
}
