//! The pods of one instance, as directories: accept one, list them, find one, forget one. No daemon: a pod whose supervisor has died is
//! seen here all the same, and [`PodHandle::ensure_supervised`] starts the next one.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use podyard_api::core::{Event, Pod};
use podyard_api::meta::Time;
use podyard_linux::Process;

use crate::failed_probes::{self, FailedProbe};
use crate::journal::Turn;
use crate::record::{InstanceRecord, PodRecord, RunOptions};
use crate::role::RoleArguments;
use crate::roots::{PodDirs, Roots};
use crate::socket::client::Client;
use crate::{atomic, clock, journal, lock, node, record, spread, users};

/// What a command cannot do with a pod's files.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A pod of this name exists and has not ended.
    #[error("pods {name:?} already exists")]
    AlreadyExists {
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("pods {name:?} not found")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A file operation failed.
    #[error("cannot {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The record is of another version or damaged.
    #[error("`{path}` is not a pod of this version of podyard")]
    Unreadable {
        /// The file.
        path: String,
    },
    /// The keeper could not be started.
    #[error("cannot start the pod's supervisor")]
    Start(#[source] std::io::Error),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::JournalError),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PodError {
    let path = path.display().to_string();
    move |source| PodError::Io { what, path, source }
}

/// A pod that is to be run.
#[derive(Clone, Debug)]
pub struct NewPod {
    /// Defaulted and validated.
    pub pod: Pod,
    /// What its containers refer to.
    pub config_maps: Vec<podyard_api::core::ConfigMap>,
    /// Likewise.
    pub secrets: Vec<podyard_api::core::Secret>,
    /// Likewise.
    pub claims: Vec<podyard_api::core::PersistentVolumeClaim>,
    /// For the lifecycle core.
    pub settings: podyard_lifecycle::Settings,
    /// Containers without a `seccompProfile` run without a filter.
    pub seccomp_unconfined: bool,
    /// Sysctls beside the safe ones that it may set.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Processes and threads that it may have.
    pub pod_max_pids: Option<u64>,
    /// Memory requests are guaranteed, as with the kubelet's feature gate `MemoryQoS`; only cgroup v2 can.
    pub memory_qos: bool,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct PodHandle {
    roots: Roots,
    dirs: PodDirs,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Accepts a pod: reserves its name, writes its record, starts its keeper. A pod of the same name that has ended is replaced.
///
/// # Errors
///
/// When one of that name is alive, or a file cannot be written; nothing is left behind then. If it is the disk that fails, in the end,
/// the pod may run all the same.
pub fn create(root: Option<&Path>, new: NewPod) -> Result<PodHandle, PodError> {
    let roots = Roots::resolve(root).map_err(PodError::Start)?;
    let uid = new_uid();
    let dirs = roots.pod(&uid);
    let mut pod = new.pod;
    let namespace = pod
        .metadata
        .namespace
        .get_or_insert_with(|| "default".to_owned())
        .clone();
    let name = pod.metadata.name.clone().unwrap_or_default();
    pod.metadata.uid = Some(uid.clone());
    pod.metadata.generation = Some(1);
    pod.metadata.creation_timestamp =
        Some(Time(podyard_lifecycle::kubernetes_time(clock::wall()).0));
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(node_name());
    }
    let mut settings = new.settings;
    if settings.host_ips.is_empty() {
        settings.host_ips = node::addresses();
    }
    let options = RunOptions {
        settings,
        seccomp_unconfined: new.seccomp_unconfined,
        allowed_unsafe_sysctls: new.allowed_unsafe_sysctls,
        pod_max_pids: new.pod_max_pids,
        memory_qos: new.memory_qos,
        boot_id: clock::boot_id().map_err(PodError::Start)?,
    };
    let record = PodRecord::new(pod, new.config_maps, new.secrets, new.claims, options);
    let handle = PodHandle {
        roots: roots.clone(),
        dirs: dirs.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
    };

    let private =
        |path: &Path| spread::make(path, 0o700, 0o700).map_err(io("create the directory", path));
    private(&dirs.data)?;
    let written = (|| {
        let text = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .map_err(io("write", &dirs.record()))?;
        atomic::write(&dirs.record(), &text).map_err(io("write", &dirs.record()))?;
        private(&dirs.run)?;
        let logs = handle.log_directory();
        spread::make(&logs, 0o755, 0o755).map_err(io("create the directory", &logs))?;
        handle.reserve_name()
    })();
    let started = written.and_then(|()| handle.start_keeper());
    if let Err(error) = started {
        // Whatever was made is removed, and the name is free again if it was ours.
        handle.remove_files();
        return Err(error);
    }
    // On the disk before anybody hears that the pod was accepted. Its start need not wait for a disk.
    atomic::sync(&dirs.record()).map_err(io("write", &dirs.record()))?;
    Ok(handle)
}

/// All pods of the instance, by namespace and name.
///
/// # Errors
///
/// When the state directory exists and cannot be read.
pub fn list(root: Option<&Path>) -> Result<Vec<PodHandle>, PodError> {
    let roots = Roots::resolve(root).map_err(PodError::Start)?;
    let names = roots.names();
    let entries = match std::fs::read_dir(&names) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("read", &names)(error)),
    };
    let mut pods: Vec<PodHandle> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file_name = entry.file_name().into_string().ok()?;
            let (namespace, name) = file_name.split_once('_')?;
            let uid = std::fs::read_link(entry.path())
                .ok()?
                .into_os_string()
                .into_string()
                .ok()?;
            Some(PodHandle {
                dirs: roots.pod(&uid),
                roots: roots.clone(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        })
        .collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(pods)
}

/// The pod of this name.
///
/// # Errors
///
/// When there is none.
pub fn find(root: Option<&Path>, namespace: &str, name: &str) -> Result<PodHandle, PodError> {
    let roots = Roots::resolve(root).map_err(PodError::Start)?;
    let link = roots.names().join(format!("{namespace}_{name}"));
    let uid = match std::fs::read_link(&link) {
        Ok(uid) => uid.to_string_lossy().into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PodError::NotFound {
                name: name.to_owned(),
            });
        }
        Err(error) => return Err(io("read", &link)(error)),
    };
    Ok(PodHandle {
        dirs: roots.pod(&uid),
        roots,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

impl PodHandle {
    /// The pod's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.dirs.uid
    }

    /// The pod's directories.
    #[must_use]
    pub fn dirs(&self) -> &PodDirs {
        &self.dirs
    }

    /// The pod with the status that was published last; works without a supervisor.
    ///
    /// # Errors
    ///
    /// When its files cannot be read.
    pub fn pod(&self) -> Result<Pod, PodError> {
        for path in [self.dirs.status(), self.dirs.final_status()] {
            if let Some(pod) = std::fs::read(path)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
            {
                return Ok(pod);
            }
        }
        self.accepted()
    }

    /// The pod without a status: what was accepted, with what was changed since.
    ///
    /// # Errors
    ///
    /// When its files cannot be read.
    pub fn accepted(&self) -> Result<Pod, PodError> {
        let changed = std::fs::read(self.dirs.changed()).ok();
        match changed.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(pod) => Ok(pod),
            None => Ok(self.record()?.pod),
        }
    }

    /// What was accepted.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn record(&self) -> Result<PodRecord, PodError> {
        let path = self.dirs.record();
        record::read(&path).ok_or_else(|| PodError::Unreadable {
            path: path.display().to_string(),
        })
    }

    /// Its Events, oldest first; works without a supervisor.
    ///
    /// # Errors
    ///
    /// When they exist and cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, PodError> {
        for path in [self.dirs.events(), self.dirs.final_events()] {
            match std::fs::read(&path) {
                Ok(text) => {
                    return serde_json::from_slice(&text).map_err(|_| PodError::Unreadable {
                        path: path.display().to_string(),
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io("read", &path)(error)),
            }
        }
        Ok(Vec::new())
    }

    /// Everything that happened, turn by turn.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn turns(&self) -> Result<Vec<Turn>, PodError> {
        Ok(journal::read(&self.dirs)?)
    }

    /// What its failing probes said, oldest first.
    #[must_use]
    pub fn failed_probes(&self) -> Vec<FailedProbe> {
        failed_probes::read(&self.dirs)
    }

    /// The directory of its containers' logs.
    #[must_use]
    pub fn log_directory(&self) -> std::path::PathBuf {
        self.roots.logs().join(format!(
            "{}_{}_{}",
            self.namespace, self.name, self.dirs.uid
        ))
    }

    /// The first process of a container that runs, as the pod's files tell; works without a supervisor.
    #[must_use]
    pub fn process_of(&self, container: &str) -> Option<Process> {
        let entries = std::fs::read_dir(self.dirs.run.join("containers")).ok()?;
        let mut instances: Vec<InstanceRecord> = entries
            .filter_map(|entry| record::read(&entry.ok()?.path().join("record.json")))
            .filter(|instance: &InstanceRecord| instance.container == container)
            .collect();
        instances.sort_by_key(|instance| std::cmp::Reverse(instance.attempt));
        let alive = |instance: InstanceRecord| Process::adopt(instance.process).ok().flatten();
        instances.into_iter().find_map(alive)
    }

    /// Whether its story is over: what is left are files.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.dirs.final_status().exists()
    }

    /// Whether a supervisor is alive.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        lock::is_held(&self.dirs.supervisor_lock())
    }

    /// Starts a keeper, and with it a supervisor, unless one is alive or the pod has ended. A keeper that is alive starts the next
    /// supervisor by itself.
    ///
    /// # Errors
    ///
    /// When no keeper can be started.
    pub fn ensure_supervised(&self) -> Result<(), PodError> {
        // A supervisor that has lost its keeper becomes one itself.
        if self.has_ended() || lock::is_held(&self.dirs.keeper_lock()) || self.is_supervised() {
            return Ok(());
        }
        let run = &self.dirs.run;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(run)
            .map_err(io("create the directory", run))?;
        self.start_keeper()
    }

    /// For requests; a supervisor must be alive.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.dirs.socket(), &self.namespace, &self.name)
    }

    /// Forgets a pod that has ended: its files, its logs, its name. A pod that is alive must be deleted by its supervisor.
    pub fn remove_files(&self) {
        remove_pod_files(&self.roots, &self.dirs, &self.namespace, &self.name);
    }

    /// The name is a symbolic link: making it is atomic, and only one can.
    fn reserve_name(&self) -> Result<(), PodError> {
        let names = self.roots.names();
        std::fs::create_dir_all(&names).map_err(io("create the directory", &names))?;
        let link = names.join(format!("{}_{}", self.namespace, self.name));
        for _ in 0..2 {
            match std::os::unix::fs::symlink(self.uid(), &link) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let known = find(self.roots.root(), &self.namespace, &self.name)?;
                    if !known.has_ended() && known.dirs.record().exists() {
                        return Err(PodError::AlreadyExists {
                            name: self.name.clone(),
                        });
                    }
                    known.remove_files();
                }
                Err(error) => return Err(io("reserve the name", &link)(error)),
            }
        }
        Err(PodError::AlreadyExists {
            name: self.name.clone(),
        })
    }

    /// Whoever has the keeper's lock starts it, and hands the lock over with its standard output: of two that want to, one does, and the
    /// socket is never taken away from a keeper that is just starting.
    fn start_keeper(&self) -> Result<(), PodError> {
        let path = self.dirs.keeper_lock();
        let Some(lock) = lock::try_exclusive(&path).map_err(io("lock", &path))? else {
            return Ok(());
        };
        let socket = self.dirs.socket();
        let listener = (|| {
            let _ = std::fs::remove_file(&socket);
            let directory = std::fs::File::open(&self.dirs.run)?;
            std::os::unix::net::UnixListener::bind(crate::socket::client::short_path(
                &directory, &socket,
            ))
        })()
        .map_err(io("make the socket", &socket))?;
        let log = self.dirs.own_log();
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(io("open", &log))?;
        let title = format!("{}/{}", self.namespace, self.name);
        let root = self.roots.root().map(Path::to_path_buf);
        let arguments = RoleArguments::new(root, self.dirs.uid.clone(), title);
        let program = podyard_linux::protected_program().map_err(PodError::Start)?;
        let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .args(arguments.to_command_line("keep"))
            .env_clear()
            // Where the account's registry credentials are; nothing else of the caller's environment has a meaning for the pod.
            .envs(
                ["HOME", "XDG_RUNTIME_DIR"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stdout(lock)
            .stderr(stderr)
            .spawn()
            .map_err(PodError::Start)?;
        // It lives on its own from here; whoever started it may be gone long before it.
        drop(child);
        Ok(())
    }
}

/// Removes every file of a pod. Its containers, sandbox and network must be gone.
pub(crate) fn remove_pod_files(roots: &Roots, dirs: &PodDirs, namespace: &str, name: &str) {
    let link = roots.names().join(format!("{namespace}_{name}"));
    if std::fs::read_link(&link).is_ok_and(|uid| uid.as_os_str() == dirs.uid.as_str()) {
        let _ = std::fs::remove_file(&link);
    }
    // Without its record there is no pod any more: whoever goes on with this after a crash finds nothing that could be run again.
    let _ = std::fs::remove_file(dirs.record());
    if let Ok(store) = podyard_image::Store::open(&roots.images()) {
        let _ = store.release(&dirs.uid);
    }
    users::release(roots, &dirs.uid);
    let _ = std::fs::remove_dir_all(&dirs.run);
    let _ = std::fs::remove_dir_all(&dirs.data);
    let _ = std::fs::remove_dir_all(
        roots
            .logs()
            .join(format!("{namespace}_{name}_{}", dirs.uid)),
    );
}

/// The machine's name, which is the node's name here.
#[must_use]
pub fn node_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}

/// A random UUID, version 4.
#[must_use]
pub fn new_uid() -> String {
    let mut bytes = [0_u8; 16];
    // The kernel's generator is ready long before anybody can run a pod, and 16 bytes are never cut short.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
