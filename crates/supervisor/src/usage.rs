//! The usage role: `podyard internal usage DIR…`, a short-lived process that says how much disk each directory uses, a number a line.
//!
//! A tree may be big, and the process that keeps a pod's promises never waits for a disk.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::child::ChildProcess;

/// A block of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

/// Runs the role.
pub fn run(directories: impl Iterator<Item = OsString>) -> u8 {
    let mut text = String::new();
    for directory in directories {
        text.push_str(&format!("{}\n", measure(Path::new(&directory))));
    }
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

/// Asks such a process; the answers are in the order of the directories.
pub(crate) async fn ask(directories: &[&Path]) -> std::io::Result<Vec<u64>> {
    let mut arguments: Vec<OsString> = vec!["internal".into(), "usage".into()];
    arguments.extend(directories.iter().map(|path| path.as_os_str().to_owned()));
    let answer = ChildProcess::spawn(&arguments, Stdio::piped())?
        .output()
        .await?;
    let numbers: Vec<u64> = String::from_utf8_lossy(&answer)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    if numbers.len() == directories.len() {
        Ok(numbers)
    } else {
        Err(std::io::Error::other(
            "the measuring process gave no answer",
        ))
    }
}

/// Bytes of disk below `root`, without other file systems mounted there; a file with several names counts once. What vanishes meanwhile
/// counts nothing.
fn measure(root: &Path) -> u64 {
    let Ok(metadata) = root.symlink_metadata() else {
        return 0;
    };
    let device = metadata.dev();
    let mut total = 0;
    let mut seen = HashSet::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.dev() != device {
                continue;
            }
            if metadata.is_dir() {
                left.push(entry.path());
            } else if metadata.nlink() > 1 && !seen.insert(metadata.ino()) {
                continue;
            }
            total += metadata.blocks() * BLOCK;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_are_not_followed() {
        let root = std::env::temp_dir().join(format!("podyard-usage-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("sub")).expect("a directory");
        let empty = measure(&root);
        std::fs::write(root.join("sub/file"), vec![7; 1 << 20]).expect("a file");
        std::fs::hard_link(root.join("sub/file"), root.join("again")).expect("a link");
        std::os::unix::fs::symlink("/usr", root.join("away")).expect("a link");
        let used = measure(&root) - empty;
        assert!((1 << 20..(1 << 20) + 65_536).contains(&used), "{used}");
        assert_eq!(measure(&root.join("missing")), 0);
        std::fs::remove_dir_all(&root).expect("own directory");
    }
}
