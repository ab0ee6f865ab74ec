//! Every number of the kubelet's that the decisions depend on (section 11), and our few own ones.

use core::time::Duration;

/// First delay of a container's and of an image's back-off, and of the wait between two rounds of a pod (4.1, 4.4).
pub(crate) const BACKOFF_INITIAL: Duration = Duration::from_secs(10);

/// Where doubling ends for containers, unless the node's setting is lower (4.1).
pub(crate) const CRASH_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Where doubling ends for images and for rounds (4.4).
pub(crate) const IMAGE_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// A back-off that was not raised for so long starts anew (4.1).
pub(crate) const BACKOFF_RESET: Duration = Duration::from_secs(600);

/// Wait after a failure that left no record: configuration, image lookup, sandbox (4.2).
pub(crate) const ERROR_RETRY: Duration = Duration::from_secs(10);

/// First wait after a volume could not be set up; doubles (11).
pub(crate) const VOLUME_RETRY_INITIAL: Duration = Duration::from_millis(500);

/// Where that ends.
pub(crate) const VOLUME_RETRY_MAX: Duration = Duration::from_secs(122);

/// Between the stop signal and `SIGKILL` there is at least this, however short the grace (7.2).
pub(crate) const MINIMUM_STOP: Duration = Duration::from_secs(2);

/// Grace of a pod that says nothing (7.1).
pub(crate) const DEFAULT_GRACE_SECONDS: i64 = 30;

/// How long the reason of a failed pull stays visible before it becomes `ImagePullBackOff`. The kubelet shows it until it looks at the pod
/// again, which is one to fifteen seconds later.
pub(crate) const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);

/// Bytes of termination messages a pod may show, shared equally by its containers (8.8).
pub(crate) const TERMINATION_MESSAGES_BYTES: usize = 12_288;

/// Conditions of others that a pod may have. One more is refused: nothing that runs in a cluster has so many.
pub(crate) const FOREIGN_CONDITIONS: usize = 64;

/// Different images that a pod may have named in its life. Each has a back-off of its own, so they are remembered; a pod that has been
/// changed so often is refused the next change, and can be deleted and made again.
pub(crate) const IMAGES_OF_A_POD: usize = 1_000;

/// Default of `periodSeconds` (5.1).
pub(crate) const PROBE_PERIOD_SECONDS: i32 = 10;

/// Default of `failureThreshold` (5.1).
pub(crate) const PROBE_FAILURE_THRESHOLD: i32 = 3;

/// Grace of a pod that is evicted for its local storage (7.1).
pub(crate) const EVICTION_GRACE: Duration = Duration::from_secs(1);
