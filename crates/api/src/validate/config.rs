//! ConfigMaps and Secrets.

use super::{Found, metadata};
use crate::core::{ConfigMap, Secret};
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

/// All values of one object together; keys do not count.
const MAX_BYTES: usize = 1 << 20;

/// Everything that is wrong with a defaulted ConfigMap.
#[must_use]
pub fn config_map(map: &ConfigMap) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata::metadata(&mut found, &Path::fields("metadata"), &map.metadata);
    let mut size = 0;
    for (key, value) in map.data.iter().flatten() {
        let path = Path::fields("data").key(key);
        found.key(&path, key);
        if map
            .binary_data
            .as_ref()
            .is_some_and(|binary| binary.contains_key(key))
        {
            let message = "duplicate of key present in binaryData";
            found.add(Diagnostic::invalid(&path, key, message).at_key());
        }
        size += value.len();
    }
    for (key, value) in map.binary_data.iter().flatten() {
        found.key(&Path::fields("binaryData").key(key), key);
        size += value.0.len();
    }
    if size > MAX_BYTES {
        found.add(Diagnostic::too_long(&Path::root(), MAX_BYTES));
    }
    found.0
}

/// Everything that is wrong with a defaulted Secret.
#[must_use]
pub fn secret(secret: &Secret) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata::metadata(&mut found, &Path::fields("metadata"), &secret.metadata);
    let path = Path::fields("data");
    let mut size = 0;
    for (key, value) in secret.data.iter().flatten() {
        found.key(&path.key(key), key);
        size += value.0.len();
    }
    if size > MAX_BYTES {
        found.add(Diagnostic::too_long(&path, MAX_BYTES));
    }
    let kind = secret.type_.as_deref().unwrap_or_default();
    match kind.strip_prefix("kubernetes.io/").unwrap_or_default() {
        "service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let annotations = secret.metadata.annotations.as_ref();
            if annotations
                .and_then(|all| all.get(key))
                .is_none_or(String::is_empty)
            {
                found.add(Diagnostic::required(
                    &Path::fields("metadata.annotations").key(key),
                    "",
                ));
            }
        }
        "dockercfg" => json_object(&mut found, secret, ".dockercfg"),
        "dockerconfigjson" => json_object(&mut found, secret, ".dockerconfigjson"),
        "basic-auth"
            if value(secret, "username").is_none() && value(secret, "password").is_none() =>
        {
            found.add(Diagnostic::required(&path.key("username"), ""));
            found.add(Diagnostic::required(&path.key("password"), ""));
        }
        "ssh-auth" if value(secret, "ssh-privatekey").is_none_or(<[u8]>::is_empty) => {
            found.add(Diagnostic::required(&path.key("ssh-privatekey"), ""));
        }
        "tls" => {
            for key in ["tls.crt", "tls.key"] {
                if value(secret, key).is_none() {
                    found.add(Diagnostic::required(&path.key(key), ""));
                }
            }
        }
        _ => {}
    }
    found.0
}

fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let data = secret.data.as_ref()?;
    data.get(key).map(|value| value.0.as_slice())
}

/// Registry credentials must be JSON; what is wrong with them must not show what they are.
fn json_object(found: &mut Found, secret: &Secret, key: &str) {
    let path = Path::fields("data").key(key);
    let Some(bytes) = value(secret, key) else {
        found.add(Diagnostic::required(&path, ""));
        return;
    };
    if let Some(problem) = json_problem(bytes) {
        found.add(Diagnostic::invalid(
            &path,
            "<secret contents redacted>",
            &problem,
        ));
    }
}

/// Go's words for the commonest cases, this library's for the others.
fn json_problem(bytes: &[u8]) -> Option<String> {
    let error = match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Null) => return None,
        Ok(other) => {
            let kind = match other {
                serde_json::Value::Bool(_) => "bool",
                serde_json::Value::Number(_) => "number",
                serde_json::Value::String(_) => "string",
                _ => "array",
            };
            return Some(format!(
                "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
            ));
        }
        Err(error) => error,
    };
    let first = String::from_utf8_lossy(bytes).trim_start().chars().next();
    Some(match first {
        None => "unexpected end of JSON input".to_owned(),
        Some(_) if error.is_eof() => "unexpected end of JSON input".to_owned(),
        Some(first) if !matches!(first, '{' | '[' | '"' | '-' | 't' | 'f' | 'n' | '0'..='9') => {
            format!("invalid character '{first}' looking for beginning of value")
        }
        Some(_) => format!(
            "invalid JSON at line {}, column {}",
            error.line(),
            error.column()
        ),
    })
}

/// Everything that is wrong with replacing a ConfigMap by `new`.
#[must_use]
pub fn config_map_update(old: &ConfigMap, new: &ConfigMap) -> Vec<Diagnostic> {
    let mut found = Found::default();
    if old.immutable == Some(true) {
        frozen(
            &mut found,
            &[
                ("immutable", new.immutable != Some(true)),
                ("data", old.data != new.data),
                ("binaryData", old.binary_data != new.binary_data),
            ],
        );
    }
    found.0
}

/// Everything that is wrong with replacing a Secret by `new`.
#[must_use]
pub fn secret_update(old: &Secret, new: &Secret) -> Vec<Diagnostic> {
    let mut found = Found::default();
    if old.type_ != new.type_ {
        found.add(Diagnostic::invalid(
            &Path::fields("type"),
            new.type_.as_deref().unwrap_or_default(),
            "field is immutable",
        ));
    }
    if old.immutable == Some(true) {
        frozen(
            &mut found,
            &[
                ("immutable", new.immutable != Some(true)),
                ("data", old.data != new.data),
            ],
        );
    }
    found.0
}

impl Found {
    fn key(&mut self, path: &Path, key: &str) {
        for message in names::config_key(key) {
            self.add(Diagnostic::invalid(path, key, &message).at_key());
        }
    }
}

fn frozen(found: &mut Found, changed: &[(&str, bool)]) {
    for (field, _) in changed.iter().filter(|(_, changed)| *changed) {
        let message = "field is immutable when `immutable` is set";
        found.add(Diagnostic::forbidden(&Path::fields(field), message));
    }
}
