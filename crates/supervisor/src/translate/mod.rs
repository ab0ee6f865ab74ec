//! From Kubernetes to Linux: a Pod and an image's configuration become a [`podyard_linux::ContainerPlan`].
//!
//! The one place that knows both vocabularies. Pure as far as it goes: what has to be read (an image's `/etc/passwd`) comes in as text.

pub(crate) mod admission;
pub(crate) mod bandwidth;
pub(crate) mod env_file;
pub(crate) mod environment;
pub(crate) mod expand;
pub(crate) mod files;
pub(crate) mod machine;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod storage;
pub(crate) mod sysctls;
pub(crate) mod user;

use podyard_api::core::{ConfigMap, Container, Pod, PodSpec, Secret};
use podyard_image::ImageConfig;

use machine::Machine;

/// What follows the namespace in the names of pods and Services. Nothing answers for it here; it is what manifests expect.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// The longest host name that the kernel takes.
const HOSTNAME_BYTES: usize = 64;

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
    pub(crate) machine: &'a Machine,
    /// Its class, which never changes.
    pub(crate) qos: &'static str,
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

    /// The name of the pod without its domain (`pod-api.md` section 8.2).
    pub(crate) fn short_hostname(&self) -> String {
        if self.spec.host_network == Some(true) {
            return self.machine.hostname.clone();
        }
        if let Some(name) = self
            .spec
            .hostname_override
            .as_ref()
            .or(self.spec.hostname.as_ref())
        {
            return name.clone();
        }
        let cut: String = self.name().chars().take(63).collect();
        cut.trim_end_matches(['-', '.']).to_owned()
    }

    /// The domain that the name is in, if any.
    pub(crate) fn domain(&self) -> Option<String> {
        let subdomain = self
            .spec
            .subdomain
            .as_deref()
            .filter(|name| !name.is_empty())?;
        let has_own_name =
            self.spec.host_network == Some(true) || self.spec.hostname_override.is_some();
        (!has_own_name).then(|| format!("{subdomain}.{}.svc.{CLUSTER_DOMAIN}", self.namespace()))
    }

    /// What `uname`, `/etc/hostname` and `HOSTNAME` say: the name, with its domain if the pod wants that.
    ///
    /// # Errors
    ///
    /// The kubelet's text when the kernel would not take it.
    pub(crate) fn hostname(&self) -> Result<String, String> {
        let name = self.short_hostname();
        let wants_domain = self.spec.set_hostname_as_fqdn == Some(true);
        let Some(domain) = self.domain().filter(|_| wants_domain) else {
            return Ok(name);
        };
        let full = format!("{name}.{domain}");
        if full.len() > HOSTNAME_BYTES {
            return Err(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
                 ({HOSTNAME_BYTES} characters is the max, {} characters requested)",
                full.len()
            ));
        }
        Ok(full)
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
impl<'a> PodFacts<'a> {
    /// A pod with nothing around it, on a machine of which nothing is known.
    pub(crate) fn alone(pod: &'a Pod, spec: &'a PodSpec) -> Self {
        static MACHINE: std::sync::LazyLock<Machine> = std::sync::LazyLock::new(Machine::default);
        Self {
            pod,
            spec,
            config_maps: &[],
            secrets: &[],
            pod_ips: &[],
            host_ips: &[],
            node_name: "n",
            machine: &MACHINE,
            qos: podyard_api::qos_class(spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_pod() {
        let machine = Machine {
            hostname: "Box".to_owned(),
            ..Machine::default()
        };
        let names = |name: &str, spec: serde_json::Value| {
            let mut pod = Pod::default();
            pod.metadata.name = Some(name.to_owned());
            let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
            let facts = PodFacts {
                machine: &machine,
                ..PodFacts::alone(&pod, &spec)
            };
            (facts.hostname(), facts.domain())
        };
        let domain = Some("sub.default.svc.cluster.local".to_owned());
        let (long, cut) = (
            format!("{}-{}", "a".repeat(62), "b".repeat(9)),
            "a".repeat(62),
        );
        for (name, spec, hostname, domain) in [
            ("web", serde_json::json!({}), "web", None),
            ("web.a", serde_json::json!({}), "web.a", None),
            (long.as_str(), serde_json::json!({}), cut.as_str(), None),
            ("web", serde_json::json!({"hostname": "h"}), "h", None),
            (
                "web",
                serde_json::json!({"hostname": "h", "subdomain": "sub"}),
                "h",
                domain.clone(),
            ),
            (
                "web",
                serde_json::json!({"setHostnameAsFQDN": true}),
                "web",
                None,
            ),
            (
                "web",
                serde_json::json!({"setHostnameAsFQDN": true, "subdomain": "sub"}),
                "web.sub.default.svc.cluster.local",
                domain,
            ),
            (
                "web",
                serde_json::json!({"hostnameOverride": "o.example", "hostname": "h", "subdomain": "sub"}),
                "o.example",
                None,
            ),
            (
                "web",
                serde_json::json!({"hostNetwork": true, "hostname": "h"}),
                "Box",
                None,
            ),
        ] {
            let spec_text = spec.to_string();
            assert_eq!(
                names(name, spec),
                (Ok(hostname.to_owned()), domain),
                "{spec_text}"
            );
        }
        let long = "h".repeat(40);
        let (refused, _) = names(
            "web",
            serde_json::json!({"hostname": long, "subdomain": "sub", "setHostnameAsFQDN": true}),
        );
        let message = format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {long}.sub.default.svc.cluster.local \
             is too long (64 characters is the max, 70 characters requested)"
        );
        assert_eq!(refused, Err(message));
    }

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
