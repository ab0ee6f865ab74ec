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

/// The floor with its directories kept apart: ext4 without a journal otherwise looks past all inodes that were freed in the last seconds, those
/// of earlier runs as well, whenever it needs one. On other file systems there is no difference.
pub(crate) const APART: &str = "floor, kept apart";

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
        let apart = directory.join("apart");
        let _ = fs::remove_dir_all(&apart);
        fs::create_dir_all(&apart)?;
        keep_apart(&apart);
        Ok(Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            arena: Arena::new(|| Ok(()))?,
        })
    }

    /// A process that makes these containers one after the other, in a directory beside the last one's or, for the subject [`APART`], apart
    /// from it.
    pub(crate) fn command(
        &self,
        subject: &str,
        instance: &str,
        app: &Path,
        out: &Path,
        names: &[String],
    ) -> Command {
        let own = if subject == APART {
            // A new name each time, as pods have: it decides where on the disk the directory goes.
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let apart = self.directory.join("apart");
            for last in fs::read_dir(&apart).into_iter().flatten().flatten() {
                let name = last.file_name();
                let name = name.to_string_lossy();
                if name.rsplit_once('.').is_some_and(|(of, _)| of == instance) {
                    let _ = fs::remove_dir_all(last.path());
                }
            }
            apart.join(format!("{instance}.{number}"))
        } else {
            let own = self.directory.join(instance);
            let _ = fs::remove_dir_all(&own);
            own
        };
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

/// As podyard does with the directories of pods (`T` in chattr(1)).
fn keep_apart(directory: &Path) {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let _ = rustix::fs::open(directory, flags, Mode::empty()).and_then(|directory| {
        let known = rustix::fs::ioctl_getflags(&directory)?;
        rustix::fs::ioctl_setflags(&directory, known | IFlags::TOPDIR)
    });
}
