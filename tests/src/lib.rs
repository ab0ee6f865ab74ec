//! The harness of the end-to-end tests: the real binary, in a root directory of its own, on this machine.
//!
//! Nothing sleeps as synchronisation: [`eventually`] polls a condition and has a limit. Dropping an [`Instance`] ends whatever a
//! failed test left; [`Instance::finish`] asserts that a test that went well left nothing on the machine.

pub mod images;
mod instance;
mod machine;
pub mod manifest;
mod net;
pub mod registry;
mod terminal;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use instance::Instance;
pub use machine::Machine;
pub use net::fetch;
pub use registry::Registry;
use serde_json::Value;
pub use terminal::Terminal;

/// How long anything may take before a test gives up on it. Only reached when something is broken.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binary under test: `PODYARD_TEST_BINARY` as `make test` sets it, or the one beside the test binaries.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PODYARD_TEST_BINARY") {
        return path.into();
    }
    let own = std::env::current_exe().expect("the test's own path");
    let profile = own
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let path = profile.join("podyard");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p podyard` first, or use `make test`",
        path.display()
    );
    path
}

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "this did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says why a test does nothing here.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// The status of a container, init or app.
#[must_use]
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == name)
        .unwrap_or(&Value::Null)
}

/// Why a container waits; empty when it does not.
#[must_use]
pub fn waits_for(pod: &Value, name: &str) -> String {
    let reason = &container(pod, name)["state"]["waiting"]["reason"];
    reason.as_str().unwrap_or_default().to_owned()
}

/// The status of a condition of the pod: `True`, `False` or, without it, the empty string.
#[must_use]
pub fn condition<'a>(pod: &'a Value, name: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == name)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or_default()
}

/// When an instance of a container ran, in RFC 3339 with nanoseconds and always in UTC, so that texts compare as times do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The container.
    pub name: String,
    /// Counts from 1.
    pub attempt: i64,
    /// When it started.
    pub start: String,
    /// When it ended; nothing if it is running.
    pub end: Option<String>,
    /// How it ended.
    pub exit_code: Option<i64>,
}

impl Span {
    /// The moment of its end, in nanoseconds since the epoch.
    #[must_use]
    pub fn ended_at(&self) -> i128 {
        nanoseconds(self.end.as_deref().expect("it has ended"))
    }

    /// The moment of its start, in nanoseconds since the epoch.
    #[must_use]
    pub fn started_at(&self) -> i128 {
        nanoseconds(&self.start)
    }
}

/// `2026-01-31T12:00:00.5Z` as nanoseconds since the epoch.
fn nanoseconds(time: &str) -> i128 {
    let digits = |range: std::ops::Range<usize>| -> i128 { time[range].parse().expect("digits") };
    let (year, month, day) = (digits(0..4), digits(5..7), digits(8..10));
    // Days from the civil calendar, counting years from March so that leap days come last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let since_epoch = days - 719_468;
    let seconds =
        since_epoch * 86_400 + digits(11..13) * 3600 + digits(14..16) * 60 + digits(17..19);
    let fraction = time[19..].trim_start_matches('.').trim_end_matches('Z');
    let fraction: i128 = format!("{fraction:0<9}").parse().expect("a fraction");
    seconds * 1_000_000_000 + fraction
}

/// Asserts that a command ended with `code` and that what it said on standard error has all of `parts`, in this order.
pub fn assert_says(output: &std::process::Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let mut rest = text.as_ref();
    for part in parts {
        let found = rest
            .find(part)
            .unwrap_or_else(|| panic!("`{part}` is missing, or not in its place, in:\n{text}"));
        rest = &rest[found + part.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_as_numbers() {
        assert_eq!(nanoseconds("1970-01-01T00:00:00Z"), 0);
        assert_eq!(
            nanoseconds("2000-02-29T00:00:01.5Z"),
            951_782_401_500_000_000
        );
        assert_eq!(
            nanoseconds("2026-11-26T11:42:38.37500354Z") % 1_000_000_000,
            375_003_540
        );
    }
}
