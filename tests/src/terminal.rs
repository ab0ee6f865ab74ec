//! A terminal: a command runs on it, keys are typed, and what a person would see can be read.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{Instance, eventually};

/// Wide enough for every line of the tests.
const COLUMNS: u16 = 120;
const ROWS: u16 = 40;

/// A command on a terminal of its own, as its controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Instance {
    /// Runs a command on a terminal.
    #[must_use]
    pub fn on_terminal(&self, arguments: &[&str]) -> Terminal {
        let through = ["setsid", "--ctty", "--wait"];
        Terminal::start(self.command_through(&through, arguments))
    }
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).expect("a size");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs =
            rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end");
        let end = |end: &OwnedFd| Stdio::from(end.try_clone().expect("descriptor"));
        let child = command
            .stdin(end(&theirs))
            .stdout(end(&theirs))
            .stderr(end(&theirs))
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .spawn()
            .expect("setsid and podyard");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut reader = File::from(ours.try_clone().expect("descriptor"));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends with an error when the last process on the other end is gone.
            while let Ok(length) = reader.read(&mut buffer) {
                shared
                    .lock()
                    .expect("no panic")
                    .extend_from_slice(&buffer[..length]);
            }
        });
        Self {
            child,
            keys: ours.into(),
            seen,
        }
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the terminal is there");
    }

    /// Every byte that was written until now.
    #[must_use]
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic")).into_owned()
    }

    /// The lines that a person sees now, without the colours.
    #[must_use]
    pub fn screen(&self) -> Vec<String> {
        screen(&self.bytes())
    }

    /// Waits until a text is on the screen.
    pub fn wait_for(&self, text: &str) {
        eventually(&format!("the terminal shows `{text}`"), || {
            self.screen()
                .iter()
                .any(|line| line.contains(text))
                .then_some(())
        });
    }

    /// Waits for the end of the command.
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, Vec<String>, String) {
        let status = self.child.wait().expect("a child");
        // The reader has everything once the last writer is gone; it had no chance to say so yet.
        let bytes = eventually("the output is complete", || {
            let before = self.bytes();
            std::thread::sleep(std::time::Duration::from_millis(20));
            (self.bytes() == before).then_some(before)
        });
        (status, screen(&bytes), bytes)
    }
}

/// A very small terminal: lines, carriage return, cursor up, clear to the end, colours.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut input = bytes.chars().peekable();
    while let Some(character) = input.next() {
        match character {
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\r' => column = 0,
            '\u{1b}' if input.peek() == Some(&'[') => {
                input.next();
                let mut arguments = String::new();
                let command = loop {
                    match input.next() {
                        Some(end) if end.is_ascii_alphabetic() => break end,
                        Some(part) => arguments.push(part),
                        // Cut off in the middle of a sequence.
                        None => break ' ',
                    }
                };
                match command {
                    'A' => row = row.saturating_sub(arguments.parse().unwrap_or(1)),
                    'J' => {
                        lines.truncate(row + 1);
                        lines[row].truncate(column);
                    }
                    'K' => lines[row].truncate(column),
                    _ => {}
                }
            }
            _ => {
                let line = &mut lines[row];
                while line.len() <= column {
                    line.push(' ');
                }
                line[column] = character;
                column += 1;
            }
        }
    }
    let text = lines.into_iter().map(|line| line.into_iter().collect());
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_redrawn_replaces_what_was_there() {
        let bytes = "one\r\ntwo\r\n\x1b[1A\r\x1b[J\x1b[32mthree\x1b[0m\r\n";
        assert_eq!(screen(bytes), ["one", "three", ""]);
    }
}
