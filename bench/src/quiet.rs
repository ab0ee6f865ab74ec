//! Whether anything else works on the machine: what one measurement leaves behind must not be part of the next.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;

/// One look at how busy all processors are takes so long.
const LOOK: Duration = Duration::from_millis(500);
/// With at most this share of its processor time in use, the machine is quiet.
const QUIET: f64 = 0.15;

/// Waits until the machine is quiet, and gives what it uses then, as [`used`].
pub(crate) fn wait_until_quiet(limit: Duration) -> Result<Duration> {
    let begin = Instant::now();
    loop {
        let used = used()?;
        if leaves_quiet(used) {
            return Ok(used);
        }
        if begin.elapsed() > limit {
            return Err(format!("the machine is not quiet within {} s", limit.as_secs()).into());
        }
    }
}

/// Whether who uses no more than this within a look leaves the machine quiet.
fn leaves_quiet(used: Duration) -> bool {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    used.as_secs_f64() <= QUIET * LOOK.as_secs_f64() * processors as f64
}

/// Waits until the machine has been quiet for so long without a break.
pub(crate) fn wait_until_settled(quiet: Duration, limit: Duration) -> Result<()> {
    let begin = Instant::now();
    loop {
        let since = Instant::now();
        let mut is_quiet = true;
        while is_quiet && since.elapsed() < quiet {
            is_quiet = leaves_quiet(used()?);
        }
        if is_quiet {
            return Ok(());
        }
        if begin.elapsed() > limit {
            return Err(format!("the machine does not settle within {} s", limit.as_secs()).into());
        }
    }
}

/// Processor time that everything on this machine uses together within half a second from now.
pub(crate) fn used() -> Result<Duration> {
    let before = busy()?;
    std::thread::sleep(LOOK);
    Ok(busy()?.saturating_sub(before))
}

/// What all processors have done since the boot (proc_stat(5), in ticks).
fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[user, nice, system, _idle, _waiting, interrupts, softly, ..] = ticks.as_slice() else {
        return Err("/proc/stat does not begin with the processors' times".into());
    };
    let ticks = user + nice + system + interrupts + softly;
    Ok(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}
