//! Host ports: from where they are reachable, who gets them, and who does not.

use crate::world::{LOCALHOST, MACHINE, Namespace, OUTSIDE, Pod, World, ip, on, tcp, udp};
use podyard_linux::network::{NetworkConfig, NetworkError, PortHolder, PortMapping, Protocol};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

const TCP: fn(&Namespace, Ipv4Addr, u16) -> String = |from, address, port| {
    from.ask_tcp(address, port)
        .unwrap_or_else(|error| panic!("{address}:{port}: {error}"))
};
const UDP: fn(&Namespace, Ipv4Addr, u16) -> String = |from, address, port| {
    from.ask_udp(address, port)
        .unwrap_or_else(|error| panic!("{address}:{port}: {error}"))
};

/// A host port works from everywhere, and the pod sees who asks wherever an answer can find its way back.
fn check_reachable(world: &World, config: &NetworkConfig) {
    let web = world.pod(config, "web", &[tcp(8080, 80), udp(8080, 80)]);
    let client = world.pod(config, "client", &[]);
    web.namespace.serve_tcp("web", Ipv4Addr::UNSPECIFIED, 80);
    web.namespace.serve_udp("web", web.network.address, 80);
    let gateway = web.network.gateway;
    for ask in [TCP, UDP] {
        assert_eq!(
            ask(&world.machine, LOCALHOST, 8080),
            format!("web {gateway}")
        );
        assert_eq!(ask(&world.machine, MACHINE, 8080), format!("web {MACHINE}"));
        assert_eq!(ask(&world.machine, gateway, 8080), format!("web {gateway}"));
        assert_eq!(ask(&world.outside, MACHINE, 8080), format!("web {OUTSIDE}"));
        for pod in [&client, &web] {
            for address in [MACHINE, gateway] {
                assert_eq!(ask(&pod.namespace, address, 8080), format!("web {gateway}"));
            }
        }
    }
    // Only what was mapped.
    assert!(world.outside.cannot_reach(MACHINE, 80));
    client.detach(config);
    web.detach(config);
    assert!(world.machine.cannot_reach(LOCALHOST, 8080));
    assert!(world.outside.cannot_reach(MACHINE, 8080));
}

/// Whether bridged packets pass the firewall is a setting of the machine; host ports work either way.
#[test]
fn reachable_from_everywhere() {
    let world = World::new();
    let setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    let mut checked = 0;
    for value in ["0", "1"] {
        // Without the module there is no such setting, which is the same as 0.
        if std::fs::write(setting, value).is_ok() || checked == 0 {
            check_reachable(&world, &world.instance("aaaaaa"));
            checked += 1;
        }
    }
    world.assert_clean();
}

#[test]
fn a_port_on_one_address_is_on_that_address_only() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let local = world.pod(&config, "local", &[on(LOCALHOST, tcp(8080, 80))]);
    let public = world.pod(&config, "public", &[on(MACHINE, tcp(8080, 80))]);
    // An address this machine does not have is accepted, as in Kubernetes, and never matches.
    let elsewhere = Ipv4Addr::new(192, 0, 2, 77);
    world.pod(&config, "elsewhere", &[on(elsewhere, tcp(8080, 80))]);
    local
        .namespace
        .serve_tcp("local", Ipv4Addr::UNSPECIFIED, 80);
    public
        .namespace
        .serve_tcp("public", Ipv4Addr::UNSPECIFIED, 80);

    let gateway = local.network.gateway;
    assert_eq!(
        TCP(&world.machine, LOCALHOST, 8080),
        format!("local {gateway}")
    );
    assert_eq!(
        TCP(&world.outside, MACHINE, 8080),
        format!("public {OUTSIDE}")
    );

    let error = refused(&world, &config, "everywhere", &[tcp(8080, 80)]);
    assert!(matches!(error, PortHolder::Pod { .. }), "{error}");
    let error = refused(&world, &config, "again", &[on(MACHINE, tcp(8080, 80))]);
    assert_eq!(error.to_string(), "pod default/public");
}

/// One port belongs to one pod, in all instances together; protocols do not disturb each other.
#[test]
fn a_port_belongs_to_one_pod_on_the_machine() {
    let world = World::new();
    let (here, there) = (world.instance("aaaaaa"), world.instance("bbbbbb"));
    let web = world.pod(&here, "web", &[tcp(8080, 80)]);
    world.pod(&here, "udp", &[udp(8080, 80)]);

    let error = world
        .try_pod(&here, "second", &[tcp(9090, 80), tcp(8080, 80)])
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "host port 8080/TCP is already in use by pod default/web"
    );
    let holder = refused(&world, &there, "third", &[tcp(8080, 80)]);
    assert_eq!(
        holder.to_string(),
        "pod default/web of podyard instance aaaaaa"
    );
    let holder = refused(&world, &there, "fourth", &[on(MACHINE, tcp(8080, 80))]);
    assert!(matches!(holder, PortHolder::Pod { .. }));
    assert!(!world.state_exists(&there), "nothing stays of a refusal");

    // The refused pod has given back what it could have had, and the port is free with its pod.
    world.pod(&here, "fifth", &[tcp(9090, 80)]);
    web.detach(&here);
    world.pod(&there, "sixth", &[tcp(8080, 80)]);
}

#[test]
fn a_port_that_a_process_listens_on_is_refused() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let mine = |holder: &PortHolder| match holder {
        PortHolder::Process {
            process: Some((_, id)),
        } => *id == std::process::id(),
        _ => false,
    };
    for address in [LOCALHOST, MACHINE, Ipv4Addr::UNSPECIFIED] {
        let _server = TcpListener::bind((address, 8080)).unwrap();
        let holder = refused(&world, &config, "web", &[tcp(8080, 80)]);
        assert!(mine(&holder), "{holder}");
    }
    let _server = TcpListener::bind("[::]:8080").unwrap();
    let holder = refused(&world, &config, "web", &[on(MACHINE, tcp(8080, 80))]);
    assert!(mine(&holder), "{holder}");
    let _server = UdpSocket::bind((LOCALHOST, 8081)).unwrap();
    let holder = refused(&world, &config, "web", &[udp(8081, 80)]);
    assert!(mine(&holder), "{holder}");
    assert!(holder.to_string().starts_with("process "), "{holder}");

    // On another address, and for another protocol, there is room.
    let pod = world.pod(&config, "web", &[on(MACHINE, udp(8081, 80)), tcp(8081, 80)]);
    pod.detach(&config);
    world.assert_clean();
}

/// A connection that left through a port as its source does not make the port taken.
#[test]
fn the_near_end_of_a_connection_is_no_listener() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let connected = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    connected.connect((LOCALHOST, 9)).unwrap();
    let wanted = [
        tcp(client.local_addr().unwrap().port(), 80),
        udp(connected.local_addr().unwrap().port(), 80),
    ];
    world.pod(&config, "web", &wanted);
}

/// A UDP client that never stops sending reaches the pod that has the port now, not the one that had it.
#[test]
fn udp_flows_follow_their_port() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let keep = world.pod(&config, "keep", &[]);
    let serve = |pod: &Pod, name| pod.namespace.serve_udp(name, pod.network.address, 53);

    let client = world.outside.udp_client();
    assert!(client.ask(MACHINE, 5353).is_err(), "nobody yet");
    let first = world.pod(&config, "first", &[udp(5353, 53)]);
    serve(&first, "first");
    assert_eq!(
        client.ask(MACHINE, 5353).unwrap(),
        format!("first {OUTSIDE}")
    );
    first.detach(&config);
    let second = world.pod(&config, "second", &[udp(5353, 53)]);
    serve(&second, "second");
    assert_eq!(
        client.ask(MACHINE, 5353).unwrap(),
        format!("second {OUTSIDE}")
    );
    drop(keep);
}

/// Services that listen on the machine's loopback only stay out of the pods' reach (CVE-2020-8558), although packets
/// from there are routed to pods.
#[test]
fn pods_cannot_reach_the_machines_loopback() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let pod = world.pod(&config, "hostile", &[]);
    let gateway = pod.network.gateway;
    world.machine.serve_tcp("secret", LOCALHOST, 7070);
    assert!(world.machine.ask_tcp(LOCALHOST, 7070).is_ok());
    pod.namespace.run(|| {
        ip("addr del 127.0.0.1/8 dev lo");
        ip(&format!("route add 127.0.0.0/8 via {gateway} dev eth0"));
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
    });
    assert!(pod.namespace.cannot_reach(LOCALHOST, 7070));
    // It is the rule that stops it: without it the attack works, so the test would notice.
    crate::world::run(
        "nft",
        &["flush", "chain", "ip", "podyard_aaaaaa", "from_pods"],
    );
    assert!(pod.namespace.ask_tcp(LOCALHOST, 7070).is_ok());
}

/// Host ports on IPv6 addresses are left out, and said to be.
#[test]
fn ipv6_addresses_are_reported_as_unmapped() {
    let world = World::new();
    let config = world.instance("aaaaaa");
    let six = PortMapping {
        protocol: Protocol::Tcp,
        host_ip: Some("::1".parse().unwrap()),
        host_port: 8080,
        container_port: 80,
    };
    let pod = world.pod(&config, "web", &[six, tcp(8081, 80), tcp(0, 90)]);
    assert_eq!(pod.network.ports, [tcp(8081, 80)]);
    assert_eq!(pod.network.unmapped_ports, [six]);
}

#[track_caller]
fn refused(world: &World, config: &NetworkConfig, name: &str, ports: &[PortMapping]) -> PortHolder {
    match world.try_pod(config, name, ports).err() {
        Some(NetworkError::PortInUse { by, .. }) => by,
        other => panic!("{other:?}"),
    }
}
