//! The command line as clap reads it: verbs, flags, help texts, environment variables. Nothing here decides anything;
//! [`crate::settings`] turns it into what commands work with.
//!
//! Verbs and flags are kubectl's wherever kubectl has the job. Every environment variable that podyard itself reads is declared here,
//! but for `NO_COLOR` and `TERM`, which are everybody's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::jsonpath::{Path, Template};

/// Kubernetes Pods on one machine, without a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "podyard",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    propagate_version = false
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or invalid manifest, 3 not found, 4 exists already, 5 this machine cannot\ndo it, 130 Ctrl-C; a foreground pod and `exec` pass the workload's own code on. See docs/exit-codes.md."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Keep everything below DIR: an instance of its own, beside all others
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PODYARD_ROOT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) root: Option<PathBuf>,
    /// The namespace of the pods that are meant; `default` if not given
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) namespace: Option<String>,
    /// Say more on stderr
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// Colours: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true,
        help_heading = "Global options"
    )]
    pub(crate) color: ColorArg,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a pod from its manifest, in the foreground or detached
    #[command(after_long_help = crate::exit_code::help())]
    Run(RunArgs),
    /// Keep ConfigMaps, Secrets and claims for the pods that name them, and start pods that are not there yet
    Apply(ApplyArgs),
    /// Show what a manifest would do, and start nothing
    Plan(PlanArgs),
    /// Find what is valid in a manifest and still does not do what was meant
    Check(CheckArgs),
    /// List pods or applied objects, or print them as objects
    Get(GetArgs),
    /// Show everything about a pod, and why it is (not) running; or about an applied object
    Describe(DescribeArgs),
    /// Print what a container wrote
    Logs(LogsArgs),
    /// Run a command in a container
    Exec(ExecArgs),
    /// Stop pods and remove them; forget applied objects
    Delete(DeleteArgs),
    /// List what has happened to pods
    Events(EventsArgs),
    /// Show when each container ran, as a waterfall
    Timeline(TimelineArgs),
    /// Connect to the first process of a container that runs
    Attach(AttachArgs),
    /// Add a container to a running pod, to look into it; or look into its supervisor
    Debug(DebugArgs),
    /// Set a condition of a pod that others are in charge of, such as a readiness gate
    Condition(ConditionArgs),
    /// End the wait of a container that backs off, and try it again now
    Retry(RetryArgs),
    /// Import, pull, list and remove images
    #[command(subcommand)]
    Image(ImageVerb),
    /// What podyard keeps on this machine, and what the machine can do
    #[command(subcommand)]
    System(SystemVerb),
    /// Print the version
    Version(VersionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Manifests: files, directories of them, or `-` for stdin. One Pod, with the ConfigMaps and Secrets it uses
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    pub(crate) files: Vec<PathBuf>,
    /// The same, as kubectl spells it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// Return as soon as the pod is accepted and its supervisor runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Remove the pod when it has ended
    #[arg(long, conflicts_with = "detach")]
    pub(crate) rm: bool,
    /// How many pods each Deployment, ReplicaSet and StatefulSet has, whatever its manifest says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) replicas: Option<i32>,
    /// Pass over objects of kinds that podyard does not know
    #[arg(long)]
    pub(crate) skip_unknown: bool,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
}

/// How pods are run, beside what their manifests say.
#[derive(Debug, Args)]
pub(crate) struct PodArgs {
    /// After a failed init container: try that one again (as a cluster does), or begin again with the first
    #[arg(
        long,
        value_name = "WHAT",
        env = "PODYARD_ON_INIT_FAILURE",
        hide_env_values = true
    )]
    pub(crate) on_init_failure: Option<OnInitFailureArg>,
    /// Multiply every back-off by FACTOR, between 0 and 1: for tests and demos
    #[arg(
        long,
        value_name = "FACTOR",
        env = "PODYARD_BACKOFF",
        hide_env_values = true
    )]
    pub(crate) backoff: Option<f64>,
    /// The system call filter of containers whose manifest does not name one
    #[arg(long, value_name = "PROFILE", default_value = "runtime-default")]
    pub(crate) seccomp_default: SeccompArg,
    /// Sysctls beside the safe ones that the pod may set, such as net.core.somaxconn or net.*
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
    /// At most this many processes and threads in the pod; without it, as many as the machine takes
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pod_max_pids: Option<u64>,
    /// Guarantee memory requests and slow containers down before their limit, as the kubelet with its feature gate MemoryQoS (cgroup v2)
    #[arg(long)]
    pub(crate) memory_qos: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Manifests: files, directories of them, or `-` for stdin
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    pub(crate) files: Vec<PathBuf>,
    /// The same, as kubectl spells it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// Only say what would be done: client, server (the same here) or none
    #[arg(
        long,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "client",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) dry_run: DryRunArg,
    /// name, json or yaml: print the objects
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ApplyOutputArg>,
    /// Pass over objects of kinds that podyard does not know
    #[arg(long)]
    pub(crate) skip_unknown: bool,
    #[command(flatten)]
    pub(crate) pod: PodArgs,
}

/// kubectl's words for changing nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRunArg {
    /// Do it.
    None,
    /// Only say what would be done.
    Client,
    /// The same: there is no server.
    Server,
}

/// How to print what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApplyOutputArg {
    /// `configmap/NAME`.
    Name,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Manifests: files, directories of them, or `-` for stdin
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    pub(crate) files: Vec<PathBuf>,
    /// The same, as kubectl spells it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// As for `run`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) replicas: Option<i32>,
    /// yaml or json (the effective objects), svg or mermaid (a picture)
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<PlanOutputArg>,
    /// As for `run`; `-o yaml` then prints what makes a cluster do the same
    #[arg(
        long,
        value_name = "WHAT",
        env = "PODYARD_ON_INIT_FAILURE",
        hide_env_values = true
    )]
    pub(crate) on_init_failure: Option<OnInitFailureArg>,
    /// Only what one machine does not do exactly as a cluster would
    #[arg(long, conflicts_with = "output")]
    pub(crate) fidelity: bool,
}

/// How to print a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanOutputArg {
    /// The effective manifest.
    Yaml,
    /// The effective objects as a list; of an invalid manifest the API server's answer.
    Json,
    /// A picture.
    Svg,
    /// A picture as text, which Markdown renderers draw.
    Mermaid,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Manifests: files, directories of them, or `-` for stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["filename", "list"])]
    pub(crate) files: Vec<PathBuf>,
    /// The same, as kubectl spells it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// json or sarif
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<CheckOutputArg>,
    /// Report from this level on
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    pub(crate) severity: SeverityArg,
    /// End with 1 from this level on
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    pub(crate) fail_on: FailOnArg,
    /// List the checks
    #[arg(long, conflicts_with_all = ["files", "filename", "output"])]
    pub(crate) list: bool,
}

/// How to print findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckOutputArg {
    /// Our own form.
    Json,
    /// What code scanning services read.
    Sarif,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    /// Worth knowing; often intended.
    Remark,
    /// Something does not do what it seems to.
    Warning,
    /// It cannot work as it stands.
    Error,
}

/// What ends with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOnArg {
    /// Anything that is found.
    Remark,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
    /// Nothing.
    Never,
}

/// What a failed init container means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInitFailureArg {
    /// Kubernetes' own behaviour.
    RetryContainer,
    /// Everything from the first init container again; volumes stay.
    RestartPod,
}

/// A seccomp profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeccompArg {
    /// What container runtimes ship.
    RuntimeDefault,
    /// No filter.
    Unconfined,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// `pods`, `pod NAME…` or `pod/NAME…`; also configmaps (cm), secrets and persistentvolumeclaims (pvc)
    #[arg(value_name = "TYPE [NAME]", required = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// wide, json, yaml, name, jsonpath=TEMPLATE or custom-columns=TITLE:PATH,…
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<OutputArg>,
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
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
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
pub(crate) struct ExecArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// The container; without it the annotation's default, or the first one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass stdin on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// `pod NAME…`, `pod/NAME…`, or `pods --all`; also configmaps (cm), secrets and persistentvolumeclaims (pvc)
    #[arg(value_name = "TYPE [NAME]", required_unless_present = "filename")]
    pub(crate) target: Vec<String>,
    /// What these manifests describe
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    pub(crate) filename: Vec<PathBuf>,
    /// Seconds between the stop signal and SIGKILL; the pod's own if not given
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) grace_period: Option<i64>,
    /// With `--grace-period=0`: kill at once
    #[arg(long)]
    pub(crate) force: bool,
    /// A grace period of one second
    #[arg(long, conflicts_with_all = ["grace_period", "force"])]
    pub(crate) now: bool,
    /// Every one of the namespace
    #[arg(long, conflicts_with = "filename")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// What does not exist is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// `--wait=false`: return before the pods are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) wait: bool,
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
pub(crate) struct TimelineArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// The container; every one that waits if not given
    pub(crate) container: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Take images out of OCI or Docker archives; `-` is stdin
    Import(ImageImportArgs),
    /// List the images of the store
    #[command(visible_alias = "ls")]
    List(ImageListArgs),
    /// Fetch images from their registries
    Pull(ImagePullArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(ImageRemoveArgs),
    /// Show an image's configuration and layers
    Inspect(ImageInspectArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImageImportArgs {
    /// Archives
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The name for an archive that does not tell its own
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[derive(Debug, Args)]
pub(crate) struct ImagePullArgs {
    /// References such as busybox:latest
    #[arg(value_name = "REFERENCE", required = true)]
    pub(crate) references: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageRemoveArgs {
    /// References or image ids
    #[arg(value_name = "REFERENCE", required = true)]
    pub(crate) references: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// A reference or an image id
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// How much disk images, volumes and logs take
    Df(SystemArgs),
    /// Remove pods that have ended and images that no pod uses
    Prune(PruneArgs),
    /// What this machine offers, and what that means for pods
    Info(SystemArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also images that are named but not in use
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_fingers_know_from_kubectl_is_understood() {
        for line in [
            "get pods",
            "get po -A -o wide",
            "get pod web -n other -o yaml",
            "get pod/web -ojson -w",
            "describe pod web",
            "logs web -f --tail=10",
            "logs web app -p",
            "logs pod/web -c app --since=5m --timestamps --prefix",
            "exec -it web -- sh -c ls",
            "exec web -c app -- ls -l",
            "delete pod web --grace-period=0 --force",
            "delete pods --all --now",
            "delete -f pod.yaml --wait=false",
            "events web -o json",
            "run pod.yaml",
            "run -f - -d",
            "run web.yaml --skip-unknown",
            "apply -f config.yaml -f more",
            "apply -f - --dry-run=client -o yaml",
            "apply --dry-run config.yaml",
            "get cm,secrets -A",
            "delete pvc/data",
            "plan -f pod.yaml -o yaml",
            "plan pod.yaml --fidelity --on-init-failure restart-pod",
            "check -f - -o sarif --severity remark --fail-on never",
            "check --list",
            "debug web --image=busybox --target=app -it -- sh",
            "debug pod/web --image busybox -c d --env A=1 --image-pull-policy=Never",
            "debug replay web --from 3",
            "attach web -c app -it",
            "condition web example.com/ready=True other- --reason=Up",
            "--root /x -v run pod.yaml --backoff 0.1 --on-init-failure restart-pod",
        ] {
            let parsed = Cli::try_parse_from(["podyard"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("an error"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "run",
            "run -d --rm pod.yaml",
            "check",
            "check pod.yaml --list",
            "plan",
            "plan pod.yaml --fidelity -o yaml",
            "get",
            "exec web",
            "logs web app -c app",
            "delete",
            "apply",
            "apply -f x.yaml --dry-run=perhaps",
            "debug",
            "debug web",
            "debug --image=busybox",
            "condition web",
            "frobnicate",
        ] {
            let parsed = Cli::try_parse_from(["podyard"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_err(), "{line}");
        }
    }
}

/// `podyard debug POD --image=IMAGE …`, or a verb of its own.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct DebugArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<DebugVerb>,
    /// The pod, as NAME or pod/NAME
    #[arg(required = true)]
    pub(crate) pod: Option<String>,
    /// The image of the new container
    #[arg(long, value_name = "IMAGE", required = true)]
    pub(crate) image: Option<String>,
    /// The container whose processes it sees
    #[arg(long, value_name = "CONTAINER")]
    pub(crate) target: Option<String>,
    /// The name of the new container; made up if not given
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// A variable of its environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY")]
    pub(crate) image_pull_policy: Option<String>,
    /// Keep its standard input open, and attach to it
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
    /// What it runs instead of the image's own command, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// The container; without it the annotation's default, or the first one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass stdin on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// stdin is a terminal
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConditionArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// `TYPE=True`, `TYPE=False` or `TYPE=Unknown`; `TYPE-` removes it
    #[arg(value_name = "TYPE=STATUS", required = true)]
    pub(crate) conditions: Vec<String>,
    /// One word that says why
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// A sentence that says why
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

/// `podyard debug …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DebugVerb {
    /// Step through what a pod's supervisor saw, decided and told, turn by turn
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The pod, as NAME or pod/NAME, or a journal that was saved: FILE.jsonl, with the pod's record in FILE.json beside it
    #[arg(value_name = "POD|FILE")]
    pub(crate) what: String,
    /// Begin with this turn
    #[arg(long, value_name = "TURN")]
    pub(crate) from: Option<u64>,
    /// End with this turn
    #[arg(long, value_name = "TURN")]
    pub(crate) to: Option<u64>,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}
