//! What init containers cost or keep without need.

use podyard_api::core::PodSpec;
use podyard_api::{effective_requests, is_sidecar};

use super::Report;
use crate::catalog::Check;
use crate::facts::Role;
use crate::finding::Severity;
use crate::images;

pub(crate) static LATEST: Check = Check {
    id: "latest-never-pulled",
    severity: Severity::Remark,
    title: "An init container uses the tag `latest` and never pulls it",
    explanation: "With `imagePullPolicy: Never` the tag `latest` (or no tag) means whatever was put on that machine last. Machines differ, and \
nothing in the manifest tells which version runs.",
    fix: "Give the image a version.",
    run: latest,
};

fn latest(report: &mut Report<'_>) {
    let facts = report.facts;
    for container in facts
        .containers
        .iter()
        .filter(|container| container.role != Role::App)
    {
        let never = container.container.image_pull_policy.as_deref() == Some("Never");
        if never && images::tag(container.image()) == Some("latest") {
            report.at(
                container.path.field("image"),
                format!(
                    "which `{}` `{}` runs depends on the machine: it is never pulled",
                    container.image(),
                    container.name()
                ),
                "give the image a version".to_owned(),
            );
        }
    }
}

pub(crate) static REQUESTS: Check = Check {
    id: "init-raises-requests",
    severity: Severity::Remark,
    title: "An init container asks for more than everything that runs after it",
    explanation: "A Pod is given the larger of two sums for as long as it lives: what its app containers and sidecars ask for together, and \
what its most demanding init container asks for (with the sidecars in front of it). Where only a limit is set, it is the request too. A \
large init container that runs for a second keeps its share of the machine for months.",
    fix: "Ask for less in the init container, or know that the Pod needs this much room to be placed.",
    run: requests,
};

fn requests(report: &mut Report<'_>) {
    let facts = report.facts;
    let spec = facts.spec();
    if spec.resources.is_some() {
        return;
    }
    let without_inits = PodSpec {
        init_containers: spec.init_containers.as_ref().map(|inits| {
            inits
                .iter()
                .filter(|container| is_sidecar(container))
                .cloned()
                .collect()
        }),
        ..spec.clone()
    };
    let staying = effective_requests(&without_inits);
    for (resource, whole) in effective_requests(spec) {
        let rest = staying.get(&resource).copied();
        // An application without requests is a choice, and then any init container has more.
        let Some(rest) = rest.filter(|rest| !rest.is_zero() && *rest < whole) else {
            continue;
        };
        let largest = facts
            .containers
            .iter()
            .filter(|container| container.role == Role::Init)
            .filter_map(|container| {
                let requests = container.container.resources.as_ref()?.requests.as_ref()?;
                let own = requests
                    .get(&resource)?
                    .0
                    .parse::<podyard_api::quantity::Value>()
                    .ok()?;
                Some((own, container))
            })
            .max_by(|one, other| one.0.cmp(&other.0));
        let Some((_, container)) = largest else {
            continue;
        };
        report.at(
            container.path.field("resources.requests").key(&resource),
            format!(
                "because of `{}` the Pod asks for {whole} of {resource} as long as it lives; what runs after init asks for {rest}",
                container.name()
            ),
            "ask for less here, if the init container can do with it".to_owned(),
        );
    }
}

pub(crate) static SECRET: Check = Check {
    id: "secret-only-for-init",
    severity: Severity::Remark,
    title: "A Secret is mounted in an app container whose command does not speak of it; only an init container does",
    explanation: "Whoever gets into the application can read the Secret for as long as the Pod lives. Reported when the same Secret is \
mounted at the same path in an init container that names the path, and the app container's own command and variables do not.",
    fix: "Remove the mount from the app container.",
    run: secret,
};

fn secret(report: &mut Report<'_>) {
    let facts = report.facts;
    for volume in facts
        .volumes()
        .iter()
        .filter(|volume| volume.secret.is_some())
    {
        for (_, app) in facts.mounting(&volume.name) {
            if app.role != Role::App || app.container.command.is_none() {
                continue;
            }
            for (index, mount) in app.mounts_of(&volume.name) {
                let of_init = facts.mounting(&volume.name).find(|(_, init)| {
                    init.role == Role::Init
                        && init.mentions(&mount.mount_path)
                        && init
                            .mounts_of(&volume.name)
                            .any(|(_, own)| own.mount_path == mount.mount_path)
                });
                let (Some((_, init)), false) = (of_init, app.mentions(&mount.mount_path)) else {
                    continue;
                };
                report.at(
                    app.mount_path(index, "name"),
                    format!(
                        "`{}` mounts the Secret volume `{}`, and only the init container `{}` speaks of it",
                        app.name(),
                        volume.name,
                        init.name()
                    ),
                    format!("remove this mount if `{}` does not need it", app.name()),
                );
            }
        }
    }
}
