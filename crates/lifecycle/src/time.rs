//! The two clocks of a turn, and the ways Kubernetes and Go write times down. Reads no clock: time is an input.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;
use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A point of wall time, UTC, as seconds and nanoseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// The rest, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The time of a turn on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// `CLOCK_BOOTTIME`: waits and deadlines are measured on it, so that setting the clock changes none of them.
    pub since_boot: Duration,
    /// `CLOCK_REALTIME`: what the status shows.
    pub wall: Timestamp,
}

impl Timestamp {
    /// From `earlier` to `self`, in nanoseconds; negative if it is the other way round.
    fn nanoseconds_since(self, earlier: Self) -> i64 {
        let seconds = self.seconds.saturating_sub(earlier.seconds);
        let nanoseconds = i64::from(self.nanoseconds) - i64::from(earlier.nanoseconds);
        seconds
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(nanoseconds)
    }
}

/// A point on the boot clock, in nanoseconds. Signed, since a reboot moves moments that lie behind to before the new zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(i64);

impl Moment {
    /// The end of time, for a wait that only an observation ends.
    pub(crate) const NEVER: Self = Self(i64::MAX);

    pub(crate) fn since_boot(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    pub(crate) fn plus(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same point of real time after the boot clock has begun again: `before` was the last reading of the old one, `now` is the first
    /// of the new one, and only wall time connects them.
    pub(crate) fn rebased(self, before: Now, now: Now) -> Self {
        if self == Self::NEVER {
            return self;
        }
        let away = now.wall.nanoseconds_since(before.wall);
        let ahead = self.0.saturating_sub(before.moment().0);
        Self(now.moment().0.saturating_add(ahead).saturating_sub(away))
    }
}

impl Now {
    pub(crate) fn moment(self) -> Moment {
        Moment(i64::try_from(self.since_boot.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Where a fact with a wall time of its own lies on the boot clock. A fact is never ahead of the turn that reports it.
    pub(crate) fn moment_of(self, at: Timestamp) -> Moment {
        let ago = self.wall.nanoseconds_since(at).max(0);
        Moment(self.moment().0.saturating_sub(ago))
    }
}

/// The API's form of a time. It is printed in whole seconds.
#[must_use]
pub fn kubernetes_time(at: Timestamp) -> Time {
    let nanoseconds = i32::try_from(at.nanoseconds).unwrap_or(0);
    Time(jiff::Timestamp::new(at.seconds, nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`, `1.5s`, `300ms`, `0s`.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_string();
    }
    if nanoseconds < 1_000 {
        return format!("{nanoseconds}ns");
    }
    if nanoseconds < 1_000_000 {
        return format!("{}µs", fraction(nanoseconds, 1_000));
    }
    if nanoseconds < 1_000_000_000 {
        return format!("{}ms", fraction(nanoseconds, 1_000_000));
    }
    let (hours, minutes) = (
        nanoseconds / 3_600_000_000_000,
        nanoseconds / 60_000_000_000 % 60,
    );
    let seconds = fraction(nanoseconds % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / unit` in decimal, without trailing zeros. `unit` is a power of ten.
fn fraction(value: u128, unit: u128) -> String {
    let rest = value % unit;
    if rest == 0 {
        return (value / unit).to_string();
    }
    let digits = format!("{:0width$}", rest, width = unit.ilog10() as usize);
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let cases: [(u64, &str); 15] = [
            (0, "0s"),
            (1, "1ns"),
            (1_000, "1µs"),
            (1_000_000, "1ms"),
            (1_000_000_000, "1s"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_234_000_000, "1.234s"),
            (10_000_000_000, "10s"),
            (60_000_000_000, "1m0s"),
            (80_000_000_000, "1m20s"),
            (160_000_000_000, "2m40s"),
            (300_000_000_000, "5m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_025_250_000_000, "1h23m45.25s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), expected);
        }
    }

    #[test]
    fn a_reboot_moves_moments_by_wall_time() {
        let at = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        let before = Now {
            since_boot: Duration::from_secs(1_000),
            wall: at(50_000),
        };
        let after = Now {
            since_boot: Duration::from_secs(20),
            wall: at(50_060),
        };
        let due = before.moment().plus(Duration::from_secs(90));
        assert_eq!(
            due.rebased(before, after).since_boot(),
            Duration::from_secs(50)
        );
        assert_eq!(
            before.moment().rebased(before, after),
            Moment(-40 * NANOS_PER_SECOND)
        );
        assert_eq!(Moment::NEVER.rebased(before, after), Moment::NEVER);
    }
}
