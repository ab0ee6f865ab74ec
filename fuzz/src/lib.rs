//! What must hold for any text. The fuzz targets call these functions, and so does an ordinary test of `podyard-api` with
//! the committed corpus.

use podyard_api::quantity::Value;
use podyard_api::{Diagnostics, LoadOptions, Objects, Source, load, render, status};

/// Any bytes are read as manifests or refused, without a panic; whatever is said about them can be printed and has a place
/// inside the text; and a pod that is accepted is the same pod when it is printed and read again.
pub fn manifest(bytes: &[u8]) {
    let source = match Source::from_bytes("f.yaml", bytes.to_vec()) {
        Ok(source) => source,
        Err(diagnostic) => return look_at(&Diagnostics(vec![*diagnostic])),
    };
    match load(std::slice::from_ref(&source), &LoadOptions::default()) {
        Ok(objects) => look_at(&Diagnostics(objects.warnings)),
        Err(diagnostics) => look_at(&diagnostics),
    }
    let lenient = LoadOptions {
        random: 7,
        skip_unknown: true,
        accept_unsupported: true,
        ..LoadOptions::default()
    };
    if let Ok(objects) = load(&[source], &lenient) {
        printed_and_read_again(&objects, &lenient);
    }
}

fn look_at(diagnostics: &Diagnostics) {
    let rendered = render::render_all(diagnostics, true);
    assert!(diagnostics.0.is_empty() || !rendered.is_empty());
    let printed = status::print(diagnostics).to_string();
    assert!(!printed.is_empty());
    for diagnostic in &diagnostics.0 {
        let span = diagnostic
            .span
            .as_ref()
            .expect("every diagnostic has a place");
        assert!(span.end() <= span.source().text.len());
        let (line, column) = span.line_column();
        assert!(line >= 1 && column >= 1);
    }
}

fn printed_and_read_again(objects: &Objects, options: &LoadOptions) {
    for pod in &objects.pods {
        let text = serde_json::to_string(pod.pod()).expect("a pod can be printed");
        let again = load(&[Source::new("again.json", text)], options)
            .unwrap_or_else(|error| panic!("printed and refused: {error}"));
        assert_eq!(again.pods[0].pod(), pod.pod());
    }
    for workload in &objects.workloads {
        for index in 0..workload.replicas().min(3) {
            // A pod may be refused for its name; making one must not panic.
            let _ = workload.pod(index, 1);
            let _ = workload.claims(index);
        }
        let _ = workload.scheduled_job(1);
    }
}

/// A quantity that is accepted is the same quantity when it is printed and read again, and rounding goes up.
pub fn quantity(text: &str) {
    let Ok(value) = text.parse::<Value>() else {
        return;
    };
    let printed = value.to_string();
    let again: Value = printed
        .parse()
        .unwrap_or_else(|error| panic!("{text:?} printed as {printed:?}: {error}"));
    assert_eq!(again, value, "{text:?} printed as {printed:?}");
    assert_eq!(again.to_string(), printed);
    assert!(value.is_negative() || value.rounded_to_milli() >= value);
}
