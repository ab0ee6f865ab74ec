//! The Pod is changed while it runs: other images, another deadline, more ephemeral containers.
//!
//! Nothing is done about it here. A container whose image is another one now is found by the tables (A5, I13), as the kubelet finds it by
//! its hash; what was put off is looked at again at once, since the kubelet looks at a pod as soon as it has changed.

use alloc::vec::Vec;

use k8s_openapi::api::core::v1::Pod;

use crate::container::{BackoffStep, Container};
use crate::image::ImageBackoff;
use crate::machine::PodMachine;
use crate::plan::{Kind, PodPlan};
use crate::time::Moment;
use crate::{Accepted, ContainerIndex, Refusal, limits};

impl PodMachine {
    /// The Pod is this one from now on. That it may be is for whoever asks to know; only its containers must be the ones that there are.
    pub(crate) fn update(&mut self, pod: &Pod) -> Result<Accepted, Refusal> {
        let plan = PodPlan::after(pod, self.plan.images.clone());
        if !has_containers_of(&plan, &self.plan) {
            return Err(Refusal::OtherContainers);
        }
        if plan == self.plan {
            return Ok(Accepted::AlreadySo);
        }
        if plan.images.len() > limits::IMAGES_OF_A_POD {
            return Err(Refusal::TooManyImages);
        }
        let before = core::mem::replace(&mut self.plan, plan);
        self.images
            .resize_with(self.plan.images.len(), ImageBackoff::default);
        self.containers
            .resize_with(self.plan.containers.len(), Container::default);
        self.deadline = self
            .plan
            .active_deadline
            .map(|deadline| self.began.plus(deadline));
        let now = self.now.moment();
        let known = (0..before.containers.len()).map(ContainerIndex::at);
        for index in known {
            let (was, is) = (
                before.get(index).image_slot,
                self.plan.get(index).image_slot,
            );
            let container = self.container_mut(index);
            container.hold = None;
            if was == is {
                continue;
            }
            container.change_image(was, is, now);
            if self.crash_wait(index).is_some() {
                // It is another wait than the one that is told of.
                self.container_mut(index).waiting = None;
            }
        }
        Ok(Accepted::Done)
    }
}

impl Container {
    /// The image is part of the key of a back-off (section 4.1): another one begins anew, and one of before goes on with its own.
    fn change_image(&mut self, was: usize, is: usize, now: Moment) {
        let known = self.other_backoffs.iter().position(|(slot, _)| *slot == is);
        let next = known.map(|position| self.other_backoffs.swap_remove(position).1);
        let last = core::mem::replace(&mut self.backoff, next.unwrap_or_default());
        self.other_backoffs.push((was, last));
        // Whatever was begun or lifted was about the other one.
        self.backoff_step = BackoffStep::Ahead;
        self.other_backoffs
            .retain(|(_, backoff)| backoff.is_current(now));
    }
}

/// The same containers; only ephemeral ones may be new, and behind those that there are.
fn has_containers_of(plan: &PodPlan, before: &PodPlan) -> bool {
    let key = |plan: &PodPlan| -> Vec<_> {
        let names = plan.containers.iter();
        names
            .map(|container| (container.kind, container.name.clone()))
            .collect()
    };
    let (now, then): (Vec<(Kind, _)>, Vec<_>) = (key(plan), key(before));
    plan.init_count == before.init_count
        && plan.app_count == before.app_count
        && now.starts_with(&then)
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::string::String;

    use k8s_openapi::api::core::v1 as api;

    use super::*;
    use crate::{Condition, Now, Request, Settings, Timestamp};

    fn pod(image: String) -> Pod {
        let app = api::Container {
            name: "a".into(),
            image: Some(image),
            ..api::Container::default()
        };
        let spec = api::PodSpec {
            containers: [app].into(),
            ..api::PodSpec::default()
        };
        Pod {
            spec: Some(spec),
            ..Pod::default()
        }
    }

    #[test]
    fn what_grows_with_changes_has_an_end() {
        let mut machine = PodMachine::new(&pod("0".into()), Settings::default(), Now::default());
        let mut change = |image: usize| {
            let pod = Box::new(pod(format!("{image}")));
            machine.request(Now::default(), &Request::Update { pod })
        };
        for image in 1..limits::IMAGES_OF_A_POD {
            assert_eq!(change(image), Ok(Accepted::Done));
        }
        assert_eq!(change(limits::IMAGES_OF_A_POD), Err(Refusal::TooManyImages));
        // One that it had before is none more.
        assert_eq!(change(0), Ok(Accepted::Done));
        // Only a back-off that would still make something wait is remembered.
        assert_eq!(machine.containers[0].other_backoffs.len(), 0);
    }

    #[test]
    fn conditions_of_others_have_an_end() {
        let mut machine = PodMachine::new(&pod("0".into()), Settings::default(), Now::default());
        let mut set = |number: usize| {
            let condition = Condition {
                kind: format!("example.com/{number}"),
                status: "True".into(),
                reason: None,
                message: None,
                since: None,
            };
            machine.request(Now::default(), &Request::SetCondition { condition })
        };
        for number in 0..limits::FOREIGN_CONDITIONS {
            assert_eq!(set(number), Ok(Accepted::Done));
        }
        assert_eq!(
            set(limits::FOREIGN_CONDITIONS),
            Err(Refusal::TooManyConditions)
        );
        assert_eq!(set(0), Ok(Accepted::AlreadySo));
    }

    #[test]
    fn who_sets_a_condition_may_say_since_when() {
        let mut machine = PodMachine::new(&pod("0".into()), Settings::default(), Now::default());
        let mut since = |status: &str, seconds: Option<i64>| {
            let condition = Condition {
                kind: "example.com/wired".into(),
                status: status.into(),
                reason: None,
                message: None,
                since: seconds.map(|seconds| Timestamp {
                    seconds,
                    nanoseconds: 0,
                }),
            };
            let now = Now {
                wall: Timestamp {
                    seconds: 100,
                    nanoseconds: 0,
                },
                ..Now::default()
            };
            let request = Request::SetCondition { condition };
            machine.request(now, &request).expect("granted");
            let conditions = machine.status().conditions.unwrap_or_default();
            let time = conditions[0].last_transition_time.clone();
            time.expect("a time").0.as_second()
        };
        assert_eq!(since("False", Some(7)), 7);
        assert_eq!(since("False", None), 7);
        assert_eq!(since("True", None), 100);
        assert_eq!(since("True", Some(8)), 8);
    }
}
