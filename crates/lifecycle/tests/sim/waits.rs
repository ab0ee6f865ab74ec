//! The least a restart has to wait: the kubelet's back-off, written down once more and independently.
//!
//! Looks at containers whose restarts have no other reason than their exits, as long as nothing lifts or moves waits: no probe may kill them,
//! no person has asked for a retry, the sandbox lives, and the clock runs as it should.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use podyard_lifecycle::{Action, Attempt, Observation, Request, StartStage};

use crate::rules::Broken;
use crate::support::pod::TestPod;
use crate::support::{Millis, virtual_time};

const INITIAL: Millis = 10_000;
const EXPIRES: Millis = 600_000;

pub(crate) struct Waits {
    max: Millis,
    is_off: bool,
    containers: Vec<Wait>,
}

#[derive(Clone, Debug, Default)]
struct Wait {
    /// Some start may follow from a kill, and then does not wait for it.
    is_killed: bool,
    /// The image of now.
    image: String,
    /// For each image the delay of the next wait, and when it was set.
    entries: BTreeMap<String, (Millis, Millis)>,
    newest: Option<(Attempt, Life)>,
    /// The instance that was asked for last.
    asked: Option<Attempt>,
    /// The start after the newest instance has begun, and is only tried again.
    is_over: bool,
}

#[derive(Clone, Copy, Debug)]
enum Life {
    Runs { since: Millis },
    Ended(Millis),
}

impl Waits {
    pub(crate) fn new(pod: &TestPod) -> Self {
        let max = pod.settings.max_container_restart_period.as_millis();
        let spec = pod.pod.spec.clone().unwrap_or_default();
        let all = spec
            .init_containers
            .into_iter()
            .flatten()
            .chain(spec.containers);
        Self {
            max: u64::try_from(max).unwrap_or(Millis::MAX),
            is_off: false,
            containers: all
                .map(|container| Wait {
                    is_killed: container.liveness_probe.is_some()
                        || container.startup_probe.is_some(),
                    image: container.image.unwrap_or_default(),
                    ..Wait::default()
                })
                .collect(),
        }
    }

    /// Nothing can be said any more.
    pub(crate) fn give_up(&mut self) {
        self.is_off = true;
    }

    pub(crate) fn hear(&mut self, request: &Request) {
        self.is_off |= matches!(request, Request::Retry { .. });
        if let Request::Update { pod } = request {
            self.change(pod);
        }
    }

    /// Another image is another back-off. A container that runs is killed for it.
    fn change(&mut self, pod: &Pod) {
        let Some(spec) = &pod.spec else { return };
        let inits = spec.init_containers.iter().flatten();
        let members = inits.chain(&spec.containers);
        let members = members.map(|container| container.image.clone());
        let ephemerals = spec.ephemeral_containers.iter().flatten();
        let ephemerals = ephemerals.map(|container| container.image.clone());
        for (position, image) in members.chain(ephemerals).enumerate() {
            let image = image.unwrap_or_default();
            let Some(wait) = self.containers.get_mut(position) else {
                self.containers.push(Wait {
                    image,
                    ..Wait::default()
                });
                continue;
            };
            if wait.image != image {
                wait.image = image;
                wait.is_over = false;
                wait.is_killed |= !matches!(wait.newest, Some((_, Life::Ended(_))));
            }
        }
    }

    pub(crate) fn see(&mut self, observation: &Observation) {
        match observation {
            Observation::ContainerStarted {
                container,
                attempt,
                at,
                ..
            } => {
                let since = virtual_time(*at);
                self.set(container.position(), *attempt, Life::Runs { since });
            }
            Observation::ContainerNotStarted {
                container,
                attempt,
                stage: StartStage::Start,
                at,
                ..
            } => self.set(
                container.position(),
                *attempt,
                Life::Ended(virtual_time(*at)),
            ),
            Observation::ContainerExited {
                container,
                attempt,
                at,
                ..
            } => {
                if let Some(wait) = self.containers.get_mut(container.position())
                    && let Some((newest, life)) = &mut wait.newest
                    && newest == attempt
                    && let Life::Runs { since } = *life
                {
                    *life = Life::Ended(virtual_time(*at).max(since));
                }
            }
            Observation::SandboxDied { .. } | Observation::HostRebooted => self.is_off = true,
            _ => {}
        }
    }

    fn set(&mut self, position: usize, attempt: Attempt, life: Life) {
        // Old news are about others than the one that was asked for, or about what is known.
        if let Some(wait) = self.containers.get_mut(position)
            && wait.asked == Some(attempt)
            && wait.newest.is_none_or(|(newest, _)| attempt > newest)
        {
            wait.newest = Some((attempt, life));
            wait.is_over = false;
        }
    }

    pub(crate) fn check(&mut self, at: Millis, action: &Action) -> Result<(), Broken> {
        match *action {
            Action::EnsureImage { container, .. } => {
                let wait = &mut self.containers[container.position()];
                if let Some((_, Life::Ended(finished))) = wait.newest
                    && !std::mem::replace(&mut wait.is_over, true)
                {
                    let delay = wait.pass(at, finished, self.max);
                    let is_early = at < finished + delay;
                    if is_early && !self.is_off && !wait.is_killed {
                        return Err(format!(
                            "restarted after {} instead of {delay} ms",
                            at - finished
                        ));
                    }
                }
            }
            Action::StartContainer {
                container, attempt, ..
            } => self.containers[container.position()].asked = Some(attempt),
            Action::RemoveContainer {
                container, attempt, ..
            } => {
                let newest = &mut self.containers[container.position()].newest;
                newest.take_if(|(newest, _)| *newest == attempt);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Wait {
    /// What this restart had to wait for. Raises the delay of the next one.
    fn pass(&mut self, at: Millis, finished: Millis, max: Millis) -> Millis {
        let known = self.entries.get(&self.image).copied();
        let current = known.filter(|(_, since)| at < since + EXPIRES);
        let next = current.map_or(INITIAL, |(delay, _)| delay * 2).min(max);
        self.entries.insert(self.image.clone(), (next, at));
        current.map_or(0, |(delay, since)| {
            delay.min((since + EXPIRES).saturating_sub(finished))
        })
    }
}
