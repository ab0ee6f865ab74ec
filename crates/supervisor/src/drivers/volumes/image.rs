//! `image`: the files of an image, read-only, put together as for a container's root file system (`pod-api.md` section 5.8).
//!
//! Found or pulled with the image of the first container that mounts it; mounted when that container is put together.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use podyard_api::core::{Container, ImageVolumeSource, Volume};
use podyard_image::{Image, Reference};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use super::super::World;
use super::super::containers::NotStarted;
use super::{host_path, make_directory, mounting};

/// The image volumes that a container mounts.
pub(in super::super) fn of_container<'a>(
    world: &'a World,
    container: &'a Container,
) -> impl Iterator<Item = (&'a str, &'a ImageVolumeSource)> {
    let volumes = world.spec().volumes.iter().flatten();
    volumes.filter_map(|volume| {
        let source = volume.image.as_ref()?;
        let mut mounts = container.volume_mounts.iter().flatten();
        mounts
            .any(|mount| mount.name == volume.name)
            .then_some((volume.name.as_str(), source))
    })
}

/// Mounts the image that was found for the volume, unless it is mounted already. An image that has changed since then takes the place of the
/// earlier one; containers that run keep what they have.
pub(in super::super) fn mount(world: &World, volume: &Volume) -> Result<(), NotStarted> {
    let path = host_path(world, volume);
    let found = world.live.volume_images.borrow().get(&volume.name).cloned();
    let digest = found
        .as_ref()
        .map(|image| image.manifest_digest.to_string());
    if mounting::is_mount_point(&path) {
        let mounted = world
            .live
            .mounted_images
            .borrow()
            .get(&volume.name)
            .cloned();
        // After a restart of the supervisor nobody knows; what is mounted is what was found before.
        if mounted.is_none() || mounted == digest {
            return Ok(());
        }
        mounting::unmount(&path)
            .map_err(|error| NotStarted::create(format!("cannot unmount the volume: {error}")))?;
    }
    let image = match found {
        Some(image) => image,
        None => lookup(world, volume)?,
    };
    make_directory(&path).map_err(NotStarted::create)?;
    overlay(&image.layers, &path).map_err(|errno| {
        let error = std::io::Error::from(errno);
        NotStarted::create(format!(
            "cannot mount the image of volume {:?}: {error}",
            volume.name
        ))
    })?;
    let digest = image.manifest_digest.to_string();
    let mut mounted = world.live.mounted_images.borrow_mut();
    mounted.insert(volume.name.clone(), digest);
    Ok(())
}

/// It was found before, and its lease has kept it.
fn lookup(world: &World, volume: &Volume) -> Result<Rc<Image>, NotStarted> {
    let source = volume.image.as_ref();
    let text = source.and_then(|source| source.reference.as_deref());
    let reference = Reference::parse(text.unwrap_or_default()).ok();
    reference
        .and_then(|reference| world.store.lookup(&reference).ok()?)
        .map(Rc::new)
        .ok_or_else(|| NotStarted::create(format!("the image of volume {:?} is gone", volume.name)))
}

fn overlay(layers: &[PathBuf], path: &Path) -> Result<(), Errno> {
    let fs = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By descriptor: the paths may be longer than fsconfig takes.
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut add = |layer: &Path| -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let layer = rustix::fs::open(layer, flags, Mode::empty())?;
        let name = format!("/proc/self/fd/{}", layer.as_raw_fd());
        open.push(layer);
        rustix::mount::fsconfig_set_string(&fs, c"lowerdir+", name)
    };
    for layer in layers.iter().rev() {
        add(layer)?;
    }
    // Without a directory for writes overlayfs wants two layers. The mount point itself is empty.
    for missing in layers.len()..2 {
        let empty = path.join(missing.to_string());
        rustix::fs::mkdir(&empty, Mode::from_raw_mode(0o755)).or_else(|errno| match errno {
            Errno::EXIST => Ok(()),
            errno => Err(errno),
        })?;
        add(&empty)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&mount, c"", CWD, path, flags)
}
