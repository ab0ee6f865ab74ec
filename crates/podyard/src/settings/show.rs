//! Verbs that show what there is: get, logs.

use std::time::Duration;

use super::{Format, Scope};
use crate::args::{GetArgs, LogsArgs, OutputArg};
use crate::duration;
use crate::error::CliError;
use crate::output::jsonpath::Path;
use crate::output::jsonpath::Template;
use crate::target::Wanted;
use crate::target::pod_name;

#[derive(Debug)]
pub(crate) struct GetSettings {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) scope: Scope,
    pub(crate) listing: Listing,
    pub(crate) watch: bool,
    pub(crate) headers: bool,
}

/// How `get` prints pods.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Listing {
    Table { wide: bool },
    Names,
    Objects(Format),
    Template(Template),
    Columns(Vec<(String, Path)>),
}

#[derive(Debug)]
pub(crate) struct LogsSettings {
    pub(crate) pod: String,
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

pub(super) fn get(args: GetArgs) -> Result<GetSettings, CliError> {
    let listing = match args.output {
        None => Listing::Table { wide: false },
        Some(OutputArg::Wide) => Listing::Table { wide: true },
        Some(OutputArg::Name) => Listing::Names,
        Some(OutputArg::Json) => Listing::Objects(Format::Json),
        Some(OutputArg::Yaml) => Listing::Objects(Format::Yaml),
        Some(OutputArg::JsonPath(template)) => Listing::Template(template),
        Some(OutputArg::CustomColumns(columns)) => Listing::Columns(columns),
    };
    Ok(GetSettings {
        wanted: Wanted::parse(&args.target)?,
        scope: args.scope.into(),
        listing,
        watch: args.watch,
        headers: !args.no_headers,
    })
}

pub(super) fn logs(args: LogsArgs) -> Result<LogsSettings, CliError> {
    let tail = match args.tail {
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
        pod: pod_name(&args.pod)?,
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
