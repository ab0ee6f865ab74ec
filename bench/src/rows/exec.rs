//! A command in a running container.

use crate::Result;
use crate::lab::Lab;
use crate::manifest::{self, Container};
use crate::processes;
use crate::report::{Bound, Row};
use crate::samples::milliseconds;

const WHAT: &str = "exec true";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "exec",
        "A command in a running container",
        "ms",
        "`true` in a busybox container that sleeps, from starting the command to its end. crun runs in the container that podman made, \
         so with the same seccomp filter and capabilities.",
    );
    let out = lab.out("exec")?;
    let file = lab.directory.join("exec.yaml");
    std::fs::write(
        &file,
        manifest::pod(
            "box",
            &[],
            &[Container::sleeper("app")],
            &lab.app_directory,
            &out,
        ),
    )?;
    lab.podyard.play(&file)?;
    processes::wait_until(std::time::Duration::from_secs(30), "exec", || {
        Ok(lab.podyard.run(&["exec", "box", "--", "true"]).is_ok())
    })?;
    let id = match &lab.podman {
        Some(podman) => {
            podman.play(&file)?;
            Some(podman.container_id("box-app")?)
        }
        None => None,
    };
    for _ in 0..lab.runs(40) {
        row.add(
            WHAT,
            "podyard",
            lab.podyard
                .run(&["exec", "box", "--", "true"])
                .map(|done| milliseconds(done.took)),
        );
        let (Some(podman), Some(id)) = (&lab.podman, &id) else {
            continue;
        };
        row.add(
            WHAT,
            "podman",
            podman
                .run(&["exec", "box-app", "true"])
                .map(|done| milliseconds(done.took)),
        );
        let mut crun = std::process::Command::new("crun");
        crun.args(["exec", id, "true"]);
        let done = processes::run(&podman.arena, crun).and_then(|done| done.ok("crun exec"));
        row.add(WHAT, "crun", done.map(|done| milliseconds(done.took)));
    }
    row.goal(
        "exec, podman ÷ podyard",
        WHAT,
        "podman",
        "podyard",
        Bound::AtLeast(10.0),
    );
    row.goal(
        "exec, podyard ÷ crun",
        WHAT,
        "podyard",
        "crun",
        Bound::AtMost(1.0),
    );
    row.commands = [
        "podyard exec box -- true",
        "podman exec box-app true",
        "crun exec ID true",
    ]
    .map(ToOwned::to_owned)
    .into();
    Ok(vec![row])
}
