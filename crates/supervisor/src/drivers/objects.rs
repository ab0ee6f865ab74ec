//! What a pod refers to by name: ConfigMaps, Secrets, claims. They came with the pod, or are kept for whoever names them ([`Kept`]).
//!
//! Looked for anew whenever a container is put together or a volume is filled, and whenever a kept object of the pod's namespace changes
//! ([`follow`]): volumes are brought up to date then, and what waits for something that was missing is tried again.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::rc::Rc;
use std::time::SystemTime;

use podyard_api::core::{ConfigMap, Container, PersistentVolumeClaim, PodSpec, Secret};
use podyard_api::k8s_openapi::{Metadata, Resource};
use podyard_api::meta::ObjectMeta;
use podyard_lifecycle::Observation;
use rustix::fs::inotify;
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::{World, volumes};
use crate::kept::Kept;
use crate::ready::{self, Ready};

/// Objects of the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Objects {
    pub(crate) config_maps: Vec<ConfigMap>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
}

impl Objects {
    pub(crate) fn claim(&self, name: &str) -> Option<&PersistentVolumeClaim> {
        named(&self.claims, name)
    }
}

impl World {
    /// Reads again what the pod names. A kept object that was written after the pod was accepted replaces one that came with the pod; one that
    /// was immutable when it was first seen stays what it was, as for a kubelet that has it in its cache.
    pub(crate) fn look_at_objects(&self) {
        let names = Names::of_pod(self);
        if names == Names::default() {
            return;
        }
        let kept = Kept::at(&self.roots);
        let accepted = std::fs::metadata(self.dirs.record()).and_then(|record| record.modified());
        let accepted = accepted.unwrap_or(SystemTime::UNIX_EPOCH);
        let namespace = self.with_facts(|facts| facts.namespace().to_owned());
        let known = Rc::clone(&self.live.objects.borrow());
        let current = Objects {
            config_maps: retain(
                &known.config_maps,
                |map| map.immutable == Some(true),
                overlay(
                    &self.given.config_maps,
                    &names.config_maps,
                    |name| kept.get(&namespace, name),
                    accepted,
                ),
            ),
            secrets: retain(
                &known.secrets,
                |secret| secret.immutable == Some(true),
                overlay(
                    &self.given.secrets,
                    &names.secrets,
                    |name| kept.get(&namespace, name),
                    accepted,
                ),
            ),
            claims: overlay(
                &self.given.claims,
                &names.claims,
                |name| kept.get(&namespace, name),
                accepted,
            ),
        };
        // The same one as long as nothing is different: so whoever has it can tell.
        if *known != current {
            *self.live.objects.borrow_mut() = Rc::new(current);
        }
    }
}

/// Acts upon changes of kept objects, for as long as the pod is supervised. Variables are read at the start of a container, as in Kubernetes.
/// Begun again when the pod has changed, since what is added to it may be the first to name one.
pub(crate) async fn follow(world: Rc<World>) {
    if Names::of_pod(&world) == Names::default() || world.live.follows_objects.replace(true) {
        return;
    }
    let failed = match watch(&world) {
        Ok(changes) => {
            // What changed while there was no supervisor; from here on nothing goes unnoticed.
            let mut seen = look(&world);
            loop {
                let Ok(mut ready) = changes.readable().await else {
                    return;
                };
                let mut buffer = [0; 4096];
                match rustix::io::read(changes.get_ref(), &mut buffer) {
                    // What it was is seen by looking. Most of what is kept is not this pod's.
                    Ok(_) => {
                        let before = std::mem::replace(&mut seen, look(&world));
                        if before != seen {
                            world.live.object_changes.update(|count| count + 1);
                            world.report(Observation::ObjectsChanged);
                        }
                    }
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(errno) => break errno.into(),
                }
            }
        }
        Err(error) => error,
    };
    world.complain(&format!(
        "changes of kept objects are not noticed: {failed}"
    ));
}

/// Brings the volumes up to date. One that cannot be stays as it is, which the kubelet tells in the words of a volume that cannot be set up.
fn look(world: &World) -> Rc<Objects> {
    for error in volumes::refresh(world) {
        world.report(Observation::Warned {
            reason: "FailedMount".to_owned(),
            message: format!(
                "MountVolume.SetUp failed for volume {:?} : {}",
                error.volume, error.message
            ),
        });
    }
    Rc::clone(&world.live.objects.borrow())
}

/// Readable when an object of the pod's namespace was put or removed.
fn watch(world: &World) -> std::io::Result<Ready> {
    let namespace = world.with_facts(|facts| facts.namespace().to_owned());
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let kinds = [
        ConfigMap::URL_PATH_SEGMENT,
        Secret::URL_PATH_SEGMENT,
        PersistentVolumeClaim::URL_PATH_SEGMENT,
    ];
    for kind in kinds {
        let directory = world.roots.objects().join(kind).join(&namespace);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE;
        inotify::add_watch(&changes, &directory, flags)?;
    }
    ready::watch(changes)
}

/// The given objects, and of the kept ones those that are asked for and are not given, or are newer.
fn overlay<T>(
    given: &[T],
    names: &[&str],
    kept: impl Fn(&str) -> Option<(T, SystemTime)>,
    accepted: SystemTime,
) -> Vec<T>
where
    T: Clone + Resource + Metadata<Ty = ObjectMeta> + DeserializeOwned,
{
    let mut all = given.to_vec();
    for name in names {
        let own = all
            .iter()
            .position(|object| object.metadata().name.as_deref() == Some(name));
        match (own, kept(name)) {
            (Some(own), Some((object, written))) if written > accepted => all[own] = object,
            (None, Some((object, _))) => all.push(object),
            _ => {}
        }
    }
    all
}

/// `current`, with those that were immutable as they were.
fn retain<T>(known: &[T], is_immutable: impl Fn(&T) -> bool, mut current: Vec<T>) -> Vec<T>
where
    T: Clone + Metadata<Ty = ObjectMeta>,
{
    for object in known.iter().filter(|object| is_immutable(object)) {
        let name = &object.metadata().name;
        match current
            .iter_mut()
            .find(|other| other.metadata().name == *name)
        {
            Some(other) => other.clone_from(object),
            None => current.push(object.clone()),
        }
    }
    current
}

fn named<'a, T: Metadata<Ty = ObjectMeta>>(objects: &'a [T], name: &str) -> Option<&'a T> {
    objects
        .iter()
        .find(|object| object.metadata().name.as_deref() == Some(name))
}

/// The names that a pod's containers and volumes refer to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names<'a> {
    config_maps: Vec<&'a str>,
    secrets: Vec<&'a str>,
    claims: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// Of the pod as it is now, with whatever has been added to it.
    fn of_pod(world: &'a World) -> Self {
        Self::of(world.spec(), world.pod.containers())
    }

    fn of(spec: &'a PodSpec, containers: impl Iterator<Item = &'a Container>) -> Self {
        let mut names = Self::default();
        for container in containers {
            for source in container.env_from.iter().flatten() {
                let map = source.config_map_ref.iter().map(|map| map.name.as_str());
                let secret = source.secret_ref.iter().map(|secret| secret.name.as_str());
                names.config_maps.extend(map);
                names.secrets.extend(secret);
            }
            let sources = container.env.iter().flatten();
            for source in sources.filter_map(|variable| variable.value_from.as_ref()) {
                let map = source.config_map_key_ref.iter();
                let secret = source.secret_key_ref.iter();
                names.config_maps.extend(map.map(|map| map.name.as_str()));
                names
                    .secrets
                    .extend(secret.map(|secret| secret.name.as_str()));
            }
        }
        let pull_secrets = spec.image_pull_secrets.iter().flatten();
        names
            .secrets
            .extend(pull_secrets.map(|secret| secret.name.as_str()));
        for volume in spec.volumes.iter().flatten() {
            let map = volume.config_map.iter().map(|map| map.name.as_str());
            names.config_maps.extend(map);
            let secret = volume.secret.iter();
            names
                .secrets
                .extend(secret.filter_map(|secret| secret.secret_name.as_deref()));
            let claim = volume.persistent_volume_claim.iter();
            names
                .claims
                .extend(claim.map(|claim| claim.claim_name.as_str()));
            let projected = volume.projected.iter();
            for source in projected.flat_map(|projected| projected.sources.iter().flatten()) {
                let map = source.config_map.iter().map(|map| map.name.as_str());
                let secret = source.secret.iter().map(|secret| secret.name.as_str());
                names.config_maps.extend(map);
                names.secrets.extend(secret);
            }
        }
        for list in [
            &mut names.config_maps,
            &mut names.secrets,
            &mut names.claims,
        ] {
            list.sort_unstable();
            list.dedup();
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn map(name: &str, value: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        map.data = Some([("key".to_owned(), value.to_owned())].into());
        map
    }

    #[test]
    fn a_kept_object_counts_when_none_was_given_or_it_is_newer() {
        let accepted = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let given = [map("older", "given"), map("newer", "given")];
        let found = overlay(
            &given,
            &["older", "newer", "kept", "nowhere"],
            |name| match name {
                "older" => Some((map(name, "kept"), at(9))),
                "newer" => Some((map(name, "kept"), at(11))),
                "kept" => Some((map(name, "kept"), at(9))),
                _ => None,
            },
            accepted,
        );
        let expected = [
            map("older", "given"),
            map("newer", "kept"),
            map("kept", "kept"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_immutable_stays_as_it_was() {
        let immutable = |name: &str| ConfigMap {
            immutable: Some(true),
            ..map(name, "first")
        };
        let known = [immutable("fixed"), immutable("gone"), map("free", "first")];
        let now = vec![map("free", "second"), map("fixed", "second")];
        let is_immutable = |map: &ConfigMap| map.immutable == Some(true);
        let expected = [map("free", "second"), immutable("fixed"), immutable("gone")];
        assert_eq!(retain(&known, is_immutable, now), expected);
    }

    #[test]
    fn every_kind_of_reference_is_found() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m1"}}], "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m2", "key": "k"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "m1", "key": "k"}}},
            ]}],
            "imagePullSecrets": [{"name": "s5"}],
            "volumes": [
                {"name": "a", "configMap": {"name": "m3"}},
                {"name": "b", "secret": {"secretName": "s3"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "p1"}},
                {"name": "d", "projected": {"sources": [
                    {"configMap": {"name": "m4"}}, {"secret": {"name": "s4"}}]}},
            ],
        }))
        .expect("a spec");
        let expected = Names {
            config_maps: vec!["m1", "m2", "m3", "m4"],
            secrets: vec!["s1", "s2", "s3", "s4", "s5"],
            claims: vec!["p1"],
        };
        let containers = crate::translate::containers(&spec);
        assert_eq!(Names::of(&spec, containers), expected);
    }
}
