//! Volumes: made before the sandbox, shared by all containers, removed when the pod has ended (`pod-api.md` section 5).
//!
//! Only volumes that some container uses are set up, as the kubelet does it. What cannot be done yet is refused when the manifest is
//! read, so that it cannot reach this place.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use podyard_api::core::{HostPathVolumeSource, Pod, Volume};

use super::{World, payload};
use crate::roots::PodDirs;

/// Why a volume could not be set up; becomes the kubelet's `FailedMount` event.
#[derive(Debug)]
pub(crate) struct VolumeError {
    pub(crate) volume: String,
    pub(crate) message: String,
}

/// Sets up every used volume; may be repeated at any time.
pub(crate) fn set_up(world: &World) -> Result<(), VolumeError> {
    for volume in used(&world.pod) {
        set_up_one(world, volume).map_err(|message| VolumeError {
            volume: volume.name.clone(),
            message,
        })?;
    }
    Ok(())
}

fn set_up_one(world: &World, volume: &Volume) -> Result<(), String> {
    if let Some(source) = &volume.host_path {
        return check_host_path(source);
    }
    let path = host_path(volume, &world.dirs);
    fs::create_dir_all(&path).map_err(|error| format!("mkdir {}: {error}", path.display()))?;
    if payload::plugin(volume).is_some() {
        if payload::is_in_memory(volume) {
            mount_tmpfs(&path, None)?;
        }
        return payload::write(world, volume, &path);
    }
    let in_memory = volume
        .empty_dir
        .as_ref()
        .and_then(|source| source.medium.as_deref())
        == Some("Memory");
    if in_memory {
        let limit = volume
            .empty_dir
            .as_ref()
            .and_then(|source| source.size_limit.as_ref());
        return mount_tmpfs(&path, limit.map(|limit| limit.0.as_str()));
    }
    // chmod, because a umask would take bits away from mkdir's mode.
    fs::set_permissions(&path, Permissions::from_mode(0o777))
        .map_err(|error| format!("chmod {}: {error}", path.display()))
}

fn mount_tmpfs(path: &Path, limit: Option<&str>) -> Result<(), String> {
    if is_mount_point(path) {
        return Ok(());
    }
    let bytes = match limit {
        Some(limit) => Some(
            podyard_api::quantity::bytes(limit)
                .map_err(|error| format!("sizeLimit {limit}: {error}"))?,
        ),
        None => None,
    };
    let size = bytes
        .map(|bytes| format!(",size={bytes}"))
        .unwrap_or_default();
    let options =
        std::ffi::CString::new(format!("mode=1777{size}")).map_err(|error| error.to_string())?;
    let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())
        .map_err(|errno| format!("mount tmpfs: {}", std::io::Error::from(errno)))
}

/// A mount point's directory and its parent are on different file systems.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(here), Some(Ok(above))) = (fs::metadata(path), path.parent().map(fs::metadata)) else {
        return false;
    };
    here.dev() != above.dev()
}

fn check_host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let shown = path.display();
    match kind {
        // A missing source of type "" is made as a directory when it is mounted.
        "" => fs::create_dir_all(path)
            .or_else(|error| if path.exists() { Ok(()) } else { Err(error) }),
        "DirectoryOrCreate" if !path.exists() => fs::create_dir_all(path),
        "FileOrCreate" if !path.exists() => fs::File::create(path)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o644))),
        _ => Ok(()),
    }
    .map_err(|error| format!("hostPath {shown}: {error}"))?;
    let found = fs::metadata(path)
        .map_err(|_| format!("hostPath type check failed: {shown} does not exist"))?
        .file_type();
    let (fits, expected) = match kind {
        "Directory" | "DirectoryOrCreate" => (found.is_dir(), "a directory"),
        "File" | "FileOrCreate" => (found.is_file(), "a file"),
        "Socket" => (found.is_socket(), "a socket file"),
        "CharDevice" => (found.is_char_device(), "a character device"),
        "BlockDevice" => (found.is_block_device(), "a block device"),
        _ => (true, ""),
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "hostPath type check failed: {shown} is not {expected}"
        ))
    }
}

/// Where a volume's content is on the host.
pub(crate) fn host_path(volume: &Volume, dirs: &PodDirs) -> PathBuf {
    match &volume.host_path {
        Some(source) => PathBuf::from(&source.path),
        None => dirs.volume(payload::plugin(volume).unwrap_or("empty-dir"), &volume.name),
    }
}

/// Whether a volume is read-only whatever its mounts say.
pub(crate) fn is_read_only(volume: &Volume) -> bool {
    payload::plugin(volume).is_some()
}

/// Unmounts what is mounted and deletes what is ours. Goes on past errors and reports the first.
pub(crate) fn remove(pod: &Pod, dirs: &PodDirs) -> std::io::Result<()> {
    let mut first = Ok(());
    for volume in used(pod).filter(|volume| volume.host_path.is_none()) {
        let path = host_path(volume, dirs);
        if is_mount_point(&path)
            && let Err(error) = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH)
                .map_err(std::io::Error::from)
        {
            first = first.and(Err(error));
        }
    }
    match fs::remove_dir_all(dirs.data.join("volumes")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => first.and(Err(error)),
        _ => first,
    }
}

/// The volumes that some container mounts.
fn used(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let spec = pod.spec.as_ref();
    let containers = spec
        .into_iter()
        .flat_map(|spec| {
            spec.init_containers
                .iter()
                .flatten()
                .chain(&spec.containers)
        })
        .collect::<Vec<_>>();
    spec.into_iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter(move |volume| {
            containers.iter().any(|container| {
                container
                    .volume_mounts
                    .iter()
                    .flatten()
                    .any(|mount| mount.name == volume.name)
            })
        })
}
