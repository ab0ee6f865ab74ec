//! Quantities: `500m`, `1Gi`, `1e3` (`pod-api.md` section 2.3). Exact integer arithmetic, no floating point.

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)]
pub struct QuantityError;

/// The value in thousandths, rounded up, as Kubernetes rounds.
///
/// # Errors
///
/// When `text` is no quantity, or is beyond 2^96.
pub fn milli(text: &str) -> Result<i128, QuantityError> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
        return Err(QuantityError);
    }
    let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| QuantityError)?;
    let (multiplier, mut exponent) = scale(suffix)?;
    exponent += 3 - i32::try_from(fraction.len()).map_err(|_| QuantityError)?;
    let scaled = digits.checked_mul(multiplier).ok_or(QuantityError)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs()).ok_or(QuantityError)?;
    let value = if exponent >= 0 {
        scaled.checked_mul(power).ok_or(QuantityError)?
    } else {
        (scaled + power - 1) / power
    };
    if value > 1 << 96 {
        return Err(QuantityError);
    }
    Ok(if negative { -value } else { value })
}

/// The value in whole units (bytes, for memory), rounded up.
///
/// # Errors
///
/// As [`milli`], and when it is negative or beyond 2^63.
pub fn bytes(text: &str) -> Result<u64, QuantityError> {
    let milli = milli(text)?;
    let whole = u64::try_from((milli + 999).div_euclid(1000)).map_err(|_| QuantityError)?;
    if i64::try_from(whole).is_err() { Err(QuantityError) } else { Ok(whole) }
}

/// Multiplier and decimal exponent of a suffix.
fn scale(suffix: &str) -> Result<(i128, i32), QuantityError> {
    Ok(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError)?;
            (1, exponent.parse::<i8>().map_err(|_| QuantityError)?.into())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_fractions_and_nonsense() {
        for (text, expected) in [
            ("1", Ok(1000)),
            ("500m", Ok(500)),
            ("0.5", Ok(500)),
            (".5", Ok(500)),
            ("1.", Ok(1000)),
            ("1Ki", Ok(1_024_000)),
            ("1.5Gi", Ok(1_610_612_736_000)),
            ("1e3", Ok(1_000_000)),
            ("12E", Ok(12_000_000_000_000_000_000_000)),
            ("1n", Ok(1)),
            ("-1", Ok(-1000)),
            ("", Err(QuantityError)),
            ("1.2.3", Err(QuantityError)),
            ("1KB", Err(QuantityError)),
            ("abc", Err(QuantityError)),
            ("99999999999999999999999999999999", Err(QuantityError)),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
        assert_eq!(bytes("64Mi"), Ok(64 << 20));
        assert_eq!(bytes("100m"), Ok(1));
        assert_eq!(bytes("-1"), Err(QuantityError));
    }
}
