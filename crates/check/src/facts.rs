//! A pod as the checks look at it: its containers in the order in which they start, what each one does as far as its manifest
//! tells, and where the volumes are.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use podyard_api::core::{Container, EnvVar, PodSpec, Probe, Volume, VolumeMount};
use podyard_api::{Objects, Path, ValidPod};

use crate::effects::{Effects, effects, is_within, mentions};
use crate::images::{self, Software};
use crate::trace::{self, Arg, Environment, Run, Trace, UNKNOWN};

/// One pod, or the template of a workload's pods.
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a ValidPod,
    pub(crate) objects: &'a Objects,
    /// The kind it was made of: `Pod`, `Job` …
    pub(crate) kind: String,
    /// Whether it has a time after which it is ended.
    pub(crate) has_deadline: bool,
    /// Init containers first.
    pub(crate) containers: Vec<ContainerFacts<'a>>,
}

/// What kind of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Starts in its turn and keeps running.
    Sidecar,
    /// Of `spec.containers`.
    App,
}

/// One container.
pub(crate) struct ContainerFacts<'a> {
    pub(crate) container: &'a Container,
    pub(crate) role: Role,
    /// Where it is in the pod.
    pub(crate) path: Path,
    pub(crate) environment: Environment,
    /// The words of `command` and `args` after the expansion of `$(NAME)`.
    pub(crate) argv: Vec<Arg>,
    /// Whether those are the whole command, and not arguments of the image's own.
    pub(crate) has_command: bool,
    /// What it does; nothing when its command is the image's or cannot be read.
    pub(crate) trace: Option<Trace>,
    /// What each command of the trace does.
    effects: OnceCell<Vec<Effects>>,
    /// The files that it evidently writes, in order.
    pub(crate) files: OnceCell<Vec<String>>,
    /// Everything the manifest says to the container: words, script, values of variables.
    text: String,
}

/// A path inside a volume.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InVolume<'a> {
    pub(crate) mount: &'a VolumeMount,
    pub(crate) index: usize,
    /// Relative to the volume's root, with a slash in front.
    pub(crate) path: String,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        pod: &'a ValidPod,
        objects: &'a Objects,
        kind: &str,
        has_deadline: bool,
    ) -> Self {
        let spec = pod.spec();
        let list = |containers: &'a [Container], field: &'static str| {
            containers
                .iter()
                .enumerate()
                .map(move |(index, container)| {
                    let role = match field {
                        "containers" => Role::App,
                        _ if podyard_api::is_sidecar(container) => Role::Sidecar,
                        _ => Role::Init,
                    };
                    let path = Path::fields("spec").field(field).index(index);
                    (container, role, path)
                })
        };
        let inits = list(
            spec.init_containers.as_deref().unwrap_or_default(),
            "initContainers",
        );
        let containers = inits
            .chain(list(&spec.containers, "containers"))
            .map(|(container, role, path)| {
                ContainerFacts::new(container, role, path, objects, pod.namespace())
            })
            .collect();
        Self {
            pod,
            objects,
            kind: kind.to_owned(),
            has_deadline: has_deadline || spec.active_deadline_seconds.is_some(),
            containers,
        }
    }

    pub(crate) fn spec(&self) -> &'a PodSpec {
        self.pod.spec()
    }

    pub(crate) fn volumes(&self) -> &'a [Volume] {
        self.pod.spec().volumes.as_deref().unwrap_or_default()
    }

    pub(crate) fn volume(&self, name: &str) -> Option<&'a Volume> {
        self.volumes().iter().find(|volume| volume.name == name)
    }

    /// The containers that mount a volume, each with the place of that container in the order of starts.
    pub(crate) fn mounting(
        &self,
        volume: &str,
    ) -> impl Iterator<Item = (usize, &ContainerFacts<'a>)> {
        self.containers
            .iter()
            .enumerate()
            .filter(move |(_, container)| container.mounts_of(volume).next().is_some())
    }

    /// Whether a ConfigMap of the same manifests, or any container, speaks of a path.
    pub(crate) fn anybody_mentions(&self, path: &str) -> bool {
        let of_maps = self
            .objects
            .config_maps
            .iter()
            .flat_map(|map| map.data.iter().flatten())
            .any(|(_, text)| mentions(text, path));
        of_maps
            || self
                .containers
                .iter()
                .any(|container| container.mentions(path))
    }
}

/// Whether a volume begins empty and is gone with the pod, so that its containers alone decide what is in it.
pub(crate) fn is_empty_dir(volume: &Volume) -> bool {
    volume.empty_dir.is_some()
}

/// Whether nobody in the pod can write into a volume, whatever its mounts say.
pub(crate) fn is_read_only(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.image.is_some()
}

impl<'a> ContainerFacts<'a> {
    fn new(
        container: &'a Container,
        role: Role,
        path: Path,
        objects: &Objects,
        namespace: &str,
    ) -> Self {
        let environment = environment(container, objects, namespace);
        let command = container.command.as_deref().unwrap_or_default();
        let args = container.args.as_deref().unwrap_or_default();
        let words: Vec<&String> = command.iter().chain(args).collect();
        let is_bare = images::is_bare(container.image.as_deref().unwrap_or_default());
        let has_command = !command.is_empty() || (is_bare && !args.is_empty());
        let mut argv: Vec<Arg> = words
            .iter()
            .map(|word| {
                Arg(expand(word, &environment.variables, |_| {
                    UNKNOWN.to_string()
                }))
            })
            .collect();
        // In a script, a value that is not known stays a variable.
        if let Some(index) = trace::script_index(&argv) {
            argv[index] = Arg(expand(words[index], &environment.variables, |name| {
                format!("${{{name}}}")
            }));
        }
        let trace = has_command
            .then(|| trace::follow(&argv, &environment))
            .flatten();
        let values = environment.variables.values().flatten();
        let text = argv
            .iter()
            .map(|arg| arg.0.as_str())
            .chain(values.map(String::as_str))
            .collect::<Vec<_>>()
            .join("\n");
        Self {
            container,
            role,
            path,
            environment,
            argv,
            has_command,
            trace,
            effects: OnceCell::new(),
            files: OnceCell::new(),
            text,
        }
    }

    pub(crate) fn name(&self) -> &'a str {
        &self.container.name
    }

    pub(crate) fn image(&self) -> &'a str {
        self.container.image.as_deref().unwrap_or_default()
    }

    pub(crate) fn software(&self) -> Option<&'static Software> {
        images::software(self.image())
    }

    pub(crate) fn mounts(&self) -> &'a [VolumeMount] {
        self.container.volume_mounts.as_deref().unwrap_or_default()
    }

    pub(crate) fn mounts_of(&self, volume: &str) -> impl Iterator<Item = (usize, &'a VolumeMount)> {
        self.mounts()
            .iter()
            .enumerate()
            .filter(move |(_, mount)| mount.name == volume)
    }

    pub(crate) fn mount_path(&self, index: usize, field: &str) -> Path {
        self.path.field("volumeMounts").index(index).field(field)
    }

    pub(crate) fn runs(&self) -> &[Run] {
        self.trace.as_ref().map_or(&[], |trace| &trace.runs)
    }

    /// Each command with what it does.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Run, &Effects)> {
        let effects = self
            .effects
            .get_or_init(|| self.runs().iter().map(effects).collect());
        self.runs().iter().zip(effects)
    }

    /// Whether everything it does to files is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.trace.is_some() && self.steps().all(|(_, effects)| effects.is_closed)
    }

    /// Whether the manifest speaks of `path`, or of something below it, to this container.
    pub(crate) fn mentions(&self, path: &str) -> bool {
        mentions(&self.text, path)
    }

    /// The mount that holds a path.
    pub(crate) fn mount_of(&self, path: &str) -> Option<(usize, &'a VolumeMount)> {
        self.mounts()
            .iter()
            .enumerate()
            .filter(|(_, mount)| is_within(path, &mount.mount_path))
            .max_by_key(|(_, mount)| mount.mount_path.len())
    }

    /// Where in a volume a path is. A mount whose `subPathExpr` is not known holds something unknown.
    pub(crate) fn in_volume(&self, path: &str) -> Option<InVolume<'a>> {
        let (index, mount) = self.mount_of(path)?;
        let rest = path.strip_prefix(mount.mount_path.trim_end_matches('/'))?;
        Some(InVolume {
            mount,
            index,
            path: join(&self.sub_path(mount)?, rest),
        })
    }

    /// Where a path of a volume can be seen.
    pub(crate) fn seen_at(&self, volume: &str, path: &str) -> Vec<(usize, String)> {
        self.mounts_of(volume)
            .filter_map(|(index, mount)| {
                let base = self.sub_path(mount)?;
                let rest = path.strip_prefix(base.trim_end_matches('/'))?;
                let is_below = rest.is_empty() || rest.starts_with('/');
                is_below.then(|| (index, join(&mount.mount_path, rest)))
            })
            .collect()
    }

    /// The path in the volume at which a mount begins.
    pub(crate) fn sub_path(&self, mount: &VolumeMount) -> Option<String> {
        let path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(expression)) => {
                let path = expand(expression, &self.environment.variables, |_| {
                    UNKNOWN.to_string()
                });
                (!path.contains(UNKNOWN)).then_some(path)?
            }
            (None, None) => String::new(),
        };
        Some(join("/", &path))
    }

    /// Whether what the container writes through a mount of this name gets into the volume.
    pub(crate) fn can_write(&self, volume: &Volume) -> bool {
        !is_read_only(volume)
            && self
                .mounts_of(&volume.name)
                .any(|(_, mount)| mount.read_only != Some(true))
    }

    /// The user it runs as: its own, the pod's, or root where the image is known to run as root.
    pub(crate) fn user(&self, spec: &PodSpec) -> Option<i64> {
        let own = self.container.security_context.as_ref();
        own.and_then(|context| context.run_as_user)
            .or_else(|| spec.security_context.as_ref()?.run_as_user)
            .or_else(|| self.software()?.is_root.then_some(0))
    }

    /// Whether something tells that it can be used before the next container is started.
    pub(crate) fn is_awaited(&self) -> bool {
        let hooks = self.container.lifecycle.as_ref();
        self.container.startup_probe.is_some()
            || hooks.is_some_and(|hooks| hooks.post_start.is_some())
    }

    /// The ports it says it listens on.
    pub(crate) fn declared_ports(&self) -> Vec<u16> {
        let declared = self.container.ports.iter().flatten();
        let mut ports: Vec<u16> = declared
            .filter_map(|port| u16::try_from(port.container_port).ok())
            .collect();
        let probes = [
            &self.container.startup_probe,
            &self.container.readiness_probe,
            &self.container.liveness_probe,
        ];
        ports.extend(probes.into_iter().flatten().filter_map(probe_port));
        ports
    }
}

fn probe_port(probe: &Probe) -> Option<u16> {
    use podyard_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let port = match (&probe.http_get, &probe.tcp_socket, &probe.grpc) {
        (Some(http), _, _) => &http.port,
        (_, Some(tcp), _) => &tcp.port,
        (_, _, Some(grpc)) => return u16::try_from(grpc.port).ok(),
        _ => return None,
    };
    match port {
        IntOrString::Int(port) => u16::try_from(*port).ok(),
        IntOrString::String(_) => None,
    }
}

/// One path after the other, with one slash between them.
pub(crate) fn join(base: &str, rest: &str) -> String {
    let (base, rest) = (base.trim_end_matches('/'), rest.trim_matches('/'));
    if rest.is_empty() && !base.is_empty() {
        base.to_owned()
    } else {
        format!("{base}/{rest}")
    }
}

/// The variables of a container, as far as the manifests tell their values.
fn environment(container: &Container, objects: &Objects, namespace: &str) -> Environment {
    let mut variables = BTreeMap::new();
    let mut is_complete = true;
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let in_namespace = |own: &Option<String>| own.as_deref().unwrap_or("default") == namespace;
        let map = source.config_map_ref.as_ref().and_then(|reference| {
            objects.config_maps.iter().find(|map| {
                map.metadata.name.as_deref() == Some(&reference.name)
                    && in_namespace(&map.metadata.namespace)
            })
        });
        let secret = source.secret_ref.as_ref().and_then(|reference| {
            objects.secrets.iter().find(|secret| {
                secret.metadata.name.as_deref() == Some(&reference.name)
                    && in_namespace(&secret.metadata.namespace)
            })
        });
        if let Some(map) = map {
            for (key, value) in map.data.iter().flatten() {
                variables.insert(format!("{prefix}{key}"), Some(value.clone()));
            }
        } else if let Some(secret) = secret {
            for key in secret.data.iter().flatten().map(|(key, _)| key) {
                variables.insert(format!("{prefix}{key}"), None);
            }
        } else {
            is_complete = false;
        }
    }
    for variable in container.env.iter().flatten() {
        let value = value(variable, &variables);
        variables.insert(variable.name.clone(), value);
    }
    Environment {
        variables,
        is_complete,
        directory: container.working_dir.clone(),
    }
}

fn value(variable: &EnvVar, before: &BTreeMap<String, Option<String>>) -> Option<String> {
    if variable.value_from.is_some() {
        return None;
    }
    let text = variable.value.as_deref().unwrap_or_default();
    let value = expand(text, before, |_| UNKNOWN.to_string());
    (!value.contains(UNKNOWN)).then_some(value)
}

/// `$(NAME)` as Kubernetes expands it; `unknown` stands for a variable whose value is not known.
fn expand(
    text: &str,
    variables: &BTreeMap<String, Option<String>>,
    unknown: impl Fn(&str) -> String,
) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Reference(name) => match variables.get(name) {
                Some(Some(value)) => out.push_str(value),
                Some(None) => out.push_str(&unknown(name)),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            },
        }
    }
    out
}

/// A piece of a text in which Kubernetes expands variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Stays as it is.
    Text(&'t str),
    /// `$(NAME)`
    Reference(&'t str),
}

/// A text in pieces; `$$` is one `$`.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push(Piece::Text(&rest[..=at]));
            rest = escaped;
        } else if let Some((name, after)) = after
            .strip_prefix('(')
            .and_then(|inside| inside.split_once(')'))
        {
            out.push(Piece::Text(&rest[..at]));
            out.push(Piece::Reference(name));
            rest = after;
        } else {
            out.push(Piece::Text(&rest[..=at]));
            rest = after;
        }
    }
    out.push(Piece::Text(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let variables = [
            ("A".to_owned(), Some("x".to_owned())),
            ("S".to_owned(), None),
        ]
        .into();
        for (text, expected) in [
            ("$(A)/$(B)", "x/$(B)"),
            ("$$(A) $A $", "$(A) $A $"),
            ("$(S)", "?"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &variables, |_| "?".to_owned()), expected);
        }
    }

    /// Nothing is found in a script that cannot be read: the ordinary manifests would prove nothing if theirs were such.
    #[test]
    fn the_scripts_of_ordinary_manifests_are_read() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clean");
        let mut scripts = 0;
        for entry in std::fs::read_dir(directory).expect("manifests") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a manifest");
            let source = podyard_api::Source::new(path.display().to_string(), text);
            let options = podyard_api::LoadOptions {
                accept_unsupported: true,
                ..podyard_api::LoadOptions::default()
            };
            let objects = podyard_api::load(&[source], &options)
                .unwrap_or_else(|problems| panic!("{problems}"));
            let templates = objects.workloads.iter().filter_map(crate::template_pod);
            for pod in objects.pods.iter().cloned().chain(templates) {
                for container in Facts::new(&pod, &objects, "Pod", false).containers {
                    let is_script = trace::script_index(&container.argv).is_some();
                    scripts += usize::from(is_script);
                    let is_followed = !container.has_command || container.trace.is_some();
                    assert!(is_followed, "{}: {}", path.display(), container.name());
                }
            }
        }
        assert!(scripts >= 20, "only {scripts} scripts");
    }

    #[test]
    fn paths_are_joined_with_one_slash() {
        assert_eq!(join("/", ""), "/");
        assert_eq!(join("/a/", "/b"), "/a/b");
        assert_eq!(join("/a", ""), "/a");
        assert_eq!(join("/", "b"), "/b");
    }
}
