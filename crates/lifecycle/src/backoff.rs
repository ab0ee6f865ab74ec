//! Back-off as the kubelet keeps it (section 4.1): per key a delay and the moment it was last used.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::limits;

/// One entry. None exists before the first failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    delay: Duration,
    updated: Duration,
}

impl Backoff {
    /// The delay that holds after a failure at `failed`, if one does: the wait ends `delay` later.
    pub(crate) fn delay(&self, failed: Duration) -> Option<Duration> {
        self.entry
            .filter(|entry| !is_expired(entry, failed))
            .map(|entry| entry.delay)
    }

    /// A start (or pull) is made now: the next failure waits longer.
    pub(crate) fn next(&mut self, failed: Duration, now: Duration, settings: &Settings) {
        let max = settings.backoff_max();
        let delay = match self.entry {
            Some(entry) if !is_expired(&entry, failed) => (entry.delay * 2).min(max),
            _ => settings.scaled(limits::BACKOFF_INITIAL).min(max),
        };
        self.entry = Some(Entry {
            delay,
            updated: now,
        });
    }

    /// The clock began again: what was used `age` ago still was.
    pub(crate) fn rebase(&mut self, before: Duration, now: Duration) {
        if let Some(entry) = &mut self.entry {
            let age = before.saturating_sub(entry.updated);
            entry.updated = now.saturating_sub(age);
        }
    }
}

fn is_expired(entry: &Entry, failed: Duration) -> bool {
    failed.saturating_sub(entry.updated) > limits::BACKOFF_RESET
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn zero_ten_twenty_up_to_five_minutes() {
        let settings = Settings::default();
        let mut backoff = Backoff::default();
        let mut now = Duration::from_secs(1000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = backoff.delay(now).unwrap_or_default();
            waits.push(wait.as_secs());
            let failed = now;
            now += wait;
            backoff.next(failed, now, &settings);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_start_it_over() {
        let settings = Settings::default();
        let mut backoff = Backoff::default();
        backoff.next(Duration::ZERO, Duration::ZERO, &settings);
        backoff.next(Duration::from_secs(1), Duration::from_secs(1), &settings);
        assert_eq!(
            backoff.delay(Duration::from_secs(601)),
            Some(Duration::from_secs(20))
        );
        assert_eq!(backoff.delay(Duration::from_secs(602)), None);
    }
}
