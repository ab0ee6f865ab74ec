//! `run`: from manifests to what runs, detached or in the foreground.

mod detached;
mod foreground;
mod screen;
mod signals;
mod troubles;
mod units;

use podyard_api::Objects;
use podyard_supervisor::{PodError, PodHandle};

use self::units::Unit;
use super::{delete, note, now};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::named;
use crate::new_pod::{self, Given};
use crate::objects::{Pod, PodExt as _};
use crate::pods;
use crate::settings::{Context, PodOptions, RunMode, RunSettings};

pub(super) fn run(context: &Context, settings: &RunSettings) -> Result<ExitCode, CliError> {
    let objects = manifests::load(
        context,
        &settings.files,
        settings.skip_unknown,
        settings.replicas,
        |text| note(text),
    )?;
    let maker = Maker {
        context,
        options: &settings.options,
        given: Given::of(context, &objects)?,
    };
    check(settings, &objects)?;
    let minute = now().as_second().div_euclid(60);
    let units = Unit::all(objects.pods, objects.workloads, minute);
    check_units(&maker, &units)?;
    new_pod::prepare(context, &settings.options)?;
    named::keep_claims(context, &maker.given.claims)?;
    match settings.mode {
        RunMode::Detached => detached::run(&maker, &units),
        RunMode::Foreground { remove } => foreground::run(context, &maker, units, remove),
    }
}

/// Whether there is something to run, and `--replicas` means something.
fn check(settings: &RunSettings, objects: &Objects) -> Result<(), CliError> {
    let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
    if objects.pods.is_empty() && objects.workloads.is_empty() {
        return usage("there is no Pod in the manifest, and nothing that makes one");
    }
    let mut kinds = objects.workloads.iter().map(|one| one.workload().kind());
    let has_replicas =
        kinds.any(|kind| matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet"));
    if settings.replicas.is_some() && !has_replicas {
        return usage(
            "--replicas is for a Deployment, ReplicaSet or StatefulSet, and there is none in the manifest",
        );
    }
    Ok(())
}

/// What cannot be begun, before anything is.
fn check_units(maker: &Maker<'_>, units: &[Unit]) -> Result<(), CliError> {
    let idle = units
        .iter()
        .find_map(|unit| Some((unit, unit.starts_nothing()?)));
    if let Some((job, reason)) = idle {
        let title = job.title();
        return Err(CliError::Usage(format!(
            "{title} would start nothing: {reason}"
        )));
    }
    let root = maker.context.root.as_deref();
    for (namespace, name) in units.iter().flat_map(Unit::fixed_names) {
        let namespace = manifests::namespace_of(&namespace, maker.context.namespace.as_deref())?;
        match podyard_supervisor::pods::find(root, &namespace, &name) {
            Ok(known) if !known.has_ended() && known.dirs().record().exists() => {
                return Err(CliError::AlreadyExists { namespace, name });
            }
            Ok(_) | Err(PodError::NotFound { .. }) => {}
            Err(error) => return Err(pods::from_pod_error(error, &namespace, &name)),
        }
    }
    Ok(())
}

/// Makes the pods of units.
struct Maker<'a> {
    context: &'a Context,
    options: &'a PodOptions,
    given: Given,
}

impl Maker<'_> {
    /// The pod of an index, accepted.
    fn make(&self, unit: &Unit, index: usize) -> Result<(PodHandle, Pod), CliError> {
        let pod = unit
            .pod(index)
            .map_err(|diagnostics| manifests::invalid(&diagnostics, self.context.stderr))?;
        let new = new_pod::new_pod(self.context, self.options, &self.given, pod)?;
        let mut claims = unit.claims(index);
        for claim in &mut claims {
            claim.metadata.namespace = Some(new.pod.namespace().to_owned());
        }
        named::keep_claims(self.context, &claims)?;
        let accepted = new.pod.clone();
        Ok((new_pod::create(self.context, new)?, accepted))
    }
}
