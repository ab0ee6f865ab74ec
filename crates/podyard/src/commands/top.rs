//! `top`: what pods and their containers use right now, as kubectl shows it.

use podyard_api::quantity;
use podyard_supervisor::{PodHandle, PodMetrics};
use tokio::task::JoinSet;

use super::{block_on, note_nothing, print_table};
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::output::table::Table;
use crate::pods;
use crate::settings::{Context, Scope, TopOrder, TopSettings};
use crate::target::Target;

const MEBIBYTE: u64 = 1 << 20;

pub(super) fn run(context: &Context, settings: &TopSettings) -> Result<ExitCode, CliError> {
    let mut handles = pods::select(context, &settings.target, settings.scope)?;
    if let (Target::Named(_), Some(ended)) =
        (&settings.target, handles.iter().find(|pod| pod.has_ended()))
    {
        return Err(CliError::plain(format!(
            "Metrics not available for pod {}/{}: it has ended",
            ended.namespace, ended.name
        )));
    }
    handles.retain(|handle| !handle.has_ended());
    let mut uses = block_on(measure(handles))?;
    uses.retain(|pod| !pod.containers.is_empty());
    if uses.is_empty() {
        note_nothing(context, settings.scope);
    } else {
        print_table(&table(&uses, settings), settings.headers)?;
    }
    Ok(ExitCode::Success)
}

/// What one pod uses.
struct PodUse {
    namespace: String,
    name: String,
    containers: Vec<(String, Use)>,
}

#[derive(Clone, Copy, Default)]
struct Use {
    nanocores: u64,
    /// Bytes.
    memory: u64,
}

impl Use {
    fn plus(self, other: Self) -> Self {
        Self {
            nanocores: self.nanocores.saturating_add(other.nanocores),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// Whole thousandths of a processor, and whole mebibytes: what is not whole, rounded as kubectl rounds it.
    fn cells(self) -> [String; 2] {
        let milli = self.nanocores.div_ceil(1_000_000);
        [format!("{milli}m"), format!("{}Mi", self.memory / MEBIBYTE)]
    }
}

impl PodUse {
    fn total(&self) -> Use {
        let each = self.containers.iter().map(|(_, used)| *used);
        each.fold(Use::default(), Use::plus)
    }
}

/// Asks all pods beside each other: each takes a second. One that ends meanwhile uses nothing.
async fn measure(handles: Vec<PodHandle>) -> Result<Vec<PodUse>, CliError> {
    let mut asked = JoinSet::new();
    for (place, handle) in handles.into_iter().enumerate() {
        asked.spawn_local(async move { (place, handle.client().metrics().await, handle) });
    }
    let mut uses = Vec::new();
    for (place, metrics, handle) in asked.join_all().await {
        let containers = match metrics {
            Ok(metrics) => of_containers(&metrics),
            Err(_) if handle.has_ended() || !handle.dirs().record().exists() => Vec::new(),
            Err(error) => {
                return Err(CliError::failed(
                    format!("cannot tell what pod `{}` uses", handle.name),
                    error,
                ));
            }
        };
        let PodHandle {
            namespace, name, ..
        } = handle;
        let used = PodUse {
            namespace,
            name,
            containers,
        };
        uses.push((place, used));
    }
    uses.sort_by_key(|(place, _)| *place);
    Ok(uses.into_iter().map(|(_, used)| used).collect())
}

fn of_containers(metrics: &PodMetrics) -> Vec<(String, Use)> {
    let each = metrics.containers.iter().map(|container| {
        let nanocores = container.usage.cpu.strip_suffix('n').unwrap_or_default();
        let used = Use {
            nanocores: nanocores.parse().unwrap_or_default(),
            memory: quantity::bytes(&container.usage.memory).unwrap_or_default(),
        };
        (container.name.clone(), used)
    });
    each.collect()
}

fn table(uses: &[PodUse], settings: &TopSettings) -> Table {
    let everywhere = settings.scope == Scope::AllNamespaces;
    let namespace = everywhere.then_some("NAMESPACE");
    let names: &[&str] = match settings.containers {
        true => &["POD", "NAME"],
        false => &["NAME"],
    };
    let titles = ["CPU(cores)", "MEMORY(bytes)"];
    let mut table = Table::new(namespace.iter().chain(names).chain(&titles).copied());
    let mut rows: Vec<(Vec<String>, Use)> = Vec::new();
    for pod in uses {
        let mut start: Vec<String> = Vec::new();
        start.extend(everywhere.then(|| pod.namespace.clone()));
        start.push(pod.name.clone());
        if settings.containers {
            for (name, used) in &pod.containers {
                rows.push(([&start[..], std::slice::from_ref(name)].concat(), *used));
            }
        } else {
            rows.push((start, pod.total()));
        }
    }
    match settings.order {
        None => {}
        Some(TopOrder::Cpu) => rows.sort_by_key(|(_, used)| std::cmp::Reverse(used.nanocores)),
        Some(TopOrder::Memory) => rows.sort_by_key(|(_, used)| std::cmp::Reverse(used.memory)),
    }
    for (start, used) in rows {
        table.push(start.into_iter().chain(used.cells()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> PodUse {
        let used = |nanocores, memory| Use { nanocores, memory };
        PodUse {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            containers: vec![
                ("app".to_owned(), used(1_500_000, 3 * MEBIBYTE + 5)),
                ("log".to_owned(), used(250_000_000, MEBIBYTE)),
            ],
        }
    }

    fn settings(containers: bool) -> TopSettings {
        TopSettings {
            target: Target::All,
            scope: Scope::Namespace,
            containers,
            order: Some(TopOrder::Cpu),
            headers: true,
        }
    }

    #[test]
    fn the_tables_are_kubectls() {
        assert_eq!(
            table(&[web()], &settings(false)).render(),
            "NAME   CPU(cores)   MEMORY(bytes)\n\
             web    252m         4Mi\n"
        );
        assert_eq!(
            table(&[web()], &settings(true)).render(),
            "POD   NAME   CPU(cores)   MEMORY(bytes)\n\
             web   log    250m         1Mi\n\
             web   app    2m           3Mi\n"
        );
    }
}
