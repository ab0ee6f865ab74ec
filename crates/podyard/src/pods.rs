//! How commands find pods: by name or by scope, with a supervisor wherever one is needed.

use podyard_supervisor::{PodError, PodHandle, Roots};

use crate::error::CliError;
use crate::history;
use crate::objects::{Pod, PodExt as _, Timestamp};
use crate::output::times::Times;
use crate::settings::{Context, Scope};
use crate::target::Target;

/// What the pod's back-offs are multiplied by, if it does not wait as a cluster would.
pub(crate) fn backoff_factor(handle: &PodHandle) -> Option<f64> {
    handle.record().ok()?.options.settings.backoff_factor()
}

/// The directories of this instance.
pub(crate) fn roots(context: &Context) -> Result<Roots, CliError> {
    Roots::resolve(context.root.as_deref())
        .map_err(|error| CliError::failed("cannot find the state directory", error))
}

/// The pod of this name in the namespace of the context.
pub(crate) fn find(context: &Context, name: &str) -> Result<PodHandle, CliError> {
    let found = podyard_supervisor::pods::find(context.root.as_deref(), context.namespace(), name);
    let handle = found.map_err(|error| from_pod_error(error, context.namespace(), name))?;
    supervise(context, &handle);
    Ok(handle)
}

/// The pods that are meant, by namespace and name; a named one that does not exist is an error.
pub(crate) fn select(
    context: &Context,
    target: &Target,
    scope: Scope,
) -> Result<Vec<PodHandle>, CliError> {
    match target {
        Target::Named(_) if scope == Scope::AllNamespaces => Err(CliError::Usage(
            "a pod cannot be named across all namespaces".to_owned(),
        )),
        Target::Named(names) => names.iter().map(|name| find(context, name)).collect(),
        Target::All | Target::Selected(_) => {
            let listed = podyard_supervisor::pods::list(context.root.as_deref());
            let mut handles =
                listed.map_err(|error| CliError::failed("cannot list the pods", error))?;
            handles.retain(|handle| {
                scope == Scope::AllNamespaces || handle.namespace == context.namespace()
            });
            for handle in &handles {
                supervise(context, handle);
            }
            if let Target::Selected(selection) = target {
                handles.retain(|handle| handle.pod().is_ok_and(|pod| selection.matches(&pod)));
            }
            Ok(handles)
        }
    }
}

/// Whoever looks at a pod whose supervisor has died brings it back. Looking goes on without it: the files tell what was last known.
fn supervise(context: &Context, handle: &PodHandle) {
    if let Err(error) = handle.ensure_supervised()
        && context.verbose
    {
        CliError::failed(format!("pod `{}` has no supervisor", handle.name), error)
            .report(context.stderr);
    }
}

/// The pods that have not ended and mount this claim.
pub(crate) fn users_of_claim(
    context: &Context,
    namespace: &str,
    claim: &str,
) -> Result<Vec<String>, CliError> {
    let listed = podyard_supervisor::pods::list(context.root.as_deref());
    let handles = listed.map_err(|error| CliError::failed("cannot list the pods", error))?;
    let mounts_it = |handle: &PodHandle| {
        // One that cannot be read may use anything; what runs of it is told by itself.
        let Ok(record) = handle.record() else {
            return false;
        };
        let volumes = record.pod.spec.and_then(|spec| spec.volumes);
        volumes.into_iter().flatten().any(|volume| {
            volume
                .persistent_volume_claim
                .is_some_and(|source| source.claim_name == claim)
        })
    };
    let users = handles
        .into_iter()
        .filter(|handle| handle.namespace == namespace && !handle.has_ended())
        .filter(mounts_it)
        .map(|handle| handle.name);
    Ok(users.collect())
}

/// What is known of its containers' times beyond the status; nothing, if its journal cannot be read.
pub(crate) fn times(handle: &PodHandle, pod: &Pod) -> Times {
    let turns = handle.turns().unwrap_or_default();
    let settings = handle
        .record()
        .map(|record| record.options.settings)
        .unwrap_or_default();
    Times {
        instances: history::instances(pod, &turns),
        next_tries: Vec::new(),
        backoff_per_mille: settings.backoff_per_mille,
    }
}

/// When waiting containers will be tried again, as their supervisor says.
pub(crate) fn next_tries(_handle: &PodHandle) -> Vec<(String, Timestamp)> {
    Vec::new()
}

/// A pod's own error in the words of this crate.
pub(crate) fn from_pod_error(error: PodError, namespace: &str, name: &str) -> CliError {
    match error {
        PodError::NotFound { .. } => CliError::PodNotFound {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        PodError::AlreadyExists { .. } => CliError::AlreadyExists {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        error => CliError::failed(format!("cannot use pod `{name}`"), error),
    }
}

/// The names of all containers, in the order of the manifest: init, app, ephemeral.
pub(crate) fn all_containers(pod: &Pod) -> Vec<String> {
    pod.init_containers()
        .iter()
        .chain(pod.app_containers())
        .chain(&pod.ephemeral_containers())
        .map(|container| container.name.clone())
        .collect()
}

/// The container, if the pod has one of this name.
pub(crate) fn known_container<'a>(pod: &Pod, name: &'a str) -> Result<&'a str, CliError> {
    let known = all_containers(pod);
    if known.iter().any(|container| container == name) {
        return Ok(name);
    }
    Err(CliError::ContainerNotFound {
        pod: pod.name().to_owned(),
        container: name.to_owned(),
        known,
    })
}
