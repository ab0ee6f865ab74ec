//! podman, with stores, state and configuration of its own below the bench directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::arena::{self, Arena};
use crate::manifest::BUSYBOX;
use crate::processes::{self, Finished};

#[derive(Clone, Debug)]
pub(crate) struct Podman {
    directory: PathBuf,
    pub(crate) arena: Arena,
    /// What had to be chosen for this machine; goes into the report.
    pub(crate) choices: Vec<String>,
}

impl Podman {
    pub(crate) fn set_up(directory: &Path, images: &Path) -> Result<Self> {
        if Command::new("podman").arg("--version").output().is_err() {
            return Err("podman is not installed".into());
        }
        fs::create_dir_all(directory.join("networks"))?;
        let mut choices = vec![
            "`--cgroup-manager cgroupfs`: no systemd on this machine".to_owned(),
            "network backend netavark, the default bridge".to_owned(),
            "events logger `none`: less work for podman".to_owned(),
        ];
        let (open_files, processes) = (limit("Max open files"), limit("Max processes").min(32_768));
        if !rustix::thread::capability_is_in_bounding_set(
            rustix::thread::CapabilitySet::SYS_RESOURCE,
        )
        .unwrap_or(true)
        {
            choices.push(format!(
                "default ulimits lowered to what may be set without CAP_SYS_RESOURCE (nofile {open_files}, nproc {processes})"
            ));
        }
        let configuration = format!(
            "[containers]\ndefault_ulimits = [\"nofile={open_files}:{open_files}\", \"nproc={processes}:{processes}\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"crun\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{}\"\n",
            directory.join("networks").display()
        );
        fs::write(directory.join("containers.conf"), configuration)?;
        if Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists() {
            choices.push(
                "the v2 hierarchy beside the v1 controllers is unmounted in podman's mount namespace, since crun refuses the mixture"
                    .to_owned(),
            );
        }
        let podman = Self {
            directory: directory.to_owned(),
            arena: Arena::new(arena::hide_mixed_cgroups)?,
            choices,
        };
        podman.remove_all();
        for name in ["busybox", "nginx"] {
            let archive = images.join(format!("{name}.tar"));
            podman.run(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
        }
        // Does it run anything at all? This also makes what the first run of a store makes once.
        podman.run(&["run", "--rm", BUSYBOX, "true"])?;
        Ok(podman)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        for (flag, place) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(flag).arg(self.directory.join(place));
        }
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Finished> {
        processes::run(&self.arena, self.command(arguments))?
            .ok(&format!("podman {}", arguments[0]))
    }

    pub(crate) fn play(&self, manifest: &Path) -> Result<Finished> {
        self.run(&["kube", "play", &manifest.to_string_lossy()])
    }

    pub(crate) fn remove(&self, pod: &str) -> Result<Finished> {
        self.run(&["pod", "rm", "--force", "--time", "0", pod])
    }

    pub(crate) fn remove_all(&self) {
        let _ = self.run(&["pod", "rm", "--all", "--force", "--time", "0"]);
        let _ = self.run(&["rm", "--all", "--force", "--time", "0"]);
    }

    /// The full id of a container, as crun knows it.
    pub(crate) fn container_id(&self, name: &str) -> Result<String> {
        let done = self.run(&[
            "inspect",
            "--type",
            "container",
            "--format",
            "{{.Id}}",
            name,
        ])?;
        Ok(done.stdout().trim().to_owned())
    }

    pub(crate) fn version(&self) -> String {
        let one = |program: &str| {
            let output = Command::new(program).arg("--version").output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Some(text.lines().next()?.to_owned())
        };
        let versions = ["podman", "crun", "conmon"].into_iter().filter_map(one);
        versions.collect::<Vec<_>>().join(", ")
    }
}

/// The hard limit of this process, from its procfs file.
fn limit(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    let hard = line.split_ascii_whitespace().nth(1).unwrap_or_default();
    hard.parse().unwrap_or(1_048_576)
}
