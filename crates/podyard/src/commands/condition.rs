//! `condition`: what a controller of a cluster would do by patching the pod's status. Readiness gates wait for it.

use serde_json::json;

use super::{block_on, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::pods;
use crate::settings::{ConditionChange, Context};

pub(super) fn run(
    context: &Context,
    name: &str,
    changes: &[ConditionChange],
) -> Result<ExitCode, CliError> {
    let handle = pods::find(context, name)?;
    let own = changes.iter().map(kind);
    if let Some(kind) = own
        .into_iter()
        .find(|kind| podyard_lifecycle::is_own_condition(kind))
    {
        return Err(CliError::Usage(format!(
            "condition `{kind}` says what podyard itself knows about the pod, and cannot be set"
        )));
    }
    if handle.has_ended() {
        return Err(CliError::plain(format!(
            "the conditions of pod `{name}` cannot be changed: the pod has ended"
        )));
    }
    let list: Vec<_> = changes.iter().map(entry).collect();
    let patch = json!({"status": {"conditions": list}});
    block_on(async {
        let asked = handle.client().patch(Some("status"), &patch).await;
        asked.map_err(|error| {
            CliError::failed(
                format!("the conditions of pod `{name}` cannot be changed"),
                error,
            )
        })
    })?;
    print(format!("pod/{name} condition changed\n"))?;
    Ok(ExitCode::Success)
}

fn kind(change: &ConditionChange) -> &str {
    match change {
        ConditionChange::Set { kind, .. } | ConditionChange::Remove { kind } => kind,
    }
}

/// As an entry of a strategic merge patch. What is not said is empty then.
fn entry(change: &ConditionChange) -> serde_json::Value {
    match change {
        ConditionChange::Set {
            kind,
            status,
            reason,
            message,
        } => json!({"type": kind, "status": status, "reason": reason, "message": message}),
        ConditionChange::Remove { kind } => json!({"type": kind, "$patch": "delete"}),
    }
}
