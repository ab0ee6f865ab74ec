//! What a container shows (section 8.4), and the pod's phase that follows from it (section 8.1).

use serde::{Deserialize, Serialize};

use crate::ContainerIndex;
use crate::container::{Cause, Ended, Life, Running, Waiting};
use crate::machine::{PodMachine, Stage};
use crate::plan::Kind;
use crate::restart::{AfterExit, after};
use crate::start::StartStep;

/// `status.phase`. The kubelet never says `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Something has never started yet.
    Pending,
    /// Everything has, and something runs or will again.
    Running,
    /// Every app container has ended well, for good.
    Succeeded,
    /// Not every one has, or the pod could not get so far.
    Failed,
}

impl Phase {
    /// As Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Succeeded or Failed: never left again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A container's `state` and `lastState`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    /// With the reason, if it is not merely its turn that it waits for.
    Waiting {
        why: Option<&'a Waiting>,
        last: Option<&'a Ended>,
    },
    Running {
        running: &'a Running,
        last: Option<&'a Ended>,
    },
    Terminated {
        ended: &'a Ended,
        last: Option<&'a Ended>,
    },
}

impl PodMachine {
    /// The newest record; but where another start will follow, a remembered start error comes first.
    pub(crate) fn shown(&self, index: ContainerIndex) -> Shown<'_> {
        let container = self.container(index);
        let last = container.previous.as_ref();
        if let Some(ended) = &container.missing {
            return Shown::Terminated { ended, last };
        }
        let is_ending = self.ending().is_some();
        let why = container.waiting.as_ref().filter(|_| !is_ending);
        match container.record.as_ref().map(|record| &record.life) {
            Some(Life::Running(running)) if !running.in_post_start || is_ending => {
                Shown::Running { running, last }
            }
            Some(Life::Ended(ended)) if why.is_some() && self.will_restart(index, ended) => {
                Shown::Waiting {
                    why,
                    last: Some(ended),
                }
            }
            Some(Life::Ended(ended)) => Shown::Terminated { ended, last },
            // The kubelet shows what was before until the postStart hook is done.
            Some(Life::Running(_)) => match last {
                Some(ended) if why.is_none() && container.finished_before().is_some() => {
                    Shown::Terminated { ended, last: None }
                }
                _ => Shown::Waiting { why, last },
            },
            None => Shown::Waiting { why, last },
        }
    }

    /// The restart predicate with everything that overrides it.
    pub(crate) fn will_restart(&self, index: ContainerIndex, ended: &Ended) -> bool {
        match self.stage {
            Stage::Ending(_) => false,
            Stage::Resetting(_) | Stage::Pausing { .. } => true,
            Stage::Living | Stage::Rebuilding => {
                self.container(index).owed.is_some()
                    || ended.cause == Cause::Reset
                    || after(self.container_plan(index), ended) != AfterExit::Leave
            }
        }
    }

    /// A final phase is kept; any other is looked at anew.
    pub(crate) fn update_phase(&mut self) {
        if self.computed_phase.is_final() {
            return;
        }
        let phase = match self.ending() {
            Some(ending) if ending.cause.reason().is_some() => Phase::Failed,
            _ => self.phase_of_containers(),
        };
        // How the one that is just being made will end is not known yet.
        let is_open = self.ending().is_some() && self.is_creating();
        if !phase.is_final() || !is_open {
            self.computed_phase = phase;
        }
    }

    /// `StartContainer` is out.
    fn is_creating(&self) -> bool {
        let start = self.starting.as_ref();
        start.is_some_and(|start| matches!(start.step, StartStep::Create { .. }))
    }

    fn phase_of_containers(&self) -> Phase {
        let mut tally = Tally::default();
        for index in self.plan.all() {
            let shown = self.shown(index);
            match self.container_plan(index).kind {
                Kind::Init => self.count_init(&mut tally, index, shown),
                Kind::Sidecar => tally.count_sidecar(shown),
                Kind::App => self.count_app(&mut tally, index, shown),
                Kind::Ephemeral => {}
            }
        }
        tally.phase(self.ending().is_some())
    }

    fn count_init(&self, tally: &mut Tally, index: ContainerIndex, shown: Shown<'_>) {
        match shown {
            Shown::Running { .. } | Shown::Waiting { last: None, .. } => tally.init_pending = true,
            Shown::Terminated { ended, .. }
            | Shown::Waiting {
                last: Some(ended), ..
            } => tally.init_failed |= !ended.succeeded() && !self.will_restart(index, ended),
        }
    }

    fn count_app(&self, tally: &mut Tally, index: ContainerIndex, shown: Shown<'_>) {
        let container = self.container(index);
        let sandbox = container.record.as_ref().map(|record| record.sandbox);
        tally.app_in_sandbox |= sandbox == Some(self.sandbox.attempt);
        match shown {
            Shown::Running { .. } => tally.running = true,
            Shown::Waiting { last: None, .. } => tally.waiting = true,
            // Its postStart hook runs, and what it shows is from before.
            _ if container.is_running() => tally.running = true,
            Shown::Terminated { ended, .. } => {
                tally.stopped += 1;
                tally.succeeded += usize::from(ended.code == 0);
                tally.restarts |= self.will_restart(index, ended);
            }
            // A record that was removed will have a successor; one in a back-off shows no success.
            Shown::Waiting {
                last: Some(ended), ..
            } => {
                tally.stopped += 1;
                tally.restarts |= container.record.is_none() || self.will_restart(index, ended);
            }
        }
    }

    /// The end of a turn: what people are told.
    pub(crate) fn settle(&mut self) {
        self.update_phase();
        if !self.computed_phase.is_final() || !self.is_anything_alive() {
            self.published_phase = self.computed_phase;
        }
        self.update_conditions();
    }
}

/// What the rows of section 8.1 ask for.
#[derive(Debug, Default)]
struct Tally {
    /// Some init container has not ended.
    init_pending: bool,
    /// Some init container has failed for good.
    init_failed: bool,
    sidecar_pending: bool,
    /// Some app container of this sandbox came to be.
    app_in_sandbox: bool,
    /// Some app container or sidecar has never started.
    waiting: bool,
    running: bool,
    /// App containers that have ended, and those among them that ended well.
    stopped: usize,
    succeeded: usize,
    /// Some of those will be started again.
    restarts: bool,
}

impl Tally {
    fn count_sidecar(&mut self, shown: Shown<'_>) {
        match shown {
            // Also one that is started: the kubelet learns of that only when it has the phase.
            Shown::Running { .. } => (self.running, self.sidecar_pending) = (true, true),
            Shown::Waiting { last: None, .. } => {
                (self.waiting, self.sidecar_pending) = (true, true);
            }
            Shown::Waiting { .. } | Shown::Terminated { .. } => {}
        }
    }

    /// The first row that matches.
    fn phase(&self, is_terminating: bool) -> Phase {
        let init_pending = self.init_pending || (self.sidecar_pending && !self.app_in_sandbox);
        if self.init_failed {
            Phase::Failed // 1
        } else if init_pending || self.waiting {
            Phase::Pending // 2, 3
        } else if self.running {
            Phase::Running // 4
        } else if self.stopped == 0 {
            Phase::Pending // 6
        } else if self.restarts && !is_terminating {
            Phase::Running // 5b
        } else if self.stopped == self.succeeded {
            Phase::Succeeded // 5a, 5c
        } else {
            Phase::Failed // 5a, 5d
        }
    }
}
