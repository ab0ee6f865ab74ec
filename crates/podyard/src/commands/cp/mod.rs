//! `cp`: files into a container that runs, and out of it. Needs nothing of the image: its files are reached from outside, as it sees them.

mod tree;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use podyard_linux::{Process, open_confined};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use self::tree::{CopyError, Copying, Manner, Owner};
use super::logs::find_container;
use super::note;
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _};
use crate::output::escape::one_line;
use crate::settings::{Context, CopySettings, Side};

pub(super) fn run(context: &Context, settings: &CopySettings) -> Result<ExitCode, CliError> {
    match (&settings.from, &settings.to) {
        (Side::Local(from), Side::Pod { .. }) => {
            let container = Container::find(context, settings, &settings.to)?;
            container.take_in(settings, from)?;
        }
        (Side::Pod { .. }, Side::Local(to)) => {
            let container = Container::find(context, settings, &settings.from)?;
            container.give_out(to)?;
        }
        _ => {
            return Err(CliError::Usage(
                "one of the two has to be in a pod, as POD:PATH, and the other one on this machine"
                    .to_owned(),
            ));
        }
    }
    Ok(ExitCode::Success)
}

/// A container that runs.
struct Container {
    /// Its root with everything that is mounted there.
    root: OwnedFd,
    /// User and group of its first process.
    user: (u32, u32),
    /// The users in it are the machine's own.
    has_host_users: bool,
    /// From its root.
    path: PathBuf,
}

impl Container {
    fn find(context: &Context, settings: &CopySettings, side: &Side) -> Result<Self, CliError> {
        let Side::Pod {
            namespace,
            pod: name,
            path,
        } = side
        else {
            return Err(CliError::Usage("no pod was named".to_owned()));
        };
        let context = Context {
            namespace: namespace.clone().or_else(|| context.namespace.clone()),
            ..context.clone()
        };
        let (handle, pod, container) =
            find_container(&context, name, settings.container.as_deref())?;
        let cannot = |error| {
            CliError::failed(
                format!("cannot reach the files of container `{container}`"),
                error,
            )
        };
        let not_running = || {
            CliError::plain(format!(
                "container `{container}` of pod `{name}` does not run: its files can be copied while it does"
            ))
        };
        let process = handle.process_of(&container).ok_or_else(not_running)?;
        let (root, user, working) = look_at(&process).map_err(cannot)?;
        // Whoever has the number now is the same one as before: what was looked at is the container's.
        match Process::adopt(process.id()) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(not_running()),
            Err(error) => return Err(cannot(error)),
        }
        let spec = pod.spec.as_ref();
        Ok(Self {
            root,
            user,
            has_host_users: spec.and_then(|spec| spec.host_users) != Some(false),
            path: working_dir(&pod, &container).unwrap_or(working).join(path),
        })
    }

    /// Opens a path as the container would see it; nothing leads out of its root.
    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_confined(&self.root, path, flags, ResolveFlags::IN_ROOT)
    }

    /// Copies from this machine.
    fn take_in(&self, settings: &CopySettings, from: &Path) -> Result<(), CliError> {
        if !self.has_host_users {
            return Err(CliError::plain(
                "nothing can be copied into a pod with `hostUsers: false`, whose users are its own: use `podyard exec -i POD -- tar x`",
            ));
        }
        let original = open_local(from, OFlags::PATH).map_err(|error| missing(from, error))?;
        let name = match from.file_name() {
            Some(name) => name.to_owned(),
            // `.` and the like.
            None => {
                let real = fs::canonicalize(from).map_err(|error| missing(from, error))?;
                real.file_name().unwrap_or_default().to_owned()
            }
        };
        let (directory, name) = match self.open(&self.path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(directory) => (directory, name),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let (parent, name) = parent_and_name(&self.path)?;
                let directory = self.open(parent, OFlags::PATH | OFlags::DIRECTORY);
                let directory = directory.map_err(|errno| in_container(parent, errno))?;
                (directory, name.to_owned())
            }
            Err(errno) => return Err(in_container(&self.path, errno)),
        };
        let owner = match self.user {
            (0, _) if !settings.no_preserve => Owner::Same,
            (user, group) => Owner::Ids(user, group),
        };
        let manner = Manner {
            owner: Some(owner),
            with_links: true,
        };
        let mut left_out = left_out;
        let mut copy = Copying::new(manner, from.to_owned(), &mut left_out);
        let copied = copy.entry(original.as_fd(), directory.as_fd(), &name);
        copied.map_err(|error| not_copied("into", error))
    }

    /// Copies to this machine.
    fn give_out(&self, to: &Path) -> Result<(), CliError> {
        let path = &self.path;
        let original = self.open(path, OFlags::PATH);
        let original = original.map_err(|errno| in_container(path, errno))?;
        let is_directory = rustix::fs::fstat(&original)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
        let manner = Manner {
            owner: None,
            with_links: false,
        };
        let mut left_out = left_out;
        let mut copy = Copying::new(manner, path.clone(), &mut left_out);
        let copied = match open_local(to, OFlags::PATH | OFlags::DIRECTORY) {
            // As kubectl: what is in a directory comes into one that is there.
            Ok(directory) if is_directory => copy.contents(original.as_fd(), directory.as_fd()),
            Ok(directory) => {
                let (_, name) = parent_and_name(path)?;
                copy.entry(original.as_fd(), directory.as_fd(), name)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                let (parent, name) = parent_and_name(to)?;
                let directory = open_local(parent, OFlags::PATH | OFlags::DIRECTORY);
                let directory = directory.map_err(|error| missing(parent, error))?;
                copy.entry(original.as_fd(), directory.as_fd(), name)
            }
            Err(error) => return Err(missing(to, error)),
        };
        copied.map_err(|error| not_copied("out of", error))
    }
}

/// The root of a process, its user and group, and its working directory.
fn look_at(process: &Process) -> io::Result<(OwnedFd, (u32, u32), PathBuf)> {
    let proc = PathBuf::from(format!("/proc/{}", process.id().pid));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(proc.join("root"), flags, Mode::empty())?;
    let status = fs::read_to_string(proc.join("status"))?;
    let id = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        // Real, effective, saved, of the file system.
        let effective = line.and_then(|ids| ids.split_whitespace().nth(1));
        effective.and_then(|id| id.parse().ok()).unwrap_or(0)
    };
    Ok((
        root,
        (id("Uid:"), id("Gid:")),
        fs::read_link(proc.join("cwd"))?,
    ))
}

/// What the manifest says about it.
fn working_dir(pod: &Pod, container: &str) -> Option<PathBuf> {
    let all = pod.init_containers().iter().chain(pod.app_containers());
    let mut named = all.filter(|known| known.name == container);
    named.next()?.working_dir.as_ref().map(PathBuf::from)
}

fn open_local(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Where a new entry is to be made, and its name.
fn parent_and_name(path: &Path) -> Result<(&Path, &std::ffi::OsStr), CliError> {
    let names = path
        .file_name()
        .filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"));
    let name = names
        .ok_or_else(|| CliError::NotFound(format!("there is no directory `{}`", path.display())))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    Ok((parent.unwrap_or_else(|| Path::new(".")), name))
}

fn missing(path: &Path, source: io::Error) -> CliError {
    CliError::File {
        path: path.to_owned(),
        source,
    }
}

fn in_container(path: &Path, errno: Errno) -> CliError {
    let path = one_line(&path.display().to_string()).into_owned();
    match errno {
        Errno::NOENT | Errno::NOTDIR => {
            CliError::NotFound(format!("there is no `{path}` in the container"))
        }
        errno => CliError::failed(format!("cannot open `{path}` in the container"), errno),
    }
}

fn not_copied(direction: &str, error: CopyError) -> CliError {
    CliError::failed(
        format!("cannot copy everything {direction} the container"),
        error,
    )
}

/// The names are those that somebody in a container has chosen.
fn left_out(path: &Path, what: &str) {
    let path = path.display().to_string();
    note(format!(
        "warning: `{}` is {what}, and left out",
        one_line(&path)
    ));
}
