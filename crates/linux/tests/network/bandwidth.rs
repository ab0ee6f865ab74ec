//! What a pod may send and receive, held by the kernel.

use podyard_linux::network::{Bandwidth, limit_bandwidth};
use std::net::{Ipv4Addr, UdpSocket};

use crate::world::{Namespace, World, run};

/// The queue of an interface, as `tc` tells it.
fn queue(namespace: &Namespace, interface: &str) -> String {
    namespace.run(|| run("tc", &["-s", "qdisc", "show", "dev", interface]))
}

/// Sends more than a burst, as fast as it goes, and does not wait for what does not fit.
fn flood(namespace: &Namespace, to: Ipv4Addr) {
    let socket = namespace.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    socket.set_nonblocking(true).unwrap();
    for _ in 0..2000 {
        let _ = socket.send_to(&[0; 1000], (to, 9));
    }
}

fn was_held_back(queue: &str) -> bool {
    let (_, rest) = queue.split_once("overlimits ").expect("statistics");
    !rest.starts_with("0 ")
}

#[test]
fn each_direction_has_its_own_limit() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let pod = world.pod(&config, "web", &[]);
    let (outer, inner) = (&pod.network.host_interface, &pod.network.pod_interface);
    let limit = |bandwidth| {
        world
            .machine
            .run(|| limit_bandwidth(pod.namespace.fd(), &pod.network, bandwidth))
            .unwrap();
    };
    limit(Bandwidth::default());
    assert!(!queue(&world.machine, outer).contains("tbf"));

    limit(Bandwidth {
        ingress: Some(1_000_000),
        egress: Some(40_000_000_000),
    });
    let told = queue(&world.machine, outer);
    assert!(
        told.contains("tbf") && told.contains("rate 1Mbit"),
        "{told}"
    );
    let told = queue(&pod.namespace, inner);
    assert!(
        told.contains("tbf") && told.contains("rate 40Gbit"),
        "{told}"
    );

    flood(&world.machine, pod.network.address);
    assert!(was_held_back(&queue(&world.machine, outer)));
    flood(&pod.namespace, pod.network.gateway);
    assert!(!was_held_back(&queue(&pod.namespace, inner)));
    // The other way round, in the place of what there was.
    limit(Bandwidth {
        ingress: None,
        egress: Some(1_000_000),
    });
    flood(&pod.namespace, pod.network.gateway);
    assert!(was_held_back(&queue(&pod.namespace, inner)));
    pod.detach(&config);
    world.assert_clean();
}
