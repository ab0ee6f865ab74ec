//! `apply`: keeps the objects of manifests by their names for the pods that refer to them, and starts the pods that are not there yet.
//!
//! Everything is looked at before anything is changed: what the API server would refuse changes nothing at all.

mod pods;

use podyard_api::{Diagnostic, Objects};
use podyard_supervisor::Kept;
use serde_json::Value;

use self::pods::PodChange;
use super::{note, print, print_list, print_object};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::named::{self, Named};
use crate::new_pod::{self, Given};
use crate::objects::PodExt as _;
use crate::settings::{ApplyForm, ApplySettings, Context, DryRun};

pub(super) fn run(context: &Context, settings: &ApplySettings) -> Result<ExitCode, CliError> {
    let objects = manifests::load(
        context,
        &settings.files,
        settings.skip_unknown,
        None,
        |text| note(text),
    )?;
    check_kinds(&objects)?;
    let given = Given::of(context, &objects)?;
    let kept = named::kept(context)?;
    // Whoever else applies something waits until this is done, or the one would take back what the other changed.
    let exclusive = match settings.dry_run {
        DryRun::No => Some(kept.exclusively().map_err(cannot_keep)?),
        DryRun::Yes { .. } => None,
    };
    let config_maps = changes(&kept, given.config_maps)?;
    let secrets = changes(&kept, given.secrets)?;
    let claims = changes(&kept, given.claims)?;
    let pods = pods::changes(context, &settings.options, &objects.pods)?;
    let starts_pods = pods.iter().any(PodChange::starts);
    if starts_pods && exclusive.is_some() {
        new_pod::prepare(context, &settings.options)?;
    }

    let mut report = Report::new(settings);
    let exclusive = exclusive.as_ref();
    store(&kept, exclusive, config_maps, &mut report)?;
    store(&kept, exclusive, secrets, &mut report)?;
    store(&kept, exclusive, claims, &mut report)?;
    for change in pods {
        let word = change.word();
        let pod = match exclusive {
            Some(_) => change.make(context)?,
            None => change.into_pod(),
        };
        report.add("pod", pod.name(), word, &pod)?;
    }
    report.finish()?;
    Ok(ExitCode::Success)
}

/// What there is no way to keep.
fn check_kinds(objects: &Objects) -> Result<(), CliError> {
    let Some(workload) = objects.workloads.first() else {
        return Ok(());
    };
    let (kind, name) = (workload.workload().kind(), workload.name());
    Err(CliError::Usage(format!(
        "{kind} `{name}` cannot be applied: nothing here would look after it later; `podyard run` runs its pods"
    )))
}

/// What is to become of one object.
enum Change<T> {
    Create(T),
    Configure(T),
    Keep(T),
}

impl<T> Change<T> {
    fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "created",
            Self::Configure(_) => "configured",
            Self::Keep(_) => "unchanged",
        }
    }
}

/// What is to become of each, or everything that stands in the way.
fn changes<T: Named>(kept: &Kept, objects: Vec<T>) -> Result<Vec<Change<T>>, CliError> {
    let mut refused = Vec::new();
    let mut changes = Vec::new();
    for mut object in objects {
        check_has_name(&object)?;
        podyard_api::defaults::forget_servers_part(object.metadata_mut());
        object.settle();
        let Some((old, _)) = kept.get::<T>(object.namespace(), object.name()) else {
            changes.push(Change::Create(object));
            continue;
        };
        let problems = object.refused_after(&old);
        refused.extend(problems.iter().map(|problem| invalid(&object, problem)));
        if named::says_the_same(&old, &object) {
            changes.push(Change::Keep(old));
            continue;
        }
        let (metadata, old) = (object.metadata_mut(), old.metadata());
        metadata.uid.clone_from(&old.uid);
        metadata
            .creation_timestamp
            .clone_from(&old.creation_timestamp);
        metadata.generation = old.generation;
        changes.push(Change::Configure(object));
    }
    if refused.is_empty() {
        return Ok(changes);
    }
    Err(CliError::Manifest {
        count: refused.len(),
        rendered: refused.join("\n"),
    })
}

/// In kubectl's words, which are the API server's.
fn invalid<T: Named>(object: &T, problem: &Diagnostic) -> String {
    format!(
        "The {} {:?} is invalid: {}",
        T::KIND,
        object.name(),
        problem.message
    )
}

fn check_has_name<T: Named>(object: &T) -> Result<(), CliError> {
    match &object.metadata().generate_name {
        Some(prefix) if object.name().is_empty() || object.name().starts_with(prefix.as_str()) => {
            Err(no_name(prefix))
        }
        _ => Ok(()),
    }
}

/// An object that has another name every time can be started, but not applied.
fn no_name(prefix: &str) -> CliError {
    CliError::Usage(format!(
        "from {prefix}: cannot use generate name with apply"
    ))
}

fn store<T: Named>(
    kept: &Kept,
    exclusive: Option<&podyard_supervisor::Exclusive>,
    changes: Vec<Change<T>>,
    report: &mut Report<'_>,
) -> Result<(), CliError> {
    for change in changes {
        let word = change.word();
        let object = match (change, exclusive) {
            (Change::Create(object) | Change::Configure(object), Some(exclusive)) => {
                exclusive.store(object).map_err(cannot_keep)?
            }
            // Nothing is changed, or nothing has to be.
            (Change::Create(object) | Change::Configure(object) | Change::Keep(object), _) => {
                object
            }
        };
        debug_assert!(
            exclusive.is_none() || kept.get::<T>(object.namespace(), object.name()).is_some(),
            "it is kept now"
        );
        report.add(T::WORD, object.name(), word, &object)?;
    }
    Ok(())
}

fn cannot_keep(error: std::io::Error) -> CliError {
    CliError::failed("cannot keep the objects", error)
}

/// What `apply` prints.
struct Report<'a> {
    settings: &'a ApplySettings,
    objects: Vec<Value>,
}

impl<'a> Report<'a> {
    fn new(settings: &'a ApplySettings) -> Self {
        Self {
            settings,
            objects: Vec::new(),
        }
    }

    /// Tells of each at once: if a later one fails, what was done until then is known.
    fn add(
        &mut self,
        kind: &str,
        name: &str,
        word: &str,
        object: &impl serde::Serialize,
    ) -> Result<(), CliError> {
        let suffix = match self.settings.dry_run {
            DryRun::No => "",
            DryRun::Yes { server: false } => " (dry run)",
            DryRun::Yes { server: true } => " (server dry run)",
        };
        match self.settings.form {
            ApplyForm::Words => print(format!("{kind}/{name} {word}{suffix}\n")),
            ApplyForm::Names => print(format!("{kind}/{name}\n")),
            ApplyForm::Objects(_) => {
                let value = serde_json::to_value(object)
                    .map_err(|error| CliError::failed("cannot print the object", error))?;
                self.objects.push(value);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), CliError> {
        match (self.settings.form, &self.objects[..]) {
            (ApplyForm::Objects(format), [one]) => print_object(one, format),
            (ApplyForm::Objects(format), all) => print_list(all, format),
            _ => Ok(()),
        }
    }
}
