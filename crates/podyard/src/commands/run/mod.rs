//! `run`: from a manifest to a pod that runs, detached or in the foreground.

mod foreground;
mod screen;
mod troubles;

use podyard_api::core::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use podyard_lifecycle::Settings as NodeSettings;
use podyard_supervisor::{NewPod, PodHandle};

use super::{block_on, note, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::objects::PodExt as _;
use crate::output::style::Tone;
use crate::pods;
use crate::settings::{Context, OnInitFailure, RunMode, RunSettings};

/// The annotation by which a manifest chooses restart-pod mode itself.
const ON_INIT_FAILURE: &str = "podyard.dev/on-init-failure";

pub(super) fn run(context: &Context, settings: &RunSettings) -> Result<ExitCode, CliError> {
    let objects = manifests::load(&settings.files, context.stderr, |text| note(text))?;
    let mut new_pods = Vec::new();
    for pod in objects.pods {
        let mut pod = pod.into_pod();
        let namespace = manifests::namespace_of(pod.namespace(), context.namespace.as_deref())?;
        pod.metadata.namespace = Some(namespace.clone());
        new_pods.push(NewPod {
            settings: node_settings(&pod, settings)?,
            config_maps: of_namespace(&objects.config_maps, &namespace, context)?,
            secrets: of_namespace(&objects.secrets, &namespace, context)?,
            claims: of_namespace(&objects.claims, &namespace, context)?,
            allowed_unsafe_sysctls: settings.allowed_unsafe_sysctls.clone(),
            pod_max_pids: settings.pod_max_pids,
            seccomp_unconfined: settings.seccomp_unconfined,
            pod,
        });
    }
    if new_pods.is_empty() {
        return Err(CliError::Usage(
            "there is no Pod in the manifest".to_owned(),
        ));
    }
    if settings.backoff_per_mille != 1000 {
        let factor = f64::from(settings.backoff_per_mille) / 1000.0;
        let text = format!(
            "note: back-offs last {factor} of their time (--backoff); a cluster waits in full"
        );
        note(context.stderr.paint(Tone::Attention, &text));
    }
    // Said before anything is made, and not as the first thing that the kernel refuses.
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::failed(
            "cannot run a pod as this user: it needs namespaces, mounts, cgroups and interfaces",
            std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        ));
    }
    match settings.mode {
        RunMode::Detached => {
            for new in new_pods {
                let handle = create(context, new)?;
                accepted(&handle)?;
                print(format!("pod/{} created\n", handle.name))?;
            }
            Ok(ExitCode::Success)
        }
        RunMode::Foreground { remove } => {
            let [new] = <[NewPod; 1]>::try_from(new_pods).map_err(|pods| {
                CliError::Usage(format!(
                    "{} pods cannot share the foreground: run them one by one, or detached with -d",
                    pods.len()
                ))
            })?;
            let handle = create(context, new)?;
            foreground::run(context, &handle, remove)
        }
    }
}

fn create(context: &Context, new: NewPod) -> Result<PodHandle, CliError> {
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
fn accepted(handle: &PodHandle) -> Result<(), CliError> {
    let answered = block_on(async {
        let client = handle.client();
        client.pod().await.map_err(|error| {
            CliError::failed(format!("pod `{}` has no supervisor", handle.name), error)
        })
    });
    match answered {
        // A pod can be over before anybody asks.
        Err(_) if handle.has_ended() => Ok(()),
        answer => answer.map(drop),
    }
}

fn node_settings(pod: &Pod, settings: &RunSettings) -> Result<NodeSettings, CliError> {
    let on_init_failure = if restarts_pod(pod, settings.on_init_failure)? {
        podyard_lifecycle::OnInitFailure::RestartPod
    } else {
        podyard_lifecycle::OnInitFailure::RetryContainer
    };
    Ok(NodeSettings {
        on_init_failure,
        backoff_per_mille: settings.backoff_per_mille,
        ..NodeSettings::default()
    })
}

/// Whether a failed init container means that everything begins again: by the flag or, without one, the pod's annotation.
pub(super) fn restarts_pod(pod: &Pod, flag: Option<OnInitFailure>) -> Result<bool, CliError> {
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

/// Objects with a namespace of their own, which must be the pod's for the pod to see them.
trait Namespaced: Clone {
    fn namespace_mut(&mut self) -> &mut Option<String>;
}

impl Namespaced for ConfigMap {
    fn namespace_mut(&mut self) -> &mut Option<String> {
        &mut self.metadata.namespace
    }
}

impl Namespaced for Secret {
    fn namespace_mut(&mut self) -> &mut Option<String> {
        &mut self.metadata.namespace
    }
}

impl Namespaced for PersistentVolumeClaim {
    fn namespace_mut(&mut self) -> &mut Option<String> {
        &mut self.metadata.namespace
    }
}

/// Those that a pod of this namespace may refer to.
fn of_namespace<T: Namespaced>(
    objects: &[T],
    namespace: &str,
    context: &Context,
) -> Result<Vec<T>, CliError> {
    let mut own = Vec::new();
    for object in objects {
        let mut object = object.clone();
        let given = object
            .namespace_mut()
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let belongs = manifests::namespace_of(&given, context.namespace.as_deref())?;
        if belongs == namespace {
            *object.namespace_mut() = Some(belongs);
            own.push(object);
        }
    }
    Ok(own)
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
        let settings = RunSettings {
            files: Vec::new(),
            mode: RunMode::Detached,
            on_init_failure: flag,
            backoff_per_mille: 1000,
            seccomp_unconfined: false,
            allowed_unsafe_sysctls: Vec::new(),
            pod_max_pids: None,
        };
        node_settings(&pod, &settings)
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
