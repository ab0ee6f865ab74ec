//! Whether an exit is followed by another start: the restart predicate (sections 1.6 and 3.3).

use crate::container::{Cause, Ended};
use crate::plan::{ContainerPlan, RestartPolicy, RuleAction};

/// What an exit leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// The instance was the last one.
    Leave,
    Restart,
    RestartAll,
}

/// The first rule that matches decides; without one, the policy does. Of a probe's kill the kubelet decides without looking at the code.
pub(crate) fn after_exit(plan: &ContainerPlan, code: i32) -> AfterExit {
    if let Some(rule) = plan.rules.iter().find(|rule| rule.matches(code)) {
        return match rule.action {
            RuleAction::Restart => AfterExit::Restart,
            RuleAction::RestartAllContainers => AfterExit::RestartAll,
        };
    }
    match plan.policy {
        RestartPolicy::Always => AfterExit::Restart,
        RestartPolicy::OnFailure if code != 0 => AfterExit::Restart,
        RestartPolicy::OnFailure | RestartPolicy::Never => AfterExit::Leave,
    }
}

/// The same for an instance on record. One that was out of memory has failed, whatever its code says: the kubelet agrees for init
/// containers and then gets lost (quirk Q5).
pub(crate) fn after(plan: &ContainerPlan, ended: &Ended) -> AfterExit {
    let code = match ended.cause {
        Cause::OomKilled if ended.code == 0 => 137,
        _ => ended.code,
    };
    after_exit(plan, code)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use k8s_openapi::api::core::v1 as api;

    use super::*;
    use crate::plan::PodPlan;

    type Rules = [(&'static str, &'static str, &'static [i32])];

    fn plan(policy: Option<&str>, rules: &Rules) -> ContainerPlan {
        let rules: Vec<_> = rules
            .iter()
            .map(|(action, operator, values)| api::ContainerRestartRule {
                action: (*action).into(),
                exit_codes: Some(api::ContainerRestartRuleOnExitCodes {
                    operator: (*operator).into(),
                    values: Some(values.to_vec()),
                }),
            })
            .collect();
        let container = api::Container {
            name: "c".into(),
            restart_policy: policy.map(Into::into),
            restart_policy_rules: Some(rules),
            ..api::Container::default()
        };
        let spec = api::PodSpec {
            containers: [container].into(),
            restart_policy: Some("Never".into()),
            ..api::PodSpec::default()
        };
        let pod = api::Pod {
            spec: Some(spec),
            ..api::Pod::default()
        };
        PodPlan::new(&pod).containers.remove(0)
    }

    #[test]
    fn the_first_matching_rule_wins_then_the_policy() {
        use AfterExit::{Leave, Restart, RestartAll};
        let cases: [(Option<&str>, &Rules, i32, AfterExit); 12] = [
            (Some("Always"), &[], 0, Restart),
            (Some("Always"), &[], 1, Restart),
            (Some("OnFailure"), &[], 0, Leave),
            (Some("OnFailure"), &[], 1, Restart),
            (None, &[], 1, Leave),
            (Some("Never"), &[("Restart", "In", &[42])], 42, Restart),
            (Some("Never"), &[("Restart", "In", &[42])], 41, Leave),
            (Some("Never"), &[("Restart", "NotIn", &[0, 3])], 1, Restart),
            (Some("Never"), &[("Restart", "NotIn", &[0, 3])], 3, Leave),
            (
                Some("Never"),
                &[
                    ("RestartAllContainers", "In", &[5]),
                    ("Restart", "NotIn", &[]),
                ],
                5,
                RestartAll,
            ),
            (Some("Never"), &[("Restart", "NotIn", &[])], 0, Restart),
            (Some("Never"), &[("Restart", "In", &[])], 0, Leave),
        ];
        for (policy, rules, code, expected) in cases {
            assert_eq!(
                after_exit(&plan(policy, rules), code),
                expected,
                "{policy:?} {rules:?} {code}"
            );
        }
    }
}
