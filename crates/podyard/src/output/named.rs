//! ConfigMaps, Secrets and claims for people: the columns of `get`, and `describe`, as kubectl has them.
//!
//! What a Secret holds is shown by neither: how long it is must be enough. `get -o yaml` prints it.

use std::path::Path;

use super::age;
use super::columns::Columns;
use super::describe::describe_map;
use super::escape::one_line;
use crate::named::Named;
use crate::objects::core::{ConfigMap, PersistentVolumeClaim, Secret};
use crate::objects::{Timestamp, moment};

/// An object that `get` can list.
pub(crate) trait Listed {
    /// The titles of its columns.
    fn titles(wide: bool) -> Vec<&'static str>;

    /// What stands in them.
    fn row(&self, wide: bool, now: Timestamp) -> Vec<String>;
}

impl Listed for ConfigMap {
    fn titles(_wide: bool) -> Vec<&'static str> {
        vec!["NAME", "DATA", "AGE"]
    }

    fn row(&self, _wide: bool, now: Timestamp) -> Vec<String> {
        let texts = self.data.as_ref().map_or(0, |data| data.len());
        let bytes = self.binary_data.as_ref().map_or(0, |data| data.len());
        vec![
            self.name().to_owned(),
            (texts + bytes).to_string(),
            age_of(self, now),
        ]
    }
}

impl Listed for Secret {
    fn titles(_wide: bool) -> Vec<&'static str> {
        vec!["NAME", "TYPE", "DATA", "AGE"]
    }

    fn row(&self, _wide: bool, now: Timestamp) -> Vec<String> {
        vec![
            self.name().to_owned(),
            self.type_.clone().unwrap_or_default(),
            self.data.as_ref().map_or(0, |data| data.len()).to_string(),
            age_of(self, now),
        ]
    }
}

impl Listed for PersistentVolumeClaim {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec![
            "NAME",
            "STATUS",
            "VOLUME",
            "CAPACITY",
            "ACCESS MODES",
            "STORAGECLASS",
            "VOLUMEATTRIBUTESCLASS",
            "AGE",
        ];
        if wide {
            titles.push("VOLUMEMODE");
        }
        titles
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let spec = self.spec.clone().unwrap_or_default();
        let class = spec.volume_attributes_class_name;
        let mut row = vec![
            self.name().to_owned(),
            phase(self).to_owned(),
            spec.volume_name.unwrap_or_default(),
            capacity(self),
            access_modes(self),
            spec.storage_class_name.unwrap_or_default(),
            class.unwrap_or_else(|| "<unset>".to_owned()),
            age_of(self, now),
        ];
        if wide {
            row.push(spec.volume_mode.unwrap_or_default());
        }
        row
    }
}

fn age_of(object: &impl Named, now: Timestamp) -> String {
    age::since(moment(object.metadata().creation_timestamp.as_ref()), now)
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn capacity(claim: &PersistentVolumeClaim) -> String {
    let status = claim.status.as_ref();
    let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
    capacity.map_or_else(String::new, |size| size.0.clone())
}

/// In short, as kubectl writes them.
fn access_modes(claim: &PersistentVolumeClaim) -> String {
    let status = claim.status.as_ref();
    let modes = status.and_then(|status| status.access_modes.as_deref());
    let short = |mode: &String| match mode.as_str() {
        "ReadWriteOnce" => "RWO".to_owned(),
        "ReadOnlyMany" => "ROX".to_owned(),
        "ReadWriteMany" => "RWX".to_owned(),
        "ReadWriteOncePod" => "RWOP".to_owned(),
        _ => mode.clone(),
    };
    let modes: Vec<String> = modes.unwrap_or_default().iter().map(short).collect();
    modes.join(",")
}

/// `describe configmap`.
pub(crate) fn describe_config_map(map: &ConfigMap) -> String {
    let mut text = identity(map).render();
    text.push_str("\nData\n====\n");
    for (key, value) in map.data.iter().flatten() {
        let lines: Vec<_> = value.lines().map(one_line).collect();
        text.push_str(&format!("{key}:\n----\n{}\n\n", lines.join("\n")));
    }
    text.push_str("\nBinaryData\n====\n");
    for (key, value) in map.binary_data.iter().flatten() {
        text.push_str(&format!("{key}: {} bytes\n", value.0.len()));
    }
    text.push_str("\nEvents:  <none>\n");
    text
}

/// `describe secret`: names and sizes.
pub(crate) fn describe_secret(secret: &Secret) -> String {
    let mut out = identity(secret);
    out.line(0, "");
    let kind = secret.type_.as_deref().unwrap_or_default();
    out.line(0, format!("Type:\t{kind}"));
    out.line(0, "");
    out.line(0, "Data");
    out.line(0, "====");
    for (key, value) in secret.data.iter().flatten() {
        out.line(0, format!("{key}:\t{} bytes", value.0.len()));
    }
    out.render()
}

/// `describe pvc`, with its directory and the pods that use it.
pub(crate) fn describe_claim(
    claim: &PersistentVolumeClaim,
    directory: &Path,
    users: &[String],
) -> String {
    let mut out = Columns::default();
    let spec = claim.spec.clone().unwrap_or_default();
    out.line(0, format!("Name:\t{}", claim.name()));
    out.line(0, format!("Namespace:\t{}", claim.namespace()));
    let class = spec.storage_class_name.unwrap_or_default();
    out.line(0, format!("StorageClass:\t{class}"));
    out.line(0, format!("Status:\t{}", phase(claim)));
    let volume = spec.volume_name.unwrap_or_default();
    out.line(0, format!("Volume:\t{volume}"));
    out.line(0, format!("Directory:\t{}", directory.display()));
    describe_map("Labels", claim.metadata.labels.as_ref(), "=", &mut out);
    let annotations = claim.metadata.annotations.as_ref();
    describe_map("Annotations", annotations, ": ", &mut out);
    let finalizers = claim.metadata.finalizers.as_deref().unwrap_or_default();
    out.line(0, format!("Finalizers:\t[{}]", finalizers.join(" ")));
    let capacity = capacity(claim);
    out.line(0, format!("Capacity:\t{capacity} (not enforced)"));
    out.line(0, format!("Access Modes:\t{}", access_modes(claim)));
    let mode = spec.volume_mode.unwrap_or_default();
    out.line(0, format!("VolumeMode:\t{mode}"));
    let (first, more) = match users {
        [] => ("<none>", &[][..]),
        [first, more @ ..] => (first.as_str(), more),
    };
    out.line(0, format!("Used By:\t{first}"));
    for user in more {
        out.line(0, format!("\t{user}"));
    }
    out.line(0, "Events:\t<none>");
    out.render()
}

fn identity(object: &impl Named) -> Columns {
    let mut out = Columns::default();
    let metadata = object.metadata();
    out.line(0, format!("Name:\t{}", object.name()));
    out.line(0, format!("Namespace:\t{}", object.namespace()));
    describe_map("Labels", metadata.labels.as_ref(), "=", &mut out);
    describe_map("Annotations", metadata.annotations.as_ref(), ": ", &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_map_is_shown_whole() {
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": "settings", "labels": {"app": "web"}},
            "data": {"a": "1", "file": "two\nlines\u{1b}[2J\n"},
            "binaryData": {"b": "AAEC"},
        }))
        .expect("a ConfigMap");
        assert_eq!(
            describe_config_map(&map),
            "Name:         settings\nNamespace:    default\nLabels:       app=web\nAnnotations:  <none>\n\n\
             Data\n====\na:\n----\n1\n\nfile:\n----\ntwo\nlines^[[2J\n\n\n\
             BinaryData\n====\nb: 3 bytes\n\nEvents:  <none>\n"
        );
    }

    #[test]
    fn a_secret_keeps_what_it_holds() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "keys"}, "type": "Opaque", "data": {"password": "c2VjcmV0"},
        }))
        .expect("a Secret");
        assert_eq!(
            describe_secret(&secret),
            "Name:         keys\nNamespace:    default\nLabels:       <none>\nAnnotations:  <none>\n\n\
             Type:  Opaque\n\nData\n====\npassword:  6 bytes\n"
        );
    }

    #[test]
    fn a_claim_has_kubectls_columns() {
        let mut claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeMode": "Filesystem",
            },
        }))
        .expect("a claim");
        claim.settle();
        let row = claim.row(true, Timestamp::UNIX_EPOCH);
        let expected = [
            "data",
            "Bound",
            "",
            "1Gi",
            "RWO,ROX",
            "",
            "<unset>",
            "<unknown>",
            "Filesystem",
        ];
        assert_eq!(row, expected);
        assert_eq!(row.len(), PersistentVolumeClaim::titles(true).len());
        let text = describe_claim(
            &claim,
            Path::new("/v/data"),
            &["a".to_owned(), "b".to_owned()],
        );
        assert!(
            text.contains("Used By:       a\n               b\n"),
            "{text}"
        );
    }
}
