//! Moves what containers print from their pipes into log files in the CRI format (`pod-lifecycle.md` section 12).
//!
//! No line may be lost when this process is killed at any moment, so bytes leave a pipe only after they stand in the file: `tee` them to
//! a private pipe, write the records, then consume them (tee(2)). A mark beside the pipes says which write
//! is under way; the next supervisor uses it to drop a chunk that was written but not consumed.
//!
//! ```text
//! container ─▶ FIFO ──tee──▶ private pipe ─▶ records ─▶ <n>.log
//!                └─────────consume, afterwards──────────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::sync::watch;

use crate::clock;
use crate::cri;
use crate::limits;
use crate::ready::{self, Ready};
use crate::rotation;

/// Which of a container's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    fn pipe_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The output of one container instance on its way into its log file.
pub(crate) struct LogPump {
    file: RefCell<LogFile>,
    pipes: [Ready; 2],
    /// No process is left that could print more: a rest without an end is a line, too.
    ended: Cell<bool>,
    /// Everything up to that pipe's end has been written.
    drained: [Cell<bool>; 2],
    task: Cell<Option<tokio::task::JoinHandle<()>>>,
    grew: watch::Sender<u64>,
    null: File,
}

/// Makes the two pipes of a new instance and returns the ends for the container: opened for reading and writing, so that it never gets
/// `SIGPIPE`, and owned by the container's user, so that `/dev/stdout` can be opened again by a process that is not root.
///
/// # Errors
///
/// As the underlying file operations.
pub(crate) fn make_pipes(
    dir: &Path,
    (uid, gid): (u32, u32),
    open: impl Fn(&Path, OFlags) -> std::io::Result<OwnedFd>,
) -> std::io::Result<[OwnedFd; 2]> {
    let make = |stream: Stream| {
        let path = dir.join(stream.pipe_name());
        match rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        ) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(std::io::Error::from(errno)),
        }
        let end = open(&path, OFlags::RDWR | OFlags::CLOEXEC)?;
        if (uid, gid) != (0, 0) {
            rustix::fs::fchown(
                &end,
                Some(rustix::fs::Uid::from_raw(uid)),
                Some(rustix::fs::Gid::from_raw(gid)),
            )?;
        }
        // A smaller pipe only means more wake-ups, and longer lines in pieces: a user over its pipe quota still gets its logs.
        let _ = rustix::pipe::fcntl_setpipe_size(&end, limits::LOG_PIPE_BYTES);
        Ok(end)
    };
    Ok([make(Stream::Stdout)?, make(Stream::Stderr)?])
}

/// The same ends once more, of pipes that exist.
///
/// # Errors
///
/// As the underlying file operations.
pub(crate) fn open_pipes(dir: &Path) -> std::io::Result<[OwnedFd; 2]> {
    let open = |stream: Stream| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(dir.join(stream.pipe_name()), flags, Mode::empty())
            .map_err(std::io::Error::from)
    };
    Ok([open(Stream::Stdout)?, open(Stream::Stderr)?])
}

impl LogPump {
    /// Opens the pipes in `dir` for reading and `log` for appending. If a supervisor died in the middle of a write, its chunk is
    /// taken back out of the log when the pipe still holds it.
    ///
    /// # Errors
    ///
    /// As the underlying file operations.
    pub(crate) fn open(
        dir: &Path,
        log: &Path,
        grew: watch::Sender<u64>,
    ) -> std::io::Result<Rc<Self>> {
        if let Some(parent) = log.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // For writing as well: a pipe that every writer has closed is readable for ever, and a container may close its output and go on.
        let open = |stream: Stream| {
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::open(dir.join(stream.pipe_name()), flags, Mode::empty())
                .map_err(std::io::Error::from)
        };
        let pipes = [open(Stream::Stdout)?, open(Stream::Stderr)?];
        let mut file = LogFile::open(log, &dir.join("mark"))?;
        file.recover(&pipes)?;
        let [stdout, stderr] = pipes;
        Ok(Rc::new(Self {
            file: RefCell::new(file),
            pipes: [ready::watch(stdout)?, ready::watch(stderr)?],
            ended: Cell::new(false),
            drained: [Cell::new(false), Cell::new(false)],
            task: Cell::new(None),
            grew,
            null: File::options().write(true).open("/dev/null")?,
        }))
    }

    /// Pumps in the background until everything is written after [`Self::finish`].
    pub(crate) fn start(self: &Rc<Self>) {
        let pump = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            tokio::join!(pump.pump(Stream::Stdout), pump.pump(Stream::Stderr));
        });
        self.task.set(Some(task));
    }

    async fn pump(&self, stream: Stream) {
        while !self.is_done() {
            let Ok(mut ready) = self.pipes[stream as usize].readable().await else {
                return;
            };
            match self.move_chunk(stream, self.ended.get()) {
                // There may be more; others get their turn first.
                Ok(moved) if moved > 0 => tokio::task::yield_now().await,
                Ok(_) if self.ended.get() => {
                    self.drained[stream as usize].set(true);
                    self.tell();
                    if self.is_done() {
                        self.stop();
                    }
                    return;
                }
                Ok(_) => ready.clear_ready(),
                // A full disk: the lines wait in the pipe, and the container with them when it is full.
                Err(_) => tokio::time::sleep(limits::LOG_RETRY).await,
            }
        }
    }

    /// Moves everything that is in the pipes now, including a last line without an end. To be called when no process of the container
    /// is left.
    ///
    /// # Errors
    ///
    /// When it could not all be written, for example because the disk is full: the rest stays in the pipes, and follows in the
    /// background as soon as there is room ([`Self::written`]).
    pub(crate) fn finish(self: &Rc<Self>) -> std::io::Result<()> {
        self.ended.set(true);
        let mut result = Ok(());
        for stream in Stream::BOTH {
            let drained = self.drain_one(stream, true).map(drop);
            self.drained[stream as usize].set(drained.is_ok());
            result = result.and(drained);
        }
        self.tell();
        if result.is_ok() {
            self.stop();
            return result;
        }
        match self.task.take() {
            Some(task) => self.task.set(Some(task)),
            None => self.start(),
        }
        result
    }

    /// Gives up what could not be written: its log was removed, or its pod.
    pub(crate) fn give_up(&self) {
        for drained in &self.drained {
            drained.set(true);
        }
        self.stop();
        self.tell();
    }

    fn stop(&self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    fn drain_one(&self, stream: Stream, last: bool) -> std::io::Result<usize> {
        let mut all = 0;
        loop {
            match self.move_chunk(stream, last)? {
                0 => return Ok(all),
                moved => all += moved,
            }
        }
    }

    /// Waits until everything is written, or given up.
    pub(crate) async fn written(&self) {
        let mut grew = self.grew.subscribe();
        while !self.is_done() && grew.changed().await.is_ok() {}
    }

    /// Moves everything that is complete now, and returns how many bytes; for those who want to read the log at this moment.
    ///
    /// # Errors
    ///
    /// As the underlying file operations; what was not written stays in the pipes.
    pub(crate) fn drain(&self) -> std::io::Result<usize> {
        let results = Stream::BOTH.map(|stream| self.drain_one(stream, self.ended.get()));
        results.into_iter().sum()
    }

    /// Whether all that its container ever printed is in the log.
    pub(crate) fn is_done(&self) -> bool {
        self.drained.iter().all(Cell::get)
    }

    /// Puts a log aside that has grown long, and begins another one.
    pub(crate) fn rotate(&self) -> std::io::Result<()> {
        let mut file = self.file.borrow_mut();
        if self.is_done() || file.length < limits::LOG_FILE_BYTES {
            return Ok(());
        }
        file.rotate(clock::wall())
    }

    fn tell(&self) {
        self.grew.send_modify(|generation| *generation += 1);
    }

    /// Returns how many bytes left the pipe.
    fn move_chunk(&self, stream: Stream, last: bool) -> std::io::Result<usize> {
        let mut file = self.file.borrow_mut();
        let pipe = self.pipes[stream as usize].get_ref();
        let moved = file.take_chunk(pipe, stream, last)?;
        let mut left = moved;
        while left > 0 {
            match rustix::pipe::splice(pipe, None, &self.null, None, left, SpliceFlags::NONBLOCK) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
                Ok(n) => left -= n,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        file.consumed()?;
        drop(file);
        if moved > 0 {
            self.tell();
        }
        Ok(moved)
    }
}

/// The log file, and the mark that makes "written" and "consumed" one step.
struct LogFile {
    path: PathBuf,
    log: File,
    length: u64,
    identity: (u64, u64),
    mark: File,
    read_end: OwnedFd,
    write_end: OwnedFd,
    chunk: Vec<u8>,
    records: Vec<u8>,
}

impl LogFile {
    fn open(log_path: &Path, mark: &Path) -> std::io::Result<Self> {
        let mut log = open_log(log_path)?;
        let length = log.seek(SeekFrom::End(0))?;
        let mark = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(mark)?;
        let (read_end, write_end) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = rustix::pipe::fcntl_setpipe_size(&write_end, limits::LOG_CHUNK_BYTES);
        Ok(Self {
            path: log_path.to_path_buf(),
            identity: identity(&log.metadata()?),
            log,
            length,
            mark,
            read_end,
            write_end,
            chunk: Vec::new(),
            records: Vec::new(),
        })
    }

    /// Between two writes: no mark points into the file that is put aside.
    fn rotate(&mut self, now: podyard_lifecycle::Timestamp) -> std::io::Result<()> {
        rotation::put_aside(&self.path, now)?;
        self.begin_anew()
    }

    fn begin_anew(&mut self) -> std::io::Result<()> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        self.log = open_log(&self.path)?;
        self.length = self.log.seek(SeekFrom::End(0))?;
        self.identity = identity(&self.log.metadata()?);
        Ok(())
    }

    /// Whether the file that is written is still the one that people find by its name, and not one that somebody removed.
    fn is_in_place(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Reads a copy of what is at the head of `pipe` into `self.chunk`, leaving it there.
    fn peek(&mut self, pipe: &OwnedFd) -> std::io::Result<()> {
        self.chunk.clear();
        let copied = match rustix::pipe::tee(
            pipe,
            &self.write_end,
            limits::LOG_CHUNK_BYTES,
            SpliceFlags::NONBLOCK,
        ) {
            Ok(copied) => copied,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(errno) => return Err(errno.into()),
        };
        self.chunk.resize(copied, 0);
        let mut filled = 0;
        while filled < copied {
            match rustix::io::read(&self.read_end, &mut self.chunk[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.chunk.truncate(filled);
        Ok(())
    }

    /// Writes the records of the next chunk; returns how many bytes of the pipe they stand for.
    fn take_chunk(&mut self, pipe: &OwnedFd, stream: Stream, last: bool) -> std::io::Result<usize> {
        self.peek(pipe)?;
        if self.chunk.is_empty() {
            return Ok(0);
        }
        self.records.clear();
        let mut format = |last| {
            let name = stream.pipe_name();
            cri::format(&self.chunk, name, last, clock::wall(), &mut self.records)
        };
        let mut taken = format(last);
        if taken == 0 && is_full(pipe) {
            // A line that is longer than the pipe is written in pieces: its end cannot come before there is room for it.
            taken = format(true);
        }
        if taken == 0 {
            return Ok(0);
        }
        if !self.is_in_place() {
            self.begin_anew()?;
        }
        self.set_mark(Some((stream, self.length)))?;
        if let Err(error) = self.log.write_all(&self.records) {
            // Nothing is consumed, so nothing may remain written.
            let _ = self.log.set_len(self.length);
            let _ = self.log.seek(SeekFrom::Start(self.length));
            let _ = self.set_mark(None);
            return Err(error);
        }
        self.length += self.records.len() as u64;
        Ok(taken)
    }

    fn consumed(&self) -> std::io::Result<()> {
        self.set_mark(None)
    }

    fn set_mark(&self, mark: Option<(Stream, u64)>) -> std::io::Result<()> {
        let mut record = [0_u8; 9];
        if let Some((stream, length)) = mark {
            record[0] = 1 + stream as u8;
            record[1..].copy_from_slice(&length.to_le_bytes());
        }
        rustix::io::pwrite(&self.mark, &record, 0)?;
        Ok(())
    }

    /// Finds out whether the chunk that was being written when the last supervisor died is still in its pipe.
    fn recover(&mut self, pipes: &[OwnedFd; 2]) -> std::io::Result<()> {
        let mut record = [0_u8; 9];
        if rustix::io::pread(&self.mark, &mut record, 0)? < record.len() || record[0] == 0 {
            return Ok(());
        }
        let stream = if record[0] == 1 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        let [_, length @ ..] = record;
        let before = u64::from_le_bytes(length).min(self.length);
        self.log.seek(SeekFrom::Start(before))?;
        let mut tail = Vec::new();
        self.log.read_to_end(&mut tail)?;
        let written = cri::content(&tail);
        self.peek(&pipes[stream as usize])?;
        if self.chunk.starts_with(&written) {
            self.log.set_len(before)?;
            self.length = before;
        }
        self.log.seek(SeekFrom::Start(self.length))?;
        self.set_mark(None)
    }
}

/// Whether a writer would have to wait.
fn is_full(pipe: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut state = [PollFd::new(pipe, PollFlags::OUT)];
    poll(&mut state, Some(&Timespec::default())) == Ok(0)
}

/// Tells a file from every other one: device and inode.
fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn open_log(path: &Path) -> std::io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

/// The log file of an instance.
#[must_use]
pub(crate) fn path(directory: &Path, container: &str, restart_count: u32) -> PathBuf {
    directory
        .join(container)
        .join(format!("{restart_count}.log"))
}

/// Tells the keeper's side which descriptors hold an instance's pipes open.
#[must_use]
pub(crate) fn keeper_key(container: &str, attempt: u32) -> String {
    format!("{container}.{attempt}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("podyard-logs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("temporary directory");
        dir
    }

    fn by_path(path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    fn text(log: &Path) -> String {
        String::from_utf8(cri::content(&std::fs::read(log).expect("log"))).expect("UTF-8")
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
    }

    fn open(dir: &Path) -> Rc<LogPump> {
        LogPump::open(dir, &dir.join("0.log"), watch::channel(0).0).expect("pump")
    }

    #[test]
    fn whole_lines_are_moved_and_a_rest_waits_for_its_end() {
        let _runtime = runtime().enter();
        let dir = scratch("rest");
        let runtime = runtime();
        let _inside = runtime.enter();
        let [out, _err] = make_pipes(&dir, (0, 0), by_path).expect("pipes");
        let pump = open(&dir);
        rustix::io::write(&out, b"one\ntwo\nthr").expect("room");
        pump.drain().expect("written");
        assert_eq!(text(&dir.join("0.log")), "one\ntwo\n");
        rustix::io::write(&out, b"ee").expect("room");
        pump.finish().expect("written");
        assert_eq!(text(&dir.join("0.log")), "one\ntwo\nthree");
        std::fs::remove_dir_all(&dir).expect("own directory");
    }

    /// A user over its pipe quota has pipes of a page or two, and its containers write long lines all the same.
    #[test]
    fn a_line_longer_than_its_pipe_does_not_stop_the_writer() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let dir = scratch("small");
        let [out, _err] = make_pipes(&dir, (0, 0), by_path).expect("pipes");
        let size = rustix::pipe::fcntl_setpipe_size(&out, 4096).expect("smaller");
        let pump = open(&dir);
        let line = vec![b'x'; size];
        assert_eq!(rustix::io::write(&out, &line), Ok(size));
        assert_eq!(pump.drain().expect("written"), size);
        assert_eq!(rustix::io::write(&out, b"end\n"), Ok(4));
        pump.finish().expect("written");
        let expected = [&line[..], b"end\n"].concat();
        assert_eq!(text(&dir.join("0.log")).into_bytes(), expected);
        std::fs::remove_dir_all(&dir).expect("own directory");
    }

    /// With the keeper gone as well, nobody else holds the pipes of a container that has closed its output.
    #[test]
    fn a_closed_output_does_not_keep_the_pump_busy() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let dir = scratch("closed");
        let [out, err] = make_pipes(&dir, (0, 0), by_path).expect("pipes");
        let pump = open(&dir);
        drop((out, err));
        for pipe in &pump.pipes {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut state = [PollFd::new(pipe.get_ref(), PollFlags::IN)];
            let at_once = Timespec::default();
            assert_eq!(poll(&mut state, Some(&at_once)), Ok(0), "{state:?}");
        }
        std::fs::remove_dir_all(&dir).expect("own directory");
    }

    /// A supervisor may die after each of the three steps; whichever it was, every line appears once.
    #[test]
    fn a_death_between_any_two_steps_neither_loses_nor_repeats_a_line() {
        let runtime = runtime();
        let _inside = runtime.enter();
        for steps in 0..3 {
            let dir = scratch(&format!("death-{steps}"));
            let [out, _err] = make_pipes(&dir, (0, 0), by_path).expect("pipes");
            rustix::io::write(&out, b"a\nb\n").expect("room");
            {
                let pump = open(&dir);
                let pipe = pump.pipes[0].get_ref();
                let mut file = pump.file.borrow_mut();
                if steps >= 1 {
                    assert_eq!(
                        file.take_chunk(pipe, Stream::Stdout, false)
                            .expect("written"),
                        4
                    );
                }
                if steps >= 2 {
                    rustix::pipe::splice(pipe, None, &pump.null, None, 4, SpliceFlags::NONBLOCK)
                        .expect("consumed");
                }
            }
            rustix::io::write(&out, b"c\n").expect("room");
            let pump = open(&dir);
            pump.finish().expect("written");
            assert_eq!(
                text(&dir.join("0.log")),
                "a\nb\nc\n",
                "died after step {steps}"
            );
            std::fs::remove_dir_all(&dir).expect("own directory");
        }
    }
}
