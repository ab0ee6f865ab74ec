//! What the measurements were taken on, and with.

use std::fs;

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
