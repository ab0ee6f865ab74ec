//! What this machine has of one instance: everything that a pod could leave behind, found without asking podyard.

use std::path::{Path, PathBuf};
use std::process::Command;

use podyard_supervisor::Roots;

/// The machine, seen from one instance.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    roots: Roots,
}

/// A process of the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: i32,
    /// Its command line, with blanks between the words.
    pub command: String,
}

impl Machine {
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            roots: Roots::resolve(Some(root)).expect("absolute"),
        }
    }

    /// Processes, mounts, interfaces, cgroups, firewall tables, leases of images and files of pods.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let processes = self.processes();
        let processes = processes
            .iter()
            .map(|process| format!("process: {} {}", process.id, process.command));
        processes
            .chain(self.mounts())
            .chain(self.interfaces())
            .chain(self.cgroups())
            .chain(self.tables())
            .chain(self.files())
            .collect()
    }

    /// Keepers, supervisors, sandboxes and whatever runs in a container: each has the root directory or the instance's name in its command
    /// line, or its root file system's upper layer below that directory. So no mount namespace is left either.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let root = self.root.to_str().expect("UTF-8");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end while we look.
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let mounts = std::fs::read_to_string(entry.path().join("mountinfo"));
            let own_mounts =
                mounts.is_ok_and(|mounts| mounts.contains(&format!("upperdir={root}/")));
            let own_sandbox = line.starts_with(&format!("/pause {} ", self.roots.cgroup()));
            if own_mounts || own_sandbox || (line.contains(" internal ") && line.contains(root)) {
                let command = line.trim_end().to_owned();
                found.push(Process { id, command });
            }
        }
        found
    }

    fn mounts(&self) -> Vec<String> {
        let root = self.root.to_str().expect("UTF-8");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        // A test may make the root itself a mount.
        let is_inside = |line: &&str| {
            let place = line.split(' ').nth(4).unwrap_or_default();
            place.starts_with(&format!("{root}/")) || line.contains(&format!("upperdir={root}/"))
        };
        let inside = mounts.lines().filter(is_inside);
        inside.map(|line| format!("mount: {line}")).collect()
    }

    fn interfaces(&self) -> Vec<String> {
        std::fs::read_dir("/sys/class/net")
            .expect("interfaces")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(&self.roots.instance()))
            .map(|name| format!("interface: {name}"))
            .collect()
    }

    fn cgroups(&self) -> Vec<String> {
        let cgroup = self.roots.cgroup();
        let root = Path::new("/sys/fs/cgroup");
        std::fs::read_dir(root)
            .expect("cgroups")
            .flatten()
            .map(|hierarchy| hierarchy.path().join(&cgroup))
            .chain([root.join(&cgroup)])
            .filter(|path| path.exists())
            .map(|path| format!("cgroup: {}", path.display()))
            .collect()
    }

    fn tables(&self) -> Vec<String> {
        let tables = output("nft", &["list", "tables"]);
        let own = tables
            .lines()
            .filter(|line| line.contains(&self.roots.instance()));
        own.map(|line| format!("firewall: {line}")).collect()
    }

    fn files(&self) -> Vec<String> {
        let directories = [
            self.roots.pods(),
            self.roots.names(),
            self.roots.logs().to_path_buf(),
            self.root.join("run/pods"),
            self.roots.network(),
        ];
        let entries = |directory: &PathBuf| {
            std::fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect::<Vec<_>>()
        };
        directories
            .iter()
            .flat_map(entries)
            .map(|path| format!("file: {}", path.display()))
            .collect()
    }
}

/// What a program prints; nothing where it does not exist.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}
