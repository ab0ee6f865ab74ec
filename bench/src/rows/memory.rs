//! Memory beside the workload.

use std::time::Duration;

use crate::Result;
use crate::lab::Lab;
use crate::manifest::{self, Container};
use crate::processes;
use crate::report::{Bound, Row};

const ALONE: &str = "a pod alone";
const AMONG: &str = "a pod among others";
const CONTAINER: &str = "each further container";
const MORE: usize = 5;
/// What is needed at the start only has been given back by then.
const SETTLED: Duration = Duration::from_secs(12);

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let others = if lab.quick { 5 } else { 20 };
    let mut row = Row::new(
        "memory",
        "Memory beside the workload",
        "kB",
        format!(
            "Proportional set size (what processes share is divided among them) of everything that runs besides the workload: podyard's \
             keeper, supervisor and sandbox; podman's conmon and pause processes; {} s after the last container has started, with nothing \
             more happening. *A pod among others* is one of {others} with one \
             container each: the pages of the program, which one pod alone has to itself, are shared. *Each further container* compares \
             pods of 1 and of {MORE} containers.",
            SETTLED.as_secs()
        ),
    );
    for _ in 0..lab.runs(3) {
        for subject in ["podyard", "podman"] {
            if subject == "podman" && lab.podman.is_none() {
                continue;
            }
            let one = beside(lab, subject, 1, 1)?;
            let more = beside(lab, subject, 1, MORE)?;
            let many = beside(lab, subject, others, 1)?;
            row.add(ALONE, subject, Ok(one.0));
            row.add(AMONG, subject, Ok(many.0 / others as f64));
            let further = (more.0 - one.0) / (MORE - 1) as f64;
            row.add(CONTAINER, subject, Ok(further.max(0.0)));
            if !row.notes.iter().any(|known| known.starts_with(subject)) {
                row.notes.push(format!("{subject}, alone: {}", one.1));
            }
        }
    }
    row.sort_by_what();
    for (what, text) in [
        (ALONE, "memory of a pod alone, podyard ÷ podman"),
        (AMONG, "memory of a pod among others, podyard ÷ podman"),
        (CONTAINER, "memory of a further container, podyard ÷ podman"),
    ] {
        row.goal(text, what, "podyard", "podman", Bound::AtMost(0.5));
    }
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
fn beside(lab: &Lab, subject: &str, pods: usize, containers: usize) -> Result<(f64, String)> {
    let out = lab.out("memory")?;
    let file = lab.directory.join("memory.yaml");
    processes::wait_for_all(Duration::from_secs(60))?;
    for pod in 0..pods {
        let apps: Vec<Container> = (0..containers)
            .map(|number| {
                let stamp = format!("/bench/podyard-bench-app stamp /out/stamps {pod}.{number}");
                let script = format!("{stamp}; exec sleep 100000");
                Container::new(format!("app{number}"), &["sh", "-c", &script])
            })
            .collect();
        let name = format!("memory-{pod}");
        let text = manifest::pod(&name, &[], &apps, &lab.app_directory, &out);
        std::fs::write(&file, text)?;
        match (subject, &lab.podman) {
            ("podman", Some(podman)) => podman.play(&file)?,
            _ => lab.podyard.play(&file)?,
        };
        for number in 0..containers {
            crate::lab::stamp_of(&out, &format!("{pod}.{number}"))?;
        }
    }
    std::thread::sleep(SETTLED);
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
        parts.push(format!("{} {kilobytes:.0} kB", process.role()));
    }
    lab.tidy();
    Ok((sum, parts.join(", ")))
}
