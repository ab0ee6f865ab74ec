//! From manifests to what can be run: decoded, defaulted, checked.

use std::sync::Arc;

use self::taking::Taking;
use crate::core::{ConfigMap, PersistentVolumeClaim, Pod, PodSpec, Secret, Service};
use crate::decode::{self, Document, Item};
use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Severity};
use crate::path::Path;
use crate::source::{Source, Span};
use crate::workloads::ValidWorkload;

mod missing;
mod taking;

/// What the caller brings, since nothing here is random.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Random bits for the names of pods that have only a `generateName`.
    pub random: u64,
    /// Whether kinds that are not known are passed over with a warning, as when a whole application's manifests are given
    /// and only its pods matter.
    pub skip_unknown: bool,
    /// Kind, namespace and name of objects that are there although no manifest brings them.
    pub present: Vec<(&'static str, String, String)>,
    /// `spec.replicas` of every Deployment, ReplicaSet and StatefulSet, whatever the manifest says.
    pub replicas: Option<i32>,
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

    /// A field of the pod as a field of the object that the text holds: of a Deployment, the one in its template.
    #[must_use]
    pub fn in_document(&self, path: &Path) -> Path {
        self.base.join(path)
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
    let mut taking = Taking::new(options);
    for item in decode::decode(sources) {
        match item {
            Item::Object(object, document) => taking.object(*object, &document),
            Item::Problems(problems) => taking.problems(problems),
        }
    }
    let Taking {
        mut objects,
        found,
        count,
        ..
    } = taking;
    let diagnostics = Diagnostics(found).without_repeats();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    if count == 0 {
        return Err(Diagnostics(vec![nothing(sources)]));
    }
    objects.warnings = diagnostics.0;
    let missing = missing::of(&objects, &options.present);
    objects.warnings.extend(missing);
    Ok(objects)
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
