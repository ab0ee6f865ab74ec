//! Quantities: `500m`, `1Gi`, `1e3`. Exact integer arithmetic, no floating point.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A text that is no quantity, with the API server's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Neither number nor suffix can be made out.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// A number with a suffix that does not exist: `64K`.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// A suffix without a number.
    #[error("unable to parse numeric part of quantity")]
    Number,
}

/// How a quantity was written, which decides how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `Ki`, `Mi` …
    Binary,
    /// `m`, `k`, `M` … and no suffix at all.
    Decimal,
    /// `e3`
    Exponent,
}

/// A quantity. Compares by value, prints in canonical form: the largest suffix that leaves a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// In billionths, the finest Kubernetes knows; anything finer was rounded away from zero.
    nano: i128,
    family: Family,
}

const NANO: i128 = 1_000_000_000;
/// Nothing is larger than this: larger values are cut to it.
const MAX: i128 = i64::MAX as i128 * NANO;
/// The digits of [`MAX`].
const MAX_DIGITS: i64 = 28;

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// For 10 to the power of -9, -6 … 18.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

impl Value {
    /// Nothing.
    pub const ZERO: Self = Self {
        nano: 0,
        family: Family::Decimal,
    };

    /// A whole number of units.
    #[must_use]
    pub fn whole(units: i64) -> Self {
        Self {
            nano: i128::from(units) * NANO,
            family: Family::Decimal,
        }
    }

    /// In thousandths, rounded away from zero.
    #[must_use]
    pub fn milli(self) -> i128 {
        divide(self.nano, NANO / 1000)
    }

    /// In whole units, rounded away from zero; fits an `i64` because of the cut at parsing.
    #[must_use]
    pub fn units(self) -> i64 {
        i64::try_from(divide(self.nano, NANO)).unwrap_or(i64::MAX)
    }

    /// Whether this is a whole number of units.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// Whether this is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// Whether this is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Rounded up to thousandths, as resource lists are when an object is stored.
    #[must_use]
    pub fn rounded_to_milli(self) -> Self {
        Self {
            nano: (self.milli() * (NANO / 1000)).min(MAX),
            ..self
        }
    }

    /// The sum, printed like `self` unless that is nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nano: (self.nano + other.nano).clamp(-MAX, MAX),
            family: if self.is_zero() {
                other.family
            } else {
                self.family
            },
        }
    }

    /// The larger of the two, `self` when they are equal.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl FromStr for Value {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let whole_end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let whole = &rest[..whole_end];
        let (fraction, suffix) = match rest[whole_end..].strip_prefix('.') {
            Some(rest) => rest.split_at(
                rest.find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len()),
            ),
            None => ("", &rest[whole_end..]),
        };
        check_suffix_shape(suffix)?;
        let (family, multiplier, exponent) = scale(suffix).ok_or(QuantityError::Suffix)?;
        if whole.is_empty() && fraction.is_empty() && !rest.is_empty() {
            return Err(QuantityError::Number);
        }
        let magnitude = to_nano(whole, fraction, multiplier, exponent);
        Ok(Self {
            nano: if negative { -magnitude } else { magnitude },
            family,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return formatter.write_str("0");
        }
        if self.family == Family::Binary && self.is_whole() && (self.nano / NANO).abs() >= 1024 {
            let mut mantissa = self.nano / NANO;
            let mut step = 0;
            while mantissa % 1024 == 0 && step + 1 < BINARY.len() {
                mantissa /= 1024;
                step += 1;
            }
            return write!(formatter, "{mantissa}{}", BINARY[step]);
        }
        let mut mantissa = self.nano;
        let mut step = 0;
        while mantissa % 1000 == 0 && step + 1 < DECIMAL.len() {
            mantissa /= 1000;
            step += 1;
        }
        match (self.family, step) {
            (Family::Exponent, 3) => write!(formatter, "{mantissa}"),
            (Family::Exponent, step) => write!(formatter, "{mantissa}e{}", step as i32 * 3 - 9),
            _ => write!(formatter, "{mantissa}{}", DECIMAL[step]),
        }
    }
}

/// The value in thousandths, rounded up, as Kubernetes rounds. Values beyond 2^63 are cut to that.
///
/// # Errors
///
/// When `text` is no quantity.
pub fn milli(text: &str) -> Result<i128, QuantityError> {
    text.parse().map(Value::milli)
}

/// The value in whole units (bytes, for memory), rounded up.
///
/// # Errors
///
/// When `text` is no quantity, or is negative.
pub fn bytes(text: &str) -> Result<u64, QuantityError> {
    u64::try_from(text.parse::<Value>()?.units()).map_err(|_| QuantityError::Number)
}

/// What was probably meant, for units that people write and Kubernetes does not know.
#[must_use]
pub fn hint(text: &str) -> Option<String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, suffix) = text.split_at(at);
    let number = number.trim_end();
    let meant = match suffix.to_ascii_lowercase().as_str() {
        "k" | "kb" => "k",
        "kib" | "ki" => "Ki",
        "mb" => "M",
        "mib" | "mi" => "Mi",
        "g" | "gb" => "G",
        "gib" | "gi" => "Gi",
        "t" | "tb" => "T",
        "tib" | "ti" => "Ti",
        "b" => "",
        _ => return None,
    };
    Some(format!("did you mean `{number}{meant}`?"))
}

/// Letters, then a sign, then digits; everything else cannot even be a suffix.
fn check_suffix_shape(suffix: &str) -> Result<(), QuantityError> {
    let rest = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(QuantityError::Format)
    }
}

/// Family, multiplier and decimal exponent of a suffix.
fn scale(suffix: &str) -> Option<(Family, i128, i32)> {
    if let Some(step) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        return Some((Family::Binary, 1 << (10 * (step + 1)), 0));
    }
    if let Some(step) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((Family::Decimal, 1, i32::try_from(step).ok()? * 3 - 9));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Beyond this every number is nothing or too large anyway.
    let exponent = exponent.clamp(-1_000_000, 1_000_000);
    Some((Family::Exponent, 1, i32::try_from(exponent).ok()?))
}

/// `whole.fraction × multiplier × 10^exponent` in billionths, rounded up and cut at [`MAX`]. Exact for any number of digits.
fn to_nano(whole: &str, fraction: &str, multiplier: i128, exponent: i32) -> i128 {
    let product = times([whole, fraction].concat().as_bytes(), multiplier);
    let Some(first) = product.iter().position(|digit| *digit != 0) else {
        return 0;
    };
    let product = &product[first..];
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    // How many of its digits stand before the point, once it is counted in billionths.
    let whole_digits = length(product.len()) + i64::from(exponent) + 9 - length(fraction.len());
    if whole_digits > MAX_DIGITS {
        return MAX;
    }
    let whole_digits = usize::try_from(whole_digits).unwrap_or(0);
    let (before, after) = product.split_at(whole_digits.min(product.len()));
    let missing = std::iter::repeat_n(&0, whole_digits - before.len());
    let value = before
        .iter()
        .chain(missing)
        .fold(0_i128, |value, digit| value * 10 + i128::from(*digit));
    let rounded = value + i128::from(after.iter().any(|digit| *digit != 0));
    rounded.min(MAX)
}

/// A number in decimal digits times another one, in digits again.
fn times(digits: &[u8], factor: i128) -> Vec<u8> {
    let mut product = Vec::with_capacity(digits.len() + 20);
    let mut carry = 0_i128;
    for digit in digits.iter().rev() {
        carry += i128::from(digit - b'0') * factor;
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    while carry > 0 {
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    product.reverse();
    product
}

/// Division that rounds away from zero.
fn divide(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 {
        quotient
    } else {
        quotient + value.signum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_and_printed_in_canonical_form() {
        for (text, expected) in [
            ("1", Ok("1")),
            ("0", Ok("0")),
            ("1024Mi", Ok("1Gi")),
            ("1500m", Ok("1500m")),
            ("0.5", Ok("500m")),
            (".5", Ok("500m")),
            ("1.", Ok("1")),
            ("1000m", Ok("1")),
            ("1.5Gi", Ok("1536Mi")),
            ("0.5Ki", Ok("512")),
            ("1000", Ok("1k")),
            ("1e3", Ok("1e3")),
            ("1E4", Ok("10e3")),
            ("12E", Ok("9223372036854775807")),
            (
                "99999999999999999999999999999999",
                Ok("9223372036854775807"),
            ),
            ("1e1000000000", Ok("9223372036854775807")),
            ("0.0000000001", Ok("1n")),
            ("-1", Ok("-1")),
            ("1Ei", Ok("1Ei")),
            ("1.00000000000000000001", Ok("1000000001n")),
            ("64Q", Err(QuantityError::Format)),
            ("abc", Err(QuantityError::Format)),
            ("", Err(QuantityError::Format)),
            ("1.5GB", Err(QuantityError::Format)),
            ("1Gib", Err(QuantityError::Format)),
            ("100mb", Err(QuantityError::Format)),
            ("true", Err(QuantityError::Format)),
            ("1.2.3", Err(QuantityError::Format)),
            ("64K", Err(QuantityError::Suffix)),
            ("m", Err(QuantityError::Number)),
        ] {
            let parsed = text.parse::<Value>().map(|value| value.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn every_digit_counts() {
        for (text, printed) in [
            (".0000010000100000Ei", "1152933033821893044470n"),
            ("1152933033821893044470n", "1152933033821893044470n"),
            (
                "9223372036854775806999999999n",
                "9223372036854775806999999999n",
            ),
            ("9223372036854775807000000001n", "9223372036854775807"),
            ("0.00000000000000000000000000001", "1n"),
            ("1.00000000000000000000000000001Ki", "1024000000001n"),
            ("1e-1000000", "1e-9"),
            ("0e1000000", "0"),
        ] {
            let value: Value = text.parse().expect(text);
            assert_eq!(value.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn scaled() {
        assert_eq!(milli("1.5Gi"), Ok(1_610_612_736_000));
        assert_eq!(milli("0.0001"), Ok(1));
        assert_eq!(milli("-1"), Ok(-1000));
        assert_eq!(bytes("64Mi"), Ok(64 << 20));
        assert_eq!(bytes("100m"), Ok(1));
        assert_eq!(bytes("-1"), Err(QuantityError::Number));
        assert_eq!(hint("64MB").as_deref(), Some("did you mean `64M`?"));
    }
}
