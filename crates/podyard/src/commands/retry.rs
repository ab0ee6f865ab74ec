//! `retry`: ends a back-off now. Counts stay as they are.

use super::{block_on, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::pods;
use crate::settings::Context;

pub(super) fn run(
    context: &Context,
    name: &str,
    container: Option<&str>,
) -> Result<ExitCode, CliError> {
    let handle = pods::find(context, name)?;
    if let Some(container) = container {
        let pod = handle
            .pod()
            .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
        pods::known_container(&pod, container)?;
    }
    let what = container.map_or_else(
        || format!("pod `{name}`"),
        |container| format!("container `{container}` of pod `{name}`"),
    );
    if handle.has_ended() {
        return Err(CliError::plain(format!(
            "{what} cannot be retried: the pod has ended"
        )));
    }
    block_on(async {
        let client = handle.client();
        client
            .retry(container)
            .await
            .map_err(|error| CliError::failed(format!("{what} cannot be retried"), error))
    })?;
    print(format!("pod/{name} retried\n"))?;
    Ok(ExitCode::Success)
}
