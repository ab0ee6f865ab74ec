//! What runs in the foreground: its progress, its logs, its end, and Ctrl-C.
//!
//! Of a single pod, this process is only a client: if it is killed, the pod goes on without it; if the pod's supervisor is killed, the
//! next one takes over and this goes on with that. Of workloads it is what a controller is in a cluster: it starts the pods that its
//! units ask for, one after the other or again, for as long as it lives.

mod outcome;
mod view;

use std::fs::File;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use podyard_supervisor::PodHandle;
use tokio::sync::mpsc;
use tokio::time::{Duration, Interval, MissedTickBehavior, interval, sleep_until};

use self::view::{News, PodView, is_over};
use super::screen::Screen;
use super::signals::{SIGPIPE, Signals, Stopping};
use super::units::{Next, Over, Unit};
use super::{Maker, delete};
use crate::commands::{block_on, now};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _};
use crate::output::style::Tone;
use crate::output::verdict::verdict;
use crate::settings::Context;
use crate::terminal;

/// How often durations and countdowns on a terminal move on.
const TICK: Duration = Duration::from_secs(1);

/// News that wait to be shown. Whoever brings more waits.
const NEWS: usize = 64;

/// Brings up the units and stays until all are over.
pub(super) fn run(
    context: &Context,
    maker: &Maker<'_>,
    units: Vec<Unit>,
    remove: bool,
) -> Result<ExitCode, CliError> {
    let (code, ended) = block_on(async {
        let mut session = Session::new(context, maker, units)?;
        let code = session.run().await;
        Ok((code, session.ended(remove)))
    })?;
    // Only when its keeper is gone is everything of a pod gone, or at rest.
    for pod in &ended {
        if let Some(lock) = &pod.keeper {
            delete::pods::wait_for(lock)?;
        }
        if pod.remove && pod.handle.has_ended() {
            pod.handle.remove_files();
        }
    }
    code
}

/// A pod that has ended.
struct Ended {
    handle: PodHandle,
    keeper: Option<File>,
    /// Nothing of it is to stay.
    remove: bool,
}

struct Session<'a> {
    context: &'a Context,
    maker: &'a Maker<'a>,
    units: Vec<Running>,
    pods: Vec<PodView>,
    /// Whether all there is, is one pod: then it needs no name.
    is_single: bool,
    signals: Signals,
    screen: Screen,
    news: mpsc::Receiver<(usize, News)>,
    sender: mpsc::Sender<(usize, News)>,
    /// Which pod's logs are looked at first: each in turn, or one that prints without end would have the others wait.
    turn: usize,
    /// When a unit wants to be asked again, whatever happens until then.
    due: Option<Instant>,
    stopping: Stopping,
    /// What has made it impossible to go on.
    failure: Option<CliError>,
}

/// A unit, and how it stands with it.
struct Running {
    unit: Unit,
    began: Instant,
    over: Option<Over>,
}

/// What made the session wake up.
enum Wake {
    News(usize, News),
    Logs(usize),
    Signal(u8),
    Tick,
    Due,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, maker: &'a Maker<'a>, units: Vec<Unit>) -> Result<Self, CliError> {
        let (sender, news) = mpsc::channel(NEWS);
        let began = Instant::now();
        let running = |unit| Running {
            unit,
            began,
            over: None,
        };
        Ok(Self {
            context,
            maker,
            is_single: matches!(&units[..], [Unit::Pod(_)]),
            units: units.into_iter().map(running).collect(),
            pods: Vec::new(),
            signals: Signals::new()
                .map_err(|error| CliError::failed("cannot watch for signals", error))?,
            screen: Screen::new(context.live),
            news,
            sender,
            turn: 0,
            due: None,
            stopping: Stopping::Not,
            failure: None,
        })
    }

    async fn run(&mut self) -> Result<ExitCode, CliError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.advance().await;
        while !self.is_over() {
            match self.wake(&mut tick).await {
                Wake::News(pod, News::State(state)) => {
                    self.take(pod, *state).await?;
                    self.advance().await;
                }
                Wake::News(pod, News::End(end)) => {
                    self.print_logs(pod, |_, _| true).await?;
                    self.pods[pod].end = end;
                    self.pods[pod].ended = Some(Instant::now());
                    self.tell_end(pod);
                    self.advance().await;
                }
                Wake::Logs(pod) => self.print_logs(pod, |_, _| false).await?,
                Wake::Signal(signal) => {
                    if let Some(code) = self.stop(signal).await {
                        return Ok(code);
                    }
                }
                Wake::Tick => {
                    for pod in self.pods.iter_mut().filter(|pod| pod.ended.is_none()) {
                        pod.update(true);
                    }
                    self.draw();
                }
                Wake::Due => self.advance().await,
            }
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(self.code()),
        }
    }

    /// The pods that have ended. The others were left to their supervisors.
    fn ended(self, remove: bool) -> Vec<Ended> {
        let ended = self.pods.into_iter().filter(|pod| pod.ended.is_some());
        let units = self.units;
        ended
            .map(|pod| Ended {
                remove: remove || units[pod.unit].unit.removes_its_pods(),
                handle: pod.handle,
                keeper: pod.keeper,
            })
            .collect()
    }

    async fn wake(&mut self, tick: &mut Interval) -> Wake {
        let is_live = self.screen.is_live();
        let due = self.due;
        let pods = &mut self.pods;
        let turn = self.turn;
        let wake = tokio::select! {
            biased;
            signal = self.signals.next() => Wake::Signal(signal),
            Some((pod, news)) = self.news.recv() => Wake::News(pod, news),
            pod = any_log(pods, turn) => Wake::Logs(pod),
            () = until(due), if due.is_some() => Wake::Due,
            _ = tick.tick(), if is_live => Wake::Tick,
        };
        if let Wake::Logs(pod) = wake {
            self.turn = pod + 1;
        }
        wake
    }

    /// Everything has ended that can.
    fn is_over(&self) -> bool {
        let nothing_runs = self.pods.iter().all(|pod| pod.ended.is_some());
        let is_left_alone = self.stopping != Stopping::Not || self.failure.is_some();
        nothing_runs && (is_left_alone || self.units.iter().all(|unit| unit.over.is_some()))
    }

    /// Does what the units want now.
    async fn advance(&mut self) {
        self.due = None;
        for unit in 0..self.units.len() {
            if self.stopping != Stopping::Not || self.failure.is_some() {
                return;
            }
            if self.units[unit].over.is_some() {
                continue;
            }
            match self.next(unit) {
                Next::Start(indexes) => {
                    for index in indexes {
                        if let Err(error) = self.start(unit, index) {
                            return self.fail(error).await;
                        }
                    }
                    // Of what it wants besides, it can be asked once these have been heard of.
                }
                Next::Wait(at) => self.due = self.due.into_iter().chain(at).min(),
                Next::Over(over) => self.end(unit, over).await,
            }
        }
    }

    fn next(&self, unit: usize) -> Next {
        let of_unit = self.pods.iter().filter(|pod| pod.unit == unit);
        let members: Vec<_> = of_unit.map(PodView::member).collect();
        let running = &self.units[unit];
        let per_mille = self.maker.options.backoff_per_mille;
        running
            .unit
            .next(&members, running.began, Instant::now(), per_mille)
    }

    fn start(&mut self, unit: usize, index: usize) -> Result<(), CliError> {
        let made = self.maker.make(&self.units[unit].unit, index)?;
        let news = (self.pods.len(), self.sender.clone());
        let view = PodView::new(unit, index, made, self.is_single, news)?;
        self.pods.push(view);
        Ok(())
    }

    /// A unit needs nothing more: its pods that still run are stopped.
    async fn end(&mut self, unit: usize, over: Over) {
        if over != Over::Pod {
            let (code, text) = self.outcome_of_unit(unit, &over);
            let text = format!("{} {text}", self.units[unit].unit.title());
            self.tell(code, &text);
        }
        self.units[unit].over = Some(over);
        let of_unit = self.pods.iter().filter(|pod| pod.unit == unit);
        for pod in of_unit.filter(|pod| pod.ended.is_none()) {
            pod.ask_to_end(Stopping::Not).await;
        }
    }

    /// It cannot go on: what runs is stopped.
    async fn fail(&mut self, error: CliError) {
        self.failure = Some(error);
        self.ask_all_to_end().await;
    }

    /// A pod is in another state.
    async fn take(&mut self, pod: usize, state: Pod) -> Result<(), CliError> {
        self.pods[pod].open_logs(self.context, &state);
        // Lines that a container wrote before its state changed come before the news of it.
        self.print_logs(pod, |container, instance| {
            is_over(&state, container, instance)
        })
        .await?;
        let view = &mut self.pods[pod];
        let troubles = if self.stopping == Stopping::Not {
            view.troubles
                .news(&view.handle, &state, self.context.stderr)
        } else {
            Vec::new()
        };
        view.pod = Some(state);
        for change in view.update(self.screen.is_live()) {
            self.screen.note(&change);
        }
        self.draw();
        for line in troubles {
            let line = self.pods[pod].about(&line);
            self.screen.note(&line);
        }
        Ok(())
    }

    /// Prints what is new in a pod's logs.
    async fn print_logs(
        &mut self,
        pod: usize,
        is_over: impl Fn(&str, u32) -> bool,
    ) -> Result<(), CliError> {
        let out = self.pods[pod].new_log_lines(is_over)?;
        match self.screen.log(&out) {
            // Whoever read our output has gone, which is as good as hanging up.
            Err(CliError::BrokenPipe) if self.stopping == Stopping::Not => {
                self.stopping = Stopping::Gracefully(SIGPIPE);
                self.ask_all_to_end().await;
                Ok(())
            }
            Err(CliError::BrokenPipe) => Ok(()),
            other => other,
        }
    }

    /// Draws the live view, of what was made of the pods last.
    fn draw(&mut self) {
        if !self.screen.is_live() {
            return;
        }
        let shown: Vec<&PodView> = self.pods.iter().filter(|pod| self.is_shown(pod)).collect();
        let lines: usize = shown.iter().map(|pod| pod.lines.len() + 1).sum();
        // A block that is higher than the terminal could not be taken away again.
        let most = terminal::stderr_height().saturating_sub(1);
        let in_short = lines > most;
        let mut block: Vec<String> = shown
            .iter()
            .flat_map(|pod| pod.block(self.context, in_short))
            .collect();
        if block.len() > most {
            let more = block.len() - most.saturating_sub(1);
            block.truncate(most.saturating_sub(1));
            block.push(format!("… and {more} more"));
        }
        self.screen.draw(block);
        // Nothing more will happen in it: from here on, changes are told as lines below the logs.
        let has_jobs = self
            .units
            .iter()
            .any(|unit| unit.unit.is_job() && unit.over.is_none());
        let has_all = self.units.iter().enumerate().all(|(number, unit)| {
            let pods = self.pods.iter().filter(|pod| pod.unit == number);
            unit.over.is_some() || pods.count() >= unit.unit.replicas()
        });
        let is_settled = self
            .pods
            .iter()
            .all(|pod| pod.pod.is_some() && pod.is_settled());
        if has_all && !has_jobs && is_settled {
            self.screen.settle();
        }
    }

    /// Of many pods, those that have ended have had their line.
    fn is_shown(&self, pod: &PodView) -> bool {
        self.is_single || pod.ended.is_none()
    }

    /// First signal: stop everything. Second: kill it. Third: leave the rest to the supervisors.
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
                () = ask_to_end(&self.pods, self.stopping) => return None,
            }
        }
    }

    /// One step further than before; after the last one there is only leaving.
    fn escalate(&mut self, signal: u8) -> Option<ExitCode> {
        let what = self.what_runs();
        match self.stopping {
            Stopping::Not => {
                self.screen
                    .note(&format!("stopping {what}; Ctrl-C again kills it"));
                self.stopping = Stopping::Gracefully(signal);
            }
            Stopping::Gracefully(_) => {
                self.screen.note(&format!("killing {what}"));
                self.stopping = Stopping::AtOnce(signal);
            }
            Stopping::AtOnce(_) => {
                self.screen.note(&format!(
                    "leaving {what} to its supervisor, which goes on killing it"
                ));
                return Some(ExitCode::Signal(signal));
            }
        }
        None
    }

    fn what_runs(&self) -> String {
        let mut run = self.pods.iter().filter(|pod| pod.ended.is_none());
        match (run.next(), run.count()) {
            (Some(pod), 0) => format!("pod `{}`", pod.handle.name),
            (None, _) => "everything".to_owned(),
            (Some(_), more) => format!("{} pods", more + 1),
        }
    }

    async fn ask_all_to_end(&self) {
        ask_to_end(&self.pods, self.stopping).await;
    }

    /// The last words about a pod.
    fn tell_end(&mut self, pod: usize) {
        let view = &mut self.pods[pod];
        if let Ok(last) = view.handle.pod() {
            view.pod = Some(last);
        }
        let (code, text) = self.outcome_of_pod(&self.pods[pod]);
        if self.stopping != Stopping::Gracefully(SIGPIPE) {
            let text = format!("pod/{} {text}", self.pods[pod].handle.name);
            self.tell(code, &text);
        }
    }

    fn tell(&mut self, code: ExitCode, text: &str) {
        let tone = if code == ExitCode::Success {
            Tone::Good
        } else {
            Tone::Bad
        };
        let text = self.context.stderr.paint(tone, text);
        self.screen.note(&text);
    }

    fn outcome_of_pod(&self, view: &PodView) -> (ExitCode, String) {
        match &view.pod {
            // A job or a set that has no more use for it stops it, and that is as it should be.
            Some(_) if self.is_stopped_by_unit(view) => (ExitCode::Success, "deleted".to_owned()),
            Some(pod) => outcome::of_pod(
                pod,
                view.end,
                self.stopping,
                &verdict(pod, &Default::default(), now()),
            ),
            None => (ExitCode::Failure, "is gone".to_owned()),
        }
    }

    fn is_stopped_by_unit(&self, view: &PodView) -> bool {
        let over = self.units[view.unit].over.as_ref();
        let is_deleted = view.end == Some(crate::watcher::End::Deleted);
        self.stopping == Stopping::Not && is_deleted && over.is_some_and(|over| *over != Over::Pod)
    }

    fn outcome_of_unit(&self, unit: usize, over: &Over) -> (ExitCode, String) {
        let failed = self.pods.iter().filter(|pod| pod.unit == unit);
        let failed = failed.filter(|view| {
            let phase = view.pod.as_ref().map(|pod| pod.phase());
            phase == Some("Failed")
        });
        let last = failed.max_by_key(|view| view.ended);
        outcome::of_unit(over, last.and_then(|view| view.pod.as_ref()))
    }

    /// That of the first unit that failed, in the order of the manifests; of who ended it all, if somebody did.
    fn code(&self) -> ExitCode {
        match self.stopping {
            Stopping::Gracefully(SIGPIPE) => return ExitCode::Success,
            Stopping::Gracefully(signal) | Stopping::AtOnce(signal) if !self.is_single => {
                return ExitCode::Signal(signal);
            }
            _ => {}
        }
        let codes = self.units.iter().enumerate().map(|(number, unit)| {
            match &unit.over {
                Some(over) if *over != Over::Pod => self.outcome_of_unit(number, over).0,
                // Its own pod, which may have ended before its unit was asked.
                _ => {
                    let mut pods = self.pods.iter().filter(|pod| pod.unit == number);
                    pods.next()
                        .map_or(ExitCode::Failure, |pod| self.outcome_of_pod(pod).0)
                }
            }
        });
        let mut codes = codes.filter(|code| *code != ExitCode::Success);
        codes.next().unwrap_or(ExitCode::Success)
    }
}

/// All that run.
async fn ask_to_end(pods: &[PodView], stopping: Stopping) {
    for pod in pods.iter().filter(|pod| pod.ended.is_none()) {
        pod.ask_to_end(stopping).await;
    }
}

/// Waits until there may be something to read in a pod's logs, beginning with the pod `turn`.
async fn any_log(pods: &mut [PodView], turn: usize) -> usize {
    let count = pods.len();
    let mut changes: Vec<(usize, Pin<Box<dyn Future<Output = ()> + '_>>)> = pods
        .iter_mut()
        .enumerate()
        .filter(|(_, pod)| pod.ended.is_none())
        .map(|(number, pod)| {
            let changed: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(pod.logs.changed());
            (number, changed)
        })
        .collect();
    changes.sort_by_key(|(number, _)| (number + count - turn % count.max(1)) % count.max(1));
    poll_fn(|waker| {
        for (number, changed) in &mut changes {
            if changed.as_mut().poll(waker).is_ready() {
                return Poll::Ready(*number);
            }
        }
        Poll::Pending
    })
    .await
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
