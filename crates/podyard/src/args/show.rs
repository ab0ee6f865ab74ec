//! Verbs that show what there is: get, describe, logs, events, top, timeline.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::output::jsonpath::Path;
use crate::output::jsonpath::Template;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// `pods`, `pod NAME…` or `pod/NAME…`; also configmaps (cm), secrets and persistentvolumeclaims (pvc)
    #[arg(value_name = "TYPE [NAME]", required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// wide, json, yaml, name, jsonpath=TEMPLATE or custom-columns=TITLE:PATH,…
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<OutputArg>,
    /// In the order of what this path leads to, such as .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub(crate) sort_by: Option<String>,
    /// A column with the value of this label
    #[arg(short = 'L', long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) label_columns: Vec<String>,
    /// A column with all labels
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// Go on printing every change
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Without the line of column titles
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// Where to look.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ScopeArgs {
    /// In every namespace
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

/// Which objects are meant, if not all and none by its name.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectorArgs {
    /// Those with these labels: `app=web`, `app!=web`, `app in (a,b)`, `app`, `!app`; several, with commas
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// Pods with these fields: `status.phase=Running`, `metadata.name!=web`; several, with commas
    #[arg(long, value_name = "FIELDS")]
    pub(crate) field_selector: Option<String>,
}

/// How to print objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OutputArg {
    /// The table with more columns.
    Wide,
    /// The Kubernetes object.
    Json,
    /// The Kubernetes object.
    Yaml,
    /// `pod/NAME`.
    Name,
    /// Parts of the object, as a template says.
    JsonPath(Template),
    /// A table of parts of the object: titles and paths.
    CustomColumns(Vec<(String, Path)>),
}

impl FromStr for OutputArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None => match text {
                "wide" => Ok(Self::Wide),
                "json" => Ok(Self::Json),
                "yaml" => Ok(Self::Yaml),
                "name" => Ok(Self::Name),
                "jsonpath" => Err("template format specified but no template given".to_owned()),
                "custom-columns" => {
                    Err("custom-columns format specified but no custom columns given".to_owned())
                }
                _ => Err(
                    "allowed formats are: custom-columns, json, jsonpath, name, wide, yaml"
                        .to_owned(),
                ),
            },
            Some(("jsonpath", template)) => Template::parse(template).map(Self::JsonPath),
            Some(("custom-columns", columns)) => {
                let column = |text: &str| {
                    let (title, path) = text.split_once(':').ok_or_else(|| {
                        format!("unexpected custom-columns spec: {text}, expected <header>:<json-path-expr>")
                    })?;
                    Ok((title.to_owned(), Path::parse(path)?))
                };
                let columns: Result<_, String> = columns.split(',').map(column).collect();
                columns.map(Self::CustomColumns)
            }
            Some((other, _)) => Err(format!("unable to match a printer suitable for {other:?}")),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// `pod NAME…`, `pod/NAME…` or `pods`; also configmaps (cm), secrets and persistentvolumeclaims (pvc)
    #[arg(value_name = "TYPE [NAME]", required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Those with these labels: `app=web`, `app in (a,b)`, `!app`; several, with commas
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The pod, as NAME or pod/NAME
    #[arg(required_unless_present = "selector")]
    pub(crate) pod: Option<String>,
    /// Of the pods with these labels; the last 10 lines of each, unless `--tail` says otherwise
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "pod")]
    pub(crate) selector: Option<String>,
    /// The container, if not given by `-c`
    #[arg(conflicts_with_all = ["container", "all_containers"])]
    pub(crate) container_name: Option<String>,
    /// The container
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Go on printing until the container ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Of the instance before the current one
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) tail: Option<i64>,
    /// At most so many bytes of each log
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    pub(crate) limit_bytes: Option<usize>,
    /// The time in front of every line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Only what is younger than, for example, 10s, 5m or 2h
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<String>,
    /// Of every container
    #[arg(long, conflicts_with = "container")]
    pub(crate) all_containers: bool,
    /// Pod and container in front of every line
    #[arg(long)]
    pub(crate) prefix: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only of this pod, as NAME or pod/NAME
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
    /// Go on printing what happens
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// How to print what Kubernetes has an object or podyard a record for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectOutputArg {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// `pods`, `pod NAME…` or `pod/NAME…`
    #[arg(value_name = "TYPE [NAME]", required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// A line for each container
    #[arg(long)]
    pub(crate) containers: bool,
    /// The largest first: cpu or memory
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub(crate) sort_by: Option<TopOrderArg>,
    /// Without the line of column titles
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// What decides the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopOrderArg {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}
