//! Requests and limits as cgroup values, as OOM scores and as variables (`pod-api.md` sections 3.5 and 7).

use std::collections::BTreeMap;

use podyard_api::core::{Container, PodSpec, ResourceFieldSelector};
use podyard_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use podyard_api::{effective_limits, effective_requests, is_sidecar, quantity};
use podyard_linux::cgroup::{Devices, Resources, WeightConversion};

use super::{PodFacts, containers};

/// The kubelet's smallest CPU share and the period of CPU quotas in microseconds.
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const PERIOD_MICROSECONDS: u64 = 100_000;
const MIN_QUOTA_MICROSECONDS: u64 = 1_000;

const HUGE_PAGES: &str = "hugepages-";

type List = BTreeMap<String, Quantity>;

/// An amount in thousandths; zero is as good as nothing.
fn amount(list: Option<&List>, name: &str) -> Option<i128> {
    list.and_then(|list| list.get(name))
        .and_then(|quantity| quantity::milli(&quantity.0).ok())
        .filter(|milli| *milli > 0)
}

fn limit(container: &Container, name: &str) -> Option<i128> {
    let resources = container.resources.as_ref();
    amount(resources.and_then(|all| all.limits.as_ref()), name)
}

fn request(container: &Container, name: &str) -> Option<i128> {
    let resources = container.resources.as_ref();
    amount(resources.and_then(|all| all.requests.as_ref()), name).or_else(|| limit(container, name))
}

/// The limit of the pod as a whole.
fn pod_limit(spec: &PodSpec, name: &str) -> Option<i128> {
    let resources = spec.resources.as_ref();
    amount(resources.and_then(|all| all.limits.as_ref()), name)
}

fn pod_request(spec: &PodSpec, name: &str) -> Option<i128> {
    let resources = spec.resources.as_ref();
    amount(resources.and_then(|all| all.requests.as_ref()), name).or_else(|| pod_limit(spec, name))
}

/// The values of a container's own cgroup. What it does not limit itself, it is limited in as the pod is.
pub(crate) fn of_container(
    container: &Container,
    facts: &PodFacts<'_>,
    privileged: bool,
) -> Resources {
    let limit = |name: &str| limit(container, name).or_else(|| pod_limit(facts.spec, name));
    Resources {
        cpu_shares: Some(shares(request(container, "cpu"))),
        weight_conversion: WeightConversion::Quadratic,
        cpu_quota_us: limit("cpu").map(quota),
        cpu_period_us: limit("cpu").map(|_| PERIOD_MICROSECONDS),
        memory_limit_bytes: limit("memory").map(whole),
        // Swap is not used by default.
        swap_limit_bytes: Some(0),
        oom_group: true,
        hugepages: huge_pages(facts, limit),
        devices: if privileged {
            Devices::Inherited
        } else {
            Devices::Container
        },
        ..Resources::default()
    }
}

/// Page size of every machine that podyard runs on, in bytes.
const PAGE: u64 = 4096;

/// What the kubelet adds with its feature gate `MemoryQoS` (KEP-2570): the request is guaranteed, and above nine tenths of the way from
/// there to the limit, or to the machine's memory, the container is slowed down. Not where limit and request are the same.
pub(crate) fn with_memory_qos(
    resources: Resources,
    container: &Container,
    facts: &PodFacts<'_>,
) -> Resources {
    let request = request(container, "memory").map_or(0, whole);
    let limit = limit(container, "memory").map(whole);
    let up_to = limit.unwrap_or(facts.machine.memory_bytes);
    let high = (request + up_to.saturating_sub(request) * 9 / 10) / PAGE * PAGE;
    Resources {
        memory_min_bytes: Some(request).filter(|bytes| *bytes > 0),
        memory_high_bytes: Some(high).filter(|high| limit != Some(request) && *high > request),
        ..resources
    }
}

/// The same of the pod's cgroup: what its containers are guaranteed must be guaranteed to all of them together.
pub(crate) fn with_memory_qos_of_pod(resources: Resources, facts: &PodFacts<'_>) -> Resources {
    let requests = effective_requests(facts.spec);
    let request = requests.get("memory").map(|amount| whole(amount.milli()));
    Resources {
        memory_min_bytes: request.filter(|bytes| *bytes > 0),
        ..resources
    }
}

/// The values of the pod's cgroup (sections 7.4 and 7.5).
pub(crate) fn of_pod(facts: &PodFacts<'_>) -> Resources {
    let requests = effective_requests(facts.spec);
    let request = |name: &str| {
        let value = requests.get(name)?;
        Some(value.milli()).filter(|milli| *milli > 0)
    };
    Resources {
        cpu_shares: Some(shares(request("cpu"))),
        cpu_quota_us: limit_of_pod(facts.spec, "cpu").map(quota),
        memory_limit_bytes: limit_of_pod(facts.spec, "memory").map(whole),
        hugepages: huge_pages(facts, request),
        ..Resources::default()
    }
}

/// The memory that the pod as a whole may use, in bytes.
pub(crate) fn memory_of_pod(facts: &PodFacts<'_>) -> Option<u64> {
    limit_of_pod(facts.spec, "memory").map(whole)
}

/// A limit of the pod: its own, or what its containers add up to if every one of them has one.
fn limit_of_pod(spec: &PodSpec, name: &str) -> Option<i128> {
    let is_limited = pod_limit(spec, name).is_some()
        || containers(spec).all(|container| limit(container, name).is_some());
    if !is_limited {
        return None;
    }
    let limits = effective_limits(spec);
    Some(limits.get(name)?.milli()).filter(|milli| *milli > 0)
}

/// Every size of huge pages that there is, and those that are asked for: no more than that, which is nothing where nothing is said.
fn huge_pages(facts: &PodFacts<'_>, amount: impl Fn(&str) -> Option<i128>) -> Vec<(String, u64)> {
    let mut sizes = facts.machine.huge_page_bytes.clone();
    let named = containers(facts.spec)
        .filter_map(|container| container.resources.as_ref())
        .flat_map(|resources| resources.limits.iter().flatten())
        .filter_map(|(name, _)| quantity::bytes(name.strip_prefix(HUGE_PAGES)?).ok());
    sizes.extend(named);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
        .into_iter()
        .map(|size| {
            let (number, binary, kernel) = in_units(size);
            let bytes = amount(&format!("{HUGE_PAGES}{number}{binary}")).map_or(0, whole);
            (format!("{number}{kernel}"), bytes)
        })
        .collect()
}

/// A size of huge pages as Kubernetes and as the kernel write it: 2, `Mi`, `MB`.
fn in_units(bytes: u64) -> (u64, &'static str, &'static str) {
    const UNITS: [(u64, &str, &str); 3] = [(30, "Gi", "GB"), (20, "Mi", "MB"), (10, "Ki", "KB")];
    let unit = UNITS.iter().find(|(shift, ..)| bytes >> shift > 0);
    unit.map_or((bytes, "", "B"), |&(shift, binary, kernel)| {
        (bytes >> shift, binary, kernel)
    })
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
pub(crate) fn oom_score(container: &Container, facts: &PodFacts<'_>) -> i32 {
    const GUARANTEED: i32 = -997;
    const BEST_EFFORT: i32 = 1000;
    let spec = facts.spec;
    if spec.priority_class_name.as_deref() == Some("system-node-critical") {
        return GUARANTEED;
    }
    match facts.qos {
        "Guaranteed" => GUARANTEED,
        "BestEffort" => BEST_EFFORT,
        _ => {
            let unclaimed = unclaimed_memory(spec);
            let score = |request: u64| {
                let part = u128::from(request + unclaimed) * 1000
                    / u128::from(facts.machine.memory_bytes.max(1));
                1000 - i32::try_from(part).unwrap_or(1000)
            };
            let own = score(memory_request(container));
            let own = if is_sidecar(container) {
                // It must not go before the application that it serves.
                let apps = spec.containers.iter().map(memory_request);
                own.min(score(apps.min().unwrap_or_default()))
            } else {
                own
            };
            own.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

fn memory_request(container: &Container) -> u64 {
    request(container, "memory").map_or(0, whole)
}

/// Each container's part of what the pod asks for beyond its containers.
fn unclaimed_memory(spec: &PodSpec) -> u64 {
    let Some(of_pod) = pod_request(spec, "memory").map(whole) else {
        return 0;
    };
    let sidecars = spec.init_containers.iter().flatten();
    let running: Vec<&Container> = sidecars
        .filter(|container| is_sidecar(container))
        .chain(&spec.containers)
        .collect();
    let claimed: u64 = running
        .iter()
        .map(|container| memory_request(container))
        .sum();
    of_pod.saturating_sub(claimed) / (running.len() as u64).max(1)
}

/// A `resourceFieldRef` of a variable: of the container itself unless it names another.
pub(crate) fn field_of_variable(
    field: &ResourceFieldSelector,
    own: &Container,
    facts: &PodFacts<'_>,
) -> Result<String, String> {
    let name = field.container_name.as_deref().unwrap_or_default();
    let container = if name.is_empty() {
        own
    } else {
        named(name, facts)?
    };
    let falls_back = name.is_empty() || name == own.name || is_app(container, facts);
    value(field, container, |resource| {
        let of_pod = || pod_limit(facts.spec, resource);
        falls_back
            .then(|| of_pod().or_else(|| of_machine(resource, facts)))
            .flatten()
    })
}

/// A `resourceFieldRef` of a volume, which names its container.
pub(crate) fn field_of_volume(
    field: &ResourceFieldSelector,
    facts: &PodFacts<'_>,
) -> Result<String, String> {
    let container = named(field.container_name.as_deref().unwrap_or_default(), facts)?;
    let falls_back = is_app(container, facts);
    value(field, container, |resource| {
        falls_back.then(|| of_machine(resource, facts)).flatten()
    })
}

fn named<'a>(name: &str, facts: &PodFacts<'a>) -> Result<&'a Container, String> {
    containers(facts.spec)
        .find(|container| container.name == name)
        .ok_or_else(|| format!("container {name} not found"))
}

fn is_app(container: &Container, facts: &PodFacts<'_>) -> bool {
    let mut apps = facts.spec.containers.iter();
    apps.any(|app| app.name == container.name)
}

/// Rounded up to the divisor. `unlimited` is what a limit that is not set shows.
fn value(
    field: &ResourceFieldSelector,
    container: &Container,
    unlimited: impl Fn(&str) -> Option<i128>,
) -> Result<String, String> {
    let milli = match field.resource.split_once('.') {
        Some(("limits", resource)) => limit(container, resource).or_else(|| unlimited(resource)),
        Some(("requests", resource)) => request(container, resource),
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

fn of_machine(resource: &str, facts: &PodFacts<'_>) -> Option<i128> {
    let machine = facts.machine;
    let units = match resource {
        "cpu" => machine.cpus,
        "memory" => machine.memory_bytes,
        "ephemeral-storage" => machine.disk_bytes,
        _ => return None,
    };
    Some(i128::from(units) * 1000)
}

#[cfg(test)]
mod tests {
    use podyard_api::core::Pod;
    use serde_json::{Value, json};

    use super::super::machine::Machine;
    use super::*;

    fn with<T>(spec: Value, then: impl FnOnce(&PodFacts<'_>) -> T) -> T {
        let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
        let pod = Pod::default();
        let machine = Machine {
            hostname: "n".to_owned(),
            memory_bytes: 1000 << 20,
            cpus: 8,
            disk_bytes: 5 << 30,
            huge_page_bytes: vec![2 << 20, 1 << 30],
            ..Machine::default()
        };
        then(&PodFacts {
            machine: &machine,
            ..PodFacts::alone(&pod, &spec)
        })
    }

    /// A container with limits and requests; a limit alone is the request as well, as the API has it.
    fn container(name: &str, limits: Value, requests: Value) -> Value {
        let mut all = limits.clone();
        for (resource, amount) in requests.as_object().expect("an object") {
            all[resource] = amount.clone();
        }
        let requests = all;
        json!({"name": name, "resources": {"limits": limits, "requests": requests}})
    }

    #[test]
    fn memory_is_guaranteed_and_held_back() {
        let check = |limits: Value, requests: Value, min: Option<u64>, high: Option<u64>| {
            let spec = json!({"containers": [container("a", limits.clone(), requests.clone())]});
            with(spec, |facts| {
                let own = of_container(&facts.spec.containers[0], facts, false);
                let own = with_memory_qos(own, &facts.spec.containers[0], facts);
                assert_eq!(
                    (own.memory_min_bytes, own.memory_high_bytes),
                    (min, high),
                    "{limits} {requests}"
                );
                let pod = with_memory_qos_of_pod(of_pod(facts), facts);
                assert_eq!((pod.memory_min_bytes, pod.memory_high_bytes), (min, None));
            });
        };
        let memory = |text: &str| json!({"memory": text});
        // 100 MiB and nine tenths of the way to 200 MiB, in whole pages.
        let mib = |number: u64| Some(number << 20);
        check(memory("200Mi"), memory("100Mi"), mib(100), mib(190));
        check(memory("3000"), memory("1000"), Some(1000), None);
        check(memory("100Mi"), memory("100Mi"), mib(100), None);
        check(json!({}), memory("500Mi"), mib(500), mib(950));
        check(json!({}), json!({}), None, mib(900));
    }

    #[test]
    fn the_table_of_shares_and_quotas() {
        for (milli, expected) in [
            (None, 2),
            (Some(10), 10),
            (Some(100), 102),
            (Some(250), 256),
            (Some(1000), 1024),
            (Some(4000), 4096),
            (Some(1_000_000), 262_144),
        ] {
            assert_eq!(shares(milli), expected, "{milli:?}");
        }
        assert_eq!(quota(250), 25_000);
        assert_eq!(quota(1), 1_000);
    }

    fn own(spec: Value) -> Resources {
        with(spec, |facts| {
            of_container(&facts.spec.containers[0], facts, false)
        })
    }

    #[test]
    fn a_containers_cgroup() {
        let limits = json!({"cpu": "500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"});
        let spec = json!({"containers": [container("c", limits, json!({"cpu": "250m"}))]});
        let expected = Resources {
            cpu_shares: Some(256),
            weight_conversion: WeightConversion::Quadratic,
            cpu_quota_us: Some(50_000),
            cpu_period_us: Some(100_000),
            memory_limit_bytes: Some(64 << 20),
            swap_limit_bytes: Some(0),
            oom_group: true,
            hugepages: vec![("2MB".to_owned(), 4 << 20), ("1GB".to_owned(), 0)],
            devices: Devices::Container,
            ..Resources::default()
        };
        assert_eq!(own(spec), expected);

        let unlimited = own(json!({"containers": [{"name": "c"}]}));
        assert_eq!(unlimited.cpu_shares, Some(2));
        assert_eq!(unlimited.cpu_quota_us, None);
        assert_eq!(unlimited.memory_limit_bytes, None);
        assert_eq!(unlimited.swap_limit_bytes, Some(0));

        let of_pod = own(json!({
            "resources": {"limits": {"cpu": "1", "memory": "32Mi"}}, "containers": [{"name": "c"}]
        }));
        assert_eq!(of_pod.cpu_quota_us, Some(100_000));
        assert_eq!(of_pod.memory_limit_bytes, Some(32 << 20));
    }

    #[test]
    fn a_pods_cgroup() {
        let limited = |name: &str, cpu: &str, memory: &str| {
            container(name, json!({"cpu": cpu, "memory": memory}), json!({}))
        };
        let sidecar = |mut container: Value| {
            container["restartPolicy"] = json!("Always");
            container
        };
        let check = |spec: Value, shares: u64, quota: Option<u64>, mebibytes: Option<u64>| {
            let shown = spec.to_string();
            let resources = with(spec, of_pod);
            assert_eq!(resources.cpu_shares, Some(shares), "{shown}");
            assert_eq!(resources.cpu_quota_us, quota, "{shown}");
            let bytes = mebibytes.map(|mebibytes| mebibytes << 20);
            assert_eq!(resources.memory_limit_bytes, bytes, "{shown}");
        };
        check(json!({"containers": [{"name": "c"}]}), 2, None, None);
        // The sum of what runs at last; the peak of init is smaller.
        check(
            json!({"initContainers": [limited("i", "1", "10Mi"), sidecar(limited("s", "1", "10Mi"))],
                "containers": [limited("a", "1", "20Mi"), limited("b", "500m", "20Mi")]}),
            2560,
            Some(250_000),
            Some(50),
        );
        // The peak: an init container beside the sidecar in front of it.
        check(
            json!({"initContainers": [sidecar(limited("s", "1", "10Mi")), limited("i", "3", "90Mi")],
                "containers": [limited("a", "1", "20Mi")]}),
            4096,
            Some(400_000),
            Some(100),
        );
        // One container without a limit, and the pod has none.
        check(
            json!({"initContainers": [{"name": "i"}], "containers": [limited("a", "1", "20Mi")]}),
            1024,
            None,
            None,
        );
        // The pod's own values replace the sums; overhead comes on top.
        check(
            json!({"resources": {"limits": {"cpu": "2", "memory": "100Mi"}, "requests": {"cpu": "1"}},
                "overhead": {"cpu": "500m", "memory": "10Mi"},
                "initContainers": [{"name": "i"}], "containers": [limited("a", "1", "20Mi")]}),
            1536,
            Some(250_000),
            Some(110),
        );
    }

    #[test]
    fn scores_for_the_out_of_memory_killer() {
        // The machine has 1000 MiB, so a request of n MiB lowers the score by n.
        let burstable = |memory: &str| container("c", json!({}), json!({"memory": memory}));
        let score = |spec: Value, position: usize| {
            with(spec, |facts| {
                let container = containers(facts.spec).nth(position).expect("a container");
                oom_score(container, facts)
            })
        };
        let all = json!({"cpu": "1", "memory": "10Mi"});
        let guaranteed = container("c", all.clone(), all);
        assert_eq!(score(json!({"containers": [guaranteed]}), 0), -997);
        assert_eq!(score(json!({"containers": [{"name": "c"}]}), 0), 1000);
        for (memory, expected) in [("1Ki", 999), ("10Mi", 990), ("400Mi", 600), ("2Gi", 3)] {
            let spec = json!({"containers": [burstable(memory)]});
            assert_eq!(score(spec, 0), expected, "{memory}");
        }
        let mut sidecar = burstable("5Mi");
        sidecar["restartPolicy"] = json!("Always");
        let apps = json!([burstable("400Mi"), burstable("100Mi")]);
        let spec = json!({"initContainers": [sidecar], "containers": apps});
        assert_eq!(score(spec, 0), 900);
        let spec = json!({"resources": {"requests": {"memory": "300Mi"}},
            "containers": [burstable("100Mi"), {"name": "d"}]});
        assert_eq!(score(spec.clone(), 0), 800);
        assert_eq!(score(spec, 1), 900);
        let critical =
            json!({"priorityClassName": "system-node-critical", "containers": [{"name": "c"}]});
        assert_eq!(score(critical, 0), -997);
    }

    #[test]
    fn fields_are_rounded_up_to_the_divisor() {
        let spec = json!({
            "initContainers": [{"name": "init"}],
            "containers": [
                container("own", json!({"cpu": "250m", "memory": "65Mi"}), json!({"cpu": "100m"})),
                {"name": "other"}],
        });
        let check =
            |resource: &str, divisor: &str, container: &str, variable: &str, volume: &str| {
                let field = ResourceFieldSelector {
                    container_name: Some(container.to_owned()),
                    divisor: (!divisor.is_empty()).then(|| Quantity(divisor.to_owned())),
                    resource: resource.to_owned(),
                };
                with(spec.clone(), |facts| {
                    let own = &facts.spec.containers[0];
                    let shown = format!("{resource} {divisor} {container}");
                    assert_eq!(
                        field_of_variable(&field, own, facts).as_deref(),
                        Ok(variable),
                        "{shown}"
                    );
                    if !container.is_empty() {
                        assert_eq!(
                            field_of_volume(&field, facts).as_deref(),
                            Ok(volume),
                            "{shown}"
                        );
                    }
                });
            };
        check("limits.cpu", "", "", "1", "");
        check("limits.cpu", "1m", "own", "250", "250");
        check("requests.cpu", "1m", "own", "100", "100");
        check("limits.memory", "1Mi", "own", "65", "65");
        check("limits.memory", "1Gi", "own", "1", "1");
        check("requests.memory", "1Mi", "own", "65", "65");
        // Without a limit it is the machine's, of app containers only.
        check("limits.cpu", "1", "other", "8", "8");
        check("limits.memory", "1Mi", "other", "1000", "1000");
        check("limits.ephemeral-storage", "1Gi", "other", "5", "5");
        check("limits.hugepages-2Mi", "1", "other", "0", "0");
        check("limits.cpu", "1", "init", "0", "0");
        check("requests.cpu", "1", "other", "0", "0");
        with(
            json!({"resources": {"limits": {"cpu": "3"}}, "containers": [{"name": "own"}]}),
            |facts| {
                let field = ResourceFieldSelector {
                    container_name: Some("own".to_owned()),
                    divisor: None,
                    resource: "limits.cpu".to_owned(),
                };
                let own = &facts.spec.containers[0];
                assert_eq!(field_of_variable(&field, own, facts).as_deref(), Ok("3"));
                assert_eq!(field_of_volume(&field, facts).as_deref(), Ok("8"));
            },
        );
    }
}
