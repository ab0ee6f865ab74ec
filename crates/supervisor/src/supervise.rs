//! The supervisor role: a copy of the keeper, which has made it, with a link between them.
//!
//! Start-up in order, each line with its reason: its own session (no terminal's signals), its lock (one supervisor per pod), the listening
//! socket from the keeper, the journal replayed, then the loop. At the end of a deleted pod everything of it is removed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::rc::Rc;

use podyard_image::Store;
use podyard_lifecycle::{End, PodMachine};
use podyard_linux::cgroup::{CgroupError, CgroupRoot};
use tokio::sync::{mpsc, watch};

use crate::drivers::{self, CurrentPod, Live, Objects, World};
use crate::event_loop::{self, LoopError, Parts, Supervisor};
use crate::journal::{Journal, Restored};
use crate::link::{self, KeeperLink};
use crate::record::{self, PodRecord};
use crate::role::RoleArguments;
use crate::roots::{PodDirs, Roots};
use crate::socket::serve::{self, Service};
use crate::translate::security::Seccomp;
use crate::{clock, keeper, lock, node, pods, ready};

/// Why a supervisor could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    /// Something of the system did not work.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another supervisor of this pod is alive.
    #[error("another supervisor of this pod is running")]
    Occupied,
    /// The pod's record is of another version or damaged.
    #[error("the pod's record cannot be read")]
    Record,
    /// The image store cannot be used.
    #[error("cannot open the image store")]
    Images(#[from] podyard_image::StoreError),
    /// The machine has no cgroup hierarchy that can be used.
    #[error("cannot find the cgroup hierarchies")]
    Cgroups(#[from] CgroupError),
    /// The loop cannot go on.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> SuperviseError {
    move |source| SuperviseError::System { what, source }
}

/// Supervises one pod until it has ended.
///
/// # Errors
///
/// When the supervisor cannot do its work; the keeper will start another one.
pub(crate) fn run(arguments: &RoleArguments, link: OwnedFd) -> Result<(), SuperviseError> {
    let _ = rustix::process::setsid();
    let roots = arguments
        .roots()
        .map_err(system("find the state directory"))?;
    let dirs = arguments
        .pod_dirs()
        .map_err(system("find the state directory"))?;
    // The last supervisor may have died while it cleared a pod away that had ended: what it left must be enough to go on with that.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dirs.run)
        .map_err(system("make the pod's directory"))?;
    let mut occupied = lock::try_exclusive(&dirs.supervisor_lock())
        .map_err(system("lock the pod"))?
        .ok_or(SuperviseError::Occupied)?;
    // For people: the process to look at. The lock is what counts.
    let _ = occupied
        .set_len(0)
        .and_then(|()| writeln!(occupied, "{}", std::process::id()));
    let (listener, terminals) =
        link::take_listener(&link).map_err(system("take the pod's socket"))?;
    let keeper = KeeperLink::new(link);
    if !dirs.record().exists() {
        // The record goes before everything else of a deleted pod, and nothing else removes it.
        let (namespace, name) = arguments.pod();
        pods::remove_pod_files(&roots, &dirs, namespace, name);
        keeper.finished();
        return Ok(());
    }
    let pod_record: PodRecord = record::read(&dirs.record()).ok_or(SuperviseError::Record)?;
    let spare_listener = listener
        .try_clone()
        .map_err(system("keep the pod's socket"))?;

    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let metadata = &pod_record.pod.metadata;
    let (namespace, name) = (text(&metadata.namespace), text(&metadata.name));
    let end = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(event_loop::before_sleep)
            .build()
            .map_err(system("start the event loop"))?;
        let tasks = tokio::task::LocalSet::new();
        // On the heap: it is large, and on its way through the runtime it would be on the stack more than once.
        let supervised = Box::pin(supervise(
            &roots,
            &dirs,
            pod_record,
            keeper,
            (listener, terminals),
        ));
        runtime.block_on(tasks.run_until(supervised))?
    };
    let Some(end) = end else {
        return Err(system("become the keeper")(keeper::become_one(
            arguments,
            spare_listener,
        )));
    };
    // The socket goes first: nobody shall be promised an answer any more.
    let _ = std::fs::remove_file(dirs.socket());
    if end.0 == End::Deleted {
        pods::remove_pod_files(&roots, &dirs, &namespace, &name);
    } else {
        let _ = std::fs::remove_dir_all(&dirs.run);
    }
    end.1.finished();
    Ok(())
}

/// Until the pod has ended, or until the keeper is gone: `None`.
async fn supervise(
    roots: &Roots,
    dirs: &PodDirs,
    pod_record: PodRecord,
    keeper: KeeperLink,
    (listener, terminals): (OwnedFd, HashMap<String, OwnedFd>),
) -> Result<Option<(End, KeeperLink)>, SuperviseError> {
    let now = clock::now();
    let Restored {
        machine,
        events,
        pod: changed,
        journal,
        is_new,
    } = Journal::restore(
        dirs,
        |now| {
            let settings = pod_record.options.settings.clone();
            PodMachine::new(&pod_record.pod, settings, now)
        },
        now,
    )?;
    let is_changed = changed.is_some();
    let rebooted = !is_new && has_rebooted(dirs, &pod_record);
    if rebooted {
        // Sockets, pipes and records of processes that do not exist any more.
        let _ = std::fs::remove_dir_all(dirs.run.join("containers"));
    }
    let _ = clock::boot_id()
        .and_then(|boot| crate::atomic::write(&dirs.run.join("boot"), boot.as_bytes()));

    let (observe, observations) = mpsc::unbounded_channel();
    let (ask, asked) = mpsc::unbounded_channel();
    let world = Rc::new(World {
        roots: roots.clone(),
        dirs: dirs.clone(),
        pod: CurrentPod::new(changed.unwrap_or(pod_record.pod)),
        given: Objects {
            config_maps: pod_record.config_maps,
            secrets: pod_record.secrets,
            claims: pod_record.claims,
        },
        host_ips: pod_record.options.settings.host_ips,
        node_name: pods::node_name(),
        default_seccomp: if pod_record.options.seccomp_unconfined {
            Seccomp::Unconfined
        } else {
            Seccomp::RuntimeDefault
        },
        machine: node::machine(dirs),
        allowed_sysctls: pod_record.options.allowed_unsafe_sysctls,
        pod_max_pids: pod_record.options.pod_max_pids,
        memory_qos: pod_record.options.memory_qos,
        store: Store::open(&roots.images())?,
        cgroups: cgroups()?,
        keeper,
        observations: observe,
        logs_grew: watch::channel(0).0,
        live: Live {
            terminals: RefCell::new(terminals),
            ..Live::default()
        },
    });

    if is_changed {
        // The last supervisor may have died between the journal and this file.
        world.write_changed_pod();
    }
    if !is_new {
        drivers::forgo_ahead(&world);
    } else if let Err(rejection) = drivers::admit(&world) {
        world.report(rejection);
    }
    let pending = machine.pending_actions().to_vec();
    let parts = Parts {
        dirs: dirs.clone(),
        world: Rc::clone(&world),
        machine,
        journal,
        events,
        observations,
        asked,
    };
    let (supervisor, published) = Supervisor::new(parts);
    let std_listener = std::os::unix::net::UnixListener::from(listener);
    std_listener
        .set_nonblocking(true)
        .map_err(system("use the pod's socket"))?;
    let listener =
        tokio::net::UnixListener::from_std(std_listener).map_err(system("use the pod's socket"))?;
    let service = Rc::new(Service {
        world: Rc::clone(&world),
        published,
        asked: ask,
        changing: tokio::sync::Mutex::new(()),
    });
    tokio::task::spawn_local(serve::run(listener, service));
    tokio::task::spawn_local(drivers::follow_objects(Rc::clone(&world)));

    crate::drivers::housekeeping::start(&world);
    let keeper_gone = world
        .keeper
        .try_clone()
        .map_err(system("watch the keeper"))?;
    // The keeper says nothing more: what can be read of it is its end. Between two turns nothing is lost by leaving.
    let end = tokio::select! {
        biased;
        end = supervisor.run(pending, rebooted) => end?,
        gone = ready::readable(&keeper_gone) => {
            gone.map_err(system("watch the keeper"))?;
            return Ok(None);
        }
    };
    if matches!(end, End::Terminal(_)) {
        tokio::select! {
            biased;
            () = world.logs_written() => {}
            gone = ready::readable(&keeper_gone) => {
                gone.map_err(system("watch the keeper"))?;
                return Ok(None);
            }
        }
    }
    // Whoever watches gets the last state before the process ends.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    let keeper = world
        .keeper
        .try_clone()
        .map_err(system("keep the keeper's link"))?;
    Ok(Some((end, keeper)))
}

/// A machine without any cgroup runs pods all the same; what is not limited then is said at each container.
fn cgroups() -> Result<CgroupRoot, CgroupError> {
    match CgroupRoot::detect() {
        Err(CgroupError::NoHierarchy { .. }) => Ok(CgroupRoot::absent()),
        found => found,
    }
}

/// Another boot than that of the last supervisor: every process and mount of before is gone. Without a note of the boot, the volatile
/// directory was emptied, which says the same.
fn has_rebooted(dirs: &PodDirs, record: &PodRecord) -> bool {
    let Ok(current) = clock::boot_id() else {
        return false;
    };
    match std::fs::read_to_string(dirs.run.join("boot")) {
        Ok(last) => last != current,
        Err(_) => record.options.boot_id != current || !dirs.sandbox().exists(),
    }
}
