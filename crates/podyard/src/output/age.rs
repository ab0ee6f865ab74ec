//! How long something took or has lasted, for people.
//!
//! Two forms: Kubernetes' coarse one, so that a listing looks as it does in a cluster, and a fine one for the start of a pod, where
//! milliseconds matter.

use std::time::Duration;

use crate::objects::jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// The age column of kubectl (`HumanDuration` of apimachinery): at most two units, fewer digits the longer it has been.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// [`human`] for the time since `then`. A moment that lies ahead by less than two seconds is now, as clocks differ; further ahead it is
/// `<invalid>`, and a moment that is not known is `<unknown>`.
pub(crate) fn since(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else {
        return "<unknown>".to_owned();
    };
    match Duration::try_from(now.duration_since(then)) {
        Ok(age) => human(age),
        Err(_) if then.duration_since(now).as_secs() < 2 => "0s".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// Three significant digits up to ten seconds, then like [`human`]: `850 µs`, `12.3 ms`, `1.24 s`, `42 s`, `3m5s`.
pub(crate) fn precise(duration: Duration) -> String {
    let micros = duration.as_micros();
    let scaled = |unit: &str, value: f64| match value {
        _ if value < 10.0 => format!("{value:.2} {unit}"),
        _ if value < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    };
    match micros {
        0 => "0 ms".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..999_500 => scaled("ms", duration.as_secs_f64() * 1e3),
        999_500..10_000_000 => scaled("s", duration.as_secs_f64()),
        10_000_000..120_000_000 => format!("{:.0} s", duration.as_secs_f64()),
        _ => human(duration),
    }
}

/// A duration between two moments; none if the clock went back between them.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_ages_are_those_of_kubectl() {
        for (seconds, expected) in [
            (0, "0s"),
            (95, "95s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (840, "14m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (8 * HOUR, "8h"),
            (30 * HOUR, "30h"),
            (2 * DAY, "2d"),
            (3 * DAY + 2 * HOUR, "3d2h"),
            (8 * DAY, "8d"),
            (90 * DAY, "90d"),
            (2 * YEAR, "2y"),
            (3 * YEAR + 4 * DAY, "3y4d"),
            (9 * YEAR + 4 * DAY, "9y"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn fine_durations_keep_three_digits() {
        for (micros, expected) in [
            (0, "0 ms"),
            (7, "7 µs"),
            (1_000, "1.00 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (999_400, "999 ms"),
            (999_600, "1.00 s"),
            (1_240_000, "1.24 s"),
            (42_400_000, "42 s"),
            (185_000_000, "3m5s"),
        ] {
            assert_eq!(precise(Duration::from_micros(micros)), expected);
        }
    }

    #[test]
    fn clocks_that_differ_do_not_make_an_age_negative() {
        let now = Timestamp::from_second(1_000_000).expect("in range");
        let at = |second| Timestamp::from_second(second).ok();
        assert_eq!(since(at(999_000), now), "16m");
        assert_eq!(since(at(1_000_001), now), "0s");
        assert_eq!(since(at(1_000_005), now), "<invalid>");
        assert_eq!(since(None, now), "<unknown>");
    }
}
