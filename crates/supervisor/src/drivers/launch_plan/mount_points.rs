//! The places of a container's mounts as a layer below its image: most images lack them, and to make them in every container's own layer
//! anew is most of what a start writes to the disk, and has to be removed again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use podyard_linux::Mount;

use super::super::World;

/// The layer for these mounts, made if no container with the same has been before. `None` where that does not work: the launcher makes the
/// places then.
pub(super) fn of(world: &World, mounts: &[Mount]) -> Option<PathBuf> {
    let name = name(mounts);
    let mut known = world.live.mount_points.borrow_mut();
    if let Some(layer) = known.get(&name) {
        return Some(layer.clone());
    }
    // The lease lasts as long as the pod.
    let layer = world
        .store
        .places(&name, &world.dirs.uid, |layer| {
            podyard_linux::make_mount_points(layer, mounts)
        })
        .ok()?;
    known.insert(name, layer.clone());
    Some(layer)
}

/// The same for the same places and kinds, in every supervisor: what was made once is never changed.
fn name(mounts: &[Mount]) -> String {
    let mut hasher = DefaultHasher::new();
    for mount in mounts {
        (&mount.destination, mount.is_directory()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_and_their_kinds_count() {
        let two =
            |one: &str, other: &str| name(&[Mount::bind("/etc", one), Mount::bind("/usr", other)]);
        assert_eq!(
            two("/a", "/b"),
            name(&[Mount::bind("/usr", "/a"), Mount::bind("/etc", "/b")])
        );
        assert_ne!(two("/a", "/b"), two("/a", "/c"));
        assert_ne!(
            two("/a", "/b"),
            name(&[Mount::bind("/etc/passwd", "/a"), Mount::bind("/usr", "/b")])
        );
    }
}
