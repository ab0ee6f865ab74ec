//! The pull policy that an image reference implies.

/// `Always` for an image whose content may change under its name, else `IfNotPresent`.
#[must_use]
pub fn default_pull_policy(image: &str) -> &'static str {
    match tag_or_digest(image) {
        None | Some("latest") => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// What pins the image: its digest, else its tag; nothing for a bare name.
///
/// A text that is no image reference at all has neither, which is also how the API server sees it.
#[must_use]
pub fn tag_or_digest(image: &str) -> Option<&str> {
    if let Some((_, digest)) = image.split_once('@') {
        return Some(digest);
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':')
        .map(|(_, tag)| tag)
        .filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_by_tag() {
        for (image, policy) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("localhost:5000/busybox", "Always"),
            ("localhost:5000/busybox:1", "IfNotPresent"),
            ("busybox@sha256:0123", "IfNotPresent"),
            ("", "Always"),
        ] {
            assert_eq!(default_pull_policy(image), policy, "{image}");
        }
    }
}
