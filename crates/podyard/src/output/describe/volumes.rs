//! The volume block of `describe pod`.

use super::optional;
use crate::objects::Volume;
use crate::output::columns::Columns;
use crate::output::escape::one_line;

pub(super) fn describe_volumes(volumes: &[Volume], out: &mut Columns) {
    if volumes.is_empty() {
        out.line(0, "Volumes:\t<none>");
        return;
    }
    out.line(0, "Volumes:");
    for volume in volumes {
        out.line(1, format!("{}:", volume.name));
        for (label, value) in facts(volume) {
            out.line(2, format!("{label}:\t{}", one_line(&value)));
        }
    }
}

/// The lines of one volume, as label and value.
fn facts(volume: &Volume) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if let Some(source) = &volume.empty_dir {
        let limit = source
            .size_limit
            .as_ref()
            .map_or_else(|| "<unset>".to_owned(), |limit| limit.0.clone());
        vec![
            (
                "Type",
                "EmptyDir (a temporary directory that shares a pod's lifetime)".to_owned(),
            ),
            ("Medium", text(&source.medium)),
            ("SizeLimit", limit),
        ]
    } else if let Some(source) = &volume.host_path {
        vec![
            ("Type", "HostPath (bare host directory volume)".to_owned()),
            ("Path", source.path.clone()),
            ("HostPathType", text(&source.type_)),
        ]
    } else if let Some(source) = &volume.config_map {
        vec![
            (
                "Type",
                "ConfigMap (a volume populated by a ConfigMap)".to_owned(),
            ),
            ("Name", source.name.clone()),
            ("Optional", optional(source.optional).to_string()),
        ]
    } else if let Some(source) = &volume.secret {
        vec![
            ("Type", "Secret (a volume populated by a Secret)".to_owned()),
            ("SecretName", text(&source.secret_name)),
            ("Optional", optional(source.optional).to_string()),
        ]
    } else if let Some(source) = &volume.downward_api {
        let mut facts = vec![(
            "Type",
            "DownwardAPI (a volume populated by information about the pod)".to_owned(),
        )];
        for item in source.items.iter().flatten() {
            let from = item
                .field_ref
                .as_ref()
                .map(|field| field.field_path.clone())
                .or_else(|| {
                    item.resource_field_ref
                        .as_ref()
                        .map(|field| field.resource.clone())
                });
            facts.push((
                "Item",
                format!("{} -> {}", from.unwrap_or_default(), item.path),
            ));
        }
        facts
    } else if let Some(source) = &volume.projected {
        let mut facts = vec![(
            "Type",
            "Projected (a volume that contains injected data from multiple sources)".to_owned(),
        )];
        for source in source.sources.iter().flatten() {
            if let Some(secret) = &source.secret {
                facts.push(("SecretName", secret.name.clone()));
                facts.push(("Optional", optional(secret.optional).to_string()));
            }
            if source.downward_api.is_some() {
                facts.push(("DownwardAPI", "true".to_owned()));
            }
            if let Some(map) = &source.config_map {
                facts.push(("ConfigMapName", map.name.clone()));
                facts.push(("Optional", optional(map.optional).to_string()));
            }
            if let Some(token) = &source.service_account_token {
                facts.push((
                    "TokenExpirationSeconds",
                    token.expiration_seconds.unwrap_or(3600).to_string(),
                ));
            }
        }
        facts
    } else if let Some(source) = &volume.persistent_volume_claim {
        vec![
            ("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)".to_owned()),
            ("ClaimName", source.claim_name.clone()),
            ("ReadOnly", optional(source.read_only).to_string()),
        ]
    } else if volume.ephemeral.is_some() {
        let what = "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)";
        vec![("Type", what.to_owned())]
    } else if let Some(source) = &volume.image {
        vec![
            (
                "Type",
                "Image (a container image or OCI artifact)".to_owned(),
            ),
            ("Reference", text(&source.reference)),
            ("PullPolicy", text(&source.pull_policy)),
        ]
    } else {
        vec![("Type", "<unknown>".to_owned())]
    }
}
