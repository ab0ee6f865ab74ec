//! Paths in archives: cleaned by their text alone, and refused if they lead out of the archive.
//!
//! What symbolic links make of a path is the kernel's business (`openat2` with `RESOLVE_IN_ROOT`).

use super::LayerError;
use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH};

/// A path relative to the layer's root without `.`, `..` or empty components. The root itself is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LayerPath(Vec<u8>);

impl LayerPath {
    pub(super) fn clean(path: &[u8]) -> Result<Self, LayerError> {
        let refuse = |reason| Err(refused(path, reason));
        if path.len() > MAX_PATH_BYTES {
            return refuse("its path is too long");
        }
        if path.contains(&0) {
            return refuse("its path contains a zero byte");
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in path.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    if components.pop().is_none() {
                        return refuse("its path leads out of the layer");
                    }
                }
                name if name.len() > MAX_NAME_BYTES => return refuse("its name is too long"),
                name => components.push(name),
            }
        }
        if components.len() > MAX_PATH_DEPTH {
            return refuse("its path is too deep");
        }
        Ok(Self(components.join(&b'/')))
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parent and last component; the root has none.
    pub(super) fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self(Vec::new()), &self.0),
        })
    }

    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// Sorts before all paths below this one and after most others.
    pub(super) fn first_possible_child(&self) -> Self {
        Self([&self.0[..], b"/"].concat())
    }

    /// Whether `other` is this path or lies below it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || (other.0.starts_with(&self.0)
                && matches!(other.0.get(self.0.len()), None | Some(b'/')))
    }
}

pub(super) fn refused(path: &[u8], reason: &'static str) -> LayerError {
    LayerError::Refused {
        path: String::from_utf8_lossy(path).into_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_or_refuses() {
        let long_name = "n".repeat(256);
        let long_path = "n/".repeat(2100);
        let deep_path = "n/".repeat(600);
        for (text, expected) in [
            ("", Some("")),
            ("./", Some("")),
            ("/", Some("")),
            ("a", Some("a")),
            ("./a//b/./c/", Some("a/b/c")),
            ("/etc/passwd", Some("etc/passwd")),
            ("a/../b", Some("b")),
            ("..", None),
            ("../a", None),
            ("a/../../b", None),
            ("/../a", None),
            ("a\0b", None),
            (&long_name, None),
            (&long_path, None),
            (&deep_path, None),
        ] {
            let cleaned = LayerPath::clean(text.as_bytes()).ok();
            assert_eq!(
                cleaned.as_ref().map(LayerPath::as_bytes),
                expected.map(str::as_bytes),
                "{text:?}"
            );
        }
    }

    #[test]
    fn containment_is_by_component() {
        let path = |text: &str| LayerPath::clean(text.as_bytes()).unwrap();
        assert!(
            path("a").contains(&path("a/b"))
                && path("a").contains(&path("a"))
                && path("").contains(&path("a"))
        );
        assert!(!path("a").contains(&path("ab")) && !path("a/b").contains(&path("a")));
    }
}
