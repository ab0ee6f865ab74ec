//! A plan: everything that can be said about a pod before it runs.

use podyard_api::{ValidPod, qos_class};
use podyard_check::Written;

use super::resources::{ResourcePlan, resources};
use crate::objects::core::{ContainerPort, ExecAction, PodSpec, VolumeMount};
use crate::objects::{Container, Pod, PodExt as _, Probe, Volume, is_sidecar};

/// What the plan is about, and what is decided outside of the manifest.
pub(crate) struct Subject<'a> {
    /// `Pod`, or the kind of workload that the pod is made by.
    pub(crate) kind: &'a str,
    /// The name of that object.
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    /// How many such pods there would be, of a workload.
    pub(crate) pods: Option<usize>,
    pub(crate) pod: &'a ValidPod,
    /// A failed init container starts everything again.
    pub(crate) restart_pod: bool,
    /// Files that containers are seen to write.
    pub(crate) written: &'a [Written],
}

/// Everything that can be said about a pod before it runs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
    /// What a failure of an init container, and of an app container, leads to.
    pub(crate) on_failure: Vec<String>,
    pub(crate) images: Vec<ImagePlan>,
    pub(crate) ports: Vec<PortPlan>,
    pub(crate) volumes: Vec<VolumePlan>,
    pub(crate) resources: Vec<ResourcePlan>,
    pub(crate) qos_class: &'static str,
}

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Init,
    Sidecar,
    App,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::App => "app",
        }
    }
}

/// One container in the order of starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Counts from 1; all app containers have the last number.
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) image: String,
    /// What the next one waits for; nothing when it does not wait.
    pub(crate) gate: Option<String>,
}

/// One image and what would be done to get it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImagePlan {
    pub(crate) image: String,
    pub(crate) policy: String,
    pub(crate) containers: Vec<String>,
    pub(crate) state: ImageState,
}

/// Where an image would come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageState {
    /// It is in the store.
    Stored,
    /// It is in the store, and its registry is asked for a newer one.
    Renewed,
    /// It would be pulled.
    Pulled,
    /// It is not there and is never pulled.
    Missing,
    /// The store cannot be read.
    Unknown,
}

impl ImageState {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Stored => "in the store",
            Self::Renewed => "in the store; its registry is asked for a newer one",
            Self::Pulled => "would be pulled",
            Self::Missing => "missing, and never pulled",
            Self::Unknown => "not known: the store cannot be read",
        }
    }
}

/// One port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PortPlan {
    pub(crate) container: String,
    /// `80/TCP`
    pub(crate) port: String,
    pub(crate) name: String,
    /// Where it is reached on the machine.
    pub(crate) host: Option<String>,
}

/// One volume and who uses it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumePlan {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) uses: Vec<VolumeUse>,
}

/// One mount of a volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumeUse {
    pub(crate) container: String,
    /// With the path inside the volume, if only that is mounted.
    pub(crate) path: String,
    pub(crate) writes: Writes,
    /// There may be something in it to read when the container starts.
    pub(crate) reads: bool,
}

/// Whether a mount is written through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It cannot.
    No,
    /// It can.
    Possible,
    /// The container is seen to write these files, by their names in the volume.
    Files(Vec<String>),
}

impl Plan {
    /// Makes the plan; `state` tells of an image and its pull policy where it would come from.
    pub(crate) fn new(subject: &Subject<'_>, state: impl Fn(&str, &str) -> ImageState) -> Self {
        let pod = subject.pod.pod();
        let spec = subject.pod.spec();
        Self {
            title: title(subject),
            steps: steps(pod),
            on_failure: on_failure(spec, pod, subject.restart_pod),
            images: images(pod, state),
            ports: ports(spec, pod),
            volumes: volumes(spec, pod, subject.written),
            resources: resources(spec),
            qos_class: qos_class(spec),
        }
    }
}

fn title(subject: &Subject<'_>) -> String {
    let mut title = format!("{} {}/{}", subject.kind, subject.namespace, subject.name);
    if let Some(pods) = subject.pods {
        let plural = if pods == 1 { "" } else { "s" };
        title.push_str(&format!(", {pods} pod{plural} like this"));
    }
    title
}

fn containers(pod: &Pod) -> impl Iterator<Item = (Role, &Container)> {
    let inits = pod.init_containers().iter().map(|container| {
        let role = if is_sidecar(container) {
            Role::Sidecar
        } else {
            Role::Init
        };
        (role, container)
    });
    inits.chain(
        pod.app_containers()
            .iter()
            .map(|container| (Role::App, container)),
    )
}

fn steps(pod: &Pod) -> Vec<Step> {
    let inits = pod.init_containers().len();
    let last = pod.app_containers().len();
    containers(pod)
        .enumerate()
        .map(|(index, (role, container))| {
            let is_last_app = role == Role::App && index + 1 == inits + last;
            Step {
                number: index.min(inits) + 1,
                name: container.name.clone(),
                role,
                image: container.image.clone().unwrap_or_default(),
                gate: gate(role, container).filter(|_| !is_last_app),
            }
        })
        .collect()
}

/// What the container behind waits for.
fn gate(role: Role, container: &Container) -> Option<String> {
    let hook = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.post_start.as_ref())
        .map(|_| "its postStart hook is done".to_owned());
    match role {
        Role::Init => Some("it has exited with 0".to_owned()),
        Role::Sidecar => {
            let probe = container
                .startup_probe
                .as_ref()
                .map(|probe| format!("its startupProbe has succeeded ({})", probe_text(probe)));
            let gates: Vec<String> = hook.into_iter().chain(probe).collect();
            Some(if gates.is_empty() {
                "it has started".to_owned()
            } else {
                gates.join(", and ")
            })
        }
        Role::App => hook,
    }
}

fn probe_text(probe: &Probe) -> String {
    let port = |port: &crate::objects::Port| match port {
        crate::objects::Port::Int(number) => number.to_string(),
        crate::objects::Port::String(name) => name.clone(),
    };
    let what = if let Some(ExecAction { command }) = &probe.exec {
        format!("exec {}", command.as_deref().unwrap_or_default().join(" "))
    } else if let Some(get) = &probe.http_get {
        let path = get.path.as_deref().unwrap_or("/");
        format!("GET {path} on port {}", port(&get.port))
    } else if let Some(socket) = &probe.tcp_socket {
        format!("TCP port {}", port(&socket.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("gRPC port {}", grpc.port)
    } else {
        "unknown".to_owned()
    };
    let delay = match probe.initial_delay_seconds.unwrap_or(0) {
        0 => String::new(),
        seconds => format!("after {seconds} s, "),
    };
    format!(
        "{what}, {delay}every {} s, fails after {}",
        probe.period_seconds.unwrap_or(10),
        probe.failure_threshold.unwrap_or(3)
    )
}

/// The rules of `pod-lifecycle` in a sentence each, and the containers that have rules of their own.
fn on_failure(spec: &PodSpec, pod: &Pod, restart_pod: bool) -> Vec<String> {
    const BACK_OFF: &str = "at once, then after 10 s, 20 s, 40 s and so on, at most 300 s";
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let mut lines = Vec::new();
    let has_inits = containers(pod).any(|(role, _)| role == Role::Init);
    if has_inits {
        lines.push(match (policy, restart_pod) {
            ("Never", _) => "an init container fails: the pod has failed".to_owned(),
            (_, true) => "an init container fails: every container is stopped and removed, volumes stay, and init begins again with the first \
                 (restart-pod mode), after 10 s, 20 s, 40 s and so on, at most 300 s".to_owned(),
            (_, false) => format!("an init container fails: it alone is tried again, {BACK_OFF}"),
        });
    }
    lines.push(match policy {
        "Never" => "an app container ends: it is not started again".to_owned(),
        "OnFailure" => format!("an app container fails: it is started again, {BACK_OFF}"),
        _ => format!("an app container ends: it is started again, {BACK_OFF}"),
    });
    for (role, container) in containers(pod) {
        let rules = container
            .restart_policy_rules
            .as_deref()
            .unwrap_or_default();
        let own = container
            .restart_policy
            .as_deref()
            .filter(|_| role != Role::Sidecar);
        for rule in rules {
            let codes = rule.exit_codes.as_ref().map(|codes| {
                let values: Vec<String> = codes
                    .values
                    .iter()
                    .flatten()
                    .map(ToString::to_string)
                    .collect();
                let not = if codes.operator == "NotIn" {
                    "not "
                } else {
                    ""
                };
                format!("{not}{}", values.join(", "))
            });
            lines.push(format!(
                "`{}` exits with {}: {}",
                container.name,
                codes.unwrap_or_default(),
                rule.action
            ));
        }
        if let Some(own) = own {
            let other = if rules.is_empty() {
                "ends"
            } else {
                "ends otherwise"
            };
            lines.push(format!(
                "`{}` {other}: its own restartPolicy is {own}",
                container.name
            ));
        }
    }
    if let Some(seconds) = spec.active_deadline_seconds {
        lines.push(format!(
            "{seconds} s after its start the pod is ended, whatever it is doing"
        ));
    }
    lines
}

fn images(pod: &Pod, state: impl Fn(&str, &str) -> ImageState) -> Vec<ImagePlan> {
    let mut images: Vec<ImagePlan> = Vec::new();
    let mut add = |image: &str, policy: &str, user: &str| {
        let known = images
            .iter_mut()
            .find(|known| known.image == image && known.policy == policy);
        if let Some(known) = known {
            known.containers.push(user.to_owned());
            return;
        }
        images.push(ImagePlan {
            image: image.to_owned(),
            policy: policy.to_owned(),
            containers: vec![user.to_owned()],
            state: state(image, policy),
        });
    };
    for (_, container) in containers(pod) {
        let image = container.image.as_deref().unwrap_or_default();
        let policy = container.image_pull_policy.as_deref();
        add(image, policy.unwrap_or("IfNotPresent"), &container.name);
    }
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    for volume in volumes {
        if let Some(source) = &volume.image {
            let image = source.reference.as_deref().unwrap_or_default();
            let policy = source.pull_policy.as_deref().unwrap_or("IfNotPresent");
            add(image, policy, &format!("volume {}", volume.name));
        }
    }
    images
}

fn ports(spec: &PodSpec, pod: &Pod) -> Vec<PortPlan> {
    let on_host = spec.host_network == Some(true);
    let mut ports = Vec::new();
    for (_, container) in containers(pod) {
        for port in container.ports.iter().flatten() {
            ports.push(PortPlan {
                container: container.name.clone(),
                port: format!("{}/{}", port.container_port, protocol(port)),
                name: port.name.clone().unwrap_or_default(),
                host: host(port, on_host),
            });
        }
    }
    ports
}

fn protocol(port: &ContainerPort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn host(port: &ContainerPort, on_host: bool) -> Option<String> {
    let number = match port.host_port.filter(|number| *number != 0) {
        Some(number) => number,
        None if on_host => port.container_port,
        None => return None,
    };
    let address = port
        .host_ip
        .as_deref()
        .filter(|address| !address.is_empty())
        .unwrap_or("*");
    Some(format!("{address}:{number}"))
}

fn volumes(spec: &PodSpec, pod: &Pod, written: &[Written]) -> Vec<VolumePlan> {
    spec.volumes
        .iter()
        .flatten()
        .map(|volume| {
            let mut uses: Vec<VolumeUse> = Vec::new();
            for (_, container) in containers(pod) {
                let mounts = container.volume_mounts.iter().flatten();
                for mount in mounts.filter(|mount| mount.name == volume.name) {
                    let is_filled = volume.empty_dir.is_none()
                        || uses.iter().any(|other| other.writes != Writes::No);
                    uses.push(VolumeUse {
                        container: container.name.clone(),
                        path: mount_text(mount),
                        writes: writes(volume, mount, container, written),
                        reads: is_filled,
                    });
                }
            }
            VolumePlan {
                name: volume.name.clone(),
                kind: volume_kind(volume),
                uses,
            }
        })
        .collect()
}

fn mount_text(mount: &VolumeMount) -> String {
    let inside = mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref());
    match inside.filter(|inside| !inside.is_empty()) {
        Some(inside) => format!("{} (subPath {inside})", mount.mount_path),
        None => mount.mount_path.clone(),
    }
}

fn writes(
    volume: &Volume,
    mount: &VolumeMount,
    container: &Container,
    written: &[Written],
) -> Writes {
    let is_read_only = mount.read_only == Some(true)
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.image.is_some();
    if is_read_only {
        return Writes::No;
    }
    let files: Vec<String> = written
        .iter()
        .filter(|file| file.container == container.name && file.volume == volume.name)
        .map(|file| file.path.clone())
        .collect();
    if files.is_empty() {
        Writes::Possible
    } else {
        Writes::Files(files)
    }
}

/// The source, with what tells it apart.
fn volume_kind(volume: &Volume) -> String {
    if let Some(source) = &volume.empty_dir {
        let mut kind = "emptyDir".to_owned();
        if source.medium.as_deref() == Some("Memory") {
            kind.push_str(" in memory");
        }
        if let Some(limit) = &source.size_limit {
            kind.push_str(&format!(", at most {}", limit.0));
        }
        return kind;
    }
    if let Some(source) = &volume.config_map {
        return format!("configMap {}", source.name);
    }
    if let Some(source) = &volume.secret {
        return format!(
            "secret {}",
            source.secret_name.as_deref().unwrap_or_default()
        );
    }
    if let Some(source) = &volume.host_path {
        return format!("hostPath {}", source.path);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        return format!("claim {}", source.claim_name);
    }
    if let Some(source) = &volume.image {
        return format!("image {}", source.reference.as_deref().unwrap_or_default());
    }
    // The name of the one source that is set.
    let value = serde_json::to_value(volume).unwrap_or_default();
    let mut fields = value.as_object().into_iter().flatten();
    let source = fields.find(|(field, _)| *field != "name");
    source.map_or_else(String::new, |(field, _)| field.clone())
}
