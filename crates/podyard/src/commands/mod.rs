//! One file per verb. A command takes resolved settings, does its work, prints through this module, and returns an exit code.

mod apply;
mod attach;
mod check;
mod condition;
mod cp;
mod debug;
mod delete;
mod describe;
mod ephemeral;
mod events;
mod exec;
mod get;
mod image;
mod logs;
mod plan;
mod port_forward;
mod retry;
mod run;
mod system;
mod timeline;
mod top;
mod version;
mod wait;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::time::SystemTime;

use tokio::runtime::Runtime;

use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::objects::Timestamp;
use crate::output::object;
use crate::output::table::Table;
use crate::settings::{Command, Context, Format, Scope};

/// Runs one command.
pub(crate) fn dispatch(context: &Context, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(settings) => run::run(context, &settings),
        Command::Apply(settings) => apply::run(context, &settings),
        Command::Plan(settings) => plan::run(context, &settings),
        Command::Check(settings) => check::run(context, &settings),
        Command::Get(settings) => get::run(context, &settings),
        Command::Describe { wanted, scope } => describe::run(context, &wanted, scope),
        Command::Logs(settings) => logs::run(context, &settings),
        Command::Exec(settings) => exec::run(context, &settings),
        Command::Delete(settings) => delete::run(context, &settings),
        Command::Top(settings) => top::run(context, &settings),
        Command::Wait(settings) => wait::run(context, &settings),
        Command::Events {
            pod,
            scope,
            format,
            watch,
        } => events::run(context, pod, scope, format, watch),
        Command::Replay(settings) => debug::replay(context, &settings),
        Command::Attach(settings) => attach::run(context, &settings),
        Command::Copy(settings) => cp::run(context, &settings),
        Command::PortForward(settings) => port_forward::run(context, &settings),
        Command::Debug(settings) => ephemeral::run(context, &settings),
        Command::Condition { pod, changes } => condition::run(context, &pod, &changes),
        Command::Timeline { pod, format } => timeline::run(context, &pod, format),
        Command::Retry { pod, container } => retry::run(context, &pod, container.as_deref()),
        Command::Image(command) => image::run(context, &command),
        Command::System(command) => system::run(context, &command),
        Command::Version { format } => version::run(format),
    }
}

/// Prints data.
fn print(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref())?;
    Ok(stdout.flush()?)
}

/// Tells a person something that is no data.
#[expect(clippy::print_stderr, reason = "this is the crate that prints")]
pub(crate) fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// Says that what was asked for is not there, as kubectl does.
fn note_nothing(context: &Context, scope: Scope) {
    note(match scope {
        Scope::AllNamespaces => "No resources found".to_owned(),
        Scope::Namespace => format!("No resources found in {} namespace.", context.namespace()),
    });
}

/// Prints a listing, with the line of its column titles or without.
fn print_table(table: &Table, headers: bool) -> Result<(), CliError> {
    let text = table.render();
    print(if headers {
        text.as_str()
    } else {
        text.split_once('\n').map_or("", |(_, rows)| rows)
    })
}

/// Prints one object.
fn print_object(object: &impl serde::Serialize, format: Format) -> Result<(), CliError> {
    print(
        object::render(object, format)
            .map_err(|error| CliError::failed("cannot print the object", error))?,
    )
}

/// Prints several objects as a list.
fn print_list<T: serde::Serialize>(objects: &[T], format: Format) -> Result<(), CliError> {
    print(
        object::render_list(objects, format)
            .map_err(|error| CliError::failed("cannot print the objects", error))?,
    )
}

/// The time of now. Everything below is told it.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // A clock past the year 9999 shows as 1970 rather than as a panic.
    Timestamp::from_nanosecond(since_epoch.as_nanos().cast_signed()).unwrap_or_default()
}

/// Runs what has to wait for more than one thing, on this thread.
pub(crate) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    thread_local! {
        /// Kept, since a command that starts many pods waits for each; never taken apart, since that would wait for whoever still reads a
        /// terminal.
        static RUNTIME: Cell<Option<&'static Runtime>> = const { Cell::new(None) };
    }
    let runtime = match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let new = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| CliError::failed("cannot start the event loop", error))?;
            let new: &'static Runtime = Box::leak(Box::new(new));
            RUNTIME.set(Some(new));
            new
        }
    };
    tokio::task::LocalSet::new().block_on(runtime, future)
}
