//! Memory beside the workload.

use std::time::Duration;

use crate::Result;
use crate::lab::Lab;
use crate::manifest::{self, Container};
use crate::processes;
use crate::report::{Bound, Row};

const POD: &str = "a pod with one container";
const CONTAINER: &str = "each further container";
const MORE: usize = 5;

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "memory",
        "Memory beside the workload",
        "kB",
        format!(
            "Proportional set size (what processes share is divided among them) of everything that runs besides the workload: podyard's \
             keeper, supervisor and sandbox; podman's conmon and pause processes. *Each further container* compares pods of 1 and of \
             {MORE} containers."
        ),
    );
    for _ in 0..lab.runs(3) {
        for subject in ["podyard", "podman"] {
            if subject == "podman" && lab.podman.is_none() {
                continue;
            }
            let one = beside(lab, subject, 1)?;
            let more = beside(lab, subject, MORE)?;
            row.add(POD, subject, Ok(one.0));
            row.add(CONTAINER, subject, Ok((more.0 - one.0) / (MORE - 1) as f64));
            let note = format!("{subject}: {}", one.1);
            if !row.notes.iter().any(|known| known.starts_with(subject)) {
                row.notes.push(note);
            }
        }
    }
    row.sort_by_what();
    row.goal(
        "memory of a pod, podyard ÷ podman",
        POD,
        "podyard",
        "podman",
        Bound::AtMost(0.5),
    );
    row.goal(
        "memory of a further container, podyard ÷ podman",
        CONTAINER,
        "podyard",
        "podman",
        Bound::AtMost(0.5),
    );
    row.commands = [
        "podyard run -d pod.yaml",
        "podman kube play pod.yaml",
        "cat /proc/PID/smaps_rollup",
    ]
    .map(ToOwned::to_owned)
    .into();
    Ok(vec![row])
}

/// Kilobytes, and of what.
fn beside(lab: &Lab, subject: &str, containers: usize) -> Result<(f64, String)> {
    let out = lab.out("memory")?;
    let file = lab.directory.join("memory.yaml");
    let apps: Vec<Container> = (0..containers)
        .map(|number| {
            let script = format!(
                "/bench/podyard-bench-app stamp /out/stamps app{number}; exec sleep 100000"
            );
            Container::new(format!("app{number}"), &["sh", "-c", &script])
        })
        .collect();
    std::fs::write(
        &file,
        manifest::pod("memory", &[], &apps, &lab.app_directory, &out),
    )?;
    processes::wait_for_all(Duration::from_secs(60))?;
    match (subject, &lab.podman) {
        ("podman", Some(podman)) => podman.play(&file)?,
        _ => lab.podyard.play(&file)?,
    };
    for number in 0..containers {
        crate::lab::stamp_of(&out, &format!("app{number}"))?;
    }
    processes::reap();
    let mut sum = 0.0;
    let mut parts = Vec::new();
    for process in processes::descendants() {
        // podman's pause process has a pid namespace of its own and still is no workload.
        let is_workload = process.is_inside_a_container() && process.name != "catatonit";
        if is_workload {
            continue;
        }
        let kilobytes = process.proportional_set_size().unwrap_or_default() / 1024.0;
        sum += kilobytes;
        parts.push(format!("{} {kilobytes:.0} kB", process.name));
    }
    lab.tidy();
    Ok((sum, parts.join(", ")))
}
