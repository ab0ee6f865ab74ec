//! A hundred pods with three init containers each, all at once.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Result;
use crate::lab::{Lab, stamps};
use crate::manifest;
use crate::processes;
use crate::report::{Bound, Row};
use crate::runners::APART;
use crate::samples::milliseconds;

const INITS: usize = 3;
/// How many `podman kube play` run beside each other: more only wait for podman's own locks.
const PODMAN_AT_ONCE: usize = 4;
const TIME: &str = "until the last app runs";
const CPU: &str = "processor time per pod";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let pods = if lab.quick { 20 } else { 100 };
    let mut time = Row::new(
        "many",
        "A hundred pods at once",
        "ms",
        format!(
            "{pods} pods with {INITS} init containers and an app each, from starting the command until the last app has been executed. \
             podyard gets all of them in one file; podman plays {PODMAN_AT_ONCE} files at a time; the floor makes the same containers in \
             two processes beside each other."
        ),
    );
    let mut cpu = Row::new(
        "many-cpu",
        "Processor time of a hundred pods",
        "ms",
        "Processor time of everything that was started, up to the complete removal of all pods, divided by the number of pods.",
    );
    for round in 0..lab.runs(3) {
        for subject in ["podyard", "podman", "floor", APART] {
            if subject == "podman" && (lab.podman.is_none() || round > 0) {
                continue;
            }
            match once(lab, subject, pods) {
                Ok((took, used)) => {
                    time.add(TIME, subject, Ok(took));
                    cpu.add(CPU, subject, Ok(used / pods as f64));
                }
                Err(error) => time.add(TIME, subject, Err(error)),
            }
        }
    }
    time.goal(
        "many pods at once, podman ÷ podyard",
        TIME,
        "podman",
        "podyard",
        Bound::AtLeast(10.0),
    );
    cpu.goal(
        "processor time per pod, podyard ÷ floor",
        CPU,
        "podyard",
        "floor",
        Bound::AtMost(2.0),
    );
    cpu.goal(
        "processor time per pod, podyard ÷ floor that is kept apart",
        CPU,
        "podyard",
        APART,
        Bound::AtMost(2.0),
    );
    time.commands = ["podyard run -d pods.yaml", "podman kube play pod-N.yaml"]
        .map(ToOwned::to_owned)
        .into();
    Ok(vec![time, cpu])
}

/// Milliseconds until the last app ran, and of processor time.
fn once(lab: &Lab, subject: &str, pods: usize) -> Result<(f64, f64)> {
    let out = lab.out("many")?;
    processes::wait_for_all(Duration::from_secs(60))?;
    let before = processes::children_cpu()?;
    let inits: Vec<String> = (0..INITS).map(|i| format!("i{i}")).collect();
    let texts = (0..pods)
        .map(|number| manifest::chain(&format!("many-{number}"), &inits, &lab.app_directory, &out));
    let texts: Vec<String> = texts.collect();
    let begin;
    match (subject, &lab.podman) {
        ("podyard", _) => {
            let file = lab.directory.join("many.yaml");
            let mut all = String::new();
            for text in &texts {
                let _ = write!(all, "---\n{text}");
            }
            std::fs::write(&file, all)?;
            begin = processes::wall_nanoseconds();
            let ran = lab.podyard.play(&file).and_then(|_| all_apps(&out, pods));
            lab.podyard.run(&["delete", "pods", "--all"])?;
            ran?;
        }
        ("podman", Some(podman)) => {
            let mut commands = Vec::new();
            for (number, text) in texts.iter().enumerate() {
                let file = lab.directory.join(format!("many-{number}.yaml"));
                std::fs::write(&file, text)?;
                commands.push(podman.command(&["kube", "play", &file.to_string_lossy()]));
            }
            begin = processes::wall_nanoseconds();
            let ran = in_parallel(&podman.arena, commands, PODMAN_AT_ONCE)
                .and_then(|()| all_apps(&out, pods));
            podman.remove_all();
            ran?;
        }
        _ => {
            let commands = (0..pods).map(|number| {
                let mut names: Vec<String> = (0..INITS).map(|i| format!("i{i}")).collect();
                names.push("app".to_owned());
                let name = format!("many-{number}");
                lab.floor
                    .command(subject, &name, &lab.app_directory, &out, &names)
            });
            let commands = commands.collect();
            begin = processes::wall_nanoseconds();
            in_parallel(&lab.floor.arena, commands, 2)?;
        }
    }
    let last = all_apps(&out, pods)?;
    processes::wait_for_all(Duration::from_secs(120))?;
    let cpu = processes::children_cpu()?.saturating_sub(before);
    Ok(((last - begin) as f64 / 1e6, milliseconds(cpu)))
}

/// Waits for the stamps of all apps; gives the last one.
fn all_apps(out: &std::path::Path, pods: usize) -> Result<i64> {
    let mut last = 0;
    processes::wait_until(Duration::from_secs(300), "all apps", || {
        let apps: Vec<i64> = stamps(out)
            .into_iter()
            .filter(|(name, _)| name == "app")
            .map(|(_, at)| at)
            .collect();
        last = apps.iter().copied().max().unwrap_or_default();
        Ok(apps.len() >= pods)
    })?;
    Ok(last)
}

/// Runs commands, so many at a time.
fn in_parallel(
    arena: &crate::arena::Arena,
    commands: Vec<std::process::Command>,
    at_once: usize,
) -> Result<()> {
    let mut waiting = commands.into_iter();
    let mut running = std::collections::VecDeque::new();
    loop {
        while running.len() < at_once
            && let Some(mut command) = waiting.next()
        {
            let error = processes::scratch()?;
            command
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(error);
            running.push_back(arena.spawn(command)?);
        }
        let Some(mut child) = running.pop_front() else {
            return Ok(());
        };
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("one of the commands ended with {status}").into());
        }
    }
}
