//! The checks on whole manifests: for each one texts in which it finds something and texts in which it must not, and many ordinary
//! manifests in which nothing may be found.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use podyard_api::{LoadOptions, Objects, Source, load};
use podyard_check::{CHECKS, Finding, Severity, check_objects};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn read(path: &Path) -> Objects {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().expect("a name").to_string_lossy();
    let options = LoadOptions {
        accept_unsupported: true,
        skip_unknown: true,
        ..LoadOptions::default()
    };
    load(&[Source::new(name, text)], &options).unwrap_or_else(|problems| panic!("{problems}"))
}

fn manifests(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    paths
}

fn print(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (line, column) = finding.span.line_column();
        let _ = writeln!(
            text,
            "{}\n  {line}:{column} {}: {} [{}]\n  {}\n  marked: {}",
            finding.object,
            finding.check.severity,
            finding.message,
            finding.check.id,
            finding.path,
            finding.span.text().lines().next().unwrap_or_default()
        );
        for (span, related) in &finding.related {
            let (line, column) = span.line_column();
            let _ = writeln!(text, "  {line}:{column} {related}");
        }
        let _ = writeln!(text, "  fix: {}\n", finding.fix);
    }
    text
}

/// A file for each check: what it finds in the objects whose names begin with `found`, and that it finds nothing in the others.
#[test]
fn each_check_finds_what_it_should_and_nothing_else() {
    for check in CHECKS {
        let path = data(&format!("checks/{}.yaml", check.id));
        let objects = read(&path);
        let findings = check_objects(&objects);
        let names = objects.pods.iter().map(podyard_api::ValidPod::name).chain(
            objects
                .workloads
                .iter()
                .map(podyard_api::ValidWorkload::name),
        );
        let mut kinds = (0, 0);
        for name in names {
            let own = findings
                .iter()
                .filter(|finding| finding.object.name == name)
                .filter(|finding| finding.check == *check)
                .count();
            if name.starts_with("found") {
                kinds.0 += 1;
                assert_ne!(own, 0, "{}: nothing in {name}", check.id);
            } else {
                kinds.1 += 1;
                assert_eq!(own, 0, "{}: {}", check.id, print(&findings));
            }
        }
        assert!(
            kinds.0 > 0 && kinds.1 > 0,
            "{}: both kinds of examples",
            check.id
        );
        compare(&path.with_extension("txt"), &print(&findings));
    }
}

/// Ordinary manifests, as people write them: nothing that a person would be stopped by may be found in any of them.
#[test]
fn nothing_is_found_in_ordinary_manifests() {
    let mut told = String::new();
    let paths = manifests(&data("clean"));
    assert!(paths.len() >= 30, "{} manifests", paths.len());
    for path in paths {
        let findings: Vec<Finding> = check_objects(&read(&path))
            .into_iter()
            .filter(|finding| finding.check.severity > Severity::Remark)
            .collect();
        if !findings.is_empty() {
            let _ = writeln!(told, "{}\n{}", path.display(), print(&findings));
        }
    }
    assert!(told.is_empty(), "{told}");
}

/// Of the examples only one has a fault, and that is found.
#[test]
fn the_examples_are_clean_but_for_the_one_that_is_not() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for path in manifests(&examples) {
        let findings: Vec<Finding> = check_objects(&read(&path))
            .into_iter()
            .filter(|finding| finding.check.severity > Severity::Remark)
            .collect();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name == "init-config.yaml" {
            compare(&data("init-config.txt"), &print(&findings));
            let ids: Vec<&str> = findings.iter().map(|finding| finding.check.id).collect();
            assert_eq!(ids, ["init-writes-unread-path"]);
        } else {
            assert!(findings.is_empty(), "{name}\n{}", print(&findings));
        }
    }
}

/// Comments and annotations silence what they name, and only that.
#[test]
fn what_is_to_be_ignored_is() {
    let objects = read(&data("ignored.yaml"));
    let findings = check_objects(&objects);
    compare(&data("ignored.txt"), &print(&findings));
    for finding in &findings {
        assert!(
            finding.object.name.starts_with("found"),
            "{}",
            print(&findings)
        );
    }
}

/// `actual` must be what the file at `path` says; `UPDATE=1` rewrites it.
fn compare(path: &Path, actual: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs (UPDATE=1 rewrites it); now:\n{actual}",
        path.display()
    );
}
