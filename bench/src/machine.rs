//! What the measurements were taken on, and with.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;
use crate::lab::Lab;

/// Lines of `name: value`.
pub(crate) fn describe(lab: &Lab) -> Vec<(String, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory: f64 = field(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    let system = read("/etc/os-release");
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or_default();
    let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let load = read("/proc/loadavg");
    let load = load
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    let lines = [
        (
            "Processors",
            format!(
                "{processors} × {}",
                field(&read("/proc/cpuinfo"), "model name")
            ),
        ),
        ("Memory", format!("{:.0} GiB", memory / 1024.0 / 1024.0)),
        (
            "Kernel",
            rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        ),
        ("System", system.trim_matches('"').to_owned()),
        (
            "Cgroups",
            if unified { "v2" } else { "v1 controllers" }.to_owned(),
        ),
        ("Load average before", load),
        ("podyard", lab.podyard.version()),
        (
            "podman",
            lab.podman.as_ref().map_or_else(
                || lab.podman_missing.clone().unwrap_or_default(),
                |podman| podman.version(),
            ),
        ),
    ];
    let mut lines: Vec<(String, String)> =
        lines.map(|(name, value)| (name.to_owned(), value)).into();
    let choices = lab.podman.iter().flat_map(|podman| &podman.choices);
    lines.extend(choices.map(|choice| ("podman with".to_owned(), choice.clone())));
    lines
}

/// One look at how busy all processors are takes so long.
const LOOK: Duration = Duration::from_millis(500);
/// With at most this share of its processor time in use, the machine is quiet.
const QUIET: f64 = 0.15;

/// Waits until the machine is quiet, and gives what it uses then, as [`used`].
pub(crate) fn wait_until_quiet(limit: Duration) -> Result<Duration> {
    let begin = Instant::now();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let all = LOOK.as_secs_f64() * processors as f64;
    loop {
        let used = used()?;
        if used.as_secs_f64() <= QUIET * all {
            return Ok(used);
        }
        if begin.elapsed() > limit {
            return Err(format!("the machine is not quiet within {} s", limit.as_secs()).into());
        }
    }
}

/// Processor time that everything on this machine uses together within half a second from now.
pub(crate) fn used() -> Result<Duration> {
    let before = busy()?;
    std::thread::sleep(LOOK);
    Ok(busy()?.saturating_sub(before))
}

/// What all processors have done since the boot (proc_stat(5), in ticks).
fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[user, nice, system, _idle, _waiting, interrupts, softly, ..] = ticks.as_slice() else {
        return Err("/proc/stat does not begin with the processors' times".into());
    };
    let ticks = user + nice + system + interrupts + softly;
    Ok(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}
