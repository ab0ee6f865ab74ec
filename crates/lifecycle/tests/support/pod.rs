//! Pods out of one line per container:
//!
//! ```text
//! pod policy=OnFailure grace=5 deadline=60 gate=x/y mode=restart-pod max-backoff=20 waits=100 host-network
//! init i1 image=busybox:1 pull=Never policy=Never rule=Restart:In:42,43
//! side s  startup=1,0,2 liveness=5,0,1,1,3 readiness=5 prestop poststart .term=0
//! app a   requests=cpu:1 limits=cpu:1,memory:1Gi mount=data:ro
//! ```
//!
//! A probe is `period,initialDelay,failureThreshold,successThreshold,grace`; what is left out has the API's default. Words with a `.` in front
//! are not for the Pod but for the world around it (`world.rs`), and are kept as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes, EphemeralContainer,
    ExecAction, LifecycleHandler, Pod, PodReadinessGate, PodSpec, Probe, ResourceRequirements,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use podyard_lifecycle::{OnInitFailure, Settings};

/// A pod, and what the world has to know about its containers.
#[derive(Clone, Debug)]
pub(crate) struct TestPod {
    pub(crate) pod: Pod,
    pub(crate) settings: Settings,
    /// Init containers first, as in the machine.
    pub(crate) containers: Vec<TestContainer>,
}

#[derive(Clone, Debug)]
pub(crate) struct TestContainer {
    pub(crate) name: String,
    pub(crate) image: String,
    /// The image is asked for at every start, also when it is there.
    pub(crate) always_pulls: bool,
    pub(crate) is_init: bool,
    pub(crate) is_sidecar: bool,
    /// The words with a dot in front, without it.
    pub(crate) world: BTreeMap<String, String>,
}

impl TestPod {
    /// Reads the lines of a pod. Whoever writes a test wants to hear of a mistake at once, so it panics.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut settings = Settings {
            host_ips: vec!["10.0.0.1".into()],
            ..Settings::default()
        };
        let mut spec = PodSpec::default();
        let (mut inits, mut apps) = (Vec::new(), Vec::new());
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
        spec.init_containers =
            (!inits.is_empty()).then(|| inits.iter().map(|(object, _)| object.clone()).collect());
        spec.containers = apps.iter().map(|(object, _)| object.clone()).collect();
        let mut pod = Pod {
            spec: Some(spec),
            ..Pod::default()
        };
        pod.metadata.name = Some("p".into());
        pod.metadata.namespace = Some("default".into());
        pod.metadata.uid = Some("u".into());
        pod.metadata.generation = Some(1);
        let containers = inits.into_iter().chain(apps).map(|(_, it)| it).collect();
        Self {
            pod,
            settings,
            containers,
        }
    }
}

impl TestPod {
    /// `app=busybox:2` for an image, `deadline=5` and the like for the pod; `+app` for a container more.
    pub(crate) fn change(&mut self, word: &str) {
        let spec = self.pod.spec.get_or_insert_default();
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if let Some(name) = name.strip_prefix('+') {
            let (object, known) = container([name].into_iter(), false, false);
            spec.containers.push(object);
            self.containers.push(known);
            return;
        }
        let Some(known) = self.containers.iter_mut().find(|it| it.name == name) else {
            return pod_word(spec, &mut self.settings, word);
        };
        known.image = value.to_owned();
        known.always_pulls = value.ends_with(":latest");
        let inits = spec.init_containers.iter_mut().flatten();
        let mut all = inits.chain(&mut spec.containers);
        let object = all.find(|it| it.name == name).expect("it is in the pod");
        object.image = Some(value.to_owned());
    }

    /// A container that is added to look into the pod.
    pub(crate) fn add_ephemeral<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        let (object, known) = container(words, false, false);
        let spec = self.pod.spec.get_or_insert_default();
        let ephemeral = EphemeralContainer {
            name: object.name,
            image: object.image,
            image_pull_policy: object.image_pull_policy,
            ..EphemeralContainer::default()
        };
        spec.ephemeral_containers
            .get_or_insert_default()
            .push(ephemeral);
        self.containers.push(known);
    }

    pub(crate) fn ephemeral_count(&self) -> usize {
        let spec = self.pod.spec.as_ref();
        let list = spec.and_then(|spec| spec.ephemeral_containers.as_ref());
        list.map_or(0, Vec::len)
    }

    /// As the API server counts: each change of the spec is one.
    pub(crate) fn next_generation(&mut self) -> Pod {
        let generation = &mut self.pod.metadata.generation;
        *generation = generation.map(|generation| generation + 1);
        self.pod.clone()
    }
}

fn pod_word(spec: &mut PodSpec, settings: &mut Settings, word: &str) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let number = || value.parse::<i64>().expect("a number");
    match key {
        "policy" => spec.restart_policy = Some(value.into()),
        "grace" => spec.termination_grace_period_seconds = Some(number()),
        "deadline" => spec.active_deadline_seconds = Some(number()),
        "gate" => {
            let gate = PodReadinessGate {
                condition_type: value.into(),
            };
            spec.readiness_gates.get_or_insert_default().push(gate);
        }
        "host-network" => spec.host_network = Some(true),
        "mode" if value == "restart-pod" => settings.on_init_failure = OnInitFailure::RestartPod,
        "waits" => {
            settings.backoff_per_mille = u32::try_from(number()).expect("parts per thousand");
        }
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
) -> (Container, TestContainer) {
    let name = words.next().expect("a name").to_owned();
    let mut object = Container {
        name: name.clone(),
        image: Some("busybox:1".into()),
        restart_policy: is_sidecar.then(|| "Always".into()),
        ..Container::default()
    };
    let mut world = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "image" => object.image = Some(value.into()),
            "pull" => object.image_pull_policy = Some(value.into()),
            "policy" => object.restart_policy = Some(value.into()),
            "rule" => object
                .restart_policy_rules
                .get_or_insert_default()
                .push(rule(value)),
            "prestop" => object.lifecycle.get_or_insert_default().pre_stop = Some(handler()),
            "poststart" => object.lifecycle.get_or_insert_default().post_start = Some(handler()),
            "startup" => object.startup_probe = Some(probe(value)),
            "liveness" => object.liveness_probe = Some(probe(value)),
            "readiness" => object.readiness_probe = Some(probe(value)),
            "requests" => resources(&mut object).requests = Some(quantities(value)),
            "limits" => resources(&mut object).limits = Some(quantities(value)),
            "mount" => object
                .volume_mounts
                .get_or_insert_default()
                .push(mount(value)),
            _ => {
                let key = key
                    .strip_prefix('.')
                    .expect("a word of the world begins with a dot");
                world.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    let image = object.image.clone().unwrap_or_default();
    let known = TestContainer {
        name,
        always_pulls: image.ends_with(":latest"),
        image,
        is_init,
        is_sidecar,
        world,
    };
    (object, known)
}

fn handler() -> LifecycleHandler {
    LifecycleHandler {
        exec: Some(exec()),
        ..LifecycleHandler::default()
    }
}

fn exec() -> ExecAction {
    ExecAction {
        command: Some(vec!["true".into()]),
    }
}

fn resources(container: &mut Container) -> &mut ResourceRequirements {
    container.resources.get_or_insert_default()
}

/// `cpu:1,memory:1Gi`
fn quantities(text: &str) -> BTreeMap<String, Quantity> {
    text.split(',')
        .map(|part| part.split_once(':').expect("name:quantity"))
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
        .collect()
}

/// `data`, `data:ro` or `data:rro` (all the way down), at `/data`
fn mount(text: &str) -> VolumeMount {
    let (name, how) = text.split_once(':').unwrap_or((text, ""));
    let read_only = (!how.is_empty()).then_some(true);
    let recursive_read_only = (how == "rro").then(|| "Enabled".into());
    VolumeMount {
        name: name.to_owned(),
        mount_path: format!("/{name}"),
        read_only,
        recursive_read_only,
        ..VolumeMount::default()
    }
}

/// `Restart:In:42,43`
fn rule(text: &str) -> ContainerRestartRule {
    let mut parts = text.split(':').map(ToOwned::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (action, operator, codes) = (part(), part(), part());
    let values = codes
        .split(',')
        .filter(|code| !code.is_empty())
        .map(|code| code.parse().expect("a code"))
        .collect();
    ContainerRestartRule {
        action,
        exit_codes: Some(ContainerRestartRuleOnExitCodes {
            operator,
            values: Some(values),
        }),
    }
}

/// `period,initialDelay,failureThreshold,successThreshold,grace`
fn probe(text: &str) -> Probe {
    let numbers: Vec<i32> = text
        .split(',')
        .map(|part| part.parse().expect("a number"))
        .collect();
    let number = |position: usize| numbers.get(position).copied();
    Probe {
        exec: Some(exec()),
        period_seconds: number(0),
        initial_delay_seconds: number(1),
        failure_threshold: number(2),
        success_threshold: number(3),
        termination_grace_period_seconds: number(4).map(Into::into),
        ..Probe::default()
    }
}
