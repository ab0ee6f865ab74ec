//! Texts as Go prints them, which is how Kubernetes' messages look: `%q` quoting and durations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// `text` as Go's `%q` prints it.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(character),
            _ if u32::from(character) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            _ if printable(character) => out.push(character),
            _ if u32::from(character) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => {
                let _ = write!(out, "\\U{:08x}", u32::from(character));
            }
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`, as far as the standard library can tell: control, format, private and unusual blanks are not.
fn printable(character: char) -> bool {
    !(character.is_control()
        || character.is_whitespace()
        || matches!(u32::from(character),
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb | 0xfffe..=0xffff
            | 0xe_0000..=0x10_ffff))
}

/// A JSON string as Go's encoder writes it, which also escapes what HTML would read.
#[must_use]
pub fn json_string(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A map of texts as Go's JSON encoder writes it; one that is not there is `null`.
#[must_use]
pub fn json_map(map: Option<&BTreeMap<String, String>>) -> String {
    let Some(map) = map else {
        return "null".to_owned();
    };
    let entries: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{}:{}", json_string(key), json_string(value)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`, `1h0m0s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", decimal(nanos, 3));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", decimal(nanos, 6));
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 9);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value` with `places` decimals, zeros at the end left out.
fn decimal(value: u128, places: u32) -> String {
    let power = 10_u128.pow(places);
    let whole = value / power;
    let fraction = value % power;
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = format!("{fraction:0width$}", width = places as usize);
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("Ä\n\t\u{0}\u{1b}", r#""Ä\n\t\x00\x1b""#),
            ("\u{200b}\u{feff}", r#""\u200b\ufeff""#),
            ("\u{7f}\u{a0}", "\"\\x7f\\u00a0\""),
        ] {
            assert_eq!(quote(text), expected);
        }
    }

    #[test]
    fn durations() {
        for (millis, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (1500, "1.5s"),
            (10_000, "10s"),
            (80_000, "1m20s"),
            (160_000, "2m40s"),
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }
}
