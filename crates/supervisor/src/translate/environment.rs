//! A container's environment (`pod-api.md` section 3): `envFrom`, then `env`, over the image's own, with `$(VAR)` in literal values.

use podyard_api::core::{
    ConfigMap, Container, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, Secret,
};
use podyard_api::go::quote;
use podyard_image::ImageConfig;

use super::expand::expand;
use super::{PodFacts, env_file, resources};

/// What the CRI runtimes set when the image does not.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a file of a volume is read: name of the volume, path in it.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str, &str) -> Result<String, String>;

/// The variables that the manifest gives, in order, a later one of the same name replacing an earlier.
///
/// # Errors
///
/// The kubelet's text for a missing reference: `CreateContainerConfigError`.
pub(crate) fn of_container(
    container: &Container,
    facts: &PodFacts<'_>,
    read_file: ReadFile<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref
            && let Some(map) = config_map(&reference.name, reference.optional, facts)?
        {
            for (key, value) in map.data.iter().flatten() {
                set(&mut variables, format!("{prefix}{key}"), value.clone());
            }
        }
        if let Some(reference) = &source.secret_ref
            && let Some(secret) = secret(&reference.name, reference.optional, facts)?
        {
            for (key, value) in secret.data.iter().flatten() {
                let value = secret_text(&value.0, key, &reference.name, facts)?;
                set(&mut variables, format!("{prefix}{key}"), value);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(variable, &variables, container, facts, read_file)? {
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
    read_file: ReadFile<'_>,
) -> Result<Option<String>, String> {
    match &variable.value_from {
        None => {
            let text = variable.value.as_deref().unwrap_or_default();
            Ok(Some(expand(text, |name| find(so_far, name))))
        }
        Some(source) => referenced(source, container, facts, read_file),
    }
}

/// `None` when the variable is optional and there is nothing for it.
fn referenced(
    source: &EnvVarSource,
    container: &Container,
    facts: &PodFacts<'_>,
    read_file: ReadFile<'_>,
) -> Result<Option<String>, String> {
    if let Some(ObjectFieldSelector { field_path, .. }) = &source.field_ref {
        return field_value(field_path, facts).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resources::field_of_variable(field, container, facts).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let Some(map) = config_map(&reference.name, reference.optional, facts)? else {
            return Ok(None);
        };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(value.clone())),
            None => absent(reference.optional, || {
                missing_key("ConfigMap", &reference.key, &reference.name, facts)
            }),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let Some(secret) = secret(&reference.name, reference.optional, facts)? else {
            return Ok(None);
        };
        let data = secret.data.as_ref();
        return match data.and_then(|data| data.get(&reference.key)) {
            Some(value) => secret_text(&value.0, &reference.key, &reference.name, facts).map(Some),
            None => absent(reference.optional, || {
                missing_key("Secret", &reference.key, &reference.name, facts)
            }),
        };
    }
    if let Some(reference) = &source.file_key_ref {
        return of_file(reference, read_file);
    }
    Ok(Some(String::new()))
}

/// `optional` is about the key only: the file has to be there.
fn of_file(reference: &FileKeySelector, read_file: ReadFile<'_>) -> Result<Option<String>, String> {
    let text = read_file(&reference.volume_name, &reference.path)?;
    let value = env_file::value(&text, &reference.key)
        .map_err(|env_file::Malformed| "couldn't parse env file".to_owned())?;
    if value.is_empty() {
        return absent(reference.optional, || {
            format!(
                "environment variable key {} not found in file {}",
                quote(&reference.key),
                quote(&reference.path)
            )
        });
    }
    Ok(Some(value))
}

fn absent<T>(
    optional: Option<bool>,
    message: impl FnOnce() -> String,
) -> Result<Option<T>, String> {
    if optional == Some(true) {
        Ok(None)
    } else {
        Err(message())
    }
}

fn missing_key(kind: &str, key: &str, name: &str, facts: &PodFacts<'_>) -> String {
    format!(
        "couldn't find key {key} in {kind} {}/{name}",
        facts.namespace()
    )
}

/// Bytes that are no text cannot be handed to a container in Kubernetes either; altered they would be worse than missing.
fn secret_text(
    value: &[u8],
    key: &str,
    name: &str,
    facts: &PodFacts<'_>,
) -> Result<String, String> {
    String::from_utf8(value.to_vec()).map_err(|_| {
        format!(
            "key {key} in Secret {}/{name} is not UTF-8 and cannot be a variable: mount the Secret as a volume",
            facts.namespace()
        )
    })
}

/// A `fieldRef` path (`pod-api.md` section 3.4).
pub(crate) fn field_value(path: &str, facts: &PodFacts<'_>) -> Result<String, String> {
    let metadata = &facts.pod.metadata;
    for (map, name) in [
        (&metadata.labels, "metadata.labels['"),
        (&metadata.annotations, "metadata.annotations['"),
    ] {
        let key = path
            .strip_prefix(name)
            .and_then(|rest| rest.strip_suffix("']"));
        if let Some(key) = key {
            let value = map.as_ref().and_then(|map| map.get(key));
            return Ok(value.cloned().unwrap_or_default());
        }
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

fn config_map<'a>(
    name: &str,
    optional: Option<bool>,
    facts: &PodFacts<'a>,
) -> Result<Option<&'a ConfigMap>, String> {
    let mut all = facts.config_maps.iter();
    match all.find(|map| map.metadata.name.as_deref() == Some(name)) {
        Some(map) => Ok(Some(map)),
        None => absent(optional, || format!("configmap {} not found", quote(name))),
    }
}

fn secret<'a>(
    name: &str,
    optional: Option<bool>,
    facts: &PodFacts<'a>,
) -> Result<Option<&'a Secret>, String> {
    let mut all = facts.secrets.iter();
    match all.find(|secret| secret.metadata.name.as_deref() == Some(name)) {
        Some(secret) => Ok(Some(secret)),
        None => absent(optional, || format!("secret {} not found", quote(name))),
    }
}

#[cfg(test)]
mod tests {
    use podyard_api::core::{Pod, PodSpec};
    use serde_json::{Value, json};

    use super::super::machine::Machine;
    use super::*;

    /// The variables of a container as `NAME=value`, or why there are none.
    fn variables(container: Value) -> Result<Vec<String>, String> {
        let container: Container = serde_json::from_value(container).expect("a container");
        let pod: Pod = serde_json::from_value(json!({"metadata": {
            "name": "web", "namespace": "shop", "uid": "u-1",
            "labels": {"app.kubernetes.io/name": "x", "tier": "front"}, "annotations": {"Note": "hi"},
        }}))
        .expect("a pod");
        let spec = PodSpec {
            service_account_name: Some("robot".to_owned()),
            containers: vec![container.clone()],
            ..PodSpec::default()
        };
        let facts = PodFacts {
            pod: &pod,
            spec: &spec,
            config_maps: &[serde_json::from_value(json!({
                "metadata": {"name": "m"}, "data": {"A": "$(B)", "my.key": "1"}, "binaryData": {"BIN": "AAE="},
            }))
            .expect("a map")],
            secrets: &[serde_json::from_value(json!({
                "metadata": {"name": "s"}, "data": {"PASS": "cw==", "RAW": "/w=="},
            }))
            .expect("a secret")],
            pod_ips: &["10.0.0.7".to_owned(), "fd00::7".to_owned()],
            host_ips: &["192.0.2.1".to_owned(), "fd00::1".to_owned()],
            node_name: "node",
            machine: &Machine::default(),
            qos: "BestEffort",
        };
        let read = |volume: &str, path: &str| match (volume, path) {
            ("d", "env") => Ok("K='v'\nE=''\n".to_owned()),
            ("d", "bad") => Ok("K=v".to_owned()),
            ("d", _) => Err("couldn't parse env file".to_owned()),
            _ => Err(format!(
                "cannot find the volume {volume:?} referenced by FileKeyRef"
            )),
        };
        let variables = of_container(&container, &facts, &read)?;
        let line = |(name, value): (String, String)| format!("{name}={value}");
        Ok(variables.into_iter().map(line).collect())
    }

    #[track_caller]
    fn check(env_from: Value, env: Value, expected: &[&str]) {
        let container = json!({"name": "c", "envFrom": env_from, "env": env});
        let expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(variables(container), Ok(expected));
    }

    #[track_caller]
    fn refused(env_from: Value, env: Value, message: &str) {
        let container = json!({"name": "c", "envFrom": env_from, "env": env});
        assert_eq!(variables(container), Err(message.to_owned()));
    }

    fn from(source: Value) -> Value {
        json!([{"name": "V", "valueFrom": source}])
    }

    #[test]
    fn later_ones_win_and_literals_are_expanded() {
        check(
            json!([{"configMapRef": {"name": "m"}}, {"prefix": "P_", "configMapRef": {"name": "m"}}]),
            json!([
                {"name": "B", "value": "b"}, {"name": "C", "value": "$(B)$(A)$(D)$$(B)"},
                {"name": "A", "value": "$(A)!"}, {"name": "B", "value": "again $(B)"}, {"name": "N"},
            ]),
            &[
                "A=$(B)!",
                "my.key=1",
                "P_A=$(B)",
                "P_my.key=1",
                "B=again b",
                "C=b$(B)$(D)$(B)",
                "N=",
            ],
        );
    }

    #[test]
    fn references_and_what_is_said_without_them() {
        let key = |kind: &str, name: &str, key: &str, optional: bool| {
            from(json!({kind: {"name": name, "key": key, "optional": optional}}))
        };
        check(
            json!([]),
            key("configMapKeyRef", "m", "A", false),
            &["V=$(B)"],
        );
        check(json!([]), key("secretKeyRef", "s", "PASS", false), &["V=s"]);
        for (kind, name) in [("configMapKeyRef", "m"), ("secretKeyRef", "s")] {
            check(json!([]), key(kind, "other", "A", true), &[]);
            check(json!([]), key(kind, name, "Z", true), &[]);
        }
        refused(
            json!([]),
            key("configMapKeyRef", "x", "A", false),
            "configmap \"x\" not found",
        );
        refused(
            json!([]),
            key("secretKeyRef", "x", "A", false),
            "secret \"x\" not found",
        );
        // What stands in the binary half is for volumes.
        refused(
            json!([]),
            key("configMapKeyRef", "m", "BIN", false),
            "couldn't find key BIN in ConfigMap shop/m",
        );
        refused(
            json!([]),
            key("secretKeyRef", "s", "Z", false),
            "couldn't find key Z in Secret shop/s",
        );
        refused(
            json!([]),
            key("secretKeyRef", "s", "RAW", false),
            "key RAW in Secret shop/s is not UTF-8 and cannot be a variable: mount the Secret as a volume",
        );
        let whole =
            |kind: &str, optional: bool| json!([{kind: {"name": "x", "optional": optional}}]);
        check(whole("configMapRef", true), json!([]), &[]);
        check(whole("secretRef", true), json!([]), &[]);
        refused(
            whole("configMapRef", false),
            json!([]),
            "configmap \"x\" not found",
        );
        refused(
            whole("secretRef", false),
            json!([]),
            "secret \"x\" not found",
        );
        // An optional entry without a value leaves what envFrom brought.
        check(
            json!([{"prefix": "V", "configMapRef": {"name": "m", "optional": true}}]),
            json!([{"name": "VA", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k", "optional": true}}}]),
            &["VA=$(B)", "Vmy.key=1"],
        );
    }

    #[test]
    fn every_path_of_a_field() {
        for (path, expected) in [
            ("metadata.name", "web"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['tier']", "front"),
            ("metadata.labels['app.kubernetes.io/name']", "x"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['Note']", "hi"),
            ("spec.nodeName", "node"),
            ("spec.host", "node"),
            ("spec.serviceAccountName", "robot"),
            ("status.hostIP", "192.0.2.1"),
            ("status.hostIPs", "192.0.2.1,fd00::1"),
            ("status.podIP", "10.0.0.7"),
            ("status.podIPs", "10.0.0.7,fd00::7"),
        ] {
            let env = from(json!({"fieldRef": {"fieldPath": path}}));
            check(json!([]), env, &[&format!("V={expected}")]);
        }
        refused(
            json!([]),
            from(json!({"fieldRef": {"fieldPath": "spec.other"}})),
            "error converting fieldPath: field label not supported: spec.other",
        );
    }

    #[test]
    fn files_that_another_container_wrote() {
        let file = |volume: &str, path: &str, key: &str, optional: bool| {
            from(
                json!({"fileKeyRef": {"volumeName": volume, "path": path, "key": key, "optional": optional}}),
            )
        };
        check(json!([]), file("d", "env", "K", false), &["V=v"]);
        check(json!([]), file("d", "env", "Z", true), &[]);
        check(json!([]), file("d", "env", "E", true), &[]);
        for key in ["Z", "E"] {
            let message = format!("environment variable key \"{key}\" not found in file \"env\"");
            refused(json!([]), file("d", "env", key, false), &message);
        }
        for path in ["bad", "missing"] {
            refused(
                json!([]),
                file("d", path, "K", true),
                "couldn't parse env file",
            );
        }
        refused(
            json!([]),
            file("e", "env", "K", true),
            "cannot find the volume \"e\" referenced by FileKeyRef",
        );
    }

    #[test]
    fn the_images_variables_are_below_the_manifests() {
        let image = ImageConfig {
            env: vec![
                "PATH=/bin".to_owned(),
                "A=image".to_owned(),
                "B=image".to_owned(),
            ],
            ..ImageConfig::default()
        };
        let given = [
            ("B".to_owned(), "given".to_owned()),
            ("HOSTNAME".to_owned(), "own".to_owned()),
        ];
        let lines = |variables: Vec<(String, String)>| -> Vec<String> {
            let line = |(name, value): (String, String)| format!("{name}={value}");
            variables.into_iter().map(line).collect()
        };
        assert_eq!(
            lines(of_process(&image, &given, "web", true)),
            [
                "PATH=/bin",
                "TERM=xterm",
                "HOSTNAME=own",
                "A=image",
                "B=given"
            ]
        );
        let bare = of_process(&ImageConfig::default(), &[], "web", false);
        assert_eq!(
            lines(bare),
            [format!("PATH={DEFAULT_PATH}"), "HOSTNAME=web".to_owned()]
        );
    }
}
