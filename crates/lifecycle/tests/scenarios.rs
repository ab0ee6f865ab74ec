//! Scenarios: a pod, a timeline of what happens to it, and everything the machine then does, shows and says.
//!
//! Each file below `tests/scenarios/` begins with a comment: what it shows, which cases of the table (`cases.txt`) it covers, and what the
//! kubelet does. Then come the pod's lines (`support/pod.rs`) and the timeline. A line that begins with `at` is an input; the indented lines
//! below it are everything that comes of it until the next input:
//!
//! ```text
//! at 1.5 exit app 1
//!     1.5    see  app[T:Error(1) !ready,!started]
//!     1.5    do   start app#1 rc=1
//! ```
//!
//! `do` is an instruction, `see` what changed in the status (`support/shorthand.rs`), `say` an Event (without the three of a healthy start),
//! `ask` the answer to a request that changes nothing. What the world answers on its own is told in `support/world.rs`. After every single
//! turn the machine is saved and restored, as if its supervisor had been killed. Inputs:
//!
//! ```text
//! create [rejected REASON TEXT…]                   delete [GRACE] | kill | retry [NAME]
//! update NAME=IMAGE… WORD=VALUE… (the Pod)         debug NAME WORD… (a container more, to look into the pod)
//! condition TYPE=STATUS [REASON TEXT…]             condition TYPE gone
//! hook NAME ATTEMPT PostStart|PreStop ok|WHY (an answer that nobody may be waiting for)
//! exit NAME END [MESSAGE…]                         sandbox dies|stopped|ready ATTEMPT | reboot
//! image IMAGE fails [REASON] TEXT… | takes S | ok | late S TEXT… (fails after that, also when it was given up)
//! start NAME fails config|create|binary TEXT… | takes S | ok
//! volume NAME fails TEXT… | takes S | ok           sandbox 0 fails TEXT… | takes S | ok
//! set NAME WORD=VALUE                              remains NAME ATTEMPT vanish | storage over TEXT…
//! objects change | warn REASON TEXT…
//! show POINTER (a value of the status)             tell next-try | deletion | end (what else the machine tells)
//! wait (an extra look at the clock) | end
//! ```
//!
//! `PODYARD_UPDATE_SCENARIOS=1` writes what comes of the inputs into the files; read the difference before you keep it.
//!
//! A scenario that a real kubelet was seen playing ends with what it showed and said: see `support/recorded.rs`.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::play::Play;
use support::pod::TestPod;
use support::recorded::Recorded;
use support::{cases, millis};

#[test]
fn scenarios_come_out_as_written() {
    let update = std::env::var_os("PODYARD_UPDATE_SCENARIOS").is_some();
    let mut wrong = String::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = name(&path);
        let (played, play) = play_alone(&name, &text);
        if played != text {
            if update {
                std::fs::write(&path, played).expect("writable");
            } else {
                let _ = writeln!(wrong, "{name}:\n{}", difference(&text, &played));
            }
        }
        let recorded = Recorded::parse(&text);
        let deviations = recorded.compare(&play);
        if !deviations.is_empty() {
            let _ = writeln!(wrong, "{name}, not as recorded:\n{deviations}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_scenario_says_what_it_is() {
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = name(&path);
        let has = |begin: &str| text.lines().any(|line| line.starts_with(begin));
        assert!(text.starts_with("# "), "{name}: does not say what it shows");
        assert!(has("# kubelet: "), "{name}: nothing about the kubelet");
        let is_recorded = has("# kubelet: recorded");
        let has_record = has("the kubelet");
        assert_eq!(is_recorded, has_record, "{name}: recorded or not?");
        let at = |line: &&str| line.starts_with("at ");
        let last = text.lines().rfind(at).unwrap_or_default();
        assert!(last.ends_with(" end"), "{name}: does not end with `end`");
    }
}

#[test]
fn every_case_has_its_place() {
    let table = cases::read();
    let mut wrong = cases::missing(&table);
    let mut claimed = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("readable");
        for case in cases::of_scenario(&text) {
            claimed.push((case, name(&path)));
        }
    }
    for (case, scenario) in &claimed {
        if !table
            .iter()
            .any(|entry| entry.id == *case && entry.scenarios.contains(scenario))
        {
            let _ = writeln!(wrong, "{scenario} covers {case}, says only itself");
        }
    }
    for entry in &table {
        for scenario in &entry.scenarios {
            if !claimed.contains(&(entry.id.clone(), scenario.clone())) {
                let _ = writeln!(wrong, "{scenario} does not say that it covers {}", entry.id);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Every scenario there is, in order. `PODYARD_SCENARIO=sidecar` leaves only those with that in their names.
fn files() -> Vec<PathBuf> {
    let only = std::env::var("PODYARD_SCENARIO").unwrap_or_default();
    let mut folders = vec![folder()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if name(&path).contains(&only) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// `sidecar/startup.txt`
fn name(path: &Path) -> String {
    let path = path.strip_prefix(folder()).expect("it is in the folder");
    path.to_string_lossy().into_owned()
}

/// In a thread of its own, so that a panic names the scenario.
fn play_alone(name: &str, text: &str) -> (String, Play) {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let (of_scenario, text) = (name.to_owned(), text.to_owned());
    let thread = thread.spawn(move || play(&of_scenario, &text));
    thread
        .expect("a thread")
        .join()
        .unwrap_or_else(|_| panic!("{name} could not be played"))
}

/// The file with what really comes of its inputs, and the play.
fn play(name: &str, text: &str) -> (String, Play) {
    let is_pod = |line: &&str| {
        let first = line.chars().next();
        first.is_some_and(|first| first != '#' && !first.is_whitespace())
    };
    let head: Vec<_> = text
        .lines()
        .take_while(|line| !line.starts_with("at "))
        .collect();
    let record = text
        .find("\nthe kubelet")
        .map_or("", |begin| &text[begin..]);
    let pod = TestPod::parse(head.iter().copied().filter(is_pod));
    let mut play = Play::new(pod);
    let mut out = String::new();
    for line in head.iter().filter(|line| !line.starts_with("    ")) {
        let _ = writeln!(out, "{line}");
    }
    for line in text.lines().filter(|line| line.starts_with("at ")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let (at, input) = words
            .split_first()
            .unwrap_or_else(|| panic!("{name}: {line}"));
        play.pass_until(millis(at));
        out += &std::mem::take(&mut play.log);
        let _ = writeln!(out, "{line}");
        play.input(input);
    }
    out += &std::mem::take(&mut play.log);
    out += record;
    (out, play)
}

/// The first lines that differ.
fn difference(expected: &str, played: &str) -> String {
    let (mut expected, mut played) = (expected.lines(), played.lines());
    let mut text = String::new();
    for _ in 0..6 {
        let differs = std::iter::from_fn(|| match (expected.next(), played.next()) {
            (None, None) => None,
            (one, other) => Some((one.unwrap_or_default(), other.unwrap_or_default())),
        })
        .find(|(one, other)| one != other);
        let Some((one, other)) = differs else {
            return text;
        };
        let _ = writeln!(text, "  - {one}\n  + {other}");
    }
    text + "  …\n"
}
