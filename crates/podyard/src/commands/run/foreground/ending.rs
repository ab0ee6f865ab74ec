//! How a session ends: units that need nothing more, signals, last words, and the exit code.

use super::outcome;
use super::view::PodView;
use super::{Over, Session};
use crate::commands::now;
use crate::commands::run::signals::{SIGPIPE, Stopping};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::PodExt as _;
use crate::output::style::Tone;
use crate::output::verdict::verdict;
use crate::watcher::End;

impl Session<'_> {
    /// A unit needs nothing more: its pods that still run are stopped.
    pub(super) async fn end(&mut self, unit: usize, over: Over) {
        self.units[unit].over = Some(over);
        let of_unit = self.pods.iter().filter(|pod| pod.unit == unit);
        for pod in of_unit.filter(|pod| pod.ended.is_none() && !pod.is_at_its_end()) {
            pod.ask_to_end(Stopping::Not).await;
        }
    }

    /// The last words about units whose last pod has ended.
    pub(super) fn tell_ends(&mut self) {
        for unit in 0..self.units.len() {
            let mut of_unit = self.pods.iter().filter(|pod| pod.unit == unit);
            if self.units[unit].is_told || of_unit.any(|pod| pod.ended.is_none()) {
                continue;
            }
            let Some(over) = &self.units[unit].over else {
                continue;
            };
            if *over != Over::Pod {
                let (code, text) = self.outcome_of_unit(unit, over);
                let text = format!("{} {text}", self.units[unit].unit.title());
                self.tell(code, &text);
            }
            self.units[unit].is_told = true;
        }
    }

    /// It cannot go on: what runs is stopped.
    pub(super) async fn fail(&mut self, error: CliError) {
        self.failure = Some(error);
        self.ask_all_to_end().await;
    }

    /// First signal: stop everything. Second: kill it. Third: leave the rest to the supervisors.
    pub(super) async fn stop(&mut self, signal: u8) -> Option<ExitCode> {
        let mut signal = signal;
        loop {
            if !self.escalate(signal) {
                return Some(self.leave(signal).await);
            }
            // A supervisor that does not answer must not keep anybody from pressing the keys again.
            tokio::select! {
                biased;
                next = self.signals.next() => signal = next,
                () = ask_to_end(&self.pods, self.stopping) => return None,
            }
        }
    }

    /// One step further than before; false after the last one, when there is only leaving.
    fn escalate(&mut self, signal: u8) -> bool {
        let (what, it) = self.what_runs();
        match self.stopping {
            Stopping::Not => {
                self.screen
                    .note(&format!("stopping {what}; Ctrl-C again kills {it}"));
                self.stopping = Stopping::Gracefully(signal);
            }
            Stopping::Gracefully(_) => {
                self.screen.note(&format!("killing {what}"));
                self.stopping = Stopping::AtOnce(signal);
            }
            Stopping::AtOnce(_) => return false,
        }
        true
    }

    /// The supervisors may not have heard of the last wish yet, so they are told once more.
    async fn leave(&mut self, signal: u8) -> ExitCode {
        let (what, it) = self.what_runs();
        let mut is_left = true;
        for pod in self.pods.iter().filter(|pod| pod.ended.is_none()) {
            is_left &= pod.leave_to_be_killed().await;
        }
        self.screen.note(&if is_left {
            let who = match it {
                "them" => "their supervisors, which go",
                _ => "its supervisor, which goes",
            };
            format!("leaving {what} to {who} on killing {it}")
        } else {
            format!(
                "leaving {what}; no supervisor takes the wish to kill {it}: see `podyard get pods`"
            )
        });
        ExitCode::Signal(signal)
    }

    /// What is stopped, and a word for it.
    fn what_runs(&self) -> (String, &'static str) {
        let mut run = self.pods.iter().filter(|pod| pod.ended.is_none());
        match (run.next(), run.count()) {
            (Some(pod), 0) => (format!("pod `{}`", pod.handle.name), "it"),
            (None, _) => ("everything".to_owned(), "it"),
            (Some(_), more) => (format!("{} pods", more + 1), "them"),
        }
    }

    pub(super) async fn ask_all_to_end(&self) {
        ask_to_end(&self.pods, self.stopping).await;
    }

    /// The last words about a pod.
    pub(super) fn tell_end(&mut self, pod: usize) {
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
        let is_deleted = view.end == Some(End::Deleted);
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
    pub(super) fn code(&self) -> ExitCode {
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
