//! The `podyard` command: arguments in, text and exit codes out.
//!
//! The only crate that prints, chooses an exit code, and reads the environment. Layers, each of which knows only the next:
//! [`args`] (the command line as clap reads it) → [`settings`] (what was decided) → `commands` (one file per verb) → [`output`] (objects
//! to text). What a command cannot do ends in [`error`], with a hint from [`hints`] and a code from [`exit_code`].

#![forbid(unsafe_code)]

mod args;
mod duration;
mod error;
mod exit_code;
mod hints;
mod objects;
mod output;
mod settings;
mod target;

use std::process;

use clap::Parser as _;

fn main() -> process::ExitCode {
    let environment = settings::Environment::read();
    let cli = args::Cli::parse();
    let palette = settings::stderr_palette(cli.global.color, environment);
    let result = settings::resolve(cli, environment).map(|_| exit_code::ExitCode::Success);
    result
        .unwrap_or_else(|error| {
            error.report(palette);
            error.exit_code()
        })
        .into()
}
