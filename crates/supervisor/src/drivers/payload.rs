//! The files of configMap, secret, downwardAPI and projected volumes, in the kubelet's atomic layout (`pod-api.md` section 5.5):
//! a payload directory, the link `..data` to it, and one link per name through `..data`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path};

use podyard_api::core::{
    ConfigMap, ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath,
    Secret, SecretVolumeSource, Volume,
};

use super::World;
use crate::translate::{self, environment, resources};

const DEFAULT_MODE: u32 = 0o644;

/// One file of a volume.
struct File {
    content: Vec<u8>,
    mode: u32,
}

/// By path inside the volume.
type Payload = BTreeMap<String, File>;

/// Where a volume of this kind is kept, if it is one of these kinds.
pub(super) fn plugin(volume: &Volume) -> Option<&'static str> {
    if volume.config_map.is_some() {
        Some("configmap")
    } else if volume.secret.is_some() {
        Some("secret")
    } else if volume.downward_api.is_some() {
        Some("downward-api")
    } else if volume.projected.is_some() {
        Some("projected")
    } else {
        None
    }
}

/// Whether its content must not reach a disk.
pub(super) fn is_in_memory(volume: &Volume) -> bool {
    volume.config_map.is_none()
}

/// Puts the volume's files into `directory`.
pub(super) fn write(world: &World, volume: &Volume, directory: &Path) -> Result<(), String> {
    let payload = collect(world, volume)?;
    let name = format!(
        "..{}",
        crate::cri::rfc3339(crate::clock::wall())
            .replace(['-', ':', 'T'], "_")
            .trim_end_matches('Z')
    );
    let target = directory.join(&name);
    let io = |error: std::io::Error| format!("write {}: {error}", volume.name);
    fs::create_dir(&target).map_err(io)?;
    fs::set_permissions(&target, Permissions::from_mode(0o755)).map_err(io)?;
    for (path, file) in &payload {
        let place = target.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        fs::write(&place, &file.content).map_err(io)?;
        fs::set_permissions(&place, Permissions::from_mode(file.mode)).map_err(io)?;
    }
    let old = fs::read_link(directory.join("..data")).ok();
    let next = directory.join("..data_tmp");
    let _ = fs::remove_file(&next);
    symlink(&name, &next).map_err(io)?;
    fs::rename(&next, directory.join("..data")).map_err(io)?;
    for top in payload.keys().filter_map(|path| path.split('/').next()) {
        match symlink(Path::new("..data").join(top), directory.join(top)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io(error));
            }
            _ => {}
        }
    }
    if let Some(old) = old {
        let _ = fs::remove_dir_all(directory.join(old));
    }
    Ok(())
}

fn collect(world: &World, volume: &Volume) -> Result<Payload, String> {
    let mut payload = Payload::new();
    if let Some(source) = &volume.config_map {
        config_map(world, source, &mut payload)?;
    } else if let Some(source) = &volume.secret {
        secret(world, source, &mut payload)?;
    } else if let Some(source) = &volume.downward_api {
        downward(world, source, &mut payload)?;
    }
    match payload.keys().find(|path| !is_inside(path)) {
        Some(path) => Err(format!(
            "invalid path {path:?}: must stay inside the volume"
        )),
        None => Ok(payload),
    }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with("..")
        && Path::new(path)
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
}

fn config_map(
    world: &World,
    source: &ConfigMapVolumeSource,
    payload: &mut Payload,
) -> Result<(), String> {
    let found = world
        .config_maps
        .iter()
        .find(|map| map.metadata.name.as_deref() == Some(source.name.as_str()));
    let optional = source.optional == Some(true);
    let Some(map) = found else {
        return if optional {
            Ok(())
        } else {
            Err(format!("configmap {:?} not found", source.name))
        };
    };
    let missing = |key: &str| format!("configmap references non-existent config key: {key}");
    add(
        &contents(map),
        source.items.as_deref(),
        mode(source.default_mode),
        optional,
        missing,
        payload,
    )
}

fn contents(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map
        .binary_data
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary).collect()
}

fn secret(world: &World, source: &SecretVolumeSource, payload: &mut Payload) -> Result<(), String> {
    let name = source.secret_name.as_deref().unwrap_or_default();
    let found: Option<&Secret> = world
        .secrets
        .iter()
        .find(|secret| secret.metadata.name.as_deref() == Some(name));
    let optional = source.optional == Some(true);
    let Some(secret) = found else {
        return if optional {
            Ok(())
        } else {
            Err(format!("secret {name:?} not found"))
        };
    };
    let data = secret
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()))
        .collect();
    let missing = |key: &str| format!("references non-existent secret key: {key}");
    add(
        &data,
        source.items.as_deref(),
        mode(source.default_mode),
        optional,
        missing,
        payload,
    )
}

fn add(
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
    missing: impl Fn(&str) -> String,
    payload: &mut Payload,
) -> Result<(), String> {
    let items = items.unwrap_or_default();
    if items.is_empty() {
        for (key, content) in data {
            payload.insert(
                key.clone(),
                File {
                    content: content.clone(),
                    mode: default_mode,
                },
            );
        }
    }
    for item in items {
        match data.get(&item.key) {
            Some(content) => {
                let mode = item.mode.map_or(default_mode, |mode| mode.unsigned_abs());
                payload.insert(
                    item.path.clone(),
                    File {
                        content: content.clone(),
                        mode,
                    },
                );
            }
            None if optional => {}
            None => return Err(missing(&item.key)),
        }
    }
    Ok(())
}

fn mode(mode: Option<i32>) -> u32 {
    mode.map_or(DEFAULT_MODE, i32::unsigned_abs)
}

fn downward(
    world: &World,
    source: &DownwardAPIVolumeSource,
    payload: &mut Payload,
) -> Result<(), String> {
    let default_mode = mode(source.default_mode);
    for item in source.items.iter().flatten() {
        let content = downward_value(world, item)?;
        let mode = item.mode.map_or(default_mode, i32::unsigned_abs);
        payload.insert(
            item.path.clone(),
            File {
                content: content.into_bytes(),
                mode,
            },
        );
    }
    Ok(())
}

fn downward_value(world: &World, item: &DownwardAPIVolumeFile) -> Result<String, String> {
    world.with_facts(|facts| {
        if let Some(field) = &item.field_ref {
            let metadata = &facts.pod.metadata;
            return match field.field_path.as_str() {
                "metadata.labels" => Ok(lines(metadata.labels.as_ref())),
                "metadata.annotations" => Ok(lines(metadata.annotations.as_ref())),
                path => environment::field_value(path, facts),
            };
        }
        let Some(field) = &item.resource_field_ref else {
            return Ok(String::new());
        };
        let name = field.container_name.as_deref().unwrap_or_default();
        let container = translate::containers(facts.spec).find(|container| container.name == name);
        let container = container.ok_or_else(|| format!("container {name} not found"))?;
        resources::resource_field(field, container, facts)
    })
}

/// One line `key="value"` per entry, sorted, no newline at the end.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (path, expected) in [
            ("a", true),
            ("a/b", true),
            ("../a", false),
            ("/a", false),
            ("a/../b", false),
            ("", false),
            ("..a", false),
        ] {
            assert_eq!(is_inside(path), expected, "{path}");
        }
    }
}
