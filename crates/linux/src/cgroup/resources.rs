//! What a cgroup limits, and how v1 and v2 write it.

use std::os::fd::AsFd;

use super::detect::Controller;
use super::{Cgroup, CgroupError, Directory, device_filter};

/// Limits of one cgroup. What is `None` is left as the kernel made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Processor time relative to siblings, 2 to 262144; 1024 is one processor's worth.
    pub cpu_shares: Option<u64>,
    /// How shares become a v2 weight.
    pub weight_conversion: WeightConversion,
    /// Processor time per period, in microseconds; at least 1000.
    pub cpu_quota_us: Option<u64>,
    /// The period in microseconds; 100000 unless given.
    pub cpu_period_us: Option<u64>,
    /// Memory, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that is not taken from it however short the machine is, in bytes (v2 only).
    pub memory_min_bytes: Option<u64>,
    /// Memory above which its processes are slowed down and made to give back what they can, in bytes (v2 only).
    pub memory_high_bytes: Option<u64>,
    /// Swap on top of the memory limit, in bytes; 0 forbids swapping. Ignored by kernels without swap accounting.
    pub swap_limit_bytes: Option<u64>,
    /// Whether running out of memory kills every process in it (v2 only).
    pub oom_group: bool,
    /// Processes and threads.
    pub pids_limit: Option<u64>,
    /// Huge pages by size as the kernel writes it (`2MB`, `1GB`), in bytes.
    pub hugepages: Vec<(String, u64)>,
    /// Processors, in the kernel's list format.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, likewise.
    pub cpuset_mems: Option<String>,
    /// Which devices may be used.
    pub devices: Devices,
}

/// Which devices may be used inside a cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Devices {
    /// Whatever the parent allows; for cgroups that only group others, and for privileged containers.
    #[default]
    Inherited,
    /// null, zero, full, random, urandom, tty, console, ptmx and pseudo terminals, as containerd; others can be created as
    /// nodes but not opened.
    Container,
}

/// What can be limited; printed as a person would say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The processor time relative to others.
    CpuShares,
    /// The processor time per period.
    CpuQuota,
    /// Memory.
    Memory,
    /// How memory is guaranteed and held back below the limit.
    MemoryProtection,
    /// Processes and threads.
    Pids,
    /// Huge pages.
    Hugepages,
    /// Which processors and memory nodes.
    Cpuset,
    /// Which devices. Without it, who can make device nodes can use them: whoever runs a container all the same should take
    /// `CAP_MKNOD` from it.
    Devices,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CpuShares => "cpu request",
            Self::CpuQuota => "cpu limit",
            Self::Memory => "memory limit",
            Self::MemoryProtection => "memory protection",
            Self::Pids => "limit of processes",
            Self::Hugepages => "limit of huge pages",
            Self::Cpuset => "choice of processors",
            Self::Devices => "device rules",
        })
    }
}

/// How cpu shares (v1) become a weight (v2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WeightConversion {
    /// 1 + ((shares − 2) × 9999) / 262142: the kubelet, for pods.
    #[default]
    Linear,
    /// Such that 1024 shares become the default weight of 100: runc from 1.3.2 and crun from 1.23, for containers.
    Quadratic,
}

impl Resources {
    /// Whether a directory in the v1 hierarchy of this controller is wanted.
    pub(super) fn needs(&self, controller: Controller) -> bool {
        match controller {
            Controller::Cpu
            | Controller::Cpuacct
            | Controller::Memory
            | Controller::Pids
            | Controller::Devices => true,
            Controller::Cpuset => self.cpuset_cpus.is_some() || self.cpuset_mems.is_some(),
            Controller::Hugetlb => !self.hugepages.is_empty(),
        }
    }
}

/// Writes everything that is given.
pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    for directory in &cgroup.directories {
        for controller in &directory.controllers {
            match (controller, directory.unified) {
                (Controller::Cpu, false) => cpu_v1(directory, resources)?,
                (Controller::Cpu, true) => cpu_v2(directory, resources)?,
                (Controller::Memory, false) => memory_v1(directory, resources)?,
                (Controller::Memory, true) => memory_v2(directory, resources)?,
                (Controller::Pids, _) => write_number(directory, "pids.max", resources.pids_limit)?,
                (Controller::Hugetlb, unified) => hugepages(directory, resources, unified)?,
                (Controller::Cpuset, _) => cpuset(directory, resources)?,
                (Controller::Devices, _) => devices_v1(directory, resources)?,
                (Controller::Cpuacct, _) => {}
            }
        }
    }
    Ok(())
}

/// Confines the use of devices where v1 does not: by a program attached to the cgroup. Once, since programs add up.
pub(super) fn confine_devices(cgroup: &Cgroup, resources: &Resources) -> Result<(), CgroupError> {
    if let (Devices::Container, None, Some(directory)) = (
        resources.devices,
        cgroup.controlled_by(Controller::Devices),
        cgroup.unified(),
    ) {
        device_filter::attach(directory.fd.as_fd()).map_err(|errno| CgroupError::DeviceFilter {
            path: directory.path.clone(),
            source: errno.into(),
        })?;
    }
    Ok(())
}

/// Limits for which the cgroup has no controller.
pub(super) fn unenforced(cgroup: &Cgroup, resources: &Resources) -> Vec<Limit> {
    let has = |controller| cgroup.controlled_by(controller).is_some();
    let quota = resources.cpu_quota_us.is_some();
    let cpuset = resources.cpuset_cpus.is_some() || resources.cpuset_mems.is_some();
    let devices = resources.devices == Devices::Container;
    let has_device_control = has(Controller::Devices) || cgroup.unified().is_some();
    let has_memory_protection = cgroup
        .controlled_by(Controller::Memory)
        .is_some_and(|directory| directory.unified);
    let given = [
        (
            Limit::CpuShares,
            resources.cpu_shares.is_some(),
            has(Controller::Cpu),
        ),
        (Limit::CpuQuota, quota, has(Controller::Cpu)),
        (
            Limit::Memory,
            resources.memory_limit_bytes.is_some(),
            has(Controller::Memory),
        ),
        (
            Limit::MemoryProtection,
            resources.memory_min_bytes.is_some() || resources.memory_high_bytes.is_some(),
            has_memory_protection,
        ),
        (
            Limit::Pids,
            resources.pids_limit.is_some(),
            has(Controller::Pids),
        ),
        (
            Limit::Hugepages,
            !resources.hugepages.is_empty(),
            has(Controller::Hugetlb),
        ),
        (Limit::Cpuset, cpuset, has(Controller::Cpuset)),
        (Limit::Devices, devices, has_device_control),
    ];
    given
        .into_iter()
        .filter(|(_, is_given, is_held)| *is_given && !is_held)
        .map(|(limit, ..)| limit)
        .collect()
}

fn write_number(directory: &Directory, file: &str, value: Option<u64>) -> Result<(), CgroupError> {
    value.map_or(Ok(()), |value| directory.write(file, &value.to_string()))
}

const DEFAULT_PERIOD_US: u64 = 100_000;

fn cpu_v1(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    write_number(directory, "cpu.shares", resources.cpu_shares)?;
    write_number(directory, "cpu.cfs_period_us", resources.cpu_period_us)?;
    write_number(directory, "cpu.cfs_quota_us", resources.cpu_quota_us)
}

fn cpu_v2(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    let weight = resources
        .cpu_shares
        .and_then(|shares| match resources.weight_conversion {
            WeightConversion::Linear => linear_weight(shares),
            WeightConversion::Quadratic => quadratic_weight(shares),
        });
    write_number(directory, "cpu.weight", weight)?;
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        let quota = resources
            .cpu_quota_us
            .map_or_else(|| "max".to_owned(), |us| us.to_string());
        let period = resources.cpu_period_us.unwrap_or(DEFAULT_PERIOD_US);
        directory.write("cpu.max", &format!("{quota} {period}"))?;
    }
    Ok(())
}

/// The kubelet's conversion. Zero shares mean that nothing is set.
fn linear_weight(shares: u64) -> Option<u64> {
    (shares != 0).then(|| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142)
}

/// The conversion of newer container runtimes: 10^((l² + 125 l) / 612 − 7 / 34) with l the binary logarithm of the shares.
fn quadratic_weight(shares: u64) -> Option<u64> {
    if shares == 0 {
        return None;
    }
    if shares <= 2 {
        return Some(1);
    }
    if shares >= 262_144 {
        return Some(10_000);
    }
    #[expect(clippy::cast_precision_loss, reason = "shares are below 2^18 here")]
    let l = (shares as f64).log2();
    let weight = 10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between 1 and 10000"
    )]
    let weight = weight as u64;
    Some(weight.clamp(1, 10_000))
}

fn memory_v1(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    let Some(limit) = resources.memory_limit_bytes else {
        return Ok(());
    };
    let both = resources
        .swap_limit_bytes
        .map(|swap| limit.saturating_add(swap));
    let write_both = || match both {
        Some(both) => directory.write_if_present("memory.memsw.limit_in_bytes", &both.to_string()),
        None => Ok(true),
    };
    // Memory must never exceed memory plus swap. A new cgroup has neither limit, so memory comes first; raising both
    // on an existing one has to go the other way round.
    match directory.write("memory.limit_in_bytes", &limit.to_string()) {
        Ok(()) => write_both().map(drop),
        Err(refused) => {
            if both.is_none() || write_both().is_err() {
                return Err(refused);
            }
            directory.write("memory.limit_in_bytes", &limit.to_string())
        }
    }
}

fn memory_v2(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    write_number(directory, "memory.min", resources.memory_min_bytes)?;
    write_number(directory, "memory.high", resources.memory_high_bytes)?;
    write_number(directory, "memory.max", resources.memory_limit_bytes)?;
    if let Some(swap) = resources.swap_limit_bytes {
        directory.write_if_present("memory.swap.max", &swap.to_string())?;
    }
    if resources.oom_group {
        directory.write_if_present("memory.oom.group", "1")?;
    }
    Ok(())
}

fn hugepages(
    directory: &Directory,
    resources: &Resources,
    unified: bool,
) -> Result<(), CgroupError> {
    let suffix = if unified { "max" } else { "limit_in_bytes" };
    for (size, bytes) in &resources.hugepages {
        directory.write(&format!("hugetlb.{size}.{suffix}"), &bytes.to_string())?;
    }
    Ok(())
}

fn cpuset(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    if let Some(cpus) = &resources.cpuset_cpus {
        directory.write("cpuset.cpus", cpus)?;
    }
    if let Some(mems) = &resources.cpuset_mems {
        directory.write("cpuset.mems", mems)?;
    }
    Ok(())
}

/// Type, major and minor number (`None` for all) and access of what a container may use.
pub(super) const CONTAINER_DEVICES: [(char, Option<u32>, Option<u32>, &str); 11] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"),
    ('c', Some(1), Some(5), "rwm"),
    ('c', Some(1), Some(7), "rwm"),
    ('c', Some(1), Some(8), "rwm"),
    ('c', Some(1), Some(9), "rwm"),
    ('c', Some(5), Some(0), "rwm"),
    ('c', Some(5), Some(1), "rwm"),
    ('c', Some(5), Some(2), "rwm"),
    ('c', Some(136), None, "rwm"),
];

fn devices_v1(directory: &Directory, resources: &Resources) -> Result<(), CgroupError> {
    if resources.devices != Devices::Container {
        return Ok(());
    }
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let rules = CONTAINER_DEVICES.map(|(kind, major, minor, access)| {
        format!("{kind} {}:{} {access}", number(major), number(minor))
    });
    // Others run in a shared one, who must not be without their devices for even a moment. One that is left without rules by a crash has
    // nobody in it yet.
    if directory.is_shared
        && let Ok(list) = directory.read("devices.list")
        && list.lines().eq(rules.iter())
    {
        return Ok(());
    }
    directory.write("devices.deny", "a")?;
    directory.write_each("devices.allow", rules.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_reference_table() {
        let check = |shares: u64, linear: u64, quadratic: u64| {
            assert_eq!(linear_weight(shares), Some(linear), "{shares} shares");
            assert_eq!(quadratic_weight(shares), Some(quadratic), "{shares} shares");
        };
        check(2, 1, 1);
        check(10, 1, 4);
        check(102, 4, 17);
        check(256, 10, 35);
        check(512, 20, 59);
        check(1024, 39, 100);
        check(2048, 79, 174);
        check(4096, 157, 303);
        check(262_144, 10_000, 10_000);
        assert_eq!((linear_weight(0), quadratic_weight(0)), (None, None));
    }
}
