//! `debug POD --image=IMAGE`: a container more in a pod that runs, to look into it. It sees the pod's network and, with `--target`, the
//! processes of one of its containers; it is never started again, and ends with the pod.

use podyard_supervisor::logs::{self, LogOptions};
use podyard_supervisor::{Client, PodHandle};
use serde_json::{Value, json};

use super::attach::attach;
use super::{block_on, note, print};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _, terminated};
use crate::pods;
use crate::settings::{Context, DebugSettings};
use crate::watcher::PodWatch;

pub(super) fn run(context: &Context, settings: &DebugSettings) -> Result<ExitCode, CliError> {
    let handle = pods::find(context, &settings.pod)?;
    let pod = handle
        .pod()
        .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?;
    if handle.has_ended() || pod.is_terminating() {
        return Err(CliError::plain(format!(
            "pod `{}` has ended or is about to: nothing more can be started in it",
            settings.pod
        )));
    }
    let name = match &settings.container {
        Some(name) if has_container(&pod, name) => {
            return Err(CliError::plain(format!(
                "a container `{name}` exists in pod `{}` already",
                settings.pod
            )));
        }
        Some(name) => name.clone(),
        None => {
            let name = format!("debugger-{}", crate::manifests::name_suffix());
            note(format!("Defaulting debug container name to {name}."));
            name
        }
    };
    let container = container(settings, &name)?;
    let patch = json!({"spec": {"ephemeralContainers": [container]}});
    let client = handle.client();
    block_on(async {
        let asked = client.patch(Some("ephemeralcontainers"), &patch).await;
        asked
            .map_err(|error| CliError::failed(format!("container `{name}` cannot be added"), error))
    })?;
    if settings.stdin {
        return block_on(attached(&handle, &client, settings, &name));
    }
    print(format!("pod/{} container {name} added\n", settings.pod))?;
    Ok(ExitCode::Success)
}

/// Waits for its start, and is then connected to it.
async fn attached(
    handle: &PodHandle,
    client: &Client,
    settings: &DebugSettings,
    name: &str,
) -> Result<ExitCode, CliError> {
    let mut watch = PodWatch::new(handle.clone());
    let mut told = None;
    while let Some(pod) = watch.next().await {
        let status = pod.container_status(name);
        let state = status.and_then(|status| status.state.as_ref());
        if state.is_some_and(|state| state.running.is_some()) {
            let streams = (true, settings.tty);
            return attach(client, name, streams, true).await;
        }
        if let Some(end) = terminated(state) {
            // Before anybody could be connected to it: what is left is what it has printed.
            let log = logs::file(&handle.log_directory(), name, 0);
            print(logs::read(&log, &LogOptions::default()).unwrap_or_default())?;
            if let Some(why) = &end.message {
                note(why);
            }
            return Ok(ExitCode::of_workload(end.exit_code));
        }
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let message = waiting.and_then(|waiting| waiting.message.clone());
        if message.is_some() && message != told {
            note(format!(
                "container `{name}` waits: {}",
                message.as_deref().unwrap_or_default()
            ));
            told = message;
        }
    }
    Err(CliError::plain(format!(
        "pod `{}` has ended before container `{name}` was started",
        settings.pod
    )))
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let ephemerals = pod.ephemeral_containers();
    let others = pod.init_containers().iter().chain(pod.app_containers());
    let mut all = others.chain(&ephemerals);
    all.any(|known| known.name == name)
}

/// As kubectl's profile `general` makes it: it may trace the processes that it sees.
fn container(settings: &DebugSettings, name: &str) -> Result<Value, CliError> {
    let word = |word: &std::ffi::OsString| {
        word.to_str()
            .map(str::to_owned)
            .ok_or_else(|| CliError::Usage(format!("`{}` is not UTF-8", word.to_string_lossy())))
    };
    let command = settings.command.iter().map(word);
    let command = command.collect::<Result<Vec<_>, _>>()?;
    let env = settings.env.iter();
    let env: Vec<_> = env
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut container = json!({
        "name": name,
        "image": settings.image,
        "terminationMessagePolicy": "File",
        "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}},
    });
    for (field, value, is_given) in [
        ("command", json!(command), !command.is_empty()),
        ("env", json!(env), !env.is_empty()),
        (
            "targetContainerName",
            json!(settings.target),
            settings.target.is_some(),
        ),
        (
            "imagePullPolicy",
            json!(settings.image_pull_policy),
            settings.image_pull_policy.is_some(),
        ),
        ("stdin", json!(true), settings.stdin),
        ("tty", json!(true), settings.tty),
    ] {
        if is_given {
            container[field] = value;
        }
    }
    Ok(container)
}
