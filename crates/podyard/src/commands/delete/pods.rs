//! Ending pods: all are asked before any is waited for, since they end beside each other.

use std::fs::File;

use podyard_supervisor::{ClientError, PodHandle};
use rustix::fs::{FlockOperation, flock};

use crate::commands::block_on;
use crate::error::CliError;
use crate::pods;
use crate::settings::Stop;

/// The HTTP status with which a supervisor refuses what comes after its pod's end.
const GONE: u16 = 410;

/// A pod that was told to end.
pub(in crate::commands) struct Deleted {
    pub(super) handle: PodHandle,
    /// Its keeper's lock, opened while the file was there: it is free once the keeper has ended, which is the last to go.
    keeper: Option<File>,
}

/// Asks a pod to end, or removes what is left of one that has.
pub(in crate::commands) fn ask(handle: PodHandle, stop: Stop) -> Result<Deleted, CliError> {
    if handle.has_ended() {
        let keeper = keeper_lock(&handle);
        // On a full disk its supervisor may still wait to write the last lines of its logs.
        block_on(async {
            let _ = handle.client().delete(None).await;
            Ok(())
        })?;
        return Ok(Deleted { handle, keeper });
    }
    handle
        .ensure_supervised()
        .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
    let keeper = keeper_lock(&handle);
    let asked = block_on(async {
        let client = handle.client();
        let answer = match stop {
            Stop::Graceful(grace) => client.delete(grace).await,
            Stop::Kill => client.kill().await,
        };
        match answer {
            // Its end is decided and not yet visible: that is waited for all the same.
            Err(ClientError::Refused { code: GONE, .. }) => Ok(()),
            answer => answer.map_err(|error| {
                CliError::failed(format!("cannot delete pod `{}`", handle.name), error)
            }),
        }
    });
    match asked {
        // It ended in between.
        Err(_) if handle.has_ended() || !handle.dirs().record().exists() => {}
        answer => answer?,
    }
    Ok(Deleted { handle, keeper })
}

impl Deleted {
    /// Waits until its processes, its network and its files are gone.
    pub(in crate::commands) fn wait(self) -> Result<(), CliError> {
        let mut keeper = self.keeper;
        loop {
            if let Some(lock) = keeper.take() {
                wait_for(&lock)?;
            }
            if self.handle.has_ended() {
                self.handle.remove_files();
            }
            if !self.handle.dirs().record().exists() {
                return Ok(());
            }
            // Its keeper was killed: another one goes on with the deletion.
            self.handle.ensure_supervised().map_err(|error| {
                pods::from_pod_error(error, &self.handle.namespace, &self.handle.name)
            })?;
            keeper = keeper_lock(&self.handle);
        }
    }
}

/// The lock that a pod's keeper holds, if there is one.
pub(in crate::commands) fn keeper_lock(handle: &PodHandle) -> Option<File> {
    File::open(handle.dirs().keeper_lock()).ok()
}

/// Waits until nobody holds the lock exclusively.
pub(in crate::commands) fn wait_for(lock: &File) -> Result<(), CliError> {
    loop {
        match flock(lock, FlockOperation::LockShared) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(CliError::failed("cannot wait for the pod's end", errno)),
        }
    }
}
