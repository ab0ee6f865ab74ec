//! ConfigMaps, Secrets and claims that a pod names, no manifest brings and nobody has applied. They may come later; until then
//! a container that needs one waits.

use std::collections::BTreeSet;

use super::{Objects, ValidPod};
use crate::core::{Container, Pod, PodSpec, Volume};
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_PROBLEMS;
use crate::meta::ObjectMeta;
use crate::path::Path;

/// What there is: kind, namespace and name.
type Known<'a> = BTreeSet<(&'static str, &'a str, &'a str)>;

/// What the pods of all manifests need, and none of them brings and is not `present` already.
pub(super) fn of(objects: &Objects, present: &[(&'static str, String, String)]) -> Vec<Diagnostic> {
    let present = present.iter();
    let mut known: Known<'_> = present
        .map(|(kind, namespace, name)| (*kind, namespace.as_str(), name.as_str()))
        .collect();
    let mut add = |kind, metadata| {
        let metadata: &ObjectMeta = metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        known.insert((
            kind,
            namespace,
            metadata.name.as_deref().unwrap_or_default(),
        ));
    };
    for map in &objects.config_maps {
        add("ConfigMap", &map.metadata);
    }
    for secret in &objects.secrets {
        add("Secret", &secret.metadata);
    }
    for claim in &objects.claims {
        add("PersistentVolumeClaim", &claim.metadata);
    }
    let mut found = Vec::new();
    for pod in &objects.pods {
        found.extend(of_valid(pod, &[&known]));
    }
    for workload in &objects.workloads {
        let Ok(pod) = workload.pod(0, 0) else {
            continue;
        };
        // The claims of a StatefulSet are its own.
        let claims = workload.claims(0);
        let names = claims
            .iter()
            .filter_map(|claim| claim.metadata.name.as_deref());
        let own: Known<'_> = names
            .map(|name| ("PersistentVolumeClaim", workload.namespace(), name))
            .collect();
        found.extend(of_valid(&pod, &[&known, &own]));
    }
    found
}

fn of_valid(pod: &ValidPod, known: &[&Known<'_>]) -> Vec<Diagnostic> {
    let notices = of_pod(pod.pod(), known).into_iter();
    let placed = notices.map(|notice| pod.document.place(notice.under(&pod.base)));
    placed.collect()
}

/// One reference of a pod to another object.
struct Reference<'p> {
    kind: &'static str,
    name: &'p str,
    optional: bool,
    path: Path,
}

/// A warning for each object that the pod cannot do without and that is not there.
fn of_pod(pod: &Pod, known: &[&Known<'_>]) -> Vec<Diagnostic> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let mut references = Vec::new();
    of_containers(&mut references, spec);
    of_volumes(&mut references, spec);
    references
        .into_iter()
        .filter(|reference| !reference.optional && !reference.name.is_empty())
        .filter(|reference| {
            let key = (reference.kind, namespace, reference.name);
            !known.iter().any(|known| known.contains(&key))
        })
        .take(MAX_PROBLEMS)
        .map(|reference| {
            let message = format!(
                "{} {} is not among the manifests: what needs it will wait for it",
                reference.kind,
                crate::go::quote(reference.name)
            );
            Diagnostic::notice(&reference.path, &message)
        })
        .collect()
}

fn of_containers<'p>(references: &mut Vec<Reference<'p>>, spec: &'p PodSpec) {
    for (list, containers) in [
        (
            "initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
        ("containers", &spec.containers),
    ] {
        for (index, container) in containers.iter().enumerate() {
            let path = Path::fields("spec").field(list).index(index);
            of_container(references, &path, container);
        }
    }
}

fn of_container<'p>(references: &mut Vec<Reference<'p>>, path: &Path, container: &'p Container) {
    let mut add = |kind, name: &'p str, optional: Option<bool>, path: Path| {
        references.push(Reference {
            kind,
            name,
            optional: optional == Some(true),
            path,
        });
    };
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let path = path.field("envFrom").index(index);
        if let Some(map) = &source.config_map_ref {
            add(
                "ConfigMap",
                &map.name,
                map.optional,
                path.field("configMapRef.name"),
            );
        }
        if let Some(secret) = &source.secret_ref {
            add(
                "Secret",
                &secret.name,
                secret.optional,
                path.field("secretRef.name"),
            );
        }
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let Some(source) = &variable.value_from else {
            continue;
        };
        let path = path.field("env").index(index).field("valueFrom");
        if let Some(key) = &source.config_map_key_ref {
            add(
                "ConfigMap",
                &key.name,
                key.optional,
                path.field("configMapKeyRef.name"),
            );
        }
        if let Some(key) = &source.secret_key_ref {
            add(
                "Secret",
                &key.name,
                key.optional,
                path.field("secretKeyRef.name"),
            );
        }
    }
}

/// Only the volumes that a container mounts are made.
fn of_volumes<'p>(references: &mut Vec<Reference<'p>>, spec: &'p PodSpec) {
    let mounted: BTreeSet<&str> = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .map(|mount| mount.name.as_str())
        .collect();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        if mounted.contains(volume.name.as_str()) {
            let path = Path::fields("spec.volumes").index(index);
            of_volume(references, &path, volume);
        }
    }
}

fn of_volume<'p>(references: &mut Vec<Reference<'p>>, path: &Path, volume: &'p Volume) {
    let mut add = |kind, name: &'p str, optional: Option<bool>, path: Path| {
        references.push(Reference {
            kind,
            name,
            optional: optional == Some(true),
            path,
        });
    };
    if let Some(map) = &volume.config_map {
        add(
            "ConfigMap",
            &map.name,
            map.optional,
            path.field("configMap.name"),
        );
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        add(
            "Secret",
            name,
            secret.optional,
            path.field("secret.secretName"),
        );
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let path = path.field("persistentVolumeClaim.claimName");
        add("PersistentVolumeClaim", &claim.claim_name, None, path);
    }
    let sources = volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten());
    for (index, source) in sources.enumerate() {
        let path = path.field("projected.sources").index(index);
        if let Some(map) = &source.config_map {
            add(
                "ConfigMap",
                &map.name,
                map.optional,
                path.field("configMap.name"),
            );
        }
        if let Some(secret) = &source.secret {
            add(
                "Secret",
                &secret.name,
                secret.optional,
                path.field("secret.name"),
            );
        }
    }
}
