//! podyard: the release binary, with a root directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::arena::Arena;
use crate::processes::{self, Finished};

#[derive(Clone, Debug)]
pub(crate) struct Podyard {
    pub(crate) binary: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) arena: Arena,
}

impl Podyard {
    pub(crate) fn set_up(binary: &Path, root: &Path, images: &Path) -> Result<Self> {
        if !binary.exists() {
            return Err(format!("{} is missing: scripts/bench builds it", binary.display()).into());
        }
        std::fs::create_dir_all(root)?;
        let podyard = Self {
            binary: binary.to_owned(),
            root: root.to_owned(),
            arena: Arena::new(|| Ok(()))?,
        };
        podyard.delete_all();
        for name in ["busybox", "nginx"] {
            podyard.import(&images.join(format!("{name}.tar")))?;
        }
        Ok(podyard)
    }

    pub(crate) fn import(&self, archive: &Path) -> Result<()> {
        let mut command = self.command(&["image", "import"]);
        command.arg(archive);
        processes::run(&self.arena, command)?
            .ok("podyard image import")
            .map(drop)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Finished> {
        processes::run(&self.arena, self.command(arguments))?
            .ok(&format!("podyard {}", arguments[0]))
    }

    pub(crate) fn play(&self, manifest: &Path) -> Result<Finished> {
        self.run(&["run", "-d", &manifest.to_string_lossy()])
    }

    pub(crate) fn delete(&self, pod: &str) -> Result<Finished> {
        self.run(&["delete", "pod", pod])
    }

    pub(crate) fn delete_all(&self) {
        let _ = self.run(&["delete", "pods", "--all", "--now"]);
    }

    pub(crate) fn version(&self) -> String {
        self.run(&["--version"])
            .map(|done| done.stdout().trim().to_owned())
            .unwrap_or_default()
    }
}
