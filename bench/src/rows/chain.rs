//! From the manifest to the app's `execve`, with 0 to 50 init containers, and what one more costs.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::lab::{Lab, stamp_of, stamps};
use crate::manifest;
use crate::processes;
use crate::report::{Bound, Row};
use crate::runners::APART;
use crate::samples::milliseconds;

/// Chains from here on count for what one more container costs.
const LONG: usize = 5;
const STEP: &str = "one more init container";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let lengths: &[usize] = if lab.quick {
        &[0, 1, 5, 10, 20]
    } else {
        &[0, 1, 5, 10, 20, 50]
    };
    let mut times = Row::new(
        "chain",
        "From the manifest to the app's `execve`",
        "ms",
        "The time from starting the command to the first instruction of the app, with so many init containers before it. The floor \
         makes the same number of containers one after the other. *One more init container* is the mean distance between the \
         beginnings of consecutive containers in chains of at least 5.",
    );
    let mut cpu = Row::new(
        "chain-cpu",
        "Processor time of a chain",
        "ms",
        "Processor time (user and system) of everything that was started for the pod, from the command to the pod's complete removal. \
         *One more init container* compares chains of 20 and of 0.",
    );
    for round in 0..lab.runs(15) {
        for &length in lengths {
            for subject in ["podyard", "podman", "floor", APART] {
                // A chain of podman's takes seconds: it takes part in every third round, the longest in every fifth.
                let takes_part = subject != "podman"
                    || lab.podman.is_some()
                        && length <= 20
                        && round % if length > 10 { 5 } else { 3 } == 0;
                if !takes_part {
                    continue;
                }
                let what = format!("{length} init containers");
                match once(lab, subject, length) {
                    Ok(run) => {
                        times.add(&what, subject, Ok(run.to_app));
                        cpu.add(&what, subject, Ok(run.cpu));
                        if let Some(step) = run.step.filter(|_| length >= LONG) {
                            times.add(STEP, subject, Ok(step));
                        }
                    }
                    Err(error) => times.add(&what, subject, Err(error)),
                }
            }
        }
    }
    slope_of_cpu(&mut cpu);
    times.sort_by_what();
    cpu.sort_by_what();
    times.goal(
        "one more init container, podyard ÷ floor",
        STEP,
        "podyard",
        "floor",
        Bound::AtMost(1.5),
    );
    times.goal(
        "one more init container, podyard ÷ floor (aim)",
        STEP,
        "podyard",
        "floor",
        Bound::AtMost(0.7),
    );
    times.goal(
        "one more init container, podyard ÷ floor that is kept apart (aim)",
        STEP,
        "podyard",
        APART,
        Bound::AtMost(0.7),
    );
    times.goal(
        "one more init container, podman ÷ podyard",
        STEP,
        "podman",
        "podyard",
        Bound::AtLeast(8.0),
    );
    times.goal(
        "one more init container, podman ÷ podyard (aim)",
        STEP,
        "podman",
        "podyard",
        Bound::AtLeast(15.0),
    );
    cpu.goal(
        "processor time of one more init container, podyard ÷ floor",
        STEP,
        "podyard",
        "floor",
        Bound::AtMost(2.0),
    );
    times.notes.push(format!(
        "*{APART}*: its directories are spread over the disk (`T` in chattr(1)), as podyard's are. ext4 without a journal looks past every inode \
         that was freed in the last seconds whenever it needs one; the plain floor, which knows nothing of that, pays for what earlier runs \
         have removed. On other file systems both floors are the same."
    ));
    times.commands = vec![
        "podyard run -d chain.yaml".to_owned(),
        "podman kube play chain.yaml".to_owned(),
        "podyard-bench-floor DIRECTORY ROOTFS APP OUT i0 i1 … app".to_owned(),
    ];
    times.notes.push(
        "The pods have `restartPolicy: OnFailure`: under the default, `Always`, podman 4.3 runs an init container again and again for 20 s \
         (podman#16343)."
            .to_owned(),
    );
    times
        .notes
        .push("podman is not measured with 50 init containers: one run takes too long.".to_owned());
    Ok(vec![times, cpu])
}

struct Run {
    /// From the command to the app's execve.
    to_app: f64,
    /// From the execve of one container to that of the next, on the average.
    step: Option<f64>,
    /// Of everything, from the command to the removal.
    cpu: f64,
}

fn once(lab: &Lab, subject: &str, length: usize) -> Result<Run> {
    let out = lab.out("chain")?;
    let names: Vec<String> = (0..length).map(|i| format!("i{i}")).collect();
    let (app, begin, cpu) = play(lab, subject, &names, &out)?;
    let first = stamps(&out).first().map_or(app, |(_, at)| *at);
    let in_milliseconds = |nanoseconds: i64| nanoseconds as f64 / 1e6;
    Ok(Run {
        to_app: in_milliseconds(app - begin),
        step: (length > 0).then(|| in_milliseconds(app - first) / length as f64),
        cpu: milliseconds(cpu),
    })
}

/// Runs a pod with these init containers, which leave their stamps in `out`, up to its complete removal. Gives when its app was executed
/// and when the command began, both in nanoseconds since 1970, and the processor time of everything.
pub(super) fn play(
    lab: &Lab,
    subject: &str,
    inits: &[String],
    out: &Path,
) -> Result<(i64, i64, Duration)> {
    let file = lab.directory.join("chain.yaml");
    std::fs::write(
        &file,
        manifest::chain("chain", inits, &lab.app_directory, out),
    )?;
    let mut names = inits.to_vec();
    names.push("app".to_owned());
    // This also removes what the last one left, which must not be measured.
    let floor = lab
        .floor
        .command(subject, "pod", &lab.app_directory, out, &names);
    processes::wait_for_all(Duration::from_secs(30))?;
    let cpu_before = processes::children_cpu()?;
    let begin = processes::wall_nanoseconds();
    let app = match (subject, &lab.podman) {
        ("podyard", _) => {
            lab.podyard.play(&file)?;
            let app = stamp_of(out, "app");
            lab.podyard.delete("chain")?;
            app?
        }
        ("podman", Some(podman)) => {
            let played = podman.play(&file);
            let app = played.and_then(|_| stamp_of(out, "app"));
            podman.remove("chain")?;
            app?
        }
        _ => {
            lab.floor.run(floor)?;
            stamp_of(out, "app")?
        }
    };
    processes::wait_for_all(Duration::from_secs(30))?;
    let cpu = processes::children_cpu()?.saturating_sub(cpu_before);
    Ok((app, begin, cpu))
}

/// The difference between chains of 20 and of 0 in the same round, by 20.
fn slope_of_cpu(row: &mut Row) {
    const LENGTH: usize = 20;
    for subject in ["podyard", "podman", "floor", APART] {
        let of = |length: usize| {
            let what = format!("{length} init containers");
            let line = row
                .lines
                .iter()
                .find(|line| line.what == what && line.subject == subject);
            line.map(|line| line.samples.clone()).unwrap_or_default()
        };
        let (none, all) = (of(0), of(LENGTH));
        // Not the same rounds for podman; the shortest pods differ little.
        let Some(base) = none.median() else { continue };
        for value in all.0 {
            row.add(STEP, subject, Ok((value - base) / LENGTH as f64));
        }
    }
}
