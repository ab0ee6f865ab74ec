//! Time comes in as an argument: two clocks read once per turn.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use podyard_api::meta::Time;
use serde::{Deserialize, Serialize};

/// Wall clock, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Below one second.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The span from `earlier` to `self`; zero when the clock was set back in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanoseconds = |at: Self| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanoseconds);
        let span = nanoseconds(self) - nanoseconds(earlier);
        u64::try_from(span).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

/// The moment of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// `CLOCK_BOOTTIME`: what deadlines are measured with.
    pub since_boot: Duration,
    /// What timestamps show.
    pub wall: Timestamp,
}

/// As the API shows it, in whole seconds.
#[must_use]
pub fn kubernetes_time(at: Timestamp) -> Time {
    // Out of jiff's range only for a clock that is thousands of years off.
    Time(k8s_time(at.seconds))
}

fn k8s_time(seconds: i64) -> podyard_api::jiff::Timestamp {
    podyard_api::jiff::Timestamp::from_second(seconds).unwrap_or(podyard_api::jiff::Timestamp::UNIX_EPOCH)
}

/// A duration as Go prints it, for whole seconds: `10s`, `1m20s`, `5m0s`; smaller parts as `1.5s`, `20ms`.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && duration.subsec_millis() > 0 {
        let micros = duration.subsec_micros();
        return if micros % 1000 == 0 { format!("{}ms", micros / 1000) } else { format!("{}.{:03}ms", micros / 1000, micros % 1000) };
    }
    let fraction = match duration.subsec_millis() {
        0 => String::new(),
        millis => String::from(format!(".{millis:03}").trim_end_matches('0')),
    };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_prints_them() {
        for (seconds, expected) in
            [(10, "10s"), (20, "20s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s"), (3600, "1h0m0s"), (0, "0s")]
        {
            assert_eq!(go_duration(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(go_duration(Duration::from_millis(20)), "20ms");
        assert_eq!(go_duration(Duration::from_millis(1500)), "1.5s");
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_span() {
        let at = |seconds| Timestamp { seconds, nanoseconds: 1 };
        assert_eq!(at(5).since(at(3)), Duration::from_secs(2));
        assert_eq!(at(3).since(at(5)), Duration::ZERO);
    }
}
