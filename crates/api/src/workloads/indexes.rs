//! Indexes of a Job, written as `0,2-4`, and which of them have to succeed.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::SuccessPolicyRule;

use crate::go::quote;

/// Whether enough of the right indexes have succeeded.
pub(super) fn is_met(rule: &SuccessPolicyRule, done: &BTreeSet<usize>) -> bool {
    let wanted = rule.succeeded_count.map(i64::from);
    let Some(text) = &rule.succeeded_indexes else {
        return wanted.is_some_and(|wanted| index_count(done.len()) >= wanted);
    };
    let Ok(ranges) = indexes(text, i32::MAX) else {
        return false;
    };
    let is_listed = |index: &&usize| {
        let index = index_count(**index);
        let mut ranges = ranges.iter();
        ranges.any(|(first, last)| (i64::from(*first)..=i64::from(*last)).contains(&index))
    };
    let listed = done.iter().filter(is_listed).count();
    index_count(listed) >= wanted.unwrap_or_else(|| how_many(&ranges))
}

fn index_count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How many indexes there are in the ranges.
pub(crate) fn how_many(ranges: &[(i32, i32)]) -> i64 {
    let sizes = ranges.iter();
    sizes
        .map(|(first, last)| i64::from(*last) - i64::from(*first) + 1)
        .sum()
}

/// Reads `0,2-4`: ranges in rising order, all below `completions`.
///
/// # Errors
///
/// What is wrong with it, in Kubernetes' words.
pub(crate) fn indexes(text: &str, completions: i32) -> Result<Vec<(i32, i32)>, String> {
    let number = |digits: &str| {
        let number: i64 = digits.parse().map_err(|_| {
            format!(
                "cannot convert string to integer for index: {}",
                quote(digits)
            )
        })?;
        match i32::try_from(number) {
            Ok(number) if number < completions => Ok(number),
            _ => Err(format!("too large index: {}", quote(digits))),
        }
    };
    let order = |previous: i32, current: i32| {
        format!("non-increasing order, previous: {previous}, current: {current}")
    };
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = match part.split('-').collect::<Vec<_>>()[..] {
            [one] => {
                let one = number(one)?;
                (one, one)
            }
            [first, last] => {
                let (first, last) = (number(first)?, number(last)?);
                if first >= last {
                    return Err(order(first, last));
                }
                (first, last)
            }
            _ => {
                return Err(format!(
                    "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
                    quote(part)
                ));
            }
        };
        if let Some((_, previous)) = ranges.last().filter(|(_, previous)| *previous >= first) {
            return Err(order(*previous, first));
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}
