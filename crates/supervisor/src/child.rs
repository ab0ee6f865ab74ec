//! Helper processes of the supervisor: the same binary in another role, awaited through a pidfd.

use std::ffi::OsString;
use std::process::{Child, Command, Stdio};

use crate::ready::{self, Ready};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A child in a role of its own.
pub(crate) struct ChildProcess {
    child: Child,
    pidfd: Ready,
}

impl ChildProcess {
    pub(crate) fn spawn(arguments: &[OsString], stdout: Stdio) -> std::io::Result<Self> {
        Self::spawn_with(arguments, Stdio::null(), stdout)
    }

    /// One that also has something to read.
    pub(crate) fn spawn_with(
        arguments: &[OsString],
        stdin: Stdio,
        stdout: Stdio,
    ) -> std::io::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Self {
            child,
            pidfd: ready::watch(pidfd)?,
        })
    }

    /// Waits for its end and returns what it wrote: answers are a line, and fit into the pipe.
    pub(crate) async fn output(&mut self) -> std::io::Result<Vec<u8>> {
        let _ = self.pidfd.readable().await?;
        self.child.wait()?;
        let mut text = Vec::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            std::io::Read::read_to_end(&mut stdout, &mut text)?;
        }
        Ok(text)
    }

    pub(crate) async fn kill_and_reap(&mut self) {
        let _ = self.child.kill();
        let _ = self.pidfd.readable().await;
        let _ = self.child.wait();
    }
}
