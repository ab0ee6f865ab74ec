//! The pod as it is now: what was accepted, with everything that has been changed since.
//!
//! Drivers borrow the spec for as long as they like, and it can change at any turn. So a spec that is not the newest any more stays where it
//! is until the supervisor ends; how many there can be is bounded.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use podyard_api::core::{Container, Pod, PodSpec};

use crate::limits;

pub(crate) struct CurrentPod {
    whole: RefCell<Rc<Pod>>,
    first: Version,
}

/// A spec, and the one that came after it.
#[derive(Default)]
struct Version {
    spec: PodSpec,
    /// `spec.ephemeralContainers` as what they are to every driver.
    ephemerals: Vec<Container>,
    next: OnceCell<Box<Self>>,
}

impl Version {
    fn of(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let ephemerals = spec.ephemeral_containers.iter().flatten();
        Self {
            ephemerals: ephemerals
                .map(podyard_api::ephemeral_as_container)
                .collect(),
            spec,
            next: OnceCell::new(),
        }
    }
}

impl CurrentPod {
    pub(crate) fn new(pod: Pod) -> Self {
        Self {
            first: Version::of(&pod),
            whole: RefCell::new(Rc::new(pod)),
        }
    }

    /// All of it, as it is now.
    pub(crate) fn whole(&self) -> Rc<Pod> {
        Rc::clone(&self.whole.borrow())
    }

    pub(crate) fn spec(&self) -> &PodSpec {
        &self.newest().0.spec
    }

    /// Init containers, app containers, ephemeral ones: the order of [`podyard_lifecycle::ContainerIndex`].
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        let newest = self.newest().0;
        crate::translate::containers(&newest.spec).chain(&newest.ephemerals)
    }

    /// The container in whose processes an ephemeral one is to look.
    pub(crate) fn target_of(&self, name: &str) -> Option<&str> {
        let mut ephemerals = self.spec().ephemeral_containers.iter().flatten();
        let container = ephemerals.find(|container| container.name == name)?;
        let target = container.target_container_name.as_deref();
        target.filter(|target| !target.is_empty())
    }

    /// Whether it can be changed once more.
    pub(crate) fn is_changeable(&self) -> bool {
        self.newest().1 < limits::POD_CHANGES
    }

    /// It is this one from now on.
    pub(crate) fn replace(&self, pod: &Pod) {
        if pod.spec.as_ref() != Some(self.spec()) {
            // The newest one has nothing behind it.
            let _ = self.newest().0.next.set(Box::new(Version::of(pod)));
        }
        *self.whole.borrow_mut() = Rc::new(pod.clone());
    }

    /// And how many there were before it.
    fn newest(&self) -> (&Version, usize) {
        let (mut version, mut count) = (&self.first, 0);
        while let Some(next) = version.next.get() {
            (version, count) = (next, count + 1);
        }
        (version, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(image: &str, ephemerals: &[&str]) -> Pod {
        let list: Vec<_> = ephemerals
            .iter()
            .map(|name| serde_json::json!({"name": name, "image": "x", "targetContainerName": "a"}))
            .collect();
        serde_json::from_value(
            serde_json::json!({"metadata": {"labels": {"image": image}}, "spec": {
                "initContainers": [{"name": "i", "image": "x"}],
                "containers": [{"name": "a", "image": image}],
                "ephemeralContainers": list,
            }}),
        )
        .expect("a pod")
    }

    #[test]
    fn who_has_borrowed_a_spec_keeps_it() {
        let current = CurrentPod::new(pod("one", &[]));
        let before = current.spec();
        current.replace(&pod("two", &["d"]));
        assert_eq!(before.containers[0].image.as_deref(), Some("one"));
        assert_eq!(current.spec().containers[0].image.as_deref(), Some("two"));
        let names: Vec<_> = current.containers().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["i", "a", "d"]);
        assert_eq!(current.target_of("d"), Some("a"));
        assert_eq!(current.target_of("a"), None);
    }

    #[test]
    fn labels_can_change_for_ever_and_the_spec_cannot() {
        let current = CurrentPod::new(pod("0", &[]));
        for round in 0..3 * limits::POD_CHANGES {
            let mut changed = (*current.whole()).clone();
            changed.metadata.labels = Some([("round".to_owned(), round.to_string())].into());
            current.replace(&changed);
        }
        assert!(current.is_changeable());
        for round in 0..limits::POD_CHANGES {
            assert!(current.is_changeable());
            current.replace(&pod(&format!("image-{round}"), &[]));
        }
        assert!(!current.is_changeable());
    }
}
