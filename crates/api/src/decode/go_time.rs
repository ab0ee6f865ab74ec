//! What Go says about a text that is no time. Kubernetes reads times in the form of RFC 3339, element by element, and
//! names the first element that does not fit.

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

/// The parts of the layout, and whether a part is a number of two digits with a largest value.
const ELEMENTS: &[(&str, Option<(u32, &str)>)] = &[
    ("2006", None),
    ("-", None),
    ("01", Some((12, "month"))),
    ("-", None),
    ("02", Some((31, "day"))),
    ("T", None),
    ("15", Some((23, "hour"))),
    (":", None),
    ("04", Some((59, "minute"))),
    (":", None),
    ("05", Some((59, "second"))),
    ("Z07:00", None),
];

/// The error of Go's parser for `text`, which is known to be no valid time.
pub(super) fn fault(text: &str) -> String {
    let begin = format!("parsing time {} as \"{LAYOUT}\"", crate::go::quote(text));
    let mut rest = text;
    for (element, range) in ELEMENTS {
        let Some(after) = take(rest, element) else {
            return format!(
                "{begin}: cannot parse {} as \"{element}\"",
                crate::go::quote(rest)
            );
        };
        if let Some((most, name)) = range {
            let number: u32 = rest[..2].parse().unwrap_or(u32::MAX);
            let least = u32::from(matches!(*name, "month" | "day"));
            if !(least..=*most).contains(&number) {
                return format!(
                    "parsing time {}: {name} out of range",
                    crate::go::quote(text)
                );
            }
        }
        rest = after;
    }
    if rest.is_empty() {
        // Every part is right alone: a day that its month does not have.
        return format!("parsing time {}: day out of range", crate::go::quote(text));
    }
    format!("{begin}: extra text: {}", crate::go::quote(rest))
}

/// `text` after the part that `element` stands for.
fn take<'t>(text: &'t str, element: &str) -> Option<&'t str> {
    let digits = |count: usize| {
        text.get(..count)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|_| &text[count..])
    };
    match element {
        "2006" => digits(4),
        "05" => {
            let rest = digits(2)?;
            // A fraction may follow, though the layout has none.
            let fraction = rest
                .strip_prefix('.')
                .map(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
            Some(fraction.unwrap_or(rest))
        }
        "Z07:00" => text.strip_prefix('Z').or_else(|| {
            let rest = text.strip_prefix(['+', '-'])?;
            let bytes = rest.as_bytes();
            let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
            let valid = digit(0) && digit(1) && bytes.get(2) == Some(&b':') && digit(3) && digit(4);
            valid.then(|| &rest[5..])
        }),
        "-" | "T" | ":" => text.strip_prefix(element),
        _ => digits(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_that_does_not_fit_is_named() {
        for (text, expected) in [
            (
                "today",
                r#"parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006""#,
            ),
            (
                "2026-01-31",
                r#"parsing time "2026-01-31" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
            ),
            (
                "2026-13-31T00:00:00Z",
                r#"parsing time "2026-13-31T00:00:00Z": month out of range"#,
            ),
            (
                "2026-02-30T00:00:00Z",
                r#"parsing time "2026-02-30T00:00:00Z": day out of range"#,
            ),
            (
                "2026-01-31T00:00:00.5Z!",
                r#"parsing time "2026-01-31T00:00:00.5Z!" as "2006-01-02T15:04:05Z07:00": extra text: "!""#,
            ),
        ] {
            assert_eq!(fault(text), expected);
        }
    }
}
