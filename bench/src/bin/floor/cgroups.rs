//! Cgroups for the floor: one directory per controller on v1, one directory on v2.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// The controllers every Kubernetes container has a directory for.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "devices"];

/// What containers may open, as with containerd: nothing but these, although any node may be made.
const DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Where cgroups are made.
pub(crate) struct Cgroups {
    /// The floor's own directory in each hierarchy.
    parents: Vec<PathBuf>,
    unified: bool,
}

impl Cgroups {
    pub(crate) fn detect() -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let roots: Vec<PathBuf> = if unified {
            vec![root.to_owned()]
        } else {
            CONTROLLERS.iter().map(|name| root.join(name)).collect()
        };
        let own = format!("podyard-bench-floor-{}", std::process::id());
        let mut parents = Vec::new();
        for root in roots {
            // A controller that the machine has no hierarchy for, or shares one with the controller before it.
            let Ok(real) = root.canonicalize() else {
                continue;
            };
            let parent = real.join(&own);
            if parents.contains(&parent) || !real.join("cgroup.procs").exists() {
                continue;
            }
            fs::create_dir_all(&parent)?;
            parents.push(parent);
        }
        if unified {
            let _ = fs::write(
                parents[0].join("cgroup.subtree_control"),
                "+cpu +memory +pids",
            );
        }
        Ok(Self { parents, unified })
    }

    /// Makes and limits a container's directories.
    pub(crate) fn create(&self, name: &str) -> io::Result<Group> {
        let mut paths = Vec::new();
        let mut directories = Vec::new();
        for parent in &self.parents {
            let path = parent.join(name);
            fs::create_dir(&path)?;
            directories.push(File::open(&path)?);
            paths.push(path);
        }
        let group = Group {
            paths,
            directories,
            unified: self.unified,
        };
        group.limit()?;
        Ok(group)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for parent in &self.parents {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// One container's directories.
pub(crate) struct Group {
    pub(crate) paths: Vec<PathBuf>,
    directories: Vec<File>,
    unified: bool,
}

impl Group {
    /// Where a v2 container is born.
    pub(crate) fn birth(&self) -> Option<BorrowedFd<'_>> {
        self.directories
            .first()
            .filter(|_| self.unified)
            .map(|directory| directory.as_fd())
    }

    /// The directories a v1 container has to enter by itself.
    pub(crate) fn to_enter(&self) -> Vec<BorrowedFd<'_>> {
        let enter = self.directories.iter().filter(|_| !self.unified);
        enter.map(|directory| directory.as_fd()).collect()
    }

    /// The values of a container that requests a processor, like those of the measured pods.
    fn limit(&self) -> io::Result<()> {
        for path in &self.paths {
            if self.unified {
                let _ = fs::write(path.join("cpu.weight"), "100");
            } else if path.join("cpu.shares").exists() {
                fs::write(path.join("cpu.shares"), "1024")?;
            } else if path.join("devices.deny").exists() {
                fs::write(path.join("devices.deny"), "a")?;
                for rule in DEVICES {
                    fs::write(path.join("devices.allow"), rule)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn remove(self) -> io::Result<()> {
        self.paths.iter().try_for_each(fs::remove_dir)
    }
}
