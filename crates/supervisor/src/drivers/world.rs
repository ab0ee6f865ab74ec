//! What every driver works with: the pod, its directories, what is alive, and where to report to.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use podyard_api::core::{Container, PodSpec};
use podyard_image::{Digest, Image, NameStamp, Store};
use podyard_lifecycle::{Attempt, ContainerIndex, Hook, Observation};
use podyard_linux::cgroup::Resources;
use podyard_linux::{Cgroup, CgroupRoot, Sandbox};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::accounts::{self, AccountFiles};
use super::containers::{Ahead, Emptied, LiveContainer, NotStarted, Unwritten};
use super::current_pod::CurrentPod;
use super::logs;
use super::notices::Notice;
use super::objects::Objects;
use crate::limits;
use crate::link::KeeperLink;
use crate::roots::{PodDirs, Roots};
use crate::translate::PodFacts;
use crate::translate::machine::Machine;
use crate::translate::resources;
use crate::translate::security::Seccomp;

/// Names one instance of one container.
pub(crate) type Key = (ContainerIndex, Attempt);

pub(crate) struct World {
    pub(crate) roots: Roots,
    pub(crate) dirs: PodDirs,
    pub(crate) pod: CurrentPod,
    /// What came with the pod for its containers and volumes to refer to; [`Live::objects`] is what there is now.
    pub(crate) given: Objects,
    pub(crate) host_ips: Vec<String>,
    pub(crate) node_name: String,
    pub(crate) default_seccomp: Seccomp,
    pub(crate) machine: Machine,
    /// Sysctls that this machine's owner allows beside the safe ones.
    pub(crate) allowed_sysctls: Vec<String>,
    /// Processes and threads that the pod may have.
    pub(crate) pod_max_pids: Option<u64>,
    pub(crate) memory_qos: bool,
    pub(crate) store: Store,
    pub(crate) cgroups: CgroupRoot,
    pub(crate) keeper: KeeperLink,
    pub(crate) observations: mpsc::UnboundedSender<Observation>,
    /// Counts up whenever some log file has grown or an instance has ended.
    pub(crate) logs_grew: watch::Sender<u64>,
    pub(crate) live: Live,
}

/// What changes while the pod lives.
#[derive(Default)]
pub(crate) struct Live {
    /// Told of every turn.
    pub(crate) turned: Notify,
    pub(crate) sandbox: RefCell<Option<Rc<Sandbox>>>,
    pub(crate) pod_ips: RefCell<Vec<String>>,
    /// As of [`World::look_at_objects`].
    pub(crate) objects: RefCell<Rc<Objects>>,
    /// How often a kept object of the pod's has changed.
    pub(crate) object_changes: Cell<u64>,
    /// Images found for volumes, by the volume's name.
    pub(crate) volume_images: RefCell<HashMap<String, Rc<Image>>>,
    /// Digests of the images that this supervisor has mounted as volumes.
    pub(crate) mounted_images: RefCell<HashMap<String, String>>,
    pub(crate) images: RefCell<HashMap<Key, Rc<Image>>>,
    /// What references meant when they were last looked up.
    pub(crate) found_images: RefCell<HashMap<String, (NameStamp, Rc<Image>)>>,
    /// Digests of the images that this supervisor has asked the store to keep.
    pub(crate) leased: RefCell<HashSet<Digest>>,
    pub(crate) pulls: RefCell<HashMap<Key, oneshot::Sender<()>>>,
    pub(crate) containers: RefCell<HashMap<ContainerIndex, Rc<LiveContainer>>>,
    /// What there would be to tell of a container whose time has not come, while it is made.
    pub(crate) withheld: RefCell<Option<Vec<Notice>>>,
    /// Containers that were made before their time.
    pub(crate) ahead: Ahead,
    /// Cgroups of containers that are over.
    pub(crate) emptied: Emptied,
    /// Output of instances that are over, which could not be written yet.
    pub(crate) unwritten: RefCell<HashMap<Key, Unwritten>>,
    /// Terminals of the last supervisor's containers, by the keeper's name for them.
    pub(crate) terminals: RefCell<HashMap<String, OwnedFd>>,
    /// Hooks that run, and how to give one up.
    pub(crate) hooks: RefCell<HashMap<(ContainerIndex, Attempt, Hook), oneshot::Sender<()>>>,
    /// Which log file an instance writes.
    pub(crate) log_names: RefCell<HashMap<Key, u32>>,
    /// Starts that the last supervisor began and this one has answered.
    pub(crate) adopted: RefCell<HashSet<Key>>,
    /// Who exists in an image. Every start, probe and command asks, and an image of many layers takes long to look through.
    pub(crate) accounts: RefCell<HashMap<Digest, Rc<AccountFiles>>>,
    /// Compiled filters by capability set.
    pub(crate) seccomp: RefCell<HashMap<u64, Arc<podyard_linux::seccomp::Program>>>,
    /// What to clear away once an exit stands in the journal.
    pub(crate) ended: RefCell<HashMap<Key, Box<dyn FnOnce()>>>,
    /// The pod's volatile directory as a mount that is nowhere. Taking it apart costs milliseconds, so there is one for all containers.
    pub(crate) own_tree: OnceCell<Option<OwnedFd>>,
    /// Whether changes of objects are watched for.
    pub(crate) follows_objects: Cell<bool>,
    /// How many are connected to the pod's socket.
    pub(crate) talking: Cell<u32>,
    /// Layers of mount points that are known to be whole.
    pub(crate) mount_points: RefCell<HashMap<String, PathBuf>>,
    pub(crate) has_pod_cgroup: Cell<bool>,
    /// The pod's class, from its requests and limits.
    pub(crate) qos: OnceCell<&'static str>,
    /// The supervisor's own `oom_score_adj`.
    pub(crate) own_oom_score: OnceCell<Option<i32>>,
    /// What was said once and is not said again.
    pub(crate) told: RefCell<HashSet<String>>,
}

impl World {
    pub(crate) fn spec(&self) -> &PodSpec {
        self.pod.spec()
    }

    pub(crate) fn with_facts<T>(&self, then: impl FnOnce(&PodFacts<'_>) -> T) -> T {
        let pod_ips = self.live.pod_ips.borrow();
        let objects = Rc::clone(&self.live.objects.borrow());
        let pod = self.pod.whole();
        then(&PodFacts {
            pod: &pod,
            spec: self.spec(),
            config_maps: &objects.config_maps,
            secrets: &objects.secrets,
            pod_ips: &pod_ips,
            host_ips: &self.host_ips,
            node_name: &self.node_name,
            machine: &self.machine,
            qos: self
                .live
                .qos
                .get_or_init(|| podyard_api::qos_class(self.spec())),
        })
    }

    pub(crate) fn container(&self, index: ContainerIndex) -> Option<&Container> {
        self.pod.containers().nth(index.position())
    }

    /// The accounts of an image: its layers never change, so they are read once.
    pub(super) fn accounts_of(&self, image: &Image) -> Rc<AccountFiles> {
        let mut known = self.live.accounts.borrow_mut();
        let files = known
            .entry(image.manifest_digest.clone())
            .or_insert_with(|| Rc::new(accounts::read(&image.layers)));
        Rc::clone(files)
    }

    pub(crate) fn container_name(&self, index: ContainerIndex) -> &str {
        self.container(index)
            .map_or("", |container| container.name.as_str())
    }

    pub(crate) fn container_index(&self, name: &str) -> Option<ContainerIndex> {
        let mut containers = self.pod.containers();
        let position = containers.position(|container| container.name == name)?;
        u16::try_from(position).ok().map(ContainerIndex)
    }

    /// `namespace/name`, for messages and process lists.
    pub(crate) fn title(&self) -> String {
        self.with_facts(|facts| format!("{}/{}", facts.namespace(), facts.name()))
    }

    pub(crate) fn log_directory(&self) -> std::path::PathBuf {
        let name = self.with_facts(|facts| {
            format!("{}_{}_{}", facts.namespace(), facts.name(), self.dirs.uid)
        });
        self.roots.logs().join(name)
    }

    pub(crate) fn log_path(&self, container: &str, restart_count: u32) -> std::path::PathBuf {
        logs::path(&self.log_directory(), container, restart_count)
    }

    /// Whether that instance's log may still grow.
    pub(crate) fn is_writing_log(&self, container: &str, restart_count: u32) -> bool {
        let Some(index) = self.container_index(container) else {
            return false;
        };
        let unwritten = self.live.unwritten.borrow();
        let mut unwritten = unwritten.iter();
        unwritten.any(|(key, output)| key.0 == index && output.restart_count == restart_count)
            || self
                .live
                .containers
                .borrow()
                .get(&index)
                .is_some_and(|live| live.restart_count == restart_count && !live.is_done())
    }

    /// Waits until everything that was ever printed is in the logs.
    pub(crate) async fn logs_written(&self) {
        let mut grew = self.logs_grew.subscribe();
        while !self.live.unwritten.borrow().is_empty() && grew.changed().await.is_ok() {}
    }

    /// Gives up what could not be written into the logs.
    pub(crate) fn give_up_output(&self) {
        for output in self.live.unwritten.borrow().values() {
            output.pump.give_up();
        }
    }

    /// Moves into the log files what containers have printed until now.
    pub(crate) fn drain_logs(&self) {
        for live in self.live.containers.borrow().values() {
            live.drain_log();
        }
    }

    /// Puts the logs aside that have grown long.
    pub(crate) fn rotate_logs(&self) {
        for live in self.live.containers.borrow().values() {
            if let Err(error) = live.rotate_log() {
                self.complain(&format!("cannot rotate a log: {error}"));
            }
        }
    }

    /// Opens a file below the pod's volatile directory for a container. What `readlink` says of the descriptor there is its path in a mount
    /// of its own, and not where on this machine podyard keeps its things.
    pub(super) fn open_unseen(&self, path: &Path, flags: OFlags) -> std::io::Result<OwnedFd> {
        let tree = self.live.own_tree.get_or_init(|| {
            let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, &self.dirs.run, clone).ok()
        });
        match (tree, path.strip_prefix(&self.dirs.run)) {
            (Some(tree), Ok(below)) => Ok(openat(tree, below, flags, Mode::empty())?),
            // Without the right to mount there is only the path.
            _ => Ok(openat(CWD, path, flags, Mode::empty())?),
        }
    }

    /// The pod as it is now, for whoever looks when there is no supervisor. The journal has it, too.
    pub(crate) fn write_changed_pod(&self) {
        let written = serde_json::to_vec(&*self.pod.whole())
            .map_err(std::io::Error::from)
            .and_then(|text| crate::atomic::write(&self.dirs.changed(), &text));
        if let Err(error) = written {
            self.complain(&format!("cannot write the changed pod down: {error}"));
        }
    }

    pub(crate) fn report(&self, observation: Observation) {
        // The loop only ends after the last action was answered.
        let _ = self.observations.send(observation);
    }

    /// Something that is wrong with this machine and not with the pod: into the supervisor's own log, which is its standard error.
    pub(crate) fn complain(&self, text: &str) {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "{} {}: {text}",
            crate::cri::rfc3339(crate::clock::wall()),
            self.title()
        );
    }

    fn pod_cgroup_path(&self) -> String {
        format!("{}/pod{}", self.roots.cgroup(), self.dirs.uid)
    }

    fn container_cgroup_path(&self, name: &str, attempt: Attempt) -> String {
        format!(
            "{}/{}",
            self.pod_cgroup_path(),
            container_cgroup_name(name, attempt)
        )
    }

    pub(super) fn container_cgroup(
        &self,
        name: &str,
        attempt: Attempt,
        resources: &Resources,
    ) -> Result<Option<Cgroup>, NotStarted> {
        let failed = |error: podyard_linux::cgroup::CgroupError| {
            NotStarted::create(format!(
                "cannot create the cgroup: {}",
                crate::pull::chain(&error)
            ))
        };
        if !self.live.has_pod_cgroup.get() {
            let resources = self.with_facts(|facts| {
                let resources = Resources {
                    pids_limit: self.pod_max_pids,
                    ..resources::of_pod(facts)
                };
                match self.memory_qos {
                    true => resources::with_memory_qos_of_pod(resources, facts),
                    false => resources,
                }
            });
            let cgroup = Cgroup::create(&self.cgroups, &self.pod_cgroup_path(), &resources)
                .map_err(failed)?;
            self.tell_unenforced(&cgroup, &resources, "the pod");
            self.live.has_pod_cgroup.set(true);
        }
        let own = container_cgroup_name(name, attempt);
        let pod = self.pod_cgroup_path();
        let cgroup = Cgroup::create_in_pod(&self.cgroups, &pod, &own, resources).map_err(failed)?;
        self.tell_unenforced(&cgroup, resources, &format!("container {name}"));
        Ok(Some(cgroup))
    }

    pub(super) fn open_container_cgroup(&self, name: &str, attempt: Attempt) -> Option<Cgroup> {
        let own = container_cgroup_name(name, attempt);
        Cgroup::open_in_pod(&self.cgroups, &self.pod_cgroup_path(), &own)
            .ok()
            .flatten()
    }

    /// With whatever is in it.
    pub(super) fn remove_container_cgroup(&self, name: &str, attempt: Attempt) {
        let path = self.container_cgroup_path(name, attempt);
        if let Err(error) = Cgroup::remove_at(&self.cgroups, &path, limits::CGROUP_PATIENCE) {
            let cause = crate::pull::chain(&error);
            self.complain(&format!("cannot remove the cgroup of {name}: {cause}"));
        }
    }

    pub(super) fn remove_pod_cgroup(&self) {
        let path = self.pod_cgroup_path();
        if let Err(error) = Cgroup::remove_at(&self.cgroups, &path, limits::CGROUP_PATIENCE) {
            self.complain(&format!(
                "cannot remove the pod's cgroup: {}",
                crate::pull::chain(&error)
            ));
        }
        self.live.has_pod_cgroup.set(false);
        // The instance's own goes with its last pod.
        Cgroup::remove_if_empty(&self.cgroups, &self.roots.cgroup());
    }
}

/// No container's name has a dot, so this is no other cgroup's below the pod's.
fn container_cgroup_name(name: &str, attempt: Attempt) -> String {
    format!("{name}.{attempt}")
}
