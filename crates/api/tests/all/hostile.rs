//! Manifests that are made to hurt: bounded in time and memory, and told what is wrong. None of these tests measures time;
//! what is not bounded does not end.

use std::fmt::Write as _;

use podyard_api::limits::{MAX_DEPTH, MAX_NODES, MAX_OBJECT_BYTES, MAX_PROBLEMS, MAX_SOURCE_BYTES};
use podyard_api::{Diagnostics, LoadOptions, Objects, Source, load, render};

/// Enough for anything that is worse than linear to show.
const LARGE: usize = 1 << 20;

const HEAD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n";
const CONTAINERS: &str = "  containers:\n  - {name: c, image: \"busybox:1\"}\n";

fn read(text: impl Into<String>) -> Result<Objects, Diagnostics> {
    load(&[Source::new("f.yaml", text)], &LoadOptions::default())
}

/// The first error, rendered, for a text that must be refused.
fn refused(text: impl Into<String>) -> String {
    let diagnostics = read(text).expect_err("it must be refused");
    assert!(
        diagnostics.0.len() <= 2 * MAX_PROBLEMS,
        "{} problems",
        diagnostics.0.len()
    );
    let rendered = render::render_all(&diagnostics, false);
    assert!(
        rendered.len() < 4 << 20,
        "{} bytes of messages",
        rendered.len()
    );
    diagnostics.0[0].message.clone()
}

#[test]
fn deep_nesting() {
    let too_deep = format!("maps and lists nested more than {MAX_DEPTH} deep");
    assert_eq!(refused("[".repeat(LARGE)), too_deep);
    assert_eq!(refused("- ".repeat(LARGE / 2)), too_deep);
    assert_eq!(
        refused(format!("a: {}", "{a: ".repeat(LARGE / 4))),
        too_deep
    );
    assert_eq!(refused("? ".repeat(LARGE / 2)), too_deep);
    let mut block = String::new();
    for depth in 0..1000 {
        let _ = writeln!(block, "{}a:", " ".repeat(depth));
    }
    assert_eq!(refused(block), too_deep);
    let json = refused(format!("{{\"a\":{}", "[".repeat(LARGE)));
    assert!(json.contains("nested more than"), "{json}");
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let levels = MAX_DEPTH - 8;
    let nested = format!("{}x{}", "[".repeat(levels), "]".repeat(levels));
    let message = refused(format!("{HEAD}{CONTAINERS}  deep: {nested}\n"));
    assert_eq!(message, "unknown field \"spec.deep\"");
}

#[test]
fn alias_bombs() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        let _ = writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            alias.trim_end_matches(", ")
        );
    }
    let too_many =
        format!("more than {MAX_NODES} values in one source, counting what aliases repeat");
    assert_eq!(refused(bomb), too_many);
    // One long text, repeated.
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 18),
        "*a, ".repeat(100_000)
    );
    assert_eq!(refused(long), too_many);
    // Merge keys repeat as well.
    let mut merges = String::from("a0: &a0 {x: 1, y: 2}\n");
    for level in 1..40 {
        let _ = writeln!(
            merges,
            "a{level}: &a{level} {{<<: *a{0}, p{level}: *a{0}, q{level}: *a{0}}}",
            level - 1
        );
    }
    assert_eq!(refused(merges), too_many);
    assert!(refused("a: &a [*a]").contains("an alias inside the value that it names"));
}

#[test]
fn anchors_deeper_than_the_limit() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..300 {
        let _ = writeln!(text, "a{level}: &a{level} [*a{}]", level - 1);
    }
    assert_eq!(
        refused(text),
        format!("maps and lists nested more than {MAX_DEPTH} deep")
    );
}

#[test]
fn too_much_text() {
    let message = format!("larger than {} MiB; no manifest is", MAX_SOURCE_BYTES >> 20);
    let text = "# x\n".repeat(100 << 18);
    assert_eq!(text.len(), 100 << 20);
    let error = Source::from_bytes("f.yaml", text.clone().into_bytes()).expect_err("too large");
    assert_eq!(error.message, message);
    assert_eq!(refused(text), message);
}

#[test]
fn one_object_may_be_as_large_as_a_request() {
    let map = |bytes: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata:\n  a: {}\n",
            "x".repeat(bytes)
        )
    };
    assert_eq!(
        refused(map(MAX_OBJECT_BYTES)),
        format!("Request entity too large: limit is {MAX_OBJECT_BYTES}")
    );
    assert_eq!(
        refused(map(2 << 20)),
        "[]: Too long: may not be more than 1048576 bytes"
    );
    assert!(read(map(1 << 20)).is_ok());
}

#[test]
fn a_million_keys() {
    let mut keys = String::new();
    for key in 0..1_000_000 {
        let _ = writeln!(keys, "{key}: x");
    }
    assert_eq!(
        refused(keys.clone()),
        format!("more than {MAX_NODES} values in one source, counting what aliases repeat")
    );
    // As many as there may be: one error each, of which some are shown.
    let mut data = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n");
    for key in 0..20_000 {
        let _ = writeln!(data, "  a {key}: x");
    }
    assert!(refused(data).starts_with("data[a 0]: Invalid value: \"a 0\""));
    let mut unknown = String::from(HEAD);
    for key in 0..20_000 {
        let _ = writeln!(unknown, "  f{key}: x");
    }
    assert_eq!(refused(unknown), "unknown field \"spec.f0\"");
    let same = format!("{HEAD}{}", "  a: x\n".repeat(20_000));
    assert_eq!(refused(same), "key \"a\" already set in map");
    let json = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(20_000));
    assert_eq!(refused(json), "duplicate field \"a\"");
}

#[test]
fn many_wrong_things_at_once() {
    let mut text = format!("{HEAD}  containers:\n  - name: c\n    image: busybox:1\n    env:\n");
    for index in 0..10_000 {
        let _ = writeln!(text, "    - {{name: A{index}, value: {index}}}");
    }
    assert_eq!(
        refused(text),
        "spec.containers[0].env[0].value: must be a string, but is the number 0"
    );
    let mut text = format!("{HEAD}  volumes:\n");
    for index in 0..10_000 {
        let _ = writeln!(text, "  - {{name: v{index}, emptyDir: {{}}}}");
    }
    text.push_str("  containers:\n  - name: c\n    image: busybox:1\n    volumeMounts:\n");
    for index in 0..10_000 {
        let _ = writeln!(text, "    - {{name: w{index}, mountPath: /m{index}}}");
    }
    assert_eq!(
        refused(text),
        "spec.containers[0].volumeMounts[0].name: Not found: \"w0\""
    );
}

#[test]
fn many_right_things_at_once() {
    let mut text = format!("{HEAD}  volumes:\n");
    for index in 0..4_000 {
        let _ = writeln!(text, "  - {{name: v{index}, emptyDir: {{}}}}");
    }
    text.push_str("  topologySpreadConstraints:\n");
    for index in 0..4_000 {
        let _ = writeln!(
            text,
            "  - {{maxSkew: 1, topologyKey: k{index}, whenUnsatisfiable: DoNotSchedule}}"
        );
    }
    text.push_str("  containers:\n  - name: c\n    image: busybox:1\n    volumeMounts:\n");
    for index in 0..4_000 {
        let _ = writeln!(text, "    - {{name: v{index}, mountPath: /m{index}}}");
    }
    assert_eq!(read(text).map(|objects| objects.pods.len()).ok(), Some(1));
}

#[test]
fn many_documents() {
    assert_eq!(
        refused("---\n".repeat(LARGE / 4)),
        "there is no object in here"
    );
    assert_eq!(
        refused("---\n# x\n".repeat(LARGE / 8)),
        "there is no object in here"
    );
    let all: String = (0..500)
        .map(|number| {
            format!("---\n{HEAD}{CONTAINERS}").replace("name: p", &format!("name: p{number}"))
        })
        .collect();
    let objects = read(all).expect("all are valid");
    assert_eq!(objects.pods.len(), 500);
}

#[test]
fn bytes_that_are_no_text() {
    for (bytes, hint) in [
        (
            &b"apiVersion: v1\nkind: \xff\n"[..],
            "save the file as UTF-8",
        ),
        (
            &b"\xff\xfea\0p\0i\0"[..],
            "the file is UTF-16: save it as UTF-8",
        ),
    ] {
        let error = Source::from_bytes("f.yaml", bytes.to_vec()).expect_err("no UTF-8");
        assert_eq!(error.message, "this is not UTF-8");
        assert_eq!(error.hint.as_deref(), Some(hint));
        assert!(render::render(&error, false).contains(hint));
    }
    let error = Source::from_bytes("f.yaml", b"a: b\nc: \xc3(\n".to_vec()).expect_err("no UTF-8");
    let span = error.span.expect("a place");
    assert_eq!(span.line_column(), (2, 4));
    assert_eq!(refused("a: \u{0}"), "control characters are not allowed");
    assert_eq!(
        refused("a: \u{1b}[2J"),
        "control characters are not allowed"
    );
}

#[test]
fn gigantic_numbers() {
    let nines = "9".repeat(1 << 18);
    for (field, expected) in [
        (
            format!("terminationGracePeriodSeconds: {nines}"),
            "spec.terminationGracePeriodSeconds: must be a whole number of at most 64 bits, but is ",
        ),
        (
            "activeDeadlineSeconds: 1e400".to_owned(),
            "spec.activeDeadlineSeconds: must be a whole number of at most 64 bits, but is ",
        ),
        (
            "activeDeadlineSeconds: 99999999999999999999".to_owned(),
            "spec.activeDeadlineSeconds: must be a whole number of at most 64 bits, but is ",
        ),
        (
            format!("activeDeadlineSeconds: 0x{}", "f".repeat(1 << 18)),
            "spec.activeDeadlineSeconds: must be a whole number of at most 64 bits, but is ",
        ),
        (
            "activeDeadlineSeconds: .inf".to_owned(),
            "JSON, and so Kubernetes, has no infinite numbers",
        ),
        (
            "hostNetwork: 1".to_owned(),
            "spec.hostNetwork: must be true or false, but is the number 1",
        ),
    ] {
        let message = refused(format!("{HEAD}{CONTAINERS}  {field}\n"));
        assert!(message.starts_with(expected), "{message:.200}");
    }
}

#[test]
fn gigantic_quantities() {
    let pod = |amount: &str| {
        format!(
            "{HEAD}  containers:\n  - {{name: c, image: \"busybox:1\", resources: {{limits: {{memory: {amount}}}}}}}\n"
        )
    };
    let memory = |amount: &str| {
        let objects = read(pod(amount)).unwrap_or_else(|error| panic!("{amount:.40}: {error}"));
        let resources = objects.pods[0].spec().containers[0].resources.clone();
        resources
            .and_then(|resources| resources.limits?.remove("memory"))
            .map(|amount| amount.0)
    };
    let most = i64::MAX.to_string();
    for amount in [
        "9".repeat(1 << 18),
        "\"1e1000000000\"".to_owned(),
        "99999999999E".to_owned(),
    ] {
        let cut = memory(&amount).unwrap_or_default();
        assert!(cut == most || cut.starts_with('9'), "{cut:.60}");
    }
    assert_eq!(memory("\"0.0000000000000000001\"").as_deref(), Some("1m"));
    assert_eq!(
        memory(&format!("\"0.{}1\"", "0".repeat(1 << 18))).as_deref(),
        Some("1m")
    );
    assert_eq!(memory("\"1e-1000000000\"").as_deref(), Some("1e-3"));
    assert!(refused(pod("\"1e99999999999999999999\"")).contains("is no quantity"));
}

#[test]
fn long_lines_and_names() {
    for text in [
        "x".repeat(LARGE),
        "\"".repeat(LARGE),
        format!("\"{}", "x".repeat(LARGE)),
        format!("a: |\n  {}", "x".repeat(LARGE)),
        "#".repeat(LARGE),
        " ".repeat(LARGE),
        "\t".repeat(LARGE),
        "\n".repeat(LARGE),
        ":".repeat(LARGE),
        "a:".repeat(LARGE / 2),
        "a: ".repeat(LARGE / 3),
        ",".repeat(LARGE),
        "!".repeat(LARGE),
        "&a ".repeat(LARGE / 3),
        "%YAML 1.1\n".repeat(LARGE / 10),
        "'".repeat(LARGE),
        format!("{{{}", "a, ".repeat(LARGE / 3)),
        format!("{{\"{}", "\\".repeat(LARGE)),
        format!("{{\"a\":{}", "1".repeat(LARGE)),
    ] {
        let message = refused(text);
        assert!(message.len() < 10_000, "{} characters", message.len());
    }
    let message = refused(format!(
        "{HEAD}{CONTAINERS}  hostname: {}\n",
        "A".repeat(1 << 18)
    ));
    assert!(message.starts_with("spec.hostname: Invalid value: \"AAA"));
}

#[test]
fn nothing_in_a_manifest_reaches_the_terminal() {
    let diagnostics = read("a: \"\\e[2J\\x9b\"\nkind: \"\\e[31m\"\n").expect_err("no object");
    let rendered = render::render_all(&diagnostics, false);
    assert!(!rendered.contains(['\u{1b}', '\u{9b}']), "{rendered:?}");
}
