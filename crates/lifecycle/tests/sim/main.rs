//! Simulation: random pods in a random world, with every fault there is, and rules that must hold after every turn.
//!
//! `spec.rs` makes up the pods, `world.rs` is what happens to them, `life.rs` lives one from its creation to its end (with supervisors that
//! are killed, clocks that jump, machines that reboot), `rules.rs` and `status.rs` say what may never be. A seed is a pod and its whole
//! fate. One that breaks a rule is lived again with every turn written down, as a supervisor's journal, and can be looked at turn by turn:
//!
//! ```text
//! PODYARD_SIM_SEED=17 cargo test -p podyard-lifecycle --test sim -- --ignored --nocapture step_through
//! PODYARD_SIM_JOURNAL=pod-17.jsonl cargo test …      (its pod in pod-17.txt; also for the journal of a real supervisor)
//! ```
//!
//! `make sim` runs many more pods than the test does, in an optimised build.

#[path = "../support/mod.rs"]
mod support;

mod journal;
mod life;
mod random;
mod rules;
mod spec;
mod status;
mod waits;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use podyard_lifecycle::PodMachine;

use journal::{Record, Turn};
use life::{Care, Life};
use support::pod::TestPod;
use support::shorthand;

/// Pods of the test that is always run.
const PODS: u64 = 1_000;

#[test]
fn pods_keep_the_rules() {
    let total = live_all(0..PODS, |_| Care::Every);
    assert!(
        total.crashes > PODS && total.reboots > PODS / 10,
        "{total:?}: where are the faults?"
    );
}

/// What `make sim` runs. `PODS` pods, every 50th of them looked at as closely as in the test.
#[test]
#[ignore = "runs for minutes; `make sim`"]
fn many_pods_keep_the_rules() {
    let pods =
        std::env::var("PODS").map_or(1_000_000, |pods| pods.parse().expect("a number of pods"));
    let first = std::env::var("FIRST_SEED").map_or(PODS, |seed| seed.parse().expect("a seed"));
    let began = Instant::now();
    let total = live_all(first..first + pods, |seed| {
        if seed % 50 == 0 {
            Care::Every
        } else {
            Care::Usual
        }
    });
    let took = began.elapsed();
    let cores = cores();
    let rate = |count: u64| count as f64 / took.as_secs_f64();
    let text = format!(
        "{pods} pods, {} turns, {} crashes of a supervisor, {} reboots in {:.1} s on {cores} cores: no rule broken\n\
         with the world and the rules: {:.0} pods and {:.0} turns a second\n\
         the machine alone: {:.0} turns a second\n",
        total.turns,
        total.crashes,
        total.reboots,
        took.as_secs_f64(),
        rate(pods),
        rate(total.turns),
        machine_alone(first),
    );
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("a terminal");
}

/// Shows a pod's life turn by turn: what was observed, what the status became, what was to be done.
#[test]
#[ignore = "for looking at one pod: PODYARD_SIM_SEED or PODYARD_SIM_JOURNAL"]
fn step_through() {
    let mut outcome = String::new();
    let record = match std::env::var_os("PODYARD_SIM_JOURNAL") {
        Some(path) => Record::read(Path::new(&path)).expect("a journal and its pod"),
        None => {
            let seed = std::env::var("PODYARD_SIM_SEED").expect("PODYARD_SIM_SEED");
            let (record, end) = record_of(seed.parse().expect("a number"));
            outcome = end;
            record
        }
    };
    let mut text = record.lines.join("\n") + "\n";
    let pod = TestPod::parse(record.lines.iter().map(String::as_str));
    let first = record.turns.first().expect("a turn").now;
    let mut machine = PodMachine::new(&pod.pod, pod.settings, first);
    let mut before = Vec::new();
    for turn in &record.turns {
        let ago = turn.now.since_boot;
        let _ = writeln!(text, "turn {} at {ago:?}", turn.turn);
        for observation in &turn.observations {
            let _ = writeln!(text, "    {observation:?}");
        }
        for request in &turn.requests {
            let _ = writeln!(text, "    {request:?}");
        }
        let mut actions = Vec::new();
        turn.apply(&mut machine, |action| actions.push(action), drop);
        let after = shorthand::facts(&machine.status());
        let _ = writeln!(text, "  see {}", shorthand::changes(&before, &after));
        before = after;
        for action in actions {
            let _ = writeln!(text, "  do  {action:?}");
        }
    }
    text += &outcome;
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("a terminal");
}

#[derive(Debug, Default)]
struct Total {
    turns: u64,
    crashes: u64,
    reboots: u64,
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// Lives all seeds, on all cores. Panics with the first one that breaks a rule.
fn live_all(seeds: std::ops::Range<u64>, care: impl Fn(u64) -> Care + Sync) -> Total {
    let cores = cores();
    let live_some = |core: u64| {
        let mut total = Total::default();
        for seed in seeds.clone().filter(|seed| seed % cores == core) {
            let life = live(seed, care(seed));
            total.turns += life.turn;
            total.crashes += life.crashes;
            total.reboots += life.reboots;
        }
        total
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let live_some = &live_some;
                scope.spawn(move || live_some(core))
            })
            .collect();
        let mut total = Total::default();
        for thread in threads {
            let part = thread.join().expect("no rule is broken");
            total.turns += part.turns;
            total.crashes += part.crashes;
            total.reboots += part.reboots;
        }
        total
    })
}

fn live(seed: u64, care: Care) -> Life {
    let mut life = Life::new(seed, care);
    let broken = match catch_unwind(AssertUnwindSafe(|| life.run())) {
        Ok(Ok(())) => return life,
        Ok(Err(broken)) => broken,
        Err(_) => "it panicked".to_owned(),
    };
    let (turn, pod) = (life.turn, life.lines.join("\n"));
    let (record, _) = record_of(seed);
    let path = record.write(seed).expect("the journal can be written");
    let path = path.display();
    panic!("seed {seed}, turn {turn}: {broken}\n{pod}\n{path}");
}

/// Lives it once more, and keeps the turns. Also says how it went.
fn record_of(seed: u64) -> (Record, String) {
    let mut life = Life::new(seed, Care::Every);
    let outcome = catch_unwind(AssertUnwindSafe(|| life.run()));
    let outcome = format!("{outcome:?} after {} ms\n", life.at());
    let (lines, turns) = (life.lines, life.turns);
    (Record { lines, turns }, outcome)
}

/// Turns a second on all cores, without world and rules: recorded turns are put through fresh machines. Whatever else the computer does
/// meanwhile does not count.
fn machine_alone(first: u64) -> f64 {
    let run = |core: u64| {
        let lives: Vec<(PodMachine, Vec<Turn>)> = (0..300)
            .map(|number| {
                let life = live(first + core * 300 + number, Care::Every);
                let now = life.turns.first().expect("a turn").now;
                let machine = PodMachine::new(&life.pod.pod, life.pod.settings.clone(), now);
                (machine, life.turns)
            })
            .collect();
        let (began, cpu_began) = (Instant::now(), cpu_time());
        let mut turns = 0;
        while began.elapsed() < Duration::from_secs(3) {
            for (machine, journal) in &lives {
                let mut machine = machine.clone();
                for turn in journal {
                    turn.apply(&mut machine, drop, drop);
                }
                turns += journal.len();
            }
        }
        turns as f64 / (cpu_time() - cpu_began).as_secs_f64()
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..cores())
            .map(|core| scope.spawn(move || run(core)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it ran"))
            .sum()
    })
}

/// For how long this thread has had a core.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel");
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}
