//! The hand-written floor (`src/bin/floor`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{IFlags, Mode, OFlags};

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
        let pods = directory.join("pods");
        let _ = fs::remove_dir_all(&pods);
        fs::create_dir_all(&pods)?;
        keep_apart(&pods);
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
        // A new name each time, as pods have: it decides where on the disk the directory goes.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pods = self.directory.join("pods");
        let last = pods.join(format!("{instance}.last"));
        if let Ok(last) = fs::read_link(&last) {
            let _ = fs::remove_dir_all(pods.join(last));
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = pods.join(format!("{instance}.{number}"));
        let _ = fs::remove_file(&last);
        let _ = std::os::unix::fs::symlink(&own, &last);
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

/// As podyard does with the directories of pods (`T` in chattr(1)): a floor must not lose time in what a file system does with inodes that
/// were freed a moment ago.
fn keep_apart(directory: &Path) {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let _ = rustix::fs::open(directory, flags, Mode::empty()).and_then(|directory| {
        let known = rustix::fs::ioctl_getflags(&directory)?;
        rustix::fs::ioctl_setflags(&directory, known | IFlags::TOPDIR)
    });
}
