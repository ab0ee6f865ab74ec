//! What the pod's containers use: a `PodMetrics` of `metrics.k8s.io/v1beta1`. Nobody measures while nobody asks: two looks are taken, some time
//! apart, and between them the asker waits.

use std::rc::Rc;
use std::time::Duration;

use hyper::{Response, StatusCode};
use podyard_lifecycle::{ContainerIndex, kubernetes_time};
use podyard_linux::Usage;
use tokio::time::Instant;

use super::serve::{Body, Service, json};
use crate::clock;
use crate::drivers::World;

/// Between the two looks.
const WINDOW: Duration = Duration::from_secs(1);

/// A container that runs, and what it had used at a moment.
struct Look {
    container: ContainerIndex,
    attempt: u32,
    at: Instant,
    usage: Usage,
}

pub(super) async fn pod(service: &Rc<Service>) -> Response<Body> {
    let before = look(&service.world);
    tokio::time::sleep(WINDOW).await;
    let after = look(&service.world);
    let containers: Vec<_> = after
        .iter()
        .map(|look| {
            let earlier = before.iter().find(|earlier| {
                (earlier.container, earlier.attempt) == (look.container, look.attempt)
            });
            serde_json::json!({
                "name": service.world.container_name(look.container),
                "usage": {
                    "cpu": format!("{}n", nanocores(earlier, look)),
                    "memory": format!("{}Ki", look.usage.working_set_bytes / 1024),
                },
            })
        })
        .collect();
    let metadata = service.world.with_facts(
        |facts| serde_json::json!({ "name": facts.name(), "namespace": facts.namespace() }),
    );
    let object = serde_json::json!({
        "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": metadata,
        "timestamp": kubernetes_time(clock::wall()),
        "window": podyard_lifecycle::go_duration(WINDOW),
        "containers": containers,
    });
    json(StatusCode::OK, object.to_string())
}

/// In the order of the manifest.
fn look(world: &World) -> Vec<Look> {
    let live = world.live.containers.borrow();
    let mut looks: Vec<Look> = live
        .iter()
        .filter_map(|(container, live)| {
            Some(Look {
                container: *container,
                attempt: live.attempt,
                at: Instant::now(),
                // One that ends right now uses nothing any more.
                usage: live.cgroup.as_ref()?.usage().ok()?,
            })
        })
        .collect();
    looks.sort_by_key(|look| look.container);
    looks
}

/// Processor time per time. Of a container that was not there at the first look, nothing is known.
fn nanocores(earlier: Option<&Look>, look: &Look) -> u128 {
    let Some(earlier) = earlier else { return 0 };
    let used = look
        .usage
        .cpu_nanoseconds
        .saturating_sub(earlier.usage.cpu_nanoseconds);
    let passed = look.at.duration_since(earlier.at).as_nanos().max(1);
    u128::from(used) * 1_000_000_000 / passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_processor_is_500_million_nanocores() {
        let start = Instant::now();
        let look = |after: Duration, cpu_nanoseconds| Look {
            container: ContainerIndex(0),
            attempt: 0,
            at: start + after,
            usage: Usage {
                cpu_nanoseconds,
                ..Usage::default()
            },
        };
        let first = look(Duration::ZERO, 7);
        let second = look(Duration::from_secs(2), 1_000_000_007);
        assert_eq!(nanocores(Some(&first), &second), 500_000_000);
        assert_eq!(nanocores(None, &second), 0);
        // Its counter began anew.
        assert_eq!(
            nanocores(Some(&second), &look(Duration::from_secs(3), 0)),
            0
        );
    }
}
