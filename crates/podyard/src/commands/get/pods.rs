//! `get pods`: the columns of pods, and a row or an object at every change.

use std::collections::HashMap;

use podyard_supervisor::PodHandle;
use tokio::sync::mpsc;

use super::{Group, custom_table, print_table, value};
use crate::commands::{now, print, print_object};
use crate::error::CliError;
use crate::objects::{Pod, PodExt as _, Timestamp};
use crate::output::age;
use crate::output::status_column::Summary;
use crate::output::table::Table;
use crate::pods;
use crate::settings::{Context, GetSettings, Listing, Scope};
use crate::target::{Resource, Target};
use crate::watcher::{Changes, watch_pod};

/// The pods that are meant, for a listing.
pub(super) fn group(
    handles: &[PodHandle],
    scope: Scope,
    wide: bool,
) -> Result<(Vec<Pod>, Group), CliError> {
    let listed: Vec<Pod> = handles
        .iter()
        .filter_map(|handle| handle.pod().ok())
        .collect();
    let now = now();
    let group = Group {
        resource: Resource::Pods,
        titles: titles(scope, wide),
        rows: listed
            .iter()
            .map(|pod| row(pod, scope, wide, now))
            .collect(),
        objects: listed.iter().map(value).collect::<Result<_, _>>()?,
    };
    Ok((listed, group))
}

fn titles(scope: Scope, wide: bool) -> Vec<&'static str> {
    let namespace = (scope == Scope::AllNamespaces).then_some("NAMESPACE");
    let columns = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    let more: &[&str] = if wide {
        &["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    } else {
        &[]
    };
    namespace
        .into_iter()
        .chain(columns)
        .chain(more.iter().copied())
        .collect()
}

fn table(pods: &[Pod], scope: Scope, wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(titles(scope, wide));
    for pod in pods {
        table.push(row(pod, scope, wide, now));
    }
    table
}

fn row(pod: &Pod, scope: Scope, wide: bool, now: Timestamp) -> Vec<String> {
    let summary = Summary::of(pod);
    let mut row = Vec::new();
    if scope == Scope::AllNamespaces {
        row.push(pod.namespace().to_owned());
    }
    row.extend([
        pod.name().to_owned(),
        summary.ready_column(),
        summary.status.clone(),
        summary.restarts_column(now),
        age::since(
            pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            now,
        ),
    ]);
    if wide {
        let or_none = |text: Option<&str>| {
            text.filter(|text| !text.is_empty())
                .unwrap_or("<none>")
                .to_owned()
        };
        let status = pod.status.as_ref();
        row.extend([
            or_none(status.and_then(|status| status.pod_ip.as_deref())),
            or_none(pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())),
            or_none(status.and_then(|status| status.nominated_node_name.as_deref())),
            readiness_gates(pod),
        ]);
    }
    row
}

/// `1/2`, or `<none>`.
fn readiness_gates(pod: &Pod) -> String {
    let gates = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.readiness_gates.as_deref())
        .unwrap_or_default();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates
        .iter()
        .filter(|gate| pod.condition_is_true(&gate.condition_type))
        .count();
    format!("{passed}/{}", gates.len())
}

/// Prints a row, or an object, whenever one of the pods changes. Pods that appear later are seen too, unless they were named.
pub(super) async fn watch(
    context: &Context,
    settings: &GetSettings,
    target: &Target,
    handles: Vec<PodHandle>,
    listed: &[Pod],
) -> Result<(), CliError> {
    let wide = settings.listing == Listing::Table { wide: true };
    let is_table = matches!(settings.listing, Listing::Table { .. });
    let mut has_titles = settings.headers && listed.is_empty();
    let mut widths = table(listed, settings.scope, wide, now()).widths();
    let mut has_header = is_table && settings.headers && !listed.is_empty();
    // What was printed last of each pod, without its age: only what says something new is printed again.
    let mut printed: HashMap<String, Vec<String>> = HashMap::new();
    let shown = |pod: &Pod| {
        let at_its_creation = pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        row(pod, settings.scope, wide, at_its_creation)
    };
    for pod in listed
        .iter()
        .filter(|_| !matches!(settings.listing, Listing::Objects(_) | Listing::Template(_)))
    {
        printed.insert(pod.metadata.uid.clone().unwrap_or_default(), shown(pod));
    }

    let (changed, mut changes) = mpsc::channel(64);
    let mut names =
        Changes::new().map_err(|error| CliError::failed("cannot watch the pods", error))?;
    let directory = pods::roots(context)?.names();
    let mut followed: Vec<String> = Vec::new();
    let mut follow = |handles: Vec<PodHandle>| {
        for handle in handles {
            if !followed.iter().any(|uid| uid == handle.uid()) && !handle.has_ended() {
                followed.push(handle.uid().to_owned());
                tokio::task::spawn_local(watch_pod(handle, changed.clone()));
            }
        }
    };
    follow(handles);
    let sees_new_ones = *target == Target::All && names.add(&directory).is_ok();
    loop {
        tokio::select! {
            pod = changes.recv() => {
                let Some(pod): Option<Pod> = pod else { return Ok(()) };
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                let shown = shown(&pod);
                if is_table && printed.get(&uid) == Some(&shown) {
                    continue;
                }
                printed.insert(uid, shown);
                match &settings.listing {
                    Listing::Objects(format) => print_object(&pod, *format)?,
                    Listing::Template(template) => print(template.render(&value(&pod)?))?,
                    Listing::Columns(columns) => {
                        let titles = std::mem::take(&mut has_titles);
                        print_table(&custom_table(columns, &[value(&pod)?]), titles)?;
                    }
                    Listing::Names => print(format!("pod/{}\n", pod.name()))?,
                    Listing::Table { .. } => {
                        let one = table(std::slice::from_ref(&pod), settings.scope, wide, now());
                        if has_header || !settings.headers {
                            print(one.render_rows(&mut widths))?;
                        } else {
                            has_header = true;
                            widths = one.widths();
                            print(one.render())?;
                        }
                    }
                }
            }
            () = names.changed(), if sees_new_ones => follow(pods::select(context, target, settings.scope)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{PodChanges as _, START, app, pod, running, time};

    #[test]
    fn the_wide_table_has_kubectls_columns() {
        let mut web = pod("Running", [app("a", running())]).ready();
        web.status.as_mut().expect("a status").pod_ip = Some("10.88.0.2".to_owned());
        let text = table(&[web], Scope::AllNamespaces, true, time(START + 65).0).render();
        assert_eq!(
            text,
            "NAMESPACE   NAME   READY   STATUS    RESTARTS   AGE   IP          NODE     NOMINATED NODE   READINESS GATES\n\
             default     web    1/1     Running   0          65s   10.88.0.2   <none>   <none>           <none>\n"
        );
    }
}
