//! What the tests of a whole pod share: a pod in one line per container, virtual time, and status in the shorthand of the recordings.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod pod;
pub(crate) mod shorthand;

use std::time::Duration;

use podyard_lifecycle::{Now, Timestamp};

/// The wall clock's reading at boot; virtual time begins an hour later.
const BOOT: i64 = 1_795_000_000;

/// Virtual time in milliseconds since the test began.
pub(crate) type Millis = u64;

/// Both clocks at a virtual time.
pub(crate) fn now(at: Millis) -> Now {
    Now {
        since_boot: Duration::from_millis(3_600_000 + at),
        wall: wall(at),
    }
}

/// The wall clock at a virtual time.
pub(crate) fn wall(at: Millis) -> Timestamp {
    Timestamp {
        seconds: BOOT + 3_600 + i64::try_from(at / 1000).expect("virtual time is short"),
        nanoseconds: u32::try_from(at % 1000).expect("below 1000") * 1_000_000,
    }
}

/// The virtual time of a deadline, rounded up: a turn that comes early would do nothing.
pub(crate) fn millis(since_boot: Duration) -> Millis {
    let nanos = since_boot.as_nanos().div_ceil(1_000_000);
    u64::try_from(nanos)
        .expect("virtual time is short")
        .saturating_sub(3_600_000)
}
