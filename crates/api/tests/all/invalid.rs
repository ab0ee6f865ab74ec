//! Wrong manifests, and ones that only look wrong: what the API server says about each, letter for letter, and what a
//! person sees.
//!
//! A case is a few lines of `tests/data/invalid/*.txt`: an id, a short form of the manifest, and the errors.
//!
//! ```text
//! D8   metadata: {name: p, labels: {app: "a b"}}
//!   + c: {command: []}
//!   ! metadata.labels: Invalid value: "a b": …
//! ```
//!
//! The short form changes a small valid pod: `metadata:` replaces its metadata, `spec:` and `volumes:` add to its spec,
//! `c:` adds to its container, `m:` to that container's only mount, `init:` makes an init container, `containers:` replaces
//! the list; `claim:` adds to the spec of a valid claim, `ConfigMap:` and other kinds add to an object of that kind, and
//! `file` is followed by a whole text after bars. `<64×a>` is 64 times `a`. A line with `=` is a field of the result. Case
//! without errors must load.
//!
//! What a person sees, places and hints included, is in the file of the same name that ends with `.rendered`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use podyard_api::{Diagnostics, Kind, LoadOptions, Objects, Source, load, render, validate};

use crate::golden;

/// How many cases there are under each letter: none may get lost.
const COUNTS: &[(char, usize)] = &[
    ('A', 21),
    ('B', 30),
    ('C', 14),
    ('D', 19),
    ('E', 24),
    ('F', 18),
    ('G', 18),
    ('H', 31),
    ('I', 40),
    ('J', 18),
    ('K', 17),
    ('L', 30),
    ('M', 20),
    ('N', 14),
    ('O', 26),
    ('P', 22),
    ('Q', 7),
    ('R', 15),
    ('S', 7),
    ('T', 36),
    ('U', 40),
    ('V', 21),
    ('W', 16),
];

#[derive(Default)]
struct Case {
    id: String,
    parts: Vec<(String, String)>,
    /// The object that replaces the first one, for rules about changes.
    then: Option<(String, String)>,
    errors: Vec<String>,
    values: Vec<(String, String)>,
}

#[test]
fn no_case_is_missing() {
    let mut found: BTreeMap<char, Vec<usize>> = BTreeMap::new();
    for (_, cases) in files() {
        for case in cases {
            let letter = case.id.chars().next().expect("an id");
            found
                .entry(letter)
                .or_default()
                .push(case.id[1..].parse().expect("a number after the letter"));
        }
    }
    for (letter, count) in COUNTS {
        let expected: Vec<usize> = (1..=*count).collect();
        assert_eq!(found.remove(letter), Some(expected), "cases of {letter}");
    }
    assert!(found.is_empty(), "unknown letters: {found:?}");
}

#[test]
fn every_case_gives_its_errors() {
    let mut wrong = String::new();
    let mut checked = 0;
    for (_, cases) in files() {
        for case in cases {
            checked += 1;
            let manifest = manifest(&case.parts);
            let actual = match read(&manifest) {
                Ok(objects) => errors_of_loaded(&case, &objects),
                Err(diagnostics) => errors(&case, &diagnostics),
            };
            if actual != case.errors {
                let _ = writeln!(
                    wrong,
                    "{}\n{manifest}\n  expected: {:#?}\n  actual:   {:#?}\n",
                    case.id, case.errors, actual
                );
            }
        }
    }
    assert!(checked > 400, "only {checked} cases were found");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_case_is_explained() {
    let texts = texts();
    for (name, cases) in files() {
        let mut out = String::new();
        for case in cases {
            let shown = match read(&manifest(&case.parts)) {
                Ok(objects) => render::render_all(&Diagnostics(objects.warnings), false),
                Err(diagnostics) => {
                    for diagnostic in &diagnostics.0 {
                        assert!(
                            diagnostic.span.is_some(),
                            "{}: no place: {diagnostic}",
                            case.id
                        );
                    }
                    render::render_all(&diagnostics, false)
                }
            };
            let shown = texts
                .iter()
                .fold(shown, |shown, (name, text)| shown.replace(text, name));
            let _ = writeln!(out, "{}\n{shown}", case.id);
        }
        golden::compare(&golden::data(&format!("invalid/{name}.rendered")), &out);
    }
}

fn read(manifest: &str) -> Result<Objects, Diagnostics> {
    load(&[Source::new("f.yaml", manifest)], &LoadOptions::default())
}

/// The errors as the API server would send them; for a text that is no manifest, the place and our words.
fn errors(case: &Case, diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics
        .0
        .iter()
        // What this version of podyard cannot do yet is valid for the API server.
        .filter(|diagnostic| diagnostic.is_error() && diagnostic.kind != Kind::NotSupportedYet)
        .map(|diagnostic| {
            if case.id.starts_with('A') {
                let (line, column) = diagnostic
                    .span
                    .as_ref()
                    .map_or((0, 0), |span| span.line_column());
                format!("{line}:{column} {}", diagnostic.message)
            } else {
                diagnostic.server_message().to_owned()
            }
        })
        .collect()
}

/// What is wrong with a change, or with the fields of what was read.
fn errors_of_loaded(case: &Case, objects: &Objects) -> Vec<String> {
    let printed = if let Some(pod) = objects.pods.first() {
        serde_json::to_value(pod.pod())
    } else {
        serde_json::to_value((objects.config_maps.first(), objects.secrets.first()))
    }
    .expect("objects can be printed");
    let mut wrong = Vec::new();
    for (path, expected) in &case.values {
        let expected: serde_json::Value = serde_json::from_str(expected).expect(expected);
        let pointer = format!("/{}", path.replace(']', "").replace(['.', '['], "/"));
        let roots = [Some(&printed), printed.get(0), printed.get(1)];
        let actual = roots
            .into_iter()
            .flatten()
            .find_map(|root| root.pointer(&pointer));
        if actual != Some(&expected) {
            wrong.push(format!("{path} is {actual:?}"));
        }
    }
    if let Some(then) = &case.then {
        let then = read(&manifest(std::slice::from_ref(then))).expect("a valid second object");
        let found = match (&objects.config_maps[..], &then.config_maps[..]) {
            ([old], [new]) => validate::config_map_update(old, new),
            _ => validate::secret_update(&objects.secrets[0], &then.secrets[0]),
        };
        wrong.extend(found.iter().map(|diagnostic| diagnostic.message.clone()));
    }
    wrong
}

/// The whole manifest that the short form stands for.
fn manifest(parts: &[(String, String)]) -> String {
    let get = |name: &str| {
        parts
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    if let Some(text) = get("file") {
        return text.to_owned();
    }
    if let Some(claim) = get("claim") {
        return format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: x}}\nspec:\n  <<:\n  - {claim}\n  - {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        );
    }
    if let Some((kind, body)) = parts
        .iter()
        .find(|(key, _)| key.starts_with(|first: char| first.is_ascii_uppercase()))
    {
        let version = match kind.as_str() {
            "Job" | "CronJob" => "batch/v1",
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps/v1",
            _ => "v1",
        };
        return format!(
            "apiVersion: {version}\nkind: {kind}\n<<:\n- {body}\n- {{metadata: {{name: x}}}}\n"
        );
    }
    pod(&get)
}

fn pod<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {}\nspec:\n  <<:\n",
        get("metadata").unwrap_or("{name: p}")
    );
    if let Some(spec) = get("spec") {
        let _ = writeln!(out, "  - {spec}");
    }
    let mounted = get("m").map(|mount| {
        format!("{{volumeMounts: [{{<<: [{mount}, {{name: v, mountPath: /m}}]}}]}}, ")
    });
    let volumes = get("volumes").or_else(|| mounted.as_ref().map(|_| "[{name: v, emptyDir: {}}]"));
    if let Some(volumes) = volumes {
        let _ = writeln!(out, "  - volumes: {volumes}");
    }
    if let Some(init) = get("init") {
        let _ = writeln!(
            out,
            "  - initContainers:\n    - <<: [{init}, {{name: i, image: busybox}}]"
        );
    }
    match get("containers") {
        Some(containers) => {
            let _ = writeln!(out, "  - containers: {containers}");
        }
        None => {
            let _ = writeln!(
                out,
                "  - containers:\n    - <<: [{}{}{{name: c, image: busybox}}]",
                mounted.unwrap_or_default(),
                get("c").map_or(String::new(), |c| format!("{c}, "))
            );
        }
    }
    out
}

/// The sentences that have a name, longest first.
fn texts() -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = golden::read(&golden::data("invalid/texts.txt"))
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    assert!(!texts.is_empty());
    texts.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    texts
}

/// The case files by name, without `.txt`.
fn files() -> Vec<(String, Vec<Case>)> {
    let texts = texts();
    let directory = golden::data("invalid");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .expect("the directory of cases")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .filter(|name| name != "texts")
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = golden::read(&directory.join(format!("{name}.txt")));
            let cases = cases(&name, &text, &texts);
            (name, cases)
        })
        .collect()
}

fn cases(name: &str, text: &str, texts: &[(String, String)]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            let (id, rest) = line.split_once(' ').unwrap_or((line, ""));
            cases.push(Case {
                id: id.to_owned(),
                ..Case::default()
            });
            part(cases.last_mut().expect("one was pushed"), rest.trim());
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{name}: {line} belongs to no case"));
        let line = &line[2..];
        match line.split_at(1) {
            ("+", rest) => part(case, rest.trim()),
            ("|", rest) => {
                let text = case.parts.last_mut().expect("a text after `file`");
                text.1
                    .push_str(&rest.strip_prefix(' ').unwrap_or(rest).replace('→', "\t"));
                text.1.push('\n');
            }
            ("!", rest) => {
                let message = texts
                    .iter()
                    .fold(repeated(rest.trim()), |message, (name, text)| {
                        message.replace(name, text)
                    });
                case.errors.push(message.replace("\\n", "\n"));
            }
            ("=", rest) => {
                let (path, value) = rest.trim().split_once(' ').expect("a path and a value");
                case.values.push((path.to_owned(), value.to_owned()));
            }
            ("#", _) => {}
            _ => panic!("{name}: {line}"),
        }
    }
    cases
}

fn part(case: &mut Case, text: &str) {
    let (then, text) = match text.strip_prefix("then ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let part = match text.split_once(": ") {
        _ if text.starts_with("file") => {
            let text = repeated(text["file".len()..].trim());
            ("file".to_owned(), text)
        }
        Some((key, value)) => (key.to_owned(), repeated(value)),
        None => panic!("{}: {text}", case.id),
    };
    if then {
        case.then = Some(part);
    } else {
        case.parts.push(part);
    }
}

/// `<3×ab>` becomes `ababab`.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('×') {
        let (before, after) = rest.split_at(at);
        let after = &after['×'.len_utf8()..];
        let (Some(open), Some(close)) = (before.rfind('<'), after.find('>')) else {
            panic!("an unfinished repetition in {text}");
        };
        let count: usize = before[open + 1..].parse().expect("a count");
        out.push_str(&before[..open]);
        out.push_str(&after[..close].repeat(count));
        rest = &after[close + 1..];
    }
    out.push_str(rest);
    out
}
