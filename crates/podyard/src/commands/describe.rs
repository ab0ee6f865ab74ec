//! `describe pod`.

use super::{now, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::output::describe::describe;
use crate::output::verdict::verdict;
use crate::pods;
use crate::settings::{Context, Scope};
use crate::target::Target;

pub(super) fn run(context: &Context, target: &Target, scope: Scope) -> Result<ExitCode, CliError> {
    let handles = pods::select(context, target, scope)?;
    if handles.is_empty() {
        super::note("No resources found");
    }
    for (index, handle) in handles.iter().enumerate() {
        let from_pod_error = |error| pods::from_pod_error(error, &handle.namespace, &handle.name);
        let pod = handle.pod().map_err(from_pod_error)?;
        let events = handle.events().map_err(from_pod_error)?;
        let now = now();
        let mut sentence = verdict(&pod, &pods::times(handle, &pod), now);
        if !handle.has_ended() && !handle.is_supervised() {
            sentence.push_str(" (as of its last report: its supervisor is not running)");
        }
        if let Some(factor) = pods::backoff_factor(handle) {
            sentence.push_str(&format!(
                "; back-offs last {factor} of their time (--backoff)"
            ));
        }
        if index > 0 {
            print("\n\n")?;
        }
        print(describe(&pod, &events, &sentence, now))?;
    }
    Ok(ExitCode::Success)
}
