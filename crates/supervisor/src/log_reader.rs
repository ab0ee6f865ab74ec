//! Reading a log file that grows and is rotated: to the end of the old file first, then from the beginning of the new one.
//!
//! The file is opened once and kept, so that it can be read to its end even when it, and its directory with it, is being removed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A place in the log of one container instance.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: Option<File>,
}

impl LogReader {
    /// At the beginning of `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Whether there is a file to read.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Appends at most `limit` bytes of what comes next; 0 when there is nothing more at present.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or read; one that does not exist is empty.
    pub fn read(&mut self, limit: u64, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let Some(file) = &mut self.file else {
                self.file = match File::open(&self.path) {
                    Ok(file) => Some(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                    Err(error) => return Err(error),
                };
                continue;
            };
            let read = file.take(limit).read_to_end(into)?;
            if read > 0 {
                return Ok(read);
            }
            if !is_replaced(file, &self.path)? {
                return Ok(0);
            }
            // Nothing is written to the old one any more, but something may have been since we looked.
            let read = file.take(limit).read_to_end(into)?;
            if read > 0 {
                return Ok(read);
            }
            self.file = None;
        }
    }
}

fn is_replaced(file: &File, path: &std::path::Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.metadata() {
        Ok(there) => Ok((own.dev(), own.ino()) != (there.dev(), there.ino())),
        // Removed, or between two names: what is open is the newest there is.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn an_old_file_is_read_to_its_end_before_the_new_one() {
        let directory = std::env::temp_dir().join(format!("podyard-reader-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("0.log");
        let mut reader = LogReader::new(path.clone());
        let mut seen = Vec::new();
        assert_eq!(reader.read(100, &mut seen).expect("nothing yet"), 0);
        let mut old = File::create(&path).expect("a file");
        old.write_all(b"one ").expect("written");
        assert_eq!(reader.read(3, &mut seen).expect("readable"), 3);
        std::fs::rename(&path, directory.join("0.log.old")).expect("renamed");
        old.write_all(b"two ").expect("written");
        std::fs::write(&path, "three").expect("written");
        while reader.read(100, &mut seen).expect("readable") > 0 {}
        assert_eq!(seen, b"one two three");
        std::fs::remove_dir_all(&directory).expect("own directory");
    }
}
