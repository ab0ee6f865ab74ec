//! The cgroup of a container, which is below that of its pod.
//!
//! On v1 each controller has a hierarchy of its own, and to make and remove a directory in each is a good part of what a container costs. So
//! the containers of a pod share those in which they would not differ: in the hierarchy of pids, where only the pod has a limit, they are
//! in the pod's own directory; in that of devices, those that may use nothing but a container's are in one directory for all of them.

use super::detect::{Controller, Hierarchy};
use super::{Cgroup, CgroupError, CgroupRoot, Devices, Resources};

/// Where containers are that may use the devices of a container only; below the pod's directory.
const CONFINED: &str = "confined";

impl Cgroup {
    /// Makes the cgroup `name` in the pod's, and limits it. `name` must not be `confined`.
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn create_in_pod(
        root: &CgroupRoot,
        pod: &str,
        name: &str,
        resources: &Resources,
    ) -> Result<Self, CgroupError> {
        Self::create_sharing(root, &format!("{pod}/{name}"), resources, |hierarchy| {
            if resources.devices == Devices::Container {
                confined(hierarchy, pod)
            } else {
                None
            }
            .or_else(|| of_pod(hierarchy, pod).filter(|_| resources.pids_limit.is_none()))
        })
    }

    /// Finds it again. `None` when it exists in no hierarchy.
    ///
    /// # Errors
    /// As [`Cgroup::open`].
    pub fn open_in_pod(
        root: &CgroupRoot,
        pod: &str,
        name: &str,
    ) -> Result<Option<Self>, CgroupError> {
        Self::open_sharing(root, &format!("{pod}/{name}"), |hierarchy| {
            confined(hierarchy, pod).or_else(|| of_pod(hierarchy, pod))
        })
    }
}

/// The directory of confined containers, in the hierarchy that has one.
pub(super) fn confined(hierarchy: &Hierarchy, pod: &str) -> Option<String> {
    is_only(hierarchy, Controller::Devices).then(|| format!("{pod}/{CONFINED}"))
}

/// The pod's own directory, in the hierarchy in which containers have none.
fn of_pod(hierarchy: &Hierarchy, pod: &str) -> Option<String> {
    is_only(hierarchy, Controller::Pids).then(|| pod.to_owned())
}

fn is_only(hierarchy: &Hierarchy, controller: Controller) -> bool {
    !hierarchy.unified && hierarchy.controllers == [controller]
}
