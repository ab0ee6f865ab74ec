//! Volumes: made before the sandbox, shared by all containers, removed when the pod has ended (`pod-api.md` section 5).
//!
//! Only volumes that some container uses are set up, as the kubelet does it. A kind that is not known here fails: an empty directory in its
//! place would be worse than none. One file per kind; what kinds have in common is here.

mod atomic_writer;
pub(crate) mod claims;
mod empty_dir;
mod fs_group;
mod host_path;
pub(super) mod image;
mod mounting;
mod payload;

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use podyard_api::core::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolumeClaimVolumeSource, PodSpec, Volume,
};
use podyard_linux::open_confined;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::World;
use crate::limits;

pub(super) use mounting::check_propagation;

/// Why a volume could not be set up; becomes the kubelet's `FailedMount` event.
#[derive(Debug)]
pub(crate) struct VolumeError {
    pub(crate) volume: String,
    pub(crate) message: String,
}

/// What a volume is made of.
pub(super) enum Source<'a> {
    EmptyDir(&'a EmptyDirVolumeSource),
    HostPath(&'a HostPathVolumeSource),
    /// Files out of objects.
    Payload(payload::Plugin),
    Claim(&'a PersistentVolumeClaimVolumeSource),
    /// A claim of the pod's own.
    Ephemeral,
    Image,
    /// Nothing that this machine can give.
    Other,
}

impl<'a> Source<'a> {
    pub(super) fn of(volume: &'a Volume) -> Self {
        if let Some(source) = &volume.empty_dir {
            Self::EmptyDir(source)
        } else if let Some(source) = &volume.host_path {
            Self::HostPath(source)
        } else if let Some(plugin) = payload::plugin(volume) {
            Self::Payload(plugin)
        } else if let Some(source) = &volume.persistent_volume_claim {
            Self::Claim(source)
        } else if volume.ephemeral.is_some() {
            Self::Ephemeral
        } else if volume.image.is_some() {
            Self::Image
        } else {
            Self::Other
        }
    }
}

/// Sets up every used volume; may be repeated at any time.
pub(crate) async fn set_up(world: &Rc<World>) -> Result<(), VolumeError> {
    world.look_at_objects();
    for volume in used(world.spec()) {
        set_up_one(world, volume)
            .await
            .map_err(|message| VolumeError {
                volume: volume.name.clone(),
                message,
            })?;
    }
    Ok(())
}

/// Brings the files of configMap, secret, downwardAPI and projected volumes up to date, where the objects behind them have changed. Each is
/// tried, whatever became of the others. Volumes that are not set up are left alone.
pub(super) fn refresh(world: &World) -> Vec<VolumeError> {
    world.look_at_objects();
    let mut errors = Vec::new();
    for volume in used(world.spec()) {
        let Source::Payload(plugin) = Source::of(volume) else {
            continue;
        };
        let path = host_path(world, volume);
        let is_set_up = if plugin.is_in_memory() {
            mounting::is_mount_point(&path)
        } else {
            path.is_dir()
        };
        if is_set_up && let Err(message) = payload::write(world, volume, &path) {
            errors.push(VolumeError {
                volume: volume.name.clone(),
                message,
            });
        }
    }
    errors
}

async fn set_up_one(world: &World, volume: &Volume) -> Result<(), String> {
    let path = host_path(world, volume);
    match Source::of(volume) {
        Source::HostPath(source) => host_path::check(source),
        Source::EmptyDir(source) => empty_dir::set_up(world, source, &path),
        Source::Payload(plugin) => {
            make_directory(&path)?;
            if plugin.is_in_memory() {
                let size = world.with_facts(crate::translate::resources::memory_of_pod);
                let size = size.unwrap_or(world.machine.memory_bytes);
                mounting::tmpfs(&path, size, None)?;
            }
            payload::write(world, volume, &path)
        }
        Source::Claim(source) => claims::set_up(world, source, &path).await,
        Source::Ephemeral => claims::set_up_own(world, volume, &path).await,
        // Mounted when the first container that uses it is put together: its image may still have to be pulled.
        Source::Image => Ok(()),
        Source::Other => Err("there is no driver for this type of volume".to_owned()),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("mkdir {}: {error}", path.display()))
}

/// A directory for everybody, or for the group. Made beside its place and renamed into it: once it is there it is finished, what was done to it
/// since then stays, and of several pods that make it at once one does.
fn make_once(path: &Path, group: Option<u32>) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what} {}: {error}", path.display());
    if path.is_dir() {
        return Ok(());
    }
    let mut unfinished = path.as_os_str().to_owned();
    // No volume and no claim has a name like this.
    unfinished.push(format!(".new_{}", std::process::id()));
    let unfinished = Path::new(&unfinished);
    make_directory(unfinished)?;
    std::os::unix::fs::chown(unfinished, None, group).map_err(|error| failed("chown", error))?;
    // chmod, because a umask would take bits away from mkdir's mode.
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(unfinished, Permissions::from_mode(mode))
        .map_err(|error| failed("chmod", error))?;
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(CWD, unfinished, CWD, path, flags) {
        Err(Errno::EXIST) => fs::remove_dir(unfinished).map_err(|error| failed("rmdir", error)),
        Err(errno) => Err(failed("rename", errno.into())),
        Ok(()) => Ok(()),
    }
}

/// A file of variables that a container has written into an emptyDir. It is hostile: links stay inside the volume, and nothing about it makes
/// the supervisor wait.
pub(super) fn read_env_file(world: &World, name: &str, path: &str) -> Result<String, String> {
    let volume = used(world.spec())
        .find(|volume| volume.name == name && volume.empty_dir.is_some())
        .ok_or_else(|| format!("cannot find the volume {name:?} referenced by FileKeyRef"))?;
    let read = || -> io::Result<String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(host_path(world, volume), flags, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_confined(&root, path, flags, ResolveFlags::IN_ROOT)?;
        let file = fs::File::from(file);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = Vec::new();
        file.take(limits::ENV_FILE_BYTES + 1)
            .read_to_end(&mut text)?;
        if text.len() as u64 > limits::ENV_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
    };
    read().map_err(|_| "couldn't parse env file".to_owned())
}

/// Where a volume's content is on the host.
pub(crate) fn host_path(world: &World, volume: &Volume) -> PathBuf {
    let own = |plugin| world.dirs.volume(plugin, &volume.name);
    match Source::of(volume) {
        Source::HostPath(source) => PathBuf::from(&source.path),
        Source::Payload(plugin) => own(plugin.directory()),
        Source::Claim(source) => claims::directory(world, &source.claim_name),
        Source::Ephemeral => own("local-volume"),
        Source::Image => own("image"),
        Source::EmptyDir(_) | Source::Other => own("empty-dir"),
    }
}

/// Whether a volume is read-only whatever its mounts say.
pub(crate) fn is_read_only(volume: &Volume) -> bool {
    match Source::of(volume) {
        Source::Payload(_) | Source::Image => true,
        Source::Claim(source) => source.read_only == Some(true),
        _ => false,
    }
}

/// Unmounts what is mounted and deletes what is ours. Goes on past errors and reports the first.
pub(crate) fn remove(world: &World) -> std::io::Result<()> {
    let mut first = Ok(());
    for volume in used(world.spec()) {
        // The others are not below the pod's directory.
        if !matches!(Source::of(volume), Source::HostPath(_) | Source::Claim(_))
            && let Err(error) = mounting::unmount(&host_path(world, volume))
        {
            first = first.and(Err(error));
        }
    }
    match fs::remove_dir_all(world.dirs.data.join("volumes")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => first.and(Err(error)),
        _ => first,
    }
}

/// The volumes that some container mounts.
fn used(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    let containers = crate::translate::containers(spec).collect::<Vec<_>>();
    spec.volumes.iter().flatten().filter(move |volume| {
        containers.iter().any(|container| {
            let mounts = container.volume_mounts.iter().flatten();
            let devices = container.volume_devices.iter().flatten();
            mounts
                .map(|mount| &mount.name)
                .chain(devices.map(|device| &device.name))
                .any(|name| *name == volume.name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_to_a_finished_directory_stays() {
        let dir = std::env::temp_dir().join(format!("podyard-make-once-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let path = dir.join("v");
        make_once(&path, None).expect("made");
        let mode = || {
            let metadata = fs::metadata(&path).expect("it is there");
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode(), 0o777);
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("chmod");
        fs::write(path.join("file"), "").expect("file");
        make_once(&path, None).expect("again");
        assert_eq!(mode(), 0o700);
        assert!(path.join("file").exists());
        assert_eq!(fs::read_dir(&dir).expect("list").count(), 1);
        fs::remove_dir_all(&dir).expect("own directory");
    }
}
