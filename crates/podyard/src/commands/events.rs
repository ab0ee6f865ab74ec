//! `events`: what has happened, oldest first.

use std::collections::HashMap;

use podyard_supervisor::PodHandle;
use tokio::sync::mpsc;

use super::{now, print, print_list};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::Event;
use crate::output::events::{last_seen, table};
use crate::pods;
use crate::settings::{Context, Format, Scope};
use crate::target::Target;
use crate::watcher::PodWatch;

pub(super) fn run(
    context: &Context,
    pod: Option<String>,
    scope: Scope,
    format: Option<Format>,
    watch: bool,
) -> Result<ExitCode, CliError> {
    let target = pod.map_or(Target::All, |name| Target::Named(vec![name]));
    let handles = pods::select(context, &target, scope)?;
    let mut events = Vec::new();
    for handle in &handles {
        events.extend(
            handle
                .events()
                .map_err(|error| pods::from_pod_error(error, &handle.namespace, &handle.name))?,
        );
    }
    events.sort_by_key(last_seen);
    match format {
        Some(format) => print_list(&events, format)?,
        None if events.is_empty() => super::note("No events found"),
        None => print(table(&events, scope == Scope::AllNamespaces, now()).render())?,
    }
    if watch {
        super::block_on(follow(handles, &events, scope, format))?;
    }
    Ok(ExitCode::Success)
}

/// Prints events as they come, and again when their count rises.
async fn follow(
    handles: Vec<PodHandle>,
    known: &[Event],
    scope: Scope,
    format: Option<Format>,
) -> Result<(), CliError> {
    let key = |event: &Event| (event.metadata.name.clone(), event.count);
    let mut seen: HashMap<_, ()> = known.iter().map(|event| (key(event), ())).collect();
    let with_namespace = scope == Scope::AllNamespaces;
    let mut widths = table(known, with_namespace, now()).widths();
    let (changed, mut changes) = mpsc::channel(64);
    for handle in handles.into_iter().filter(|handle| !handle.has_ended()) {
        tokio::task::spawn_local(watch_events(handle, changed.clone()));
    }
    drop(changed);
    while let Some(mut events) = changes.recv().await {
        events.retain(|event| seen.insert(key(event), ()).is_none());
        match format {
            _ if events.is_empty() => {}
            Some(format) => events
                .iter()
                .try_for_each(|event| super::print_object(event, format))?,
            None => print(table(&events, with_namespace, now()).render_rows(&mut widths))?,
        }
    }
    Ok(())
}

/// Sends all Events of a pod whenever it changes: they are published together with its status.
async fn watch_events(handle: PodHandle, changed: mpsc::Sender<Vec<Event>>) {
    let mut watch = PodWatch::with_events(handle);
    while watch.next().await.is_some() {
        if changed.send(watch.events()).await.is_err() {
            return;
        }
    }
}
