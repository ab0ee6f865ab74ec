//! What is in configMap, secret, downwardAPI and projected volumes (`pod-api.md` sections 5.5 and 5.6): files by path, out of objects and out
//! of the pod itself. How they get into the volume is [`super::atomic_writer`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use podyard_api::core::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, PodSpec, Secret, Volume, VolumeProjection,
};
use podyard_api::go::quote;

use super::super::World;
use super::super::objects::Objects;
use super::atomic_writer::{File, Payload, Writer, is_inside};
use super::fs_group;
use crate::translate::{self, PodFacts, environment, resources};

const DEFAULT_MODE: u32 = 0o644;

/// The four kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Plugin {
    ConfigMap,
    Secret,
    DownwardApi,
    Projected,
}

impl Plugin {
    /// The kubelet's name for it in paths.
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::DownwardApi => "downward-api",
            Self::Projected => "projected",
        }
    }

    /// Whether its content must not reach a disk.
    pub(super) fn is_in_memory(self) -> bool {
        self != Self::ConfigMap
    }
}

pub(super) fn plugin(volume: &Volume) -> Option<Plugin> {
    if volume.config_map.is_some() {
        Some(Plugin::ConfigMap)
    } else if volume.secret.is_some() {
        Some(Plugin::Secret)
    } else if volume.downward_api.is_some() {
        Some(Plugin::DownwardApi)
    } else {
        volume.projected.as_ref().map(|_| Plugin::Projected)
    }
}

/// Puts the volume's files into `directory`, as they are to be now.
pub(super) fn write(world: &World, volume: &Volume, directory: &Path) -> Result<(), String> {
    let objects = Rc::clone(&world.live.objects.borrow());
    let payload = world.with_facts(|facts| collect(volume, facts, &objects))?;
    let mount_points = mount_points(world.spec(), &volume.name);
    let writer = Writer {
        payload: &payload,
        mount_points: &mount_points,
        group: fs_group::of(world.spec()),
    };
    writer
        .write(directory)
        .map_err(|error| format!("cannot write the files of the volume: {error}"))
}

fn collect(volume: &Volume, facts: &PodFacts<'_>, objects: &Objects) -> Result<Payload, String> {
    let mut payload = Payload::new();
    if let Some(source) = &volume.config_map {
        let keys = Keys {
            items: source.items.as_deref(),
            optional: source.optional,
            default_mode: source.default_mode,
        };
        keys.of_config_map(&source.name, objects, &mut payload)?;
    } else if let Some(source) = &volume.secret {
        let keys = Keys {
            items: source.items.as_deref(),
            optional: source.optional,
            default_mode: source.default_mode,
        };
        let name = source.secret_name.as_deref().unwrap_or_default();
        keys.of_secret(name, objects, &mut payload)?;
    } else if let Some(source) = &volume.downward_api {
        let items = source.items.as_deref();
        downward(items, source.default_mode, facts, &mut payload)?;
    } else if let Some(source) = &volume.projected {
        for projection in source.sources.iter().flatten() {
            let default_mode = source.default_mode;
            project(projection, default_mode, facts, objects, &mut payload)?;
        }
    }
    match payload.keys().find(|path| !is_inside(path)) {
        Some(path) => Err(format!(
            "invalid path {path:?}: must stay inside the volume"
        )),
        None => Ok(payload),
    }
}

/// One source of a projected volume. A later one replaces files of an earlier one.
fn project(
    projection: &VolumeProjection,
    default_mode: Option<i32>,
    facts: &PodFacts<'_>,
    objects: &Objects,
    payload: &mut Payload,
) -> Result<(), String> {
    if let Some(source) = &projection.config_map {
        let keys = Keys {
            items: source.items.as_deref(),
            optional: source.optional,
            default_mode,
        };
        keys.of_config_map(&source.name, objects, payload)?;
    }
    if let Some(source) = &projection.secret {
        let keys = Keys {
            items: source.items.as_deref(),
            optional: source.optional,
            default_mode,
        };
        keys.of_secret(&source.name, objects, payload)?;
    }
    if let Some(source) = &projection.downward_api {
        downward(source.items.as_deref(), default_mode, facts, payload)?;
    }
    if projection.service_account_token.is_some() {
        return Err(
            "serviceAccountToken: there is no API server that could issue a token".to_owned(),
        );
    }
    // Trust bundles and pod certificates belong to features that are off: the API server drops them, and an empty source remains.
    Ok(())
}

/// Which keys of an object become files.
struct Keys<'a> {
    items: Option<&'a [KeyToPath]>,
    optional: Option<bool>,
    default_mode: Option<i32>,
}

impl Keys<'_> {
    fn of_config_map(
        &self,
        name: &str,
        objects: &Objects,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let found = objects
            .config_maps
            .iter()
            .find(|map| map.metadata.name.as_deref() == Some(name));
        match found {
            Some(map) => self.add(
                &contents(map),
                "configmap references non-existent config key",
                payload,
            ),
            None => self.without(|| format!("configmap {} not found", quote(name))),
        }
    }

    fn of_secret(
        &self,
        name: &str,
        objects: &Objects,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let found: Option<&Secret> = objects
            .secrets
            .iter()
            .find(|secret| secret.metadata.name.as_deref() == Some(name));
        let Some(secret) = found else {
            return self.without(|| format!("secret {} not found", quote(name)));
        };
        let data = secret.data.iter().flatten();
        let data = data.map(|(key, value)| (key.as_str(), value.0.as_slice()));
        self.add(
            &data.collect(),
            "references non-existent secret key",
            payload,
        )
    }

    fn without(&self, message: impl FnOnce() -> String) -> Result<(), String> {
        if self.optional == Some(true) {
            Ok(())
        } else {
            Err(message())
        }
    }

    fn add(
        &self,
        data: &BTreeMap<&str, &[u8]>,
        missing: &str,
        payload: &mut Payload,
    ) -> Result<(), String> {
        let mut put = |path: &str, content: &[u8], own: Option<i32>| {
            let file = File {
                content: content.to_vec(),
                mode: mode(own, self.default_mode),
            };
            payload.insert(path.to_owned(), file);
        };
        let items = self.items.unwrap_or_default();
        if items.is_empty() {
            for (key, content) in data {
                put(key, content, None);
            }
        }
        for item in items {
            match data.get(item.key.as_str()) {
                Some(content) => put(&item.path, content, item.mode),
                None => self.without(|| format!("{missing}: {}", item.key))?,
            }
        }
        Ok(())
    }
}

fn contents(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten();
    let binary = map.binary_data.iter().flatten();
    text.map(|(key, value)| (key.as_str(), value.as_bytes()))
        .chain(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())))
        .collect()
}

fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    own.or(default).map_or(DEFAULT_MODE, i32::unsigned_abs)
}

fn downward(
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: Option<i32>,
    facts: &PodFacts<'_>,
    payload: &mut Payload,
) -> Result<(), String> {
    for item in items.unwrap_or_default() {
        let file = File {
            content: downward_value(item, facts)?.into_bytes(),
            mode: mode(item.mode, default_mode),
        };
        payload.insert(item.path.clone(), file);
    }
    Ok(())
}

fn downward_value(item: &DownwardAPIVolumeFile, facts: &PodFacts<'_>) -> Result<String, String> {
    if let Some(field) = &item.field_ref {
        let metadata = &facts.pod.metadata;
        return match field.field_path.as_str() {
            "metadata.labels" => Ok(lines(metadata.labels.as_ref())),
            "metadata.annotations" => Ok(lines(metadata.annotations.as_ref())),
            path => environment::field_value(path, facts),
        };
    }
    match &item.resource_field_ref {
        Some(field) => resources::field_of_volume(field, facts),
        None => Ok(String::new()),
    }
}

/// One line `key="value"` per entry, sorted, no newline at the end.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where containers mount something below a mount of this volume, relative to the volume.
fn mount_points(spec: &PodSpec, volume: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for container in translate::containers(spec) {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let is_whole = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        for outer in mounts.iter().filter(|mount| {
            mount.name == volume && is_whole(&mount.sub_path) && is_whole(&mount.sub_path_expr)
        }) {
            let below = mounts
                .iter()
                .filter_map(|inner| {
                    Path::new(&inner.mount_path)
                        .strip_prefix(&outer.mount_path)
                        .ok()
                })
                .filter(|below| !below.as_os_str().is_empty())
                .filter(|below| {
                    let mut names = below.components();
                    names.all(|name| matches!(name, Component::Normal(_)))
                });
            found.extend(below.map(Path::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use podyard_api::core::Pod;
    use serde_json::{Value, json};

    use super::*;

    /// The files of a volume, as `path mode content`, or why there are none.
    fn files(volume: Value) -> Result<Vec<String>, String> {
        let volume: Volume = serde_json::from_value(volume).expect("a volume");
        let mut pod = Pod::default();
        pod.metadata.name = Some("web".to_owned());
        pod.metadata.labels = Some(
            [
                ("a".to_owned(), "1 \"x\"".to_owned()),
                ("b".to_owned(), "2".to_owned()),
            ]
            .into(),
        );
        let spec: PodSpec = serde_json::from_value(json!({"containers": [
            {"name": "app", "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}}}
        ]}))
        .expect("a spec");
        let objects: Objects = Objects {
            config_maps: vec![
                serde_json::from_value(json!({
                    "metadata": {"name": "settings"},
                    "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="},
                }))
                .expect("a map"),
            ],
            secrets: vec![
                serde_json::from_value(
                    json!({"metadata": {"name": "keys"}, "data": {"k": "cw=="}}),
                )
                .expect("a secret"),
            ],
            claims: Vec::new(),
        };
        let facts = PodFacts {
            config_maps: &objects.config_maps,
            secrets: &objects.secrets,
            ..PodFacts::alone(&pod, &spec)
        };
        let payload = collect(&volume, &facts, &objects)?;
        Ok(payload
            .into_iter()
            .map(|(path, file)| {
                let content = String::from_utf8_lossy(&file.content).into_owned();
                format!("{path} {:o} {content:?}", file.mode)
            })
            .collect())
    }

    #[track_caller]
    fn check(source: Value, expected: &[&str]) {
        assert_eq!(
            files(source).as_deref(),
            Ok(&expected
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()[..])
        );
    }

    #[track_caller]
    fn refused(source: Value, message: &str) {
        assert_eq!(files(source), Err(message.to_owned()));
    }

    #[test]
    fn config_maps() {
        check(
            json!({"name": "v", "configMap": {"name": "settings"}}),
            &["a 644 \"1\"", "b 644 \"2\"", "c 644 \"\\0\\u{1}\""],
        );
        check(
            json!({"name": "v", "configMap": {"name": "settings", "defaultMode": 256, "items": [
                {"key": "a", "path": "d/x"}, {"key": "b", "path": "y", "mode": 448}]}}),
            &["d/x 400 \"1\"", "y 700 \"2\""],
        );
        let missing_key = json!([{"key": "z", "path": "z"}, {"key": "a", "path": "a"}]);
        refused(
            json!({"name": "v", "configMap": {"name": "settings", "items": missing_key}}),
            "configmap references non-existent config key: z",
        );
        check(
            json!({"name": "v", "configMap": {"name": "settings", "optional": true, "items": missing_key}}),
            &["a 644 \"1\""],
        );
        refused(
            json!({"name": "v", "configMap": {"name": "other"}}),
            "configmap \"other\" not found",
        );
        check(
            json!({"name": "v", "configMap": {"name": "other", "optional": true}}),
            &[],
        );
    }

    #[test]
    fn secrets() {
        check(
            json!({"name": "v", "secret": {"secretName": "keys"}}),
            &["k 644 \"s\""],
        );
        refused(
            json!({"name": "v", "secret": {"secretName": "keys", "items": [{"key": "z", "path": "z"}]}}),
            "references non-existent secret key: z",
        );
        refused(
            json!({"name": "v", "secret": {"secretName": "other"}}),
            "secret \"other\" not found",
        );
    }

    #[test]
    fn the_downward_api() {
        check(
            json!({"name": "v", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
                {"path": "a", "mode": 256, "fieldRef": {"fieldPath": "metadata.labels['a']"}},
                {"path": "memory", "resourceFieldRef": {"containerName": "app", "resource": "limits.memory", "divisor": "1Mi"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "app", "resource": "requests.cpu", "divisor": "1m"}},
            ]}}),
            &[
                "a 400 \"1 \\\"x\\\"\"",
                "annotations 644 \"\"",
                "cpu 644 \"250\"",
                "labels 644 \"a=\\\"1 \\\\\\\"x\\\\\\\"\\\"\\nb=\\\"2\\\"\"",
                "memory 644 \"64\"",
            ],
        );
        check(json!({"name": "v", "downwardAPI": {}}), &[]);
        refused(
            json!({"name": "v", "downwardAPI": {"items": [
                {"path": "x", "resourceFieldRef": {"containerName": "other", "resource": "limits.cpu"}}]}}),
            "container other not found",
        );
    }

    #[test]
    fn projected_sources_are_put_together_and_later_ones_win() {
        check(
            json!({"name": "v", "projected": {"defaultMode": 288, "sources": [
                {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "y", "mode": 420}]}},
                {"secret": {"name": "keys", "items": [{"key": "k", "path": "x"}]}},
                {"downwardAPI": {"items": [{"path": "pod/name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"secret": {"name": "other", "optional": true}},
                {},
            ]}}),
            &["pod/name 440 \"web\"", "x 440 \"s\"", "y 644 \"2\""],
        );
        refused(
            json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "other"}}]}}),
            "configmap \"other\" not found",
        );
        refused(
            json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
            "serviceAccountToken: there is no API server that could issue a token",
        );
    }

    #[test]
    fn nothing_is_written_outside() {
        refused(
            json!({"name": "v", "configMap": {"name": "settings", "items": [{"key": "a", "path": "../a"}]}}),
            "invalid path \"../a\": must stay inside the volume",
        );
    }

    #[test]
    fn mounts_inside_a_mount_have_their_place() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "i", "volumeMounts": [
                {"name": "v", "mountPath": "/etc/app/"}, {"name": "w", "mountPath": "/etc/app/data/deep"}]}],
            "containers": [{"name": "c", "volumeMounts": [
                {"name": "w", "mountPath": "/mnt/run"}, {"name": "v", "mountPath": "/mnt"},
                {"name": "w", "mountPath": "/mnt2/x"}, {"name": "w", "mountPath": "/mnt/../etc"}]},
                {"name": "d", "volumeMounts": [
                {"name": "v", "mountPath": "/file", "subPath": "a"}, {"name": "w", "mountPath": "/file/below"}]}],
        }))
        .expect("a spec");
        let found: Vec<PathBuf> = mount_points(&spec, "v").into_iter().collect();
        assert_eq!(found, [Path::new("data/deep"), Path::new("run")]);
    }
}
