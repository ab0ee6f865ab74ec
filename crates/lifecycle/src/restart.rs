//! Whether an exit is followed by another start (sections 1.6 and 3.3).

use crate::container::Ended;
use crate::plan::{ContainerPlan, RestartPolicy, RuleAction};

/// What the rules and the policy say of one exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterExit {
    Leave,
    Restart,
    RestartAll,
}

/// The first matching rule decides; without one, the effective policy does.
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

/// The same for an instance on record. An init container that was out of memory has failed whatever its code was (quirk Q5: treated as a
/// plain failure).
pub(crate) fn after(plan: &ContainerPlan, ended: &Ended) -> AfterExit {
    if ended.reason == "RestartingAllContainers" {
        return AfterExit::Restart;
    }
    let code = if ended.code == 0 && ended.reason == "OOMKilled" {
        137
    } else {
        ended.code
    };
    after_exit(plan, code)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{
        Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes, Pod, PodSpec,
    };

    use super::*;
    use crate::plan::PodPlan;

    fn plan(policy: Option<&str>, rules: &[(&str, &str, &[i32])]) -> ContainerPlan {
        let container = Container {
            name: "c".into(),
            restart_policy: policy.map(Into::into),
            restart_policy_rules: Some(
                rules
                    .iter()
                    .map(|(action, operator, values)| ContainerRestartRule {
                        action: (*action).into(),
                        exit_codes: Some(ContainerRestartRuleOnExitCodes {
                            operator: (*operator).into(),
                            values: Some(values.to_vec()),
                        }),
                    })
                    .collect(),
            ),
            ..Container::default()
        };
        let spec = PodSpec {
            containers: [container].into(),
            restart_policy: Some("Never".into()),
            ..PodSpec::default()
        };
        PodPlan::new(&Pod {
            spec: Some(spec),
            ..Pod::default()
        })
        .containers
        .remove(0)
    }

    #[test]
    fn the_first_matching_rule_wins_then_the_policy() {
        use AfterExit::{Leave, Restart, RestartAll};
        let none: &[(&str, &str, &[i32])] = &[];
        for (policy, rules, code, expected) in [
            (Some("Always"), none, 0, Restart),
            (Some("OnFailure"), none, 0, Leave),
            (Some("OnFailure"), none, 1, Restart),
            (None, none, 1, Leave),
            (
                Some("Never"),
                &[("Restart", "In", &[42][..])][..],
                42,
                Restart,
            ),
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
            (Some("Never"), &[("Restart", "In", &[])], 0, Leave),
        ] {
            assert_eq!(
                after_exit(&plan(policy, rules), code),
                expected,
                "{policy:?} {rules:?} {code}"
            );
        }
    }
}
