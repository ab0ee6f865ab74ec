//! The table of cases: which of the known situations of a pod's life is tested where.

use std::fmt::Write as _;
use std::path::Path;

/// One line of `cases.txt`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) scenarios: Vec<String>,
    /// For what the core does not see: `elsewhere: FILE::FUNCTION`, or `elsewhere: FILE` of a file that is no program. Several are separated by
    /// commas.
    elsewhere: Vec<String>,
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

/// `A16 terminal-sticky: restart/terminal.txt; elsewhere: tests/tests/e2e/crash.rs`
pub(crate) fn read() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases.txt");
    let text = std::fs::read_to_string(path).expect("readable");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(entry).collect()
}

fn entry(line: &str) -> Entry {
    let (case, places) = line.split_once(": ").expect("a case and its places");
    let id = case.split(' ').next().unwrap_or_default().to_owned();
    let mut entry = Entry {
        id,
        scenarios: Vec::new(),
        elsewhere: Vec::new(),
    };
    for part in places.split("; ") {
        let (places, names) = match part.strip_prefix("elsewhere: ") {
            Some(names) => (&mut entry.elsewhere, names),
            None => (&mut entry.scenarios, part),
        };
        places.extend(names.split(", ").map(ToOwned::to_owned));
    }
    entry
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
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for entry in table {
        for scenario in &entry.scenarios {
            if !tests.join(scenario).is_file() {
                let _ = writeln!(wrong, "{}: there is no {scenario}", entry.id);
            }
        }
        if entry.scenarios.is_empty() && entry.elsewhere.is_empty() {
            let _ = writeln!(wrong, "{}: no place", entry.id);
        }
        for place in &entry.elsewhere {
            if !is_there(&workspace, place) {
                let _ = writeln!(wrong, "{}: there is no {place}", entry.id);
            }
        }
    }
    wrong
}

/// A test function, in the file that is named; or something to be read, which exists.
fn is_there(workspace: &Path, place: &str) -> bool {
    let Some((file, function)) = place.split_once("::") else {
        return !place.ends_with(".rs") && workspace.join(place).exists();
    };
    let text = std::fs::read_to_string(workspace.join(file)).unwrap_or_default();
    let mut after_tests = text.split("#[test]").skip(1);
    after_tests.any(|rest| {
        // Other attributes may stand between the two.
        let head = rest.split(" {").next().unwrap_or_default();
        head.contains(&format!("fn {function}("))
    })
}
