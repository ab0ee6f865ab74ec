//! AppArmor profiles that are still asked for by annotation: copied into the field, unless that is set.

use crate::core::{AppArmorProfile, Pod};

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn from_annotations(pod: &mut Pod) {
    let Some(annotations) = pod.metadata.annotations.as_ref() else {
        return;
    };
    let Some(spec) = pod.spec.as_mut() else {
        return;
    };
    let of_pod = spec
        .security_context
        .as_ref()
        .and_then(|security| security.app_armor_profile.clone());
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        let annotation = annotations.get(&format!("{PREFIX}{}", container.name));
        let Some(wanted) = annotation.and_then(|text| profile(text)) else {
            continue;
        };
        if of_pod.as_ref() != Some(&wanted) {
            let security = container.security_context.get_or_insert_default();
            security.app_armor_profile.get_or_insert(wanted);
        }
    }
}

fn profile(annotation: &str) -> Option<AppArmorProfile> {
    let (kind, name) = match annotation {
        "runtime/default" => ("RuntimeDefault", None),
        "unconfined" => ("Unconfined", None),
        other => ("Localhost", Some(other.strip_prefix("localhost/")?)),
    };
    Some(AppArmorProfile {
        type_: kind.to_owned(),
        localhost_profile: name.map(str::to_owned),
    })
}
