//! Requests and limits as cgroup values and as variables (`pod-api.md` sections 3.5 and 7).

use std::collections::BTreeMap;

use podyard_api::core::{Container, ResourceFieldSelector};
use podyard_api::quantity;
use podyard_linux::cgroup::{Devices, Resources, WeightConversion};

use super::{PodFacts, containers};

/// The kubelet's smallest CPU share and the period of CPU quotas in microseconds.
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const PERIOD_MICROSECONDS: u64 = 100_000;
const MIN_QUOTA_MICROSECONDS: u64 = 1_000;

type List = BTreeMap<String, podyard_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity>;

fn amount(list: Option<&List>, name: &str) -> Option<i128> {
    list.and_then(|list| list.get(name))
        .and_then(|quantity| quantity::milli(&quantity.0).ok())
        .filter(|milli| *milli > 0)
}

fn limit(container: &Container, name: &str) -> Option<i128> {
    amount(
        container
            .resources
            .as_ref()
            .and_then(|resources| resources.limits.as_ref()),
        name,
    )
}

fn request(container: &Container, name: &str) -> Option<i128> {
    amount(
        container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref()),
        name,
    )
    .or_else(|| limit(container, name))
}

/// The values of a container's own cgroup.
pub(crate) fn of_container(container: &Container, privileged: bool) -> Resources {
    Resources {
        cpu_shares: Some(shares(request(container, "cpu"))),
        weight_conversion: WeightConversion::Quadratic,
        cpu_quota_us: limit(container, "cpu").map(quota),
        cpu_period_us: limit(container, "cpu").map(|_| PERIOD_MICROSECONDS),
        memory_limit_bytes: limit(container, "memory").map(whole),
        // Swap is not used by default.
        swap_limit_bytes: limit(container, "memory").map(|_| 0),
        oom_group: true,
        devices: if privileged {
            Devices::Inherited
        } else {
            Devices::Container
        },
        ..Resources::default()
    }
}

/// The values of the pod's cgroup (sections 7.4 and 7.5): the larger of what runs at last and what init needs on the way; a limit only
/// when every container has one.
pub(crate) fn of_pod(facts: &PodFacts<'_>) -> Resources {
    let effective = |of: &dyn Fn(&Container) -> Option<i128>| {
        let mut sidecars = 0;
        let mut init_peak = 0;
        for container in facts.spec.init_containers.iter().flatten() {
            let amount = of(container).unwrap_or_default();
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars += amount;
            } else {
                init_peak = init_peak.max(amount + sidecars);
            }
        }
        let running = sidecars + facts.spec.containers.iter().filter_map(of).sum::<i128>();
        running.max(init_peak)
    };
    let all_limited =
        |name: &str| containers(facts.spec).all(|container| limit(container, name).is_some());
    let request_cpu = effective(&|container| request(container, "cpu"));
    let limited = |name: &'static str| {
        all_limited(name).then(|| effective(&|container| limit(container, name)))
    };
    Resources {
        cpu_shares: Some(shares((request_cpu > 0).then_some(request_cpu))),
        cpu_quota_us: limited("cpu").map(quota),
        memory_limit_bytes: limited("memory").map(whole),
        ..Resources::default()
    }
}

fn shares(milli: Option<i128>) -> u64 {
    milli.map_or(MIN_SHARES, |milli| {
        u64::try_from(milli * 1024 / 1000)
            .unwrap_or(MAX_SHARES)
            .clamp(MIN_SHARES, MAX_SHARES)
    })
}

fn quota(milli: i128) -> u64 {
    u64::try_from(milli * i128::from(PERIOD_MICROSECONDS) / 1000)
        .unwrap_or(u64::MAX)
        .max(MIN_QUOTA_MICROSECONDS)
}

fn whole(milli: i128) -> u64 {
    u64::try_from((milli + 999) / 1000).unwrap_or(u64::MAX)
}

/// `oom_score_adj` (section 7.7).
pub(crate) fn oom_score(container: &Container, facts: &PodFacts<'_>, machine_memory: u64) -> i32 {
    match podyard_api::qos_class(facts.spec) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => {
            let request = request(container, "memory").map_or(0, whole);
            let part = u128::from(request) * 1000 / u128::from(machine_memory.max(1));
            (1000 - i32::try_from(part).unwrap_or(1000)).clamp(3, 999)
        }
    }
}

/// The machine's memory in bytes, out of the text of `/proc/meminfo`.
pub(crate) fn machine_memory(meminfo: &str) -> u64 {
    let kibibytes = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// A `resourceFieldRef` (section 3.5): rounded up to the divisor.
pub(crate) fn resource_field(
    field: &ResourceFieldSelector,
    own: &Container,
    facts: &PodFacts<'_>,
) -> Result<String, String> {
    let container = match field.container_name.as_deref() {
        None | Some("") => own,
        Some(name) => containers(facts.spec)
            .find(|container| container.name == name)
            .ok_or_else(|| format!("container {name} not found"))?,
    };
    let (list, resource) = field
        .resource
        .split_once('.')
        .unwrap_or(("", field.resource.as_str()));
    let milli = match list {
        "limits" => limit(container, resource).or_else(|| node_allocatable(resource)),
        "requests" => request(container, resource),
        _ => {
            return Err(format!(
                "unsupported container resource : {}",
                field.resource
            ));
        }
    };
    let divisor = field
        .divisor
        .as_ref()
        .and_then(|quantity| quantity::milli(&quantity.0).ok())
        .filter(|milli| *milli > 0)
        .unwrap_or(1000);
    let milli = milli.unwrap_or_default();
    Ok(((milli + divisor - 1) / divisor).to_string())
}

/// A limit that is not set shows what the machine has.
fn node_allocatable(resource: &str) -> Option<i128> {
    match resource {
        "cpu" => std::thread::available_parallelism()
            .ok()
            .map(|count| count.get() as i128 * 1000),
        "memory" => {
            let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
            Some(i128::from(machine_memory(&meminfo)) * 1000)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_shares_and_quotas() {
        for (milli, expected) in [
            (None, 2),
            (Some(10), 10),
            (Some(100), 102),
            (Some(250), 256),
            (Some(1000), 1024),
            (Some(4000), 4096),
        ] {
            assert_eq!(shares(milli), expected, "{milli:?}");
        }
        assert_eq!(quota(250), 25_000);
        assert_eq!(quota(1), 1_000);
        assert_eq!(
            machine_memory("MemTotal:       24684084 kB\n"),
            24_684_084 * 1024
        );
    }
}
