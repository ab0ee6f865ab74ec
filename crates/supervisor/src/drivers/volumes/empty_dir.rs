//! `emptyDir`: a directory, a tmpfs or huge pages, for as long as the pod lives (`pod-api.md` section 5.3).

use std::path::Path;

use podyard_api::core::{EmptyDirVolumeSource, PodSpec};
use podyard_api::quantity;

use super::super::World;
use super::{make_directory, make_once, mounting};
use crate::translate::{containers, resources};

pub(super) fn set_up(
    world: &World,
    source: &EmptyDirVolumeSource,
    path: &Path,
) -> Result<(), String> {
    let group = super::fs_group::of(world.spec());
    match source.medium.as_deref().unwrap_or_default() {
        "" => make_once(path, group),
        "Memory" => {
            make_directory(path)?;
            let of_pod = world.with_facts(resources::memory_of_pod);
            let own = match &source.size_limit {
                Some(limit) => Some(bytes(&limit.0)?).filter(|bytes| *bytes > 0),
                None => None,
            };
            mounting::tmpfs(path, size(world.machine.memory_bytes, of_pod, own), group)
        }
        medium => {
            let page_bytes = page_bytes(medium, world.spec())?;
            make_directory(path)?;
            mounting::hugetlbfs(path, page_bytes, group)
        }
    }
}

/// The smallest of what there is, what the pod may have and what the volume may have.
fn size(machine: u64, pod: Option<u64>, own: Option<u64>) -> u64 {
    [pod, own].into_iter().flatten().fold(machine, u64::min)
}

fn bytes(text: &str) -> Result<u64, String> {
    quantity::bytes(text).map_err(|error| format!("sizeLimit {text}: {error}"))
}

/// The size of page that a medium stands for. The pod has to ask for such pages, or nobody could use the volume.
fn page_bytes(medium: &str, spec: &PodSpec) -> Result<u64, String> {
    let unknown = || format!("unknown storage medium {medium:?}");
    let wanted = match medium.strip_prefix("HugePages") {
        Some("") => None,
        Some(size) => {
            let size = size.strip_prefix('-').ok_or_else(unknown)?;
            Some(quantity::bytes(size).map_err(|_| unknown())?)
        }
        None => return Err(unknown()),
    };
    let mut sizes: Vec<u64> = containers(spec)
        .filter_map(|container| container.resources.as_ref()?.requests.as_ref())
        .flat_map(|requests| requests.keys())
        .filter_map(|name| quantity::bytes(name.strip_prefix("hugepages-")?).ok())
        .filter(|size| wanted.is_none_or(|wanted| wanted == *size))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    match sizes[..] {
        [size] => Ok(size),
        [] => Err(format!(
            "medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )),
        _ => Err(format!(
            "medium: {medium} can't be used if container requests multiple huge page sizes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bound_counts() {
        assert_eq!(size(100, None, None), 100);
        assert_eq!(size(100, Some(50), None), 50);
        assert_eq!(size(100, Some(50), Some(70)), 50);
        assert_eq!(size(100, None, Some(70)), 70);
        assert_eq!(size(100, None, Some(700)), 100);
    }

    #[test]
    fn a_medium_of_huge_pages_needs_a_request() {
        let spec = |sizes: &[&str]| -> PodSpec {
            let requests: std::collections::BTreeMap<String, &str> = sizes
                .iter()
                .map(|size| (format!("hugepages-{size}"), "4Mi"))
                .collect();
            serde_json::from_value(serde_json::json!({
                "containers": [{"name": "c", "resources": {"requests": requests}}]
            }))
            .expect("a spec")
        };
        let none = "hugePages storage requested, but there is no resource request for huge pages";
        for (medium, sizes, expected) in [
            ("HugePages", &["2Mi"][..], Ok(2 << 20)),
            ("HugePages-2Mi", &["2Mi", "1Gi"], Ok(2 << 20)),
            ("HugePages-1Gi", &["2Mi", "1Gi"], Ok(1 << 30)),
            (
                "HugePages",
                &["2Mi", "1Gi"],
                Err("medium: HugePages can't be used if container requests multiple huge page sizes".to_owned()),
            ),
            ("HugePages", &[], Err(format!("medium HugePages: {none}"))),
            ("HugePages-1Gi", &["2Mi"], Err(format!("medium HugePages-1Gi: {none}"))),
            ("HugePages2Mi", &["2Mi"], Err("unknown storage medium \"HugePages2Mi\"".to_owned())),
            ("Disk", &["2Mi"], Err("unknown storage medium \"Disk\"".to_owned())),
        ] {
            assert_eq!(page_bytes(medium, &spec(sizes)), expected, "{medium} {sizes:?}");
        }
    }
}
