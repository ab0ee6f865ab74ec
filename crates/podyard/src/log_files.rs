//! Following container logs in their files, across the death of a supervisor.
//!
//! A log line is in its file once and stays there, whoever wrote it.

use std::io;
use std::path::PathBuf;

use podyard_supervisor::LogReader;
use podyard_supervisor::logs::{self, LogOptions};

use crate::output::prefix::Prefixer;
use crate::watcher::Changes;

/// Read from one file before the others get their turn.
const CHUNK: u64 = 1 << 20;

/// The log files of some instances of a pod's containers.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: PathBuf,
    changes: Changes,
    files: Vec<LogFile>,
}

#[derive(Debug)]
struct LogFile {
    container: String,
    instance: u32,
    reader: LogReader,
    /// A record that is not whole yet.
    rest: Vec<u8>,
    options: LogOptions,
    prefixer: Option<Prefixer>,
}

impl LogFiles {
    /// None yet; `directory` is that of the pod's logs. Needs a running event loop.
    pub(crate) fn new(directory: PathBuf) -> io::Result<Self> {
        Ok(Self {
            directory,
            changes: Changes::new()?,
            files: Vec::new(),
        })
    }

    /// Adds an instance, unless it is there already. Without a prefix its lines are printed as they come.
    pub(crate) fn open(
        &mut self,
        container: &str,
        instance: u32,
        prefix: String,
        options: LogOptions,
    ) {
        if self
            .files
            .iter()
            .any(|file| file.container == container && file.instance == instance)
        {
            return;
        }
        // Without it, changes are noticed with the next state of the pod; a container that never ran has none.
        let _ = self.changes.add(&self.directory.join(container));
        self.files.push(LogFile {
            container: container.to_owned(),
            instance,
            reader: LogReader::new(logs::file(&self.directory, container, instance)),
            rest: Vec::new(),
            options,
            prefixer: (!prefix.is_empty()).then(|| Prefixer::new(prefix)),
        });
    }

    /// Waits until there may be something to read.
    pub(crate) async fn changed(&mut self) {
        self.changes.changed().await;
    }

    /// Appends everything new to `out`, container by container.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.files.iter_mut().try_for_each(|file| file.read(out))
    }

    /// Appends what is left of the last lines of instances that are over, for which `is_over` is asked.
    pub(crate) fn finish_ended(&mut self, is_over: impl Fn(&str, u32) -> bool, out: &mut Vec<u8>) {
        for file in &mut self.files {
            if let Some(prefixer) = &mut file.prefixer
                && is_over(&file.container, file.instance)
            {
                prefixer.finish(out);
            }
        }
    }

    /// Appends what is left of lines that never ended.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        for prefixer in self
            .files
            .iter_mut()
            .filter_map(|file| file.prefixer.as_mut())
        {
            prefixer.finish(out);
        }
    }
}

impl LogFile {
    fn read(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let read = self.reader.read(CHUNK, &mut self.rest)?;
            if !self.reader.is_open() {
                return Ok(());
            }
            // The last lines can only be told once all lines there are have been seen.
            if self.options.tail.is_some() && read > 0 {
                continue;
            }
            let whole = self
                .rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            let mut text = Vec::new();
            logs::render(&self.rest[..whole], &self.options, &mut text);
            self.rest.drain(..whole);
            self.options.tail = None;
            match &mut self.prefixer {
                Some(prefixer) => prefixer.push(&text, out),
                None => out.append(&mut text),
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write as _;

    #[test]
    fn lines_are_read_once_and_to_their_end() {
        let directory =
            std::env::temp_dir().join(format!("podyard-log-files-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("app")).expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let mut files = LogFiles::new(directory.clone()).expect("inotify");
        files.open(
            "app",
            0,
            "[app] ".to_owned(),
            LogOptions {
                tail: Some(1),
                ..LogOptions::default()
            },
        );
        files.open("app", 0, String::new(), LogOptions::default());

        let mut told = Vec::new();
        files.read(&mut told).expect("no file is no error");
        let mut log = File::create(directory.join("app/0.log")).expect("a file");
        let record =
            |tag: &str, text: &str| format!("2026-01-01T00:00:00.000000001Z stdout {tag} {text}\n");
        write!(
            log,
            "{}{}2026-01-01T00:",
            record("F", "one"),
            record("F", "two")
        )
        .expect("written");
        runtime.block_on(files.changed());
        files.read(&mut told).expect("readable");
        write!(log, "00:00.000000001Z stdout P thr\n{}", record("F", "ee")).expect("written");
        std::fs::remove_dir_all(&directory).expect("removed");
        files.read(&mut told).expect("still readable");
        files.finish(&mut told);
        assert_eq!(String::from_utf8_lossy(&told), "[app] two\n[app] three\n");
    }
}
