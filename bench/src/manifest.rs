//! The manifests of the measured pods. The same text goes to podyard and to podman, so it keeps to what podman 4.3 can do.
//!
//! Every container requests a processor, which gives it the weight that podman gives to all of its containers. Without a request
//! Kubernetes gives it the least there is, and what else runs on the machine would be measured.

use std::fmt::Write as _;
use std::path::Path;

/// Full names: podman would otherwise look for registries.
pub(crate) const BUSYBOX: &str = "docker.io/library/busybox:latest";

/// A container of a [`pod`].
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    /// More YAML of the container, at its level.
    pub(crate) more: String,
}

impl Container {
    pub(crate) fn new(name: impl Into<String>, command: &[&str]) -> Self {
        Self {
            name: name.into(),
            image: BUSYBOX.to_owned(),
            command: command.iter().map(ToString::to_string).collect(),
            more: String::new(),
        }
    }

    /// Says when it was executed, and ends.
    pub(crate) fn stamp(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(
            name.clone(),
            &["/bench/podyard-bench-app", "stamp", "/out/stamps", &name],
        )
    }

    /// Does nothing for a long time.
    pub(crate) fn sleeper(name: impl Into<String>) -> Self {
        Self::new(name, &["sleep", "100000"])
    }
}

/// A pod with `/bench` (the static app) and `/out` (for stamps) in every container.
pub(crate) fn pod(
    name: &str,
    inits: &[Container],
    apps: &[Container],
    app_directory: &Path,
    out: &Path,
) -> String {
    let mut text = format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n");
    // podman 4.3 runs an init container again and again under `Always` (podman#16343).
    text.push_str("  restartPolicy: OnFailure\n  terminationGracePeriodSeconds: 0\n");
    for (kind, containers) in [("initContainers", inits), ("containers", apps)] {
        if containers.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  {kind}:");
        for container in containers {
            let Container {
                name,
                image,
                command,
                more,
            } = container;
            let command = serde_json::to_string(command).unwrap_or_default();
            let _ = write!(
                text,
                "  - name: {name}\n    image: {image}\n    imagePullPolicy: Never\n    command: {command}\n{more}\
                 \x20   resources:\n      requests:\n        cpu: \"1\"\n\
                 \x20   volumeMounts:\n    - name: bench\n      mountPath: /bench\n      readOnly: true\n\
                 \x20   - name: out\n      mountPath: /out\n"
            );
        }
    }
    let _ = write!(
        text,
        "  volumes:\n  - name: bench\n    hostPath:\n      path: {}\n      type: Directory\n\
         \x20 - name: out\n    hostPath:\n      path: {}\n      type: Directory\n",
        app_directory.display(),
        out.display()
    );
    text
}

/// A chain: so many init containers, then the app; each says when it was executed.
pub(crate) fn chain(name: &str, inits: &[String], app_directory: &Path, out: &Path) -> String {
    let inits: Vec<Container> = inits.iter().map(Container::stamp).collect();
    pod(name, &inits, &[Container::stamp("app")], app_directory, out)
}
