//! The machine's devices, which a privileged container has in its `/dev` (`pod-api.md` section 6.4).

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// Directories of `/dev` that are no devices: file systems of their own, which every container has for itself, and what tools keep there.
const NOT_DEVICES: [&str; 8] = [
    "pts",
    "shm",
    "fd",
    "mqueue",
    ".lxc",
    ".lxd-mounts",
    ".udev",
    "hugepages",
];
/// What a container has in any case, or gets with its terminal.
const OWN: [&str; 8] = [
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console",
];

/// Every device node below `root`, sorted. Links are left out, as by container runtimes.
pub(super) fn below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let is_top = directory == root;
        // One that cannot be read is not the container's to see.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is = |names: &[&str]| names.iter().any(|known| name == *known);
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && !(is_top && is(&NOT_DEVICES)) {
                directories.push(entry.path());
            } else if (kind.is_char_device() || kind.is_block_device()) && !(is_top && is(&OWN)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_and_nothing_else() {
        let found = below(Path::new("/dev"));
        assert!(found.iter().all(|path| {
            let kind = fs::symlink_metadata(path).expect("it is there").file_type();
            kind.is_char_device() || kind.is_block_device()
        }));
        for own in OWN.iter().chain(&NOT_DEVICES) {
            let path = Path::new("/dev").join(own);
            assert!(!found.iter().any(|found| found.starts_with(&path)), "{own}");
        }
        let dir = std::env::temp_dir().join(format!("podyard-devices-{}", std::process::id()));
        fs::create_dir_all(dir.join("bus")).expect("temporary directory");
        fs::write(dir.join("bus/file"), "").expect("file");
        assert_eq!(below(&dir), Vec::<PathBuf>::new());
        fs::remove_dir_all(&dir).expect("own directory");
    }
}
