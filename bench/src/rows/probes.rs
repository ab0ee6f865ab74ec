//! Processor time of probes.

use std::time::{Duration, Instant};

use crate::Result;
use crate::lab::Lab;
use crate::manifest::{self, Container};
use crate::processes;
use crate::report::{Bound, Row};
use crate::samples::milliseconds;

const EXEC: &str = "1,000 exec probes";
const HTTP: &str = "1,000 HTTP probes";
/// A period of less than a second cannot be asked for, so many containers are probed.
const CONTAINERS: usize = 20;

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "probes",
        "Processor time of probes",
        "ms",
        format!(
            "Processor time of 1,000 probes, of the probed program and of whoever probes. podyard probes {CONTAINERS} containers once a \
             second; what the same pods need without probes is subtracted. podman needs systemd timers for its health checks, so \
             `podman healthcheck run` is called instead; its HTTP check is a wget in the container, as podman has no client of its own."
        ),
    );
    let seconds = if lab.quick { 5 } else { 20 };
    let calls = if lab.quick { 10 } else { 60 };
    for _ in 0..lab.runs(3) {
        let idle = supervised(lab, "", seconds)?;
        for (what, probe) in [(EXEC, exec_probe()), (HTTP, http_probe())] {
            let used = supervised(lab, &probe, seconds);
            row.add(
                what,
                "podyard",
                used.map(|used| (used - idle).max(0.0) * 1000.0 / (CONTAINERS * seconds) as f64),
            );
        }
        if lab.podman.is_some() {
            called(lab, &mut row, calls)?;
        }
    }
    row.sort_by_what();
    for (what, text) in [
        (EXEC, "exec probes, podyard ÷ podman"),
        (HTTP, "HTTP probes, podyard ÷ podman"),
    ] {
        row.goal(text, what, "podyard", "podman", Bound::AtMost(1.0 / 3.0));
    }
    row.goal(
        "exec probes, podyard ÷ crun",
        EXEC,
        "podyard",
        "crun",
        Bound::AtMost(1.0),
    );
    row.commands = vec![
        format!(
            "podyard run -d probed.yaml   # {CONTAINERS} containers, periodSeconds: 1, for {seconds} s"
        ),
        "podman healthcheck run CONTAINER".to_owned(),
        "crun exec ID true".to_owned(),
    ];
    Ok(vec![row])
}

fn exec_probe() -> String {
    "    livenessProbe:\n      periodSeconds: 1\n      exec:\n        command: [\"true\"]\n"
        .to_owned()
}

fn http_probe() -> String {
    "    livenessProbe:\n      periodSeconds: 1\n      httpGet:\n        path: /\n        port: PORT\n".to_owned()
}

/// A small HTTP server on a port of its own.
fn server(number: usize, probe: &str) -> Container {
    let port = 8000 + number;
    let script =
        format!("mkdir -p /www && echo hello >/www/index.html && exec httpd -f -h /www -p {port}");
    Container {
        more: probe.replace("PORT", &port.to_string()),
        ..Container::new(format!("app{number}"), &["sh", "-c", &script])
    }
}

/// Milliseconds of processor time that a pod with these probes uses in so many seconds.
fn supervised(lab: &Lab, probe: &str, seconds: usize) -> Result<f64> {
    let out = lab.out("probes")?;
    let file = lab.directory.join("probes.yaml");
    let apps: Vec<Container> = (0..CONTAINERS)
        .map(|number| server(number, probe))
        .collect();
    std::fs::write(
        &file,
        manifest::pod("probed", &[], &apps, &lab.app_directory, &out),
    )?;
    lab.podyard.play(&file)?;
    processes::wait_until(Duration::from_secs(60), "the probed pod is ready", || {
        let text = lab.podyard.run(&["get", "pod", "probed"])?.stdout();
        Ok(text.contains(&format!("{CONTAINERS}/{CONTAINERS}")))
    })?;
    processes::reap();
    let sum = || {
        processes::descendants()
            .iter()
            .map(processes::Process::cpu)
            .sum::<Duration>()
    };
    let before = sum();
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let after = sum();
    lab.tidy();
    Ok(milliseconds(after.saturating_sub(before)))
}

/// podman and crun, called again and again.
fn called(lab: &Lab, row: &mut Row, calls: usize) -> Result<()> {
    let Some(podman) = &lab.podman else {
        return Ok(());
    };
    let out = lab.out("probes")?;
    let file = lab.directory.join("probes.yaml");
    let wget = "    livenessProbe:\n      periodSeconds: 1\n      exec:\n        command: [\"wget\", \"-q\", \"-O\", \"/dev/null\", \"http://127.0.0.1:PORT/\"]\n";
    let apps = [server(0, &exec_probe()), server(1, wget)];
    std::fs::write(
        &file,
        manifest::pod("probed", &[], &apps, &lab.app_directory, &out),
    )?;
    podman.play(&file)?;
    let id = podman.container_id("probed-app0")?;
    let began = Instant::now();
    let mut measure = |what: &'static str,
                       subject: &'static str,
                       make: &dyn Fn() -> std::process::Command|
     -> Result<()> {
        let before = processes::children_cpu()?;
        for _ in 0..calls {
            processes::run(&podman.arena, make())?.ok(subject)?;
            // What podman leaves behind for a moment belongs to it, too.
            processes::reap();
        }
        let used = processes::children_cpu()?.saturating_sub(before);
        row.add(
            what,
            subject,
            Ok(milliseconds(used) * 1000.0 / calls as f64),
        );
        Ok(())
    };
    measure(EXEC, "podman", &|| {
        podman.command(&["healthcheck", "run", "probed-app0"])
    })?;
    measure(HTTP, "podman", &|| {
        podman.command(&["healthcheck", "run", "probed-app1"])
    })?;
    measure(EXEC, "crun", &|| {
        let mut crun = std::process::Command::new("crun");
        crun.args(["exec", &id, "true"]);
        crun
    })?;
    let _ = began;
    lab.tidy();
    Ok(())
}
