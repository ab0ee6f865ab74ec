//! `get`: pods and the objects that are kept for them, in tables or as objects, once or at every change.

mod labels;
mod pods;

use serde_json::{Value, json};

use super::{block_on, now, print, print_list, print_object, print_table};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::named::{self, Named};
use crate::objects::core::{ConfigMap, PersistentVolumeClaim, Secret};
use crate::output::jsonpath::Path;
use crate::output::named::Listed;
use crate::output::table::Table;
use crate::settings::{Context, GetSettings, Listing, Scope, TableForm};
use crate::target::{Resource, Target, Wanted};

pub(super) fn run(context: &Context, settings: &GetSettings) -> Result<ExitCode, CliError> {
    let form = match &settings.listing {
        Listing::Table(form) => form.clone(),
        _ => TableForm::default(),
    };
    if settings.watch {
        return watch(context, settings, &form);
    }
    let mut groups = Vec::new();
    for wanted in &settings.wanted {
        let mut group = group(context, wanted, settings.scope, &form)?;
        if let Some(path) = &settings.sort_by {
            group.sort_by(path);
        }
        groups.push(group);
    }
    show(context, settings, &groups)?;
    Ok(ExitCode::Success)
}

/// The objects of one kind, with what a table says about each.
struct Group {
    resource: Resource,
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
    objects: Vec<Value>,
}

impl Group {
    /// Puts the objects in the order of what `path` leads to; those where it leads nowhere come first.
    fn sort_by(&mut self, path: &Path) {
        let mut order: Vec<usize> = (0..self.objects.len()).collect();
        order.sort_by(|&a, &b| path.compare(&self.objects[a], &self.objects[b]));
        self.rows = order.iter().map(|&at| self.rows[at].clone()).collect();
        self.objects = order.iter().map(|&at| self.objects[at].clone()).collect();
    }
}

fn group(
    context: &Context,
    wanted: &Wanted,
    scope: Scope,
    form: &TableForm,
) -> Result<Group, CliError> {
    match wanted.resource {
        Resource::Pods => {
            let handles = crate::pods::select(context, &wanted.target, scope)?;
            Ok(pods::group(&handles, scope, form)?.1)
        }
        Resource::ConfigMaps => kept_group::<ConfigMap>(context, wanted, scope, form),
        Resource::Secrets => kept_group::<Secret>(context, wanted, scope, form),
        Resource::Claims => kept_group::<PersistentVolumeClaim>(context, wanted, scope, form),
    }
}

fn kept_group<T: Named + Listed>(
    context: &Context,
    wanted: &Wanted,
    scope: Scope,
    form: &TableForm,
) -> Result<Group, CliError> {
    let listed = named::select::<T>(context, &wanted.target, scope)?;
    let everywhere = scope == Scope::AllNamespaces;
    let now = now();
    let row = |object: &T| {
        let namespace = everywhere.then(|| object.namespace().to_owned());
        namespace
            .into_iter()
            .chain(object.row(form.wide, now))
            .chain(labels::cells(form, object.metadata().labels.as_ref()))
            .collect()
    };
    let namespace = everywhere.then_some("NAMESPACE");
    let titles = namespace.into_iter().chain(T::titles(form.wide));
    Ok(Group {
        resource: wanted.resource,
        titles: titles
            .map(str::to_owned)
            .chain(labels::titles(form))
            .collect(),
        rows: listed.iter().map(row).collect(),
        objects: listed.iter().map(value).collect::<Result<_, _>>()?,
    })
}

fn show(context: &Context, settings: &GetSettings, groups: &[Group]) -> Result<(), CliError> {
    let is_one = asks_for_one(&settings.wanted);
    let objects: Vec<&Value> = groups.iter().flat_map(|group| &group.objects).collect();
    match &settings.listing {
        Listing::Objects(format) if is_one => objects
            .iter()
            .try_for_each(|object| print_object(object, *format)),
        Listing::Template(template) if is_one => objects
            .iter()
            .try_for_each(|object| print(template.render(object))),
        Listing::Objects(format) => print_list(&objects, *format),
        Listing::Template(template) => print(template.render(&json!({
            "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects,
        }))),
        Listing::Columns(columns) => {
            let objects: Vec<Value> = objects.into_iter().cloned().collect();
            print_table(&custom_table(columns, &objects), settings.headers)
        }
        Listing::Names => groups.iter().try_for_each(|group| {
            let kind = group.resource.singular();
            group.objects.iter().try_for_each(|object| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                print(format!("{kind}/{name}\n"))
            })
        }),
        Listing::Table(_) if objects.is_empty() => {
            super::note_nothing(context, settings.scope);
            Ok(())
        }
        Listing::Table(_) => show_tables(settings, groups),
    }
}

/// One table for each kind; of several kinds, each name tells its own.
fn show_tables(settings: &GetSettings, groups: &[Group]) -> Result<(), CliError> {
    let are_several = settings.wanted.len() > 1;
    let name = usize::from(settings.scope == Scope::AllNamespaces);
    let filled = groups.iter().filter(|group| !group.rows.is_empty());
    for (position, group) in filled.enumerate() {
        let mut table = Table::new(group.titles.iter().map(String::as_str));
        for row in &group.rows {
            let mut row = row.clone();
            if are_several {
                row[name] = format!("{}/{}", group.resource.singular(), row[name]);
            }
            table.push(row);
        }
        if position > 0 {
            print("\n")?;
        }
        print_table(&table, settings.headers)?;
    }
    Ok(())
}

/// Whether a single object was asked for by its name: it is printed by itself and not in a list.
fn asks_for_one(wanted: &[Wanted]) -> bool {
    matches!(wanted, [Wanted { target: Target::Named(names), .. }] if names.len() == 1)
}

/// What there is, and then what changes.
fn watch(
    context: &Context,
    settings: &GetSettings,
    form: &TableForm,
) -> Result<ExitCode, CliError> {
    let what = "only pods can be watched, and nothing beside them";
    let target = &Wanted::only_pods(&settings.wanted, what)?;
    if settings.sort_by.is_some() {
        super::note("warning: --watch requested, --sort-by will be ignored");
    }
    let handles = crate::pods::select(context, target, settings.scope)?;
    let (listed, group) = pods::group(&handles, settings.scope, form)?;
    let prints_each = matches!(settings.listing, Listing::Objects(_) | Listing::Template(_));
    // As a list, they come one by one in any case.
    if !prints_each || asks_for_one(&settings.wanted) {
        show(context, settings, &[group])?;
    }
    block_on(pods::watch(context, settings, target, form, &listed))?;
    Ok(ExitCode::Success)
}

fn value(object: &impl serde::Serialize) -> Result<Value, CliError> {
    serde_json::to_value(object).map_err(|error| CliError::failed("cannot print the object", error))
}

/// The columns that were asked for, and a row per object.
fn custom_table(columns: &[(String, Path)], objects: &[Value]) -> Table {
    let mut table = Table::new(columns.iter().map(|(title, _)| title.as_str()));
    for object in objects {
        table.push(columns.iter().map(|(_, path)| path.column(object)));
    }
    table
}
