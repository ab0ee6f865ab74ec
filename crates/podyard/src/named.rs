//! The kinds of objects that are kept by name for pods that refer to them: ConfigMaps, Secrets and claims.
//!
//! What they have in common is here; how they are shown is in [`crate::output::named`]. They are files below the state directory
//! ([`Kept`]): whoever changes one takes their lock, pods notice the change by themselves.

use std::fmt::Display;

use podyard_api::k8s_openapi::{Metadata, Resource};
use podyard_api::{Diagnostic, validate};
use podyard_supervisor::Kept;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;
use crate::objects::core::{ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimStatus, Secret};
use crate::objects::meta::ObjectMeta;
use crate::pods;
use crate::settings::{Context, Scope};
use crate::target::Target;

/// An object that is kept by name.
pub(crate) trait Named:
    Clone + PartialEq + Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned
{
    /// kubectl's word for one of them: `configmap`.
    const WORD: &'static str;

    /// Why the API server would not let this one take the place of `old`.
    fn refused_after(&self, old: &Self) -> Vec<Diagnostic>;

    /// Fills in what a controller would write.
    fn settle(&mut self) {}

    /// `metadata.name`
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or("default")
    }
}

impl Named for ConfigMap {
    const WORD: &'static str = "configmap";

    fn refused_after(&self, old: &Self) -> Vec<Diagnostic> {
        validate::config_map_update(old, self)
    }
}

impl Named for Secret {
    const WORD: &'static str = "secret";

    fn refused_after(&self, old: &Self) -> Vec<Diagnostic> {
        validate::secret_update(old, self)
    }
}

impl Named for PersistentVolumeClaim {
    const WORD: &'static str = "persistentvolumeclaim";

    fn refused_after(&self, old: &Self) -> Vec<Diagnostic> {
        validate::persistent_volume_claim_update(old, self)
    }

    /// A directory is there for whoever asks, and is as large as the disk: the claim is bound at once.
    fn settle(&mut self) {
        let spec = self.spec.as_ref();
        let requests = spec
            .and_then(|spec| spec.resources.as_ref())
            .and_then(|resources| resources.requests.as_ref());
        let capacity = requests
            .and_then(|requests| requests.get("storage"))
            .map(|size| [("storage".to_owned(), size.clone())].into());
        self.status = Some(PersistentVolumeClaimStatus {
            phase: Some("Bound".to_owned()),
            access_modes: spec.and_then(|spec| spec.access_modes.clone()),
            capacity,
            ..PersistentVolumeClaimStatus::default()
        });
    }
}

/// The objects that one instance keeps.
pub(crate) fn kept(context: &Context) -> Result<Kept, CliError> {
    Ok(Kept::at(&pods::roots(context)?))
}

/// The objects that are meant, by namespace and name; a named one that does not exist is an error.
pub(crate) fn select<T: Named>(
    context: &Context,
    target: &Target,
    scope: Scope,
) -> Result<Vec<T>, CliError> {
    let kept = kept(context)?;
    match target {
        Target::All | Target::Selected(_) => {
            let mut all = kept.list::<T>().map_err(|error| {
                CliError::failed(format!("cannot list the {}s", T::WORD), error)
            })?;
            all.retain(|object| {
                scope == Scope::AllNamespaces || object.namespace() == context.namespace()
            });
            if let Target::Selected(selection) = target {
                if !selection.fields.is_empty() {
                    return Err(CliError::Usage(format!(
                        "a {} cannot be selected by its fields, only by its labels",
                        T::WORD
                    )));
                }
                all.retain(|object| selection.labels.matches(object.metadata().labels.as_ref()));
            }
            Ok(all)
        }
        Target::Named(_) if scope == Scope::AllNamespaces => Err(CliError::Usage(format!(
            "a {} cannot be named across all namespaces",
            T::WORD
        ))),
        Target::Named(names) => names
            .iter()
            .map(|name| {
                let found = kept.get::<T>(context.namespace(), name);
                found
                    .map(|(object, _)| object)
                    .ok_or_else(|| not_found::<T>(context.namespace(), name))
            })
            .collect(),
    }
}

/// Kind, namespace and name of everything that is kept, for those who look for references that lead nowhere. What is in the namespace that
/// was asked for is also in that of a manifest that names none. Whoever may not look sees nothing.
pub(crate) fn present(context: &Context) -> Vec<(&'static str, String, String)> {
    let Ok(kept) = kept(context) else {
        return Vec::new();
    };
    let lists = [
        (ConfigMap::KIND, kept.names::<ConfigMap>()),
        (Secret::KIND, kept.names::<Secret>()),
        (
            PersistentVolumeClaim::KIND,
            kept.names::<PersistentVolumeClaim>(),
        ),
    ];
    let mut all = Vec::new();
    for (kind, names) in lists {
        for (namespace, name) in names.unwrap_or_default() {
            if context.namespace.as_deref() == Some(namespace.as_str()) {
                all.push((kind, "default".to_owned(), name.clone()));
            }
            all.push((kind, namespace, name));
        }
    }
    all
}

/// Keeps the claims that are not kept yet: the data of a claim stays when its pods are gone, and somebody has to know of it.
pub(crate) fn keep_claims(
    context: &Context,
    claims: &[PersistentVolumeClaim],
) -> Result<(), CliError> {
    if claims.is_empty() {
        return Ok(());
    }
    let failed = |error| CliError::failed("cannot keep the claims", error);
    let kept = kept(context)?;
    let exclusive = kept.exclusively().map_err(failed)?;
    for claim in claims {
        let known = kept.get::<PersistentVolumeClaim>(claim.namespace(), claim.name());
        if known.is_none() {
            let mut claim = claim.clone();
            podyard_api::defaults::forget_servers_part(&mut claim.metadata);
            claim.settle();
            exclusive.store(claim).map_err(failed)?;
        }
    }
    Ok(())
}

/// There is none of this name.
pub(crate) fn not_found<T: Named>(namespace: &str, name: impl Display) -> CliError {
    CliError::NotFound(format!(
        "{} `{name}` not found in namespace `{namespace}`",
        T::WORD
    ))
}

/// Whether two objects differ in nothing that a manifest says.
pub(crate) fn says_the_same<T: Named>(one: &T, other: &T) -> bool {
    let plain = |object: &T| {
        let mut object = object.clone();
        podyard_api::defaults::forget_servers_part(object.metadata_mut());
        object.settle();
        object
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_writes_makes_no_difference() {
        let one = ConfigMap {
            data: Some([("a".to_owned(), "1".to_owned())].into()),
            ..ConfigMap::default()
        };
        let mut other = one.clone();
        other.metadata.uid = Some("u".to_owned());
        other.metadata.resource_version = Some("7".to_owned());
        assert!(says_the_same(&one, &other));
        other.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        assert!(!says_the_same(&one, &other));
    }

    #[test]
    fn a_claim_is_bound_with_what_it_asked_for() {
        let mut claim: PersistentVolumeClaim = serde_json::from_value(serde_json::json!({
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }))
        .expect("a claim");
        let asked = claim.clone();
        claim.settle();
        let status = serde_json::to_value(claim.status.as_ref()).expect("JSON");
        let expected = serde_json::json!({
            "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        });
        assert_eq!(status, expected);
        assert!(says_the_same(&asked, &claim));
    }
}
