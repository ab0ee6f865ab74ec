//! The images of the tests: archives that `make images` builds, imported once and shared by all instances.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{binary, repository};

const NAMES: [&str; 4] = ["busybox", "nginx", "openssl", "postgres"];

/// The OCI archive of one image.
#[must_use]
pub(crate) fn archive(name: &str) -> PathBuf {
    std::env::var_os("PODYARD_TEST_IMAGES")
        .map_or_else(|| repository().join("target/images"), PathBuf::from)
        .join(format!("{name}.tar"))
}

/// Unpacks an image of the tests into a directory, as a runtime that is not podyard needs it. Its layers take nothing away from each other.
///
/// # Panics
///
/// When the archive is not what `make images` builds.
pub fn unpack(name: &str, directory: &Path) {
    let layout = directory.with_extension("layout");
    for directory in [directory, &layout] {
        std::fs::create_dir_all(directory).expect("directory");
    }
    let tar = |archive: &Path, to: &Path| {
        let status = Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(to)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "tar");
    };
    tar(&archive(name), &layout);
    let blob = |digest: &Value| {
        let digest = digest.as_str().expect("a digest").replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let read = |path: PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).expect("a blob")).expect("JSON")
    };
    let index = read(layout.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]["digest"]));
    for layer in manifest["layers"].as_array().expect("layers") {
        tar(&blob(&layer["digest"]), directory);
    }
}

/// A store with all of them, filled once and used by every test process.
pub(crate) fn shared_store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let root = repository().join("target/e2e-images");
        let marker = root.join("complete");
        // Test processes run beside each other: one fills the store, the others wait for it.
        std::fs::create_dir_all(&root).expect("target is writable");
        let lock = std::fs::File::create(root.join("lock")).expect("lock file");
        lock.lock().expect("lock");
        let changed = NAMES.map(|name| {
            let path = archive(name);
            std::fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .unwrap_or_else(|error| {
                    panic!("{}: {error}: run `make images` first", path.display())
                })
        });
        let is_fresh = std::fs::metadata(&marker)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|filled| changed.iter().all(|archive| *archive <= filled));
        if !is_fresh {
            let _ = std::fs::remove_dir_all(root.join("lib"));
            for name in NAMES {
                let output = Command::new(binary())
                    .arg("--root")
                    .arg(&root)
                    .args(["image", "import"])
                    .arg(archive(name))
                    .output()
                    .expect("podyard");
                assert!(
                    output.status.success(),
                    "import of {name}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            std::fs::write(&marker, "").expect("marker");
        }
        root.join("lib/images")
    })
}
