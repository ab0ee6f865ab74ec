//! The phase of a pod from its containers (section 8.1).

use serde::{Deserialize, Serialize};

use crate::container::{ContainerState, Ended, Record};
use crate::machine::PodMachine;
use crate::plan::Kind;
use crate::restart::{AfterExit, after};
use crate::termination::EndReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// What a container's status shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Running,
    Terminated(&'a Ended),
    /// With the newest instance that ended, if any.
    Waiting(Option<&'a Ended>),
}

/// Section 8.4: the newest record; a remembered start error turns an exit that will be followed by a restart into waiting.
pub(crate) fn view(state: &ContainerState, will_restart: impl Fn(&Ended) -> bool) -> View<'_> {
    let ended = match &state.record {
        Record::Running { .. } => return View::Running,
        Record::Exited(ended) | Record::Removing(ended) => Some(ended),
        Record::None | Record::Image { .. } | Record::Starting { .. } => state.replaced.as_ref(),
    };
    match ended {
        Some(ended) if state.waiting.is_some() && will_restart(ended) => View::Waiting(Some(ended)),
        Some(ended) => View::Terminated(ended),
        None => View::Waiting(state.last.as_ref()),
    }
}

impl PodMachine {
    pub(crate) fn view(&self, container: crate::ContainerIndex) -> View<'_> {
        let plan = self.plan.get(container);
        view(self.state(container), |ended| {
            self.ending.is_none()
                && (plan.kind == Kind::Sidecar || after(plan, ended) != AfterExit::Leave)
        })
    }

    /// The phase, before it is kept back while containers still run.
    pub(crate) fn phase(&self) -> Phase {
        if let Some(phase) = self.final_phase {
            return phase;
        }
        let terminating = self.ending.as_ref();
        if terminating.is_some_and(|ending| ending.reason == EndReason::Deadline) {
            return Phase::Failed;
        }
        let (mut pending, mut failed_for_good, mut pending_sidecar, mut waiting) = (0, 0, 0, 0);
        let (mut running, mut stopped, mut succeeded, mut stays) = (0, 0, 0, 0);
        for index in self.plan.indices() {
            let plan = self.plan.get(index);
            let is_final = |ended: &Ended| after(plan, ended) == AfterExit::Leave;
            match (plan.kind, self.view(index)) {
                (Kind::Init, View::Running | View::Waiting(None)) => pending += 1,
                (Kind::Init, View::Terminated(ended) | View::Waiting(Some(ended))) => {
                    failed_for_good += usize::from(!ended.succeeded() && is_final(ended));
                }
                (Kind::Sidecar, View::Running) => running += 1,
                (Kind::Sidecar, View::Waiting(None)) => {
                    pending_sidecar += 1;
                    waiting += 1;
                }
                (Kind::Sidecar, _) => {}
                (Kind::App, View::Running) => running += 1,
                (Kind::App, View::Terminated(ended)) => {
                    stopped += 1;
                    succeeded += usize::from(ended.code == 0);
                    stays += usize::from(!is_final(ended));
                }
                (Kind::App, View::Waiting(Some(ended))) => {
                    stopped += 1;
                    stays += usize::from(!is_final(ended));
                }
                (Kind::App, View::Waiting(None)) => waiting += 1,
            }
        }
        if failed_for_good > 0 {
            Phase::Failed
        } else if pending > 0 || (pending_sidecar > 0 && !self.app_ran_in_sandbox) || waiting > 0 {
            Phase::Pending
        } else if running > 0 {
            Phase::Running
        } else if stopped == 0 {
            Phase::Pending
        } else if terminating.is_none() && stays > 0 {
            Phase::Running
        } else if stopped == succeeded {
            Phase::Succeeded
        } else {
            Phase::Failed
        }
    }

    /// What people are told: a final phase only once no container can be running.
    pub(crate) fn shown_phase(&self) -> Phase {
        let phase = self.phase();
        let is_final = matches!(phase, Phase::Succeeded | Phase::Failed);
        if is_final && self.final_phase.is_none() {
            self.conditions.phase()
        } else {
            phase
        }
    }
}
