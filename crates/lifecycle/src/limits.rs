//! The constants of `pod-lifecycle.md` sections 4, 7 and 11.

use core::time::Duration;

/// First delay of a restart or image back-off.
pub(crate) const BACKOFF_INITIAL: Duration = Duration::from_secs(10);
/// Largest delay unless the settings say less.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// An entry this old counts no more.
pub(crate) const BACKOFF_RESET: Duration = Duration::from_secs(600);
/// Retry of an error that left no record: configuration, creation, sandbox.
pub(crate) const ERROR_RETRY: Duration = Duration::from_secs(10);
/// First retry of a volume that could not be set up; doubles …
pub(crate) const VOLUME_RETRY_FIRST: Duration = Duration::from_millis(500);
/// … up to this.
pub(crate) const VOLUME_RETRY_MAX: Duration = Duration::from_secs(122);
/// What a stop signal is given at least before `SIGKILL`.
pub(crate) const MINIMUM_GRACE: Duration = Duration::from_secs(2);
/// The termination messages of all containers together, in bytes.
pub(crate) const MESSAGE_BUDGET: usize = 12_288;
