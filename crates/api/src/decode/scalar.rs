//! What a plain YAML scalar means to Kubernetes: the rules of YAML 1.1 as Go's parser has them.
//!
//! `yes` is a boolean, `0644` is 420, `0888` is 888, `1_000` is 1000, and a date or `12:30:45` is a string.

use crate::tree::Value;

/// `.inf` or `.nan`: a YAML number that JSON, and so Kubernetes, does not have. Holds Go's name of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotFinite(pub(super) &'static str);

/// The value of the plain scalar `text`.
pub(super) fn resolve(text: &str) -> Result<Value, NotFinite> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => return Err(NotFinite("NaN")),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Err(NotFinite("+Inf")),
        "-.inf" | "-.Inf" | "-.INF" => return Err(NotFinite("-Inf")),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

/// The number as JSON prints it, if `text` is one.
pub(super) fn number(text: &str) -> Option<String> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let plain = if text.starts_with('.') {
        text.to_owned()
    } else {
        text.replace('_', "")
    };
    integer(&plain).or_else(|| float(&plain))
}

/// Decimal, `0x`, `0o`, `0b` and, with a leading zero, octal; up to 64 bits, as Go's `ParseInt` with base 0.
fn integer(text: &str) -> Option<String> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let value = 0_i64.checked_sub_unsigned(magnitude)?;
        Some(value.to_string())
    } else {
        Some(magnitude.to_string())
    }
}

fn float(text: &str) -> Option<String> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let well_formed = match (whole, fraction) {
        ("", fraction) => digits(fraction),
        (whole, "") => digits(whole),
        (whole, fraction) => digits(whole) && digits(fraction),
    } && exponent
        .is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    if !well_formed {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then(|| json_float(value))
}

/// A float as Go's JSON encoder prints it: shortest digits, exponent form only when very small or very large.
fn json_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                format!("{mantissa}e+{exponent}")
            }
            _ => text,
        }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_strings_and_booleans_as_go_reads_them() {
        let number = |text: &str| Ok(Value::Number(text.to_owned()));
        let string = |text: &str| Ok(Value::String(text.to_owned()));
        for (text, expected) in [
            ("yes", Ok(Value::Bool(true))),
            ("n", Ok(Value::Bool(false))),
            ("off", Ok(Value::Bool(false))),
            ("oN", string("oN")),
            ("~", Ok(Value::Null)),
            ("0644", number("420")),
            ("0o644", number("420")),
            ("0x1A4", number("420")),
            ("0b110100100", number("420")),
            ("0888", number("888")),
            ("08080", number("8080")),
            ("07070", number("3640")),
            ("1_000", number("1000")),
            ("1e3", number("1000")),
            ("1.10", number("1.1")),
            ("-1", number("-1")),
            ("+5", number("5")),
            (".5", number("0.5")),
            ("1.", number("1")),
            ("1e21", number("1e+21")),
            ("18446744073709551615", number("18446744073709551615")),
            ("99999999999999999999", number("100000000000000000000")),
            ("12:30:45", string("12:30:45")),
            ("2024-01-02", string("2024-01-02")),
            ("1.2.3", string("1.2.3")),
            ("500m", string("500m")),
            ("-", string("-")),
            ("0x", string("0x")),
            (".inf", Err(NotFinite("+Inf"))),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
