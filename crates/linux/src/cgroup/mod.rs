//! Control groups: made, limited, entered, watched, emptied and removed, on v1, v2 and the hybrid of both.
//!
//! Where the hierarchies are is found by looking at the directory they are conventionally mounted in (`detect.rs`), never by
//! reading the mount table, whose size depends on what else runs on the machine. On a hybrid machine limits live in the
//! v1 hierarchies and one more directory in the v2 hierarchy serves for killing and for noticing emptiness.
//!
//! On v1 a cgroup has a directory in the hierarchies of cpu, cpuacct, memory, pids and devices, and in those of hugetlb and
//! cpuset only when its resources ask for them; in all others its processes stay where their creator is. The containers of a pod share the
//! directories in which they would not differ (`in_pod.rs`).
//!
//! What a machine cannot do is no failure: without a controller, or where the hierarchy is not the caller's to change, a cgroup is
//! made with what there is, and [`Cgroup::unenforced`] says which limits nobody holds.

mod detect;
mod device_filter;
mod events;
mod in_pod;
mod resources;
mod teardown;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use detect::{CgroupRoot, Layout};
pub use events::OomEvents;
pub use resources::{Devices, Limit, Resources, WeightConversion};

use detect::Controller;

/// Why something about a cgroup failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// The machine has no cgroup hierarchy at the place that was looked at.
    #[error("no cgroup hierarchy is mounted at `{}`", path.display())]
    NoHierarchy {
        /// The place.
        path: PathBuf,
    },
    /// A name cannot be one of a cgroup.
    #[error("`{path}` is not a relative path of plain names")]
    BadPath {
        /// The name.
        path: String,
    },
    /// A file or directory of a cgroup refused an operation.
    #[error("could not {attempt} `{}`", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A control file refused a value.
    #[error("`{}` does not take `{value}`", path.display())]
    Value {
        /// The control file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The device filter of cgroup v2 could not be attached.
    #[error("could not attach the device filter to `{}`", path.display())]
    DeviceFilter {
        /// The cgroup.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Processes did not go away in time although they were killed.
    #[error("`{}` still has processes after {} ms", path.display(), waited.as_millis())]
    Busy {
        /// The cgroup.
        path: PathBuf,
        /// How long was waited.
        waited: std::time::Duration,
    },
}

/// One cgroup: a directory in each hierarchy that matters.
///
/// Dropping it leaves the directories where they are; [`Cgroup::remove`] removes them.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    directories: Vec<Directory>,
    unenforced: Vec<Limit>,
}

/// The cgroup's directory in one hierarchy.
#[derive(Debug)]
struct Directory {
    controllers: Vec<Controller>,
    unified: bool,
    /// Whether other containers of the pod are in it too, so that it does not go with this one.
    is_shared: bool,
    path: PathBuf,
    fd: OwnedFd,
}

/// What a cgroup uses right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time so far, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Memory charged, in bytes.
    pub memory_bytes: u64,
    /// The part of it that cannot be reclaimed easily: without inactive file pages.
    pub working_set_bytes: u64,
}

impl Cgroup {
    /// Makes the cgroup `path`, like `podyard/ab12/pod<uid>/app`, with its missing parents, and limits it.
    ///
    /// One that exists already is taken over and limited anew.
    ///
    /// # Errors
    /// When a directory cannot be made or a limit is refused. What was made until then stays; `open` and `remove` it.
    pub fn create(
        root: &CgroupRoot,
        path: &str,
        resources: &Resources,
    ) -> Result<Self, CgroupError> {
        Self::create_sharing(root, path, resources, |_| None)
    }

    /// `shared` says for a hierarchy in which directory, not of its own, it is to be.
    fn create_sharing(
        root: &CgroupRoot,
        path: &str,
        resources: &Resources,
        shared: impl Fn(&detect::Hierarchy) -> Option<String>,
    ) -> Result<Self, CgroupError> {
        check_path(path)?;
        let mut directories = Vec::with_capacity(root.hierarchies().len());
        for hierarchy in root.hierarchies() {
            let wanted =
                hierarchy.unified || hierarchy.controllers.iter().any(|&c| resources.needs(c));
            if !wanted {
                continue;
            }
            let shared = shared(hierarchy);
            let place = shared.as_deref().unwrap_or(path);
            match make_directories(hierarchy, place, resources) {
                Ok(controllers) => directories.push(Directory {
                    is_shared: shared.is_some(),
                    ..Directory::open(hierarchy, place, controllers)?
                }),
                // Read-only, or somebody else's.
                Err(CgroupError::Io { source, .. }) if is_refusal(&source) => {}
                Err(error) => return Err(error),
            }
        }
        let mut cgroup = Self {
            path: path.to_owned(),
            directories,
            unenforced: Vec::new(),
        };
        resources::apply(&cgroup, resources)?;
        resources::confine_devices(&cgroup, resources)?;
        cgroup.unenforced = resources::unenforced(&cgroup, resources);
        Ok(cgroup)
    }

    /// Which of the limits given at its creation nobody holds, since this machine cannot.
    #[must_use]
    pub fn unenforced(&self) -> &[Limit] {
        &self.unenforced
    }

    /// Finds a cgroup again. `None` when it exists in no hierarchy.
    ///
    /// # Errors
    /// When a directory exists and cannot be opened.
    pub fn open(root: &CgroupRoot, path: &str) -> Result<Option<Self>, CgroupError> {
        Self::open_sharing(root, path, |_| None)
    }

    /// `shared` says for a hierarchy in which directory it is if it has none of its own.
    fn open_sharing(
        root: &CgroupRoot,
        path: &str,
        shared: impl Fn(&detect::Hierarchy) -> Option<String>,
    ) -> Result<Option<Self>, CgroupError> {
        check_path(path)?;
        let mut directories = Vec::new();
        for hierarchy in root.hierarchies() {
            let mut found = Directory::open_if_there(hierarchy, path)?;
            if found.is_none()
                && let Some(shared) = shared(hierarchy)
            {
                found = Directory::open_if_there(hierarchy, &shared)?;
                found.iter_mut().for_each(|found| found.is_shared = true);
            }
            directories.extend(found);
        }
        let is_there = directories.iter().any(|directory| !directory.is_shared);
        Ok(is_there.then(|| Self {
            path: path.to_owned(),
            directories,
            unenforced: Vec::new(),
        }))
    }

    /// Its path, relative to the root of each hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Changes its limits; which devices may be used stays as it is.
    ///
    /// # Errors
    /// When one is refused, for instance a memory limit below what is used.
    pub fn update(&self, resources: &Resources) -> Result<(), CgroupError> {
        resources::apply(self, resources)
    }

    /// Moves a process in. Containers and sandboxes enter by themselves; this is for others, and it may take the kernel some
    /// 10 ms.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&self, pid: i32) -> Result<(), CgroupError> {
        for directory in &self.directories {
            directory.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    /// Moves a process into the v1 directories; it was born into the v2 one.
    pub(crate) fn attach_v1(&self, pid: i32) -> Result<(), CgroupError> {
        let directories = self.directories.iter().filter(|d| !d.unified);
        for directory in directories {
            directory.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    /// The processes in it and below it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let mut pids = Vec::new();
        if let Some(directory) = self.tracking() {
            teardown::collect_pids(&directory.path, &mut pids)?;
        }
        Ok(pids)
    }

    /// How often a process in it was killed because its memory limit was reached.
    ///
    /// # Errors
    /// When the counter cannot be read. A cgroup without memory control counts nothing.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let Some(directory) = self.controlled_by(Controller::Memory) else {
            return Ok(0);
        };
        let file = if directory.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        Ok(keyed_value(&directory.read(file)?, "oom_kill").unwrap_or(0))
    }

    /// What it uses.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn usage(&self) -> Result<Usage, CgroupError> {
        let mut usage = Usage::default();
        if let Some(directory) = self.controlled_by(Controller::Memory) {
            let (current, inactive) = if directory.unified {
                ("memory.current", "inactive_file")
            } else {
                ("memory.usage_in_bytes", "total_inactive_file")
            };
            usage.memory_bytes = directory.read(current)?.trim().parse().unwrap_or(0);
            let inactive = keyed_value(&directory.read("memory.stat")?, inactive).unwrap_or(0);
            usage.working_set_bytes = usage.memory_bytes.saturating_sub(inactive);
        }
        if let Some(directory) = self.controlled_by(Controller::Cpuacct) {
            usage.cpu_nanoseconds = directory.read("cpuacct.usage")?.trim().parse().unwrap_or(0);
        } else if let Some(directory) = self.unified() {
            let microseconds = keyed_value(&directory.read("cpu.stat")?, "usage_usec");
            usage.cpu_nanoseconds = microseconds.unwrap_or(0).saturating_mul(1000);
        }
        Ok(usage)
    }

    /// A descriptor that becomes readable when a process in it is killed for lack of memory. `None` without memory control.
    ///
    /// # Errors
    /// When the kernel refuses the subscription.
    pub fn oom_events(&self) -> Result<Option<OomEvents>, CgroupError> {
        self.controlled_by(Controller::Memory)
            .map(events::subscribe)
            .transpose()
    }

    /// The directories a new process has to enter by writing to their `cgroup.procs`.
    pub(crate) fn attach_directories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.directories
            .iter()
            .filter(|d| !d.unified)
            .map(|d| d.fd.as_fd())
    }

    /// The directory a new process can be born into.
    pub(crate) fn birth_directory(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(|directory| directory.fd.as_fd())
    }

    /// What a container sees below `/sys/fs/cgroup`: names (`None` for the whole of it) and directories.
    pub(crate) fn visible_directories(&self) -> Vec<(Option<String>, BorrowedFd<'_>)> {
        let v1 = self.directories.iter().any(|directory| !directory.unified);
        let shown = self
            .directories
            .iter()
            .filter(|directory| directory.unified != v1);
        shown
            .map(|directory| {
                let name = v1.then(|| detect::shown_name(&directory.controllers));
                (name, directory.fd.as_fd())
            })
            .collect()
    }

    fn unified(&self) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.unified)
    }

    /// The directory whose list of processes is complete: v2 where there is one.
    fn tracking(&self) -> Option<&Directory> {
        self.unified().or_else(|| self.own_directories().next())
    }

    /// Those that are not shared with other containers.
    fn own_directories(&self) -> impl Iterator<Item = &Directory> {
        self.directories
            .iter()
            .filter(|directory| !directory.is_shared)
    }

    fn controlled_by(&self, controller: Controller) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|directory| directory.controllers.contains(&controller))
    }
}

impl Directory {
    /// `controllers` are those it has, as far as anybody wants to know; `None` if that is to be looked at.
    fn open(
        hierarchy: &detect::Hierarchy,
        path: &str,
        controllers: Option<Vec<Controller>>,
    ) -> Result<Self, CgroupError> {
        let full = hierarchy.path.join(path);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&hierarchy.fd, path, flags, Mode::empty())
            .map_err(|errno| io_error("open", full.clone(), errno))?;
        let is_known = controllers.is_some();
        let mut directory = Self {
            controllers: controllers.unwrap_or_else(|| hierarchy.controllers.clone()),
            unified: hierarchy.unified,
            is_shared: false,
            path: full,
            fd,
        };
        if hierarchy.unified && !is_known {
            // What is handed down to it, which may be less than the hierarchy has.
            if let Ok(available) = directory.read("cgroup.controllers") {
                directory.controllers = detect::controllers(&available);
            }
        }
        Ok(directory)
    }

    fn open_if_there(
        hierarchy: &detect::Hierarchy,
        path: &str,
    ) -> Result<Option<Self>, CgroupError> {
        match Self::open(hierarchy, path, None) {
            Ok(directory) => Ok(Some(directory)),
            Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        self.write_each(file, std::iter::once(value))
    }

    /// Several values into one file that takes one at a time.
    fn write_each(
        &self,
        file: &str,
        values: impl Iterator<Item = impl AsRef<str>>,
    ) -> Result<(), CgroupError> {
        let failed = |value: &str, errno: Errno| CgroupError::Value {
            path: self.path.join(file),
            value: value.to_owned(),
            source: errno.into(),
        };
        let mut control = None;
        for value in values {
            let value = value.as_ref();
            let control = match &control {
                Some(control) => control,
                None => control.insert(
                    open_control(self.fd.as_fd(), file).map_err(|errno| failed(value, errno))?,
                ),
            };
            rustix::io::write(control, value.as_bytes()).map_err(|errno| failed(value, errno))?;
        }
        Ok(())
    }

    /// Writes a value to a file this kernel may not have. False when it has not.
    fn write_if_present(&self, file: &str, value: &str) -> Result<bool, CgroupError> {
        match self.write(file, value) {
            Ok(()) => Ok(true),
            Err(CgroupError::Value { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, file: &str) -> Result<String, CgroupError> {
        let path = self.path.join(file);
        fs::read_to_string(&path).map_err(|source| CgroupError::Io {
            attempt: "read",
            path,
            source,
        })
    }
}

fn io_error(attempt: &'static str, path: PathBuf, errno: Errno) -> CgroupError {
    CgroupError::Io {
        attempt,
        path,
        source: errno.into(),
    }
}

/// Paths come from the caller's own naming, but pod names reach them: nothing may climb out.
fn check_path(path: &str) -> Result<(), CgroupError> {
    let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && name.len() <= 255;
    if path.split('/').all(plain) {
        Ok(())
    } else {
        Err(CgroupError::BadPath {
            path: path.to_owned(),
        })
    }
}

/// Whether the hierarchy is not the caller's to change.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EROFS | libc::EACCES | libc::EPERM)
    )
}

/// Makes `path` in one hierarchy, with its parents. The usual case, that only the last one is missing, is one call, and on v2
/// one look at what was handed down to it. Gives the wanted controllers if it has all of them.
///
/// On v2, too, only what is asked for is handed down: each controller is paid for by every cgroup that has it, and to hand one down later
/// is no different.
fn make_directories(
    hierarchy: &detect::Hierarchy,
    path: &str,
    resources: &Resources,
) -> Result<Option<Vec<Controller>>, CgroupError> {
    let mut wanted = hierarchy.controllers.clone();
    if hierarchy.unified {
        wanted.retain(|&controller| resources.needs(controller));
    }
    let cpuset = hierarchy.controllers.contains(&Controller::Cpuset) && !hierarchy.unified;
    let make = |directory: &Path| match rustix::fs::mkdirat(
        &hierarchy.fd,
        directory,
        Mode::from_raw_mode(0o755),
    ) {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    };
    let failed = |directory: &Path, errno| {
        io_error("create the cgroup", hierarchy.path.join(directory), errno)
    };
    match make(Path::new(path)) {
        Ok(()) if hierarchy.unified && has_controllers(hierarchy, path, &wanted) => {
            return Ok(Some(wanted));
        }
        Ok(()) if !hierarchy.unified && !cpuset => return Ok(Some(wanted)),
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(Path::new(path), errno)),
    }
    let mut parent = PathBuf::new();
    for name in Path::new(path) {
        if hierarchy.unified {
            enable_controllers(hierarchy, &parent, &wanted);
        }
        let directory = parent.join(name);
        make(&directory).map_err(|errno| failed(&directory, errno))?;
        if cpuset {
            inherit_cpuset(hierarchy, &parent, &directory)?;
        }
        parent = directory;
    }
    Ok(wanted.is_empty().then_some(wanted))
}

fn has_controllers(hierarchy: &detect::Hierarchy, path: &str, wanted: &[Controller]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let file = hierarchy.path.join(path).join("cgroup.controllers");
    fs::read_to_string(file).is_ok_and(|available| {
        let available = detect::controllers(&available);
        wanted
            .iter()
            .all(|controller| available.contains(controller))
    })
}

/// On v2 a child has only the controllers its parent hands down. One that cannot be handed down, as from a cgroup with
/// processes of its own, is missing below: no error here, since what is there is looked at afterwards.
fn enable_controllers(hierarchy: &detect::Hierarchy, directory: &Path, wanted: &[Controller]) {
    if wanted.is_empty() {
        return;
    }
    let file = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(hierarchy.path.join(&file)).unwrap_or_default();
    let enabled = detect::controllers(&enabled);
    let missing: Vec<String> = wanted
        .iter()
        .filter(|controller| !enabled.contains(controller))
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    if missing.is_empty() {
        return;
    }
    // All at once or none at all: one that is refused must not keep the others away.
    if write_control(hierarchy.fd.as_fd(), &file, &missing.join(" ")).is_err() {
        for controller in missing {
            let _ = write_control(hierarchy.fd.as_fd(), &file, &controller);
        }
    }
}

/// A new cpuset of v1 has neither processors nor memory nodes and takes no process until it has both.
fn inherit_cpuset(
    hierarchy: &detect::Hierarchy,
    parent: &Path,
    directory: &Path,
) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = hierarchy.path.join(directory).join(file);
        if fs::read_to_string(&own).is_ok_and(|value| !value.trim().is_empty()) {
            continue;
        }
        let path = hierarchy.path.join(parent).join(file);
        let value = fs::read_to_string(&path).map_err(|source| CgroupError::Io {
            attempt: "read",
            path,
            source,
        })?;
        write_control(hierarchy.fd.as_fd(), directory.join(file), value.trim()).map_err(
            |errno| CgroupError::Value {
                path: own,
                value,
                source: errno.into(),
            },
        )?;
    }
    Ok(())
}

/// Control files are never created by opening them; in the tests' plain directories they have to be.
const CONTROL_FILE: OFlags = if cfg!(test) {
    OFlags::CREATE
} else {
    OFlags::empty()
};

/// Writes one value with one write, as control files want it.
fn write_control(
    directory: BorrowedFd<'_>,
    file: impl rustix::path::Arg,
    value: &str,
) -> Result<(), Errno> {
    let control = open_control(directory, file)?;
    rustix::io::write(&control, value.as_bytes()).map(drop)
}

fn open_control(directory: BorrowedFd<'_>, file: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | CONTROL_FILE;
    rustix::fs::openat(directory, file, flags, Mode::from_raw_mode(0o600))
}

/// The number after `key ` in a file of `key value` lines.
fn keyed_value(content: &str, key: &str) -> Option<u64> {
    content.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests;
