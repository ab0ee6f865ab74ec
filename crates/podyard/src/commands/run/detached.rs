//! `run -d`: starts everything and leaves it to the supervisors of the pods. Nobody counts the pods of a set after that.

use podyard_supervisor::PodHandle;

use super::Maker;
use super::units::Unit;
use crate::commands::{block_on, note, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::new_pod;
use crate::watcher::PodWatch;

pub(super) fn run(maker: &Maker<'_>, units: &[Unit]) -> Result<ExitCode, CliError> {
    if let Some(job) = units.iter().find(|unit| unit.is_job()) {
        return Err(CliError::Usage(format!(
            "{} cannot be detached: the command that runs a job replaces its failed pods and ends with its result; `nohup podyard run FILE &` lets it do so in the background",
            job.title()
        )));
    }
    for unit in units {
        let count = unit.replicas();
        if count == 0 {
            note(format!("{} has no pods: `replicas` is 0", unit.title()));
        }
        for index in 0..count {
            let (handle, _) = maker.make(unit, index)?;
            new_pod::accepted(&handle)?;
            print(format!("pod/{} created\n", handle.name))?;
            if unit.is_ordered() && index + 1 < count {
                wait_until_ready(&handle)?;
            }
        }
    }
    Ok(ExitCode::Success)
}

/// The pods after it wait for it. Ctrl-C ends the waiting, and what has been started goes on.
fn wait_until_ready(handle: &PodHandle) -> Result<(), CliError> {
    let name = &handle.name;
    block_on(async {
        let mut watch = PodWatch::new(handle.clone());
        let mut is_told = false;
        while let Some(pod) = watch.next().await {
            if podyard_api::workloads::set::is_ready(&pod) {
                return Ok(());
            }
            if !is_told {
                is_told = true;
                note(format!("waiting for pod `{name}` to be ready"));
            }
        }
        Err(CliError::plain(format!(
            "pod `{name}` ended before it was ready: the pods after it were not started"
        )))
    })
}
