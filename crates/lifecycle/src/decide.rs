//! The tables of section 1: what is to be started, killed or ended, given the records. Pure looking; `sync.rs` acts on it.
//!
//! A start is in the list as long as it is wanted, also while it waits for a back-off: whether it may be made now is decided in `start.rs`.

use alloc::vec::Vec;

use crate::container::{Life, Record};
use crate::machine::PodMachine;
use crate::plan::{Kind, RestartPolicy};
use crate::restart::{AfterExit, after};
use crate::{ContainerIndex, ProbeKind};

/// What one look at the records leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// In the order in which they are to be started.
    pub(crate) starts: Vec<ContainerIndex>,
    pub(crate) kills: Vec<Kill>,
    /// The pod's work is over: stop everything, start nothing ("KillPod" without a new sandbox).
    pub(crate) end: bool,
    /// The regular init container that failed and is among the starts (I6).
    pub(crate) failed_init: Option<ContainerIndex>,
}

/// A container that must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) container: ContainerIndex,
    pub(crate) cause: KillCause,
    /// Another instance follows, whatever code the kill leads to.
    pub(crate) then_start: bool,
}

/// Why a single container must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillCause {
    /// The spec names another image now.
    Definition,
    Probe(ProbeKind),
}

/// What a lost sandbox leads to (1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SandboxLoss {
    /// C1, C2: there will not be another one.
    End,
    /// C3: another one, and all init containers again.
    Initialise,
    /// C4: another one, and these app containers, whatever their exit codes will be.
    Start(Vec<ContainerIndex>),
}

impl PodMachine {
    /// Section 1.3: the sandbox stands.
    pub(crate) fn decide(&self) -> Decision {
        let mut decision = self.decide_members();
        if !decision.end {
            // 1. They wait for nobody.
            decision.starts.splice(0..0, self.ephemerals_to_start());
        }
        decision
    }

    /// Each is started once.
    pub(crate) fn ephemerals_to_start(&self) -> Vec<ContainerIndex> {
        let ephemerals = self.plan.ephemerals();
        ephemerals
            .filter(|index| self.container(*index).record.is_none())
            .collect()
    }

    fn decide_members(&self) -> Decision {
        let mut decision = Decision::default();
        let initialised = self.decide_inits(&mut decision);
        if decision.end || !initialised {
            return decision;
        }
        let inits_to_start = decision.starts.len();
        let mut any_kept = false;
        for app in self.plan.apps() {
            any_kept |= self.decide_app(app, &mut decision);
        }
        // 4. No work is left: this is what ends sidecars.
        if !any_kept && decision.starts.len() == inits_to_start {
            decision.starts.clear();
            decision.kills.clear();
            decision.end = true;
        }
        decision
    }

    /// Section 1.4, rows I1 to I17, from the last entry to the first. Returns whether app containers may be looked at.
    fn decide_inits(&self, decision: &mut Decision) -> bool {
        let Some(last) = self.plan.last_init() else {
            return true;
        };
        let mut initialised = self.plan.apps().any(|app| self.container(app).is_running());
        // "Some entry behind this one has a record", which an app container stands for as well.
        let mut later = initialised;
        for entry in self.plan.inits().rev() {
            let container = self.container(entry);
            let record = container.record.as_ref();
            let life = record.map(|record| &record.life);
            match (self.container_plan(entry).kind, life) {
                (Kind::Sidecar, None) => {
                    // I8
                    if later {
                        decision.starts.push(entry);
                    }
                    continue;
                }
                (Kind::Sidecar, Some(Life::Ended(_))) => decision.starts.push(entry), // I16
                (Kind::Sidecar, Some(Life::Running(_))) => {
                    let mut cause = container.probes.failed.map(KillCause::Probe);
                    if self.is_started(entry) {
                        // I12
                        if entry == last {
                            initialised = true;
                        } else if !later {
                            decision.starts.push(entry.next());
                        }
                        // I13
                        if record.is_some_and(|record| self.is_outdated(entry, record)) {
                            cause = Some(KillCause::Definition);
                        }
                    }
                    // I10, I11, I14: liveness is asked only once startup has succeeded.
                    if let Some(cause) = cause {
                        decision.kills.push(Kill {
                            container: entry,
                            cause,
                            then_start: true,
                        });
                    }
                }
                (_, None) => continue,            // I1
                (_, Some(_)) if later => {}       // I2
                (_, Some(Life::Running(_))) => {} // I4
                (_, Some(Life::Ended(ended))) if ended.succeeded() => {
                    // I5
                    if entry == last {
                        initialised = true;
                    } else {
                        decision.starts.push(entry.next());
                    }
                }
                (_, Some(Life::Ended(ended))) => {
                    // I6
                    if after(self.container_plan(entry), ended) == AfterExit::Leave {
                        *decision = Decision {
                            end: true,
                            ..Decision::default()
                        };
                        return false;
                    }
                    decision.starts.push(entry);
                    decision.failed_init = Some(entry);
                }
            }
            later = true;
        }
        if !later {
            decision.starts.push(ContainerIndex::at(0));
        }
        decision.starts.reverse();
        initialised
    }

    /// Section 1.5, rows A1 to A9. Returns whether there will be an instance of it without a start.
    fn decide_app(&self, app: ContainerIndex, decision: &mut Decision) -> bool {
        let container = self.container(app);
        let plan = self.container_plan(app);
        let Some(record) = &container.record else {
            decision.starts.push(app); // A1
            return false;
        };
        match &record.life {
            Life::Ended(ended) => {
                // A4
                if container.owed.is_some() || after(plan, ended) != AfterExit::Leave {
                    decision.starts.push(app);
                }
                false
            }
            Life::Running(running) => {
                let is_outdated = !running.in_post_start && self.is_outdated(app, record);
                let (cause, then_start) = match container.probes.failed {
                    _ if is_outdated => (KillCause::Definition, true), // A5
                    // A6, A7: the policy is asked, its rules and the code to come are not.
                    Some(probe) => (KillCause::Probe(probe), plan.policy != RestartPolicy::Never),
                    None => return true, // A9
                };
                let already = running.stop.as_ref().map(|stop| stop.then_start);
                let then_start = already.unwrap_or(then_start);
                decision.kills.push(Kill {
                    container: app,
                    cause,
                    then_start,
                });
                then_start
            }
        }
    }

    /// It was made of an image that the spec does not name any more.
    fn is_outdated(&self, index: ContainerIndex, record: &Record) -> bool {
        record.image_slot != self.container_plan(index).image_slot
    }

    /// Section 1.2, rows C1 to C4.
    pub(crate) fn decide_sandbox_loss(&self) -> SandboxLoss {
        let has_record = |index: ContainerIndex| self.container(index).record.is_some();
        if self.plan.policy == RestartPolicy::Never && self.plan.all().any(has_record) {
            return SandboxLoss::End; // C1
        }
        // Run-once: what had succeeded under OnFailure is not repeated.
        let is_left = |app: &ContainerIndex| {
            self.container_plan(*app).policy != RestartPolicy::OnFailure
                || self
                    .container(*app)
                    .ended()
                    .is_none_or(|ended| ended.code != 0)
        };
        let left: Vec<_> = self.plan.apps().filter(is_left).collect();
        if left.is_empty() && self.plan.apps().any(has_record) {
            SandboxLoss::End // C2
        } else if self.plan.init_count > 0 {
            SandboxLoss::Initialise // C3
        } else {
            SandboxLoss::Start(left) // C4
        }
    }

    /// Section 3.4: the containers whose last exit asks for a restart of all.
    pub(crate) fn reset_triggers(&self) -> Vec<ContainerIndex> {
        if !self.plan.has_restart_all_rule {
            return Vec::new();
        }
        let is_trigger = |index: &ContainerIndex| {
            let ended = self.container(*index).ended();
            ended.is_some_and(|ended| {
                after(self.container_plan(*index), ended) == AfterExit::RestartAll
            })
        };
        self.plan.all().filter(is_trigger).collect()
    }
}
