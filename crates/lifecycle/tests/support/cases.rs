//! The table of cases: which of the known situations of a pod's life is tested where.

use std::fmt::Write as _;
use std::path::Path;

/// One line of `cases.txt`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// Scenarios, and places outside of this crate in words.
    pub(crate) places: Vec<String>,
}

/// The sections of the table and how many cases each has.
const SECTIONS: [(char, usize); 13] = [
    ('A', 17),
    ('B', 25),
    ('C', 27),
    ('D', 14),
    ('E', 12),
    ('F', 9),
    ('G', 26),
    ('H', 15),
    ('I', 18),
    ('J', 21),
    ('K', 8),
    ('L', 12),
    ('M', 10),
];

/// `A01 always-run: restart/always.txt, elsewhere: podyard-supervisor (logs)`
pub(crate) fn read() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases.txt");
    let text = std::fs::read_to_string(path).expect("readable");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (case, places) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("{line}: where?"));
            let id = case.split(' ').next().unwrap_or_default().to_owned();
            let places = match places.split_once("elsewhere:") {
                Some((here, elsewhere)) => here
                    .split(',')
                    .map(str::trim)
                    .filter(|place| !place.is_empty())
                    .map(ToOwned::to_owned)
                    .chain([format!("elsewhere: {}", elsewhere.trim())])
                    .collect(),
                None => places
                    .split(',')
                    .map(|place| place.trim().to_owned())
                    .collect(),
            };
            Entry { id, places }
        })
        .collect()
}

/// The cases that a scenario says it covers.
pub(crate) fn of_scenario(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("# cases: "));
    lines
        .flat_map(|cases| cases.split(", "))
        .map(ToOwned::to_owned)
        .collect()
}

/// What is wrong with the table by itself.
pub(crate) fn missing(table: &[Entry]) -> String {
    let mut wrong = String::new();
    let all = SECTIONS.iter().flat_map(|(section, count)| {
        (1..=*count).map(move |number| format!("{section}{number:02}"))
    });
    let known: Vec<_> = table.iter().map(|entry| entry.id.clone()).collect();
    let expected: Vec<_> = all.collect();
    for id in expected.iter().filter(|id| !known.contains(id)) {
        let _ = writeln!(wrong, "{id} has no place");
    }
    if known != expected {
        let _ = writeln!(wrong, "the cases are not in order, each once");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for entry in table {
        for place in &entry.places {
            let is_elsewhere = place
                .strip_prefix("elsewhere: ")
                .is_some_and(|it| it.len() > 8);
            if !is_elsewhere && !folder.join(place).is_file() {
                let _ = writeln!(wrong, "{}: there is no {place:?}", entry.id);
            }
        }
    }
    wrong
}
