//! Files that are always whole: written beside their place, then renamed into it. For their owner only, since Secrets are among them.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces `path`. A crash of the process leaves the old or the new content; a crash of the machine may lose the new one.
///
/// # Errors
///
/// As the underlying file operations.
pub(crate) fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    put(path, content, false)
}

/// The same, and on the disk when it returns.
///
/// # Errors
///
/// As the underlying file operations.
pub(crate) fn write_durable(path: &Path, content: &[u8]) -> std::io::Result<()> {
    put(path, content, true)?;
    sync_parent(path)
}

/// Brings to the disk what [`write`] has written.
///
/// # Errors
///
/// As the underlying file operations.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()
}

fn put(path: &Path, content: &[u8], durable: bool) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = (|| {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(temporary)?;
        file.write_all(content)?;
        if durable {
            file.sync_all()?;
        }
        std::fs::rename(temporary, path)
    })();
    if written.is_err() {
        // A full disk must not also keep the half-written file.
        let _ = std::fs::remove_file(temporary);
    }
    written
}
