//! `imagePullSecrets`: what a pod brings along to prove to registries who it is (`pod-api.md` section 4.5).
//!
//! A Secret that is missing is no error, as with the kubelet: the pull may succeed without. What the machine's own account has logged in with
//! is tried behind them, by the process that pulls.

use podyard_api::core::Secret;
use podyard_image::{AuthFile, Credentials, Reference};

use super::World;
use super::notices::Notice;
use crate::pull::chain;

/// By the type of the Secret, the key that holds the file.
const KINDS: [(&str, &str); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ("kubernetes.io/dockercfg", ".dockercfg"),
];

impl World {
    /// What the pod's Secrets have for an image, as of now.
    ///
    /// # Errors
    ///
    /// When one of them cannot be understood.
    pub(super) fn pull_credentials(
        &self,
        reference: &Reference,
    ) -> Result<Vec<Credentials>, String> {
        let names = pull_secret_names(self);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.look_at_objects();
        collect(&names, &self.live.objects.borrow().secrets, reference)
    }

    /// The kubelet says it whether or not there is anything to pull.
    pub(super) fn tell_missing_pull_secrets(&self) {
        let mut names = pull_secret_names(self);
        if names.is_empty() {
            return;
        }
        self.look_at_objects();
        let objects = self.live.objects.borrow();
        names.retain(|name| secret(&objects.secrets, name).is_none());
        if !names.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                names.join(", ")
            );
            self.tell_once(Notice {
                reason: "FailedToRetrieveImagePullSecret",
                message,
            });
        }
    }
}

fn pull_secret_names(world: &World) -> Vec<&str> {
    let names = world.spec().image_pull_secrets.iter().flatten();
    names
        .map(|secret| secret.name.as_str())
        .filter(|name| !name.is_empty())
        .collect()
}

fn secret<'a>(secrets: &'a [Secret], name: &str) -> Option<&'a Secret> {
    let mut all = secrets.iter();
    all.find(|secret| secret.metadata.name.as_deref() == Some(name))
}

/// In the order of the pod.
fn collect(
    names: &[&str],
    secrets: &[Secret],
    reference: &Reference,
) -> Result<Vec<Credentials>, String> {
    let mut found = Vec::new();
    for name in names {
        let failed = |error: podyard_image::AuthError| {
            format!("image pull secret {name:?}: {}", chain(&error))
        };
        let Some(text) = secret(secrets, name).and_then(file) else {
            continue;
        };
        let file = AuthFile::parse(text).map_err(failed)?.without_helpers();
        for credentials in file.credentials_for(reference).map_err(failed)? {
            if !found.contains(&credentials) {
                found.push(credentials);
            }
        }
    }
    Ok(found)
}

/// What a container tool would have in its file. Secrets of other types have nothing to say, whatever their keys are called.
fn file(secret: &Secret) -> Option<&[u8]> {
    let (_, key) = KINDS
        .into_iter()
        .find(|(kind, _)| secret.type_.as_deref() == Some(kind))?;
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(bytes.0.as_slice()).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use podyard_api::k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn secret(name: &str, kind: &str, key: &str, text: &str) -> Secret {
        let mut secret = Secret {
            type_: Some(kind.to_owned()),
            data: Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
            ..Secret::default()
        };
        secret.metadata.name = Some(name.to_owned());
        secret
    }

    fn user(name: &str) -> Credentials {
        Credentials::Basic {
            username: name.to_owned(),
            password: "p".to_owned(),
        }
    }

    #[test]
    fn both_forms_in_the_order_of_the_pod() {
        let entry = |name: &str| json!({"r.test": {"username": name, "password": "p"}});
        let new = json!({"auths": entry("new"), "credsStore": "no-such-helper"}).to_string();
        let old = entry("old").to_string();
        let (json_type, cfg_type) = (KINDS[0], KINDS[1]);
        let secrets = [
            secret("old", cfg_type.0, cfg_type.1, &old),
            secret("new", json_type.0, json_type.1, &new),
            // Under the name of another type it says nothing.
            secret("opaque", "Opaque", json_type.1, &new),
            secret("broken", json_type.0, json_type.1, "{"),
        ];
        let image = |text: &str| Reference::parse(text).expect("a reference");
        let names = ["new", "gone", "opaque", "old", "new"];
        let found = collect(&names, &secrets, &image("r.test/app"));
        assert_eq!(found, Ok(vec![user("new"), user("old")]));
        // No helper of the machine is run because a Secret says so: there is none, and that is no error.
        let found = collect(&names, &secrets, &image("other.test/app"));
        assert_eq!(found, Ok(vec![]));
        let broken = collect(&["broken"], &secrets, &image("r.test/app"));
        assert!(broken.is_err_and(|text| text.starts_with("image pull secret \"broken\": ")));
    }
}
