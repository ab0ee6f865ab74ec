//! Finds what is valid in a manifest and still does not do what its author meant.
//!
//! Validation says what the API server would refuse. This says what it accepts, runs, and leaves people to wonder about: an init
//! container that fills a volume which the application mounts elsewhere, a loop that never ends, a server in a plain init container.
//! Pure: objects come in, [`Finding`]s go out, each with its place in the text.
//!
//! ```text
//! Objects ─ facts: containers in order, commands followed, paths mapped to volumes ─ checks ─ ignore ─▶ Finding…
//!              └ shell: script to tree └ trace: tree to commands └ effects: command to what it writes
//! ```
//!
//! A false alarm is worse than a miss: a script that cannot be read and a program that is not known are passed over in silence.

#![forbid(unsafe_code)]

mod catalog;
mod checks;
mod effects;
mod facts;
mod finding;
mod ignore;
mod images;
pub mod report;
mod shell;
mod trace;

use podyard_api::{Objects, ValidPod, ValidWorkload};

pub use catalog::{CHECKS, Check, check, document};
pub use finding::{Finding, Severity};

use facts::Facts;

/// Everything that the checks find, in the order of the texts.
#[must_use]
pub fn check_objects(objects: &Objects) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in &objects.pods {
        let facts = Facts::new(pod, objects, "Pod", false);
        let ignored = annotation(pod.pod().metadata.annotations.as_ref());
        findings.extend(of_pod(&facts, &ignored));
    }
    for workload in &objects.workloads {
        let object = workload.workload();
        let Some(pod) = template_pod(workload) else {
            continue;
        };
        let deadline = object
            .job_spec()
            .is_some_and(|spec| spec.active_deadline_seconds.is_some());
        let facts = Facts::new(&pod, objects, object.kind(), deadline);
        let mut ignored = annotation(object.metadata().annotations.as_ref());
        ignored.extend(annotation(pod.pod().metadata.annotations.as_ref()));
        findings.extend(of_pod(&facts, &ignored));
    }
    findings.extend(unknown_in_comments(objects));
    findings.sort_by(|one, other| {
        let key = |finding: &Finding| (finding.span.source().name.clone(), finding.span.start());
        key(one).cmp(&key(other))
    });
    findings.dedup_by(|one, other| {
        one.check == other.check && one.message == other.message && one.span == other.span
    });
    findings
}

/// A file that a container evidently writes into a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The container.
    pub container: String,
    /// The volume.
    pub volume: String,
    /// The file, seen from the root of the volume, without a slash in front.
    pub path: String,
}

/// The files that the containers of a pod are seen to write into its volumes, as far as their commands tell.
#[must_use]
pub fn written_files(pod: &ValidPod, objects: &Objects) -> Vec<Written> {
    let facts = Facts::new(pod, objects, "Pod", false);
    let mut written = Vec::new();
    for container in &facts.containers {
        for file in checks::flow::files(container) {
            if let Some(inside) = container.in_volume(file) {
                written.push(Written {
                    container: container.name().to_owned(),
                    volume: inside.mount.name.clone(),
                    path: inside.path.trim_start_matches('/').to_owned(),
                });
            }
        }
    }
    written
}

/// A pod as the workload would make it, whose fields are those of the template.
fn template_pod(workload: &ValidWorkload) -> Option<ValidPod> {
    let job = workload.scheduled_job(0);
    job.as_ref().unwrap_or(workload).pod(0, 0).ok()
}

/// A pod that a person wrote has a dozen containers. The checks compare each with each: of one with more than this, nothing is said, or it
/// would take hours.
const MAX_CONTAINERS: usize = 1000;

fn of_pod(facts: &Facts<'_>, ignored: &[String]) -> Vec<Finding> {
    if facts.containers.len() > MAX_CONTAINERS {
        return Vec::new();
    }
    CHECKS
        .iter()
        .filter(|check| !ignored.iter().any(|id| id == check.id))
        .flat_map(|check| checks::run(check, facts))
        .filter(|finding| !ignore::by_comment(&finding.span, finding.check.id))
        .collect()
}

fn annotation(annotations: Option<&std::collections::BTreeMap<String, String>>) -> Vec<String> {
    let list = annotations.and_then(|all| all.get(ignore::ANNOTATION));
    list.into_iter()
        .flat_map(|list| ignore::ids(list))
        .map(str::to_owned)
        .collect()
}

/// Comments that name a check which does not exist.
fn unknown_in_comments(objects: &Objects) -> Vec<Finding> {
    let documents = objects
        .pods
        .iter()
        .map(ValidPod::document)
        .chain(objects.workloads.iter().map(ValidWorkload::document));
    let mut seen: Vec<String> = Vec::new();
    let mut findings = Vec::new();
    for document in documents {
        let whole = document.span(&podyard_api::Path::root());
        let source = whole.source();
        if seen.contains(&source.name) {
            continue;
        }
        seen.push(source.name.clone());
        for (id, at) in ignore::all_in_comments(&source.text) {
            if check(id).is_none() {
                let source = std::sync::Arc::new(source.clone());
                findings.push(Finding {
                    check: &checks::UNKNOWN_ID,
                    message: format!("there is no check `{id}`"),
                    fix: "`podyard check --list` names them all".to_owned(),
                    path: podyard_api::Path::root(),
                    span: podyard_api::Span::new(source, at, at + id.len()),
                    related: Vec::new(),
                    object: document.object_name(),
                });
            }
        }
    }
    findings
}
