//! Verbs that do something with pods that exist: exec, attach, delete, debug, condition.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Command, Format, Scope};
use crate::args::{ConditionArgs, DebugArgs, DebugVerb, DeleteArgs, ExecArgs};
use crate::error::CliError;
use crate::target::Target;
use crate::target::Wanted;
use crate::target::pod_name;

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

pub(super) fn exec(args: ExecArgs) -> Result<ExecSettings, CliError> {
    Ok(ExecSettings {
        pod: pod_name(&args.pod)?,
        container: args.container,
        stdin: args.stdin,
        tty: args.tty,
        command: args.command,
    })
}

pub(super) fn debug(args: DebugArgs) -> Result<Command, CliError> {
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

pub(super) fn conditions(args: &ConditionArgs) -> Result<Vec<ConditionChange>, CliError> {
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

pub(super) fn delete(args: DeleteArgs) -> Result<DeleteSettings, CliError> {
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
