//! The keeper: a tiny process per pod that outlives supervisors.
//!
//! It is the subreaper of everything in the pod. When a supervisor dies, the pod's processes become the keeper's children, so their
//! exit codes reach it; it writes them down where the next supervisor looks. It holds the pod's listening socket and the containers'
//! output pipes open meanwhile, so that no connection is refused and no log line is lost, and it starts the next supervisor.
//! It decides nothing and knows no Kubernetes. When the keeper itself is killed, the supervisor becomes the keeper ([`become_one`]), since
//! it is the parent of whatever runs, and starts another supervisor.
//!
//! ```text
//! podyard run ──▶ keeper ──▶ supervisor ──▶ container, container, …
//!                   ▲  ▲         │ ✗ killed            │
//!                   │  └─────────┼──────re-parented────┘   exits: {pid, start, status, at}
//!                   └──link──────┘   hold these pipes, drop those, finished
//! ```
//!
//! A process that is not the parent cannot learn an exit code after the fact (waitid(2)), so there has to be one that lives on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::limits;
use crate::link::{self, FromSupervisor};
use crate::lock;
use crate::role::RoleArguments;
use crate::supervise;

/// One line of the exits file: what became of a process whose supervisor was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Process id in the host's namespace.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks: tells one user of a process id from the next.
    pub start_time: u64,
    /// The exit code, or `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When the keeper saw it, wall clock, seconds and nanoseconds.
    pub at: (i64, u32),
}

/// Runs the keeper of one pod until its supervisor says that the pod has ended. Standard input is the pod's listening socket, standard
/// output the keeper's lock, taken.
///
/// # Errors
///
/// When the process cannot become a keeper at all: no lock, no subreaper, no state directory.
pub fn run(arguments: &RoleArguments) -> std::io::Result<()> {
    let dirs = arguments.pod_dirs()?;
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;

    // A session of its own: no terminal's Ctrl-C or hang-up reaches the pod.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    let lock = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    if !lock::is_file_of(&lock, &dirs.keeper_lock())? {
        return Err(std::io::Error::other(
            "the standard output of a keeper is its lock",
        ));
    }
    rustix::stdio::dup2_stdout(&null)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let (child_died, child_died_writer) = UnixStream::pair()?;
    child_died.set_nonblocking(true)?;
    let signal =
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, child_died_writer)?;
    podyard_linux::set_title(&arguments.to_title("keep"));
    let exits = File::options()
        .create(true)
        .append(true)
        .open(dirs.exits())?;

    Keeper {
        arguments: arguments.clone(),
        listener,
        exits,
        child_died,
        signal,
        supervisor: None,
        finished: false,
        held: BTreeMap::new(),
        delay: Duration::ZERO,
        _lock: ManuallyDrop::new(lock),
    }
    .run()
}

/// A supervisor whose keeper is gone takes its place: the same process with all its children, so that no exit code is lost. It starts the
/// next supervisor as any keeper does. Returns only if that does not work.
pub(crate) fn become_one(arguments: &RoleArguments, listener: OwnedFd) -> std::io::Error {
    let lock = match arguments
        .pod_dirs()
        .and_then(|dirs| lock::try_exclusive(&dirs.keeper_lock()))
    {
        Ok(Some(lock)) => lock,
        Ok(None) => return std::io::Error::other("another keeper of this pod is running"),
        Err(error) => return error,
    };
    Command::new("/proc/self/exe")
        .args(arguments.to_command_line("keep"))
        .stdin(Stdio::from(listener))
        .stdout(Stdio::from(lock))
        .exec()
}

struct Keeper {
    arguments: RoleArguments,
    listener: OwnedFd,
    exits: File,
    child_died: UnixStream,
    signal: signal_hook::SigId,
    supervisor: Option<RunningSupervisor>,
    finished: bool,
    /// Descriptors kept open for the next supervisor, by the name the last one gave them.
    held: BTreeMap<String, Vec<OwnedFd>>,
    /// How long to wait before the next supervisor, when the last one did not last.
    delay: Duration,
    /// Held until this process is gone: whoever waits for that has waited for everything.
    _lock: ManuallyDrop<File>,
}

struct RunningSupervisor {
    pid: Pid,
    /// Until its other end is closed. A supervisor that ends does that long before it is dead, and a link that has ended is always ready:
    /// polled on, it would keep a processor busy all that time.
    link: Option<OwnedFd>,
    since: Instant,
}

impl Keeper {
    fn run(mut self) -> std::io::Result<()> {
        let mut start_at = Some(Instant::now());
        let mut no_later_than = None;
        let mut rest_at = None;
        loop {
            if let Some(at) = start_at
                && at <= Instant::now()
            {
                start_at = None;
                self.supervisor = Some(self.start_supervisor()?);
            }
            // Polled only as long as it makes a difference: nobody takes the connection before a supervisor is there.
            let caller = no_later_than.filter(|at| start_at.is_some_and(|start| start > *at));
            if self.wait(start_at.or(rest_at), caller.is_some())? {
                start_at = caller;
            }
            let is_quiet = start_at.is_none() && rest_at.is_some_and(|at| at <= Instant::now());
            self.read_link();
            if self.reap()? {
                // The supervisor is gone. Whatever it still wanted to say is in the link.
                self.read_link();
                let lived = self
                    .supervisor
                    .take()
                    .map_or(Duration::ZERO, |gone| gone.since.elapsed());
                if self.finished {
                    return Ok(());
                }
                self.delay = next_delay(self.delay, lived);
                start_at = Some(Instant::now() + self.delay);
                no_later_than = Some(Instant::now() + limits::SUPERVISOR_RESTART_FIRST);
            }
            // There is a keeper for every pod, and most of them do nothing for days.
            if is_quiet {
                podyard_linux::give_back();
            }
            rest_at = (!is_quiet).then(|| Instant::now() + limits::REST_AFTER);
        }
    }

    /// As a copy of this process, which is small and has what a new one would have to load and link first.
    fn start_supervisor(&self) -> std::io::Result<RunningSupervisor> {
        let (ours, theirs) = link::pair()?;
        let pid = podyard_linux::fork(theirs, |link| {
            let _ = signal_hook::low_level::unregister(self.signal);
            podyard_linux::set_title(&self.arguments.to_title("supervise"));
            match supervise::run(&self.arguments, link) {
                Ok(()) => 0,
                Err(error) => {
                    let text = crate::pull::chain(&error);
                    // Its standard error is the pod's own log.
                    let _ = writeln!(std::io::stderr(), "podyard: {text}");
                    1
                }
            }
        })?;
        for (key, descriptors) in &self.held {
            if let (true, [held]) = (key.starts_with(link::TERMINAL), descriptors.as_slice()) {
                link::hand_back(&ours, key, held)?;
            }
        }
        link::hand_over_listener(&ours, self.listener.as_fd())?;
        Ok(RunningSupervisor {
            pid: Pid::from_raw(pid),
            link: Some(ours),
            since: Instant::now(),
        })
    }

    /// Waits for a death, a message or `until`. With `or_caller` also for somebody who wants to talk to the pod, who shall not have to
    /// wait as long for the next supervisor: returns true then.
    fn wait(&self, until: Option<Instant>, or_caller: bool) -> std::io::Result<bool> {
        let timeout = until.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut fds = vec![PollFd::new(&self.child_died, PollFlags::IN)];
        if let Some(link) = self.supervisor.as_ref().and_then(|it| it.link.as_ref()) {
            fds.push(PollFd::new(link, PollFlags::IN));
        }
        if or_caller {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_wanted = or_caller
            && fds
                .last()
                .is_some_and(|listener| listener.revents().contains(PollFlags::IN));
        let mut scratch = [0_u8; 64];
        while rustix::io::read(&self.child_died, &mut scratch).is_ok_and(|n| n > 0) {}
        Ok(is_wanted)
    }

    fn read_link(&mut self) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        while let Some(link) = &supervisor.link {
            match link::receive(link) {
                Ok(Some(FromSupervisor::Hold { key, descriptors })) => {
                    self.held.insert(key, descriptors);
                }
                Ok(Some(FromSupervisor::Drop { key })) => {
                    self.held.remove(&key);
                }
                Ok(Some(FromSupervisor::Finished)) => self.finished = true,
                Ok(None) => return,
                Err(_) => supervisor.link = None,
            }
        }
    }

    /// Writes down and reaps every dead child; true when the supervisor was among them.
    fn reap(&mut self) -> std::io::Result<bool> {
        let mut supervisor_died = false;
        loop {
            // Looked at first and reaped after it is written down: a keeper killed in between leaves it to whoever comes next.
            let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let (pid, code, signal) = match waitid(Id::All, peek) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Some(code), None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, None, Some(signal as i32)),
                Ok(_) | Err(Errno::ECHILD) => return Ok(supervisor_died),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if self
                .supervisor
                .as_ref()
                .is_some_and(|supervisor| supervisor.pid == pid)
            {
                supervisor_died = true;
            } else {
                let at = clock::wall();
                let record = ExitRecord {
                    pid: pid.as_raw(),
                    start_time: start_time(pid).unwrap_or_default(),
                    code,
                    signal,
                    at: (at.seconds, at.nanoseconds),
                };
                let mut line = serde_json::to_vec(&record)?;
                line.push(b'\n');
                self.exits.write_all(&line)?;
            }
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED)?;
        }
    }
}

/// A supervisor that lasted is replaced at once; one that keeps dying is given time, so that a broken pod does not eat a processor.
fn next_delay(last: Duration, lived: Duration) -> Duration {
    if lived >= limits::SUPERVISOR_HEALTHY_AFTER {
        Duration::ZERO
    } else {
        (last * 2).clamp(
            limits::SUPERVISOR_RESTART_FIRST,
            limits::SUPERVISOR_RESTART_MAX,
        )
    }
}

fn start_time(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name is in parentheses and may itself hold blanks and parentheses.
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// What the keeper wrote down about a process, if it was the keeper that reaped it.
#[must_use]
pub fn recorded_exit(exits: &Path, pid: i32, start_time: u64) -> Option<ExitRecord> {
    let text = std::fs::read_to_string(exits).ok()?;
    text.lines()
        .filter_map(|line| serde_json::from_str::<ExitRecord>(line).ok())
        .find(|record| record.pid == pid && record.start_time == start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_keeps_dying_is_given_more_and_more_time() {
        let short = Duration::from_millis(3);
        let mut delay = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..12 {
            delay = next_delay(delay, short);
            waits.push(delay);
        }
        assert_eq!(waits[0], limits::SUPERVISOR_RESTART_FIRST);
        assert_eq!(waits[1], limits::SUPERVISOR_RESTART_FIRST * 2);
        assert_eq!(
            *waits.last().expect("twelve"),
            limits::SUPERVISOR_RESTART_MAX
        );
        assert_eq!(
            next_delay(delay, limits::SUPERVISOR_HEALTHY_AFTER),
            Duration::ZERO
        );
    }

    #[test]
    fn an_exit_is_found_by_process_and_start_time() {
        let dir = std::env::temp_dir().join(format!("podyard-keeper-{}", std::process::id()));
        let line = |pid, start_time| {
            serde_json::to_string(&ExitRecord {
                pid,
                start_time,
                code: Some(3),
                signal: None,
                at: (1, 2),
            })
            .expect("plain")
        };
        std::fs::write(&dir, format!("{}\n{}\ngarb", line(7, 1), line(7, 2)))
            .expect("temporary file");
        assert_eq!(
            recorded_exit(&dir, 7, 2).map(|record| record.start_time),
            Some(2)
        );
        assert_eq!(recorded_exit(&dir, 7, 3), None);
        std::fs::remove_file(&dir).expect("own file");
    }
}
