//! What people should know of a pod on this machine although it changes nothing about the pod: told as Events, each line once per supervisor.
//!
//! A machine that cannot hold a pod to everything that its manifest says runs it all the same, but not silently.

use podyard_lifecycle::Observation;
use podyard_linux::Cgroup;
use podyard_linux::cgroup::{Limit, Resources};

use super::World;

/// The reason of Events about what this machine cannot do; Kubernetes has no word for it, since its nodes are made for their pods.
const NOT_ENFORCED: &str = "NotEnforced";
/// `cpu.shares` of who asks for nothing: to be without them is nothing to tell.
const NO_SHARES: u64 = 2;

/// Something to be told.
pub(crate) struct Notice {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl World {
    /// Tells it, unless it was told already, or is to be told later ([`Self::withheld`]).
    pub(super) fn tell_once(&self, notice: Notice) {
        if let Some(withheld) = self.live.withheld.borrow_mut().as_mut() {
            return withheld.push(notice);
        }
        let Notice { reason, message } = notice;
        if self.live.told.borrow_mut().insert(message.clone()) {
            let reason = reason.to_owned();
            self.report(Observation::Warned { reason, message });
        }
    }

    /// Does something whose time has not come, and returns what there would be to tell of it.
    pub(super) fn withheld<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Notice>) {
        *self.live.withheld.borrow_mut() = Some(Vec::new());
        let result = work();
        let notices = self.live.withheld.borrow_mut().take();
        (result, notices.unwrap_or_default())
    }

    /// Whether what is done now is done before its time.
    pub(super) fn is_withholding(&self) -> bool {
        self.live.withheld.borrow().is_some()
    }

    /// Limits that nobody holds, of a container or of the pod as a whole.
    pub(super) fn tell_unenforced(&self, cgroup: &Cgroup, resources: &Resources, whose: &str) {
        let limits: Vec<String> = cgroup
            .unenforced()
            .iter()
            .filter(|limit| is_asked_for(**limit, resources))
            .map(ToString::to_string)
            .collect();
        if !limits.is_empty() {
            let message = format!(
                "{whose} runs without its {}: the cgroups of this machine cannot enforce it",
                limits.join(", ")
            );
            self.tell_once(Notice {
                reason: NOT_ENFORCED,
                message,
            });
        }
    }

    /// A score below the supervisor's own, which only a privilege could give.
    pub(super) fn tell_oom_score(&self, wanted: i32, container: &str) {
        let is_privileged = || {
            let own = rustix::thread::capabilities(None);
            own.is_ok_and(|own| {
                own.effective
                    .contains(rustix::thread::CapabilitySet::SYS_RESOURCE)
            })
        };
        let own = *self.live.own_oom_score.get_or_init(|| {
            let own = std::fs::read_to_string("/proc/self/oom_score_adj");
            own.ok().and_then(|text| text.trim().parse().ok())
        });
        if let Some(own) = own.filter(|own| wanted < *own)
            && !is_privileged()
        {
            let message = format!(
                "container {container} runs with oom_score_adj {own} instead of {wanted}: a lower one needs CAP_SYS_RESOURCE, which podyard does not have"
            );
            self.tell_once(Notice {
                reason: NOT_ENFORCED,
                message,
            });
        }
    }
}

/// Some values are set for every container, and stand for nothing that a manifest says.
fn is_asked_for(limit: Limit, resources: &Resources) -> bool {
    match limit {
        Limit::CpuShares => resources
            .cpu_shares
            .is_some_and(|shares| shares > NO_SHARES),
        Limit::Hugepages => resources.hugepages.iter().any(|(_, bytes)| *bytes > 0),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_manifest_asks_for_is_missed() {
        let nothing = Resources {
            cpu_shares: Some(2),
            hugepages: vec![("2MB".to_owned(), 0)],
            ..Resources::default()
        };
        let much = Resources {
            cpu_shares: Some(3),
            hugepages: vec![("2MB".to_owned(), 1 << 21), ("1GB".to_owned(), 0)],
            ..Resources::default()
        };
        for limit in [Limit::CpuShares, Limit::Hugepages] {
            assert!(!is_asked_for(limit, &nothing), "{limit}");
            assert!(is_asked_for(limit, &much), "{limit}");
        }
        assert!(is_asked_for(Limit::Memory, &nothing));
    }
}
