//! What one more init container costs on a full machine: it must not grow with pods, events, layers or log bytes.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Result;
use crate::lab::{Lab, stamp_of, stamps};
use crate::layers;
use crate::manifest::{self, Container};
use crate::processes;
use crate::quiet::{used, wait_until_quiet, wait_until_settled};
use crate::report::{Bound, Row};
use crate::samples::{Samples, milliseconds};

const EMPTY: &str = "nothing else on the machine";
const PODS: &str = "1,000 pods and their 10,000 Events";
const LAYERS: &str = "an image of 100 layers";
const LOG: &str = "a log of 1 GB in the same pod";
const MANY_LAYERS: &str = "docker.io/library/layers:latest";
const INITS: usize = 10;
/// Only reached when somebody else works on the machine; after a thousand pods have started there is much to settle.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// A pod in which nothing has happened for ten seconds gives memory back; a thousand do so for a while.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "curves",
        "One more init container on a full machine",
        "ms",
        format!(
            "The mean distance between the beginnings of consecutive containers in a chain of {INITS} init containers. Each pod \
             begins on a quiet machine: what the one before has left to the kernel is the next table. The thousand pods have been left alone \
             for a while before."
        ),
    );
    let mut left = Row::new(
        "curves-left",
        "What a deleted pod leaves to the kernel on a full machine",
        "ms",
        "Processor time of the whole machine in the half second after `podyard delete`, without what it uses in one before the pod. The \
         kernel takes the memory cgroups of a pod apart in the background, and looks through all mounted file systems for each.",
    );
    let archive = lab.directory.join("layers.tar");
    if !archive.exists() {
        layers::with_more_layers(&lab.images.join("busybox.tar"), &archive, MANY_LAYERS, 99)?;
    }
    lab.podyard.import(&archive)?;
    let runs = lab.runs(25);
    let log_bytes = if lab.quick { 20_000_000 } else { 1_000_000_000 };
    let mut add = |what: &str, before: &[Container], image: Option<&str>| {
        let usual = match wait_until_quiet(QUIET_WITHIN) {
            Ok(usual) => usual,
            Err(error) => return row.add(what, "podyard", Err(error)),
        };
        row.add(what, "podyard", step(lab, before, image));
        if before.is_empty() {
            let more = used().map(|used| milliseconds(used.saturating_sub(usual)));
            left.add(what, "podyard", more);
        }
    };
    let writer = Container::new(
        "writer",
        &[
            "/bench/podyard-bench-app",
            "lines",
            "/out/log",
            "log",
            &log_bytes.to_string(),
        ],
    );
    // As many of each, since the minimum of many is lower than that of a few.
    for _ in 0..runs {
        add(EMPTY, &[], None);
        add(LAYERS, &[], Some(MANY_LAYERS));
        add(LOG, std::slice::from_ref(&writer), None);
    }
    fill(lab)?;
    for _ in 0..runs {
        add(PODS, &[], None);
    }
    row.sort_by_what();
    for full in [PODS, LAYERS, LOG] {
        let ratio = |figure: fn(&Samples) -> Option<f64>| {
            let of = |what: &str| {
                row.lines
                    .iter()
                    .find(|line| line.what == what)
                    .and_then(|line| figure(&line.samples))
            };
            Some(of(full)? / of(EMPTY)?)
        };
        let goal = crate::report::Goal {
            what: format!("a step with {full} ÷ without"),
            bound: Bound::AtMost(1.2),
            by_median: ratio(Samples::median),
            by_minimum: ratio(Samples::min),
        };
        row.goals.push(goal);
    }
    Ok(vec![row, left])
}

/// A thousand pods that run, with ten Events each.
fn fill(lab: &Lab) -> Result<()> {
    let pods = if lab.quick { 20 } else { 1_000 };
    let out = lab.out("fill")?;
    let mut text = String::new();
    for number in 0..pods {
        let inits = [
            Container::new("a", &["true"]),
            Container::new("b", &["true"]),
        ];
        let script = "/bench/podyard-bench-app stamp /out/stamps app; exec sleep 100000";
        let apps = [Container::new("app", &["sh", "-c", script])];
        let _ = write!(
            text,
            "---\n{}",
            manifest::pod(
                &format!("filler-{number}"),
                &inits,
                &apps,
                &lab.app_directory,
                &out
            )
        );
    }
    let file = lab.directory.join("fill.yaml");
    std::fs::write(&file, text)?;
    lab.podyard.play(&file)?;
    processes::wait_until(Duration::from_secs(300), "the fillers run", || {
        Ok(stamps(&out).len() >= pods)
    })?;
    wait_until_settled(SETTLED_AFTER, SETTLED_WITHIN)
}

fn step(lab: &Lab, before: &[Container], image: Option<&str>) -> Result<f64> {
    let out = lab.out("curves")?;
    let mut inits = before.to_vec();
    inits.extend((0..INITS).map(|number| Container::stamp(format!("i{number}"))));
    let mut apps = [Container::stamp("app")];
    if let Some(image) = image {
        inits
            .iter_mut()
            .chain(&mut apps)
            .for_each(|container| container.image = image.to_owned());
    }
    let file = lab.directory.join("curve.yaml");
    std::fs::write(
        &file,
        manifest::pod("curve", &inits, &apps, &lab.app_directory, &out),
    )?;
    lab.podyard.play(&file)?;
    let app = stamp_of(&out, "app");
    lab.podyard.delete("curve")?;
    let first = stamps(&out).first().map(|(_, at)| *at).ok_or("no stamp")?;
    Ok((app? - first) as f64 / 1e6 / INITS as f64)
}
