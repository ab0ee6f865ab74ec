//! What a process list calls a process that has not executed its program yet.
#![expect(
    unsafe_code,
    reason = "the kernel reads command lines out of a process's own memory"
)]

use std::sync::OnceLock;

/// Where the command line of this process, and of every copy of it, is in memory: first and last address, from `/proc/self/stat` fields 48
/// and 49 (proc(5)).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandLine {
    start: usize,
    length: usize,
}

impl CommandLine {
    /// Found once. `None` where it cannot be found out: then a copy is called what its maker is.
    pub(crate) fn own() -> Option<Self> {
        static OWN: OnceLock<Option<CommandLine>> = OnceLock::new();
        *OWN.get_or_init(|| {
            let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
            // The name is in parentheses and may itself hold blanks and parentheses; after it comes field 3.
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(45);
            let start: usize = fields.next()?.parse().ok()?;
            let end: usize = fields.next()?.parse().ok()?;
            let length = end.checked_sub(start).filter(|_| start != 0)?;
            Some(Self { start, length })
        })
    }
}

/// Calls this process something else, as far as there is room. Nobody else may be reading the program's arguments.
pub(crate) fn set(line: CommandLine, text: &[u8]) {
    let count = text.len().min(line.length.saturating_sub(1));
    let start = line.start as *mut u8;
    // SAFETY: the kernel put the command line there, on the stack of the process, writable and of this length, and nothing else is there.
    // No reference to it lives meanwhile: the standard library copies arguments whenever it is asked for them.
    unsafe {
        std::ptr::write_bytes(start, 0, line.length);
        std::ptr::copy_nonoverlapping(text.as_ptr(), start, count);
    }
}

/// Calls this process something else in process lists, as far as the command line that it was started with has room: its words, each ended
/// by a NUL byte, and `podyard` where only one word is shown.
pub fn set_title(text: &[u8]) {
    if let Some(line) = CommandLine::own() {
        set(line, text);
    }
    let _ = super::privileges::set_name(c"podyard");
}
