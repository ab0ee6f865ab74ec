//! Where everything is kept: the directories of one podyard instance and of one pod.
//!
//! Three trees (`ARCHITECTURE.md`): `data` outlives a reboot (images, pods, volumes), `run` does not (sockets, sandboxes,
//! network leases), `logs` holds container logs in the CRI layout. `--root DIR` moves all three below one directory, which makes
//! it an instance of its own: nothing on the machine is shared between two roots.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The three directory trees of one podyard instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    root: Option<PathBuf>,
    data: PathBuf,
    run: PathBuf,
    logs: PathBuf,
}

impl Roots {
    /// The system's directories, or everything below `root` when one is given.
    ///
    /// # Errors
    ///
    /// When `root` is relative and the working directory cannot be read.
    pub fn resolve(root: Option<&Path>) -> std::io::Result<Self> {
        Ok(match root {
            None => Self {
                root: None,
                data: "/var/lib/podyard".into(),
                run: "/run/podyard".into(),
                logs: "/var/log/podyard/pods".into(),
            },
            Some(root) => {
                // Two spellings of one directory must be one instance: its id names the bridge and the cgroup.
                let root = match root.canonicalize() {
                    Ok(canonical) => canonical,
                    Err(_) => std::path::absolute(root)?,
                };
                Self {
                    data: root.join("lib"),
                    run: root.join("run"),
                    logs: root.join("log/pods"),
                    root: Some(root),
                }
            }
        })
    }

    /// The directory that was given, for processes that work elsewhere: absolute.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Images and their unpacked layers.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// One directory per pod, named by its UID.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    /// One symbolic link per pod, `<namespace>_<name>` → UID: its creation is what reserves a name.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.data.join("names")
    }

    /// Objects that pods refer to and that were not given with them.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.data.join("objects")
    }

    /// Volumes that outlive pods: `<namespace>/<claim>`.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// One file for each range of users that a pod has for itself.
    #[must_use]
    pub fn users(&self) -> PathBuf {
        self.data.join("users")
    }

    /// Seccomp profiles that a `localhostProfile` names, as below the kubelet's directory of this name.
    #[must_use]
    pub fn seccomp_profiles(&self) -> PathBuf {
        self.data.join("seccomp")
    }

    /// Address leases and the network's own state; gone after a reboot, as the interfaces are.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        self.run.join("network")
    }

    /// Container logs, `<namespace>_<name>_<uid>/<container>/<restartCount>.log`.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The directories of the pod with this UID.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PodDirs {
        PodDirs {
            data: self.pods().join(uid),
            run: self.run.join("pods").join(uid),
            uid: uid.to_owned(),
        }
    }

    /// Six hexadecimal digits that tell this instance's bridge, firewall table and cgroup from those of another root.
    #[must_use]
    pub fn instance(&self) -> String {
        use std::os::unix::ffi::OsStrExt;
        let digest = Sha256::digest(self.data.as_os_str().as_bytes());
        digest
            .iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The cgroup below which every pod of this instance lives, relative to each hierarchy's root.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("podyard-{}", self.instance())
    }
}

/// The directories and files of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDirs {
    /// What outlives a reboot.
    pub data: PathBuf,
    /// What does not.
    pub run: PathBuf,
    /// The pod's UID, the last component of both.
    pub uid: String,
}

/// Where one container instance has its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDirs {
    /// What it needs while it lives: its output pipes and who it is.
    pub run: PathBuf,
    /// What it needs on a disk: the work directory of its writable layer, in which the kernel has a directory of its own, and its
    /// termination message.
    pub data: PathBuf,
    /// Its writable layer; apart from the work directory, since overlayfs wants it so.
    pub layer: PathBuf,
}

impl ContainerDirs {
    /// All of them, in the order in which they are made.
    #[must_use]
    pub fn each(&self) -> [&Path; 3] {
        [&self.run, &self.data, &self.layer]
    }
}

impl PodDirs {
    /// The pod as it was accepted, with its settings; written once, before anything else happens.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.data.join("pod.json")
    }

    /// The pod with what has been changed since; only once something has.
    #[must_use]
    pub fn changed(&self) -> PathBuf {
        self.data.join("changed.json")
    }

    /// Every turn of the event loop: what was observed and asked, in order.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    /// The machine at some turn; the journal goes on from there.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.data.join("snapshot.json")
    }

    /// The last published `v1.Pod` while the machine is up.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.run.join("status.json")
    }

    /// The last published `v1.Pod` of a pod that has ended; survives a reboot.
    #[must_use]
    pub fn final_status(&self) -> PathBuf {
        self.data.join("status.json")
    }

    /// The pod's Events as a JSON array while the machine is up, rewritten as they are aggregated. The journal knows them, too.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.run.join("events.json")
    }

    /// The Events of a pod that has ended; survives a reboot.
    #[must_use]
    pub fn final_events(&self) -> PathBuf {
        self.data.join("events.json")
    }

    /// Volumes, `<plugin>/<name>` as the kubelet lays them out.
    #[must_use]
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.data
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(name)
    }

    /// The directories of one container instance.
    #[must_use]
    pub fn container(&self, container: &str, attempt: u32) -> ContainerDirs {
        let data = self.container_data(container, attempt);
        ContainerDirs {
            run: self.container_run(container, attempt),
            // No container's name has a dot.
            layer: data.with_file_name(format!("{container}.{attempt}.layer")),
            data,
        }
    }

    /// [`ContainerDirs::data`] of a container instance.
    #[must_use]
    pub fn container_data(&self, container: &str, attempt: u32) -> PathBuf {
        self.data
            .join("containers")
            .join(format!("{container}.{attempt}"))
    }

    /// [`ContainerDirs::run`] of a container instance.
    #[must_use]
    pub fn container_run(&self, container: &str, attempt: u32) -> PathBuf {
        self.run
            .join("containers")
            .join(format!("{container}.{attempt}"))
    }

    /// The unix socket of the pod.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("sock")
    }

    /// Locked for as long as the keeper lives.
    #[must_use]
    pub fn keeper_lock(&self) -> PathBuf {
        self.run.join("keeper.lock")
    }

    /// Locked for as long as a supervisor lives; holds its process id.
    #[must_use]
    pub fn supervisor_lock(&self) -> PathBuf {
        self.run.join("supervisor.lock")
    }

    /// What the keeper reaped: process, start time, status, moment; one JSON object a line.
    #[must_use]
    pub fn exits(&self) -> PathBuf {
        self.run.join("exits")
    }

    /// Who holds the pod's namespaces, and the pod's address.
    #[must_use]
    pub fn sandbox(&self) -> PathBuf {
        self.run.join("sandbox.json")
    }

    /// Where the keeper and the supervisor write what went wrong with themselves.
    #[must_use]
    pub fn own_log(&self) -> PathBuf {
        self.data.join("supervisor.log")
    }

    /// What failing probes said, a line of JSON each.
    #[must_use]
    pub fn failed_probes(&self) -> PathBuf {
        self.data.join("failed-probes.jsonl")
    }

    /// The older part of that.
    #[must_use]
    pub fn older_failed_probes(&self) -> PathBuf {
        self.data.join("failed-probes.1.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_an_instance_of_its_own() {
        let one = Roots::resolve(Some(Path::new("/some/where"))).expect("absolute");
        let two = Roots::resolve(Some(Path::new("/else/where"))).expect("absolute");
        assert_eq!(one.images(), Path::new("/some/where/lib/images"));
        assert_eq!(one.logs(), Path::new("/some/where/log/pods"));
        assert_ne!(one.instance(), two.instance());
        assert_eq!(one.instance().len(), 6);
        assert_eq!(
            one.pod("u").container_run("app", 3),
            Path::new("/some/where/run/pods/u/containers/app.3")
        );
    }
}
