//! What a Deployment, ReplicaSet, StatefulSet or DaemonSet does next, from the pods it has had: which to start, and when.
//!
//! Kubernetes' rules: there are to be as many pods as there are replicas. One that has ended or is gone is replaced; its own restarts
//! are the pod's business. A StatefulSet starts its pods in the order of their numbers, each once the one before it is Ready.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::back_off;
use crate::core::Pod;

/// One pod that the set has had.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Which of the replicas it is, counted from 0.
    pub index: usize,
    /// The pod with its status.
    pub pod: &'a Pod,
    /// Whether it was deleted.
    pub is_gone: bool,
}

/// A pod that is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which of the replicas.
    pub index: usize,
    /// How long after the end of the one it replaces: a pod that fails again and again, such as one that is evicted, is not replaced
    /// in a circle.
    pub wait: Duration,
}

/// What to start now. Nothing is to be done until one of the pods changes, if that is nothing.
#[must_use]
pub fn step(replicas: usize, is_ordered: bool, members: &[Member<'_>]) -> Vec<Start> {
    let mut of_index: BTreeMap<usize, State> = BTreeMap::new();
    for member in members {
        let state = of_index.entry(member.index).or_default();
        match phase(member.pod) {
            "Failed" => state.failures += 1,
            _ if member.is_gone => {}
            "Succeeded" => {}
            _ => {
                state.is_there = true;
                state.is_ready = is_ready(member.pod);
            }
        }
    }
    let mut starts = Vec::new();
    for index in 0..replicas {
        let state = of_index.get(&index).copied().unwrap_or_default();
        if !state.is_there {
            starts.push(Start {
                index,
                wait: back_off(state.failures),
            });
        }
        if is_ordered && !state.is_ready {
            break;
        }
    }
    starts
}

/// How it stands with one of the replicas.
#[derive(Clone, Copy, Default)]
struct State {
    is_there: bool,
    is_ready: bool,
    failures: usize,
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Whether the pod's condition says so.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pods in short, each behind its index: `s` starting, `r` ready, `f` failed, `g` gone, `d` done.
    fn next(replicas: usize, is_ordered: bool, short: &str) -> String {
        let pods: Vec<(usize, bool, Pod)> = short
            .split_whitespace()
            .map(|word| {
                let (index, kind) = word.split_at(word.len() - 1);
                let (phase, ready) = match kind {
                    "r" => ("Running", "True"),
                    "f" => ("Failed", "False"),
                    "d" => ("Succeeded", "False"),
                    _ => ("Pending", "False"),
                };
                let pod = serde_json::from_value(serde_json::json!({
                    "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
                }));
                (index.parse().expect(word), kind == "g", pod.expect("a pod"))
            })
            .collect();
        let members: Vec<Member<'_>> = pods
            .iter()
            .map(|(index, is_gone, pod)| Member {
                index: *index,
                pod,
                is_gone: *is_gone,
            })
            .collect();
        let starts = step(replicas, is_ordered, &members);
        let starts: Vec<String> = starts
            .iter()
            .map(|start| format!("{} after {}s", start.index, start.wait.as_secs()))
            .collect();
        starts.join(", ")
    }

    #[test]
    fn replicas_start_together_and_are_replaced() {
        for (replicas, pods, expected) in [
            (0, "", ""),
            (2, "", "0 after 0s, 1 after 0s"),
            (2, "0s 1s", ""),
            (2, "0r 1g", "1 after 0s"),
            (2, "0r 1f", "1 after 10s"),
            (2, "0r 1f 1f", "1 after 20s"),
            (2, "0r 1f 1s", ""),
            (2, "0d 1r", "0 after 0s"),
        ] {
            assert_eq!(next(replicas, false, pods), expected, "{pods}");
        }
    }

    #[test]
    fn ordered_ones_wait_for_each_other() {
        for (pods, expected) in [
            ("", "0 after 0s"),
            ("0s", ""),
            ("0r", "1 after 0s"),
            ("0r 1s", ""),
            ("0r 1r", "2 after 0s"),
            ("0g 1r 2r", "0 after 0s"),
            ("0s 1g 2r", ""),
            ("0r 1r 2r", ""),
        ] {
            assert_eq!(next(3, true, pods), expected, "{pods}");
        }
    }
}
