//! Verbs that take manifests: run, apply, plan, check.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
