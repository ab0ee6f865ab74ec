//! From manifests to what can be run: decoded, defaulted, checked.

use crate::core::{ConfigMap, Pod, PodSpec, Secret};
use crate::decode::{self, Document};
use crate::defaults;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::names;
use crate::object::Object;
use crate::path::Path;
use crate::source::{Source, Span};
use crate::validate;

/// What the caller brings, since nothing here is random.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Random bits for the names of pods that have only a `generateName`.
    pub random: u64,
}

/// A pod as the API server would have stored it: defaulted and free of errors. Nothing below has to check again.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPod {
    pod: Pod,
    document: Document,
}

impl ValidPod {
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
        self.document.span(path)
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
    /// What was accepted and is worth knowing.
    pub warnings: Vec<Diagnostic>,
}

/// Reads all of `sources`.
///
/// # Errors
///
/// Everything that is wrong, in every source; warnings are among it.
pub fn load(sources: &[Source], options: &LoadOptions) -> Result<Objects, Diagnostics> {
    let decoded = decode::decode(sources)?;
    let mut objects = Objects::default();
    let mut found = decoded.warnings;
    for (position, (object, document)) in decoded.objects.into_iter().enumerate() {
        match object {
            Object::Pod(mut pod) => {
                let random = options.random.wrapping_add(position as u64);
                defaults::apply(&mut pod, &names::name_suffix(random));
                found.extend(
                    validate::pod(&pod)
                        .into_iter()
                        .map(|problem| document.place(problem)),
                );
                objects.pods.push(ValidPod {
                    pod: *pod,
                    document,
                });
            }
            Object::ConfigMap(mut map) => {
                defaults::config_map(&mut map);
                found.extend(
                    validate::config_map(&map)
                        .into_iter()
                        .map(|problem| document.place(problem)),
                );
                objects.config_maps.push(*map);
            }
            Object::Secret(mut secret) => {
                defaults::secret(&mut secret);
                found.extend(
                    validate::secret(&secret)
                        .into_iter()
                        .map(|problem| document.place(problem)),
                );
                objects.secrets.push(*secret);
            }
        }
    }
    let diagnostics = Diagnostics(found).without_repeats();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    objects.warnings = diagnostics.0;
    Ok(objects)
}
