//! `attach`: our streams at the first process of a container that runs.

use super::logs::find_container;
use super::{exec, note};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::settings::{AttachSettings, Context};

pub(super) fn run(context: &Context, settings: &AttachSettings) -> Result<ExitCode, CliError> {
    let (handle, pod, container) =
        find_container(context, &settings.pod, settings.container.as_deref())?;
    if handle.has_ended() {
        return Err(CliError::plain(format!(
            "cannot attach to a container in a completed pod; current phase is {}",
            crate::objects::PodExt::phase(&pod)
        )));
    }
    let client = handle.client();
    let streams = (settings.stdin, settings.tty);
    super::block_on(attach(&client, &container, streams, false))
}

/// Until the container ends or the connection does.
pub(super) async fn attach(
    client: &podyard_supervisor::Client,
    container: &str,
    (stdin, tty): (bool, bool),
    from_start: bool,
) -> Result<ExitCode, CliError> {
    let with_terminal = exec::has_terminal(stdin, tty);
    let stream = client.attach(container, stdin, tty, from_start).await;
    let stream = stream.map_err(|error| {
        CliError::failed(format!("cannot attach to container `{container}`"), error)
    })?;
    if with_terminal && stdin {
        note("If you don't see a command prompt, try pressing enter.");
    }
    exec::pass_through(stream, stdin, with_terminal)
        .await?
        .map_err(CliError::plain)
}
