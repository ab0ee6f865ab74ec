//! What the measured containers run: it says when it was executed, or writes a great many log lines.
//!
//! ```text
//! podyard-bench-app stamp FILE NAME          append `NAME <nanoseconds>` to FILE, first of all, and end; one whose NAME begins with
//!                                            `work` first waits for 10 ms, as if it worked, and appends `NAME.end`
//! podyard-bench-app lines FILE NAME BYTES    write BYTES of log lines, and stamp `NAME.begin` and `NAME.end`
//! ```
//!
//! It has to run in any image, so scripts/bench compiles it alone, statically and without any dependency.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A log line without its end: what a web server might write.
const LINE: &[u8] =
    b"10.88.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET /index.html HTTP/1.1\" 200 612 \"-\" \"curl/8\"";

const WORK: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let executed = nanoseconds();
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [_, "stamp", file, name] => stamp(file, name, executed).and_then(|()| work(file, name)),
        [_, "lines", file, name, bytes] => lines(file, name, bytes),
        _ => Err(io::Error::other(
            "stamp FILE NAME, or lines FILE NAME BYTES",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be left to tell; the exit code says it too.
            let _ = writeln!(io::stderr(), "podyard-bench-app: {error}");
            ExitCode::FAILURE
        }
    }
}

fn nanoseconds() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}

/// One write(2) in append mode, so that containers can share the file.
fn stamp(file: &str, name: &str, at: u128) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(file)?;
    file.write_all(format!("{name} {at}\n").as_bytes())
}

fn work(file: &str, name: &str) -> io::Result<()> {
    if !name.starts_with("work") {
        return Ok(());
    }
    std::thread::sleep(WORK);
    stamp(file, &format!("{name}.end"), nanoseconds())
}

fn lines(file: &str, name: &str, bytes: &str) -> io::Result<()> {
    let bytes: usize = bytes.parse().map_err(io::Error::other)?;
    let mut block = Vec::with_capacity(64 * 1024);
    while block.len() + LINE.len() < block.capacity() {
        block.extend_from_slice(LINE);
        block.push(b'\n');
    }
    stamp(file, &format!("{name}.begin"), nanoseconds())?;
    let mut output = io::stdout().lock();
    let mut written = 0;
    while written < bytes {
        output.write_all(&block)?;
        written += block.len();
    }
    output.flush()?;
    stamp(file, &format!("{name}.end"), nanoseconds())
}
