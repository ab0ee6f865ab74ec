//! The supervisor: one pod's event loop, the turn of `ARCHITECTURE.md`.
//!
//! Collect what happened and who asked for what, decide, write it down, begin it, and only then let anyone hear of it. Everything runs on
//! one thread; the only wait is the one at the top of the loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use podyard_api::core::Pod;
use podyard_lifecycle::{Accepted, Action, End, Now, Observation, PodMachine, Refusal, Request};
use tokio::sync::{mpsc, oneshot, watch};

use crate::drivers::{self, World};
use crate::events::EventLog;
use crate::journal::{Journal, JournalError};
use crate::limits;
use crate::pod_text::PodText;
use crate::roots::PodDirs;
use crate::{atomic, clock};

/// A wish from the socket and where its answer goes.
pub(crate) type Asked = (Request, oneshot::Sender<Result<Accepted, Refusal>>);

/// What everybody may see of the pod, as of the last turn.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Counts publications; the pod's `resourceVersion`.
    pub(crate) version: u64,
    /// The pod with its status, as JSON.
    pub(crate) pod: Rc<str>,
    /// Its Events, as a JSON array.
    pub(crate) events: Rc<str>,
    /// The story is over; nothing will be published any more.
    pub(crate) end: Option<End>,
}

thread_local! {
    /// Whether the event loop's thread gives back what it does not need before it sleeps.
    static REST: Cell<bool> = const { Cell::new(false) };
    /// Whether there was a turn since that was asked for last.
    static TURNED: Cell<bool> = const { Cell::new(false) };
}

/// Before the next wait in the kernel, when everything else is done. A pod that lives for months is quiet most of the time, and one that has
/// rested and done nothing since has nothing to give.
pub(crate) fn rest() {
    REST.set(TURNED.take());
}

/// To be called by the runtime right before it waits in the kernel.
pub(crate) fn before_sleep() {
    if REST.take() {
        podyard_linux::give_back();
    }
}

/// Why a supervisor cannot go on. A failing workload is never among these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoopError {
    /// The pod's state cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was decided could not be written down, so it must not be done.
    #[error("cannot write the journal")]
    Write(#[source] std::io::Error),
}

pub(crate) struct Supervisor {
    dirs: PodDirs,
    world: Rc<World>,
    machine: PodMachine,
    journal: Journal,
    events: EventLog,
    observations: mpsc::UnboundedReceiver<Observation>,
    asked: mpsc::UnboundedReceiver<Asked>,
    published: watch::Sender<Published>,
    names: Rc<RefCell<MachineFacts>>,
    text: PodText,
    /// Turns since the last publication that changed something.
    untold: u32,
    /// When the next publication may be, since the boot.
    tells_at: Duration,
    /// Somebody was answered and may look at once what became of it.
    is_awaited: bool,
    /// Whether there are Events that were not published yet.
    has_new_events: bool,
}

/// What the socket needs to know of the machine between two turns.
#[derive(Debug, Default)]
pub(crate) struct MachineFacts {
    /// The next start that is waited for: container and wall-clock seconds left.
    pub(crate) next_try: Option<(String, Duration)>,
}

pub(crate) struct Parts {
    pub(crate) dirs: PodDirs,
    pub(crate) world: Rc<World>,
    pub(crate) machine: PodMachine,
    pub(crate) journal: Journal,
    pub(crate) events: EventLog,
    pub(crate) observations: mpsc::UnboundedReceiver<Observation>,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
}

impl Supervisor {
    pub(crate) fn new(parts: Parts) -> (Self, watch::Receiver<Published>) {
        let Parts {
            dirs,
            world,
            machine,
            journal,
            events,
            observations,
            asked,
        } = parts;
        let text = PodText::new(&world.pod.whole());
        let pod = text.render(&machine, 0);
        let first = Published {
            version: 0,
            pod: pod.into(),
            events: "[]".into(),
            end: machine.end(),
        };
        let (published, seen) = watch::channel(first);
        let names = Rc::default();
        (
            Self {
                dirs,
                world,
                machine,
                journal,
                events,
                observations,
                asked,
                published,
                names,
                text,
                untold: 0,
                tells_at: Duration::ZERO,
                is_awaited: false,
                has_new_events: true,
            },
            seen,
        )
    }

    /// Runs until the pod has ended.
    ///
    /// # Errors
    ///
    /// When the supervisor itself cannot go on.
    pub(crate) async fn run(
        mut self,
        pending: Vec<Action>,
        rebooted: bool,
    ) -> Result<End, LoopError> {
        if rebooted {
            self.turn(clock::now(), vec![Observation::HostRebooted], Vec::new())?;
        } else {
            drivers::recover(&self.world, &pending);
        }
        let mut now = clock::now();
        self.publish(now);
        let mut first = true;
        loop {
            if let Some(end) = self.machine.end() {
                self.publish_news(now);
                return Ok(end);
            }
            if self.untold >= limits::UNTOLD_TURNS {
                self.publish_news(now);
                tokio::task::yield_now().await;
            }
            let mut inputs = self.collect_now();
            // What is known already is decided before anybody is told: a container that can start must not wait for that. Nobody can
            // see the difference, since nobody else has a turn before the wait.
            if !first && inputs.0.is_empty() && inputs.1.is_empty() {
                inputs = self.tell_and_wait().await;
            }
            first = false;
            now = clock::now();
            self.turn(now, inputs.0, inputs.1)?;
        }
    }

    fn turn(
        &mut self,
        now: Now,
        observations: Vec<Observation>,
        asked: Vec<Asked>,
    ) -> Result<(), LoopError> {
        TURNED.set(true);
        self.world.live.turned.notify_one();
        for observation in &observations {
            self.machine.observe(now, observation);
        }
        let mut answers = Vec::with_capacity(asked.len());
        let mut requests = Vec::with_capacity(asked.len());
        let mut changed = None;
        for (request, answer) in asked {
            let granted = self.machine.request(now, &request);
            if let (Ok(_), Request::Update { pod }) = (granted, &request) {
                changed = Some(pod.clone());
            }
            answers.push((answer, granted));
            requests.push(request);
        }
        self.machine.advance(now);
        let actions: Vec<Action> = std::iter::from_fn(|| self.machine.next_action()).collect();
        let mut is_news = !observations.is_empty() || !requests.is_empty();
        while let Some(event) = self.machine.next_event() {
            self.events.add(event);
            self.has_new_events = true;
            is_news = true;
        }
        self.journal
            .append(now, &observations, &requests)
            .map_err(LoopError::Write)?;
        let is_news = is_news || !actions.is_empty();
        if let Some(pod) = changed {
            self.change(&pod);
        }
        for action in actions {
            drivers::begin(&self.world, action);
        }
        drivers::written_down(&self.world, &observations);
        for (answer, result) in answers {
            let _ = answer.send(result);
        }
        if is_news || self.machine.end().is_some() {
            self.untold += 1;
        }
        self.is_awaited |= !requests.is_empty();
        if self.journal.bytes() > limits::JOURNAL_BYTES
            && let Err(error) = self.journal.compact(
                &self.dirs,
                &self.machine,
                &self.events,
                &self.world.pod.whole(),
            )
        {
            self.world
                .complain(&format!("cannot compact the journal: {error}"));
        }
        Ok(())
    }

    /// The Pod is another one from this turn on: what is begun now goes by it.
    fn change(&mut self, pod: &Pod) {
        drivers::change(&self.world, pod);
        self.text = PodText::new(pod);
        self.world.write_changed_pod();
    }

    /// The only wait, and what happened until then is published: at once, unless that was done a moment ago and nobody is listening.
    async fn tell_and_wait(&mut self) -> (Vec<Observation>, Vec<Asked>) {
        loop {
            let now = clock::now();
            let is_heard = self.is_awaited || self.world.live.talking.get() > 0;
            if is_heard || now.since_boot >= self.tells_at {
                self.publish_news(now);
            }
            if self.untold > 0 {
                let patience = self.tells_at.saturating_sub(now.since_boot);
                if let Ok(inputs) = tokio::time::timeout(patience, self.wait()).await {
                    return inputs;
                }
                continue;
            }
            return self.wait().await;
        }
    }

    /// For a fact, a wish or the deadline. To give it up loses nothing.
    async fn wait(&mut self) -> (Vec<Observation>, Vec<Asked>) {
        let mut observations = Vec::new();
        let mut asked = Vec::new();
        let due = until(self.machine.next_deadline());
        tokio::select! {
            biased;
            Some(observation) = self.observations.recv() => observations.push(observation),
            Some(request) = self.asked.recv() => asked.push(request),
            () = due => {}
        }
        let (more_observations, more_asked) = self.collect_now();
        observations.extend(more_observations);
        asked.extend(more_asked);
        (observations, asked)
    }

    fn collect_now(&mut self) -> (Vec<Observation>, Vec<Asked>) {
        let observations = std::iter::from_fn(|| self.observations.try_recv().ok()).collect();
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok()).collect();
        (observations, asked)
    }

    fn publish_news(&mut self, now: Now) {
        if self.untold > 0 {
            self.publish(now);
        }
    }

    fn publish(&mut self, now: Now) {
        self.untold = 0;
        self.is_awaited = false;
        let began = clock::processor_time();
        let version = self.published.borrow().version + 1;
        let pod = self.text.render(&self.machine, version);
        let end = self.machine.end();
        // Commands read these files; whoever is connected gets the same from memory. Events come first, so that whoever sees the status
        // finds what led to it.
        let mut events_file = Ok(());
        let mut events = Rc::clone(&self.published.borrow().events);
        if self.has_new_events {
            events = self.render_events().into();
            events_file = atomic::write(&self.dirs.events(), events.as_bytes());
            self.has_new_events = events_file.is_err();
        }
        let status = atomic::write(&self.dirs.status(), pod.as_bytes());
        let (mut last, mut last_events) = (Ok(()), Ok(()));
        // Nothing is left of a pod that was deleted, so there is nothing to bring to the disk.
        if matches!(end, Some(End::Terminal(_))) {
            last_events = atomic::write(&self.dirs.final_events(), events.as_bytes());
            last = atomic::write_durable(&self.dirs.final_status(), pod.as_bytes());
        }
        // Each is tried, whatever became of the others.
        for error in [status, events_file, last_events, last]
            .into_iter()
            .filter_map(Result::err)
        {
            self.world
                .complain(&format!("cannot write the pod's status: {error}"));
        }
        self.names.borrow_mut().next_try = self.machine.next_try().map(|(index, at)| {
            (
                self.machine.container_name(index).to_owned(),
                at.saturating_sub(now.since_boot),
            )
        });
        let _ = self.published.send(Published {
            version,
            pod: pod.into(),
            events,
            end,
        });
        let took = clock::processor_time().saturating_sub(began);
        let apart = took * (limits::PUBLICATION_SHARE - 1);
        self.tells_at = now.since_boot + apart.min(limits::PUBLICATIONS_APART);
    }

    fn render_events(&self) -> String {
        let pod = self.world.pod.whole();
        let metadata = &pod.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, name) = (text(&metadata.namespace), text(&metadata.name));
        let objects =
            self.events
                .to_objects(&namespace, &name, &self.dirs.uid, &self.world.node_name);
        serde_json::to_string(&objects).unwrap_or_else(|_| "[]".to_owned())
    }
}

/// Until this time since the boot has come; without one, for ever. A pod to which nothing is due is not woken, and writes nothing.
async fn until(deadline: Option<Duration>) {
    let Some(deadline) = deadline else {
        return std::future::pending().await;
    };
    loop {
        let left = deadline.saturating_sub(clock::now().since_boot);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(limits::LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn only_a_deadline_that_has_come_wakes() {
        let mut context = Context::from_waker(Waker::noop());
        let now = clock::now().since_boot;
        assert_eq!(pin!(until(None)).poll(&mut context), Poll::Pending);
        let tomorrow = now + Duration::from_secs(86_400);
        let mut later = pin!(until(Some(tomorrow)));
        assert_eq!(later.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(pin!(until(Some(now))).poll(&mut context), Poll::Ready(()));
    }
}
