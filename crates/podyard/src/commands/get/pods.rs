//! `get pods`: the columns of pods, and a row or an object at every change.

use std::collections::HashMap;

use podyard_supervisor::PodHandle;
use tokio::sync::mpsc;

use super::{Group, custom_table, labels, value};
use crate::commands::{now, print, print_object, print_table};
use crate::error::CliError;
use crate::objects::{Pod, PodExt as _, Timestamp};
use crate::output::age;
use crate::output::status_column::Summary;
use crate::output::table::Table;
use crate::pods;
use crate::settings::{Context, GetSettings, Listing, Scope, TableForm};
use crate::target::{Resource, Target};
use crate::watcher::{Changes, watch_pod};

/// The pods that are meant, for a listing.
pub(super) fn group(
    handles: &[PodHandle],
    scope: Scope,
    form: &TableForm,
) -> Result<(Vec<Pod>, Group), CliError> {
    let listed: Vec<Pod> = handles
        .iter()
        .filter_map(|handle| handle.pod().ok())
        .collect();
    let now = now();
    let group = Group {
        resource: Resource::Pods,
        titles: titles(scope, form),
        rows: listed
            .iter()
            .map(|pod| row(pod, scope, form, now))
            .collect(),
        objects: listed.iter().map(value).collect::<Result<_, _>>()?,
    };
    Ok((listed, group))
}

fn titles(scope: Scope, form: &TableForm) -> Vec<String> {
    let namespace = (scope == Scope::AllNamespaces).then_some("NAMESPACE");
    let columns = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    let more: &[&str] = if form.wide {
        &["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    } else {
        &[]
    };
    namespace
        .into_iter()
        .chain(columns)
        .chain(more.iter().copied())
        .map(str::to_owned)
        .chain(labels::titles(form))
        .collect()
}

fn table(pods: &[Pod], scope: Scope, form: &TableForm, now: Timestamp) -> Table {
    let mut table = Table::new(titles(scope, form));
    for pod in pods {
        table.push(row(pod, scope, form, now));
    }
    table
}

fn row(pod: &Pod, scope: Scope, form: &TableForm, now: Timestamp) -> Vec<String> {
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
    if form.wide {
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
    row.extend(labels::cells(form, pod.metadata.labels.as_ref()));
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

/// Prints a row, or an object, whenever one of the pods changes. Pods that appear later are seen too, unless they were named; so are those that
/// become what is looked for.
pub(super) async fn watch(
    context: &Context,
    settings: &GetSettings,
    target: &Target,
    form: &TableForm,
    listed: &[Pod],
) -> Result<(), CliError> {
    let is_table = matches!(settings.listing, Listing::Table(_));
    let mut has_titles = settings.headers && listed.is_empty();
    let mut widths = table(listed, settings.scope, form, now()).widths();
    let mut has_header = is_table && settings.headers && !listed.is_empty();
    // What was printed last of each pod, without its age: only what says something new is printed again.
    let mut printed: HashMap<String, Vec<String>> = HashMap::new();
    let shown = |pod: &Pod| {
        let at_its_creation = pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        row(pod, settings.scope, form, at_its_creation)
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
    let everyone = match target {
        Target::Selected(_) => &Target::All,
        target => target,
    };
    // Watched first, looked at second: nobody appears in between.
    let sees_new_ones = *everyone == Target::All && names.add(&directory).is_ok();
    follow(pods::select(context, everyone, settings.scope)?);
    loop {
        tokio::select! {
            pod = changes.recv() => {
                let Some(pod): Option<Pod> = pod else { return Ok(()) };
                if let Target::Selected(selection) = target
                    && !selection.matches(&pod)
                {
                    continue;
                }
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
                    Listing::Table(_) => {
                        let one = table(std::slice::from_ref(&pod), settings.scope, form, now());
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
            () = names.changed(), if sees_new_ones => follow(pods::select(context, everyone, settings.scope)?),
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
        let form = TableForm {
            wide: true,
            ..TableForm::default()
        };
        let text = table(&[web], Scope::AllNamespaces, &form, time(START + 65).0).render();
        assert_eq!(
            text,
            "NAMESPACE   NAME   READY   STATUS    RESTARTS   AGE   IP          NODE     NOMINATED NODE   READINESS GATES\n\
             default     web    1/1     Running   0          65s   10.88.0.2   <none>   <none>           <none>\n"
        );
    }
}
