//! What becomes of valid manifests: each file of `tests/data/loaded` beside the objects as the API server would have stored
//! them, and the pods and claims that are made of workloads.

use std::fs;

use podyard_api::{LoadOptions, Objects, Source, ValidWorkload, Workload, load, render};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::golden;

#[test]
fn objects_are_defaulted_as_the_api_server_does() {
    let mut checked = 0;
    for entry in fs::read_dir(golden::data("loaded")).expect("the directory of manifests") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        checked += 1;
        let objects = read(&golden::read(&path));
        golden::compare(&path.with_extension("json"), &printed(&objects));
    }
    assert!(checked >= 10, "only {checked} manifests were found");
}

/// Pods as a real API server 1.36.2 stored them, without what the scheduler and admission plugins wrote.
#[test]
fn defaults_are_those_of_a_recorded_server() {
    #[derive(Deserialize)]
    struct Recorded {
        name: String,
        given: Value,
        stored: Value,
    }
    let text = golden::read(&golden::data("recorded.json"));
    let all: Vec<Recorded> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(all.len(), 27);
    for recorded in all {
        let objects = read(&recorded.given.to_string());
        let ours = serde_json::to_value(objects.pods[0].pod()).expect("JSON");
        assert_eq!(ours, recorded.stored, "{}", recorded.name);
    }
}

#[test]
fn applying_defaults_twice_changes_nothing() {
    for name in ["containers", "volumes", "resources", "pod_resources"] {
        let objects = read(&golden::read(&golden::data(&format!("loaded/{name}.yaml"))));
        for pod in objects.pods {
            let once = pod.clone().into_pod();
            let mut twice = once.clone();
            podyard_api::defaults::apply(&mut twice, "xxxxx");
            assert_eq!(once, twice, "{name}");
        }
    }
}

fn read(text: &str) -> Objects {
    let source = Source::new("f.yaml", text);
    let options = LoadOptions {
        accept_unsupported: true,
        ..LoadOptions::default()
    };
    load(&[source], &options)
        .unwrap_or_else(|error| panic!("{}", render::render_all(&error, false)))
}

fn printed(objects: &Objects) -> String {
    let mut out = String::new();
    objects.pods.iter().for_each(|pod| add(&mut out, pod.pod()));
    objects
        .config_maps
        .iter()
        .for_each(|map| add(&mut out, map));
    objects
        .secrets
        .iter()
        .for_each(|secret| add(&mut out, secret));
    objects.claims.iter().for_each(|claim| add(&mut out, claim));
    objects
        .services
        .iter()
        .for_each(|service| add(&mut out, service));
    for workload in &objects.workloads {
        self::workload(&mut out, workload);
    }
    out
}

fn workload(out: &mut String, workload: &ValidWorkload) {
    match workload.workload() {
        Workload::Deployment(object) => add(out, object),
        Workload::ReplicaSet(object) => add(out, object),
        Workload::StatefulSet(object) => add(out, object),
        Workload::DaemonSet(object) => add(out, object),
        Workload::Job(object) => add(out, object),
        Workload::CronJob(object) => add(out, object),
    }
    if let Some(job) = workload.scheduled_job(29_000_000) {
        self::workload(out, &job);
    }
    for index in 0..workload.replicas() {
        let pod = workload
            .pod(index, 1_000 * (index as u64 + 1))
            .unwrap_or_else(|error| panic!("{error}"));
        add(out, pod.pod());
        workload
            .claims(index)
            .iter()
            .for_each(|claim| add(out, claim));
    }
}

fn add(out: &mut String, object: &impl Serialize) {
    out.push_str(&serde_json::to_string_pretty(object).expect("objects can be printed"));
    out.push('\n');
}
