//! What the tests of a whole pod share: a pod in one line per container, virtual time, and status in shorthand.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod cases;
pub(crate) mod play;
pub(crate) mod pod;
pub(crate) mod recorded;
pub(crate) mod shorthand;
pub(crate) mod world;

use std::time::Duration;

use podyard_lifecycle::{Now, Timestamp};

/// Virtual time in milliseconds since the test began.
pub(crate) type Millis = u64;

/// The wall clock when virtual time begins.
const BEGIN: i64 = 1_795_000_000;

/// The two clocks of a machine with a virtual time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Virtual time when it was switched on.
    booted: i64,
}

impl Default for Clocks {
    /// It has been up for an hour.
    fn default() -> Self {
        Self { booted: -3_600_000 }
    }
}

impl Clocks {
    /// Switched on at this virtual time.
    pub(crate) fn booted_at(at: Millis) -> Self {
        Self { booted: signed(at) }
    }

    pub(crate) fn now(self, at: Millis) -> Now {
        let since_boot = u64::try_from(signed(at) - self.booted).unwrap_or(0);
        Now {
            since_boot: Duration::from_millis(since_boot),
            wall: wall(at),
        }
    }

    /// The virtual time of a deadline, rounded up: a turn that comes early would do nothing.
    pub(crate) fn millis(self, since_boot: Duration) -> Millis {
        let millis = u64::try_from(since_boot.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        u64::try_from(
            i64::try_from(millis)
                .unwrap_or(i64::MAX)
                .saturating_add(self.booted),
        )
        .unwrap_or(0)
    }
}

/// The wall clock at a virtual time.
pub(crate) fn wall(at: Millis) -> Timestamp {
    Timestamp {
        seconds: BEGIN + signed(at / 1000),
        nanoseconds: u32::try_from(at % 1000).unwrap_or(0) * 1_000_000,
    }
}

/// The virtual time of a reading of the wall clock.
pub(crate) fn virtual_time(at: Timestamp) -> Millis {
    let millis = (at.seconds - BEGIN) * 1000 + i64::from(at.nanoseconds / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// The same with the clock set ahead, or back.
pub(crate) fn shifted(at: Timestamp, by: i64) -> Timestamp {
    let millis = at.seconds * 1000 + i64::from(at.nanoseconds / 1_000_000) + by;
    Timestamp {
        seconds: millis.div_euclid(1000),
        nanoseconds: u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
    }
}

fn signed(at: Millis) -> i64 {
    i64::try_from(at).expect("virtual time is short")
}

/// Seconds with at most three decimals.
pub(crate) fn millis(text: &str) -> Millis {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let number = |text: &str| text.parse::<Millis>().expect("seconds");
    number(whole) * 1000 + number(&format!("{rest:0<3}"))
}
