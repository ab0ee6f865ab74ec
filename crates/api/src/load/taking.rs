//! One object after the other: its defaults, its rules, and what is to be said about it.

use std::collections::HashSet;

use super::{LoadOptions, Objects, ValidPod};
use crate::compat;
use crate::core::{Pod, PodSpec};
use crate::decode::Document;
use crate::defaults;
use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::limits::MAX_PROBLEMS;
use crate::names;
use crate::notices;
use crate::object::Object;
use crate::path::Path;
use crate::restart_pod;
use crate::validate;
use crate::workloads::{ValidWorkload, Workload};

/// What has been taken so far.
pub(super) struct Taking<'o> {
    options: &'o LoadOptions,
    pub(super) objects: Objects,
    pub(super) found: Vec<Diagnostic>,
    /// How many objects there were, wrong ones included.
    pub(super) count: u64,
    /// Kind, namespace and name of each.
    names: HashSet<(&'static str, String, String)>,
}

impl<'o> Taking<'o> {
    pub(super) fn new(options: &'o LoadOptions) -> Self {
        Self {
            options,
            objects: Objects::default(),
            found: Vec::new(),
            count: 0,
            names: HashSet::new(),
        }
    }

    /// What kept an object from being read.
    pub(super) fn problems(&mut self, mut problems: Vec<Diagnostic>) {
        for problem in &mut problems {
            if self.options.skip_unknown && problem.kind == Kind::UnknownKind {
                problem.severity = Severity::Warning;
            }
        }
        self.found.extend(problems);
    }

    pub(super) fn object(&mut self, object: Object, document: &Document) {
        let random = self.options.random.wrapping_add(self.count);
        self.count += 1;
        self.look_for_another(&object, document);
        let kind = object.kind();
        let problems = match object {
            Object::Pod(pod) => return self.pod(*pod, document, random),
            Object::Workload(workload) => return self.workload(workload, document, random),
            Object::ConfigMap(mut map) => {
                defaults::config_map(&mut map);
                let problems = validate::config_map(&map);
                self.objects.config_maps.push(*map);
                problems
            }
            Object::Secret(mut secret) => {
                defaults::secret(&mut secret);
                let problems = validate::secret(&secret);
                self.objects.secrets.push(*secret);
                problems
            }
            Object::PersistentVolumeClaim(mut claim) => {
                defaults::persistent_volume_claim(&mut claim);
                let problems = validate::persistent_volume_claim(&claim);
                self.objects.claims.push(*claim);
                problems
            }
            Object::Service(mut service) => {
                defaults::service(&mut service);
                let problems = validate::service(&service);
                self.objects.services.push(*service);
                problems
            }
        };
        let remarks = compat::check_object(document, kind);
        self.say(document, problems, remarks, Vec::new);
    }

    /// Of two objects of one name, a cluster would refuse the second or let it replace the first; here, neither can be meant.
    fn look_for_another(&mut self, object: &Object, document: &Document) {
        let metadata = object.metadata();
        let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else {
            return;
        };
        let namespace = metadata.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let kind = object.kind();
        if !self.names.insert((kind, namespace, name.clone())) {
            let path = Path::fields("metadata.name");
            let hint =
                format!("the manifests have this {kind} already; rename one, or take it out");
            let problem = Diagnostic::duplicate(&path, &name).with_hint(hint);
            self.found.push(document.place(problem));
        }
    }

    fn pod(&mut self, mut pod: Pod, document: &Document, random: u64) {
        let grace = grace_seconds(pod.spec.as_ref());
        defaults::apply(&mut pod, &names::name_suffix(random));
        let mut problems = validate::pod(&pod);
        let (wrong, unknown): (Vec<_>, Vec<_>) = restart_pod::check(&pod)
            .into_iter()
            .partition(Diagnostic::is_error);
        problems.extend(wrong);
        let base = Path::root();
        self.say(document, problems, compat::check(document, &base), || {
            let mut notices = notices::pod(&pod, grace);
            notices.extend(unknown);
            notices
        });
        let pod = ValidPod {
            pod,
            document: document.clone(),
            base,
        };
        self.objects.pods.push(pod);
    }

    fn workload(&mut self, mut workload: Workload, document: &Document, random: u64) {
        if let Some(replicas) = self.options.replicas {
            workload.set_replicas(replicas);
        }
        let template = workload.template();
        let grace = grace_seconds(template.and_then(|template| template.spec.as_ref()));
        defaults::workload(&mut workload);
        let has_selector = document.root.at(&Path::fields("spec.selector")).is_some();
        let mut problems = validate::workload(&workload, has_selector);
        let base = workload.template_path();
        let workload = ValidWorkload::new(workload, document.clone());
        // Its pods are looked at too: a cluster would accept the workload and then fail to make them.
        let first = workload.pod(0, random);
        if problems.is_empty()
            && let Err(of_pod) = &first
        {
            problems.clone_from(&of_pod.0);
        }
        let mut remarks = compat::check_object(document, workload.workload().kind());
        remarks.extend(compat::check(document, &base));
        self.say(document, problems, remarks, || {
            let Ok(first) = first else { return Vec::new() };
            let mut notices = notices::pod(first.pod(), grace);
            let job = workload.scheduled_job(0);
            let at_once = job.as_ref().unwrap_or(&workload).replicas();
            notices.extend(notices::shared_ports(first.pod(), at_once));
            let notices = notices.into_iter();
            notices.map(|notice| notice.under(&base)).collect()
        });
        self.objects.workloads.push(workload);
    }

    /// Keeps what is wrong with an object and what the table says about it. Remarks and notices are for objects that are
    /// right: of one that is wrong, only what is refused besides is said.
    fn say(
        &mut self,
        document: &Document,
        problems: Vec<Diagnostic>,
        mut remarks: Vec<Diagnostic>,
        notices: impl FnOnce() -> Vec<Diagnostic>,
    ) {
        if problems.is_empty() {
            remarks.extend(place(document, notices()));
        } else {
            remarks.retain(|remark| remark.is_error() && !is_said(&problems, remark));
        }
        for remark in &mut remarks {
            if self.options.accept_unsupported && remark.kind == Kind::NotSupportedYet {
                remark.severity = Severity::Warning;
            }
        }
        self.found.extend(place(document, problems));
        self.found.extend(remarks);
    }
}

/// Whether one of the problems is about the same field, or one above or below it.
fn is_said(problems: &[Diagnostic], remark: &Diagnostic) -> bool {
    problems.iter().any(|problem| {
        let path = problem.location.as_ref().unwrap_or(&problem.path);
        let mut common = path.steps().iter().zip(remark.path.steps());
        common.all(|(one, other)| one == other)
    })
}

/// The problems with their places, the first ones if there are too many.
fn place(document: &Document, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let too_many = problems.len() > MAX_PROBLEMS;
    problems.truncate(MAX_PROBLEMS);
    if too_many {
        let message = format!("more than {MAX_PROBLEMS} problems; the others are not shown");
        problems.push(Diagnostic::new(
            Severity::Warning,
            Kind::Notice,
            Path::root(),
            message,
        ));
    }
    let placed = problems.into_iter().map(|problem| document.place(problem));
    placed.collect()
}

fn grace_seconds(spec: Option<&PodSpec>) -> Option<i64> {
    spec?.termination_grace_period_seconds
}
