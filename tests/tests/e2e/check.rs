//! `podyard check`: findings, their forms, and the exit codes for CI.

use podyard_e2e::{Instance, assert_says, repository};
use serde_json::Value;

fn example(name: &str) -> String {
    let path = repository().join("examples").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// An instance without images: nothing is run.
fn podyard() -> Instance {
    Instance::without_images()
}

const HOLD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  initContainers:\n  - name: hold\n    image: busybox\n    command: ['sleep', 'infinity']\n  containers:\n  - name: app\n    image: busybox\n";

#[test]
fn the_example_is_reported_for_its_real_fault() {
    let podyard = podyard();
    let file = example("init-config.yaml");
    let output = podyard.run(&["check", &file]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!(
            "{file}:20:18: warning: `config-generator` writes `/etc/nginx/conf.d/default.conf` into the volume `config-volume`, which \
             `nginx-container` mounts at `/etc/nginx/html`: the file appears as `/etc/nginx/html/default.conf`, but nginx looks in \
             `/etc/nginx/conf.d` [init-writes-unread-path]\n\
             \x20 20 |       mountPath: /etc/nginx/html\n\
             \x20    |                  ^^^^^^^^^^^^^^^\n\
             {file}:12:18: the mount of `config-generator`\n\
             hint: mount `config-volume` at `/etc/nginx/conf.d` in `nginx-container`\n"
        )
    );
    assert_says(&output, 1, &["1 warning; docs/checks.md explains them"]);
}

#[test]
fn every_other_example_is_clean() {
    let podyard = podyard();
    for entry in std::fs::read_dir(repository().join("examples")).expect("examples") {
        let path = entry.expect("an entry").path();
        if path
            .file_name()
            .is_some_and(|name| name == "init-config.yaml")
        {
            continue;
        }
        let output = podyard.run(&["check", path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// Each level from which findings fail the command; a remark is only shown when it is asked for.
#[test]
fn exit_codes_are_for_scripts() {
    let podyard = podyard();
    let hold = podyard.manifest("hold.yaml", HOLD);
    let wait = podyard.manifest(
        "wait.yaml",
        &HOLD.replace(
            "['sleep', 'infinity']",
            "['sh', '-c', 'until nc -z db 5432; do sleep 1; done']",
        ),
    );
    let invalid = podyard.manifest(
        "invalid.yaml",
        &HOLD.replace("initContainers", "intiContainers"),
    );
    for (arguments, code) in [
        (&["check", &hold] as &[&str], 1),
        (&["check", &hold, "--fail-on", "never"], 0),
        (&["check", &hold, "--fail-on", "error"], 1),
        (&["check", &wait], 0),
        (&["check", &wait, "--fail-on", "remark"], 1),
        (&["check", &wait, "--severity", "remark"], 0),
        (&["check", &hold, &invalid], 2),
        (&["check", "/nowhere.yaml"], 3),
    ] {
        let output = podyard.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
    }
    let output = podyard.run(&["check", &wait]);
    assert_says(
        &output,
        0,
        &["nothing found; `--severity remark` shows 1 more"],
    );
    let shown = podyard.ok(&["check", &wait, "--severity", "remark"]);
    assert!(shown.contains("[init-wait-without-limit]"), "{shown}");
    let output = podyard.run(&["check", &invalid]);
    assert_says(&output, 2, &["did you mean `initContainers`?"]);
}

#[test]
fn findings_for_programs() {
    let podyard = podyard();
    let file = podyard.manifest("hold.yaml", HOLD);
    let parse = |form: &str| -> Value {
        let output = podyard.run(&["check", &file, "-o", form]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let json = parse("json");
    let finding = &json["findings"][0];
    assert_eq!(finding["check"], "init-never-ends");
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["field"], "spec.initContainers[0].command[0]");
    assert_eq!(finding["location"]["line"], 9);
    assert_eq!(finding["object"]["name"], "p");
    let sarif = parse("sarif");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], file);
    assert_eq!(place["region"]["startLine"], 9);
    let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
    assert_eq!(
        run["tool"]["driver"]["rules"][index]["id"],
        result["ruleId"]
    );
}

#[test]
fn what_is_to_be_ignored_is_not_reported() {
    let podyard = podyard();
    let line = "    command: ['sleep', 'infinity']";
    let commented = HOLD.replace(
        line,
        &format!("    # podyard:ignore init-never-ends\n{line}"),
    );
    let annotated = HOLD.replace(
        "  name: p\n",
        "  name: p\n  annotations: {podyard.dev/ignore: init-never-ends}\n",
    );
    for text in [commented, annotated] {
        let file = podyard.manifest("ignored.yaml", &text);
        assert_eq!(podyard.ok(&["check", &file]), "");
    }
}

/// The list is the table of the documentation.
#[test]
fn every_check_is_listed_and_documented() {
    let podyard = podyard();
    let list = podyard.ok(&["check", "--list"]);
    let document = std::fs::read_to_string(repository().join("docs/checks.md")).expect("checks.md");
    let ids: Vec<&str> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(ids.len() > 20, "{list}");
    for id in ids {
        assert!(document.contains(&format!("\n## {id}\n")), "{id}");
    }
}

/// Claims, workloads of a cluster and kinds that are not known are no obstacle: only what pods do matters here.
#[test]
fn manifests_of_a_cluster_can_be_checked() {
    let podyard = podyard();
    let template = "      initContainers:\n      - name: hold\n        image: redis\n      containers:\n      - name: app\n        image: busybox\n        volumeMounts: [{name: data, mountPath: /data}]\n      volumes:\n      - {name: data, persistentVolumeClaim: {claimName: data}}\n";
    let text = format!(
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: t}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  template:\n    metadata: {{labels: {{a: b}}}}\n    spec:\n{template}"
    );
    let file = podyard.manifest("cluster.yaml", &text);
    let output = podyard.run(&["check", &file, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["findings"][0]["check"], "init-never-ends");
    assert_eq!(
        json["findings"][0]["field"],
        "spec.template.spec.initContainers[0].image"
    );
}
