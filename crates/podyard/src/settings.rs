//! From flags to decisions: what a command works with. Commands never see clap's types, and nothing below looks at the environment.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use podyard_check::Severity;

use crate::args::{
    ApplyArgs, ApplyOutputArg, CheckArgs, CheckOutputArg, Cli, ColorArg, ConditionArgs, DebugArgs,
    DebugVerb, DeleteArgs, DryRunArg, ExecArgs, FailOnArg, GetArgs, GlobalArgs, ImageVerb,
    LogsArgs, ObjectOutputArg, OnInitFailureArg, OutputArg, PlanArgs, PlanOutputArg, PodArgs,
    RunArgs, ScopeArgs, SeccompArg, SeverityArg, SystemVerb, Verb,
};
use crate::duration;
use crate::error::CliError;
use crate::output::jsonpath::{Path, Template};
use crate::output::style::Palette;
use crate::target::{Target, Wanted, pod_name};

/// What everybody's programs read from the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// Where tools keep the credentials of registries, most specific first.
    pub(crate) auth_files: Vec<PathBuf>,
    /// `HTTPS_PROXY`, in either spelling.
    pub(crate) proxy: Option<String>,
    /// `NO_COLOR` is set to anything but nothing.
    pub(crate) no_color: bool,
    /// `TERM` is `dumb`: no cursor movement, no colours.
    pub(crate) dumb_terminal: bool,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let file_in = |variable: &str, rest: &str| {
            std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(|directory| PathBuf::from(directory).join(rest))
        };
        let auth_files = [
            file_in("REGISTRY_AUTH_FILE", ""),
            file_in("XDG_RUNTIME_DIR", "containers/auth.json"),
            file_in("DOCKER_CONFIG", "config.json"),
            file_in("HOME", ".docker/config.json"),
        ];
        let proxy = ["HTTPS_PROXY", "https_proxy"]
            .iter()
            .find_map(|variable| std::env::var(variable).ok());
        Self {
            auth_files: auth_files.into_iter().flatten().collect(),
            proxy: proxy.filter(|url| !url.is_empty()),
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb_terminal: std::env::var_os("TERM").is_some_and(|value| value == "dumb"),
        }
    }
}

/// What every command is told.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The directory of this instance, if it is not the system's.
    pub(crate) root: Option<PathBuf>,
    /// The namespace that was asked for.
    pub(crate) namespace: Option<String>,
    /// Where tools keep the credentials of registries, most specific first.
    pub(crate) auth_files: Vec<PathBuf>,
    /// A proxy for all but this machine.
    pub(crate) proxy: Option<String>,
    /// Say more on stderr.
    pub(crate) verbose: bool,
    /// Colours of stdout.
    pub(crate) stdout: Palette,
    /// Colours of stderr.
    pub(crate) stderr: Palette,
    /// stderr can show a view that redraws itself.
    pub(crate) live: bool,
}

impl Context {
    /// The namespace of the pods that are meant.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// Which namespaces to look in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them.
    AllNamespaces,
    /// That of the context.
    Namespace,
}

/// One verb with its resolved options.
#[derive(Debug)]
pub(crate) enum Command {
    Run(RunSettings),
    Apply(ApplySettings),
    Plan(PlanSettings),
    Check(CheckSettings),
    Get(GetSettings),
    Describe {
        wanted: Vec<Wanted>,
        scope: Scope,
    },
    Logs(LogsSettings),
    Exec(ExecSettings),
    Delete(DeleteSettings),
    Events {
        pod: Option<String>,
        scope: Scope,
        format: Option<Format>,
        watch: bool,
    },
    Replay(ReplaySettings),
    Attach(AttachSettings),
    Debug(DebugSettings),
    Condition {
        pod: String,
        changes: Vec<ConditionChange>,
    },
    Timeline {
        pod: String,
        format: Option<Format>,
    },
    Retry {
        pod: String,
        container: Option<String>,
    },
    Image(ImageCommand),
    System(SystemCommand),
    Version {
        format: Option<Format>,
    },
}

/// A machine-readable form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

#[derive(Debug)]
pub(crate) struct RunSettings {
    /// Manifests; `-` is stdin.
    pub(crate) files: Vec<PathBuf>,
    /// Kinds that are not known are passed over.
    pub(crate) skip_unknown: bool,
    /// How many pods a Deployment and the like have; None: as the manifest says.
    pub(crate) replicas: Option<i32>,
    pub(crate) mode: RunMode,
    pub(crate) options: PodOptions,
}

/// How pods are run, beside what their manifests say.
#[derive(Debug, Clone)]
pub(crate) struct PodOptions {
    /// None: as the pod's annotation says, or Kubernetes' default.
    pub(crate) on_init_failure: Option<OnInitFailure>,
    /// Parts per thousand of Kubernetes' back-offs.
    pub(crate) backoff_per_mille: u32,
    /// Containers without a profile of their own run without a filter.
    pub(crate) seccomp_unconfined: bool,
    /// Sysctls beside the safe ones that the pod may set.
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
    /// Processes and threads of the pod.
    pub(crate) pod_max_pids: Option<u64>,
    /// As the kubelet's feature gate `MemoryQoS`.
    pub(crate) memory_qos: bool,
}

#[derive(Debug)]
pub(crate) struct ApplySettings {
    /// Manifests; `-` is stdin.
    pub(crate) files: Vec<PathBuf>,
    /// Kinds that are not known are passed over.
    pub(crate) skip_unknown: bool,
    pub(crate) dry_run: DryRun,
    pub(crate) form: ApplyForm,
    pub(crate) options: PodOptions,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DryRun {
    No,
    /// `server` only says which word of kubectl's was used: both see the same here.
    Yes {
        server: bool,
    },
}

/// How `apply` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApplyForm {
    Words,
    Names,
    Objects(Format),
}

#[derive(Debug)]
pub(crate) struct PlanSettings {
    /// Manifests; `-` is stdin.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) form: PlanForm,
    /// How many pods a Deployment and the like have; None: as the manifest says.
    pub(crate) replicas: Option<i32>,
    /// None: as the pod's annotation says, or Kubernetes' default.
    pub(crate) on_init_failure: Option<OnInitFailure>,
}

/// What `plan` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlanForm {
    Text,
    Objects(Format),
    Svg,
    Mermaid,
    Fidelity,
}

#[derive(Debug)]
pub(crate) struct CheckSettings {
    /// Manifests; `-` is stdin. None: list the checks.
    pub(crate) files: Option<Vec<PathBuf>>,
    pub(crate) form: CheckForm,
    /// What is less bad is not reported.
    pub(crate) severity: Severity,
    /// What is less bad is no failure; None: nothing is.
    pub(crate) fail_on: Option<Severity>,
}

/// How `check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckForm {
    Text,
    Json,
    Sarif,
}

/// How long `run` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunMode {
    /// Until the pod is accepted.
    Detached,
    /// Until the pod has ended.
    Foreground {
        /// And then removes it.
        remove: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInitFailure {
    RetryContainer,
    RestartPod,
}

/// What `debug replay` shows.
#[derive(Debug)]
pub(crate) struct ReplaySettings {
    /// A pod's name, or the path of a journal.
    pub(crate) what: String,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) format: Option<Format>,
}

#[derive(Debug)]
pub(crate) struct AttachSettings {
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
}

/// A container that is added to a running pod.
#[derive(Debug)]
pub(crate) struct DebugSettings {
    pub(crate) pod: String,
    pub(crate) image: String,
    pub(crate) target: Option<String>,
    /// None: a name is made up.
    pub(crate) container: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) image_pull_policy: Option<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) command: Vec<OsString>,
}

/// What is to become of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConditionChange {
    Set {
        kind: String,
        /// `True`, `False` or `Unknown`.
        status: &'static str,
        reason: Option<String>,
        message: Option<String>,
    },
    Remove {
        kind: String,
    },
}

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

#[derive(Debug)]
pub(crate) struct ExecSettings {
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug)]
pub(crate) struct DeleteSettings {
    pub(crate) target: DeleteTarget,
    pub(crate) scope: Scope,
    pub(crate) stop: Stop,
    pub(crate) ignore_not_found: bool,
    pub(crate) wait: bool,
}

#[derive(Debug)]
pub(crate) enum DeleteTarget {
    Objects(Vec<Wanted>),
    Manifests(Vec<PathBuf>),
}

/// How a pod is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The stop signal, and SIGKILL after the grace period; None is the pod's own.
    Graceful(Option<i64>),
    /// SIGKILL.
    Kill,
}

#[derive(Debug)]
pub(crate) enum ImageCommand {
    Import {
        files: Vec<PathBuf>,
        name: Option<String>,
    },
    List {
        format: Option<Format>,
    },
    Pull {
        references: Vec<String>,
    },
    Remove {
        references: Vec<String>,
    },
    Inspect {
        reference: String,
    },
}

#[derive(Debug)]
pub(crate) enum SystemCommand {
    Df { format: Option<Format> },
    Prune { dry_run: bool, all: bool },
    Info { format: Option<Format> },
}

/// Resolves the command line.
pub(crate) fn resolve(cli: Cli, environment: &Environment) -> Result<(Context, Command), CliError> {
    let context = context(cli.global, environment);
    let command = match cli.verb {
        Verb::Run(args) => Command::Run(run(args)?),
        Verb::Apply(args) => Command::Apply(apply(args)?),
        Verb::Plan(args) => Command::Plan(plan(args)),
        Verb::Check(args) => Command::Check(check(args)),
        Verb::Get(args) => Command::Get(get(args)?),
        Verb::Describe(args) => Command::Describe {
            wanted: Wanted::parse(&args.target)?,
            scope: args.scope.into(),
        },
        Verb::Logs(args) => Command::Logs(logs(args)?),
        Verb::Exec(args) => Command::Exec(exec(args)?),
        Verb::Delete(args) => Command::Delete(delete(args)?),
        Verb::Events(args) => Command::Events {
            pod: args.pod.as_deref().map(pod_name).transpose()?,
            scope: args.scope.into(),
            format: args.output.map(Into::into),
            watch: args.watch,
        },
        Verb::Attach(args) => Command::Attach(AttachSettings {
            pod: pod_name(&args.pod)?,
            container: args.container,
            stdin: args.stdin,
            tty: args.tty,
        }),
        Verb::Debug(args) => debug(args)?,
        Verb::Condition(args) => Command::Condition {
            pod: pod_name(&args.pod)?,
            changes: conditions(&args)?,
        },
        Verb::Timeline(args) => Command::Timeline {
            pod: pod_name(&args.pod)?,
            format: args.output.map(Into::into),
        },
        Verb::Retry(args) => Command::Retry {
            pod: pod_name(&args.pod)?,
            container: args.container,
        },
        Verb::Image(verb) => Command::Image(image(verb)),
        Verb::System(verb) => Command::System(system(verb)),
        Verb::Version(args) => Command::Version {
            format: args.output.map(Into::into),
        },
    };
    Ok((context, command))
}

/// The colours of stderr, for errors that come before anything is resolved.
pub(crate) fn stderr_palette(color: ColorArg, environment: &Environment) -> Palette {
    palette(color, environment, std::io::stderr().is_terminal())
}

fn context(global: GlobalArgs, environment: &Environment) -> Context {
    let stderr_is_terminal = std::io::stderr().is_terminal();
    Context {
        root: global.root,
        namespace: global.namespace,
        auth_files: environment.auth_files.clone(),
        proxy: environment.proxy.clone(),
        verbose: global.verbose,
        stdout: palette(global.color, environment, std::io::stdout().is_terminal()),
        stderr: palette(global.color, environment, stderr_is_terminal),
        live: stderr_is_terminal && !environment.dumb_terminal,
    }
}

fn palette(color: ColorArg, environment: &Environment, is_terminal: bool) -> Palette {
    Palette::new(match color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => is_terminal && !environment.no_color && !environment.dumb_terminal,
    })
}

fn run(args: RunArgs) -> Result<RunSettings, CliError> {
    Ok(RunSettings {
        files: [args.files, args.filename].concat(),
        skip_unknown: args.skip_unknown,
        replicas: args.replicas,
        mode: if args.detach {
            RunMode::Detached
        } else {
            RunMode::Foreground { remove: args.rm }
        },
        options: pod_options(args.pod)?,
    })
}

fn apply(args: ApplyArgs) -> Result<ApplySettings, CliError> {
    Ok(ApplySettings {
        files: [args.files, args.filename].concat(),
        skip_unknown: args.skip_unknown,
        dry_run: match args.dry_run {
            DryRunArg::None => DryRun::No,
            DryRunArg::Client => DryRun::Yes { server: false },
            DryRunArg::Server => DryRun::Yes { server: true },
        },
        form: match args.output {
            None => ApplyForm::Words,
            Some(ApplyOutputArg::Name) => ApplyForm::Names,
            Some(ApplyOutputArg::Json) => ApplyForm::Objects(Format::Json),
            Some(ApplyOutputArg::Yaml) => ApplyForm::Objects(Format::Yaml),
        },
        options: pod_options(args.pod)?,
    })
}

fn pod_options(args: PodArgs) -> Result<PodOptions, CliError> {
    let factor = args.backoff.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&factor) {
        return Err(CliError::Usage(format!(
            "--backoff takes a factor between 0 and 1, not {factor}"
        )));
    }
    // Between 0 and 1000, and a wait that was asked for is not rounded away.
    let backoff_per_mille = if factor > 0.0 {
        ((factor * 1000.0).round() as u32).max(1)
    } else {
        0
    };
    Ok(PodOptions {
        on_init_failure: args.on_init_failure.map(Into::into),
        backoff_per_mille,
        seccomp_unconfined: args.seccomp_default == SeccompArg::Unconfined,
        allowed_unsafe_sysctls: args.allowed_unsafe_sysctls,
        pod_max_pids: args.pod_max_pids,
        memory_qos: args.memory_qos,
    })
}

impl From<OnInitFailureArg> for OnInitFailure {
    fn from(choice: OnInitFailureArg) -> Self {
        match choice {
            OnInitFailureArg::RetryContainer => Self::RetryContainer,
            OnInitFailureArg::RestartPod => Self::RestartPod,
        }
    }
}

fn plan(args: PlanArgs) -> PlanSettings {
    PlanSettings {
        files: [args.files, args.filename].concat(),
        replicas: args.replicas,
        form: match args.output {
            _ if args.fidelity => PlanForm::Fidelity,
            None => PlanForm::Text,
            Some(PlanOutputArg::Yaml) => PlanForm::Objects(Format::Yaml),
            Some(PlanOutputArg::Json) => PlanForm::Objects(Format::Json),
            Some(PlanOutputArg::Svg) => PlanForm::Svg,
            Some(PlanOutputArg::Mermaid) => PlanForm::Mermaid,
        },
        on_init_failure: args.on_init_failure.map(Into::into),
    }
}

fn check(args: CheckArgs) -> CheckSettings {
    CheckSettings {
        files: (!args.list).then(|| [args.files, args.filename].concat()),
        form: match args.output {
            None => CheckForm::Text,
            Some(CheckOutputArg::Json) => CheckForm::Json,
            Some(CheckOutputArg::Sarif) => CheckForm::Sarif,
        },
        severity: match args.severity {
            SeverityArg::Remark => Severity::Remark,
            SeverityArg::Warning => Severity::Warning,
            SeverityArg::Error => Severity::Error,
        },
        fail_on: match args.fail_on {
            FailOnArg::Remark => Some(Severity::Remark),
            FailOnArg::Warning => Some(Severity::Warning),
            FailOnArg::Error => Some(Severity::Error),
            FailOnArg::Never => None,
        },
    }
}

fn get(args: GetArgs) -> Result<GetSettings, CliError> {
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

fn logs(args: LogsArgs) -> Result<LogsSettings, CliError> {
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

fn exec(args: ExecArgs) -> Result<ExecSettings, CliError> {
    Ok(ExecSettings {
        pod: pod_name(&args.pod)?,
        container: args.container,
        stdin: args.stdin,
        tty: args.tty,
        command: args.command,
    })
}

fn debug(args: DebugArgs) -> Result<Command, CliError> {
    if let Some(DebugVerb::Replay(args)) = args.verb {
        return Ok(Command::Replay(ReplaySettings {
            what: match args.what.ends_with(".jsonl") {
                true => args.what,
                false => pod_name(&args.what)?,
            },
            from: args.from,
            to: args.to,
            format: args.output.map(Into::into),
        }));
    }
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(CliError::Usage(format!(
            "--env takes NAME=VALUE, not `{text}`"
        ))),
    };
    Ok(Command::Debug(DebugSettings {
        pod: pod_name(&args.pod.unwrap_or_default())?,
        image: args.image.unwrap_or_default(),
        target: args.target,
        container: args.container,
        env: args.env.iter().map(variable).collect::<Result<_, _>>()?,
        image_pull_policy: args.image_pull_policy,
        stdin: args.stdin,
        tty: args.tty,
        command: args.command,
    }))
}

fn conditions(args: &ConditionArgs) -> Result<Vec<ConditionChange>, CliError> {
    let change = |text: &String| {
        if let Some(kind) = text.strip_suffix('-').filter(|kind| !kind.contains('=')) {
            let kind = kind.to_owned();
            return Ok(ConditionChange::Remove { kind });
        }
        let known = |status: &str| {
            let mut all = ["True", "False", "Unknown"].into_iter();
            all.find(|known| known.eq_ignore_ascii_case(status))
        };
        let parts = text.split_once('=');
        match parts.and_then(|(kind, status)| Some((kind, known(status)?))) {
            Some((kind, status)) if !kind.is_empty() => Ok(ConditionChange::Set {
                kind: kind.to_owned(),
                status,
                reason: args.reason.clone(),
                message: args.message.clone(),
            }),
            _ => Err(CliError::Usage(format!(
                "a condition is TYPE=True, TYPE=False, TYPE=Unknown or TYPE-, not `{text}`"
            ))),
        }
    };
    args.conditions.iter().map(change).collect()
}

fn delete(args: DeleteArgs) -> Result<DeleteSettings, CliError> {
    let stop = match (args.force, args.grace_period) {
        _ if args.now => Stop::Graceful(Some(1)),
        (true, Some(grace)) if grace > 0 => {
            return Err(CliError::Usage(
                "--force and a --grace-period greater than 0 exclude each other".to_owned(),
            ));
        }
        (true, _) => Stop::Kill,
        // As kubectl: without --force, the shortest grace is one second.
        (false, Some(0)) => Stop::Graceful(Some(1)),
        (false, Some(grace)) if grace < 0 => Stop::Graceful(None),
        (false, grace) => Stop::Graceful(grace),
    };
    let target = if args.filename.is_empty() {
        let wanted = Wanted::parse(&args.target)?;
        // Either all of them have names, or none has.
        let are_named = wanted
            .iter()
            .any(|wanted| matches!(wanted.target, Target::Named(_)));
        match (are_named, args.all) {
            (false, false) => {
                return Err(CliError::Usage(
                    "name what to delete, or add --all".to_owned(),
                ));
            }
            (true, true) => {
                return Err(CliError::Usage("either give names or use --all".to_owned()));
            }
            _ => DeleteTarget::Objects(wanted),
        }
    } else {
        DeleteTarget::Manifests(args.filename)
    };
    Ok(DeleteSettings {
        target,
        scope: args.scope.into(),
        stop,
        ignore_not_found: args.ignore_not_found,
        wait: args.wait,
    })
}

fn image(verb: ImageVerb) -> ImageCommand {
    match verb {
        ImageVerb::Import(args) => ImageCommand::Import {
            files: args.files,
            name: args.name,
        },
        ImageVerb::List(args) => ImageCommand::List {
            format: args.output.map(Into::into),
        },
        ImageVerb::Pull(args) => ImageCommand::Pull {
            references: args.references,
        },
        ImageVerb::Rm(args) => ImageCommand::Remove {
            references: args.references,
        },
        ImageVerb::Inspect(args) => ImageCommand::Inspect {
            reference: args.reference,
        },
    }
}

fn system(verb: SystemVerb) -> SystemCommand {
    match verb {
        SystemVerb::Df(args) => SystemCommand::Df {
            format: args.output.map(Into::into),
        },
        SystemVerb::Prune(args) => SystemCommand::Prune {
            dry_run: args.dry_run,
            all: args.all,
        },
        SystemVerb::Info(args) => SystemCommand::Info {
            format: args.output.map(Into::into),
        },
    }
}

impl From<ScopeArgs> for Scope {
    fn from(args: ScopeArgs) -> Self {
        if args.all_namespaces {
            Self::AllNamespaces
        } else {
            Self::Namespace
        }
    }
}

impl From<ObjectOutputArg> for Format {
    fn from(output: ObjectOutputArg) -> Self {
        match output {
            ObjectOutputArg::Json => Self::Json,
            ObjectOutputArg::Yaml => Self::Yaml,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn resolved(line: &str) -> Result<Command, String> {
        let cli = Cli::try_parse_from(["podyard"].into_iter().chain(line.split(' ')))
            .expect("clap accepts it");
        resolve(cli, &Environment::default())
            .map(|(_, command)| command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn ways_to_stop_a_pod() {
        for (line, expected) in [
            ("delete pod a", Stop::Graceful(None)),
            ("delete pod a --grace-period=5", Stop::Graceful(Some(5))),
            ("delete pod a --grace-period=-1", Stop::Graceful(None)),
            ("delete pod a --grace-period=0", Stop::Graceful(Some(1))),
            ("delete pod a --now", Stop::Graceful(Some(1))),
            ("delete pod a --force", Stop::Kill),
            ("delete pod a --force --grace-period=0", Stop::Kill),
        ] {
            let Ok(Command::Delete(settings)) = resolved(line) else {
                panic!("{line}")
            };
            assert_eq!(settings.stop, expected, "{line}");
        }
        for line in [
            "delete pods",
            "delete pod a --all",
            "delete pod a --force --grace-period=3",
        ] {
            assert!(resolved(line).is_err(), "{line}");
        }
    }

    #[test]
    fn back_off_factors_are_kept_within_reason() {
        for (factor, expected) in [
            ("1", Some(1000)),
            ("0.1", Some(100)),
            ("0.0001", Some(1)),
            ("0", Some(0)),
            ("2", None),
        ] {
            let settings = match resolved(&format!("run x.yaml --backoff {factor}")) {
                Ok(Command::Run(settings)) => Some(settings.options.backoff_per_mille),
                _ => None,
            };
            assert_eq!(settings, expected, "{factor}");
        }
    }

    #[test]
    fn conditions_are_set_and_removed() {
        let Ok(Command::Condition { changes, .. }) =
            resolved("condition p x/y=true z- --reason Up")
        else {
            panic!("it is a command")
        };
        let set = ConditionChange::Set {
            kind: "x/y".to_owned(),
            status: "True",
            reason: Some("Up".to_owned()),
            message: None,
        };
        let kind = "z".to_owned();
        assert_eq!(changes, [set, ConditionChange::Remove { kind }]);
        for wrong in ["x", "x=", "x=Yes", "=True", "x=True-"] {
            assert!(
                resolved(&format!("condition p {wrong}")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn colours_follow_the_flag_then_the_environment() {
        let no_color = Environment {
            no_color: true,
            ..Environment::default()
        };
        let plain = Palette::new(false);
        let colored = Palette::new(true);
        for (color, environment, is_terminal, expected) in [
            (ColorArg::Auto, Environment::default(), true, colored),
            (ColorArg::Auto, Environment::default(), false, plain),
            (ColorArg::Auto, no_color.clone(), true, plain),
            (ColorArg::Always, no_color, false, colored),
            (ColorArg::Never, Environment::default(), true, plain),
        ] {
            assert_eq!(
                palette(color, &environment, is_terminal),
                expected,
                "{color:?} {environment:?}"
            );
        }
    }
}
