//! The command line as clap reads it: verbs, flags, help texts, environment variables. Nothing here decides anything;
//! [`crate::settings`] turns it into what commands work with.
//!
//! Verbs and flags are kubectl's wherever kubectl has the job. Every environment variable that podyard itself reads is declared here,
//! but for `NO_COLOR` and `TERM`, which are everybody's.

mod act;
mod machine;
mod manifests;
mod show;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use act::*;
pub(crate) use machine::*;
pub(crate) use manifests::*;
pub(crate) use show::*;

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
    /// Wait until pods are ready, deleted, created, or say something in particular
    Wait(WaitArgs),
    /// List what has happened to pods
    Events(EventsArgs),
    /// Show what pods use of the processors and the memory
    Top(TopArgs),
    /// Show when each container ran, as a waterfall
    Timeline(TimelineArgs),
    /// Connect to the first process of a container that runs
    Attach(AttachArgs),
    /// Copy files into a container, or out of it
    Cp(CpArgs),
    /// Connect ports of this machine with ports of a pod
    PortForward(PortForwardArgs),
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
            "get pods -l app=web,tier!=front --show-labels -L app,tier",
            "get po --selector app=web --field-selector=status.phase=Running --sort-by=.metadata.name",
            "describe pods -l app",
            "logs -l app=web --prefix --tail=-1 --all-containers -f",
            "delete pods,cm -l app=web",
            "wait pod/web --for=condition=Ready --timeout=60s",
            "wait --for=delete pod/web pod/other",
            "wait pods --all --for=jsonpath={.status.phase}=Running -A",
            "wait pods -l app=web --for=create --timeout=-1s",
            "port-forward pod/web 8080:80 :9090 http",
            "cp web:/var/log ./log -c app",
            "cp a.txt other/web:/tmp/ --no-preserve",
            "top pod",
            "top pods web --containers",
            "top po -A -l app=web --sort-by=memory --no-headers",
            "port-forward web --address localhost,10.0.0.1 80",
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
            "logs",
            "logs web -l app=web",
            "delete pods --all -l app",
            "wait pod/web",
            "wait --for=delete",
            "port-forward web",
            "cp web:/a",
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
