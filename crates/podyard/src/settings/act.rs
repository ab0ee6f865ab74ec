//! Verbs that do something with pods that exist, or wait for them: exec, attach, cp, port-forward, delete,
//! wait, debug, condition.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::{Command, Format, Scope, selection};
use crate::args::{
    ConditionArgs, CpArgs, DebugArgs, DebugVerb, DeleteArgs, ExecArgs, PortForwardArgs, WaitArgs,
};
use crate::duration;
use crate::error::CliError;
use crate::output::jsonpath::Path;
use crate::target::{Target, Wanted, pod_name};

/// What a negative `--timeout` means, as for kubectl.
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

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

/// Files that are copied.
#[derive(Debug)]
pub(crate) struct CopySettings {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) container: Option<String>,
    /// What comes into a container belongs to its user.
    pub(crate) no_preserve: bool,
}

/// Where files are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On this machine.
    Local(PathBuf),
    /// In a container of a pod; a relative path begins at its working directory.
    Pod {
        namespace: Option<String>,
        pod: String,
        path: PathBuf,
    },
}

/// Ports that lead into a pod.
#[derive(Debug)]
pub(crate) struct PortForwardSettings {
    pub(crate) pod: String,
    pub(crate) ports: Vec<ForwardedPort>,
    pub(crate) addresses: Vec<IpAddr>,
    /// The addresses are those of localhost, of which one is enough.
    pub(crate) is_localhost: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ForwardedPort {
    /// 0 is any; None is the number of the other one.
    pub(crate) local: Option<u16>,
    pub(crate) remote: PodPort,
}

/// A port of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PodPort {
    Number(u16),
    /// As a container calls it.
    Name(String),
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

/// What is to become true of which pods.
#[derive(Debug)]
pub(crate) struct WaitSettings {
    /// Pods only.
    pub(crate) target: Target,
    pub(crate) scope: Scope,
    pub(crate) condition: WaitFor,
    pub(crate) timeout: Duration,
}

/// What `wait` waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WaitFor {
    /// The pod is there.
    Create,
    /// Nothing is left of it.
    Delete,
    /// A condition of its status, in any case of letters.
    Condition { kind: String, status: String },
    /// The path leads to this value; without one, to anything.
    Path { path: Path, value: Option<String> },
}

pub(super) fn wait(args: &WaitArgs) -> Result<WaitSettings, CliError> {
    let wanted = Wanted::parse_selected(&args.target, selection(&args.selector)?.as_ref())?;
    let target = Wanted::only_pods(&wanted, "only pods can be waited for")?;
    match (&target, args.all) {
        (Target::All, false) => {
            return Err(CliError::Usage(
                "name whom to wait for, select them by their labels (-l), or add --all".to_owned(),
            ));
        }
        (Target::Named(_), true) => {
            return Err(CliError::Usage("either give names or use --all".to_owned()));
        }
        _ => {}
    }
    let timeout = match args.timeout.strip_prefix('-') {
        Some(rest) => duration::parse(rest).map(|_| A_WEEK),
        None => duration::parse(&args.timeout),
    };
    Ok(WaitSettings {
        target,
        scope: args.scope.into(),
        condition: wait_for(&args.condition)?,
        timeout: timeout.ok_or_else(|| {
            CliError::Usage(format!(
                "--timeout takes a duration such as 10s, 5m or 2h, not `{}`",
                args.timeout
            ))
        })?,
    })
}

fn wait_for(text: &str) -> Result<WaitFor, CliError> {
    match text.split_once('=') {
        None if text.eq_ignore_ascii_case("delete") => return Ok(WaitFor::Delete),
        None if text.eq_ignore_ascii_case("create") => return Ok(WaitFor::Create),
        Some(("condition", condition)) if !condition.is_empty() => {
            let (kind, status) = condition.split_once('=').unwrap_or((condition, "True"));
            return Ok(WaitFor::Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
            });
        }
        Some(("jsonpath", expression)) if !expression.is_empty() => {
            return wait_for_path(expression);
        }
        _ => {}
    }
    Err(CliError::Usage(format!(
        "--for takes condition=TYPE, condition=TYPE=STATUS, jsonpath={{.PATH}}=VALUE, delete or create, not `{text}`"
    )))
}

/// `{.PATH}`, `{.PATH}=VALUE` or the same without braces; quotes around either are not part of it.
fn wait_for_path(text: &str) -> Result<WaitFor, CliError> {
    let bare = |text: &str| text.trim_matches(['\'', '"']).to_owned();
    // Inside the braces there may be comparisons; behind them is one `=`.
    let end = text.find('}').map_or(0, |brace| brace + 1);
    let (path, value) = match text[end..].split_once('=') {
        Some((rest, value)) => (&text[..end + rest.len()], Some(bare(value))),
        None => (text, None),
    };
    let path = Path::parse(&bare(path))
        .map_err(|problem| CliError::Usage(format!("--for=jsonpath: {problem}")))?;
    Ok(WaitFor::Path { path, value })
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

pub(super) fn copy(args: CpArgs) -> Result<CopySettings, CliError> {
    Ok(CopySettings {
        from: side(&args.from)?,
        to: side(&args.to)?,
        container: args.container,
        no_preserve: args.no_preserve,
    })
}

/// `[NAMESPACE/]POD:PATH`, or a path of this machine.
fn side(text: &str) -> Result<Side, CliError> {
    let Some((pod, path)) = text
        .split_once(':')
        .filter(|_| !text.starts_with(['/', '.']))
    else {
        return Ok(Side::Local(text.into()));
    };
    let (namespace, pod) = match pod.split_once('/') {
        Some((namespace, pod)) => (Some(namespace), pod),
        None => (None, pod),
    };
    let is_told = !pod.is_empty() && !pod.contains('/') && !path.is_empty();
    if !is_told || namespace.is_some_and(str::is_empty) {
        return Err(CliError::Usage(format!(
            "a file in a pod is POD:PATH or NAMESPACE/POD:PATH, not `{text}`"
        )));
    }
    Ok(Side::Pod {
        namespace: namespace.map(str::to_owned),
        pod: pod.to_owned(),
        path: path.into(),
    })
}

pub(super) fn port_forward(args: &PortForwardArgs) -> Result<PortForwardSettings, CliError> {
    let address = |text: &String| {
        let address = text.parse();
        address.map_err(|_| {
            CliError::Usage(format!(
                "--address takes localhost or IP addresses, not `{text}`"
            ))
        })
    };
    let is_localhost = args.address.iter().all(|text| text == "localhost");
    let addresses = match is_localhost {
        true => vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ],
        false => {
            let named = args.address.iter();
            // localhost among others is what most mean by it.
            let plain = named.map(|text| match text.as_str() {
                "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                _ => address(text),
            });
            plain.collect::<Result<_, _>>()?
        }
    };
    Ok(PortForwardSettings {
        pod: pod_name(&args.pod)?,
        ports: args
            .ports
            .iter()
            .map(|text| forwarded_port(text))
            .collect::<Result<_, _>>()?,
        addresses,
        is_localhost,
    })
}

/// `REMOTE`, `LOCAL:REMOTE` or `:REMOTE`.
fn forwarded_port(text: &str) -> Result<ForwardedPort, CliError> {
    let wrong = || {
        CliError::Usage(format!(
            "a port is REMOTE, LOCAL:REMOTE or :REMOTE, with numbers up to 65535 or the name of a port in the pod, not `{text}`"
        ))
    };
    let (local, remote) = match text.split_once(':') {
        Some(("", remote)) => (Some(0), remote),
        Some((local, remote)) => (Some(local.parse().map_err(|_| wrong())?), remote),
        None => (None, text),
    };
    let is_number = remote.bytes().all(|byte| byte.is_ascii_digit());
    let remote = match remote.parse() {
        Ok(number) if number > 0 => PodPort::Number(number),
        Err(_) if !is_number && !remote.contains(':') => PodPort::Name(remote.to_owned()),
        _ => return Err(wrong()),
    };
    Ok(ForwardedPort { local, remote })
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
        let wanted = Wanted::parse_selected(&args.target, selection(&args.selector)?.as_ref())?;
        // Either all of them have names or are selected, or none is.
        let are_told = wanted
            .iter()
            .any(|wanted| !matches!(wanted.target, Target::All));
        match (are_told, args.all) {
            (false, false) => {
                return Err(CliError::Usage(
                    "name what to delete, select it by its labels (-l), or add --all".to_owned(),
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
