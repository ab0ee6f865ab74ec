//! Pax extended headers: `length key=value` records that override or extend the next entry's header.

use super::archive::ArchiveError;

/// The records of one extended header, in their order.
#[derive(Debug, Default)]
pub(super) struct PaxRecords(Vec<(String, Vec<u8>)>);

const XATTR_PREFIX: &str = "SCHILY.xattr.";

impl PaxRecords {
    pub(super) fn parse(mut content: &[u8]) -> Result<Self, ArchiveError> {
        let malformed = || ArchiveError::Malformed("a pax record cannot be read");
        let mut records = Vec::new();
        while !content.is_empty() {
            let space = content
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(malformed)?;
            let length: usize = parse_decimal(&content[..space])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length > space + 1 && *length <= content.len())
                .ok_or_else(malformed)?;
            let (record, rest) = content.split_at(length);
            let record = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or_else(malformed)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(malformed)?;
            let key = String::from_utf8(record[..equals].to_vec()).map_err(|_| malformed())?;
            let value = record[equals + 1..].to_vec();
            // A zero byte would end a name early for some readers and not for others.
            if !key.starts_with(XATTR_PREFIX) && value.contains(&0) {
                return Err(malformed());
            }
            records.push((key, value));
            content = rest;
        }
        Ok(Self(records))
    }

    /// The last non-empty value of a key; an empty one takes an earlier value back.
    pub(super) fn take(&mut self, key: &str) -> Option<Vec<u8>> {
        let (_, value) = self.0.iter_mut().rev().find(|(name, _)| name == key)?;
        Some(std::mem::take(value)).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, ArchiveError> {
        let malformed = || ArchiveError::Malformed("a number in a pax record cannot be read");
        self.take(key)
            .map(|value| parse_decimal(&value).ok_or_else(malformed))
            .transpose()
    }

    /// A time with an optional fraction; digits beyond nanoseconds are cut off.
    pub(super) fn time(&mut self, key: &str) -> Result<Option<(i64, u32)>, ArchiveError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let malformed = || ArchiveError::Malformed("a time in a pax record cannot be read");
        let (negative, value) = match value.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, &value[..]),
        };
        let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
            Some(dot) => (&value[..dot], &value[dot + 1..]),
            None => (value, &b""[..]),
        };
        let whole = parse_decimal(whole)
            .and_then(|whole| i64::try_from(whole).ok())
            .ok_or_else(malformed)?;
        let mut nanoseconds = 0_u32;
        for index in 0..9 {
            let digit = fraction.get(index).copied().unwrap_or(b'0');
            if !digit.is_ascii_digit() {
                return Err(malformed());
            }
            nanoseconds = nanoseconds * 10 + u32::from(digit - b'0');
        }
        Ok(Some(match (negative, nanoseconds) {
            (false, nanoseconds) => (whole, nanoseconds),
            (true, 0) => (-whole, 0),
            (true, nanoseconds) => (-whole - 1, 1_000_000_000 - nanoseconds),
        }))
    }

    pub(super) fn take_xattrs(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let is_xattr = |record: &mut (String, Vec<u8>)| record.0.starts_with(XATTR_PREFIX);
        let xattrs = self.0.extract_if(.., is_xattr);
        xattrs
            .map(|(key, value)| (key.as_bytes()[XATTR_PREFIX.len()..].to_vec(), value))
            .collect()
    }

    /// All records in their order; the first sparse format repeats keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
    }
}

pub(super) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all_digits
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PaxRecords {
        PaxRecords::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn records() {
        let mut records =
            parse("9 path=a\n14 path=b\nc=d\n13 uid=12345\n32 SCHILY.xattr.user.a=line\nend\n");
        assert_eq!(
            records.take("path"),
            Some(b"b\nc=d".to_vec()),
            "the last one counts, whatever it contains"
        );
        assert_eq!(records.number("uid").unwrap(), Some(12345));
        assert_eq!(records.number("gid").unwrap(), None);
        assert_eq!(
            records.take_xattrs(),
            vec![(b"user.a".to_vec(), b"line\nend".to_vec())]
        );
        assert_eq!(parse("8 path=\n").take("path"), None);
    }

    #[test]
    fn refuses_lengths_that_lie() {
        for bad in [
            "9 path=a",
            "99 path=a\n",
            "0 a=b\n",
            "1 a=b\n",
            "x path=a\n",
            "7 path\n\n",
            "10 path=a\0\n",
            " ",
        ] {
            assert!(PaxRecords::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("12 mtime=10\n", (10, 0)),
            ("14 mtime=10.5\n", (10, 500_000_000)),
            ("16 mtime=-10.25\n", (-11, 750_000_000)),
            ("24 mtime=1.000000001999\n", (1, 1)),
        ] {
            assert_eq!(parse(text).time("mtime").unwrap(), Some(expected), "{text}");
        }
        assert!(parse("12 mtime=x1\n").time("mtime").is_err());
    }
}
