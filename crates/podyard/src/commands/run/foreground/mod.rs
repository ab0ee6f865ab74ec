//! What runs in the foreground: its progress, its logs, its end, and Ctrl-C.
//!
//! Of a single pod, this process is only a client: if it is killed, the pod goes on without it; if the pod's supervisor is killed, the
//! next one takes over and this goes on with that. Of workloads it is what a controller is in a cluster: it starts the pods that its
//! units ask for, one after the other or again, for as long as it lives.

mod ending;
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
use crate::commands::block_on;
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::Pod;
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
    /// Whether its last words were said.
    is_told: bool,
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
            is_told: false,
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
        self.tell_ends();
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
            self.tell_ends();
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
}

/// Ends when something has changed.
type Change<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Waits until there may be something to read in a pod's logs, beginning with the pod `turn`.
async fn any_log(pods: &mut [PodView], turn: usize) -> usize {
    let count = pods.len();
    let mut changes: Vec<(usize, Change<'_>)> = pods
        .iter_mut()
        .enumerate()
        .filter(|(_, pod)| pod.ended.is_none())
        .map(|(number, pod)| {
            let changed: Change<'_> = Box::pin(pod.logs.changed());
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
