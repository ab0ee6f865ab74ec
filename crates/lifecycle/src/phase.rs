//! What a container shows (section 8.4), and the pod's phase that follows from it (section 8.1).

use serde::{Deserialize, Serialize};

use crate::ContainerIndex;
use crate::container::{Cause, Ended, Life, Running, Waiting};
use crate::machine::{PodMachine, Stage};
use crate::plan::Kind;
use crate::restart::{AfterExit, after};

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
        if !self.computed_phase.is_final() {
            self.computed_phase = match self.ending() {
                Some(ending) if ending.cause.reason().is_some() => Phase::Failed,
                _ => self.phase_of_containers(),
            };
        }
    }

    fn phase_of_containers(&self) -> Phase {
        let (mut init_pending, mut init_failed) = (false, false);
        let (mut sidecar_pending, mut waiting, mut running) = (false, false, false);
        let (mut stopped, mut succeeded, mut is_any_not_final) = (0_usize, 0_usize, false);
        let mut app_in_sandbox = false;
        for (position, container) in self.containers.iter().enumerate() {
            let index = ContainerIndex::at(position);
            let kind = self.container_plan(index).kind;
            match (kind, self.shown(index)) {
                (Kind::Init, Shown::Running { .. } | Shown::Waiting { last: None, .. }) => {
                    init_pending = true;
                }
                (
                    Kind::Init,
                    Shown::Terminated { ended, .. }
                    | Shown::Waiting {
                        last: Some(ended), ..
                    },
                ) => init_failed |= !ended.succeeded() && !self.will_restart(index, ended),
                // Even one that is started: the kubelet learns of that only when it has the phase.
                (Kind::Sidecar, Shown::Running { .. }) => (running, sidecar_pending) = (true, true),
                (Kind::Sidecar, Shown::Waiting { last: None, .. }) => {
                    (sidecar_pending, waiting) = (true, true);
                }
                (Kind::Sidecar, _) => {}
                (Kind::App, Shown::Running { .. }) => running = true,
                (Kind::App, Shown::Waiting { last: None, .. }) => waiting = true,
                // Its postStart hook runs, and what it shows is from before.
                (Kind::App, _) if container.is_running() => running = true,
                (Kind::App, Shown::Terminated { ended, .. }) => {
                    stopped += 1;
                    succeeded += usize::from(ended.code == 0);
                    is_any_not_final |= self.will_restart(index, ended);
                }
                // A record that was removed will have a successor; one in a back-off shows no success.
                (
                    Kind::App,
                    Shown::Waiting {
                        last: Some(ended), ..
                    },
                ) => {
                    stopped += 1;
                    is_any_not_final |=
                        container.record.is_none() || self.will_restart(index, ended);
                }
            }
            let sandbox = container.record.as_ref().map(|record| record.sandbox);
            app_in_sandbox |= kind == Kind::App && sandbox == Some(self.sandbox.attempt);
        }
        let is_terminating = self.ending().is_some();
        if init_failed {
            Phase::Failed // 1
        } else if init_pending || (sidecar_pending && !app_in_sandbox) || waiting {
            Phase::Pending // 2, 3
        } else if running {
            Phase::Running // 4
        } else if stopped == 0 {
            Phase::Pending // 6
        } else if is_any_not_final && !is_terminating {
            Phase::Running // 5b
        } else if stopped == succeeded {
            Phase::Succeeded // 5a, 5c
        } else {
            Phase::Failed // 5a, 5d
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
