//! The command line between the keeper, the supervisor and whoever starts them: `podyard internal <role> …`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::roots::{PodDirs, Roots};

/// Which pod a keeper or supervisor is for. The last argument is only for people who read a process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArguments {
    root: Option<PathBuf>,
    uid: String,
    title: String,
}

impl RoleArguments {
    /// The pod's namespace and name.
    pub(crate) fn pod(&self) -> (&str, &str) {
        self.title.split_once('/').unwrap_or(("", &self.title))
    }

    /// For the pod `uid`, shown as `title` in a process list.
    #[must_use]
    pub fn new(root: Option<PathBuf>, uid: String, title: String) -> Self {
        Self { root, uid, title }
    }

    /// Reads what [`Self::to_command_line`] wrote, without the leading `internal <role>`.
    #[must_use]
    pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let root = arguments.next()?;
        let uid = arguments.next()?.into_string().ok()?;
        let title = arguments.next()?.into_string().ok()?;
        let root = if root == OsStr::new("-") {
            None
        } else {
            Some(PathBuf::from(root))
        };
        Some(Self { root, uid, title })
    }

    /// The arguments of a `podyard` process in this role.
    #[must_use]
    pub fn to_command_line(&self, role: &str) -> Vec<OsString> {
        let root = self
            .root
            .as_ref()
            .map_or_else(|| "-".into(), |root| root.clone().into_os_string());
        vec![
            "internal".into(),
            role.into(),
            root,
            self.uid.clone().into(),
            self.title.clone().into(),
        ]
    }

    /// The same for [`podyard_linux::set_title`]: `podyard` and the arguments, each ended by a NUL byte.
    pub(crate) fn to_title(&self, role: &str) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut title = b"podyard\0".to_vec();
        for word in self.to_command_line(role) {
            title.extend(word.as_bytes());
            title.push(0);
        }
        title
    }

    /// The instance.
    ///
    /// # Errors
    ///
    /// As [`Roots::resolve`].
    pub fn roots(&self) -> std::io::Result<Roots> {
        Roots::resolve(self.root.as_deref())
    }

    /// The pod's directories.
    ///
    /// # Errors
    ///
    /// As [`Roots::resolve`].
    pub fn pod_dirs(&self) -> std::io::Result<PodDirs> {
        Ok(self.roots()?.pod(&self.uid))
    }
}
