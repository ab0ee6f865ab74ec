//! `podyard top`: what pods use.

use podyard_e2e::manifest::{HANG, pod, sh};
use podyard_e2e::{Instance, assert_says};

/// Holds 20 MiB of memory of its own.
const BIG: &str = "dd if=/dev/zero of=/dev/shm/big bs=1M count=20 2>/dev/null; exec sleep 3600";

fn cell(row: &str, column: usize, unit: &str) -> u64 {
    let cell = row.split_whitespace().nth(column).expect("a column");
    let number = cell.strip_suffix(unit).unwrap_or_else(|| panic!("{row}"));
    number.parse().expect("a number")
}

#[test]
fn it_tells_processors_and_memory() {
    let podyard = Instance::new();
    let busy = sh("busy", "while :; do :; done");
    podyard.start(&pod("p", "Always", &[], &[sh("big", BIG), busy]));
    podyard.start(&pod("idle", "Always", &[], &[sh("app", HANG)]));
    podyard.start(&pod("over", "Never", &[], &[sh("app", "true")]));
    podyard.wait_for_condition("p", "Ready");
    podyard.wait_for_condition("idle", "Ready");
    podyard.wait_for_phase("over", "Succeeded");

    let text = podyard.ok(&["top", "pods", "--sort-by=cpu"]);
    let lines: Vec<&str> = text.lines().collect();
    let [titles, p, idle] = lines[..] else {
        panic!("{text}")
    };
    assert_eq!(
        titles.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    );
    assert!(p.starts_with("p ") && idle.starts_with("idle "), "{text}");
    // It never stops; how much of a processor it gets depends on who else runs.
    assert!(cell(p, 1, "m") > cell(idle, 1, "m"), "{text}");
    assert!(cell(p, 2, "Mi") >= 20, "{text}");

    let text = podyard.ok(&["top", "pod", "p", "--containers", "--no-headers"]);
    let lines: Vec<&str> = text.lines().collect();
    let [big, busy] = lines[..] else {
        panic!("{text}")
    };
    let names = |line: &str| {
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        (names(big), names(busy)),
        ("p big".to_owned(), "p busy".to_owned())
    );
    assert!(cell(busy, 2, "m") > cell(big, 2, "m"), "{text}");
    assert!(
        cell(big, 3, "Mi") >= 20 && cell(busy, 3, "Mi") < 20,
        "{text}"
    );

    assert_says(
        &podyard.run(&["top", "pod", "over"]),
        1,
        &["Metrics not available for pod default/over: it has ended"],
    );
    assert_says(
        &podyard.run(&["top", "pods", "-l", "app=none"]),
        0,
        &["No resources found in default namespace."],
    );
    podyard.finish();
}
