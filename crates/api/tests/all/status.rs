//! Invalid manifests as `v1.Status`.

use podyard_api::{LoadOptions, Source, load, status};

use crate::golden;

fn refused(text: &str) -> podyard_api::Diagnostics {
    match load(&[Source::new("f.yaml", text)], &LoadOptions::default()) {
        Err(diagnostics) => diagnostics,
        Ok(_) => panic!("accepted: {text}"),
    }
}

#[test]
fn every_wrong_object_has_its_status() {
    let diagnostics = refused(&golden::read(&golden::data("status.yaml")));
    let printed = serde_json::to_string_pretty(&status::print(&diagnostics)).expect("JSON");
    golden::compare(&golden::data("status.json"), &format!("{printed}\n"));
}

#[test]
fn a_single_status_stands_alone() {
    let diagnostics = refused("a: b: c");
    let status = status::print(&diagnostics);
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["reason"], "BadRequest");
    assert_eq!(status["details"]["causes"][0]["column"], 5);
}
