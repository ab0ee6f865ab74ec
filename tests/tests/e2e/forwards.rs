//! `podyard port-forward`: ports of this machine that lead into a pod's own network.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout};

use podyard_e2e::manifest::{HANG, pod, sh, with};
use podyard_e2e::{Instance, assert_says, fetch};
use serde_json::json;

/// A page that only the pod's own localhost has, and a server that counts what it is sent.
const SERVERS: &str = "mkdir -p /d/www; echo hello > /d/www/index.html; \
    nc -ll -p 7000 -e wc -c & exec httpd -f -p 127.0.0.1:8080 -h /d/www";

fn served() -> Instance {
    let podyard = Instance::new();
    let listens = "nc 127.0.0.1 7000 < /dev/null && wget -q -O - http://127.0.0.1:8080/";
    let app = with(
        sh("app", SERVERS),
        json!({
            "ports": [{"name": "page", "containerPort": 8080}],
            "readinessProbe": {"exec": {"command": ["sh", "-c", listens]}, "periodSeconds": 1},
        }),
    );
    podyard.start(&pod("p", "Always", &[], &[app]));
    podyard.wait_for_condition("p", "Ready");
    podyard
}

/// A `port-forward` that listens, and the local address of its first port.
struct Forward {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Forward {
    fn start(podyard: &Instance, ports: &[&str]) -> Self {
        let mut child = podyard.spawn(&[&["port-forward", "p"], ports].concat());
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(" -> ").next())
            .unwrap_or_else(|| panic!("{line}"));
        Self {
            child,
            stdout,
            address: address.to_owned(),
        }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().expect("a port")
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("it listens")
    }

    /// Ends it as Ctrl-C does; what it said on standard output and error.
    fn end(mut self) -> (String, String) {
        let id = i32::try_from(self.child.id()).expect("small");
        assert!(Instance::signal(id, "INT"));
        self.wait()
    }

    fn wait(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).expect("UTF-8");
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        stderr.read_to_string(&mut err).expect("UTF-8");
        self.child.wait().expect("a child");
        (out, err)
    }
}

#[test]
fn a_port_of_the_pods_own_localhost_is_reached() {
    let podyard = served();
    let forward = Forward::start(&podyard, &[":page"]);
    for _ in 0..3 {
        assert_eq!(fetch(&forward.address, "/"), "hello\n");
    }
    let port = forward.port().to_owned();
    let (out, err) = forward.end();
    let handled = format!("Handling connection for {port}\n");
    assert_eq!(out.matches(&handled).count(), 3, "{out}");
    assert_eq!(err, "");
    podyard.finish();
}

#[test]
fn much_goes_through_and_the_end_of_one_direction_does_too() {
    let podyard = served();
    let forward = Forward::start(&podyard, &[":7000"]);
    let megabytes = vec![7_u8; 3 << 20];
    let count = |mut stream: TcpStream| {
        stream.write_all(&megabytes).expect("sent");
        stream.shutdown(Shutdown::Write).expect("no more");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    // Beside each other: none waits for another.
    let idle = forward.connect();
    std::thread::scope(|scope| {
        let each: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| count(forward.connect())))
            .collect();
        for thread in each {
            assert_eq!(thread.join().expect("no panic"), "3145728\n");
        }
    });
    drop(idle);
    forward.end();
    podyard.finish();
}

#[test]
fn where_nobody_listens_the_others_go_on() {
    let podyard = served();
    let forward = Forward::start(&podyard, &[":9"]);
    let mut nothing = Vec::new();
    // Closed or reset: there is nothing to read in either case.
    let _ = forward.connect().read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    let port = forward.port().to_owned();
    let (_, err) = forward.end();
    let expected = format!(
        "an error occurred forwarding {port} -> 9: failed to connect to localhost:9 inside the pod's network: \
         dial tcp4 127.0.0.1:9: connect: connection refused\n"
    );
    assert_eq!(err, expected);
    podyard.finish();
}

#[test]
fn it_survives_the_supervisor_and_ends_with_the_pod() {
    let podyard = served();
    let mut forward = Forward::start(&podyard, &[":8080"]);
    assert_eq!(fetch(&forward.address, "/"), "hello\n");
    assert!(podyard.kill_supervisor("p"));
    assert_eq!(fetch(&forward.address, "/"), "hello\n");
    podyard.ok(&["delete", "pod", "p", "--now"]);
    let (_, err) = forward.wait();
    assert!(err.ends_with("error: lost connection to pod\n"), "{err}");
    let status = forward.child.wait().expect("a child");
    assert_eq!(status.code(), Some(1));
    podyard.finish();
}

#[test]
fn what_cannot_be_forwarded_is_said_at_once() {
    let podyard = served();
    let init = sh("i1", HANG);
    podyard.start(&pod("early", "Never", &[init], &[sh("app", HANG)]));
    assert_says(
        &podyard.run(&["port-forward", "early", "80"]),
        1,
        &["unable to forward port because pod is not running. Current status=Pending"],
    );
    assert_says(
        &podyard.run(&["port-forward", "p", ":pages"]),
        3,
        &["pod `p` has no port of the name `pages`"],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    assert_says(
        &podyard.run(&[
            "port-forward",
            "p",
            "--address=127.0.0.1",
            &format!("{port}:80"),
        ]),
        1,
        &["unable to listen on 127.0.0.1", "Address already in use"],
    );
    podyard.finish();
}
