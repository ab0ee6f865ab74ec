//! From manifests to what can be run: decoded, defaulted, checked.

use std::sync::Arc;

use crate::compat;
use crate::core::{ConfigMap, PersistentVolumeClaim, Pod, PodSpec, Secret, Service};
use crate::decode::{self, Document, Item};
use crate::defaults;
use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Severity};
use crate::meta::ObjectMeta;
use crate::missing::{self, Known};
use crate::names;
use crate::notices;
use crate::object::Object;
use crate::path::Path;
use crate::source::{Source, Span};
use crate::validate;
use crate::workloads::ValidWorkload;

/// What the caller brings, since nothing here is random.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Random bits for the names of pods that have only a `generateName`.
    pub random: u64,
    /// Whether kinds that are not known are passed over with a warning, as when a whole application's manifests are given
    /// and only its pods matter.
    pub skip_unknown: bool,
    /// Whether what is valid and cannot be run here is accepted with a warning, as when it is only to be looked at.
    pub accept_unsupported: bool,
}

/// A pod as the API server would have stored it: defaulted and free of errors. Nothing below has to check again.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPod {
    pod: Pod,
    document: Document,
    /// Where in the document the pod, or the template it was made of, stands.
    base: Path,
}

impl ValidPod {
    /// A pod made of the template at `base`, known to be valid.
    pub(crate) fn of_template(pod: Pod, document: Document, base: Path) -> Self {
        Self {
            pod,
            document,
            base,
        }
    }

    /// The pod.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The pod, no longer known to be valid.
    #[must_use]
    pub fn into_pod(self) -> Pod {
        self.pod
    }

    /// `metadata.name`
    #[must_use]
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The specification.
    #[must_use]
    pub fn spec(&self) -> &PodSpec {
        // A pod without one has no containers and is never valid.
        static NONE: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&NONE)
    }

    /// The text it came from.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Where in the text a field is set, or what is around it.
    #[must_use]
    pub fn span(&self, path: &Path) -> Span {
        self.document.span(&self.base.join(path))
    }
}

/// Everything the manifests describe.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Pods, in the order of the manifests.
    pub pods: Vec<ValidPod>,
    /// ConfigMaps, namespace filled in.
    pub config_maps: Vec<ConfigMap>,
    /// Secrets, namespace and type filled in, `stringData` merged into `data`.
    pub secrets: Vec<Secret>,
    /// Persistent volume claims, namespace and volume mode filled in.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Services. No proxy serves them on one machine.
    pub services: Vec<Service>,
    /// Kinds that pods are made of, in the order of the manifests.
    pub workloads: Vec<ValidWorkload>,
    /// What was accepted and is worth knowing.
    pub warnings: Vec<Diagnostic>,
}

/// Reads all of `sources`.
///
/// # Errors
///
/// Everything that is wrong, in every source; warnings are among it.
pub fn load(sources: &[Source], options: &LoadOptions) -> Result<Objects, Diagnostics> {
    let mut objects = Objects::default();
    let mut found = Vec::new();
    let mut count = 0_u64;
    for item in decode::decode(sources) {
        let (object, document) = match item {
            Item::Object(object, document) => (*object, document),
            Item::Problems(mut problems) => {
                for problem in &mut problems {
                    if options.skip_unknown && problem.kind == Kind::UnknownKind {
                        problem.severity = Severity::Warning;
                    }
                }
                found.extend(problems);
                continue;
            }
        };
        let suffix = names::name_suffix(options.random.wrapping_add(count));
        count += 1;
        let mut remarks = Vec::new();
        let problems = match object {
            Object::Pod(mut pod) => {
                let grace = grace_seconds(pod.spec.as_ref());
                defaults::apply(&mut pod, &suffix);
                let problems = validate::pod(&pod);
                remarks = self::remarks(&document, &Path::root(), &problems, || {
                    notices::pod(&pod, grace)
                });
                objects.pods.push(ValidPod {
                    pod: *pod,
                    document: document.clone(),
                    base: Path::root(),
                });
                problems
            }
            Object::ConfigMap(mut map) => {
                defaults::config_map(&mut map);
                let problems = validate::config_map(&map);
                objects.config_maps.push(*map);
                problems
            }
            Object::Secret(mut secret) => {
                defaults::secret(&mut secret);
                let problems = validate::secret(&secret);
                objects.secrets.push(*secret);
                problems
            }
            Object::PersistentVolumeClaim(mut claim) => {
                defaults::persistent_volume_claim(&mut claim);
                let problems = validate::persistent_volume_claim(&claim);
                objects.claims.push(*claim);
                problems
            }
            Object::Service(mut service) => {
                defaults::service(&mut service);
                let problems = validate::service(&service);
                objects.services.push(*service);
                problems
            }
            Object::Workload(mut workload) => {
                let grace = grace_seconds(
                    workload
                        .template()
                        .and_then(|template| template.spec.as_ref()),
                );
                defaults::workload(&mut workload);
                let has_selector = document.root.at(&Path::fields("spec.selector")).is_some();
                let mut problems = validate::workload(&workload, has_selector);
                let base = workload.template_path();
                let workload = ValidWorkload::new(workload, document.clone());
                let first = workload.pod(0, options.random);
                if problems.is_empty()
                    && let Err(of_pod) = &first
                {
                    problems.clone_from(&of_pod.0);
                }
                remarks = self::remarks(&document, &base, &problems, || {
                    let first = first.map(|pod| notices::pod(pod.pod(), grace));
                    let notices = first.unwrap_or_default().into_iter();
                    notices.map(|notice| notice.under(&base)).collect()
                });
                objects.workloads.push(workload);
                problems
            }
        };
        found.extend(problems.into_iter().map(|problem| document.place(problem)));
        for remark in &mut remarks {
            if options.accept_unsupported && remark.kind == Kind::NotSupportedYet {
                remark.severity = Severity::Warning;
            }
        }
        found.extend(remarks);
    }
    let diagnostics = Diagnostics(found).without_repeats();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    if count == 0 {
        return Err(Diagnostics(vec![nothing(sources)]));
    }
    objects.warnings = diagnostics.0;
    let missing = objects.missing();
    objects.warnings.extend(missing);
    Ok(objects)
}

impl Objects {
    /// What the pods need and no manifest brings.
    fn missing(&self) -> Vec<Diagnostic> {
        let mut known = Known::new();
        let mut add = |kind, metadata| {
            let metadata: &ObjectMeta = metadata;
            known.insert((
                kind,
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default(),
            ));
        };
        self.config_maps
            .iter()
            .for_each(|map| add("ConfigMap", &map.metadata));
        self.secrets
            .iter()
            .for_each(|secret| add("Secret", &secret.metadata));
        self.claims
            .iter()
            .for_each(|claim| add("PersistentVolumeClaim", &claim.metadata));
        let of_workloads = self.workloads.iter().filter_map(|workload| {
            // The claims of a StatefulSet are its own.
            let of_pod =
                |claim: &PersistentVolumeClaim| claim.metadata.name.clone().unwrap_or_default();
            let own: Vec<String> = workload.claims(0).iter().map(of_pod).collect();
            Some((workload.pod(0, 0).ok()?, own))
        });
        let pods = self.pods.iter().map(|pod| (pod.clone(), Vec::new()));
        pods.chain(of_workloads)
            .flat_map(|(pod, own)| {
                let mut known = known.clone();
                known.extend(
                    own.iter()
                        .map(|name| ("PersistentVolumeClaim", pod.namespace(), name.as_str())),
                );
                missing::of_pod(pod.pod(), &known)
                    .into_iter()
                    .map(|notice| pod.document.place(notice.under(&pod.base)))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

fn grace_seconds(spec: Option<&PodSpec>) -> Option<i64> {
    spec?.termination_grace_period_seconds
}

/// What is refused, remarked and noticed about a pod. Of one that is wrong, only what has not been said by `problems`.
fn remarks(
    document: &Document,
    base: &Path,
    problems: &[Diagnostic],
    notices: impl FnOnce() -> Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let mut found = compat::check(document, base);
    if problems.is_empty() {
        found.extend(notices().into_iter().map(|notice| document.place(notice)));
        return found;
    }
    let said = |refused: &Diagnostic| {
        problems.iter().any(|problem| {
            let path = problem.location.as_ref().unwrap_or(&problem.path);
            let common = path.steps().iter().zip(refused.path.steps());
            common.into_iter().all(|(one, other)| one == other)
        })
    };
    found.retain(|refused| refused.is_error() && !said(refused));
    found
}

/// Texts without any object in them, only comments and separators.
fn nothing(sources: &[Source]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        Severity::Error,
        Kind::Required,
        Path::root(),
        "there is no object in here",
    )
    .with_hint("a Pod begins with `apiVersion: v1` and `kind: Pod`");
    diagnostic.server_message = Some("no objects passed to apply".to_owned());
    diagnostic.span = sources
        .first()
        .map(|source| Span::new(Arc::new(source.clone()), 0, 0));
    diagnostic
}
