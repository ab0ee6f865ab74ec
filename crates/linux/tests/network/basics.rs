//! A pod gets a network, uses it, and leaves nothing.

use crate::world::{LOCALHOST, MACHINE, Namespace, OUTSIDE, World, ip, tcp};
use podyard_linux::network::{addresses, detach, loopback};

#[test]
fn loopback_alone() {
    let namespace = Namespace::new();
    loopback(namespace.fd()).unwrap();
    loopback(namespace.fd()).unwrap();
    namespace.serve_tcp("self", LOCALHOST, 80);
    assert_eq!(namespace.ask_tcp(LOCALHOST, 80).unwrap(), "self 127.0.0.1");
}

#[test]
fn addresses_come_with_the_names_of_their_interfaces() {
    let namespace = Namespace::new();
    assert_eq!(namespace.run(|| addresses().unwrap()), []);
    loopback(namespace.fd()).unwrap();
    assert_eq!(
        namespace.run(|| addresses().unwrap()),
        [("lo".to_owned(), LOCALHOST)]
    );
    let world = World::new();
    let own = world.machine.run(|| addresses().unwrap());
    assert!(
        own.iter().any(|(_, address)| *address == MACHINE),
        "{own:?}"
    );
}

/// Pods reach each other by their own addresses, the machine reaches pods, pods reach the machine.
#[test]
fn everybody_inside_reaches_everybody() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let web = world.pod(&config, "web", &[]);
    let client = world.pod(&config, "client", &[]);
    assert_ne!(web.network.address, client.network.address);
    let (address, gateway) = (web.network.address, web.network.gateway);
    web.namespace.serve_tcp("web", address, 80);
    web.namespace.serve_tcp("web", LOCALHOST, 80);
    world.machine.serve_tcp("machine", MACHINE, 81);

    let ask = |from: &Namespace, address, port| from.ask_tcp(address, port).unwrap();
    assert_eq!(
        ask(&client.namespace, address, 80),
        format!("web {}", client.network.address)
    );
    assert_eq!(ask(&web.namespace, LOCALHOST, 80), "web 127.0.0.1");
    assert_eq!(ask(&world.machine, address, 80), format!("web {gateway}"));
    assert_eq!(
        ask(&client.namespace, MACHINE, 81),
        format!("machine {}", client.network.address)
    );
}

/// What leaves the machine bears the machine's address; nothing comes in unasked.
#[test]
fn the_outside_sees_the_machine_only() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let pod = world.pod(&config, "web", &[]);
    assert_eq!(pod.network.mtu, 1400, "that of the uplink");
    assert!(!pod.network.forwarding_blocked);
    world.outside.serve_tcp("outside", OUTSIDE, 80);
    world.outside.serve_udp("outside", OUTSIDE, 80);
    pod.namespace.serve_tcp("web", pod.network.address, 80);

    let seen = format!("outside {MACHINE}");
    assert_eq!(pod.namespace.ask_tcp(OUTSIDE, 80).unwrap(), seen);
    assert_eq!(pod.namespace.ask_udp(OUTSIDE, 80).unwrap(), seen);
    world.outside.run(|| {
        ip(&format!("route add {} via {MACHINE}", pod.network.subnet));
    });
    assert!(world.outside.cannot_reach(pod.network.address, 80));
}

#[test]
fn detach_leaves_nothing() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let one = world.pod(&config, "one", &[tcp(8080, 80)]);
    let two = world.pod(&config, "two", &[]);
    assert_eq!(
        world.links(),
        [
            one.network.host_interface.as_str(),
            two.network.host_interface.as_str()
        ]
    );
    one.detach(&config);
    assert_eq!(world.links(), [two.network.host_interface.as_str()]);
    one.detach(&config);
    two.detach(&config);
    world.assert_clean();
    two.detach(&config);
    detach(&config, "never seen").unwrap();
    world.assert_clean();
}
