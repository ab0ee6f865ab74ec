//! Ending a wait because a person wants it (`Request::Retry`), or because what was missing may be there (`ObjectsChanged`). Counts and the
//! next delay stay as they are.

use crate::container::Reason;
use crate::machine::{PodMachine, SandboxState, Stage, Volumes};
use crate::{Accepted, ContainerIndex, Refusal};

impl PodMachine {
    pub(crate) fn retry(&mut self, only: Option<ContainerIndex>) -> Result<Accepted, Refusal> {
        if self.ending().is_some() {
            return Err(Refusal::Terminating);
        }
        if only.is_some_and(|index| index.position() >= self.containers.len()) {
            return Err(Refusal::NoSuchContainer);
        }
        let mut is_any = match only {
            None => self.retry_pod(),
            Some(index) if self.waiting_for_round() == Some(index) => self.retry_round(),
            Some(_) => false,
        };
        for index in self
            .plan
            .all()
            .filter(|index| only.is_none_or(|only| only == *index))
        {
            is_any |= self.retry_container(index);
        }
        if is_any {
            Ok(Accepted::Done)
        } else {
            Err(Refusal::NothingWaiting)
        }
    }

    /// The kubelet looks again at its next sync; here it is known at once that it is worth it. Only those waits end that an object can end.
    pub(crate) fn look_at_objects_again(&mut self) {
        let now = self.now.moment();
        if let Volumes::Failed { retry_at, .. } = &mut self.volumes {
            *retry_at = now;
        }
        for index in self.plan.all() {
            if self.is_shown(index, Reason::CreateContainerConfigError) {
                self.container_mut(index).hold = None;
            }
        }
    }

    /// What no single container waits for.
    fn retry_pod(&mut self) -> bool {
        let now = self.now.moment();
        let mut is_any = self.retry_round();
        if let Volumes::Failed { retry_at, .. } = &mut self.volumes {
            *retry_at = now;
            is_any = true;
        }
        if let SandboxState::Failed { retry_at } = &mut self.sandbox.state {
            *retry_at = now;
            is_any = true;
        }
        is_any
    }

    fn retry_round(&mut self) -> bool {
        let now = self.now.moment();
        match &mut self.stage {
            Stage::Pausing { until } => {
                *until = now;
                true
            }
            _ => false,
        }
    }

    fn retry_container(&mut self, index: ContainerIndex) -> bool {
        let container = self.container_mut(index);
        if container.wake.take().is_none() {
            return false;
        }
        container.hold = None;
        self.lift_back_off(index);
        true
    }
}
