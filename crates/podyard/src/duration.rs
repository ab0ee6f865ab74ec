//! Durations as Go writes them, which is how Kubernetes' messages and flags have them.

use std::time::Duration;

/// `10s`, `1m20s`, `5m0s`, `2.5s`, `1h`. None for anything else, a negative duration among it.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    match text {
        "0" => return Some(Duration::ZERO),
        "" => return None,
        _ => {}
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits =
            rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit_end = after
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(after.len());
        let unit = match &after[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += value * unit;
        rest = &after[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_prints_is_read() {
        for (text, seconds) in [
            ("10s", 10.0),
            ("1m20s", 80.0),
            ("5m0s", 300.0),
            ("2.5s", 2.5),
            ("500ms", 0.5),
            ("0s", 0.0),
            ("0", 0.0),
            ("1h0m1s", 3601.0),
        ] {
            assert_eq!(
                parse(text),
                Some(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in ["", "soon", "10", "-1s", "1x", "s", "1s2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
