//! The workspace is as ARCHITECTURE.md draws it: which crate may use which, and what the inner ones must stay free of.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use podyard_e2e::repository;
use serde_json::Value;

/// Each crate of ours and the crates of ours that it may use; tests and benchmarks may use what they like.
const EDGES: &[(&str, &[&str])] = &[
    ("podyard-api", &[]),
    ("podyard-check", &["podyard-api"]),
    ("podyard-lifecycle", &["podyard-api"]),
    ("podyard-image", &[]),
    ("podyard-linux", &[]),
    (
        "podyard-supervisor",
        &[
            "podyard-api",
            "podyard-image",
            "podyard-lifecycle",
            "podyard-linux",
        ],
    ),
    (
        "podyard",
        &[
            "podyard-api",
            "podyard-check",
            "podyard-image",
            "podyard-lifecycle",
            "podyard-linux",
            "podyard-supervisor",
        ],
    ),
];
const OUTSIDE: &[&str] = &["podyard-e2e", "podyard-bench"];

/// Every package of ours with the normal dependencies its manifest declares.
fn declared() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(repository())
        .output()
        .expect("cargo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names =
                normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
            (
                package["name"].as_str().expect("a name").to_owned(),
                names.collect(),
            )
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let declared = declared();
    let expected: BTreeSet<&str> = EDGES
        .iter()
        .map(|(name, _)| *name)
        .chain(OUTSIDE.iter().copied())
        .collect();
    let found: BTreeSet<&str> = declared.keys().map(String::as_str).collect();
    assert_eq!(
        found, expected,
        "a crate is missing from the drawing, or the drawing has one too many"
    );
    for (name, allowed) in EDGES {
        let ours: Vec<&str> = declared[*name]
            .iter()
            .map(String::as_str)
            .filter(|dependency| found.contains(dependency))
            .collect();
        assert_eq!(ours, *allowed, "the dependencies of {name}");
    }
}

/// The core decides without a world: no standard library, so no files, threads, clocks or hash order.
#[test]
fn the_core_has_no_standard_library() {
    let text =
        std::fs::read_to_string(repository().join("crates/lifecycle/src/lib.rs")).expect("lib.rs");
    assert!(text.contains("#![no_std]"));
}

/// Unsafe code is in the Linux crate and nowhere else; the workspace's lint denies it, and only that crate lifts the lint.
#[test]
fn unsafe_code_is_in_one_crate() {
    for (name, _) in EDGES {
        let directory = name.strip_prefix("podyard-").unwrap_or(name);
        let path = repository().join("crates").join(directory).join("src");
        let main = if *name == "podyard" {
            "main.rs"
        } else {
            "lib.rs"
        };
        let text = std::fs::read_to_string(path.join(main)).expect("the crate's root");
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert_eq!(forbids, *name != "podyard-linux", "{name}");
    }
}

/// Every dependency says in its manifest what it is for.
#[test]
fn dependencies_earn_their_place() {
    let mut silent = Vec::new();
    for entry in std::fs::read_dir(repository().join("crates"))
        .expect("crates")
        .flatten()
    {
        let path = entry.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let mut previous = "";
        let mut is_dependency = false;
        for line in text.lines() {
            if line.starts_with('[') {
                is_dependency = line.ends_with("dependencies]");
            } else if is_dependency && line.contains('=') && !line.starts_with([' ', '#']) {
                let name = line.split(['=', ' ', '.']).next().unwrap_or_default();
                let says_why = line.contains('#') || previous.starts_with('#');
                if !says_why && !name.starts_with("podyard") {
                    silent.push(format!("{}: {name}", path.display()));
                }
            }
            previous = line;
        }
    }
    assert!(
        silent.is_empty(),
        "dependencies without a reason:\n{}",
        silent.join("\n")
    );
}
