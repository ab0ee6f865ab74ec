//! What the kubelet looks at every ten seconds: how long the logs have grown, and whether local storage is over a limit
//! (`pod-lifecycle.md` sections 7.6 and 12). And memory that is not needed is given back. A pod in which nothing happens is not looked at.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use podyard_lifecycle::Observation;
use tokio::time::sleep;

use super::{World, volumes};
use crate::event_loop;
use crate::translate::storage::{self, Usage};
use crate::usage;

const PERIOD: Duration = Duration::from_secs(10);

/// Looks until the process ends.
pub(crate) fn start(world: &Rc<World>) {
    let world = Rc::clone(world);
    let is_limited = storage::is_limited(world.spec());
    tokio::task::spawn_local(async move {
        let mut grew = world.logs_grew.subscribe();
        for round in 0_u64.. {
            // What is limited is written to without anybody telling; and it may have grown while there was no supervisor.
            if !is_limited {
                tokio::select! {
                    _ = grew.changed() => {}
                    () = world.live.turned.notified() => {}
                }
            }
            if !is_limited || round > 0 {
                sleep(PERIOD).await;
                event_loop::rest();
            }
            grew.mark_unchanged();
            world.rotate_logs();
            if is_limited && let Some(message) = look(&world).await {
                world.report(Observation::StorageExceeded { message });
                return;
            }
        }
    });
}

/// What a measured directory belongs to.
enum Owner {
    Volume(String),
    Container(String),
}

async fn look(world: &World) -> Option<String> {
    let mut measured: Vec<(Owner, PathBuf)> = storage::on_disk(world.spec())
        .map(|volume| {
            let path = volumes::host_path(world, volume);
            (Owner::Volume(volume.name.clone()), path)
        })
        .collect();
    for (index, live) in world.live.containers.borrow().iter() {
        let name = world.container_name(*index);
        let layer = world.dirs.container(name, live.attempt).layer;
        let logs = world.log_directory().join(name);
        for path in [layer, logs] {
            measured.push((Owner::Container(name.to_owned()), path));
        }
    }
    let paths: Vec<_> = measured.iter().map(|(_, path)| path.as_path()).collect();
    let sizes = match usage::ask(&paths).await {
        Ok(sizes) => sizes,
        Err(error) => {
            world.complain(&format!("cannot measure local storage: {error}"));
            return None;
        }
    };
    let mut usage = Usage::default();
    for ((owner, _), bytes) in measured.into_iter().zip(sizes) {
        let (map, name) = match owner {
            Owner::Volume(name) => (&mut usage.volumes, name),
            Owner::Container(name) => (&mut usage.containers, name),
        };
        *map.entry(name).or_default() += bytes;
    }
    storage::exceeded(world.spec(), &usage)
}
