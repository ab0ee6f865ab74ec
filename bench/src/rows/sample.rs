//! A Pod with an init container that writes nginx's configuration: from the manifest to the page, and its deletion.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::arena::Arena;
use crate::lab::Lab;
use crate::processes;
use crate::report::{Bound, Row};
use crate::samples::milliseconds;

const UP: &str = "manifest to the page";
const DOWN: &str = "deletion";
const PAGE: &str = "configured by the init container";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut up = Row::new(
        "sample",
        "A Pod with an init container and nginx",
        "ms",
        "From starting the command until an HTTP request to the Pod's host port is answered with what the init container configured: \
         `examples/init-config-served.yaml` with full image names and `restartPolicy: OnFailure` (see above).",
    );
    let mut down = Row::new(
        "delete",
        "Deleting that Pod",
        "ms",
        "The command that deletes the Pod, from its start to its end. nginx ends as soon as it is asked to.",
    );
    let file = lab.directory.join("sample.yaml");
    std::fs::write(&file, MANIFEST)?;
    for round in 0..lab.runs(15) {
        let (begin, done) = podyard(lab, &file);
        up.add(UP, "podyard", begin);
        down.add(DOWN, "podyard", done);
        if round % 2 == 0
            && let Some(podman) = &lab.podman
        {
            let played = Instant::now();
            let begin = podman
                .play(&file)
                .and_then(|_| page(&podman.arena))
                .map(|()| milliseconds(played.elapsed()));
            let done = podman.run(&["kube", "down", &file.to_string_lossy()]);
            up.add(UP, "podman", begin);
            down.add(DOWN, "podman", done.map(|done| milliseconds(done.took)));
            podman.remove_all();
        }
        processes::wait_for_all(Duration::from_secs(60))?;
    }
    up.goal(
        "the sample Pod, podman ÷ podyard",
        UP,
        "podman",
        "podyard",
        Bound::AtLeast(8.0),
    );
    up.goal(
        "the sample Pod, podman ÷ podyard (aim)",
        UP,
        "podman",
        "podyard",
        Bound::AtLeast(10.0),
    );
    down.goal(
        "deletion, podman ÷ podyard",
        DOWN,
        "podman",
        "podyard",
        Bound::AtLeast(8.0),
    );
    up.commands = vec![
        "podyard run -d sample.yaml".to_owned(),
        "podman kube play sample.yaml".to_owned(),
    ];
    down.commands = vec![
        "podyard delete pod sample".to_owned(),
        "podman kube down sample.yaml".to_owned(),
    ];
    Ok(vec![up, down])
}

fn podyard(lab: &Lab, file: &Path) -> (Result<f64>, Result<f64>) {
    let played = Instant::now();
    // As a person would see it: the page is asked for while the command may still be running.
    let mut command = lab.podyard.command(&["run", "-d", &file.to_string_lossy()]);
    command.stdout(std::process::Stdio::null());
    let begin = lab.podyard.arena.spawn(command).and_then(|mut child| {
        let page = page(&lab.podyard.arena);
        let took = milliseconds(played.elapsed());
        child.wait()?;
        page.map(|()| took)
    });
    let done = lab.podyard.delete("sample");
    (begin, done.map(|done| milliseconds(done.took)))
}

/// Asks until the page is there.
fn page(arena: &Arena) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    processes::wait_until(Duration::from_secs(30), "the page", || {
        let Some(mut stream) = arena.connect(address)? else {
            return Ok(false);
        };
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut answer = String::new();
        let asked = stream
            .write_all(b"GET / HTTP/1.0\r\nHost: sample\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut answer));
        Ok(asked.is_ok() && answer.contains(PAGE))
    })
}

const MANIFEST: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: sample
spec:
  restartPolicy: OnFailure
  initContainers:
  - name: config-generator
    image: docker.io/library/busybox:latest
    imagePullPolicy: Never
    command:
    - sh
    - -c
    - |
      cat > /etc/nginx/conf.d/default.conf <<'END'
      server {
        listen 80;
        location = / {
          default_type text/plain;
          return 200 "configured by the init container config-generator\n";
        }
      }
      END
    volumeMounts:
    - name: config-volume
      mountPath: /etc/nginx/conf.d
  containers:
  - name: nginx-container
    image: docker.io/library/nginx:latest
    imagePullPolicy: Never
    ports:
    - containerPort: 80
      hostPort: 8080
    volumeMounts:
    - name: config-volume
      mountPath: /etc/nginx/conf.d
      readOnly: true
  volumes:
  - name: config-volume
    emptyDir: {}
"#;
