//! The CRI log format: `<RFC 3339 time with nanoseconds> <stdout|stderr> <F|P> <text>` (`pod-lifecycle.md` section 12).
//!
//! `F` ends a line, `P` is a piece of a longer one. Pure: bytes in, bytes out.

use std::io::Write as _;

use podyard_lifecycle::Timestamp;

use crate::limits;

/// Formats the complete lines of `chunk` into `records`, and pieces of a line that has grown too long. With `last`, a rest without a
/// newline becomes a `P` record. Returns how many bytes of `chunk` were used.
pub fn format(
    chunk: &[u8],
    stream: &str,
    last: bool,
    at: Timestamp,
    records: &mut Vec<u8>,
) -> usize {
    let prefix = format!("{} {stream} ", rfc3339(at));
    let mut record = |tag: &str, text: &[u8]| {
        records.extend_from_slice(prefix.as_bytes());
        let _ = records.write_all(tag.as_bytes());
        records.push(b' ');
        records.extend_from_slice(text);
        records.push(b'\n');
    };
    let mut used = 0;
    while used < chunk.len() {
        let rest = &chunk[used..];
        let window = &rest[..rest.len().min(limits::LOG_LINE_BYTES + 1)];
        match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                record("F", &rest[..end]);
                used += end + 1;
            }
            None if rest.len() > limits::LOG_LINE_BYTES => {
                record("P", &rest[..limits::LOG_LINE_BYTES]);
                used += limits::LOG_LINE_BYTES;
            }
            None if last => {
                record("P", rest);
                used = chunk.len();
            }
            None => break,
        }
    }
    used
}

/// One record of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The time as written.
    pub time: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// Whether a newline follows.
    pub ends_line: bool,
    /// The text without its newline.
    pub text: &'a [u8],
}

/// Reads one line of a log file, without its newline.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let stream = std::str::from_utf8(fields.next()?).ok()?;
    // Tags may be separated by colons; the first one counts.
    let ends_line = match fields.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Record {
        time,
        stream,
        ends_line,
        text: fields.next()?,
    })
}

/// What a container wrote, out of whole or torn records.
#[must_use]
pub fn content(records: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in records.split_inclusive(|byte| *byte == b'\n') {
        let (line, whole) = line
            .strip_suffix(b"\n")
            .map_or((line, false), |line| (line, true));
        if let Some(record) = parse(line) {
            text.extend_from_slice(record.text);
            if record.ends_line && whole {
                text.push(b'\n');
            }
        }
    }
    text
}

/// RFC 3339 in UTC with nine digits.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    // Days to civil date, after Howard Hinnant's public-domain algorithm: exact over the whole range.
    let days = at.seconds.div_euclid(86_400);
    let second = at.seconds.rem_euclid(86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        at.nanoseconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 5,
    };

    fn formatted(chunk: &[u8], last: bool) -> (usize, String) {
        let mut records = Vec::new();
        let used = format(chunk, "stdout", last, AT, &mut records);
        (used, String::from_utf8(records).expect("UTF-8"))
    }

    #[test]
    fn lines_rests_and_long_lines() {
        let time = "2023-11-14T22:13:20.000000005Z";
        assert_eq!(
            formatted(b"o\nrest", false),
            (2, format!("{time} stdout F o\n"))
        );
        assert_eq!(
            formatted(b"abc", true),
            (3, format!("{time} stdout P abc\n"))
        );
        assert_eq!(formatted(b"\n", false), (1, format!("{time} stdout F \n")));
        let long = vec![b'x'; limits::LOG_LINE_BYTES + 3];
        let (used, records) = formatted(&long, true);
        assert_eq!(used, long.len());
        assert_eq!(
            records
                .lines()
                .map(|line| line.split(' ').nth(2))
                .collect::<Vec<_>>(),
            [Some("P"), Some("P")]
        );
        assert_eq!(content(records.as_bytes()), long);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let line = b"2023-11-14T22:13:20.000000005Z stderr F a  b";
        let record = parse(line).expect("a record");
        assert_eq!(
            (record.stream, record.ends_line, record.text),
            ("stderr", true, b"a  b".as_slice())
        );
        assert_eq!(parse(b"no record"), None);
        assert_eq!(content(b"t stdout F whole\nt stdout F to"), b"whole\nto");
    }

    #[test]
    fn dates_are_exact_at_their_edges() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (4_102_444_799, "2099-12-31T23:59:59"),
            (-1, "1969-12-31T23:59:59"),
        ] {
            assert!(
                rfc3339(Timestamp {
                    seconds,
                    nanoseconds: 0
                })
                .starts_with(expected),
                "{seconds}"
            );
        }
    }
}
