//! From a valid Pod to one that is accepted: its namespace, the objects that come with it, how this machine is to run it.

use podyard_api::Objects;
use podyard_lifecycle::Settings as NodeSettings;
use podyard_supervisor::{NewPod, PodHandle};
use rustix::thread::CapabilitySet;

use crate::commands::{block_on, note};
use crate::error::CliError;
use crate::manifests;
use crate::named::Named;
use crate::objects::core::{ConfigMap, PersistentVolumeClaim, Secret};
use crate::objects::{Pod, PodExt as _};
use crate::output::style::Tone;
use crate::pods;
use crate::settings::{Context, OnInitFailure, PodOptions};

/// The annotation by which a manifest chooses restart-pod mode itself.
const ON_INIT_FAILURE: &str = "podyard.dev/on-init-failure";

/// The objects that stand in the manifests beside the pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) config_maps: Vec<ConfigMap>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
}

impl Given {
    /// Those of the manifests, each in the namespace that it belongs to.
    pub(crate) fn of(context: &Context, objects: &Objects) -> Result<Self, CliError> {
        Ok(Self {
            config_maps: in_namespace(context, &objects.config_maps)?,
            secrets: in_namespace(context, &objects.secrets)?,
            claims: in_namespace(context, &objects.claims)?,
        })
    }
}

fn in_namespace<T: Named>(context: &Context, objects: &[T]) -> Result<Vec<T>, CliError> {
    let placed = objects.iter().map(|object| {
        let mut object = object.clone();
        let namespace = manifests::namespace_of(object.namespace(), context.namespace.as_deref())?;
        object.metadata_mut().namespace = Some(namespace);
        Ok(object)
    });
    placed.collect()
}

/// The pod with those of the given objects that it may refer to.
pub(crate) fn new_pod(
    context: &Context,
    options: &PodOptions,
    given: &Given,
    mut pod: Pod,
) -> Result<NewPod, CliError> {
    let namespace = manifests::namespace_of(pod.namespace(), context.namespace.as_deref())?;
    pod.metadata.namespace = Some(namespace.clone());
    Ok(NewPod {
        settings: node_settings(&pod, options)?,
        config_maps: of_namespace(&given.config_maps, &namespace),
        secrets: of_namespace(&given.secrets, &namespace),
        claims: of_namespace(&given.claims, &namespace),
        allowed_unsafe_sysctls: options.allowed_unsafe_sysctls.clone(),
        pod_max_pids: options.pod_max_pids,
        memory_qos: options.memory_qos,
        seccomp_unconfined: options.seccomp_unconfined,
        pod,
    })
}

fn of_namespace<T: Named>(objects: &[T], namespace: &str) -> Vec<T> {
    let own = objects
        .iter()
        .filter(|object| object.namespace() == namespace);
    own.cloned().collect()
}

fn node_settings(pod: &Pod, options: &PodOptions) -> Result<NodeSettings, CliError> {
    let on_init_failure = if restarts_pod(pod, options.on_init_failure)? {
        podyard_lifecycle::OnInitFailure::RestartPod
    } else {
        podyard_lifecycle::OnInitFailure::RetryContainer
    };
    Ok(NodeSettings {
        on_init_failure,
        backoff_per_mille: options.backoff_per_mille,
        ..NodeSettings::default()
    })
}

/// Whether a failed init container means that everything begins again: by the flag or, without one, the pod's annotation.
pub(crate) fn restarts_pod(pod: &Pod, flag: Option<OnInitFailure>) -> Result<bool, CliError> {
    let annotation = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(ON_INIT_FAILURE));
    let annotated = match annotation.map(String::as_str) {
        None | Some("retry-container") => OnInitFailure::RetryContainer,
        Some("restart-pod") => OnInitFailure::RestartPod,
        Some(other) => {
            return Err(CliError::Usage(format!(
                "the annotation `{ON_INIT_FAILURE}` of pod `{}` is `retry-container` or `restart-pod`, not `{other}`",
                pod.name()
            )));
        }
    };
    Ok(flag.unwrap_or(annotated) == OnInitFailure::RestartPod)
}

/// What has to be so, or known, before the first pod is made.
pub(crate) fn prepare(context: &Context, options: &PodOptions) -> Result<(), CliError> {
    if options.backoff_per_mille != 1000 {
        let factor = f64::from(options.backoff_per_mille) / 1000.0;
        let text = format!(
            "note: back-offs last {factor} of their time (--backoff); a cluster waits in full"
        );
        note(context.stderr.paint(Tone::Attention, &text));
    }
    // Said before anything is made, and not as the first thing that the kernel refuses.
    let may_mount = rustix::thread::capabilities(None)
        .is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_ADMIN));
    if !rustix::process::geteuid().is_root() || !may_mount {
        return Err(CliError::failed(
            "cannot run a pod as this user: it needs namespaces, mounts, cgroups and interfaces",
            std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        ));
    }
    Ok(())
}

/// Starts it. Its supervisor may not have answered yet.
pub(crate) fn create(context: &Context, new: NewPod) -> Result<PodHandle, CliError> {
    let (namespace, name) = (new.pod.namespace().to_owned(), new.pod.name().to_owned());
    let handle = podyard_supervisor::pods::create(context.root.as_deref(), new)
        .map_err(|error| pods::from_pod_error(error, &namespace, &name))?;
    if context.verbose {
        note(format!(
            "pod {namespace}/{name} has uid {} and its files in {}",
            handle.uid(),
            handle.dirs().data.display()
        ));
    }
    Ok(handle)
}

/// Waits for the first answer of the pod's supervisor.
pub(crate) fn accepted(handle: &PodHandle) -> Result<(), CliError> {
    let answered = block_on(async {
        let client = handle.client();
        client.answers().await.map_err(|error| {
            CliError::failed(format!("pod `{}` has no supervisor", handle.name), error)
        })
    });
    match answered {
        // A pod can be over before anybody asks.
        Err(_) if handle.has_ended() => Ok(()),
        answer => answer.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::pod;

    fn chosen(
        annotation: Option<&str>,
        flag: Option<OnInitFailure>,
    ) -> Option<podyard_lifecycle::OnInitFailure> {
        let mut pod = pod("Pending", []);
        pod.metadata.annotations =
            annotation.map(|value| [(ON_INIT_FAILURE.to_owned(), value.to_owned())].into());
        let options = PodOptions {
            on_init_failure: flag,
            backoff_per_mille: 1000,
            seccomp_unconfined: false,
            allowed_unsafe_sysctls: Vec::new(),
            pod_max_pids: None,
            memory_qos: false,
        };
        node_settings(&pod, &options)
            .ok()
            .map(|settings| settings.on_init_failure)
    }

    #[test]
    fn the_flag_wins_over_the_annotation() {
        use podyard_lifecycle::OnInitFailure::{RestartPod, RetryContainer};
        assert_eq!(chosen(None, None), Some(RetryContainer));
        assert_eq!(chosen(Some("restart-pod"), None), Some(RestartPod));
        assert_eq!(
            chosen(Some("restart-pod"), Some(OnInitFailure::RetryContainer)),
            Some(RetryContainer)
        );
        assert_eq!(chosen(Some("sometimes"), None), None);
    }
}
