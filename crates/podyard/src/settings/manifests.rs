//! Verbs that take manifests: run, apply, plan, check.

use std::path::PathBuf;

use podyard_check::Severity;

use super::Format;
use crate::args::{
    ApplyArgs, ApplyOutputArg, CheckArgs, CheckOutputArg, DryRunArg, FailOnArg, OnInitFailureArg,
    PlanArgs, PlanOutputArg, PodArgs, RunArgs, SeccompArg, SeverityArg,
};
use crate::error::CliError;

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

pub(super) fn run(args: RunArgs) -> Result<RunSettings, CliError> {
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

pub(super) fn apply(args: ApplyArgs) -> Result<ApplySettings, CliError> {
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

pub(super) fn pod_options(args: PodArgs) -> Result<PodOptions, CliError> {
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

pub(super) fn plan(args: PlanArgs) -> PlanSettings {
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

pub(super) fn check(args: CheckArgs) -> CheckSettings {
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
