//! Reads `/etc/passwd` and `/etc/group` out of an image's layers, without mounting it and without leaving the layer: the image is hostile.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use podyard_linux::open_confined;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// An account file over this size is cut; real ones have a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Texts of both files, empty when the image has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountFiles {
    pub(super) passwd: String,
    pub(super) group: String,
}

pub(super) fn read(layers: &[PathBuf]) -> AccountFiles {
    AccountFiles {
        passwd: topmost(layers, "etc/passwd"),
        group: topmost(layers, "etc/group"),
    }
}

/// The file of the uppermost layer that has one; a whiteout there means that there is none.
fn topmost(layers: &[PathBuf], path: &str) -> String {
    for layer in layers.iter().rev() {
        if let Some(text) = in_layer(layer, path) {
            return text;
        }
    }
    String::new()
}

fn in_layer(layer: &Path, path: &str) -> Option<String> {
    let root = rustix::fs::openat(
        CWD,
        layer,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    // Not blocking: a FIFO under that name must not hold the supervisor up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match open_confined(&root, path, flags, ResolveFlags::IN_ROOT) {
        Ok(file) => File::from(file),
        // A whiteout is a device that cannot be opened.
        Err(rustix::io::Errno::NXIO) => return Some(String::new()),
        Err(_) => return None,
    };
    let kind = file.metadata().ok()?.file_type();
    if kind.is_char_device() || !kind.is_file() {
        return Some(String::new());
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uppermost_file_counts_and_links_stay_inside() {
        let dir = std::env::temp_dir().join(format!("podyard-accounts-{}", std::process::id()));
        let layers = [dir.join("0"), dir.join("1")];
        for layer in &layers {
            std::fs::create_dir_all(layer.join("etc")).expect("temporary directory");
        }
        std::fs::write(layers[0].join("etc/passwd"), "lower").expect("file");
        std::fs::write(layers[1].join("etc/passwd"), "upper").expect("file");
        std::fs::write(dir.join("outside"), "secret").expect("file");
        std::os::unix::fs::symlink("../../outside", layers[1].join("etc/group")).expect("link");
        let files = read(&layers);
        assert_eq!((files.passwd.as_str(), files.group.as_str()), ("upper", ""));
        std::fs::remove_dir_all(&dir).expect("own directory");
    }
}
