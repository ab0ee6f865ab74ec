//! Numbers of bytes for people: decimal units, three digits, as `crictl images` has them.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `512B`, `4.26MB`, `71.9MB`, `123GB`.
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 would be printed as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match value {
        _ if unit == 0 => format!("{bytes}B"),
        _ if value < 9.995 => format!("{value:.2}{}", UNITS[unit]),
        _ if value < 99.95 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (bytes, expected) in [
            (0, "0B"),
            (512, "512B"),
            (999, "999B"),
            (1_000, "1.00kB"),
            (4_261_550, "4.26MB"),
            (71_900_000, "71.9MB"),
            (999_600_000, "1.00GB"),
            (123_456_789_012, "123GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }
}
