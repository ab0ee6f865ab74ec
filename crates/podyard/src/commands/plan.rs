//! `plan`: what manifests would do. Nothing is started, made or fetched.

use podyard_api::{Diagnostics, Kind, Objects, Severity, ValidPod, Workload, status};
use podyard_check::written_files;
use podyard_image::{Origin, Reference, Store};
use serde_json::Value;

use super::{note, print, print_object};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::manifests;
use crate::new_pod::restarts_pod;
use crate::output::escape::one_line;
use crate::output::object;
use crate::output::plan::{ImageState, Plan, Subject, mermaid, svg, text, with_restart_rules};
use crate::pods;
use crate::settings::{Context, Format, PlanForm, PlanSettings};

pub(super) fn run(context: &Context, settings: &PlanSettings) -> Result<ExitCode, CliError> {
    let objects = match manifests::inspect(context, &settings.files, settings.replicas)? {
        Ok(objects) => objects,
        Err(diagnostics) => return refused(context, settings, &diagnostics),
    };
    match settings.form {
        PlanForm::Fidelity => {
            fidelity(&objects)?;
            return Ok(ExitCode::Success);
        }
        PlanForm::Objects(format) => {
            print_objects(&effective(context, &objects, settings)?, format)?;
            return Ok(ExitCode::Success);
        }
        PlanForm::Text | PlanForm::Svg | PlanForm::Mermaid => {}
    }
    let warnings = manifests::describe(&objects.warnings, context.stderr);
    if !warnings.is_empty() {
        note(warnings.trim_end());
    }
    let store = open_store(context);
    let state = |image: &str, policy: &str| image_state(store.as_ref(), image, policy);
    let mut plans = Vec::new();
    let mut texts = Vec::new();
    for planned in planned(&objects) {
        let written = written_files(&planned.pod, &objects);
        let subject = Subject {
            kind: &planned.kind,
            name: &planned.name,
            namespace: &manifests::namespace_of(
                planned.pod.namespace(),
                context.namespace.as_deref(),
            )?,
            pods: planned.pods,
            restart_pod: restarts_pod(planned.pod.pod(), settings.on_init_failure)?,
            pod: &planned.pod,
            written: &written,
        };
        let plan = Plan::new(&subject, state);
        if settings.form == PlanForm::Text {
            texts.push(text(&plan, &subject, context.stdout));
        }
        plans.push(plan);
    }
    if plans.is_empty() {
        return Err(CliError::Usage(
            "there is nothing in the manifest that runs: no Pod and no workload".to_owned(),
        ));
    }
    print(match settings.form {
        PlanForm::Svg => svg(&plans),
        PlanForm::Mermaid => mermaid(&plans),
        _ => texts.join("\n\n"),
    })?;
    Ok(ExitCode::Success)
}

/// What the API server would answer.
fn refused(
    context: &Context,
    settings: &PlanSettings,
    diagnostics: &Diagnostics,
) -> Result<ExitCode, CliError> {
    if settings.form == PlanForm::Objects(Format::Json) {
        print_object(&status::print(diagnostics), Format::Json)?;
        return Ok(ExitCode::Usage);
    }
    Err(manifests::invalid(diagnostics, context.stderr))
}

/// A pod that would run, and what it is made by.
struct Planned {
    kind: String,
    name: String,
    pods: Option<usize>,
    pod: ValidPod,
}

fn planned(objects: &Objects) -> Vec<Planned> {
    let mut all: Vec<Planned> = objects
        .pods
        .iter()
        .map(|pod| Planned {
            kind: "Pod".to_owned(),
            name: pod.name().to_owned(),
            pods: None,
            pod: pod.clone(),
        })
        .collect();
    for workload in &objects.workloads {
        let job = workload.scheduled_job(0);
        let template = job.as_ref().unwrap_or(workload);
        // A name that has become too long is the only thing that can be wrong with it, and has been told already.
        if let Ok(pod) = template.pod(0, 0) {
            all.push(Planned {
                kind: workload.workload().kind().to_owned(),
                name: workload.name().to_owned(),
                pods: Some(template.replicas()),
                pod,
            });
        }
    }
    all
}

/// Every object as it would be stored: first what others refer to, then what runs.
fn effective(
    context: &Context,
    objects: &Objects,
    settings: &PlanSettings,
) -> Result<Vec<Value>, CliError> {
    let mut all = Vec::new();
    let mut add = |object: serde_json::Result<Value>| {
        all.push(object.map_err(|error| CliError::failed("cannot print the object", error))?);
        Ok::<(), CliError>(())
    };
    for map in &objects.config_maps {
        add(serde_json::to_value(map))?;
    }
    for secret in &objects.secrets {
        add(serde_json::to_value(secret))?;
    }
    for claim in &objects.claims {
        add(serde_json::to_value(claim))?;
    }
    for service in &objects.services {
        add(serde_json::to_value(service))?;
    }
    for pod in &objects.pods {
        let mut object = pod.pod().clone();
        let asked = context.namespace.as_deref();
        object.metadata.namespace = Some(manifests::namespace_of(pod.namespace(), asked)?);
        let restarts = restarts_pod(&object, settings.on_init_failure)?;
        if restarts && settings.form == PlanForm::Objects(Format::Yaml) {
            note(
                "note: restart-pod mode is printed as the restartPolicyRules that make a cluster do the same; a cluster does not wait between the rounds",
            );
            object = with_restart_rules(&object);
        }
        add(serde_json::to_value(object))?;
    }
    for workload in &objects.workloads {
        add(match workload.workload() {
            Workload::Deployment(object) => serde_json::to_value(object),
            Workload::ReplicaSet(object) => serde_json::to_value(object),
            Workload::StatefulSet(object) => serde_json::to_value(object),
            Workload::DaemonSet(object) => serde_json::to_value(object),
            Workload::Job(object) => serde_json::to_value(object),
            Workload::CronJob(object) => serde_json::to_value(object),
        })?;
    }
    Ok(all)
}

/// JSON is always a list; YAML is one document for each object.
fn print_objects(objects: &[Value], format: Format) -> Result<(), CliError> {
    let failed = |error| CliError::failed("cannot print the objects", error);
    let text = match format {
        Format::Json => object::render_list(objects, format).map_err(failed)?,
        Format::Yaml => {
            let mut documents = Vec::new();
            for object in objects {
                documents.push(object::render(object, format).map_err(failed)?);
            }
            documents.join("---\n")
        }
    };
    print(text)
}

/// What one machine does not do exactly as a cluster would, a line for each.
fn fidelity(objects: &Objects) -> Result<(), CliError> {
    let mut text = String::new();
    for warning in &objects.warnings {
        let place = warning.span.as_ref().map(|span| format!("{span}: "));
        let word = match (warning.kind, warning.severity) {
            (Kind::NotSupportedYet, _) => "refused",
            (_, Severity::Remark) => "remark",
            _ => "warning",
        };
        let message = one_line(&warning.message);
        text.push_str(&format!("{}{word}: {message}\n", place.unwrap_or_default()));
    }
    if text.is_empty() {
        note("every field that the manifest sets does here what it does in a cluster");
        return Ok(());
    }
    note(
        "docs/compatibility.md lists every field; `podyard run` does not accept what is refused here",
    );
    print(text)
}

/// The store, if there is one already. Looking must not make one.
fn open_store(context: &Context) -> Option<Result<Store, ()>> {
    let directory = pods::roots(context).ok()?.images();
    match directory.try_exists() {
        Ok(true) => Some(Store::open(&directory).map_err(drop)),
        Ok(false) => None,
        Err(_) => Some(Err(())),
    }
}

/// Where an image would come from, by the rules of the run.
fn image_state(store: Option<&Result<Store, ()>>, image: &str, policy: &str) -> ImageState {
    let present = match (store, Reference::parse(image)) {
        (None, _) | (_, Err(_)) => None,
        (Some(Ok(store)), Ok(reference)) => match store.lookup(&reference) {
            Ok(present) => present,
            Err(_) => return ImageState::Unknown,
        },
        (Some(Err(())), _) => return ImageState::Unknown,
    };
    match (policy, present) {
        ("Always", Some(image)) if image.origin == Origin::Pulled => ImageState::Renewed,
        (_, Some(_)) => ImageState::Stored,
        ("Never", None) => ImageState::Missing,
        (_, None) => ImageState::Pulled,
    }
}
