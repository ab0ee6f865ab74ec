//! From flags to decisions: what a command works with. Commands never see clap's types, and nothing below looks at the environment.

mod act;
mod machine;
mod manifests;
mod show;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use crate::args::{Cli, ColorArg, GlobalArgs, ObjectOutputArg, ScopeArgs, SelectorArgs, Verb};
use crate::error::CliError;
use crate::output::style::Palette;
use crate::target::{Selection, Wanted, pod_name};

pub(crate) use act::*;
use act::{conditions, copy, debug, delete, exec, port_forward, wait};
pub(crate) use machine::*;
use machine::{image, system};
pub(crate) use manifests::*;
use manifests::{apply, check, plan, run};
pub(crate) use show::*;
use show::{get, logs, top};

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
    Wait(WaitSettings),
    Top(TopSettings),
    Events {
        pod: Option<String>,
        scope: Scope,
        format: Option<Format>,
        watch: bool,
    },
    Replay(ReplaySettings),
    Attach(AttachSettings),
    Copy(CopySettings),
    PortForward(PortForwardSettings),
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
            wanted: Wanted::parse_selected(
                &args.target,
                Selection::parse(args.selector.as_deref(), None)?.as_ref(),
            )?,
            scope: args.scope.into(),
        },
        Verb::Logs(args) => Command::Logs(logs(args)?),
        Verb::Exec(args) => Command::Exec(exec(args)?),
        Verb::Delete(args) => Command::Delete(delete(args)?),
        Verb::Top(args) => Command::Top(top(&args)?),
        Verb::Wait(args) => Command::Wait(wait(&args)?),
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
        Verb::Cp(args) => Command::Copy(copy(args)?),
        Verb::PortForward(args) => Command::PortForward(port_forward(&args)?),
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

/// What objects have to look like, if that was asked for.
fn selection(args: &SelectorArgs) -> Result<Option<Selection>, CliError> {
    Selection::parse(args.selector.as_deref(), args.field_selector.as_deref())
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
    use std::time::Duration;

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
    fn conditions_that_are_waited_for() {
        let waited = |line: &str| match resolved(&format!("wait {line}")) {
            Ok(Command::Wait(settings)) => Ok(settings),
            Ok(other) => panic!("{line}: {other:?}"),
            Err(error) => Err(error),
        };
        let condition = |kind: &str, status: &str| WaitFor::Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
        };
        let path = |path: &str, value: Option<&str>| WaitFor::Path {
            path: crate::output::jsonpath::Path::parse(path).expect("a path"),
            value: value.map(str::to_owned),
        };
        for (text, expected) in [
            ("condition=Ready", condition("Ready", "True")),
            ("condition=Ready=False", condition("Ready", "False")),
            ("delete", WaitFor::Delete),
            ("Create", WaitFor::Create),
            (
                "jsonpath={.status.phase}=Running",
                path(".status.phase", Some("Running")),
            ),
            ("jsonpath='{.status.podIP}'", path(".status.podIP", None)),
            (
                "jsonpath={.a[?(@.b==\"c\")].d}=e",
                path(".a[?(@.b==\"c\")].d", Some("e")),
            ),
            (
                "jsonpath=.status.phase=\"x\"",
                path(".status.phase", Some("x")),
            ),
        ] {
            let settings = waited(&format!("pod/a --for={text}")).expect(text);
            assert_eq!(settings.condition, expected, "{text}");
            assert_eq!(settings.timeout, Duration::from_secs(30));
        }
        let timeout = |text: &str| {
            let settings = waited(&format!("pod/a --for=delete --timeout={text}"));
            settings.map(|settings| settings.timeout).ok()
        };
        assert_eq!(timeout("0"), Some(Duration::ZERO));
        assert_eq!(timeout("2m"), Some(Duration::from_secs(120)));
        assert_eq!(timeout("-1s"), Some(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(timeout("soon"), None);
        for wrong in [
            "pods --for=delete",
            "pod/a --for=ready",
            "pod/a --for=condition=",
            "pod/a --for=jsonpath=",
            "pod/a --for=delete -l app=web",
            "pod/a cm/a --for=delete",
            "cm/a --for=delete",
            "pods -l app=a=b --for=delete",
        ] {
            assert!(waited(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_are_in_pods_or_here() {
        let pod = |namespace: Option<&str>, pod: &str, path: &str| Side::Pod {
            namespace: namespace.map(str::to_owned),
            pod: pod.to_owned(),
            path: path.into(),
        };
        let local = |path: &str| Side::Local(path.into());
        for (text, expected) in [
            ("web:/tmp/a", pod(None, "web", "/tmp/a")),
            ("web:a:b", pod(None, "web", "a:b")),
            ("other/web:/tmp", pod(Some("other"), "web", "/tmp")),
            ("a.txt", local("a.txt")),
            ("./a:b", local("./a:b")),
            ("/tmp/a:b", local("/tmp/a:b")),
            ("../web:/a", local("../web:/a")),
        ] {
            let Ok(Command::Copy(settings)) = resolved(&format!("cp {text} x")) else {
                panic!("{text}")
            };
            assert_eq!(settings.from, expected, "{text}");
        }
        for wrong in [":/a", "web:", "a/b/web:/x", "other/:/x"] {
            assert!(resolved(&format!("cp {wrong} x")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_read_as_kubectl_does() {
        let ports = |line: &str| match resolved(&format!("port-forward web {line}")) {
            Ok(Command::PortForward(settings)) => Some(settings),
            _ => None,
        };
        let port = |local, remote| ForwardedPort { local, remote };
        let number = PodPort::Number;
        for (text, expected) in [
            ("80", port(None, number(80))),
            ("8080:80", port(Some(8080), number(80))),
            (":80", port(Some(0), number(80))),
            ("0:80", port(Some(0), number(80))),
            (
                "8080:http",
                port(Some(8080), PodPort::Name("http".to_owned())),
            ),
            ("http", port(None, PodPort::Name("http".to_owned()))),
        ] {
            let settings = ports(text).expect(text);
            assert_eq!(settings.ports, [expected], "{text}");
            assert!(settings.is_localhost);
            assert_eq!(settings.addresses.len(), 2);
        }
        for wrong in [
            "0",
            "80:0",
            "70000",
            "a:80",
            "80:",
            "1:2:3",
            "80 --address=nowhere",
        ] {
            assert!(ports(wrong).is_none(), "{wrong}");
        }
        let some = ports("80 --address=127.0.0.1,::1").expect("addresses");
        assert!(!some.is_localhost);
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
