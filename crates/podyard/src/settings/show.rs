//! Verbs that show what there is: get, logs, top.

use std::time::Duration;

use super::{Format, Scope, selection};
use crate::args::{GetArgs, LogsArgs, OutputArg, TopArgs, TopOrderArg};
use crate::duration;
use crate::error::CliError;
use crate::output::jsonpath::Path;
use crate::output::jsonpath::Template;
use crate::target::{Selection, Target, Wanted, pod_name};

/// Lines that `logs -l` prints of each log, unless `--tail` says otherwise.
const LINES_OF_SELECTED: usize = 10;

#[derive(Debug)]
pub(crate) struct GetSettings {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) scope: Scope,
    pub(crate) listing: Listing,
    /// Objects are in the order of what this leads to.
    pub(crate) sort_by: Option<Path>,
    pub(crate) watch: bool,
    pub(crate) headers: bool,
}

/// How `get` prints objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Listing {
    Table(TableForm),
    Names,
    Objects(Format),
    Template(Template),
    Columns(Vec<(String, Path)>),
}

/// What a table shows of each object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableForm {
    /// Columns that do not fit on every screen.
    pub(crate) wide: bool,
    /// Labels that have a column each.
    pub(crate) label_columns: Vec<String>,
    /// A column with all labels.
    pub(crate) show_labels: bool,
}

#[derive(Debug)]
pub(crate) struct LogsSettings {
    /// Pods only.
    pub(crate) target: Target,
    pub(crate) containers: LogContainers,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    /// The last so many lines; None is all of them.
    pub(crate) tail: Option<usize>,
    /// Bytes of each log.
    pub(crate) limit_bytes: Option<usize>,
    pub(crate) timestamps: bool,
    pub(crate) since: Option<Duration>,
    pub(crate) prefix: bool,
}

/// Whose logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogContainers {
    /// The pod's default container.
    Default,
    One(String),
    All,
}

#[derive(Debug)]
pub(crate) struct TopSettings {
    /// Pods only.
    pub(crate) target: Target,
    pub(crate) scope: Scope,
    /// A line for each container.
    pub(crate) containers: bool,
    /// By name, if nothing else is said.
    pub(crate) order: Option<TopOrder>,
    pub(crate) headers: bool,
}

/// Largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopOrder {
    Cpu,
    Memory,
}

pub(super) fn top(args: &TopArgs) -> Result<TopSettings, CliError> {
    let wanted = Wanted::parse_selected(&args.target, selection(&args.selector)?.as_ref())?;
    Ok(TopSettings {
        target: Wanted::only_pods(&wanted, "only pods are measured")?,
        scope: args.scope.into(),
        containers: args.containers,
        order: args.sort_by.map(|order| match order {
            TopOrderArg::Cpu => TopOrder::Cpu,
            TopOrderArg::Memory => TopOrder::Memory,
        }),
        headers: !args.no_headers,
    })
}

pub(super) fn get(args: GetArgs) -> Result<GetSettings, CliError> {
    let table = |wide| {
        Listing::Table(TableForm {
            wide,
            label_columns: args.label_columns.clone(),
            show_labels: args.show_labels,
        })
    };
    let listing = match args.output {
        None => table(false),
        Some(OutputArg::Wide) => table(true),
        Some(OutputArg::Name) => Listing::Names,
        Some(OutputArg::Json) => Listing::Objects(Format::Json),
        Some(OutputArg::Yaml) => Listing::Objects(Format::Yaml),
        Some(OutputArg::JsonPath(template)) => Listing::Template(template),
        Some(OutputArg::CustomColumns(columns)) => Listing::Columns(columns),
    };
    let sort_by = args.sort_by.as_deref().map(|path| {
        Path::parse(path).map_err(|problem| CliError::Usage(format!("--sort-by: {problem}")))
    });
    Ok(GetSettings {
        wanted: Wanted::parse_selected(&args.target, selection(&args.selector)?.as_ref())?,
        scope: args.scope.into(),
        listing,
        sort_by: sort_by.transpose()?,
        watch: args.watch,
        headers: !args.no_headers,
    })
}

pub(super) fn logs(args: LogsArgs) -> Result<LogsSettings, CliError> {
    let selection = Selection::parse(args.selector.as_deref(), None)?;
    let tail = match args.tail {
        // As kubectl: of many pods, not everything.
        None if selection.is_some() => Some(LINES_OF_SELECTED),
        None | Some(-1) => None,
        Some(lines) => {
            let lines = usize::try_from(lines).map_err(|_| {
                CliError::Usage("--tail takes a number of lines, or -1 for all".to_owned())
            })?;
            Some(lines)
        }
    };
    let since = args.since.map(|text| match duration::parse(&text) {
        Some(since) if !since.is_zero() => Ok(since),
        _ => Err(CliError::Usage(format!(
            "--since takes a duration such as 10s, 5m or 2h, not `{text}`"
        ))),
    });
    let containers = match args.container.or(args.container_name) {
        Some(name) => LogContainers::One(name),
        None if args.all_containers => LogContainers::All,
        None => LogContainers::Default,
    };
    if args.follow && args.previous {
        return Err(CliError::Usage(
            "an instance that has ended cannot be followed: use either --follow or --previous"
                .to_owned(),
        ));
    }
    Ok(LogsSettings {
        target: match selection {
            Some(selection) => Target::Selected(selection),
            None => Target::Named(vec![pod_name(&args.pod.unwrap_or_default())?]),
        },
        containers,
        follow: args.follow,
        previous: args.previous,
        tail,
        limit_bytes: args.limit_bytes,
        timestamps: args.timestamps,
        since: since.transpose()?,
        prefix: args.prefix,
    })
}
