//! Commands and their processes: time, processor time, memory.
//!
//! This program is a subreaper: keepers, conmons and whatever else a command leaves behind become its children. When they have
//! ended and been reaped, the processor time of everything that was started is in `RUSAGE_CHILDREN`, without any sampling.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::Result;
use crate::arena::Arena;

/// A command's output and how long it took from before its start to its end.
pub(crate) struct Finished {
    pub(crate) took: Duration,
    pub(crate) output: Output,
}

impl Finished {
    /// The end of a command that must have succeeded.
    pub(crate) fn ok(self, what: &str) -> Result<Self> {
        if self.output.status.success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.output.stderr);
        let end = text.lines().rev().take(4).collect::<Vec<_>>();
        let end: Vec<&str> = end.into_iter().rev().collect();
        Err(format!(
            "{what} ended with {}: {}",
            self.output.status,
            end.join("; ")
        )
        .into())
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
}

/// Runs a command in an arena to its end.
///
/// Its output goes into files, not pipes: what it leaves running may keep them open.
pub(crate) fn run(arena: &Arena, mut command: Command) -> Result<Finished> {
    let (out, err) = (scratch()?, scratch()?);
    command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?);
    let (took, status) = arena.run(move || -> std::io::Result<_> {
        let begin = Instant::now();
        let status = command.spawn()?.wait()?;
        Ok((begin.elapsed(), status))
    })??;
    let output = Output {
        status,
        stdout: read(out)?,
        stderr: read(err)?,
    };
    Ok(Finished { took, output })
}

/// A file without a name.
pub(crate) fn scratch() -> Result<fs::File> {
    let memory = rustix::fs::memfd_create(c"output", rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(memory.into())
}

fn read(mut file: fs::File) -> Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Orphans below this process come to it from now on.
pub(crate) fn become_subreaper() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Reaps what has ended. Must not be called while a command is being waited for.
pub(crate) fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// Waits until nothing that was started is left.
pub(crate) fn wait_for_all(limit: Duration) -> Result<()> {
    let begin = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(nix::errno::Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::StillAlive) => {
                if begin.elapsed() > limit {
                    let left: Vec<String> = descendants()
                        .into_iter()
                        .map(|process| process.name)
                        .collect();
                    return Err(format!("still running: {}", left.join(" ")).into());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => {}
        }
    }
}

/// Processor time of everything that was started and has ended.
pub(crate) fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

/// One live process below this one.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) name: String,
    /// Its own processor time and that of its reaped children, in clock ticks.
    ticks: u64,
}

impl Process {
    /// In another pid namespace than this program, so a part of the workload.
    pub(crate) fn is_inside_a_container(&self) -> bool {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        namespace(&self.pid.to_string()) != namespace("self")
    }

    /// What to call it: the role that podyard gives its own processes, else the name.
    pub(crate) fn role(&self) -> String {
        let text = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let mut words = text.split(|byte| *byte == 0);
        let role = words
            .any(|word| word == b"internal")
            .then(|| words.next())
            .flatten();
        role.map_or_else(
            || self.name.clone(),
            |role| String::from_utf8_lossy(role).into_owned(),
        )
    }

    /// Its share of the memory it uses, in bytes.
    pub(crate) fn proportional_set_size(&self) -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024.0)
    }

    /// Processor time so far, to the clock tick.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_secs_f64(self.ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// Every live process below this one.
pub(crate) fn descendants() -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<i32>();
        if let Some((parent, process)) = pid.ok().and_then(stat) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut from = vec![std::process::id().cast_signed()];
    while let Some(parent) = from.pop() {
        for process in children.remove(&parent).into_iter().flatten() {
            from.push(process.pid);
            found.push(process);
        }
    }
    found
}

fn stat(pid: i32) -> Option<(i32, Process)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    // From the state on, which proc_pid_stat(5) counts as field 3.
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks = (14..=17).map(number).sum::<Option<i64>>()?;
    let process = Process {
        pid,
        name,
        ticks: ticks.unsigned_abs(),
    };
    Some((i32::try_from(number(4)?).ok()?, process))
}

/// The wall clock, as the app inside the containers reads it.
pub(crate) fn wall_nanoseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or_default()
}

/// Waits for a condition; the bound is only reached when something is broken.
pub(crate) fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let begin = Instant::now();
    while !condition()? {
        if begin.elapsed() > limit {
            return Err(format!("{what}: not within {} s", limit.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
