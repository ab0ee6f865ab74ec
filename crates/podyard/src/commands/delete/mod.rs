//! `delete`: ends pods by their supervisors and waits until nothing of them is left; forgets the objects that are kept for them.

pub(super) mod pods;

use podyard_api::ValidWorkload;
use podyard_supervisor::PodHandle;

use super::print;
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::named::{self, Named};
use crate::new_pod::Given;
use crate::objects::core::{ConfigMap, PersistentVolumeClaim, Secret};
use crate::objects::{Pod, PodExt as _};
use crate::settings::{Context, DeleteSettings, DeleteTarget, Scope};
use crate::target::{Resource, Target, Wanted};

pub(super) fn run(context: &Context, settings: &DeleteSettings) -> Result<ExitCode, CliError> {
    let doomed = match &settings.target {
        DeleteTarget::Objects(wanted) => of_words(context, settings, wanted)?,
        DeleteTarget::Manifests(files) => of_manifests(context, settings, files)?,
    };
    if doomed.is_empty() {
        super::note("No resources found");
    }
    // Pods first: a claim cannot go while a pod uses it.
    let mut asked = Vec::new();
    for handle in doomed.pods {
        asked.push(pods::ask(handle, settings.stop)?);
    }
    for pod in asked {
        let (namespace, name) = (pod.handle.namespace.clone(), pod.handle.name.clone());
        if settings.wait {
            pod.wait()?;
        }
        tell("pod", &namespace, &name)?;
    }
    forget::<ConfigMap>(context, &doomed.config_maps)?;
    forget::<Secret>(context, &doomed.secrets)?;
    for (namespace, name) in &doomed.claims {
        let users = crate::pods::users_of_claim(context, namespace, name)?;
        if let Some(user) = users.first() {
            return Err(CliError::plain(format!(
                "persistentvolumeclaim `{name}` is used by pod `{user}`: it can go once that pod is deleted"
            )));
        }
        let removed =
            podyard_supervisor::remove_claim(&crate::pods::roots(context)?, namespace, name);
        removed.map_err(|error| {
            CliError::failed(format!("cannot delete the data of claim `{name}`"), error)
        })?;
        forget::<PersistentVolumeClaim>(context, &[(namespace.clone(), name.clone())])?;
    }
    Ok(ExitCode::Success)
}

/// What is to go. Objects by namespace and name.
#[derive(Default)]
struct Doomed {
    pods: Vec<PodHandle>,
    config_maps: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    claims: Vec<(String, String)>,
}

impl Doomed {
    fn is_empty(&self) -> bool {
        self.pods.is_empty()
            && self.config_maps.is_empty()
            && self.secrets.is_empty()
            && self.claims.is_empty()
    }
}

fn of_words(
    context: &Context,
    settings: &DeleteSettings,
    wanted: &[Wanted],
) -> Result<Doomed, CliError> {
    let mut doomed = Doomed::default();
    for Wanted { resource, target } in wanted {
        match resource {
            Resource::Pods => doomed.pods.extend(pods_of(context, settings, target)?),
            Resource::ConfigMaps => {
                doomed.config_maps = kept_of::<ConfigMap>(context, settings, target)?;
            }
            Resource::Secrets => doomed.secrets = kept_of::<Secret>(context, settings, target)?,
            Resource::Claims => {
                doomed.claims = kept_of::<PersistentVolumeClaim>(context, settings, target)?;
            }
        }
    }
    Ok(doomed)
}

fn pods_of(
    context: &Context,
    settings: &DeleteSettings,
    target: &Target,
) -> Result<Vec<PodHandle>, CliError> {
    match target {
        Target::Named(names) => names
            .iter()
            .filter_map(|name| lenient(settings, crate::pods::find(context, name)))
            .collect(),
        Target::All | Target::Selected(_) => crate::pods::select(context, target, settings.scope),
    }
}

fn kept_of<T: Named>(
    context: &Context,
    settings: &DeleteSettings,
    target: &Target,
) -> Result<Vec<(String, String)>, CliError> {
    let each: Vec<Target> = match target {
        Target::All | Target::Selected(_) => vec![target.clone()],
        Target::Named(names) => names
            .iter()
            .map(|name| Target::Named(vec![name.clone()]))
            .collect(),
    };
    let mut found = Vec::new();
    for target in each {
        match lenient(
            settings,
            named::select::<T>(context, &target, settings.scope),
        ) {
            None => {}
            Some(objects) => {
                let names = objects?.into_iter();
                found.extend(
                    names.map(|object| (object.namespace().to_owned(), object.name().to_owned())),
                );
            }
        }
    }
    Ok(found)
}

/// Everything that the manifests describe. Objects that were only given along with a pod are gone with it, and not missed.
fn of_manifests(
    context: &Context,
    settings: &DeleteSettings,
    files: &[std::path::PathBuf],
) -> Result<Doomed, CliError> {
    let objects = manifests::load(context, files, true, None, |_| {})?;
    let mut doomed = Doomed::default();
    for pod in &objects.pods {
        let handle = find_pod(context, pod.pod())?;
        doomed.pods.extend(lenient(settings, handle).transpose()?);
    }
    if !objects.workloads.is_empty() {
        doomed
            .pods
            .extend(pods_of_workloads(context, &objects.workloads)?);
    }
    let given = Given::of(context, &objects)?;
    let kept = named::kept(context)?;
    let has_pods = !objects.pods.is_empty() || !objects.workloads.is_empty();
    let is_strict = !has_pods && !settings.ignore_not_found;
    doomed.config_maps = kept_of_given(&kept, &given.config_maps, is_strict)?;
    doomed.secrets = kept_of_given(&kept, &given.secrets, is_strict)?;
    doomed.claims = kept_of_given(&kept, &given.claims, is_strict)?;
    Ok(doomed)
}

/// The pods that were made of the workloads, whatever has become of them.
fn pods_of_workloads(
    context: &Context,
    workloads: &[ValidWorkload],
) -> Result<Vec<PodHandle>, CliError> {
    let mut namespaces = Vec::new();
    for workload in workloads {
        let namespace = workload.namespace();
        namespaces.push(manifests::namespace_of(
            namespace,
            context.namespace.as_deref(),
        )?);
    }
    let mut handles = crate::pods::select(context, &Target::All, Scope::AllNamespaces)?;
    handles.retain(|handle| {
        let Ok(record) = handle.record() else {
            return false;
        };
        let mut owners = workloads.iter().zip(&namespaces);
        owners.any(|(workload, namespace)| {
            handle.namespace == *namespace && workload.owns(&record.pod)
        })
    });
    Ok(handles)
}

fn find_pod(context: &Context, pod: &Pod) -> Result<Result<PodHandle, CliError>, CliError> {
    let namespace = manifests::namespace_of(pod.namespace(), context.namespace.as_deref())?;
    let context = Context {
        namespace: Some(namespace),
        ..context.clone()
    };
    Ok(crate::pods::find(&context, pod.name()))
}

fn kept_of_given<T: Named>(
    kept: &podyard_supervisor::Kept,
    given: &[T],
    is_strict: bool,
) -> Result<Vec<(String, String)>, CliError> {
    let mut found = Vec::new();
    for object in given {
        let (namespace, name) = (object.namespace(), object.name());
        if kept.get::<T>(namespace, name).is_some() {
            found.push((namespace.to_owned(), name.to_owned()));
        } else if is_strict {
            return Err(named::not_found::<T>(namespace, name));
        }
    }
    Ok(found)
}

/// Nothing, if what was asked for is not there and need not be.
fn lenient<T>(
    settings: &DeleteSettings,
    found: Result<T, CliError>,
) -> Option<Result<T, CliError>> {
    match found {
        Err(CliError::PodNotFound { .. } | CliError::NotFound(_)) if settings.ignore_not_found => {
            None
        }
        other => Some(other),
    }
}

fn forget<T: Named>(context: &Context, names: &[(String, String)]) -> Result<(), CliError> {
    if names.is_empty() {
        return Ok(());
    }
    let failed = |error| CliError::failed(format!("cannot delete the {}s", T::WORD), error);
    let exclusive = named::kept(context)?.exclusively().map_err(failed)?;
    for (namespace, name) in names {
        exclusive.remove::<T>(namespace, name).map_err(failed)?;
        tell(T::WORD, namespace, name)?;
    }
    Ok(())
}

fn tell(kind: &str, namespace: &str, name: &str) -> Result<(), CliError> {
    print(format!(
        "{kind} \"{name}\" deleted from {namespace} namespace\n"
    ))
}
