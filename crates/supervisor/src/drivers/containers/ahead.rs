//! Containers made before their time: while one init container works, the next ones are put together up to the closed barrier, so that
//! the way from its exit to their first instruction is one write to an eventfd.
//!
//! Nobody can tell, except by the clock: nothing of the container runs, nothing is reported or told, and a start that would come out
//! differently by then is made anew. What that could be is in [`may_wait`] and [`take`]: whatever a container sees that an earlier one can
//! change, other than the content of a volume. Only the first start of a container is foreseen, and only by the pod's first supervisor:
//! later ones do not know what has been before.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use podyard_api::core::{Container, PodSpec, Volume};
use podyard_image::Image;
use podyard_lifecycle::{Attempt, ContainerIndex};
use podyard_linux::{LaunchEvent, Sandbox};

use super::super::notices::Notice;
use super::super::objects::Objects;
use super::super::world::Key;
use super::super::{World, images, launch_plan};
use super::make::{self, Made};
use super::{NotStarted, clear};
use crate::translate::{self, security};

/// How many containers wait at once. Each holds a process and a mounted root; more than the processors can make while one container
/// runs gains nothing.
const AT_ONCE: u16 = 2;

/// The lifecycle core counts a container's starts from 0.
const FIRST: Attempt = 0;

/// What was made, and what has been begun or given up: that is not foreseen any more.
#[derive(Default)]
pub(crate) struct Ahead {
    waiting: RefCell<HashMap<ContainerIndex, Waiting>>,
    /// Of which only a part is there. Whoever takes one out of here has to clear it away; who has begun it notices.
    unfinished: RefCell<HashSet<ContainerIndex>>,
    seen: RefCell<HashSet<ContainerIndex>>,
}

struct Waiting {
    made: Made,
    /// What is to be told once it starts.
    notices: Vec<Notice>,
    sandbox: Rc<Sandbox>,
    objects: Rc<Objects>,
}

/// After the start of `current`: makes those that follow it, in the background.
pub(super) fn begin(world: &Rc<World>, current: ContainerIndex) {
    let world = Rc::clone(world);
    tokio::task::spawn_local(async move {
        for following in 1..=AT_ONCE {
            // Whatever has happened meanwhile comes first.
            tokio::task::yield_now().await;
            let Some(position) = current.0.checked_add(following) else {
                return;
            };
            consider(&world, ContainerIndex(position)).await;
        }
    });
}

async fn consider(world: &World, container: ContainerIndex) {
    // Ephemeral containers come when somebody asks for them.
    let mut members = translate::containers(world.spec());
    let Some(spec) = members.nth(container.position()) else {
        return;
    };
    let ahead = &world.live.ahead;
    let sandbox = world.live.sandbox.borrow().clone();
    let count = ahead.waiting.borrow().len() + ahead.unfinished.borrow().len();
    let Some(sandbox) = sandbox.filter(|_| count < usize::from(AT_ONCE)) else {
        return;
    };
    if !may_wait(world.spec(), spec) || !ahead.seen.borrow_mut().insert(container) {
        return;
    }
    let has_been = world.live.containers.borrow().contains_key(&container)
        || world.dirs.container_run(&spec.name, FIRST).exists()
        || world.dirs.container_data(&spec.name, FIRST).exists();
    if has_been {
        return;
    }
    let Some(image) = images::at_hand(world, container) else {
        return;
    };
    ahead.unfinished.borrow_mut().insert(container);
    let made = make_unless_taken(world, container, &image, sandbox).await;
    // Who has taken it away has seen to what there was.
    if !ahead.unfinished.borrow_mut().remove(&container) {
        return;
    }
    match made {
        Ok(waiting) => {
            ahead.waiting.borrow_mut().insert(container, waiting);
        }
        // It may be different when its time has come; and if not, it is told then.
        Err(_) => clear(world, container, FIRST),
    }
}

/// One step after the other, and what has happened meanwhile comes between them: the container that runs can end, and the next one is not
/// to wait for one after it.
async fn make_unless_taken(
    world: &World,
    container: ContainerIndex,
    image: &Image,
    sandbox: Rc<Sandbox>,
) -> Result<Waiting, NotStarted> {
    let go_on = || async {
        tokio::task::yield_now().await;
        let unfinished = world.live.ahead.unfinished.borrow();
        unfinished
            .contains(&container)
            .then_some(())
            .ok_or_else(|| NotStarted::create("taken away"))
    };
    let (parts, mut notices) = world.withheld(|| make::Parts::new(world, container, FIRST, image));
    let mut parts = parts?;
    // Those that it was put together from.
    let objects = Rc::clone(&world.live.objects.borrow());
    go_on().await?;
    let (limited, more) = world.withheld(|| parts.limit(world));
    limited?;
    notices.extend(more);
    go_on().await?;
    let (made, more) = world.withheld(|| parts.assemble(world));
    notices.extend(more);
    Ok(Waiting {
        made: made?,
        notices,
        sandbox,
        objects,
    })
}

/// Nothing is foreseen of these any more: what an earlier supervisor has started is not known here.
pub(in super::super) fn forgo(world: &World) {
    let members = (0_u16..).zip(translate::containers(world.spec()));
    let members = members.map(|(index, _)| ContainerIndex(index));
    world.live.ahead.seen.borrow_mut().extend(members);
}

/// The start that was foreseen does not come, for example because its image is not there.
pub(in super::super) fn give_up(world: &World, container: ContainerIndex) {
    let ahead = &world.live.ahead;
    ahead.seen.borrow_mut().insert(container);
    let waiting = ahead.waiting.borrow_mut().remove(&container);
    let is_unfinished = ahead.unfinished.borrow_mut().remove(&container);
    if waiting.is_some() || is_unfinished {
        waiting.into_iter().for_each(|it| it.made.discard());
        clear(world, container, FIRST);
    }
}

/// The container that was made for this start, if nothing has changed that it would see.
pub(super) fn take(world: &World, key: Key) -> Option<Made> {
    let (container, attempt) = key;
    let ahead = &world.live.ahead;
    ahead.seen.borrow_mut().insert(container);
    // What there is of it is cleared away by whoever makes it now.
    ahead.unfinished.borrow_mut().remove(&container);
    let mut waiting = ahead.waiting.borrow_mut().remove(&container)?;
    world.look_at_objects();
    if attempt == FIRST && is_current(world, key, &mut waiting) {
        for notice in waiting.notices {
            world.tell_once(notice);
        }
        return Some(waiting.made);
    }
    waiting.made.discard();
    clear(world, container, FIRST);
    None
}

fn is_current(world: &World, key: Key, waiting: &mut Waiting) -> bool {
    let sandbox = world.live.sandbox.borrow();
    let is_set_up = loop {
        match waiting.made.launch.next() {
            Ok(Some(LaunchEvent::Ready)) => {}
            Ok(None) => break true,
            _ => break false,
        }
    };
    is_set_up
        && sandbox.as_ref().is_some_and(|own| Rc::ptr_eq(own, &waiting.sandbox))
        && Rc::ptr_eq(&waiting.objects, &world.live.objects.borrow())
        && world
            .image_of(key.0, key.1)
            .is_some_and(|image| image.manifest_digest == waiting.made.image)
        // The last container may have written into `/etc/hosts`; every start writes it anew.
        && world
            .container(key.0)
            .is_some_and(|container| launch_plan::write_own_files(world, container).is_ok())
}

/// With the sandbox goes everything that was made in it.
pub(in super::super) fn discard(world: &World) {
    let waiting: Vec<_> = world.live.ahead.waiting.borrow_mut().drain().collect();
    for (container, waiting) in waiting {
        waiting.made.discard();
        clear(world, container, FIRST);
    }
    let unfinished: Vec<_> = world.live.ahead.unfinished.borrow_mut().drain().collect();
    for container in unfinished {
        clear(world, container, FIRST);
    }
}

/// Whether a container that is made now is the same as one that is made after the containers before it have run.
fn may_wait(spec: &PodSpec, container: &Container) -> bool {
    let mounts = || container.volume_mounts.iter().flatten();
    // Others would see its process, or what it does.
    let is_hidden = spec.share_process_namespace != Some(true) && spec.host_pid != Some(true);
    // Its devices are those there are when it starts.
    let is_ordinary = !security::is_privileged(container)
        && container.tty != Some(true)
        && container.stdin != Some(true);
    let reads_files = container.env.iter().flatten().any(|variable| {
        let source = variable.value_from.as_ref();
        source.is_some_and(|source| source.file_key_ref.is_some())
    });
    let is_whole = mounts().all(|mount| {
        mount.sub_path.is_none()
            && mount.sub_path_expr.is_none()
            && mount.mount_propagation.as_deref().unwrap_or("None") == "None"
    });
    is_hidden
        && is_ordinary
        && !reads_files
        && is_whole
        && !makes_mount_points(container)
        && mounts().all(|mount| stays_itself(spec, &mount.name))
}

/// Whether something is mounted below one of its volumes: the place for it would be made in the volume, where others see it.
fn makes_mount_points(container: &Container) -> bool {
    let message = container.termination_message_path.as_deref();
    let mut places = vec![
        message.unwrap_or("/dev/termination-log"),
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/dev/shm",
        "/proc",
        "/sys",
    ];
    let volumes: Vec<&str> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| mount.mount_path.as_str())
        .collect();
    places.extend(&volumes);
    let is_below = |place: &Path, volume: &Path| place != volume && place.starts_with(volume);
    places.iter().any(|place| {
        volumes
            .iter()
            .any(|volume| is_below(Path::new(place), Path::new(volume)))
    })
}

/// Whether the directory that a volume is now is the one that it will be: an earlier container can exchange a directory for another one
/// in its parent, or bring an image.
fn stays_itself(spec: &PodSpec, name: &str) -> bool {
    let host_path = |volume: &Volume| {
        let path = volume
            .host_path
            .as_ref()
            .map(|host| PathBuf::from(&host.path));
        path.map(|path| (volume.name.clone(), path))
    };
    let volumes = || spec.volumes.iter().flatten();
    let Some(volume) = volumes().find(|volume| volume.name == name) else {
        return false;
    };
    if volume.image.is_some() {
        return false;
    }
    let Some((_, own)) = host_path(volume) else {
        return true;
    };
    own.is_dir()
        && volumes()
            .filter_map(host_path)
            .all(|(other, path)| other == name || !own.starts_with(&path))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Of the second container, which has nothing special but what the arguments add to it and to its pod.
    fn may_wait(container: Value, pod: Value) -> bool {
        let merged = |mut base: Value, more: Value| {
            let (Some(base_fields), Value::Object(more)) = (base.as_object_mut(), more) else {
                panic!("objects")
            };
            base_fields.extend(more);
            base
        };
        let container = merged(json!({"name": "app", "image": "i"}), container);
        let spec = merged(json!({"containers": [container]}), pod);
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod");
        super::may_wait(&spec, &spec.containers[0])
    }

    #[test]
    fn only_what_nobody_can_tell_is_made_early() {
        let mounts = |mounts: Value| json!({"volumeMounts": mounts});
        let volumes = |volumes: Value| json!({"volumes": volumes});
        let plain = json!([{"name": "v", "mountPath": "/v"}]);
        let empty = json!([{"name": "v", "emptyDir": {}}]);
        assert!(may_wait(json!({}), json!({})));
        assert!(may_wait(mounts(plain.clone()), volumes(empty.clone())));
        for (container, pod) in [
            (json!({}), json!({"hostPID": true})),
            (json!({}), json!({"shareProcessNamespace": true})),
            (json!({"tty": true}), json!({})),
            (json!({"stdin": true}), json!({})),
            (json!({"securityContext": {"privileged": true}}), json!({})),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}]}),
                volumes(empty.clone()),
            ),
            (
                mounts(json!([{"name": "v", "mountPath": "/v", "subPath": "a"}])),
                volumes(empty.clone()),
            ),
            (
                mounts(
                    json!([{"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}]),
                ),
                volumes(empty.clone()),
            ),
            // The place for the second would be made in the first.
            (
                mounts(
                    json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v/w"}]),
                ),
                volumes(empty.clone()),
            ),
            (
                mounts(json!([{"name": "v", "mountPath": "/etc"}])),
                volumes(empty.clone()),
            ),
            (
                json!({"volumeMounts": plain, "terminationMessagePath": "/v/message"}),
                volumes(empty),
            ),
            (
                mounts(plain.clone()),
                volumes(json!([{"name": "v", "image": {"reference": "i"}}])),
            ),
            // A file can be exchanged for another one, and so can a directory in another one that is mounted.
            (
                mounts(plain.clone()),
                volumes(json!([{"name": "v", "hostPath": {"path": "/etc/passwd"}}])),
            ),
            (
                mounts(plain.clone()),
                volumes(
                    json!([{"name": "v", "hostPath": {"path": "/usr/share"}}, {"name": "w", "hostPath": {"path": "/usr"}}]),
                ),
            ),
        ] {
            assert!(
                !may_wait(container.clone(), pod.clone()),
                "{container} {pod}"
            );
        }
        let siblings = json!([{"name": "v", "hostPath": {"path": "/usr/share"}}, {"name": "w", "hostPath": {"path": "/usr/shared"}}]);
        assert!(may_wait(mounts(plain), volumes(siblings)));
    }
}
