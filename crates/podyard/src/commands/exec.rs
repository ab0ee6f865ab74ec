//! `exec`: a command in a container, with our own stdin, stdout, stderr and terminal as its own.

use std::io::{self, Read as _, Write as _};

use podyard_supervisor::{ExecInput, ExecOutput, ExecStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::logs::find_container;
use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::settings::{Context, ExecSettings};
use crate::terminal::{self, RawMode};

/// Bytes of stdin that are sent at once.
const CHUNK: usize = 32 << 10;

pub(super) fn run(context: &Context, settings: &ExecSettings) -> Result<ExitCode, CliError> {
    let (handle, pod, container) =
        find_container(context, &settings.pod, settings.container.as_deref())?;
    if handle.has_ended() {
        return Err(CliError::plain(format!(
            "cannot exec in a container of a completed pod; current phase is {}",
            crate::objects::PodExt::phase(&pod)
        )));
    }
    let command = words(settings)?;
    let with_terminal = has_terminal(settings.stdin, settings.tty);
    super::block_on(async {
        let client = handle.client();
        let stream = client
            .exec(Some(&container), &command, settings.stdin, settings.tty)
            .await
            .map_err(|error| {
                CliError::failed(
                    format!("cannot run a command in container `{container}`"),
                    error,
                )
            })?;
        pass_through(stream, settings.stdin, with_terminal).await
    })?
    .or_else(|message| not_run(&message))
}

/// Passes streams through until the other side ends; with the exit code, or why there is none.
pub(super) async fn pass_through(
    stream: ExecStream,
    with_stdin: bool,
    with_terminal: bool,
) -> Result<Result<ExitCode, String>, CliError> {
    let (input, mut output) = stream.split();
    // Set back when this function is left, however that happens.
    let _raw = if with_terminal {
        RawMode::enter().ok()
    } else {
        None
    };
    let sender = tokio::task::spawn_local(send_input(input, with_stdin, with_terminal));
    let end = loop {
        match output.next().await {
            Some(ExecOutput::Stdout(bytes)) => super::print(bytes)?,
            Some(ExecOutput::Stderr(bytes)) => {
                let mut stderr = io::stderr().lock();
                // If stderr is gone, the command goes on without it.
                let _ = stderr.write_all(&bytes).and_then(|()| stderr.flush());
            }
            Some(ExecOutput::Exit(code)) => break Ok(ExitCode::of_workload(code)),
            Some(ExecOutput::Failed(message)) => break Err(message),
            None => {
                break Err(
                    "the connection to the pod's supervisor broke before the command had ended"
                        .to_owned(),
                );
            }
        }
    };
    sender.abort();
    Ok(end)
}

/// Whether keys are to go through as they are pressed.
pub(super) fn has_terminal(stdin: bool, tty: bool) -> bool {
    if tty && stdin && !terminal::stdin_is_terminal() {
        super::note("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    tty && terminal::stdin_is_terminal()
}

/// A command that could not be run, with the shell's codes for it.
fn not_run(message: &str) -> Result<ExitCode, CliError> {
    let code = if message.contains("executable file not found")
        || message.contains("no such file or directory")
    {
        ExitCode::NoSuchCommand
    } else if message.contains("permission denied")
        || message.contains("exec format error")
        || message.contains("is a directory")
    {
        ExitCode::NotExecutable
    } else {
        return Err(CliError::plain(message));
    };
    super::note(format!("error: {message}"));
    Ok(code)
}

fn words(settings: &ExecSettings) -> Result<Vec<String>, CliError> {
    let text = |word: &std::ffi::OsString| {
        word.to_str()
            .map(str::to_owned)
            .ok_or_else(|| CliError::Usage(format!("`{}` is not UTF-8", word.to_string_lossy())))
    };
    settings.command.iter().map(text).collect()
}

/// Sends stdin and the terminal's size for as long as the command runs.
async fn send_input(mut input: ExecInput, with_stdin: bool, with_terminal: bool) {
    let mut resized = signal(SignalKind::window_change())
        .ok()
        .filter(|_| with_terminal);
    let mut keys = with_stdin.then(read_stdin);
    if with_terminal && let Some((columns, rows)) = terminal::size() {
        // A command that ends at once does not want to know.
        let _ = input.resize(columns, rows).await;
    }
    loop {
        let sent = tokio::select! {
            chunk = next_chunk(&mut keys) => match chunk {
                Some(bytes) => input.stdin(&bytes).await,
                None => {
                    keys = None;
                    input.close_stdin().await
                }
            },
            () = next_resize(&mut resized) => match terminal::size() {
                Some((columns, rows)) => input.resize(columns, rows).await,
                None => Ok(()),
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn next_chunk(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_resize(resized: &mut Option<tokio::signal::unix::Signal>) {
    let Some(signal) = resized else {
        return std::future::pending().await;
    };
    if signal.recv().await.is_none() {
        *resized = None;
    }
}

/// Reads stdin on a thread of its own: files and terminals cannot be waited for otherwise. The thread ends with the process.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_cannot_be_run_have_the_shells_codes() {
        for (message, expected) in [
            (
                "exec: \"x\": executable file not found in $PATH",
                Some(ExitCode::NoSuchCommand),
            ),
            (
                "exec: \"/x\": stat /x: no such file or directory",
                Some(ExitCode::NoSuchCommand),
            ),
            (
                "exec: \"/etc\": permission denied",
                Some(ExitCode::NotExecutable),
            ),
            ("the container is gone", None),
        ] {
            assert_eq!(not_run(message).ok(), expected, "{message}");
        }
    }
}
