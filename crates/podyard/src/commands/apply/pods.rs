//! The pods of `apply`: one that is not there is started, one that runs is changed as far as that is possible.

use podyard_api::{Diagnostic, ValidPod, defaults};
use podyard_supervisor::{NewPod, PodError, PodHandle};

use super::no_name;
use crate::commands::block_on;
use crate::error::CliError;
use crate::new_pod::{self, Given};
use crate::objects::{Container, Pod, PodExt as _};
use crate::pods;
use crate::settings::{Context, PodOptions};

/// What is to become of one pod.
pub(super) enum PodChange {
    /// There is none of its name, or one that has ended and was another.
    Start(Box<NewPod>),
    /// It is there, and says the same.
    Keep(Box<Pod>),
    /// It runs, and is to be this one.
    Update(Box<PodHandle>, Box<Pod>),
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
    let old = handle
        .accepted()
        .map_err(|error| pods::from_pod_error(error, namespace, name))?;
    let mut wanted = new.pod.clone();
    keep_pull_policies(&old, &mut wanted);
    if says_the_same(&old, &wanted) {
        let now = handle
            .pod()
            .map_err(|error| pods::from_pod_error(error, namespace, name))?;
        return Ok(PodChange::Keep(Box::new(now)));
    }
    if handle.has_ended() {
        return Ok(PodChange::Start(Box::new(new)));
    }
    update(handle, &old, wanted)
}

/// A pod that runs and is to become another one: what the API server would let it become.
fn update(handle: PodHandle, old: &Pod, wanted: Pod) -> Result<PodChange, CliError> {
    let mut new = old.clone();
    new.metadata.labels = wanted.metadata.labels;
    new.metadata.annotations = wanted.metadata.annotations;
    if let (Some(new), Some(mut wanted)) = (&mut new.spec, wanted.spec) {
        wanted.node_name = new.node_name.take();
        wanted.ephemeral_containers = new.ephemeral_containers.take();
        *new = wanted;
    }
    let problems = podyard_api::validate::pod_update(old, &new);
    if problems.is_empty() {
        return Ok(PodChange::Update(Box::new(handle), Box::new(new)));
    }
    let (namespace, name) = (&handle.namespace, &handle.name);
    let problem =
        |problem: &Diagnostic| format!("The Pod {name:?} is invalid: {}\n", problem.message);
    let rendered: String = problems.iter().map(problem).collect();
    let hint = format!(
        "hint: what else a pod is, it stays: `podyard delete pod {name} -n {namespace}`, and apply it again"
    );
    Err(CliError::Manifest {
        count: problems.len(),
        rendered: rendered + &hint,
    })
}

/// A policy that the manifest has left to the image's tag was chosen when the pod was made, and does not follow another tag.
fn keep_pull_policies(old: &Pod, new: &mut Pod) {
    let (Some(old), Some(new)) = (&old.spec, &mut new.spec) else {
        return;
    };
    let old = old.init_containers.iter().flatten().chain(&old.containers);
    let inits = new.init_containers.iter_mut().flatten();
    let is_default = |container: &Container| {
        let image = container.image.as_deref().unwrap_or_default();
        container.image_pull_policy.as_deref() == Some(defaults::default_pull_policy(image))
    };
    for (old, new) in old.zip(inits.chain(&mut new.containers)) {
        if is_default(old) && is_default(new) {
            new.image_pull_policy.clone_from(&old.image_pull_policy);
        }
    }
}

/// Whether two pods differ in nothing that a manifest says.
fn says_the_same(one: &Pod, other: &Pod) -> bool {
    let plain = |pod: &Pod| {
        let mut pod = pod.clone();
        podyard_api::defaults::forget_servers_part(&mut pod.metadata);
        if let Some(spec) = &mut pod.spec {
            // Chosen when the pod was accepted.
            spec.node_name = None;
            // Added while it runs.
            spec.ephemeral_containers = None;
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
            Self::Update(..) => "configured",
        }
    }

    /// The pod as it would be.
    pub(super) fn into_pod(self) -> Pod {
        match self {
            Self::Start(new) => new.pod,
            Self::Keep(pod) | Self::Update(_, pod) => *pod,
        }
    }

    /// Makes it so, and returns the pod as it is then.
    pub(super) fn make(self, context: &Context) -> Result<Pod, CliError> {
        match self {
            Self::Keep(pod) => Ok(*pod),
            Self::Update(handle, pod) => {
                let from_pod_error =
                    |error| pods::from_pod_error(error, &handle.namespace, &handle.name);
                handle.ensure_supervised().map_err(from_pod_error)?;
                block_on(async {
                    let changed = handle.client().replace(&pod).await;
                    changed.map_err(|error| {
                        CliError::failed(format!("pod `{}` cannot be changed", handle.name), error)
                    })
                })
            }
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

    #[test]
    fn a_policy_that_nobody_named_stays_with_another_image() {
        let with = |image: &str, policy: &str| {
            let mut pod = pod("Running", [app("a", running())]);
            let container = &mut pod.spec.as_mut().expect("a spec").containers[0];
            container.image = Some(image.to_owned());
            container.image_pull_policy = Some(policy.to_owned());
            pod
        };
        for (old, new, expected) in [
            (
                ("x:1", "IfNotPresent"),
                ("x:latest", "Always"),
                "IfNotPresent",
            ),
            (("x:1", "Never"), ("x:latest", "Always"), "Always"),
            (("x:1", "IfNotPresent"), ("x:latest", "Never"), "Never"),
        ] {
            let mut changed = with(new.0, new.1);
            keep_pull_policies(&with(old.0, old.1), &mut changed);
            let container = &changed.spec.expect("a spec").containers[0];
            assert_eq!(container.image_pull_policy.as_deref(), Some(expected));
        }
    }
}
