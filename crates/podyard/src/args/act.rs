//! Verbs that do something with pods that exist, or wait for them: exec, attach, cp, port-forward, delete,
//! wait, retry, debug, condition.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ObjectOutputArg, ScopeArgs, SelectorArgs};

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
    #[arg(long, conflicts_with_all = ["filename", "selector"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// What does not exist is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// `--wait=false`: return before the pods are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// `pod NAME…`, `pod/NAME…`, or `pods` with `--all` or `-l`
    #[arg(value_name = "TYPE [NAME]", required = true)]
    pub(crate) target: Vec<String>,
    /// `condition=TYPE[=STATUS]`, `jsonpath={.PATH}[=VALUE]`, `delete` or `create`
    #[arg(long = "for", value_name = "CONDITION", required = true)]
    pub(crate) condition: String,
    /// How long; 0 looks once, and a negative duration means a week
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        allow_hyphen_values = true
    )]
    pub(crate) timeout: String,
    /// Every one of the namespace
    #[arg(long, conflicts_with = "selector")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// The container; every one that waits if not given
    pub(crate) container: Option<String>,
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
pub(crate) struct CpArgs {
    /// POD:PATH or NAMESPACE/POD:PATH, or a path on this machine (one with a colon, as ./PATH)
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Likewise. A file comes into a directory that is there, under its own name
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// The container; without it the annotation's default, or the first one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// What comes into a container belongs to its user, whoever owns it here
    #[arg(long)]
    pub(crate) no_preserve: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PortForwardArgs {
    /// The pod, as NAME or pod/NAME
    pub(crate) pod: String,
    /// LOCAL:REMOTE, REMOTE for the same port on both sides, or :REMOTE for any free local port; a name of a container's port works too
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    pub(crate) ports: Vec<String>,
    /// Where to listen: localhost, or addresses of this machine, with commas
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "localhost"
    )]
    pub(crate) address: Vec<String>,
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
