//! The hidden roles: `podyard internal compress|keep|supervise|pull|resolve|sandbox|usage …`. Dispatched before anything else, since a keeper and a sandbox live
//! as long as their pod and must stay small.

use std::ffi::OsString;
use std::process::ExitCode;

use podyard_supervisor::{RoleArguments, keeper, pull, resolve, rotation, usage};

/// Runs the role that the command line asks for; `None` if it is a command for people.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.next()? != "internal" {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    Some(match role.to_str() {
        Some("keep") => with_arguments(arguments, |role| {
            // Its supervisors make containers, and what runs in them must not be able to write to this program.
            podyard_linux::protect_own_program()?;
            keeper::run(role).map_err(Into::into)
        }),
        Some("pull") => ExitCode::from(pull::run(arguments)),
        Some("compress") => ExitCode::from(rotation::run(arguments)),
        Some("usage") => ExitCode::from(usage::run(arguments)),
        Some("resolve") => ExitCode::from(resolve(arguments)),
        _ => failed(&format!("there is no role {role:?}")),
    })
}

fn with_arguments(
    arguments: impl Iterator<Item = OsString>,
    role: impl FnOnce(&RoleArguments) -> Result<(), Box<dyn std::error::Error>>,
) -> ExitCode {
    let Some(arguments) = RoleArguments::parse(arguments) else {
        return failed("the role's arguments are incomplete");
    };
    match role(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            failed(&text)
        }
    }
}

/// Into the pod's own log, which is the stderr of its keeper and supervisor.
#[expect(clippy::print_stderr, reason = "this is the crate that prints")]
fn failed(text: &str) -> ExitCode {
    eprintln!("podyard: {text}");
    ExitCode::FAILURE
}
