//! From Kubernetes to Linux: a Pod and an image's configuration become a [`podyard_linux::ContainerPlan`].
//!
//! The one place that knows both vocabularies. Pure as far as it goes: what has to be read (an image's `/etc/passwd`) comes in as text.

pub(crate) mod environment;
pub(crate) mod expand;
pub(crate) mod files;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod storage;
pub(crate) mod user;

use podyard_api::core::{ConfigMap, Container, Pod, PodSpec, Secret};
use podyard_image::ImageConfig;

/// Everything about a pod that a container of it may refer to.
#[derive(Clone, Copy)]
pub(crate) struct PodFacts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    pub(crate) config_maps: &'a [ConfigMap],
    pub(crate) secrets: &'a [Secret],
    pub(crate) pod_ips: &'a [String],
    pub(crate) host_ips: &'a [String],
    pub(crate) node_name: &'a str,
}

impl PodFacts<'_> {
    pub(crate) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// `name_namespace(uid)`, as the kubelet names a pod in its messages.
    pub(crate) fn full_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    /// The host name of the pod (`pod-api.md` section 8.2).
    pub(crate) fn hostname(&self) -> String {
        if let Some(name) = &self.spec.hostname_override {
            return name.clone();
        }
        if let Some(name) = &self.spec.hostname {
            return name.clone();
        }
        let cut: String = self.name().chars().take(63).collect();
        cut.trim_end_matches(['-', '.']).to_owned()
    }
}

/// Init containers first, then app containers: the order of [`podyard_lifecycle::ContainerIndex`].
pub(crate) fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
}

/// The command line: the manifest's over the image's (`pod-api.md` section 4.1), with `$(VAR)` replaced.
pub(crate) fn command_line(
    container: &Container,
    image: &ImageConfig,
    environment: &[(String, String)],
) -> Result<Vec<String>, String> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let expanded = |list: Vec<String>| -> Vec<String> {
        list.iter()
            .map(|text| expand::expand(text, |name| environment::find(environment, name)))
            .collect()
    };
    let line = match (given(&container.command), given(&container.args)) {
        (None, None) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
        (None, Some(arguments)) => [image.entrypoint.clone(), expanded(arguments)].concat(),
        (Some(command), arguments) => {
            [expanded(command), expanded(arguments.unwrap_or_default())].concat()
        }
    };
    if line.is_empty() {
        Err("no command specified".to_owned())
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_and_arguments_over_entrypoint_and_cmd() {
        let image = ImageConfig {
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["cmd".to_owned()],
            ..ImageConfig::default()
        };
        let list = |items: &[&str]| {
            Some(
                items
                    .iter()
                    .map(|&item| item.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let line =
            |command: Option<Vec<String>>, args: Option<Vec<String>>, image: &ImageConfig| {
                let container = Container {
                    command,
                    args,
                    ..Container::default()
                };
                command_line(&container, image, &[("A".to_owned(), "x".to_owned())])
                    .map(|line| line.join(" "))
            };
        for (command, args, expected) in [
            (None, None, "/entry cmd"),
            (None, list(&["a"]), "/entry a"),
            (list(&["c"]), None, "c"),
            (
                list(&["c"]),
                list(&["$(A)", "$(B)", "$$(A)"]),
                "c x $(B) $(A)",
            ),
            (list(&[]), list(&[]), "/entry cmd"),
        ] {
            assert_eq!(line(command, args, &image).as_deref(), Ok(expected));
        }
        assert_eq!(
            line(None, None, &ImageConfig::default()),
            Err("no command specified".to_owned())
        );
    }
}
