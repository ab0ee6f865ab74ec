//! The corpus of the fuzz targets, through the functions that the targets call.

use std::fs;
use std::path::{Path, PathBuf};

#[expect(
    unreachable_pub,
    reason = "a library of its own in the fuzz package, which needs a nightly compiler"
)]
#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    assert!(files.len() >= 10, "only {} texts for {target}", files.len());
    files
}

#[test]
fn manifests() {
    for path in corpus("manifest") {
        targets::manifest(
            &fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        );
    }
}

#[test]
fn quantities() {
    for path in corpus("quantity") {
        if let Ok(text) = fs::read_to_string(&path) {
            targets::quantity(&text);
        }
    }
}
