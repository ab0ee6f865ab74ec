//! The cgroups of containers that are over, until there is time to remove them.
//!
//! Removing one keeps the machine's only cgroup lock for as long as it has mounted file systems, of all pods together: the kernel looks
//! through what it keeps per memory cgroup for each of them. The next container needs that lock to be made, so it comes first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::super::World;
use super::super::world::Key;
use crate::clock;
use crate::limits;

/// Cgroups in which nothing runs any more, by what ran in them.
#[derive(Default)]
pub(crate) struct Emptied {
    cgroups: RefCell<Vec<Key>>,
    is_waiting: Cell<bool>,
    /// When a container was started last, since the boot.
    started: Cell<std::time::Duration>,
}

/// A container starts: what can wait, waits.
pub(super) fn stand_back(world: &World) {
    world.live.emptied.started.set(clock::now().since_boot);
}

/// Removes the cgroup of a container that is over, once no container has started for a while.
pub(super) fn remove_in_time(world: &Rc<World>, of: Key) {
    let emptied = &world.live.emptied;
    emptied.cgroups.borrow_mut().push(of);
    if !emptied.is_waiting.replace(true) {
        tokio::task::spawn_local(remove_all(Rc::clone(world)));
    }
}

async fn remove_all(world: Rc<World>) {
    let emptied = &world.live.emptied;
    loop {
        let calm = emptied.started.get() + limits::CALM;
        let wait = calm.saturating_sub(clock::now().since_boot);
        let are_few = emptied.cgroups.borrow().len() <= limits::EMPTIED_CGROUPS;
        if are_few && !wait.is_zero() {
            tokio::time::sleep(wait).await;
            continue;
        }
        let Some((container, attempt)) = emptied.cgroups.borrow_mut().pop() else {
            break;
        };
        world.remove_container_cgroup(world.container_name(container), attempt);
        tokio::task::yield_now().await;
    }
    emptied.is_waiting.set(false);
}
