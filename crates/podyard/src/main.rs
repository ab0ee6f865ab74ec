//! The `podyard` command: arguments in, text and exit codes out.
//!
//! The only crate that prints, chooses an exit code, and reads the environment. Layers, each of which knows only the next:
//! [`args`] (the command line as clap reads it) → [`settings`] (what was decided) → [`commands`] (one file per verb) → [`output`] (objects
//! to text). What a command cannot do ends in [`error`], with a hint from [`hints`] and a code from [`exit_code`].

#![forbid(unsafe_code)]

mod args;
mod commands;
mod duration;
mod error;
mod exit_code;
mod hints;
mod history;
mod host;
mod internal;
mod log_files;
mod manifests;
mod named;
mod new_pod;
mod objects;
mod output;
mod pods;
mod settings;
mod target;
mod terminal;
mod watcher;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = internal::run(std::env::args_os().skip(1)) {
        return code;
    }
    let environment = settings::Environment::read();
    let cli = args::Cli::parse();
    let palette = settings::stderr_palette(cli.global.color, &environment);
    let done = settings::resolve(cli, &environment)
        .and_then(|(context, command)| commands::dispatch(&context, command));
    let code = done.unwrap_or_else(|error| {
        error.report(palette);
        error.exit_code()
    });
    code.into()
}
