//! Expectations that are files: compared as a rule, written when `UPDATE=1` is set, and then to be read before they are
//! committed.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// A file or directory below `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `actual` must be what the file at `path` says.
pub(crate) fn compare(path: &Path, actual: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return;
    }
    let (line, (want, have)) = expected
        .lines()
        .chain(std::iter::repeat("(end)"))
        .zip(actual.lines().chain(std::iter::repeat("(end)")))
        .enumerate()
        .find(|(_, (want, have))| want != have)
        .unwrap_or((0, ("", "")));
    panic!(
        "{} differs from line {} on (UPDATE=1 rewrites it):\n  expected: {want}\n  actual:   {have}",
        path.display(),
        line + 1
    );
}
