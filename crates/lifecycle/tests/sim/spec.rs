//! Random pods, as lines (`support/pod.rs`), so that a person can read what a failing seed was about.

use std::fmt::Write as _;

use crate::random::Random;

/// The lines of a pod.
pub(crate) fn random_pod(random: &mut Random) -> Vec<String> {
    let mut lines = vec![pod_line(random)];
    for number in 0..random.pick(&[0, 0, 1, 1, 2, 2, 3, 4]) {
        lines.push(init_line(random, number));
    }
    for number in 0..random.pick(&[1, 1, 1, 2, 2, 3]) {
        lines.push(app_line(random, number));
    }
    lines
}

fn pod_line(random: &mut Random) -> String {
    let policy = random.pick(&[
        "Always",
        "Always",
        "Always",
        "OnFailure",
        "OnFailure",
        "Never",
    ]);
    let grace = random.pick(&[0, 1, 2, 5, 30]);
    let mut line = format!("pod policy={policy} grace={grace}");
    if random.chance(10) {
        let deadline = random.pick(&[1, 10, 60, 700]);
        let _ = write!(line, " deadline={deadline}");
    }
    if random.chance(25) {
        line += " mode=restart-pod";
    }
    if random.chance(20) {
        let max = random.pick(&[1, 10, 20, 40]);
        let _ = write!(line, " max-backoff={max}");
    }
    if random.chance(3) {
        line += " gate=x/y";
    }
    line
}

fn init_line(random: &mut Random, number: u32) -> String {
    if random.chance(40) {
        let mut line = format!("side s{number}");
        if random.chance(8) {
            line += " rule=RestartAllContainers:In:42";
        }
        line + &image(random) + &probes(random) + &hooks(random)
    } else {
        format!("init i{number}") + &policy(random) + &image(random)
    }
}

fn app_line(random: &mut Random, number: u32) -> String {
    format!("app a{number}") + &policy(random) + &image(random) + &probes(random) + &hooks(random)
}

/// The container's own policy, and with it perhaps rules.
fn policy(random: &mut Random) -> String {
    if random.chance(65) {
        return String::new();
    }
    let policy = random.pick(&["OnFailure", "Never", "Never"]);
    let mut text = format!(" policy={policy}");
    for _ in 0..random.pick(&[0, 1, 1, 2]) {
        let action = random.pick(&["Restart", "Restart", "RestartAllContainers"]);
        let about = random.pick(&["In:42", "In:1,42", "In:0", "NotIn:0,1", "In:137,143"]);
        let _ = write!(text, " rule={action}:{about}");
    }
    text
}

/// Few images, so that containers share them.
fn image(random: &mut Random) -> String {
    let image = random.pick(&["x:1", "x:1", "y:1", "z:latest"]);
    let pull = random.pick(&[
        "",
        "",
        "",
        " pull=Always",
        " pull=IfNotPresent",
        " pull=Never",
    ]);
    format!(" image={image}{pull}")
}

fn probes(random: &mut Random) -> String {
    let mut text = String::new();
    for kind in ["startup", "liveness", "readiness"] {
        if random.chance(15) {
            let period = random.pick(&[1, 2, 10]);
            let delay = random.pick(&[0, 0, 3]);
            let failures = random.pick(&[1, 3]);
            let _ = write!(text, " {kind}={period},{delay},{failures}");
            if kind != "readiness" && random.chance(20) {
                text += ",1,3";
            }
        }
    }
    text
}

fn hooks(random: &mut Random) -> String {
    let mut text = String::new();
    if random.chance(10) {
        text += " poststart";
    }
    if random.chance(15) {
        text += " prestop";
    }
    text
}
