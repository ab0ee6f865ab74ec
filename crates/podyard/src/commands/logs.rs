//! `logs`: what containers wrote, from their log files. Nothing here needs a supervisor, so a pod that has ended or lost its own has logs too.

use std::time::Duration;

use podyard_supervisor::PodHandle;
use podyard_supervisor::logs::{self, LogError, LogOptions};
use tokio::task::JoinSet;

use super::{now, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::log_files::LogFiles;
use crate::objects::{Pod, PodExt as _, Timestamp, is_sidecar};
use crate::output::prefix::Prefixer;
use crate::output::style::{Palette, Tone};
use crate::pods;
use crate::settings::{Context, LogContainers, LogsSettings, Scope};
use crate::target::Target;
use crate::watcher::PodWatch;

pub(super) fn run(context: &Context, settings: &LogsSettings) -> Result<ExitCode, CliError> {
    let handles = pods::select(context, &settings.target, Scope::Namespace)?;
    if handles.is_empty() {
        super::note_nothing(context, Scope::Namespace);
    }
    let mut logs = Vec::new();
    for handle in handles {
        logs.push(chosen(settings, handle)?);
    }
    if settings.follow {
        super::block_on(follow_all(context, settings, logs))?;
    } else {
        for logs in &logs {
            print_all(context, settings, logs)?;
        }
    }
    Ok(ExitCode::Success)
}

/// The logs of one pod that were asked for.
struct PodLogs {
    handle: PodHandle,
    pod: Pod,
    /// Containers, with their instances.
    instances: Vec<(String, u32)>,
}

fn chosen(settings: &LogsSettings, handle: PodHandle) -> Result<PodLogs, CliError> {
    let pod = handle
        .pod()
        .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
    let containers = match &settings.containers {
        LogContainers::One(name) => vec![pods::known_container(&pod, name)?.to_owned()],
        LogContainers::All => pods::all_containers(&pod),
        LogContainers::Default => vec![default_container(&pod)],
    };
    // Of several some may not have started yet; only one that was asked for by itself must have.
    let of_one = containers.len() == 1 && matches!(settings.target, Target::Named(_));
    let mut instances = Vec::new();
    for container in containers {
        match logs::choose(&pod, &container, settings.previous) {
            Ok(instance) => instances.push((container, instance)),
            Err(error) if of_one => return Err(not_available(error)),
            Err(error) => super::note(error.to_string()),
        }
    }
    Ok(PodLogs {
        handle,
        pod,
        instances,
    })
}

fn options(settings: &LogsSettings) -> LogOptions {
    LogOptions {
        previous: settings.previous,
        tail: settings.tail,
        since: settings.since.map(|since| moment_before(now(), since)),
        timestamps: settings.timestamps,
        limit_bytes: settings.limit_bytes,
    }
}

/// Prints what is there.
fn print_all(context: &Context, settings: &LogsSettings, logs: &PodLogs) -> Result<(), CliError> {
    let options = options(settings);
    for (container, instance) in &logs.instances {
        let path = logs::file(&logs.handle.log_directory(), container, *instance);
        if !path.exists() {
            return Err(CliError::NotFound(format!(
                "the log of container `{container}` is gone: somebody has removed `{}`",
                path.display()
            )));
        }
        let text = logs::read(&path, &options).map_err(not_available)?;
        if settings.prefix {
            let mut prefixer = Prefixer::new(prefix(&logs.pod, container, context.stdout));
            let mut lines = Vec::new();
            prefixer.push(&text, &mut lines);
            prefixer.finish(&mut lines);
            print(lines)?;
        } else {
            print(text)?;
        }
    }
    Ok(())
}

/// Prints what comes, of all pods beside each other, until each has been followed to its end.
async fn follow_all(
    context: &Context,
    settings: &LogsSettings,
    logs: Vec<PodLogs>,
) -> Result<(), CliError> {
    let mut followed = JoinSet::new();
    for logs in logs {
        let prefixes = settings.prefix.then_some(context.stdout);
        followed.spawn_local(follow(prefixes, logs, options(settings)));
    }
    while let Some(end) = followed.join_next().await {
        end.map_err(|error| CliError::failed("cannot follow the log", error))??;
    }
    Ok(())
}

/// Prints what comes until every chosen instance has ended and its file is read to the end.
async fn follow(
    prefixes: Option<Palette>,
    logs: PodLogs,
    options: LogOptions,
) -> Result<(), CliError> {
    let PodLogs {
        handle,
        pod,
        instances: chosen,
    } = logs;
    let mut files = LogFiles::new(handle.log_directory())
        .map_err(|error| CliError::failed("cannot follow the log", error))?;
    for (container, instance) in &chosen {
        let prefix = prefixes.map_or_else(String::new, |palette| prefix(&pod, container, palette));
        files.open(container, *instance, prefix, options.clone());
    }
    let mut watch = PodWatch::new(handle);
    let mut still_running = chosen
        .iter()
        .any(|(container, instance)| is_running(&pod, container, *instance));
    loop {
        // Asked first, read after: what an instance wrote before it ended is in its file by the time it counts as ended.
        let mut out = Vec::new();
        files
            .read(&mut out)
            .map_err(|error| CliError::failed("cannot read the log", error))?;
        if !still_running {
            files.finish(&mut out);
        }
        print(out)?;
        if !still_running {
            return Ok(());
        }
        tokio::select! {
            () = files.changed() => {}
            state = watch.next() => {
                still_running = state.is_some_and(|pod| {
                    chosen.iter().any(|(container, instance)| is_running(&pod, container, *instance))
                });
            }
        }
    }
}

fn is_running(pod: &Pod, container: &str, instance: u32) -> bool {
    pod.container_status(container).is_some_and(|status| {
        u32::try_from(status.restart_count) == Ok(instance)
            && status
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
    })
}

/// `[pod/web/app] `, as kubectl has it.
fn prefix(pod: &Pod, container: &str, palette: Palette) -> String {
    let place = pods::all_containers(pod)
        .iter()
        .position(|name| name == container)
        .unwrap_or_default();
    format!(
        "{} ",
        palette.paint(
            Tone::Container(place),
            &format!("[pod/{}/{container}]", pod.name())
        )
    )
}

/// The pod of this name, and its container that is meant: the named one, or [`default_container`].
pub(super) fn find_container(
    context: &Context,
    pod: &str,
    container: Option<&str>,
) -> Result<(PodHandle, Pod, String), CliError> {
    let handle = pods::find(context, pod)?;
    let pod = handle
        .pod()
        .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
    let container = match container {
        Some(name) => pods::known_container(&pod, name)?.to_owned(),
        None => default_container(&pod),
    };
    Ok((handle, pod, container))
}

/// The container of the annotation, or the first one. If there is a choice, says on stderr which was taken.
fn default_container(pod: &Pod) -> String {
    let annotation = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get("kubectl.kubernetes.io/default-container"));
    if let Some(name) = annotation.filter(|name| pods::known_container(pod, name).is_ok()) {
        return name.clone();
    }
    let first = pod
        .app_containers()
        .first()
        .map(|container| container.name.clone())
        .unwrap_or_default();
    let apps = pod
        .app_containers()
        .iter()
        .map(|container| container.name.clone());
    let inits = pod.init_containers().iter().map(|container| {
        format!(
            "{} ({})",
            container.name,
            if is_sidecar(container) {
                "sidecar"
            } else {
                "init"
            }
        )
    });
    let ephemerals = pod.ephemeral_containers();
    let ephemerals = ephemerals
        .iter()
        .map(|container| format!("{} (ephem)", container.name));
    let names: Vec<String> = apps.chain(ephemerals).chain(inits).collect();
    if names.len() > 1 {
        super::note(format!(
            "Defaulted container {first:?} out of: {}",
            names.join(", ")
        ));
    }
    first
}

fn not_available(error: LogError) -> CliError {
    match error {
        LogError::NotAvailable(text) if text.ends_with("not found") => CliError::NotFound(text),
        LogError::NotAvailable(text) => CliError::plain(text),
        error @ LogError::Io { .. } => CliError::failed("cannot print the log", error),
    }
}

/// A moment in the form of the log files, so that texts can be compared.
fn moment_before(now: Timestamp, since: Duration) -> String {
    let moment = now.checked_sub(since).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{app, init, pod, running, waiting};

    #[test]
    fn moments_compare_with_those_in_the_log() {
        let now = Timestamp::from_second(1_700_000_000).expect("in range");
        assert_eq!(
            moment_before(now, Duration::from_millis(1500)),
            "2023-11-14T22:13:18.500000000Z"
        );
    }

    #[test]
    fn the_default_container_is_the_annotated_or_the_first() {
        let mut web = pod(
            "Running",
            [
                init("i", waiting("x")),
                app("b", running()),
                app("a", running()),
            ],
        );
        assert_eq!(default_container(&web), "b");
        let annotations = [(
            "kubectl.kubernetes.io/default-container".to_owned(),
            "a".to_owned(),
        )];
        web.metadata.annotations = Some(annotations.into());
        assert_eq!(default_container(&web), "a");
        assert!(pods::known_container(&web, "c").is_err());
    }
}
