//! Claims: templates of persistent volume claims, and claims of devices.

use std::collections::BTreeSet;

use super::Found;
use super::pod::text;
use super::selectors;
use crate::core::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodResourceClaim, PodSpec, Volume,
};
use crate::diagnostic::Diagnostic;
use crate::go::json_string;
use crate::path::Path;
use crate::quantity;

pub(super) fn ephemeral(found: &mut Found, path: &Path, volume: &Volume) {
    let Some(source) = &volume.ephemeral else {
        return;
    };
    let path = path.field("volumeClaimTemplate");
    match &source.volume_claim_template {
        None => found.add(Diagnostic::required(&path, "")),
        Some(template) => {
            let metadata = template.metadata.clone().unwrap_or_default();
            super::metadata::labels(
                found,
                &path.field("metadata.labels"),
                metadata.labels.as_ref(),
            );
            claim(found, &path.field("spec"), &template.spec);
        }
    }
}

/// Everything that is wrong with a defaulted PersistentVolumeClaim.
#[must_use]
pub fn persistent_volume_claim(claim: &PersistentVolumeClaim) -> Vec<Diagnostic> {
    let mut found = Found::default();
    super::metadata::metadata(&mut found, &Path::fields("metadata"), &claim.metadata);
    let none = PersistentVolumeClaimSpec::default();
    let spec = claim.spec.as_ref().unwrap_or(&none);
    self::claim(&mut found, &Path::fields("spec"), spec);
    found.0
}

/// Everything that is wrong with replacing a PersistentVolumeClaim by `new`. A claim may ask for more room, and for nothing else.
#[must_use]
pub fn persistent_volume_claim_update(
    old: &PersistentVolumeClaim,
    new: &PersistentVolumeClaim,
) -> Vec<Diagnostic> {
    let mut found = Found::default();
    let room = |claim: &PersistentVolumeClaim| {
        let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
        requests.get("storage").map(|size| size.0.clone())
    };
    let without_room = |claim: &PersistentVolumeClaim| {
        let mut spec = claim.spec.clone().unwrap_or_default();
        let resources = spec.resources.get_or_insert_default();
        if let Some(requests) = &mut resources.requests {
            requests.remove("storage");
        }
        // Both may change.
        spec.volume_attributes_class_name = None;
        spec
    };
    if without_room(old) != without_room(new) {
        let message = "spec is immutable after creation except resources.requests and \
                       volumeAttributesClassName for bound claims";
        found.add(Diagnostic::forbidden(&Path::fields("spec"), message));
    }
    let bytes = |claim| room(claim).and_then(|size| quantity::bytes(&size).ok());
    if bytes(new) < bytes(old) {
        let path = Path::fields("spec.resources.requests.storage");
        let message = "field can not be less than status.capacity";
        found.add(Diagnostic::forbidden(&path, message));
    }
    found.0
}

/// The specification of a persistent volume claim.
pub(super) fn claim(found: &mut Found, path: &Path, spec: &PersistentVolumeClaimSpec) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let at = path.field("accessModes");
    if modes.is_empty() {
        found.add(Diagnostic::required(
            &at,
            "at least 1 access mode is required",
        ));
    }
    if let Some(selector) = &spec.selector {
        selectors::label_selector(found, &path.field("selector"), selector);
    }
    for mode in modes {
        found.one_of(
            &at,
            mode,
            &[
                "ReadOnlyMany",
                "ReadWriteMany",
                "ReadWriteOnce",
                "ReadWriteOncePod",
            ],
        );
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let message = "may not use ReadWriteOncePod with other access modes";
        found.add(Diagnostic::forbidden(&at, message));
    }
    let storage = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref())
        .and_then(|requests| requests.get("storage"));
    // The API server leaves `requests` out of this path.
    let at = path.field("resources").key("storage");
    match storage {
        None => found.add(Diagnostic::required(&at, "")),
        Some(storage) => {
            let positive = storage
                .0
                .parse::<quantity::Value>()
                .is_ok_and(|value| value > quantity::Value::ZERO);
            if !positive {
                let diagnostic = Diagnostic::invalid(&at, &storage.0, "must be greater than zero");
                found.add(diagnostic.located_at(path.field("resources.requests").key("storage")));
            }
        }
    }
    if let Some(class) = spec
        .storage_class_name
        .as_deref()
        .filter(|class| !class.is_empty())
    {
        found.subdomain(&path.field("storageClassName"), class);
    }
    if let Some(mode) = &spec.volume_mode {
        found.one_of(&path.field("volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

/// Returns the names that containers may ask for.
pub(super) fn resource_claims(found: &mut Found, path: &Path, spec: &PodSpec) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, claim) in spec.resource_claims.iter().flatten().enumerate() {
        let path = path.index(index);
        if claim.name.is_empty() {
            found.add(Diagnostic::required(&path.field("name"), ""));
        } else if !names.insert(claim.name.clone()) {
            found.add(Diagnostic::duplicate(&path.field("name"), &claim.name));
        } else {
            found.label(&path.field("name"), &claim.name);
        }
        resource_claim_source(found, &path, claim);
    }
    names
}

fn resource_claim_source(found: &mut Found, path: &Path, claim: &PodResourceClaim) {
    let message = match (
        &claim.resource_claim_name,
        &claim.resource_claim_template_name,
    ) {
        (None, None) => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
        (Some(_), Some(_)) => {
            "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        }
        _ => "",
    };
    if !message.is_empty() {
        let json = |name: Option<&String>| {
            name.map_or_else(|| "null".to_owned(), |name| json_string(name))
        };
        let value = format!(
            r#"{{"Name":{},"ResourceClaimName":{},"ResourceClaimTemplateName":{}}}"#,
            json_string(&claim.name),
            json(claim.resource_claim_name.as_ref()),
            json(claim.resource_claim_template_name.as_ref())
        );
        found.add(Diagnostic::invalid_json(path, &value, message));
    }
    for (field, name) in [
        ("resourceClaimName", &claim.resource_claim_name),
        (
            "resourceClaimTemplateName",
            &claim.resource_claim_template_name,
        ),
    ] {
        if name.is_some() {
            found.subdomain(&path.field(field), text(name.as_ref()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(size: &str, mode: &str) -> PersistentVolumeClaim {
        serde_json::from_value(serde_json::json!({
            "spec": {"accessModes": [mode], "resources": {"requests": {"storage": size}}},
        }))
        .expect("a claim")
    }

    #[test]
    fn a_claim_may_grow_and_change_in_no_other_way() {
        let old = claim("1Gi", "ReadWriteOnce");
        for (new, expected) in [
            (claim("1Gi", "ReadWriteOnce"), None),
            (claim("1024Mi", "ReadWriteOnce"), None),
            (claim("2Gi", "ReadWriteOnce"), None),
            (
                claim("1Mi", "ReadWriteOnce"),
                Some(
                    "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
                ),
            ),
            (
                claim("1Gi", "ReadWriteMany"),
                Some(
                    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
                ),
            ),
        ] {
            let found = persistent_volume_claim_update(&old, &new);
            let found = found.first().map(|problem| problem.message.as_str());
            assert_eq!(found, expected);
        }
    }
}
