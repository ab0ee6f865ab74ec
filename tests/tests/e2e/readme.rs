//! The sessions in the README are true: their commands run, and print what is shown there but for times.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use podyard_e2e::manifest::{HANG, pod, sh};
use podyard_e2e::{Instance, container, eventually, repository};

/// A command of a session and the lines that are shown below it.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of all `console` blocks.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    shown: Vec::new(),
                }),
                (None, Some(step)) => step.shown.push(line.to_owned()),
                (None, None) => panic!("output without a command: {line}"),
            },
        }
    }
    steps
}

/// A line without what differs from run to run: times and ages, the bars that draw them, and the blanks between columns.
fn essence(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit = ["ns", "µs", "ms", "s", "m"].contains(&word);
        if word.chars().all(|character| "░█─▶".contains(character)) {
            continue;
        }
        if is_unit && words.last().is_some_and(|last| is_number(last)) {
            words.pop();
            words.push("TIME");
        } else if is_number(word.trim_end_matches(['µ', 'm', 's', 'h'])) && !is_number(word) {
            words.push("TIME");
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

fn is_number(word: &str) -> bool {
    word.trim_start_matches('+').parse::<f64>().is_ok()
}

/// Whether the printed lines are those that are shown; `…` stands for any number of lines.
fn is_as_shown(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| is_as_shown(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed.split_first().is_some_and(|(line, others)| {
            essence(first) == essence(line) && is_as_shown(rest, others)
        }),
    }
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a program");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("own file");
}

#[test]
fn its_sessions_are_true() {
    let podyard = Instance::new();
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
    // What the second session is about, and the README does not show.
    let directory = podyard.root().join("here");
    std::fs::create_dir(&directory).expect("own directory");
    std::os::unix::fs::symlink(
        repository()
            .join("examples")
            .canonicalize()
            .expect("examples"),
        directory.join("examples"),
    )
    .expect("a link");
    let typo = "apiVersion: v1\nkind: Pod\nmetadata: {name: typo}\nspec:\n  intiContainers:\n  - {name: a, image: busybox}\n  containers:\n  - {name: b, image: busybox}\n";
    std::fs::write(directory.join("typo.yaml"), typo).expect("a manifest");
    podyard.start(&pod(
        "web",
        "Always",
        &[sh("migrate", "echo connection refused: db:5432; exit 1")],
        &[sh("app", HANG)],
    ));
    podyard.wait_for("web", "its second failure", |pod| {
        let migrate = container(pod, "migrate");
        migrate["restartCount"] == 1 && migrate["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    // The programs as a reader has them, but for the root directory and the patience.
    let programs = podyard.root().join("bin");
    std::fs::create_dir(&programs).expect("own directory");
    let binary = podyard_e2e::binary();
    program(
        &programs.join("podyard"),
        &format!(
            "exec {} --root {} \"$@\"",
            binary.display(),
            podyard.root().display()
        ),
    );
    program(
        &programs.join("curl"),
        "exec /usr/bin/curl --silent --retry 20 --retry-connrefused --retry-delay 1 \"$@\"",
    );
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").expect("a PATH")
    );

    let mut ran = 0;
    for step in steps(&readme) {
        if !["podyard ", "curl "]
            .iter()
            .any(|word| step.command.starts_with(word))
        {
            continue;
        }
        let printed = || -> Vec<String> {
            let output = Command::new("sh")
                .args(["-c", &format!("{} 2>&1", step.command)])
                .current_dir(&directory)
                .env("PATH", &path)
                .output()
                .expect("a shell");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            text.lines()
                // The other session's pod is not in this one's listing.
                .filter(|line| !(step.command == "podyard get pods" && line.starts_with("web ")))
                .map(str::to_owned)
                .collect()
        };
        if ["podyard get ", "podyard timeline "]
            .iter()
            .any(|word| step.command.starts_with(word))
        {
            // A person is slower than the pod.
            eventually(&format!("{step:#?}, but\n{:#?}", printed()), || {
                is_as_shown(&step.shown, &printed()).then_some(())
            });
        } else {
            let printed = printed();
            assert!(
                is_as_shown(&step.shown, &printed),
                "{step:#?}, but\n{printed:#?}"
            );
        }
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands");
    podyard.finish();
}

#[test]
fn what_differs_from_run_to_run_is_left_out() {
    for (line, expected) in [
        ("web   1/1   Running   0   12s", "web 1/1 Running 0 TIME"),
        (
            "a init 1 +39.0 ms   1.92 ms   0     █",
            "a init 1 TIME TIME 0",
        ),
        ("NAME END   0 ───────── 361 ms", "NAME END 0 TIME"),
        (
            "failed with exit code 1; next try in 9s",
            "failed with exit code 1; next try in TIME",
        ),
    ] {
        assert_eq!(essence(line), expected);
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_as_shown(&lines("a\n…"), &lines("a\nb\nc")));
    assert!(!is_as_shown(&lines("a\n…\nd"), &lines("a\nb\nc")));
    assert!(!is_as_shown(&lines("a"), &lines("a\nb")));
}
