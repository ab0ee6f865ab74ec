//! `timeline`: when each container ran.

use super::{now, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::history;
use crate::output::timeline::render;
use crate::pods;
use crate::settings::{Context, Format};
use crate::terminal;

pub(super) fn run(
    context: &Context,
    name: &str,
    format: Option<Format>,
) -> Result<ExitCode, CliError> {
    let handle = pods::find(context, name)?;
    let from_pod_error = |error| pods::from_pod_error(error, &handle.namespace, &handle.name);
    let pod = handle.pod().map_err(from_pod_error)?;
    let turns = handle.turns().map_err(from_pod_error)?;
    let spans = history::spans(&pod, &turns);
    let now = now();
    let accepted = turns
        .first()
        .map(|turn| podyard_lifecycle::kubernetes_time(turn.now.wall).0);
    let accepted = accepted
        .or_else(|| spans.first().map(|span| span.start))
        .unwrap_or(now);
    let factor = pods::backoff_factor(&handle);
    match format {
        Some(format) => {
            let mut object = serde_json::json!({
                "pod": handle.name, "namespace": handle.namespace, "accepted": accepted, "spans": spans,
            });
            if let Some(factor) = factor {
                object["backoffFactor"] = factor.into();
            }
            super::print_object(&object, format)?;
        }
        None => {
            let width = terminal::stdout_width();
            print(render(&spans, accepted, now, width, context.stdout))?;
            if let Some(factor) = factor {
                print(format!(
                    "Back-offs last {factor} of their time (--backoff).\n"
                ))?;
            }
        }
    }
    Ok(ExitCode::Success)
}
