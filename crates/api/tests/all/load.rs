//! Whole manifests through the public interface.

use podyard_api::{LoadOptions, Objects, Source, load, render, restart_pod};

use crate::golden;

fn read(text: &str) -> Result<Objects, String> {
    load(&[Source::new("f.yaml", text)], &LoadOptions::default())
        .map_err(|diagnostics| render::render_all(&diagnostics, false))
}

#[test]
fn several_documents_and_lists_are_taken_apart() {
    let objects = read(
        "\u{feff}# nothing\r\n---\r\napiVersion: v1\r\nkind: Pod\r\nmetadata: {generateName: web-}\r\nspec:\r\n  containers:\r\n  - {name: c, image: busybox}\r\n---\r\n---\r\napiVersion: v1\r\nkind: List\r\nitems:\r\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: b}}\r\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: w}}\r\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(objects.pods[0].name(), "web-bbbbb");
    assert_eq!(
        objects.pods[0].spec().containers[0]
            .image_pull_policy
            .as_deref(),
        Some("Always")
    );
    assert_eq!(
        objects.config_maps[0].metadata.namespace.as_deref(),
        Some("default")
    );
    assert_eq!(
        objects.secrets[0]
            .data
            .as_ref()
            .and_then(|data| data.get("p"))
            .map(|value| value.0.as_slice()),
        Some(&b"w"[..])
    );
}

#[test]
fn every_problem_is_shown_with_its_place() {
    let error = read(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  intiContainers: []\n  hostNetwork: \"true\"\n  containers:\n  - name: c\n    image: busybox\n    env:\n    - {name: A, value: 1}\n    comand: [sh]\n",
    )
    .unwrap_err();
    assert_eq!(
        error,
        r#"f.yaml:5:3: error: unknown field "spec.intiContainers"
  5 |   intiContainers: []
    |   ^^^^^^^^^^^^^^
hint: did you mean `initContainers`?
f.yaml:6:16: error: spec.hostNetwork: must be true or false, but is the string "true"
  6 |   hostNetwork: "true"
    |                ^^^^^^
hint: remove the quotes
f.yaml:11:24: error: spec.containers[0].env[0].value: must be a string, but is the number 1
  11 |     - {name: A, value: 1}
     |                        ^
hint: put it in quotes: "1"
f.yaml:12:5: error: unknown field "spec.containers[0].comand"
  12 |     comand: [sh]
     |     ^^^^^^
hint: did you mean `command`?
"#
    );
}

#[test]
fn every_example_loads_without_an_error() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read_files = 0;
    for entry in std::fs::read_dir(&directory).expect("the examples") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        read_files += 1;
        let text = std::fs::read_to_string(&path).expect("an example");
        let objects = read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            !objects.pods.is_empty() || !objects.workloads.is_empty(),
            "{} describes no pod",
            path.display()
        );
    }
    assert!(read_files > 0);
}

#[test]
fn what_a_pod_needs_and_no_manifest_brings_is_noticed() {
    let objects = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: busybox:1\n    envFrom:\n    - configMapRef: {name: here}\n    - configMapRef: {name: there}\n    - secretRef: {name: maybe, optional: true}\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let warnings: Vec<&str> = objects
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(
        warnings,
        [
            "spec.containers[0].envFrom[1].configMapRef.name: ConfigMap \"there\" is not among the manifests: what needs it will wait for it"
        ]
    );
}

#[test]
fn two_objects_of_one_name_cannot_both_be_meant() {
    let map = |name: &str, namespace: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        )
    };
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: m}\n";
    let fine = map("m", "default") + &map("m", "other") + &map("another", "default") + secret;
    read(&fine).unwrap_or_else(|error| panic!("{error}"));
    let rendered = read(&(fine + secret)).expect_err("the last one is there already");
    assert!(
        rendered.starts_with("f.yaml:20:18: error: metadata.name: Duplicate value: \"m\"\n"),
        "{rendered}"
    );
    assert!(
        rendered.contains("hint: the manifests have this Secret already"),
        "{rendered}"
    );
}

#[test]
fn tabs_are_explained_wherever_they_are() {
    let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n";
    for (rest, place) in [
        ("\t- name: c\n", "f.yaml:6:1"),
        ("  - name: c\n  \timage: b\n", "f.yaml:7:3"),
        ("  - name: c\n    command: >\n\t  text\n", "f.yaml:8:1"),
    ] {
        let rendered = read(&format!("{head}{rest}")).expect_err("a tab");
        let expected = format!("{place}: error: a tab cannot indent");
        assert!(rendered.starts_with(&expected), "{rest:?}: {rendered}");
        assert!(rendered.contains("hint: YAML is indented with blanks only"));
    }
}

#[test]
fn unknown_kinds_can_be_passed_over() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n";
    assert!(read(text).is_err());
    let options = LoadOptions {
        skip_unknown: true,
        ..LoadOptions::default()
    };
    let objects = load(&[Source::new("f.yaml", text)], &options).expect("the rest is fine");
    assert_eq!(objects.config_maps.len(), 1);
    assert_eq!(objects.warnings.len(), 1);
}

#[test]
fn restart_pod_mode_in_the_terms_of_kubernetes() {
    let objects = read(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {podyard.dev/on-init-failure: restart-pod}}\nspec:\n  initContainers:\n  - {name: a, image: busybox:1}\n  - {name: b, image: busybox:1, restartPolicy: Always}\n  containers:\n  - {name: c, image: busybox:1}\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let pod = objects.pods[0].pod();
    assert!(restart_pod::is_asked_for(pod));
    let printed = serde_json::to_string(&restart_pod::as_rules(pod)).expect("JSON");
    let again = read(&printed).unwrap_or_else(|error| panic!("{error}"));
    let inits = again.pods[0]
        .spec()
        .init_containers
        .clone()
        .unwrap_or_default();
    let rules = serde_json::to_value(&inits[0].restart_policy_rules).expect("JSON");
    assert_eq!(
        rules,
        serde_json::json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0]}}])
    );
    assert_eq!(inits[0].restart_policy.as_deref(), Some("OnFailure"));
    assert_eq!(inits[1].restart_policy_rules, None);
    assert!(!restart_pod::is_asked_for(again.pods[0].pod()));
}

#[test]
fn annotations_for_podyard_are_checked() {
    let pod = |annotation: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations: {{{annotation}}}\nspec:\n  containers: [{{name: c, image: busybox:1}}]\n"
        )
    };
    let error = read(&pod("podyard.dev/on-init-failure: restart-all")).unwrap_err();
    assert!(
        error.contains(r#"metadata.annotations[podyard.dev/on-init-failure]: Unsupported value: "restart-all": supported values: "restart-pod", "retry-container""#),
        "{error}"
    );
    let objects = read(&pod("podyard.dev/on-init-failur: restart-pod"))
        .unwrap_or_else(|error| panic!("{error}"));
    let hint = objects.warnings[0].hint.as_deref();
    assert_eq!(hint, Some("did you mean `podyard.dev/on-init-failure`?"));
}

/// The pods of a CronJob's job stand in the CronJob's text, one template deeper than those of a Job.
#[test]
fn the_pod_of_a_cron_job_knows_its_place() {
    let objects = read(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec:\n  schedule: \"* * * * *\"\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers:\n          - name: one\n            image: busybox\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let job = objects.workloads[0].scheduled_job(0).expect("a job");
    let pod = job.pod(0, 0).unwrap_or_else(|error| panic!("{error}"));
    let path = podyard_api::Path::fields("spec.containers")
        .index(0)
        .field("image");
    assert_eq!(pod.span(&path).text(), "busybox");
    assert_eq!(
        pod.in_document(&path).to_string(),
        "spec.jobTemplate.spec.template.spec.containers[0].image"
    );
}

#[test]
fn what_other_kinds_mean_on_one_machine_is_said() {
    let text = golden::read(&golden::data("kinds.yaml"));
    let options = LoadOptions {
        accept_unsupported: true,
        ..LoadOptions::default()
    };
    let objects = load(&[Source::new("f.yaml", text.as_str())], &options)
        .unwrap_or_else(|error| panic!("{}", render::render_all(&error, false)));
    let mut said = String::new();
    for warning in &objects.warnings {
        said.push_str(&render::render(warning, false));
    }
    golden::compare(&golden::data("kinds.rendered"), &said);

    let error = read(&text).unwrap_err();
    let errors = error.lines().filter(|line| line.contains(": error: "));
    assert_eq!(errors.count(), 6, "{error}");
}
