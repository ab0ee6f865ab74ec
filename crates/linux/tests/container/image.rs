//! The root filesystem of the tests: busybox, out of the archive that `scripts/build-image` makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

static LAYER: OnceLock<PathBuf> = OnceLock::new();

/// A directory with the unpacked image, shared by all tests of this process as a read-only layer.
pub(crate) fn layer() -> &'static Path {
    LAYER.get_or_init(unpack)
}

/// Removes what [`layer`] made, if it did.
pub(crate) fn clean_up() {
    if let Some(layer) = LAYER.get() {
        let _ = std::fs::remove_dir_all(layer);
    }
}

fn archive() -> PathBuf {
    let images = std::env::var_os("PODYARD_TEST_IMAGES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images"),
        PathBuf::from,
    );
    let archive = images.join("busybox.tar");
    assert!(
        archive.exists(),
        "{} is missing: run `make images` first, or use `make test`",
        archive.display()
    );
    archive
}

fn unpack() -> PathBuf {
    let image = tempfile::tempdir().unwrap();
    tar(&archive(), image.path());
    let manifest = &json(&image.path().join("index.json"))["manifests"][0]["digest"];
    let layers = json(&blob(image.path(), manifest))["layers"].take();
    let root = tempfile::Builder::new()
        .prefix("podyard-test-image-")
        .tempdir()
        .unwrap();
    for layer in layers.as_array().unwrap() {
        tar(&blob(image.path(), &layer["digest"]), root.path());
    }
    root.keep()
}

fn blob(image: &Path, digest: &Value) -> PathBuf {
    let (kind, hash) = digest.as_str().unwrap().split_once(':').unwrap();
    image.join("blobs").join(kind).join(hash)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn tar(archive: &Path, directory: &Path) {
    let status = Command::new("tar")
        .args(["--extract", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(directory)
        .status()
        .expect("tar is there");
    assert!(status.success(), "{} unpacks", archive.display());
}
