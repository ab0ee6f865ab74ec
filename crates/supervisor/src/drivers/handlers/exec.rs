//! `exec`: a command in the container, with the container's own environment and identity, and without a shell.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::OUTPUT_BYTES;
use crate::drivers::World;
use crate::drivers::exec::{ExecSession, Streams};
use crate::drivers::world::Key;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::drivers) struct Ended {
    pub(in crate::drivers) code: i32,
    pub(in crate::drivers) stdout: Vec<u8>,
    pub(in crate::drivers) stderr: Vec<u8>,
}

/// Why there is no exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::drivers) enum NotEnded {
    /// It was killed when its time was over.
    TimedOut,
    /// It could not be run.
    NotRun(String),
}

/// Runs a command to its end, or to the end of its time.
pub(in crate::drivers) async fn run(
    world: &Rc<World>,
    key: Key,
    command: &[String],
    limit: Option<Duration>,
) -> Result<Ended, NotEnded> {
    let session = ExecSession::start_in(world, key, command, Streams::default())
        .map(Rc::new)
        .map_err(NotEnded::NotRun)?;
    // A task of its own: whoever stops waiting for the answer must not leave a dead process unreaped.
    let (answer, answered) = tokio::sync::oneshot::channel();
    let own = Rc::clone(&session);
    tokio::task::spawn_local(async move {
        let _ = answer.send(see_through(&own).await);
    });
    let Some(limit) = limit else {
        return answered
            .await
            .unwrap_or_else(|_| Err(NotEnded::NotRun("cancelled".to_owned())));
    };
    match timeout(limit, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(NotEnded::NotRun("cancelled".to_owned())),
        Err(_) => {
            session.kill();
            Err(NotEnded::TimedOut)
        }
    }
}

async fn see_through(session: &ExecSession) -> Result<Ended, NotEnded> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = {
        let reading = async {
            tokio::join!(keep(session, 1, &mut stdout), keep(session, 2, &mut stderr));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            code = session.wait() => code,
            () = reading => unreachable!("reading never ends before the command"),
        }
    };
    // What it wrote last is still in the pipes. A child that it left behind may hold them open, so nobody waits for their end.
    session.take_rest(1, OUTPUT_BYTES, &mut stdout);
    session.take_rest(2, OUTPUT_BYTES, &mut stderr);
    let code = code.map_err(NotEnded::NotRun)?;
    Ok(Ended {
        code,
        stdout,
        stderr,
    })
}

/// Reads all, keeps the beginning: a command that prints without end must not wait for a reader.
async fn keep(session: &ExecSession, channel: u8, kept: &mut Vec<u8>) {
    while let Some(chunk) = session.read_output(channel).await {
        let room = OUTPUT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

impl Ended {
    /// Standard output, then standard error, the first [`OUTPUT_BYTES`] of both.
    pub(in crate::drivers) fn output(&self) -> String {
        let mut all = self.stdout.clone();
        all.extend_from_slice(&self.stderr);
        all.truncate(OUTPUT_BYTES);
        String::from_utf8_lossy(&all).into_owned()
    }
}
