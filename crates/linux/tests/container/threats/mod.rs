//! Published escapes and other ways out, tried. `THREATS.md` is the list; each entry names the tests that try it.

mod files;
mod kernel;
pub(crate) mod launcher;

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::Trial;

const LIST: &str = include_str!("../../../THREATS.md");

pub(crate) fn tests() -> Vec<Trial> {
    [launcher::tests(), files::tests(), kernel::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Holds the list and the tests together: every test that the list names is there, every test of these modules is named, and
/// no entry is without one.
pub(crate) fn agreement(all: &[Trial]) -> Trial {
    let here: BTreeSet<String> = all.iter().map(|test| test.name().to_owned()).collect();
    Trial::test("threats::the_list_and_the_tests_agree", move || {
        let mut named = BTreeSet::new();
        let rows = LIST.lines().filter(|line| line.starts_with("| "));
        for row in rows.filter(|row| !row.starts_with("| Threat")) {
            let tests: Vec<_> = row
                .split('`')
                .filter(|code| code.contains("::"))
                .map(str::to_owned)
                .collect();
            assert!(!tests.is_empty(), "no test in: {row}");
            named.extend(tests);
        }
        for name in &named {
            match name.split_once(" in ") {
                None => assert!(here.contains(name), "`{name}` is no test"),
                Some((name, file)) => assert_unit_test(name, file),
            }
        }
        let ours = here.iter().filter(|name| {
            ["launcher::", "files::", "kernel::"]
                .iter()
                .any(|module| name.starts_with(module))
        });
        for name in ours {
            assert!(named.contains(name), "`{name}` is not in THREATS.md");
        }
        Ok(())
    })
}

/// A test outside of this binary, as `module::function in path`.
fn assert_unit_test(name: &str, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let function = name.rsplit("::").next().unwrap();
    assert!(
        text.contains(&format!("fn {function}(")),
        "{name} in {file}"
    );
}
