//! What an instance has printed last, after its end.

use std::rc::Rc;

use super::super::World;
use super::super::logs::LogPump;
use super::super::streams::Terminal;
use super::super::world::Key;
use super::remove_volatile;

/// The output of an instance that is over.
pub(crate) struct Unwritten {
    pub(in super::super) restart_count: u32,
    pub(in super::super) pump: Rc<LogPump>,
}

impl Unwritten {
    /// Brings everything into the log. What cannot be written, as on a full disk, is kept and tried again; a supervisor that comes later
    /// finds it, too, since pipes and records stay so long.
    pub(super) fn finish(self, world: &Rc<World>, key: Key, terminal: Option<Rc<Terminal>>) {
        let is_through = terminal
            .as_ref()
            .is_none_or(|terminal| terminal.finish(&self.pump));
        let result = match is_through {
            true => self.pump.finish(),
            false => self.pump.drain().map(drop),
        };
        if is_through && result.is_ok() {
            return;
        }
        let why = result.map_or_else(|error| format!(": {error}"), |()| String::new());
        world.complain(&format!(
            "the last output of {} waits until it can be written{why}",
            world.container_name(key.0)
        ));
        let (world, pump) = (Rc::clone(world), Rc::clone(&self.pump));
        world.live.unwritten.borrow_mut().insert(key, self);
        tokio::task::spawn_local(async move {
            if let Some(terminal) = terminal.filter(|_| !is_through) {
                terminal.emptied().await;
            }
            if pump.finish().is_err() {
                pump.written().await;
            }
            world.live.unwritten.borrow_mut().remove(&key);
            world.logs_grew.send_modify(|generation| *generation += 1);
            // Otherwise its exit is still to be written down, and they go then.
            if !world.live.ended.borrow().contains_key(&key) {
                remove_volatile(&world, key);
            }
        });
    }
}
