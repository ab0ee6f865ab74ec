//! The terminal behind stdin, stdout or stderr: how wide it is, and raw mode for as long as a command in a container has it.

use std::io::{self, IsTerminal as _};

use rustix::termios::{self, OptionalActions, Termios};

/// For files and pipes, and terminals that do not tell.
const DEFAULT_WIDTH: usize = 100;

/// Columns of stdout.
pub(crate) fn stdout_width() -> usize {
    width(io::stdout())
}

/// Columns of stderr.
pub(crate) fn stderr_width() -> usize {
    width(io::stderr())
}

/// Rows of stderr; a great many, if it does not tell.
pub(crate) fn stderr_height() -> usize {
    match termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_row > 0 => usize::from(size.ws_row),
        _ => usize::MAX,
    }
}

fn width(stream: impl std::os::fd::AsFd) -> usize {
    match termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => DEFAULT_WIDTH,
    }
}

/// Columns and rows of the terminal that a person types into, if there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdin()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Whether stdin is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Raw mode: every key goes to the other side, Ctrl-C too. The old mode comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal of stdin.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing can be done if the terminal is gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
