//! One pod as the foreground follows it: its states, its logs, what is told of it.

use std::fs::File;
use std::time::Instant;

use podyard_supervisor::logs::LogOptions;
use podyard_supervisor::{Client, PodHandle};
use tokio::sync::mpsc;

use super::super::signals::Stopping;
use super::super::troubles::Troubles;
use super::super::units::Member;
use crate::commands::delete::pods::keeper_lock;
use crate::commands::now;
use crate::error::CliError;
use crate::log_files::LogFiles;
use crate::objects::{Pod, PodExt as _, Timestamp, terminated};
use crate::output::age;
use crate::output::progress::{self, Line};
use crate::output::status_column::Summary;
use crate::output::style::Tone;
use crate::pods;
use crate::settings::Context;
use crate::terminal;
use crate::watcher::{End, PodWatch};

/// What is heard of a pod.
pub(super) enum News {
    /// It has changed.
    State(Box<Pod>),
    /// Nothing more will be heard.
    End(Option<End>),
}

/// A pod that was started.
pub(super) struct PodView {
    /// Which unit it is of, and which of its pods it is.
    pub(super) unit: usize,
    index: usize,
    pub(super) handle: PodHandle,
    client: Client,
    pub(super) logs: LogFiles,
    /// Its keeper's lock: free once everything of the pod is gone or at rest.
    pub(super) keeper: Option<File>,
    /// In front of the names of its containers, if it is not alone.
    title: Option<String>,
    /// Its number among all pods, for its colour.
    place: usize,
    /// As it was accepted.
    accepted: Pod,
    /// As it was seen last, and the lines that were made of it.
    pub(super) pod: Option<Pod>,
    pub(super) lines: Vec<Line>,
    pub(super) troubles: Troubles,
    began: Timestamp,
    /// Since when nothing more is heard of it.
    pub(super) ended: Option<Instant>,
    pub(super) end: Option<End>,
}

impl PodView {
    /// Begins to follow it: what is heard goes to `news`, with the pod's number.
    pub(super) fn new(
        unit: usize,
        index: usize,
        (handle, accepted): (PodHandle, Pod),
        is_alone: bool,
        (place, news): (usize, mpsc::Sender<(usize, News)>),
    ) -> Result<Self, CliError> {
        let logs = LogFiles::new(handle.log_directory())
            .map_err(|error| CliError::failed("cannot watch the pod", error))?;
        tokio::task::spawn_local(follow(place, handle.clone(), news));
        Ok(Self {
            unit,
            index,
            client: handle.client(),
            logs,
            keeper: keeper_lock(&handle),
            title: (!is_alone).then(|| format!("pod/{}", handle.name)),
            place,
            accepted,
            handle,
            pod: None,
            lines: Vec::new(),
            troubles: Troubles::default(),
            began: now(),
            ended: None,
            end: None,
        })
    }

    /// As its unit looks at it.
    pub(super) fn member(&self) -> Member<'_> {
        Member {
            index: self.index,
            pod: self.pod.as_ref().unwrap_or(&self.accepted),
            ended: self.ended,
            is_gone: self.end == Some(End::Deleted),
        }
    }

    /// A line about one of its containers, or about the pod.
    pub(super) fn about(&self, text: &str) -> String {
        match &self.title {
            Some(title) => format!("{title} {text}"),
            None => text.to_owned(),
        }
    }

    /// Follows every instance that there has been up to now: one that came and went between two states is not skipped.
    pub(super) fn open_logs(&mut self, context: &Context, pod: &Pod) {
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
            // Pods are told apart by their colour, or the containers of the only one.
            let (name, place) = match &self.title {
                Some(title) => (format!("[{title} {}]", container.name), self.place),
                None => (format!("[{}]", container.name), place),
            };
            let blanks = " ".repeat(longest - container.name.len());
            for instance in 0..instances {
                let prefix = format!(
                    "{}{blanks} ",
                    context.stdout.paint(Tone::Container(place), &name)
                );
                self.logs
                    .open(&container.name, instance, prefix, LogOptions::default());
            }
        }
    }

    /// What is new in its logs, and of instances that are over also a last line without an end.
    pub(super) fn new_log_lines(
        &mut self,
        is_over: impl Fn(&str, u32) -> bool,
    ) -> Result<Vec<u8>, CliError> {
        let mut out = Vec::new();
        self.logs
            .read(&mut out)
            .map_err(|error| CliError::failed("cannot read the logs", error))?;
        self.logs.finish_ended(is_over, &mut out);
        Ok(out)
    }

    /// Brings its lines up to date. Without `is_live`, returns what has changed.
    pub(super) fn update(&mut self, is_live: bool) -> Vec<String> {
        let Some(pod) = &self.pod else {
            return Vec::new();
        };
        let mut times = if is_live || self.has_news(pod) {
            pods::times(&self.handle, pod)
        } else {
            Default::default()
        };
        times.next_tries.extend(pods::next_tries(&self.handle));
        let lines = progress::lines(pod, &times, now());
        let changes = if is_live {
            Vec::new()
        } else {
            progress::changes(&self.lines, &lines)
        };
        self.lines = lines;
        changes.iter().map(|change| self.about(change)).collect()
    }

    fn has_news(&self, pod: &Pod) -> bool {
        let lines = progress::lines(pod, &Default::default(), now());
        !progress::changes(&self.lines, &lines).is_empty()
    }

    /// Whether the live view has nothing more to tell of it.
    pub(super) fn is_settled(&self) -> bool {
        self.ended.is_some()
            || self.is_at_its_end()
            || (self.pod.is_some() && progress::is_settled(&self.lines))
    }

    /// Whether it has reached its last phase, though not all has been heard of it.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.pod.as_ref().is_some_and(Pod::is_terminal)
    }

    /// Its title and, unless `in_short`, a line for each container.
    pub(super) fn block(&self, context: &Context, in_short: bool) -> Vec<String> {
        let Some(pod) = &self.pod else {
            return Vec::new();
        };
        let lasted = age::between(self.began, now()).unwrap_or_default();
        let lasted = if lasted.as_secs() > 0 {
            format!("  {}", age::human(lasted))
        } else {
            String::new()
        };
        let title = format!("pod/{}  {}{lasted}", pod.name(), Summary::of(pod).status);
        let lines = if in_short { &[][..] } else { &self.lines };
        // One column less than there is: a line that ends exactly at the edge makes some terminals wrap.
        let width = terminal::stderr_width().saturating_sub(1);
        progress::block(&title, lines, width, context.stderr)
    }

    /// A supervisor that has just died is replaced and asked again; if that fails too, the next Ctrl-C tries once more.
    pub(super) async fn ask_to_end(&self, stopping: Stopping) {
        for _ in 0..2 {
            let asked = match stopping {
                Stopping::AtOnce(_) => self.client.kill().await,
                _ => self.client.delete(None).await,
            };
            match asked {
                Ok(()) => return,
                Err(_) if self.handle.has_ended() => return,
                Err(_) => {
                    let _ = self.handle.ensure_supervised();
                }
            }
        }
    }

    /// Leaves the wish to kill it with its supervisor; false when that cannot take it.
    pub(super) async fn leave_to_be_killed(&self) -> bool {
        self.client.kill_without_answer().await.is_ok() || self.handle.has_ended()
    }
}

/// Passes on what is heard of a pod, over as many supervisors as that takes.
async fn follow(place: usize, handle: PodHandle, news: mpsc::Sender<(usize, News)>) {
    let mut watch = PodWatch::new(handle);
    while let Some(pod) = watch.next().await {
        if news
            .send((place, News::State(Box::new(pod))))
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = news.send((place, News::End(watch.end()))).await;
}

/// Whether this instance of the container will print no more.
pub(super) fn is_over(pod: &Pod, container: &str, instance: u32) -> bool {
    pod.container_status(container).is_some_and(|status| {
        let newest = u32::try_from(status.restart_count).unwrap_or_default();
        instance < newest || (instance == newest && terminated(status.state.as_ref()).is_some())
    })
}
