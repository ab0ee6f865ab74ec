//! The one place that reads a clock. Deadlines use `CLOCK_BOOTTIME`, which goes on while the machine sleeps and can be compared
//! across supervisors of one boot; status timestamps use wall time.

use std::time::Duration;

use podyard_lifecycle::{Now, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Both clocks, read once for a whole turn.
#[must_use]
pub fn now() -> Now {
    Now {
        since_boot: read(ClockId::Boottime),
        wall: wall(),
    }
}

/// Processor time of this thread so far: what something costs, whoever else wants the processor meanwhile.
pub(crate) fn processor_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Wall time, UTC.
#[must_use]
pub fn wall() -> Timestamp {
    let wall = clock_gettime(ClockId::Realtime);
    Timestamp {
        seconds: wall.tv_sec,
        nanoseconds: u32::try_from(wall.tv_nsec).unwrap_or_default(),
    }
}

/// Identifies this boot of the machine: whatever was running under another one is gone.
///
/// # Errors
///
/// When procfs is not mounted.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
