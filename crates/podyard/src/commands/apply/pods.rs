//! The pods of `apply`: one that is not there is started, one that is there and says the same stays.

use podyard_api::ValidPod;
use podyard_supervisor::{NewPod, PodError, PodHandle};

use super::no_name;
use crate::error::CliError;
use crate::named;
use crate::new_pod::{self, Given};
use crate::objects::{Pod, PodExt as _};
use crate::pods;
use crate::settings::{Context, PodOptions};

/// What is to become of one pod.
pub(super) enum PodChange {
    /// There is none of its name, or one that has ended and was another.
    Start(Box<NewPod>),
    /// It is there, and says the same.
    Keep(Box<Pod>),
}

/// What is to become of each.
pub(super) fn changes(
    context: &Context,
    options: &PodOptions,
    valid: &[ValidPod],
) -> Result<Vec<PodChange>, CliError> {
    valid
        .iter()
        .map(|pod| change(context, options, pod))
        .collect()
}

fn change(
    context: &Context,
    options: &PodOptions,
    valid: &ValidPod,
) -> Result<PodChange, CliError> {
    let metadata = &valid.pod().metadata;
    if let Some(prefix) = &metadata.generate_name
        && valid.name().starts_with(prefix.as_str())
    {
        return Err(no_name(prefix));
    }
    // What it refers to is kept, and not given along: then it follows what is applied later.
    let new = new_pod::new_pod(context, options, &Given::default(), valid.pod().clone())?;
    let (namespace, name) = (new.pod.namespace(), new.pod.name());
    let handle = match podyard_supervisor::pods::find(context.root.as_deref(), namespace, name) {
        Ok(handle) => handle,
        Err(PodError::NotFound { .. }) => return Ok(PodChange::Start(Box::new(new))),
        Err(error) => return Err(pods::from_pod_error(error, namespace, name)),
    };
    let record = handle
        .record()
        .map_err(|error| pods::from_pod_error(error, namespace, name))?;
    if says_the_same(&record.pod, &new.pod) {
        let now = handle
            .pod()
            .map_err(|error| pods::from_pod_error(error, namespace, name))?;
        return Ok(PodChange::Keep(Box::new(now)));
    }
    if handle.has_ended() {
        return Ok(PodChange::Start(Box::new(new)));
    }
    update(&handle)
}

/// A pod that runs and is to become another one.
fn update(handle: &PodHandle) -> Result<PodChange, CliError> {
    let (namespace, name) = (&handle.namespace, &handle.name);
    Err(CliError::Usage(format!(
        "pod `{name}` runs in namespace `{namespace}` and its manifest says something else now: a pod that runs is not changed; `podyard delete pod {name} -n {namespace}` first"
    )))
}

/// Whether two pods differ in nothing that a manifest says.
fn says_the_same(one: &Pod, other: &Pod) -> bool {
    let plain = |pod: &Pod| {
        let mut pod = pod.clone();
        named::forget_servers_part(&mut pod.metadata);
        if let Some(spec) = &mut pod.spec {
            // Chosen when the pod was accepted.
            spec.node_name = None;
        }
        pod.status = None;
        pod
    };
    plain(one) == plain(other)
}

impl PodChange {
    /// Whether a pod is made.
    pub(super) fn starts(&self) -> bool {
        matches!(self, Self::Start(_))
    }

    /// kubectl's word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Start(_) => "created",
            Self::Keep(_) => "unchanged",
        }
    }

    /// The pod as it would be.
    pub(super) fn into_pod(self) -> Pod {
        match self {
            Self::Start(new) => new.pod,
            Self::Keep(pod) => *pod,
        }
    }

    /// Makes it so, and returns the pod as it is then.
    pub(super) fn make(self, context: &Context) -> Result<Pod, CliError> {
        match self {
            Self::Keep(pod) => Ok(*pod),
            Self::Start(new) => {
                let handle = new_pod::create(context, *new)?;
                new_pod::accepted(&handle)?;
                handle
                    .pod()
                    .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, pod, running};

    #[test]
    fn what_was_chosen_for_the_pod_makes_no_difference() {
        let one = pod("Running", [app("a", running())]);
        let mut other = one.clone();
        other.status = None;
        other.metadata.uid = Some("another".to_owned());
        other.spec.as_mut().expect("a spec").node_name = Some("here".to_owned());
        assert!(says_the_same(&one, &other));
        other.spec.as_mut().expect("a spec").restart_policy = Some("Never".to_owned());
        assert!(!says_the_same(&one, &other));
    }
}
