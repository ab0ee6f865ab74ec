//! The schedule of a CronJob: five fields, or a word such as `@daily`.
//!
//! Read and refused as the cron library of Kubernetes does, in its words. Looking at a clock is for the caller.

use crate::jiff::civil::DateTime;

/// When a CronJob is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

/// The numbers of one field as bits, and whether it was written as `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    is_star: bool,
}

impl Field {
    fn holds(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits & (1 << number) != 0)
    }
}

/// What a field may hold.
struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Words that stand for five fields.
const WORDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("TZ") {
            return Err(
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead".to_owned(),
            );
        }
        let text = match WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                return Err(format!("unrecognized descriptor: {text}"));
            }
            None => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let count = fields.len();
            let list = fields.join(" ");
            return Err(format!(
                "expected exactly 5 fields, found {count}: [{list}]"
            ));
        };
        let bounds = |least, most, names| Bounds { least, most, names };
        Ok(Self {
            minute: field(minute, &bounds(0, 59, &[]))?,
            hour: field(hour, &bounds(0, 23, &[]))?,
            day: field(day, &bounds(1, 31, &[]))?,
            month: field(month, &bounds(1, 12, MONTHS))?,
            weekday: field(weekday, &bounds(0, 6, WEEKDAYS))?,
        })
    }

    /// Whether a job is due in the minute of `at`. When both day fields are restricted, either of them suffices.
    #[must_use]
    pub fn is_due(&self, at: DateTime) -> bool {
        let day = self.day.holds(at.day());
        let weekday = self.weekday.holds(at.weekday().to_sunday_zero_offset());
        let on_day = if self.day.is_star || self.weekday.is_star {
            day && weekday
        } else {
            day || weekday
        };
        self.minute.holds(at.minute())
            && self.hour.holds(at.hour())
            && self.month.holds(at.month())
            && on_day
    }
}

fn field(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let mut field = Field {
        bits: 0,
        is_star: false,
    };
    for part in text.split(',') {
        let (bits, is_star) = range(part, bounds)?;
        field.bits |= bits;
        field.is_star |= is_star;
    }
    Ok(field)
}

/// `5`, `1-5`, `*`, each with `/step` behind it.
fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let mut slashes = text.split('/');
    let (span, step_text) = (slashes.next().unwrap_or_default(), slashes.next());
    if slashes.next().is_some() {
        return Err(format!("too many slashes: {text}"));
    }
    let mut hyphens = span.split('-');
    let (first, last) = (hyphens.next().unwrap_or_default(), hyphens.next());
    if hyphens.next().is_some() {
        return Err(format!("too many hyphens: {text}"));
    }
    let is_star = matches!(first, "*" | "?");
    let (start, mut end) = if is_star {
        (bounds.least, bounds.most)
    } else {
        let start = number(first, bounds)?;
        (start, last.map_or(Ok(start), |last| number(last, bounds))?)
    };
    let step = match step_text {
        None => 1,
        Some(step) => {
            if last.is_none() {
                end = bounds.most;
            }
            integer(step)?
        }
    };
    if start < bounds.least {
        let least = bounds.least;
        return Err(format!(
            "beginning of range ({start}) below minimum ({least}): {text}"
        ));
    }
    if end > bounds.most {
        let most = bounds.most;
        return Err(format!(
            "end of range ({end}) above maximum ({most}): {text}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .fold(0_u64, |bits, number| bits | 1 << number);
    Ok((bits, is_star && step == 1))
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(position) => Ok(bounds.least + u32::try_from(position).unwrap_or_default()),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u32, String> {
    let quoted = crate::go::quote(text);
    match text.parse::<i64>() {
        Ok(number) => u32::try_from(number)
            .map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jiff::civil::date;

    #[test]
    fn due_minutes() {
        // 2026-11-26 is a Thursday.
        let at = date(2026, 11, 26).at(11, 30, 0, 0);
        for (schedule, expected) in [
            ("30 11 * * *", true),
            ("*/15 * * * *", true),
            ("*/20 * * * *", false),
            ("30 11 26 11 *", true),
            ("30 11 * * thu", true),
            ("30 11 * * 5", false),
            ("30 11 1 * 4", true),
            ("30 11 1 * 5", false),
            ("0-40/10 9-17 * NOV mon-fri", true),
            ("@hourly", false),
        ] {
            let schedule_read = Schedule::parse(schedule).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(schedule_read.is_due(at), expected, "{schedule}");
        }
    }

    #[test]
    fn refused_in_the_words_of_the_library() {
        for (schedule, expected) in [
            ("x", "expected exactly 5 fields, found 1: [x]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            (
                "*/0 * * * *",
                "step of range should be a positive number: */0",
            ),
            ("@never", "unrecognized descriptor: @never"),
            (
                "a * * * *",
                r#"failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax"#,
            ),
            (
                "TZ=UTC * * * * *",
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
        ] {
            assert_eq!(Schedule::parse(schedule), Err(expected.to_owned()));
        }
    }
}
