//! A pod in the foreground: its progress, its logs, its end, and Ctrl-C.
//!
//! This process is only a client. If it is killed, the pod goes on without it; if the pod's supervisor is killed, the next one takes over
//! and this goes on with that.

use podyard_supervisor::logs::LogOptions;
use podyard_supervisor::{Client, PodHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Interval, MissedTickBehavior, interval};

use super::screen::Screen;
use super::troubles::Troubles;
use crate::commands::delete::{keeper_lock, wait_for};
use crate::commands::{block_on, now};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::log_files::LogFiles;
use crate::objects::{Pod, PodExt as _, Timestamp, terminated};
use crate::output::age;
use crate::output::progress::{self, Line};
use crate::output::status_column::Summary;
use crate::output::style::Tone;
use crate::output::verdict::{first_failure, verdict};
use crate::pods;
use crate::settings::Context;
use crate::terminal;
use crate::watcher::{End, PodWatch};

/// How often durations and countdowns on a terminal move on.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn run(
    context: &Context,
    handle: &PodHandle,
    remove: bool,
) -> Result<ExitCode, CliError> {
    let keeper = keeper_lock(handle);
    let (code, has_left) = block_on(async {
        let mut view = View::new(context, handle)?;
        let code = view.run().await?;
        Ok((code, view.has_left))
    })?;
    if has_left {
        return Ok(code);
    }
    // Only when its keeper is gone is everything of the pod gone, or at rest.
    if let Some(lock) = keeper {
        wait_for(&lock)?;
    }
    if remove && handle.has_ended() {
        handle.remove_files();
    }
    Ok(code)
}

struct View<'a> {
    context: &'a Context,
    handle: &'a PodHandle,
    client: Client,
    watch: PodWatch,
    logs: LogFiles,
    signals: Signals,
    screen: Screen,
    /// The pod as it was seen last, and the lines that were made of it.
    pod: Option<Pod>,
    lines: Vec<Line>,
    troubles: Troubles,
    began: Timestamp,
    stopping: Stopping,
    /// The pod is left to its supervisor, and not waited for.
    has_left: bool,
}

/// How far a person got with ending the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Not,
    /// Asked to end, because of this signal.
    Gracefully(u8),
    /// Asked to end at once.
    AtOnce(u8),
}

/// What made the view wake up.
enum Wake {
    State(Option<Box<Pod>>),
    Logs,
    Signal(u8),
    Tick,
}

impl<'a> View<'a> {
    fn new(context: &'a Context, handle: &'a PodHandle) -> Result<Self, CliError> {
        let failed = |error| CliError::failed("cannot watch the pod", error);
        Ok(Self {
            context,
            handle,
            client: handle.client(),
            watch: PodWatch::new(handle.clone()),
            logs: LogFiles::new(handle.log_directory()).map_err(failed)?,
            signals: Signals::new().map_err(failed)?,
            screen: Screen::new(context.live),
            pod: None,
            lines: Vec::new(),
            troubles: Troubles::default(),
            began: now(),
            stopping: Stopping::Not,
            has_left: false,
        })
    }

    async fn run(&mut self) -> Result<ExitCode, CliError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.wake(&mut tick).await {
                Wake::State(Some(pod)) => {
                    self.open_logs(&pod);
                    // Lines that a container wrote before its state changed come before the news of it.
                    self.print_logs(|container, instance| is_over(&pod, container, instance))
                        .await?;
                    self.show(&pod);
                    if self.stopping == Stopping::Not {
                        for line in self.troubles.news(self.handle, &pod, self.context.stderr) {
                            self.screen.note(&line);
                        }
                    }
                    self.pod = Some(*pod);
                }
                Wake::State(None) => {
                    self.print_logs(|_, _| true).await?;
                    return Ok(self.finish());
                }
                Wake::Logs => self.print_logs(|_, _| false).await?,
                Wake::Signal(signal) => {
                    if let Some(code) = self.stop(signal).await {
                        return Ok(code);
                    }
                }
                Wake::Tick => self.draw(),
            }
        }
    }

    async fn wake(&mut self, tick: &mut Interval) -> Wake {
        let is_live = self.screen.is_live();
        tokio::select! {
            biased;
            signal = self.signals.next() => Wake::Signal(signal),
            state = self.watch.next() => Wake::State(state.map(Box::new)),
            () = self.logs.changed() => Wake::Logs,
            _ = tick.tick(), if is_live => Wake::Tick,
        }
    }

    /// Follows every instance that there has been up to now: one that came and went between two states is not skipped.
    fn open_logs(&mut self, pod: &Pod) {
        let containers = pod.init_containers().iter().chain(pod.app_containers());
        let longest = containers
            .clone()
            .map(|container| container.name.len())
            .max()
            .unwrap_or_default();
        for (place, container) in containers.enumerate() {
            let Some(status) = pod.container_status(&container.name) else {
                continue;
            };
            let has_instance = status
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some() || state.terminated.is_some());
            let newest = u32::try_from(status.restart_count).unwrap_or_default();
            let instances = newest
                + u32::from(
                    has_instance
                        || status
                            .last_state
                            .as_ref()
                            .is_some_and(|last| last.terminated.is_some()),
                );
            for instance in 0..instances {
                let name = format!("[{}]", container.name);
                let blanks = " ".repeat(longest - container.name.len());
                let prefix = format!(
                    "{}{blanks} ",
                    self.context.stdout.paint(Tone::Container(place), &name)
                );
                self.logs
                    .open(&container.name, instance, prefix, LogOptions::default());
            }
        }
    }

    /// Prints what is new, and of instances that are over also a last line without an end.
    async fn print_logs(&mut self, is_over: impl Fn(&str, u32) -> bool) -> Result<(), CliError> {
        let mut out = Vec::new();
        self.logs
            .read(&mut out)
            .map_err(|error| CliError::failed("cannot read the logs", error))?;
        self.logs.finish_ended(is_over, &mut out);
        match self.screen.log(&out) {
            // Whoever read our output has gone, which is as good as hanging up.
            Err(CliError::BrokenPipe) if self.stopping == Stopping::Not => {
                self.stopping = Stopping::Gracefully(SIGPIPE);
                ask_to_end(&self.client, self.handle, self.stopping).await;
                Ok(())
            }
            Err(CliError::BrokenPipe) => Ok(()),
            other => other,
        }
    }

    fn show(&mut self, pod: &Pod) {
        let mut times = if self.screen.is_live() || self.has_news(pod) {
            pods::times(self.handle, pod)
        } else {
            Default::default()
        };
        times.next_tries.extend(pods::next_tries(self.handle));
        let lines = progress::lines(pod, &times, now());
        if !self.screen.is_live() {
            for change in progress::changes(&self.lines, &lines) {
                self.screen.note(&change);
            }
        }
        self.lines = lines;
        if self.screen.is_live() {
            let block = self.block(pod);
            self.screen.draw(block);
            // Nothing more will happen in it: from here on, changes are told as lines below the logs.
            if progress::is_settled(&self.lines) || pod.is_terminal() {
                self.screen.settle();
            }
        }
    }

    fn has_news(&self, pod: &Pod) -> bool {
        let lines = progress::lines(pod, &Default::default(), now());
        !progress::changes(&self.lines, &lines).is_empty()
    }

    /// Durations and countdowns have moved on.
    fn draw(&mut self) {
        if let Some(pod) = self.pod.take() {
            self.show(&pod);
            self.pod = Some(pod);
        }
    }

    fn block(&self, pod: &Pod) -> Vec<String> {
        let lasted = age::between(self.began, now()).unwrap_or_default();
        let lasted = if lasted.as_secs() > 0 {
            format!("  {}", age::human(lasted))
        } else {
            String::new()
        };
        let title = format!("pod/{}  {}{lasted}", pod.name(), Summary::of(pod).status);
        // One column less than there is: a line that ends exactly at the edge makes some terminals wrap.
        progress::block(
            &title,
            &self.lines,
            terminal::stderr_width().saturating_sub(1),
            self.context.stderr,
        )
    }

    /// First signal: stop the pod. Second: kill it. Third: leave the rest to its supervisor.
    async fn stop(&mut self, signal: u8) -> Option<ExitCode> {
        let mut signal = signal;
        loop {
            if let Some(code) = self.escalate(signal) {
                return Some(code);
            }
            // A supervisor that does not answer must not keep anybody from pressing the keys again.
            tokio::select! {
                biased;
                next = self.signals.next() => signal = next,
                () = ask_to_end(&self.client, self.handle, self.stopping) => return None,
            }
        }
    }

    /// One step further than before; after the last one there is only leaving.
    fn escalate(&mut self, signal: u8) -> Option<ExitCode> {
        let name = &self.handle.name;
        match self.stopping {
            Stopping::Not => {
                self.screen
                    .note(&format!("stopping pod `{name}`; Ctrl-C again kills it"));
                self.stopping = Stopping::Gracefully(signal);
            }
            Stopping::Gracefully(_) => {
                self.screen.note(&format!("killing pod `{name}`"));
                self.stopping = Stopping::AtOnce(signal);
            }
            Stopping::AtOnce(_) => {
                self.screen.note(&format!(
                    "leaving pod `{name}` to its supervisor, which goes on killing it"
                ));
                self.has_left = true;
                return Some(ExitCode::Signal(signal));
            }
        }
        None
    }

    /// The last words, and the code.
    fn finish(&mut self) -> ExitCode {
        if let Ok(pod) = self.handle.pod() {
            self.pod = Some(pod);
        }
        let (code, text) = match &self.pod {
            Some(pod) => outcome(
                pod,
                self.watch.end(),
                self.stopping,
                &verdict(pod, &Default::default(), now()),
            ),
            None => (ExitCode::Failure, "is gone".to_owned()),
        };
        if self.stopping != Stopping::Gracefully(SIGPIPE) {
            let tone = if code == ExitCode::Success {
                Tone::Good
            } else {
                Tone::Bad
            };
            let text = format!("pod/{} {text}", self.handle.name);
            self.screen.note(&self.context.stderr.paint(tone, &text));
        }
        code
    }
}

/// A supervisor that has just died is replaced and asked again; if that fails too, the next Ctrl-C tries once more.
async fn ask_to_end(client: &Client, handle: &PodHandle, stopping: Stopping) {
    for _ in 0..2 {
        let asked = match stopping {
            Stopping::AtOnce(_) => client.kill().await,
            _ => client.delete(None).await,
        };
        match asked {
            Ok(()) => return,
            Err(_) if handle.has_ended() => return,
            Err(_) => {
                let _ = handle.ensure_supervised();
            }
        }
    }
}

/// Whether this instance of the container will print no more.
fn is_over(pod: &Pod, container: &str, instance: u32) -> bool {
    pod.container_status(container).is_some_and(|status| {
        let newest = u32::try_from(status.restart_count).unwrap_or_default();
        instance < newest || (instance == newest && terminated(status.state.as_ref()).is_some())
    })
}

/// What became of the pod: the exit code, and the words for it.
fn outcome(pod: &Pod, end: Option<End>, stopping: Stopping, verdict: &str) -> (ExitCode, String) {
    match (stopping, end) {
        (Stopping::Gracefully(SIGPIPE), _) => (ExitCode::Success, "deleted".to_owned()),
        (Stopping::Gracefully(signal) | Stopping::AtOnce(signal), Some(End::Deleted)) => {
            (ExitCode::Signal(signal), "deleted".to_owned())
        }
        (Stopping::Not, Some(End::Deleted)) => (ExitCode::Failure, "was deleted".to_owned()),
        _ if pod.phase() == "Succeeded" => (ExitCode::Success, "succeeded".to_owned()),
        _ if pod.phase() == "Failed" => {
            let code = first_failure(pod).map(|(_, end)| ExitCode::of_workload(end.exit_code));
            (code.unwrap_or(ExitCode::Failure), verdict.to_owned())
        }
        _ => (
            ExitCode::Failure,
            format!("cannot be watched any more; it was {verdict}"),
        ),
    }
}

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGPIPE: u8 = 13;
const SIGTERM: u8 = 15;

/// The signals that end the pod.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => SIGHUP,
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, exited, init, pod, running};

    #[test]
    fn the_exit_code_is_the_workloads() {
        let code = |pod: &Pod, end, stopping| outcome(pod, end, stopping, "").0.number();
        let terminal = Some(End::Terminal);
        let succeeded = pod("Succeeded", [init("i", exited(0)), app("a", exited(0))]);
        assert_eq!(code(&succeeded, terminal, Stopping::Not), 0);
        let failed = pod(
            "Failed",
            [
                init("i", exited(0)),
                app("a", exited(0)),
                app("b", exited(3)),
                app("c", exited(4)),
            ],
        );
        assert_eq!(code(&failed, terminal, Stopping::Not), 3);
        let failed_init = pod("Failed", [init("i", exited(7)), app("a", exited(0))]);
        assert_eq!(code(&failed_init, terminal, Stopping::Not), 7);
        let evicted = pod("Failed", []);
        assert_eq!(code(&evicted, terminal, Stopping::Not), 1);
        // Ended by itself just before it was told to: its own code counts.
        assert_eq!(code(&failed, terminal, Stopping::Gracefully(SIGINT)), 3);
    }

    #[test]
    fn a_deleted_pod_has_the_code_of_who_deleted_it() {
        let code = |stopping| {
            outcome(
                &pod("Failed", [app("a", running())]),
                Some(End::Deleted),
                stopping,
                "",
            )
            .0
            .number()
        };
        assert_eq!(code(Stopping::Gracefully(SIGINT)), 130);
        assert_eq!(code(Stopping::AtOnce(SIGTERM)), 143);
        assert_eq!(code(Stopping::Not), 1);
        assert_eq!(code(Stopping::Gracefully(SIGPIPE)), 0);
    }
}
