//! What `run` shows: a block of lines that is redrawn in place on a terminal, plain lines elsewhere, and the containers' logs.
//!
//! Logs are data and go to stdout; everything else goes to stderr. Where both are one terminal, the block is taken away before anything
//! else is printed and drawn again below it.

use std::io::{self, IsTerminal as _, Write as _};

use crate::error::CliError;

/// The bottom of the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    /// The block may be drawn at all.
    is_live: bool,
    /// Logs go to a terminal too.
    shares_terminal: bool,
    /// The block, as it stands there.
    drawn: Vec<String>,
}

impl Screen {
    /// With a block only if stderr can show one.
    pub(super) fn new(is_live: bool) -> Self {
        Self {
            is_live,
            shares_terminal: is_live && io::stdout().is_terminal(),
            drawn: Vec::new(),
        }
    }

    /// Whether there is a block to draw.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Shows the block in its new form.
    pub(super) fn draw(&mut self, block: Vec<String>) {
        if !self.is_live || block == self.drawn {
            return;
        }
        self.put(&redraw(self.drawn.len(), &block));
        self.drawn = block;
    }

    /// Leaves the block where it is for good and draws none any more.
    pub(super) fn settle(&mut self) {
        self.drawn.clear();
        self.is_live = false;
    }

    /// Tells something.
    pub(super) fn note(&mut self, text: &str) {
        let block = std::mem::take(&mut self.drawn);
        let mut out = redraw(block.len(), &[]);
        out.push_str(text);
        out.push('\n');
        out.push_str(&redraw(0, &block));
        self.put(&out);
        self.drawn = block;
    }

    /// Prints lines of containers.
    pub(super) fn log(&mut self, lines: &[u8]) -> Result<(), CliError> {
        if lines.is_empty() {
            return Ok(());
        }
        let block = if self.shares_terminal {
            std::mem::take(&mut self.drawn)
        } else {
            Vec::new()
        };
        self.put(&redraw(block.len(), &[]));
        let printed = crate::commands::print(lines);
        self.put(&redraw(0, &block));
        if self.shares_terminal {
            self.drawn = block;
        }
        printed
    }

    fn put(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // If nobody looks, the pod runs all the same.
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }
}

/// What moves the cursor up over `above` lines, clears them and prints `block` instead.
fn redraw(above: usize, block: &[String]) -> String {
    let mut text = String::new();
    if above > 0 {
        text.push_str(&format!("\x1b[{above}A\r\x1b[J"));
    }
    for line in block {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_replaces_the_one_before() {
        assert_eq!(redraw(0, &["a".to_owned()]), "a\n");
        assert_eq!(
            redraw(2, &["b".to_owned(), "c".to_owned()]),
            "\x1b[2A\r\x1b[Jb\nc\n"
        );
        assert_eq!(redraw(0, &[]), "");
    }
}
