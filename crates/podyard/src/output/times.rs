//! What a pod object does not tell: times finer than its whole seconds, and when a wait is over.

use std::time::Duration;

use super::age;
use crate::duration;
use crate::objects::{
    ContainerStateTerminated, ContainerStatus, Timestamp, moment, terminated, waiting_reason,
};

/// Known times of one pod's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    /// One entry per container instance, newest last.
    pub(crate) instances: Vec<InstanceTime>,
    /// When the next attempt of a container comes, as its supervisor says.
    pub(crate) next_tries: Vec<(String, Timestamp)>,
    /// How much of Kubernetes' back-offs is really waited, in parts per thousand.
    pub(crate) backoff_per_mille: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            instances: Vec::new(),
            next_tries: Vec::new(),
            backoff_per_mille: 1000,
        }
    }
}

/// When one instance of a container started and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceTime {
    /// The container.
    pub(crate) container: String,
    /// When it started.
    pub(crate) start: Timestamp,
    /// When it ended; absent while it runs.
    pub(crate) end: Option<Timestamp>,
}

impl Times {
    /// `next try in 7s`, or nothing if there is none to come or it is not known when.
    pub(crate) fn next_try(&self, status: &ContainerStatus, now: Timestamp) -> Option<String> {
        let told = self
            .next_tries
            .iter()
            .find(|(name, _)| *name == status.name);
        let at = told
            .map(|(_, at)| *at)
            .or_else(|| self.end_of_backoff(status))?;
        let left = age::between(now, at)?;
        // Rounded up: "in 1s" until it is there.
        Some(format!(
            "next try in {}",
            age::human(left + Duration::from_millis(999))
        ))
    }

    /// When a crash back-off is over, as far as the status tells: its stage counts from the last end.
    fn end_of_backoff(&self, status: &ContainerStatus) -> Option<Timestamp> {
        if waiting_reason(status.state.as_ref()) != Some("CrashLoopBackOff") {
            return None;
        }
        let message = status
            .state
            .as_ref()?
            .waiting
            .as_ref()?
            .message
            .as_deref()?;
        let ended = moment(terminated(status.last_state.as_ref())?.finished_at.as_ref())?;
        let stage = duration::parse(message.strip_prefix("back-off ")?.split(' ').next()?)?;
        ended
            .checked_add(stage * self.backoff_per_mille / 1000)
            .ok()
    }

    /// How long the instance that ended as `end` says ran. Whole seconds would turn most init containers into "0 s", so those are not
    /// told at all.
    pub(crate) fn took(&self, container: &str, end: &ContainerStateTerminated) -> Option<Duration> {
        let coarse = || {
            let start = moment(end.started_at.as_ref())?;
            age::between(start, moment(end.finished_at.as_ref())?)
                .filter(|took| took.as_secs() > 0 && start.as_second() > 0)
        };
        match self.newest(container) {
            Some(InstanceTime {
                start,
                end: Some(end),
                ..
            }) => age::between(*start, *end),
            _ => coarse(),
        }
    }

    /// Since when a running container runs.
    pub(crate) fn running_since(&self, status: &ContainerStatus) -> Option<Timestamp> {
        match self.newest(&status.name) {
            Some(InstanceTime {
                start, end: None, ..
            }) => Some(*start),
            _ => moment(status.state.as_ref()?.running.as_ref()?.started_at.as_ref()),
        }
    }

    fn newest(&self, container: &str) -> Option<&InstanceTime> {
        self.instances
            .iter()
            .rev()
            .find(|instance| instance.container == container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{START, StatusExt as _, app, pod, waiting};

    #[test]
    fn a_shortened_back_off_ends_sooner() {
        let crashed = waiting("CrashLoopBackOff")
            .saying("back-off 20s restarting failed container=a pod=web_default(1)")
            .last_ended_at(START);
        let pod = pod("Running", [app("a", crashed)]);
        let status = &pod
            .status
            .expect("a status")
            .container_statuses
            .expect("statuses")[0];
        let now = Timestamp::from_second(START + 1).expect("in range");
        let next = |times: Times| times.next_try(status, now);
        assert_eq!(next(Times::default()).as_deref(), Some("next try in 19s"));
        assert_eq!(
            next(Times {
                backoff_per_mille: 100,
                ..Times::default()
            })
            .as_deref(),
            Some("next try in 1s")
        );
        let told = Timestamp::from_second(START + 4).expect("in range");
        assert_eq!(
            next(Times {
                next_tries: vec![("a".to_owned(), told)],
                ..Times::default()
            })
            .as_deref(),
            Some("next try in 3s")
        );
        assert_eq!(
            next(Times {
                backoff_per_mille: 0,
                ..Times::default()
            }),
            None
        );
    }
}
