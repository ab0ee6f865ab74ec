//! Decisions per second of the lifecycle core: pods with three init containers and two apps, from their beginning to their deletion,
//! in a world that answers every instruction at once.

use std::time::{Duration, Instant};

use podyard_lifecycle::{
    Action, End, Exit, ImageFacts, Now, Observation, PodMachine, Request, Settings, StopSignal,
    Timestamp,
};
use serde_json::json;

use crate::Result;
use crate::lab::Lab;
use crate::report::{Bound, Row};

const WHAT: &str = "decisions per second";
const WANTED: f64 = 1e6;

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "core",
        "The lifecycle core alone",
        "per second",
        "One thread runs pods of three init containers and two apps through `podyard-lifecycle`, from the manifest to the deletion; every \
         instruction is answered at once. A decision is one turn of the machine: facts in, everything that follows from them out.",
    );
    let container = |name: &str| json!({ "name": name, "image": "busybox:1" });
    let pod = serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "default", "uid": "u", "generation": 1 },
        "spec": {
            "restartPolicy": "OnFailure",
            "initContainers": [container("i0"), container("i1"), container("i2")],
            "containers": [container("a0"), container("a1")],
        },
    }))?;
    let pods = if lab.quick { 200 } else { 4_000 };
    for _ in 0..lab.runs(9) {
        let begin = Instant::now();
        let mut decisions = 0_u64;
        for _ in 0..pods {
            decisions += live(&pod)?;
        }
        row.add(
            WHAT,
            "podyard",
            Ok(decisions as f64 / begin.elapsed().as_secs_f64()),
        );
        row.add(WHAT, "goal", Ok(WANTED));
    }
    row.goal(
        "decisions per second ÷ 1,000,000",
        WHAT,
        "podyard",
        "goal",
        Bound::AtLeast(1.0),
    );
    row.lines.retain(|line| line.subject != "goal");
    row.notes
        .push("Here more is better: the minimum is the worst of the runs.".to_owned());
    Ok(vec![row])
}

/// One pod's whole life; how many turns it took.
fn live(pod: &podyard_api::core::Pod) -> Result<u64> {
    let mut clock = Duration::from_secs(3600);
    let mut machine = PodMachine::new(pod, Settings::default(), now(clock));
    let mut turns = 0;
    let mut asked = false;
    let mut facts: Vec<Observation> = Vec::new();
    loop {
        clock += Duration::from_millis(1);
        for fact in facts.drain(..) {
            machine.observe(now(clock), &fact);
        }
        machine.advance(now(clock));
        turns += 1;
        let mut running = 0;
        while let Some(action) = machine.next_action() {
            facts.extend(answer(&action, now(clock).wall, &mut running));
        }
        while machine.next_event().is_some() {}
        if machine.end() == Some(End::Deleted) {
            return Ok(turns);
        }
        if facts.is_empty() {
            if asked {
                // Only a deadline can go on from here.
                clock = machine
                    .next_deadline()
                    .ok_or("the pod waits for nothing")?
                    .max(clock);
            } else {
                asked = true;
                let _ = machine.request(
                    now(clock),
                    &Request::Delete {
                        grace_seconds: None,
                    },
                );
            }
        }
        if turns > 10_000 {
            return Err("the pod does not end".into());
        }
    }
}

/// What the world says to an instruction. Init containers (the first three) end at once, apps when they are asked to.
fn answer(action: &Action, at: Timestamp, running: &mut usize) -> Vec<Observation> {
    *running += 1;
    match *action {
        Action::PrepareVolumes => vec![Observation::VolumesReady],
        Action::RemoveVolumes => vec![Observation::VolumesRemoved],
        Action::CreateSandbox { attempt } => vec![Observation::SandboxReady {
            attempt,
            pod_ips: vec!["10.0.0.2".to_owned()],
        }],
        Action::StopSandbox { attempt } => vec![Observation::SandboxStopped { attempt }],
        Action::EnsureImage { container, attempt } => {
            let image = ImageFacts {
                name: "busybox:1".to_owned(),
                id: "sha256:0".to_owned(),
                pulled: None,
            };
            vec![Observation::ImageReady {
                container,
                attempt,
                image,
            }]
        }
        Action::StartContainer {
            container, attempt, ..
        } => {
            let container_id = "podyard://0".to_owned();
            let started = Observation::ContainerStarted {
                container,
                attempt,
                container_id,
                at,
            };
            let is_init = container.position() < 3;
            let exited = Observation::ContainerExited {
                container,
                attempt,
                exit: Exit::Code(0),
                at,
                message: None,
            };
            if is_init {
                vec![started, exited]
            } else {
                vec![started]
            }
        }
        Action::SignalContainer {
            container,
            attempt,
            signal,
        } => {
            let code = match signal {
                StopSignal::Stop => Exit::Code(0),
                StopSignal::Kill => Exit::Signal(9),
            };
            vec![Observation::ContainerExited {
                container,
                attempt,
                exit: code,
                at,
                message: None,
            }]
        }
        Action::RemoveContainer {
            container, attempt, ..
        } => vec![Observation::ContainerRemoved { container, attempt }],
        _ => Vec::new(),
    }
}

fn now(since_boot: Duration) -> Now {
    let wall = Timestamp {
        seconds: 1_767_225_600 + since_boot.as_secs().cast_signed(),
        nanoseconds: since_boot.subsec_nanos(),
    };
    Now { since_boot, wall }
}
