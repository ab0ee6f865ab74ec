//! A container's environment (`pod-api.md` section 3): `envFrom`, then `env`, over the image's own, with `$(VAR)` in literal values.

use podyard_api::core::{ConfigMap, Container, EnvVar, EnvVarSource, Secret};
use podyard_image::ImageConfig;

use super::PodFacts;
use super::expand::expand;
use super::resources::resource_field;

/// What the CRI runtimes set when the image does not.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables that the manifest gives, in order, a later one of the same name replacing an earlier.
///
/// # Errors
///
/// The kubelet's text for a missing reference: `CreateContainerConfigError`.
pub(crate) fn of_container(
    container: &Container,
    facts: &PodFacts<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match find_config_map(facts, &reference.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        set(&mut variables, format!("{prefix}{key}"), value.clone());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap {:?} not found", reference.name)),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match find_secret(facts, &reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        set(
                            &mut variables,
                            format!("{prefix}{key}"),
                            String::from_utf8_lossy(&value.0).into_owned(),
                        );
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret {:?} not found", reference.name)),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(variable, &variables, container, facts)? {
            set(&mut variables, variable.name.clone(), value);
        }
    }
    Ok(variables)
}

/// The whole environment of the process: the image's below the manifest's, and what the runtimes add.
pub(crate) fn of_process(
    image: &ImageConfig,
    given: &[(String, String)],
    hostname: &str,
    tty: bool,
) -> Vec<(String, String)> {
    let mut variables = vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())];
    if tty {
        variables.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    variables.push(("HOSTNAME".to_owned(), hostname.to_owned()));
    for entry in &image.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        set(&mut variables, name.to_owned(), value.to_owned());
    }
    for (name, value) in given {
        set(&mut variables, name.clone(), value.clone());
    }
    variables
}

/// The value of a variable.
pub(crate) fn find<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

fn set(variables: &mut Vec<(String, String)>, name: String, value: String) {
    match variables.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => variables.push((name, value)),
    }
}

fn value_of(
    variable: &EnvVar,
    so_far: &[(String, String)],
    container: &Container,
    facts: &PodFacts<'_>,
) -> Result<Option<String>, String> {
    match &variable.value_from {
        None => {
            let text = variable.value.as_deref().unwrap_or_default();
            Ok(Some(expand(text, |name| find(so_far, name))))
        }
        Some(source) => referenced(source, container, facts),
    }
}

fn referenced(
    source: &EnvVarSource,
    container: &Container,
    facts: &PodFacts<'_>,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return field_value(&field.field_path, facts).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resource_field(field, container, facts).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = find_config_map(facts, &reference.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(format!("configmap {:?} not found", reference.name))
            };
        };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!(
                "couldn't find key {} in ConfigMap {}/{}",
                reference.key,
                facts.namespace(),
                reference.name
            )),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = find_secret(facts, &reference.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(format!("secret {:?} not found", reference.name))
            };
        };
        let value = secret
            .data
            .as_ref()
            .and_then(|data| data.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(format!(
                "couldn't find key {} in Secret {}/{}",
                reference.key,
                facts.namespace(),
                reference.name
            )),
        };
    }
    Ok(Some(String::new()))
}

/// A `fieldRef` path (`pod-api.md` section 3.4).
pub(crate) fn field_value(path: &str, facts: &PodFacts<'_>) -> Result<String, String> {
    let metadata = &facts.pod.metadata;
    let entry = |map: &Option<std::collections::BTreeMap<String, String>>, rest: &str| {
        let key = rest.trim_start_matches("['").trim_end_matches("']");
        map.as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    if let Some(rest) = path.strip_prefix("metadata.labels[") {
        return Ok(entry(&metadata.labels, &format!("[{rest}")));
    }
    if let Some(rest) = path.strip_prefix("metadata.annotations[") {
        return Ok(entry(&metadata.annotations, &format!("[{rest}")));
    }
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => facts.name().to_owned(),
        "metadata.namespace" => facts.namespace().to_owned(),
        "metadata.uid" => facts.uid().to_owned(),
        "spec.nodeName" | "spec.host" => facts.node_name.to_owned(),
        "spec.serviceAccountName" => facts
            .spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        "status.hostIP" => first(facts.host_ips),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => first(facts.pod_ips),
        "status.podIPs" => facts.pod_ips.join(","),
        other => {
            return Err(format!(
                "error converting fieldPath: field label not supported: {other}"
            ));
        }
    })
}

fn find_config_map<'a>(facts: &PodFacts<'a>, name: &str) -> Option<&'a ConfigMap> {
    facts
        .config_maps
        .iter()
        .find(|map| map.metadata.name.as_deref() == Some(name))
}

fn find_secret<'a>(facts: &PodFacts<'a>, name: &str) -> Option<&'a Secret> {
    facts
        .secrets
        .iter()
        .find(|secret| secret.metadata.name.as_deref() == Some(name))
}
