//! The command itself: its start, and a listing of a hundred pods.

use std::fmt::Write as _;

use crate::Result;
use crate::lab::Lab;
use crate::manifest::{self, Container};
use crate::report::{Bound, Row};
use crate::samples::milliseconds;

const VERSION: &str = "--version";
const LIST: &str = "list the pods";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "startup",
        "The command itself",
        "ms",
        "Start to end of `--version`, and of a listing when the machine has 100 pods. podyard's pods run; podman's are only created, \
         which is quicker to set up and no more to list.",
    );
    for _ in 0..lab.runs(40) {
        row.add(
            VERSION,
            "podyard",
            lab.podyard
                .run(&["--version"])
                .map(|done| milliseconds(done.took)),
        );
        if let Some(podman) = &lab.podman {
            row.add(
                VERSION,
                "podman",
                podman
                    .run(&["--version"])
                    .map(|done| milliseconds(done.took)),
            );
        }
    }
    let pods = if lab.quick { 10 } else { 100 };
    let file = lab.directory.join("sleepers.yaml");
    let out = lab.out("startup")?;
    let mut text = String::new();
    for number in 0..pods {
        let apps = [Container::sleeper("app")];
        let _ = write!(
            text,
            "---\n{}",
            manifest::pod(
                &format!("sleeper-{number}"),
                &[],
                &apps,
                &lab.app_directory,
                &out
            )
        );
        if let Some(podman) = &lab.podman {
            podman.run(&["pod", "create", "--name", &format!("sleeper-{number}")])?;
        }
    }
    std::fs::write(&file, text)?;
    lab.podyard.play(&file)?;
    for _ in 0..lab.runs(20) {
        row.add(
            LIST,
            "podyard",
            lab.podyard
                .run(&["get", "pods"])
                .map(|done| milliseconds(done.took)),
        );
        if let Some(podman) = &lab.podman {
            row.add(
                LIST,
                "podman",
                podman
                    .run(&["pod", "ps"])
                    .map(|done| milliseconds(done.took)),
            );
        }
    }
    row.goal(
        "start of the command, podman ÷ podyard",
        VERSION,
        "podman",
        "podyard",
        Bound::AtLeast(10.0),
    );
    row.goal(
        "listing 100 pods, podman ÷ podyard",
        LIST,
        "podman",
        "podyard",
        Bound::AtLeast(1.0),
    );
    row.commands = [
        "podyard --version",
        "podman --version",
        "podyard get pods",
        "podman pod ps",
    ]
    .map(ToOwned::to_owned)
    .into();
    Ok(vec![row])
}
