//! How fast a container can write its log.

use std::time::Duration;

use crate::Result;
use crate::lab::{Lab, stamp_of};
use crate::manifest::{self, Container};
use crate::processes;
use crate::report::{Bound, Row};
use crate::samples::milliseconds;

const TIME: &str = "writing the log";
const CPU: &str = "processor time";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let bytes: usize = if lab.quick { 50_000_000 } else { 1_000_000_000 };
    let mut row = Row::new(
        "logs",
        "Log throughput",
        "ms per 1 GB",
        "One container writes lines of 100 bytes to its standard output as fast as they are taken, 1 GB in all; the time is taken inside. \
         The processor time is that of everything, the writer included. podman's conmon writes the same format (`k8s-file`).",
    );
    for _ in 0..lab.runs(3) {
        for subject in ["podyard", "podman"] {
            if subject == "podman" && lab.podman.is_none() {
                continue;
            }
            match once(lab, subject, bytes) {
                Ok((time, cpu)) => {
                    let scale = 1e9 / bytes as f64;
                    row.add(TIME, subject, Ok(time * scale));
                    row.add(CPU, subject, Ok(cpu * scale));
                }
                Err(error) => row.add(TIME, subject, Err(error)),
            }
        }
    }
    row.sort_by_what();
    row.goal(
        "log throughput, podyard's time ÷ podman's",
        TIME,
        "podyard",
        "podman",
        Bound::AtMost(1.0),
    );
    row.commands = ["podyard run -d log.yaml", "podman kube play log.yaml"]
        .map(ToOwned::to_owned)
        .into();
    Ok(vec![row])
}

fn once(lab: &Lab, subject: &str, bytes: usize) -> Result<(f64, f64)> {
    let out = lab.out("logs")?;
    let file = lab.directory.join("logs.yaml");
    let writer = Container::new(
        "app",
        &[
            "/bench/podyard-bench-app",
            "lines",
            "/out/stamps",
            "app",
            &bytes.to_string(),
        ],
    );
    std::fs::write(
        &file,
        manifest::pod("log", &[], &[writer], &lab.app_directory, &out),
    )?;
    processes::wait_for_all(Duration::from_secs(60))?;
    let before = processes::children_cpu()?;
    match (subject, &lab.podman) {
        ("podman", Some(podman)) => podman.play(&file)?,
        _ => lab.podyard.play(&file)?,
    };
    let (begin, end) = (stamp_of(&out, "app.begin")?, stamp_of(&out, "app.end")?);
    lab.tidy();
    let cpu = processes::children_cpu()?.saturating_sub(before);
    Ok(((end - begin) as f64 / 1e6, milliseconds(cpu)))
}
