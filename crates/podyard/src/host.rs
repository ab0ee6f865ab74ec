//! What this machine offers to pods, read from `/proc` and `/sys`: the first thing to look at when a pod does not start.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// One thing that pods need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What it is.
    pub(crate) name: &'static str,
    /// What was found.
    pub(crate) found: String,
    /// Whether that is enough.
    pub(crate) verdict: Verdict,
    /// What follows if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meaning: Option<&'static str>,
}

/// Whether something is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is.
    Good,
    /// Pods run, but something of a manifest has no effect.
    Limited,
    /// No pod can run.
    Missing,
}

/// The oldest kernel on which overlay mounts can be put together the way podyard does it.
const OLDEST_KERNEL: (u32, u32) = (6, 5);

/// Looks at everything.
pub(crate) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let uname = rustix::system::uname();
    vec![
        kernel(&uname.release().to_string_lossy()),
        user(rustix::process::geteuid().as_raw()),
        overlay(&read("/proc/filesystems")),
        cgroups(&read("/proc/self/mountinfo")),
        seccomp(&read("/proc/self/status")),
        forwarding(&read("/proc/sys/net/ipv4/ip_forward")),
        firewall(
            ["/usr/sbin/nft", "/sbin/nft"]
                .iter()
                .any(|path| Path::new(path).exists()),
            &read("/proc/modules"),
        ),
    ]
}

fn check(
    name: &'static str,
    found: impl Into<String>,
    verdict: Verdict,
    meaning: &'static str,
) -> Check {
    Check {
        name,
        found: found.into(),
        verdict,
        meaning: (verdict != Verdict::Good).then_some(meaning),
    }
}

fn kernel(release: &str) -> Check {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let verdict = if version >= OLDEST_KERNEL {
        Verdict::Good
    } else {
        Verdict::Missing
    };
    check(
        "kernel",
        release,
        verdict,
        "podyard needs Linux 6.5 or newer",
    )
}

fn user(uid: u32) -> Check {
    let verdict = if uid == 0 {
        Verdict::Good
    } else {
        Verdict::Missing
    };
    check(
        "user",
        if uid == 0 {
            "root".to_owned()
        } else {
            format!("uid {uid}")
        },
        verdict,
        "pods need root: use `sudo`",
    )
}

fn overlay(filesystems: &str) -> Check {
    let is_there = filesystems
        .lines()
        .any(|line| line.split_whitespace().last() == Some("overlay"));
    let found = if is_there { "overlay" } else { "not listed" };
    // A module that is loaded when it is first needed is not listed before.
    let verdict = if is_there {
        Verdict::Good
    } else {
        Verdict::Limited
    };
    check(
        "file systems",
        found,
        verdict,
        "overlayfs is not loaded; a first mount may load it, without it no container starts",
    )
}

/// Controllers that limits of a manifest are turned into.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

fn cgroups(mountinfo: &str) -> Check {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let kind = after.next()?;
        let options = after.nth(1).unwrap_or_default();
        Some((kind, before.split(' ').nth(4).unwrap_or_default(), options))
    });
    let mut of_v1 = Vec::new();
    let mut of_v2 = Vec::new();
    for (kind, path, options) in mounts {
        match kind {
            "cgroup" => of_v1.extend(options.split(',').map(str::to_owned)),
            "cgroup2" => {
                let controllers = fs::read_to_string(Path::new(path).join("cgroup.controllers"))
                    .unwrap_or_default();
                of_v2.extend(controllers.split_whitespace().map(str::to_owned));
            }
            _ => {}
        }
    }
    let has = |list: &[String], name: &str| list.iter().any(|known| known == name);
    let missing: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|name| !has(&of_v1, name) && !has(&of_v2, name))
        .collect();
    let version = match (of_v1.is_empty(), of_v2.is_empty()) {
        (true, true) => "none",
        (true, false) => "v2",
        (false, true) => "v1",
        (false, false) => "v1 and v2",
    };
    if missing.is_empty() {
        return check("cgroups", version, Verdict::Good, "");
    }
    let found = format!("{version}, without {}", missing.join(", "));
    check(
        "cgroups",
        found,
        Verdict::Limited,
        "limits on what is missing have no effect",
    )
}

fn seccomp(status: &str) -> Check {
    let is_there = status.lines().any(|line| line.starts_with("Seccomp:"));
    let found = if is_there { "filters" } else { "none" };
    let verdict = if is_there {
        Verdict::Good
    } else {
        Verdict::Missing
    };
    check(
        "seccomp",
        found,
        verdict,
        "the kernel has no system call filters; `--seccomp-default unconfined` runs pods without",
    )
}

fn forwarding(value: &str) -> Check {
    let is_on = value.trim() == "1";
    let found = if is_on { "on" } else { "off" };
    let verdict = if is_on {
        Verdict::Good
    } else {
        Verdict::Limited
    };
    check(
        "IPv4 forwarding",
        found,
        verdict,
        "pods reach each other and this machine; podyard switches it on when the first pod gets its network",
    )
}

fn firewall(has_nft: bool, modules: &str) -> Check {
    let is_loaded = modules.lines().any(|line| line.starts_with("nf_tables "));
    let found = match (is_loaded, has_nft) {
        (true, _) => "nf_tables",
        (false, true) => "nft",
        (false, false) => "not seen",
    };
    let verdict = if is_loaded || has_nft {
        Verdict::Good
    } else {
        Verdict::Limited
    };
    check(
        "firewall",
        found,
        verdict,
        "nf_tables may be built into the kernel; without it pods have no way out and no host ports",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, expected) in [
            ("6.18.0-1-amd64", Verdict::Good),
            ("6.5.0", Verdict::Good),
            ("10.0-rc1", Verdict::Good),
            ("5.15.167.4-microsoft", Verdict::Missing),
            ("", Verdict::Missing),
        ] {
            assert_eq!(kernel(release).verdict, expected, "{release}");
        }
    }

    #[test]
    fn controllers_may_live_in_either_hierarchy() {
        let v1 = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                  31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = cgroups(v1);
        assert_eq!(
            (found.found.as_str(), found.verdict),
            ("v1, without pids", Verdict::Limited)
        );
        assert_eq!(cgroups("").found, "none, without cpu, memory, pids");
    }
}
