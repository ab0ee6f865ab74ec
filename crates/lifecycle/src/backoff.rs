//! Back-off as the kubelet keeps it (section 4.1): a delay, and the moment it was last raised. Containers, images and rounds of restart-pod
//! mode have one each; they differ only in what raises them.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::limits;
use crate::time::Moment;

/// One back-off; without an entry before the first failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Nominal: what messages say. [`Settings::scaled`] turns it into what is waited.
    delay: Duration,
    updated: Moment,
}

/// A wait that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Moment,
    /// The nominal delay of this stage.
    pub(crate) delay: Duration,
}

impl Backoff {
    /// Raises the delay: the initial one, then twice the last, up to `max`. An entry that was not raised for ten minutes counts as none.
    pub(crate) fn raise(&mut self, now: Moment, max: Duration) -> Duration {
        let delay = match self.current(now) {
            Some(entry) => entry.delay.saturating_mul(2).min(max),
            None => limits::BACKOFF_INITIAL.min(max),
        };
        self.entry = Some(Entry {
            delay,
            updated: now,
        });
        delay
    }

    /// What is left at `now` of the wait that began at `since`, if anything. It ends early when the entry itself becomes too old.
    pub(crate) fn wait(&self, since: Moment, now: Moment, settings: &Settings) -> Option<Wait> {
        let entry = self.current(now)?;
        let until = since
            .plus(settings.scaled(entry.delay))
            .min(entry.updated.plus(limits::BACKOFF_RESET));
        (until > now).then_some(Wait {
            until,
            delay: entry.delay,
        })
    }

    /// [`Self::wait`] for a wait that begins when the delay is raised.
    pub(crate) fn wait_since_raise(&self, now: Moment, settings: &Settings) -> Option<Wait> {
        self.wait(self.entry?.updated, now, settings)
    }

    /// Counts the ten minutes from `at` on.
    pub(crate) fn renew(&mut self, at: Moment) {
        if let Some(entry) = &mut self.entry {
            entry.updated = at;
        }
    }

    pub(crate) fn rebase(&mut self, rebase: impl Fn(&mut Moment)) {
        if let Some(entry) = &mut self.entry {
            rebase(&mut entry.updated);
        }
    }

    /// It would still make something wait.
    pub(crate) fn is_current(&self, now: Moment) -> bool {
        self.current(now).is_some()
    }

    fn current(&self, now: Moment) -> Option<Entry> {
        self.entry
            .filter(|entry| now.since(entry.updated) < limits::BACKOFF_RESET)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::Now;

    fn second(seconds: u64) -> Moment {
        Now {
            since_boot: Duration::from_secs(seconds),
            ..Now::default()
        }
        .moment()
    }

    /// The waits, in seconds, of a container that dies `runs` seconds after each of its starts.
    fn waits(runs: u64, max: u64, count: usize) -> Vec<u64> {
        let settings = Settings::default();
        let mut backoff = Backoff::default();
        let mut now = 1_000;
        let mut waits = Vec::new();
        for _ in 0..count {
            now += runs;
            let until = backoff
                .wait(second(now), second(now), &settings)
                .map(|wait| wait.until);
            let wait = until.map_or(0, |until| until.since(second(now)).as_secs());
            waits.push(wait);
            now += wait;
            backoff.raise(second(now), Duration::from_secs(max));
        }
        waits
    }

    #[test]
    fn waits_grow_from_nothing_to_five_minutes() {
        assert_eq!(waits(0, 300, 8), [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(waits(60, 300, 5), [0, 10, 20, 40, 80]);
        assert_eq!(waits(0, 20, 5), [0, 10, 20, 20, 20]);
        assert_eq!(waits(0, 5, 4), [0, 5, 5, 5]);
    }

    #[test]
    fn ten_minutes_after_the_last_start_everything_begins_anew() {
        assert_eq!(waits(600, 300, 3), [0, 0, 0]);
        assert_eq!(
            waits(595, 300, 3),
            [0, 5, 5],
            "the entry is dropped in the middle of the wait"
        );
    }
}
