//! Pods out of one line per container:
//!
//! ```text
//! pod policy=OnFailure grace=5 deadline=60 gate=x/y mode=restart-pod max-backoff=20
//! init i1 image=busybox:1 pull=Never policy=Never rule=Restart:In:42,43
//! side s  startup=1,0,2 liveness=5,0,1 readiness=5 prestop poststart
//! app a
//! ```
//!
//! A probe is `period,initialDelay,failureThreshold`. Words with a `.` in front are not for the Pod but for the fake world, and are kept as
//! they are.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use podyard_lifecycle::{OnInitFailure, Settings};
use serde_json::{Value, json};

/// A pod, and what the world has to know about its containers.
#[derive(Clone, Debug)]
pub(crate) struct TestPod {
    pub(crate) object: Value,
    pub(crate) settings: Settings,
    /// The containers in the order of their index.
    pub(crate) containers: Vec<TestContainer>,
}

#[derive(Clone, Debug)]
pub(crate) struct TestContainer {
    pub(crate) name: String,
    pub(crate) is_init: bool,
    pub(crate) is_sidecar: bool,
    /// The words with a dot in front, without it.
    pub(crate) world: BTreeMap<String, String>,
}

impl TestPod {
    pub(crate) fn pod(&self) -> Pod {
        serde_json::from_value(self.object.clone()).expect("the test's pod is one")
    }

    /// Reads the lines of a pod. Whoever writes a test wants to hear of a mistake at once, so it panics.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut settings = Settings {
            host_ips: vec!["10.0.0.1".into()],
            ..Settings::default()
        };
        let mut spec = json!({});
        let mut inits: Vec<(Value, TestContainer)> = Vec::new();
        let mut apps = Vec::new();
        for line in lines {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("pod") => words.for_each(|word| pod_word(&mut spec, &mut settings, word)),
                Some("init") => inits.push(container(words, true, false)),
                Some("side") => inits.push(container(words, true, true)),
                Some("app") => apps.push(container(words, false, false)),
                other => panic!("{other:?} is no line of a pod"),
            }
        }
        let objects = |list: &[(Value, TestContainer)]| -> Vec<Value> {
            list.iter().map(|(object, _)| object.clone()).collect()
        };
        spec["containers"] = objects(&apps).into();
        if !inits.is_empty() {
            spec["initContainers"] = objects(&inits).into();
        }
        let object = json!({
            "metadata": { "name": "p", "namespace": "default", "uid": "u", "generation": 1 },
            "spec": spec,
        });
        let containers = inits
            .into_iter()
            .chain(apps)
            .map(|(_, container)| container)
            .collect();
        Self {
            object,
            settings,
            containers,
        }
    }
}

fn pod_word(spec: &mut Value, settings: &mut Settings, word: &str) {
    let (key, value) = word.split_once('=').expect("key=value");
    let number = || value.parse::<i64>().expect("a number");
    match key {
        "policy" => spec["restartPolicy"] = value.into(),
        "grace" => spec["terminationGracePeriodSeconds"] = number().into(),
        "deadline" => spec["activeDeadlineSeconds"] = number().into(),
        "gate" => spec["readinessGates"] = json!([{ "conditionType": value }]),
        "mode" if value == "restart-pod" => settings.on_init_failure = OnInitFailure::RestartPod,
        "max-backoff" => {
            settings.max_container_restart_period = Duration::from_secs(number().unsigned_abs());
        }
        _ => panic!("the pod has no {key}"),
    }
}

fn container<'a>(
    mut words: impl Iterator<Item = &'a str>,
    is_init: bool,
    is_sidecar: bool,
) -> (Value, TestContainer) {
    let name = words.next().expect("a name");
    let mut object = json!({ "name": name, "image": "busybox:1" });
    if is_sidecar {
        object["restartPolicy"] = "Always".into();
    }
    let mut world = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "image" => object["image"] = value.into(),
            "pull" => object["imagePullPolicy"] = value.into(),
            "policy" => object["restartPolicy"] = value.into(),
            "rule" => {
                if object.get("restartPolicyRules").is_none() {
                    object["restartPolicyRules"] = json!([]);
                }
                let rules = object["restartPolicyRules"].as_array_mut().expect("a list");
                rules.push(rule(value));
            }
            "prestop" => object["lifecycle"]["preStop"]["exec"]["command"] = json!(["true"]),
            "poststart" => object["lifecycle"]["postStart"]["exec"]["command"] = json!(["true"]),
            "startup" | "liveness" | "readiness" => {
                object[format!("{key}Probe")] = probe(value);
            }
            _ => {
                let key = key
                    .strip_prefix('.')
                    .expect("a word of the world begins with a dot");
                world.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    (
        object,
        TestContainer {
            name: name.to_owned(),
            is_init,
            is_sidecar,
            world,
        },
    )
}

/// `Restart:In:42,43`
fn rule(text: &str) -> Value {
    let mut parts = text.split(':');
    let (action, operator) = (parts.next(), parts.next());
    let values: Vec<i32> = parts
        .next()
        .unwrap_or_default()
        .split(',')
        .filter(|code| !code.is_empty())
        .map(|code| code.parse().expect("a code"))
        .collect();
    json!({ "action": action, "exitCodes": { "operator": operator, "values": values } })
}

/// `period,initialDelay,failureThreshold,successThreshold`
fn probe(text: &str) -> Value {
    let numbers: Vec<i32> = text
        .split(',')
        .map(|part| part.parse().expect("a number"))
        .collect();
    let number = |position: usize| numbers.get(position).copied();
    json!({
        "exec": { "command": ["true"] },
        "periodSeconds": number(0),
        "initialDelaySeconds": number(1),
        "failureThreshold": number(2),
        "successThreshold": number(3),
    })
}
