//! The hand-written floor (`src/bin/floor`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::arena::Arena;
use crate::layers;
use crate::processes::{self, Finished};

#[derive(Clone, Debug)]
pub(crate) struct Floor {
    binary: PathBuf,
    directory: PathBuf,
    pub(crate) arena: Arena,
}

impl Floor {
    pub(crate) fn set_up(binary: &Path, directory: &Path, images: &Path) -> Result<Self> {
        if !binary.exists() {
            return Err(format!("{} is missing: scripts/bench builds it", binary.display()).into());
        }
        let rootfs = directory.join("rootfs");
        if !rootfs.exists() {
            fs::create_dir_all(directory)?;
            layers::unpack(&images.join("busybox.tar"), &rootfs)?;
        }
        Ok(Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            arena: Arena::new(|| Ok(()))?,
        })
    }

    /// A process that makes these containers one after the other.
    pub(crate) fn command(
        &self,
        instance: &str,
        app: &Path,
        out: &Path,
        names: &[String],
    ) -> Command {
        let own = self.directory.join(instance);
        let _ = fs::remove_dir_all(&own);
        let mut command = Command::new(&self.binary);
        command
            .arg(own)
            .arg(self.directory.join("rootfs"))
            .arg(app)
            .arg(out)
            .args(names);
        command
    }

    pub(crate) fn run(&self, command: Command) -> Result<Finished> {
        processes::run(&self.arena, command)?.ok("the floor")
    }
}
