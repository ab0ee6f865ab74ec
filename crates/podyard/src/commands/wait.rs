//! `wait`: until pods are there, are gone, have a condition, or say something in particular. Reacts to changes; it polls
//! only for the directory of all pods, while there has never been one.

use std::time::Duration;

use podyard_supervisor::PodHandle;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{block_on, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _};
use crate::pods;
use crate::settings::{Context, Scope, WaitFor, WaitSettings};
use crate::target::Target;
use crate::watcher::{Changes, End, PodWatch};

/// How often the directory of all names is looked for while no pod has ever been run.
const NO_PODS_YET: Duration = Duration::from_millis(100);

pub(super) fn run(context: &Context, settings: &WaitSettings) -> Result<ExitCode, CliError> {
    block_on(async {
        let deadline = Instant::now() + settings.timeout;
        if settings.condition == WaitFor::Create {
            return created(context, settings, deadline).await;
        }
        let handles = meant(context, settings)?;
        let mut failed = None;
        for handle in handles {
            let met = timeout_at(deadline, until(handle.clone(), &settings.condition)).await;
            match met.unwrap_or_else(|_| Err(timed_out(&handle.name))) {
                Ok(()) => tell(&handle.name)?,
                // The others are told of all the same.
                Err(error) => {
                    if let Some(earlier) = failed.replace(error) {
                        CliError::report(&earlier, context.stderr);
                    }
                }
            }
        }
        failed.map_or(Ok(ExitCode::Success), Err)
    })
}

fn tell(name: &str) -> Result<(), CliError> {
    print(format!("pod/{name} condition met\n"))
}

fn timed_out(name: &str) -> CliError {
    CliError::plain(format!(
        "timed out waiting for the condition on pods/{name}"
    ))
}

/// Of whom the condition is waited for. Somebody has to be there, unless it is their end that is waited for.
fn meant(context: &Context, settings: &WaitSettings) -> Result<Vec<PodHandle>, CliError> {
    let waits_for_end = settings.condition == WaitFor::Delete;
    if let (Target::Named(names), true, Scope::Namespace) =
        (&settings.target, waits_for_end, settings.scope)
    {
        let found = names.iter().map(|name| pods::find(context, name));
        return found
            .filter(|found| !matches!(found, Err(CliError::PodNotFound { .. })))
            .collect();
    }
    let handles = pods::select(context, &settings.target, settings.scope)?;
    if handles.is_empty() && !waits_for_end {
        return Err(CliError::NotFound("no matching resources found".to_owned()));
    }
    Ok(handles)
}

/// Waits until the condition is true of this pod; an error says why it never will be.
async fn until(handle: PodHandle, condition: &WaitFor) -> Result<(), CliError> {
    // Its files tell at once, also of a pod that has ended.
    if handle.pod().is_ok_and(|pod| holds(condition, &pod)) {
        return Ok(());
    }
    let mut watch = PodWatch::new(handle.clone());
    while let Some(pod) = watch.next().await {
        if holds(condition, &pod) {
            return Ok(());
        }
    }
    if *condition == WaitFor::Delete {
        return match watch.end() {
            Some(End::Deleted) => Ok(()),
            _ => removed(&handle).await,
        };
    }
    let name = &handle.name;
    Err(CliError::plain(match (watch.end(), handle.pod()) {
        (Some(End::Terminal), Ok(pod)) => format!(
            "pod `{name}` has ended ({}): what is waited for will not come true",
            pod.phase()
        ),
        _ => format!("pod `{name}` was deleted: what is waited for will not come true"),
    }))
}

/// Waits until nothing is left of a pod that has ended.
async fn removed(handle: &PodHandle) -> Result<(), CliError> {
    let cannot = |error| CliError::failed("cannot watch the pod's files", error);
    let mut changes = Changes::new().map_err(cannot)?;
    // It may be gone by now: the look below tells.
    let _ = changes.add(&handle.dirs().data);
    while handle.dirs().record().exists() {
        changes.changed().await;
    }
    Ok(())
}

/// Waits until there are pods of these names, or one that is looked for.
async fn created(
    context: &Context,
    settings: &WaitSettings,
    deadline: Instant,
) -> Result<ExitCode, CliError> {
    let directory = pods::roots(context)?.names();
    let cannot = |error| CliError::failed("cannot watch the pods", error);
    let mut changes = Changes::new().map_err(cannot)?;
    let mut is_watched = false;
    loop {
        // Watched first, looked at second: nobody appears in between.
        is_watched = is_watched || changes.add(&directory).is_ok();
        let missing = match pods::select(context, &settings.target, settings.scope) {
            Ok(handles) if !handles.is_empty() => {
                handles.iter().try_for_each(|handle| tell(&handle.name))?;
                return Ok(ExitCode::Success);
            }
            Ok(_) => {
                CliError::plain("timed out waiting for a pod that is looked for to be created")
            }
            Err(CliError::PodNotFound { name, .. }) => timed_out(&name),
            Err(error) => return Err(error),
        };
        let change = async {
            if is_watched {
                changes.changed().await;
            } else {
                tokio::time::sleep(NO_PODS_YET).await;
            }
        };
        if timeout_at(deadline, change).await.is_err() {
            return Err(missing);
        }
    }
}

/// Whether it is true of this pod.
fn holds(condition: &WaitFor, pod: &Pod) -> bool {
    match condition {
        WaitFor::Create => true,
        WaitFor::Delete => false,
        WaitFor::Condition { kind, status } => {
            let conditions = pod
                .status
                .as_ref()
                .and_then(|all| all.conditions.as_deref());
            conditions.unwrap_or_default().iter().any(|condition| {
                condition.type_.eq_ignore_ascii_case(kind)
                    && condition.status.eq_ignore_ascii_case(status)
            })
        }
        WaitFor::Path { path, value } => {
            let object = serde_json::to_value(pod).unwrap_or(Value::Null);
            let found = path.texts(&object);
            match value {
                Some(value) => found.iter().any(|text| text == value),
                None => !found.is_empty(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::jsonpath::Path;
    use crate::output::samples::{PodChanges as _, app, pod, running};

    #[test]
    fn what_is_waited_for_is_seen() {
        let web = pod("Running", [app("a", running())]).ready();
        let condition = |kind: &str, status: &str| WaitFor::Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
        };
        let path = |path: &str, value: Option<&str>| WaitFor::Path {
            path: Path::parse(path).expect("a path"),
            value: value.map(str::to_owned),
        };
        for (wanted, expected) in [
            (condition("Ready", "True"), true),
            (condition("ready", "true"), true),
            (condition("Ready", "False"), false),
            (condition("Initialized2", "True"), false),
            (path("{.status.phase}", Some("Running")), true),
            (path("{.status.phase}", Some("Failed")), false),
            (path("{.status.phase}", None), true),
            (path("{.status.podIP}", None), false),
            (path("{.spec.containers[*].name}", Some("a")), true),
            (WaitFor::Delete, false),
        ] {
            assert_eq!(holds(&wanted, &web), expected, "{wanted:?}");
        }
    }
}
